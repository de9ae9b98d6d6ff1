package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"

	"github.com/gorm-preload/preload/examples/shop/service"
)

// comparison counts answers that were compared with those of plain GORM.
type comparison struct {
	compared, differ int
	examples         []string
}

const (
	// pagesATurn is how many pages are compared at the end of a turn, when nobody writes.
	pagesATurn = 100
	// named is how many answers are named that differ.
	named = 3
)

// add compares one answer.
func (c *comparison) add(what string, got, want any) {
	c.compared++
	if reflect.DeepEqual(got, want) {
		return
	}
	if c.differ++; len(c.examples) < named {
		c.examples = append(c.examples, fmt.Sprintf("%s: got %.200v, want %.200v", what, got, want))
	}
}

// pages compares pages of the shop with those of the same shop without the plugin.
func (c *comparison) pages(ctx context.Context, s settings, one *stand, turn uint64) error {
	r := rand.New(rand.NewPCG(s.seed, turn))
	products := rand.NewZipf(r, 1.15, 4, uint64(s.size.Products-1))
	for range pagesATurn {
		if err := ctx.Err(); err != nil {
			return err
		}
		product, user := products.Uint64()+1, 1+r.IntN(s.size.Users)
		path := [...]string{
			"/", "/top", "/report", fmt.Sprint("/products/", product), fmt.Sprint("/products/", product), fmt.Sprintf("/products/%d/related", product),
			"/categories/" + service.Slug(r.IntN(s.size.Categories)), "/tags/" + service.TagName(r.IntN(s.size.Tags)), fmt.Sprint("/users/", user), "/cart", "/orders", "/me",
		}[r.IntN(12)]
		c.add(path, page(ctx, one.shop, path, user), page(ctx, one.right, path, user))
	}
	return nil
}

// page returns what a shop answers to a user.
func page(ctx context.Context, shop http.Handler, path string, user int) string {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.Header.Set("X-User", fmt.Sprint(user))
	w := httptest.NewRecorder()
	shop.ServeHTTP(w, r)
	return fmt.Sprint(w.Code, " ", string(bytes.TrimSpace(w.Body.Bytes())))
}

// verdict is an error that names the first answers that differ.
func (c *comparison) verdict() error {
	if c.differ == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d answers are not those of the database: %s", c.differ, c.compared, strings.Join(c.examples, "; "))
}
