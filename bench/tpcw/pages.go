package tpcw

import (
	"fmt"
	"math/rand/v2"

	"gorm.io/gorm"
)

// Shopper is one who walks through a shop.
type Shopper struct {
	Size
	R *rand.Rand
	// Ask asks a query, whose name tells it apart from all others. It calls query, with a handle
	// and with keep for the shopper to see what was found; without keep the query can be asked
	// again at any time.
	Ask func(what string, query func(db *gorm.DB, keep bool) error)
	// Write writes.
	Write func(do func(db *gorm.DB) error)

	id   int64   // of the customer
	seen []int64 // items that the last page showed
}

// Enter has the shopper be any of the customers from now on, and returns which.
func (s *Shopper) Enter() (id int64) {
	s.id, s.seen = FirstCustomer+s.R.Int64N(int64(s.Customers)), nil
	return s.id
}

func one[T any](s *Shopper, name string, arg any, where func(db *gorm.DB) *gorm.DB) (found T) {
	s.Ask(fmt.Sprint(name, " ", arg), func(db *gorm.DB, keep bool) error {
		var into T
		err := where(db).Take(&into).Error
		if keep {
			found = into
		}
		return err
	})
	return found
}

func many[T any](s *Shopper, name string, arg any, where func(db *gorm.DB) *gorm.DB) (found []T) {
	s.Ask(fmt.Sprint(name, " ", arg), func(db *gorm.DB, keep bool) error {
		var into []T
		err := where(db).Find(&into).Error
		if keep {
			found = into
		}
		return err
	})
	return found
}

func (s *Shopper) customer() Customer {
	id := s.id
	return one[Customer](s, "customer", id, func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", id) })
}

// CustomerByName asks for the customer of a name.
func (s *Shopper) CustomerByName(name string) Customer {
	return one[Customer](s, "uname", name, func(db *gorm.DB) *gorm.DB { return db.Where("uname = ?", name) })
}

// LastOrder asks for the last order of a customer.
func (s *Shopper) LastOrder(of int64) Order {
	return one[Order](s, "last order", of, func(db *gorm.DB) *gorm.DB { return db.Where("customer_id = ?", of).Order("id DESC") })
}

// Item asks for an item.
func (s *Shopper) Item(id int64) Item {
	return one[Item](s, "item", id, func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", id) })
}

func (s *Shopper) author(id int64) {
	one[Author](s, "author", id, func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", id) })
}

func (s *Shopper) related(of Item) {
	for _, id := range []int64{of.Related1, of.Related2, of.Related3, of.Related4, of.Related5} {
		s.Item(id)
		s.seen = append(s.seen, id)
	}
}

// some is any item.
func (s *Shopper) some() int64 { return FirstItem + s.R.Int64N(int64(s.Items)) }

// promotion shows five items that are related to a random one, as several pages do.
func (s *Shopper) promotion() { s.related(s.Item(s.some())) }

func (s *Shopper) list(name string, order string) {
	subject := s.R.IntN(subjects)
	items := many[Item](s, name, subject, func(db *gorm.DB) *gorm.DB {
		return db.Where("subject = ?", subject).Order(order).Limit(listed)
	})
	for _, i := range items {
		s.seen = append(s.seen, i.ID)
	}
	for _, i := range items[:min(5, len(items))] {
		s.author(i.AuthorID)
	}
}

func (s *Shopper) cart() {
	id := s.id
	lines := many[CartLine](s, "cart", id, func(db *gorm.DB) *gorm.DB { return db.Where("customer_id = ?", id).Order("id") })
	for _, l := range lines[:min(5, len(lines))] {
		s.Item(l.ItemID)
	}
}

// Page shows a page and returns whether there is one of this name.
func (s *Shopper) Page(name string) bool {
	clicked := int64(0)
	if len(s.seen) > 0 {
		clicked = s.seen[s.R.IntN(len(s.seen))]
	}
	s.seen = s.seen[:0]
	switch name {
	case "HOME":
		s.customer()
		s.promotion()
	case "NEWP":
		s.list("new", "id DESC")
	case "BESS":
		s.list("best", "sold DESC, id")
	case "PROD":
		if clicked == 0 {
			clicked = s.some()
		}
		i := s.Item(clicked)
		s.author(i.AuthorID)
		s.related(i)
	case "SREQ":
		s.promotion()
	case "SRES":
		s.list("search", "title")
	case "SHOP":
		id := clicked
		if id == 0 {
			id = s.some()
		}
		s.Write(func(db *gorm.DB) error { return db.Create(&CartLine{CustomerID: s.id, ItemID: id}).Error })
		s.cart()
	case "CREG":
		s.customer()
	case "BUYR":
		s.customer()
		s.cart()
	case "BUYC":
		s.customer()
		s.cart()
		s.Write(func(db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error {
				o := Order{CustomerID: s.id}
				if err := tx.Create(&o).Error; err != nil {
					return err
				}
				var lines []CartLine
				if err := tx.Where("customer_id = ?", s.id).Find(&lines).Error; err != nil {
					return err
				}
				for _, l := range lines {
					if err := tx.Create(&OrderLine{OrderID: o.ID, ItemID: l.ItemID, Count: 1}).Error; err != nil {
						return err
					}
					if err := tx.Model(&Item{}).Where("id = ?", l.ItemID).Update("sold", gorm.Expr("sold + 1")).Error; err != nil {
						return err
					}
				}
				return tx.Where("customer_id = ?", s.id).Delete(&CartLine{}).Error
			})
		})
	case "ORDI":
	case "ORDD":
		o := s.LastOrder(s.CustomerByName(Name(s.id)).ID)
		many[OrderLine](s, "lines", o.ID, func(db *gorm.DB) *gorm.DB { return db.Where("order_id = ?", o.ID).Order("id") })
	case "ADMR":
		s.Item(s.some())
	case "ADMC":
		s.Write(func(db *gorm.DB) error {
			return db.Model(&Item{}).Where("id = ?", s.some()).Update("title", "changed").Error
		})
	default:
		return false
	}
	return true
}
