package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/examples/shop/service"
	"gorm.io/gorm"
)

// play plays three scenes in the shop with the plugin.
func play(ctx context.Context, s settings, one *stand, c *comparison, out io.Writer) error {
	db := one.db.WithContext(ctx)
	for _, scene := range []func(*gorm.DB, settings, *stand, *comparison, io.Writer) error{rename, rollback, order} {
		fmt.Fprintln(out)
		if err := scene(db, s, one, c, out); err != nil {
			return err
		}
	}
	return nil
}

// product reads a product, compares it, and returns how many queries that took.
func (one *stand) product(db *gorm.DB, id uint, c *comparison) (p service.Product, queries int64, err error) {
	one.pool.Reset()
	if err := db.First(&p, id).Error; err != nil {
		return p, 0, err
	}
	queries = one.pool.Reads()
	var want service.Product
	err = one.plain.WithContext(db.Statement.Context).First(&want, id).Error
	c.add(fmt.Sprint("product ", id), p, want)
	return p, queries, err
}

// rename renames a product: who reads it next sees the new name.
func rename(db *gorm.DB, _ settings, one *stand, c *comparison, out io.Writer) error {
	before, _, err := one.product(db, 1, c)
	if err != nil {
		return err
	}
	_, cached, err := one.product(db, 1, c)
	if err != nil {
		return err
	}
	if err := db.Model(&service.Product{}).Where("id = ?", 1).Update("name", before.Name+", renamed").Error; err != nil {
		return err
	}
	after, _, err := one.product(db, 1, c)
	fmt.Fprintf(out, "A rename: product 1 was %q, read with %d queries. After the update the next read shows %q.\n", before.Name, cached, after.Name)
	return err
}

var errRolledBack = errors.New("rolled back")

// rollback makes a product cheaper and takes that back: nobody sees it.
func rollback(db *gorm.DB, _ settings, one *stand, c *comparison, out io.Writer) error {
	before, _, err := one.product(db, 2, c)
	if err != nil {
		return err
	}
	var inside int64
	err = db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Model(&service.Product{}).Where("id = ?", 2).Update("price", 1).Error; err != nil {
			return err
		}
		if err := tx.Model(&service.Product{}).Select("price").Where("id = ?", 2).Scan(&inside).Error; err != nil {
			return err
		}
		return errRolledBack
	})
	if !errors.Is(err, errRolledBack) {
		return err
	}
	after, queries, err := one.product(db, 2, c)
	fmt.Fprintf(out, "A rollback: product 2 costs %d, %d inside a transaction that was rolled back, and %d after it: read with %d queries.\n",
		before.Price, inside, after.Price, queries)
	return err
}

// list reads a user's orders.
func list(db *gorm.DB, user int, orders *[]service.Order) *gorm.DB {
	return db.Where("user_id = ?", user).Order("id").Find(orders)
}

// order inserts an order: of all users' lists of orders it invalidates the one that Explain
// foretold.
func order(db *gorm.DB, s settings, one *stand, c *comparison, out io.Writer) error {
	if err := one.plugin.Invalidate(); err != nil {
		return err
	}
	for user := range s.answers {
		if err := list(db, user+1, new([]service.Order)).Error; err != nil {
			return err
		}
	}
	entries := one.plugin.Stats().Entries
	buyer := s.answers/2 + 1
	buy := func(tx *gorm.DB) *gorm.DB {
		return tx.Create(&service.Order{UserID: uint(buyer), Status: "new", Total: 4_200})
	}
	foretold, err := one.plugin.Explain(buy)
	if err != nil {
		return err
	}
	if err := buy(db).Error; err != nil {
		return err
	}
	invalidated, err := one.compareForetold(foretold, s.answers)
	if err != nil {
		return err
	}
	plain := one.plain.WithContext(db.Statement.Context)
	served := -one.plugin.Stats().Hits
	for user := range s.answers {
		var got, want []service.Order
		if err := list(db, user+1, &got).Error; err != nil {
			return err
		}
		if user%20 != 0 && user+1 != buyer {
			continue
		}
		if err := list(plain, user+1, &want).Error; err != nil {
			return err
		}
		c.add(fmt.Sprint("orders of user ", user+1), got, want)
	}
	served += one.plugin.Stats().Hits
	fmt.Fprintf(out, "An order: %d answers were in memory, one for each user's orders. Explain foretold that the insert invalidates %d of them, "+
		"and that is what left memory; %d were served after it.\n", entries, invalidated, served)
	return nil
}

// compareForetold returns how many of the users' lists of orders Explain said that a write would
// invalidate. It is an error if these are not the ones that are not in memory now.
func (one *stand) compareForetold(write preload.Explanation, users int) (n int, err error) {
	foretold := map[string]bool{}
	for _, answer := range write.Invalidates {
		foretold[answer.Key] = true
	}
	for user := range users {
		e, err := one.plugin.Explain(func(tx *gorm.DB) *gorm.DB { return list(tx, user+1, new([]service.Order)) })
		if err != nil {
			return 0, err
		}
		if foretold[e.Key] == e.Stored {
			return 0, fmt.Errorf("the orders of user %d: Explain foretold that they are invalidated: %t; they are in memory after the write: %t", user+1, foretold[e.Key], e.Stored)
		}
		if foretold[e.Key] {
			n++
		}
	}
	return n, nil
}
