// Package tpcw is the shop of the TPC-W benchmark, as far as its pages read and write a database,
// and the people who go from page to page in it.
package tpcw

import (
	"fmt"
	"math/rand/v2"

	"gorm.io/gorm"
)

// Customer is someone who may buy.
type Customer struct {
	_     struct{} `preload:""`
	ID    int64
	Uname string `gorm:"uniqueIndex"`
	First string
}

// Author wrote items.
type Author struct {
	_    struct{} `preload:""`
	ID   int64
	Name string
}

// Item is a book.
type Item struct {
	_        struct{} `preload:""`
	ID       int64
	Title    string
	AuthorID int64
	Subject  int
	Sold     int64
	Related1 int64
	Related2 int64
	Related3 int64
	Related4 int64
	Related5 int64
}

// Order is what a customer bought at a time.
type Order struct {
	_          struct{} `preload:""`
	ID         int64
	CustomerID int64 `gorm:"index"`
	Total      float64
}

// OrderLine is an item of an order.
type OrderLine struct {
	_       struct{} `preload:""`
	ID      int64
	OrderID int64 `gorm:"index"`
	ItemID  int64
	Count   int
}

// CartLine is an item that a customer may buy.
type CartLine struct {
	_          struct{} `preload:""`
	ID         int64
	CustomerID int64 `gorm:"index"`
	ItemID     int64
}

// Size is how much there is in a shop.
type Size struct{ Customers, Items, Authors int }

// Usual is the size of a usual shop.
var Usual = Size{Customers: 2_000, Items: 10_000, Authors: 2_500}

const (
	subjects = 24
	listed   = 20 // items in a list

	// FirstItem is the id of the first item, and FirstCustomer that of the first customer; the
	// others follow.
	FirstItem     = 100_000
	FirstCustomer = 1
	firstAuthor   = 50_000
	firstOrder    = 500_000
)

// Fill makes the tables and fills them: equal sizes give equal rows.
func Fill(db *gorm.DB, size Size) error {
	if err := db.AutoMigrate(&Customer{}, &Author{}, &Item{}, &Order{}, &OrderLine{}, &CartLine{}); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(7, 7))
	var (
		customers []Customer
		authors   []Author
		items     []Item
		orders    []Order
		lines     []OrderLine
		cart      []CartLine
	)
	for i := range int64(size.Authors) {
		authors = append(authors, Author{ID: firstAuthor + i, Name: fmt.Sprint("author", i)})
	}
	some := func() int64 { return FirstItem + r.Int64N(int64(size.Items)) }
	for i := range int64(size.Items) {
		items = append(items, Item{
			ID: FirstItem + i, Title: fmt.Sprint("title", i), AuthorID: firstAuthor + r.Int64N(int64(size.Authors)), Subject: r.IntN(subjects), Sold: r.Int64N(1e6),
			Related1: some(), Related2: some(), Related3: some(), Related4: some(), Related5: some(),
		})
	}
	for i := range int64(size.Customers) {
		id := FirstCustomer + i
		customers = append(customers, Customer{ID: id, Uname: Name(id), First: fmt.Sprint("first", id)})
		for range 1 + r.IntN(3) {
			o := Order{ID: firstOrder + int64(len(orders)), CustomerID: id}
			orders = append(orders, o)
			for range 1 + r.IntN(4) {
				lines = append(lines, OrderLine{OrderID: o.ID, ItemID: some(), Count: 1})
			}
		}
		for range r.IntN(3) {
			cart = append(cart, CartLine{CustomerID: id, ItemID: some()})
		}
	}
	for _, rows := range []any{customers, authors, items, orders, lines, cart} {
		if err := db.CreateInBatches(rows, 1_000).Error; err != nil {
			return err
		}
	}
	if db.Name() != "postgres" {
		return nil
	}
	// The next order follows those that were created with an id of their own.
	return db.Exec("SELECT setval(pg_get_serial_sequence('orders', 'id'), ?)", firstOrder+len(orders)).Error
}

// Name is the name by which a customer logs in.
func Name(id int64) string { return fmt.Sprint("user", id) }
