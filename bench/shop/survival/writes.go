package survival

import (
	"errors"
	"fmt"
	"time"

	"github.com/gorm-preload/preload/examples/shop/service"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// kind is a kind of write. do makes one; n is another number for each, and that of a user, product
// and order that exist.
type kind struct {
	name string
	do   func(db *gorm.DB, n int) error
}

type (
	user    = service.User
	product = service.Product
	review  = service.Review
	item    = service.CartItem
	order   = service.Order
)

// one reads the row of a number.
func one[T any](db *gorm.DB, n int) (*T, error) {
	row := new(T)
	return row, db.First(row, n).Error
}

// kinds are what a shop writes, as its team writes it.
var kinds = []kind{
	{"a user registers", func(db *gorm.DB, n int) error {
		return db.Create(&user{Email: fmt.Sprintf("new%d@example.org", n), Name: "New", Addresses: []service.Address{{City: "Town"}}}).Error
	}},
	{"a user signs in", func(db *gorm.DB, n int) error {
		return db.Model(&user{Model: gorm.Model{ID: uint(n)}}).UpdateColumn("last_login_at", time.Now()).Error
	}},
	{"a user changes the profile", func(db *gorm.DB, n int) error {
		u, err := one[user](db, n)
		if err != nil {
			return err
		}
		u.Name = "Renamed"
		return db.Save(u).Error
	}},
	{"a user adds an address", func(db *gorm.DB, n int) error {
		return db.Model(&user{Model: gorm.Model{ID: uint(n)}}).Association("Addresses").Append(&service.Address{City: "City"})
	}},
	{"a product is put in a cart", func(db *gorm.DB, n int) error {
		var line item
		if err := db.Where(item{UserID: uint(n), ProductID: uint(n)}).FirstOrCreate(&line).Error; err != nil {
			return err
		}
		return db.Model(&line).UpdateColumn("quantity", gorm.Expr("quantity + ?", 1)).Error
	}},
	{"a cart's quantity is set", func(db *gorm.DB, _ int) error {
		line, err := one[item](db, 2)
		if err != nil {
			return err
		}
		return db.Model(line).Update("quantity", line.Quantity+2).Error
	}},
	{"a cart is emptied", func(db *gorm.DB, _ int) error {
		return db.Where("user_id = ?", 4).Delete(&item{}).Error
	}},
	{"an order is placed", placeOrder},
	{"an order is paid", func(db *gorm.DB, n int) error {
		return db.Model(&order{}).Where("id = ? AND status <> ?", n, "cancelled").Update("status", "paid").Error
	}},
	{"an order is shipped", func(db *gorm.DB, n int) error {
		return db.Model(&order{}).Where("id = ?", n).Updates(map[string]any{"status": "shipped", "shipped_at": time.Now()}).Error
	}},
	{"an order is cancelled", cancelOrder},
	{"a review is written", func(db *gorm.DB, n int) error {
		return db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Create(&review{ProductID: uint(n), UserID: uint(n), Stars: 4, Text: "Good."}).Error; err != nil {
				return err
			}
			return tx.Model(&product{}).Where("id = ?", n).UpdateColumn("review_count", gorm.Expr("review_count + 1")).Error
		})
	}},
	{"a review is liked", func(db *gorm.DB, n int) error {
		return db.Model(&review{}).Where("id = ?", n).UpdateColumn("likes", gorm.Expr("likes + ?", 1)).Error
	}},
	{"a review is taken down", func(db *gorm.DB, n int) error {
		return db.Delete(&review{}, n).Error // softly
	}},
	{"a price is changed", func(db *gorm.DB, n int) error {
		p, err := one[product](db, n)
		if err != nil {
			return err
		}
		return db.Model(p).Update("price", p.Price+1).Error
	}},
	{"a category gets cheaper", func(db *gorm.DB, _ int) error {
		return db.Model(&product{}).Where("category_id = ?", 2).Update("price", gorm.Expr("price - price / 10")).Error
	}},
	{"a product is new, with tags", func(db *gorm.DB, n int) error {
		var tags []service.Tag
		if err := db.Find(&tags, []int{1, 2}).Error; err != nil {
			return err
		}
		return db.Omit("Tags.*").Create(&product{Name: fmt.Sprint("bench ", n), Price: 5, Stock: 5, CategoryID: 3, Tags: tags}).Error
	}},
	{"a product is tagged", func(db *gorm.DB, n int) error {
		var tag service.Tag
		if err := db.Where(service.Tag{Name: "handmade"}).FirstOrCreate(&tag).Error; err != nil {
			return err
		}
		return db.Model(&product{Model: gorm.Model{ID: uint(n)}}).Association("Tags").Append(&tag)
	}},
	{"the tags of a product are replaced", func(db *gorm.DB, n int) error {
		tag, err := one[service.Tag](db, 3)
		if err != nil {
			return err
		}
		return db.Model(&product{Model: gorm.Model{ID: uint(n)}}).Association("Tags").Replace(tag)
	}},
	{"a product is withdrawn", func(db *gorm.DB, n int) error {
		return db.Delete(&product{Model: gorm.Model{ID: uint(n)}}).Error // softly
	}},
	{"coupons are brought in", func(db *gorm.DB, _ int) error {
		from := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
		coupons := []service.Coupon{
			{Code: "LONG", Percent: 6, ValidFrom: from, ValidUntil: from.AddDate(200, 0, 0)},
			{Code: "MORE", Percent: 1, ValidFrom: from, ValidUntil: from.AddDate(200, 0, 0)},
		}
		return db.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"percent"}),
		}).Create(&coupons).Error
	}},
	{"a delivery, by raw SQL", func(db *gorm.DB, n int) error {
		return db.Exec("UPDATE products SET stock = stock + ? WHERE id = ?", 10, n).Error
	}},
}

func placeOrder(db *gorm.DB, n int) error {
	return db.Transaction(func(tx *gorm.DB) error {
		p, err := one[product](tx, n)
		if err != nil {
			return err
		}
		if p.Stock < 1 {
			return errors.New("out of stock")
		}
		if err := tx.Model(p).UpdateColumns(map[string]any{"stock": gorm.Expr("stock - 1"), "sold": gorm.Expr("sold + 1")}).Error; err != nil {
			return err
		}
		o := order{UserID: uint(n), Status: "new", Total: p.Price, Items: []service.OrderItem{{ProductID: p.ID, Quantity: 1, Price: p.Price}}}
		if err := tx.Create(&o).Error; err != nil {
			return err
		}
		return tx.Where("user_id = ?", n).Delete(&item{}).Error
	})
}

func cancelOrder(db *gorm.DB, n int) error {
	return db.Transaction(func(tx *gorm.DB) error {
		var o order
		if err := tx.Preload("Items").First(&o, n).Error; err != nil {
			return err
		}
		for _, line := range o.Items {
			back := gorm.Expr("stock + ?", line.Quantity)
			if err := tx.Model(&product{}).Where("id = ?", line.ProductID).Update("stock", back).Error; err != nil {
				return err
			}
		}
		return tx.Model(&o).Update("status", "cancelled").Error
	})
}
