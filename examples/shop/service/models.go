package service

import (
	"time"

	"gorm.io/gorm"
)

// User is a customer.
type User struct {
	_ struct{} `preload:""`
	gorm.Model
	Email       string     `gorm:"size:120;uniqueIndex"`
	Name        string     `gorm:"size:80"`
	Password    string     `gorm:"size:80" json:"-"`
	LastLoginAt *time.Time `json:"-"`
	Addresses   []Address  `json:",omitempty"`
}

// Address is where a user wants parcels to go.
type Address struct {
	_      struct{} `preload:""`
	ID     uint
	UserID uint   `gorm:"index"`
	Street string `gorm:"size:120"`
	City   string `gorm:"size:80"`
}

// Category is a shelf of the shop. Each product is on one.
type Category struct {
	_    struct{} `preload:""`
	ID   uint
	Slug string `gorm:"size:40;uniqueIndex"`
	Name string `gorm:"size:80"`
}

// Tag is a word that products have in common.
type Tag struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:40;uniqueIndex"`
}

// Product is what is sold. Money is in cents.
type Product struct {
	_ struct{} `preload:""`
	gorm.Model
	Name        string `gorm:"size:120"`
	Description string `gorm:"size:1000"`
	Price       int64
	Stock       int
	Sold        int  `gorm:"index"`
	Featured    bool `gorm:"index"`
	CategoryID  uint `gorm:"index"`
	Category    Category
	Tags        []Tag `gorm:"many2many:product_tags" json:",omitempty"`
	ReviewCount int
}

// Review is what a user thinks of a product.
type Review struct {
	_ struct{} `preload:""`
	gorm.Model
	ProductID uint `gorm:"index"`
	UserID    uint `gorm:"index"`
	User      User
	Stars     int
	Text      string `gorm:"size:1000"`
	Likes     int
}

// CartItem is a product that a user means to buy.
type CartItem struct {
	_         struct{} `preload:""`
	ID        uint
	UserID    uint `gorm:"uniqueIndex:cart_line"`
	ProductID uint `gorm:"uniqueIndex:cart_line"`
	Product   Product
	Quantity  int
}

// Order is what a user bought.
type Order struct {
	_ struct{} `preload:""`
	gorm.Model
	UserID    uint   `gorm:"index"`
	Status    string `gorm:"size:20;index"`
	Total     int64
	ShippedAt *time.Time
	Items     []OrderItem
}

// OrderItem is a line of an order.
type OrderItem struct {
	_         struct{} `preload:""`
	ID        uint
	OrderID   uint `gorm:"index"`
	ProductID uint `gorm:"index"`
	Product   Product
	Quantity  int
	Price     int64
}

// Coupon makes an order cheaper for as long as it is valid.
type Coupon struct {
	_          struct{} `preload:""`
	ID         uint
	Code       string `gorm:"size:20;uniqueIndex"`
	Percent    int
	ValidFrom  time.Time
	ValidUntil time.Time
	Uses       int
}

// Models returns one of each model, for AutoMigrate.
func Models() []any {
	return []any{&User{}, &Address{}, &Category{}, &Tag{}, &Product{}, &Review{}, &CartItem{}, &Order{}, &OrderItem{}, &Coupon{}}
}
