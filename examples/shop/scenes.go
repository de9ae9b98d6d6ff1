package main

import (
	"context"
	"errors"
	"fmt"
	"io"

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

// order inserts an order: of all users' lists of orders one is invalidated.
func order(db *gorm.DB, s settings, one *stand, c *comparison, out io.Writer) error {
	if err := one.plugin.Invalidate(); err != nil {
		return err
	}
	list := func(db *gorm.DB, user int) (orders []service.Order, err error) {
		err = db.Where("user_id = ?", user).Order("id").Find(&orders).Error
		return orders, err
	}
	for user := range s.answers {
		if _, err := list(db, user+1); err != nil {
			return err
		}
	}
	before := one.plugin.Stats()
	buyer := s.answers/2 + 1
	if err := db.Create(&service.Order{UserID: uint(buyer), Status: "new", Total: 4_200}).Error; err != nil {
		return err
	}
	invalidated := one.plugin.Stats().Invalidated - before.Invalidated
	plain := one.plain.WithContext(db.Statement.Context)
	served := -one.plugin.Stats().Hits
	for user := range s.answers {
		got, err := list(db, user+1)
		if err != nil {
			return err
		}
		if user%20 != 0 && user+1 != buyer {
			continue
		}
		want, err := list(plain, user+1)
		if err != nil {
			return err
		}
		c.add(fmt.Sprint("orders of user ", user+1), got, want)
	}
	served += one.plugin.Stats().Hits
	fmt.Fprintf(out, "An order: %d answers were in memory, one for each user's orders. The insert invalidated %d; %d were served after it.\n", before.Entries, invalidated, served)
	return nil
}
