package service

import (
	"fmt"
	"math/rand/v2"
	"time"

	"gorm.io/gorm"
)

// Size says how much is in a shop.
type Size struct {
	Users, Products, Categories, Tags int
	// ReviewsEach is of each product, OrdersEach of each user.
	ReviewsEach, OrdersEach int
}

// Usual is a shop of some 20,000 rows.
var Usual = Size{Users: 1_000, Products: 2_000, Categories: 20, Tags: 200, ReviewsEach: 3, OrdersEach: 2}

// Words are those that names of products are made of, and that people search for.
var Words = []string{"lamp", "chair", "table", "clock", "shelf", "mirror", "carpet", "vase", "basket", "candle", "pillow", "frame"}

// Email is the address of a user of the seed, Slug that of a category, TagName the name of a tag.
func Email(user int) string { return fmt.Sprintf("user%d@example.org", user) }

// Slug is the last part of the address of a category, which are counted from 0.
func Slug(category int) string { return fmt.Sprint("shelf-", category) }

// TagName is the name of a tag, which are counted from 0.
func TagName(tag int) string { return fmt.Sprint("tag", tag) }

// Category is the number of the category that a product is in.
func (s Size) Category(product int) int { return (product - 1) % s.Categories }

// Review is the number of one of the reviews of a product.
func (s Size) Review(product, i int) int { return (product-1)*s.ReviewsEach + i%s.ReviewsEach + 1 }

// Seed makes the tables and fills them; the same size gives the same rows.
func Seed(db *gorm.DB, size Size) error {
	if err := db.AutoMigrate(Models()...); err != nil {
		return err
	}
	// The primary key leads from products to tags only.
	if err := db.Exec("CREATE INDEX product_tags_by_tag ON product_tags (tag_id)").Error; err != nil {
		return err
	}
	var (
		r       = rand.New(rand.NewPCG(1, 2))
		users   []User
		tags    []Tag
		shelves []Category
		goods   []Product
		reviews []Review
		orders  []Order
		carts   []CartItem
	)
	for i := range size.Users {
		users = append(users, User{
			Email: Email(i + 1), Name: fmt.Sprint("User ", i+1), Password: "secret",
			Addresses: []Address{{Street: fmt.Sprint("Street ", i), City: "Town"}},
		})
		for range size.OrdersEach {
			order := Order{UserID: uint(i + 1), Status: []string{"new", "paid", "shipped"}[r.IntN(3)]}
			for range 1 + r.IntN(3) {
				item := OrderItem{ProductID: uint(1 + r.IntN(size.Products)), Quantity: 1 + r.IntN(3), Price: 100 + r.Int64N(10_000)}
				order.Items = append(order.Items, item)
				order.Total += int64(item.Quantity) * item.Price
			}
			orders = append(orders, order)
		}
		if i%3 == 0 {
			carts = append(carts, CartItem{UserID: uint(i + 1), ProductID: uint(1 + r.IntN(size.Products)), Quantity: 1})
		}
	}
	for i := range size.Categories {
		shelves = append(shelves, Category{Slug: Slug(i), Name: fmt.Sprint("Shelf ", i)})
	}
	for i := range size.Tags {
		tags = append(tags, Tag{Name: TagName(i)})
	}
	for i := range size.Products {
		goods = append(goods, Product{
			Name:        fmt.Sprintf("%s %s %d", Words[r.IntN(len(Words))], Words[r.IntN(len(Words))], i+1),
			Description: "It is made of wood and lasts for a long time.",
			Price:       100 + r.Int64N(10_000), Stock: 1_000 + r.IntN(1_000), Sold: r.IntN(500), Featured: i%50 == 0,
			CategoryID: uint(size.Category(i+1) + 1), ReviewCount: size.ReviewsEach,
		})
		for range size.ReviewsEach {
			reviews = append(reviews, Review{
				ProductID: uint(i + 1), UserID: uint(1 + r.IntN(size.Users)), Stars: 1 + r.IntN(5), Text: "It does what it should.", Likes: r.IntN(10),
			})
		}
	}
	day := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	coupons := []Coupon{
		{Code: "PAST", Percent: 50, ValidFrom: day, ValidUntil: day.AddDate(1, 0, 0)},
		{Code: "LONG", Percent: 5, ValidFrom: day, ValidUntil: day.AddDate(200, 0, 0)},
		{Code: "LONGER", Percent: 3, ValidFrom: day, ValidUntil: day.AddDate(300, 0, 0)},
	}
	for _, rows := range []any{users, shelves, tags} {
		if err := db.CreateInBatches(rows, 200).Error; err != nil {
			return err
		}
	}
	for i := range goods {
		for _, t := range r.Perm(size.Tags)[:min(3, size.Tags)] {
			goods[i].Tags = append(goods[i].Tags, tags[t])
		}
	}
	for _, rows := range []any{goods, reviews, orders, carts, coupons} {
		if err := db.Omit("Tags.*", "Category", "User", "Product").CreateInBatches(rows, 200).Error; err != nil {
			return err
		}
	}
	if db.Name() == "mysql" {
		return nil // keeps its statistics itself
	}
	return db.Exec("ANALYZE").Error
}
