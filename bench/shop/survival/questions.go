package survival

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorm-preload/preload/examples/shop/service"
)

// preloadFor is longer than it takes to ask everything, for answers without rows, too.
const preloadFor = time.Hour

// questions are the requests for every page of the shop.
func questions(size service.Size) (all []*http.Request) {
	add := func(user int, path string, values ...any) {
		r, err := http.NewRequest("GET", "http://shop"+fmt.Sprintf(path, values...), nil)
		if err != nil {
			panic(err) // the paths below are addresses
		}
		if user > 0 {
			r.Header.Set("X-User", fmt.Sprint(user))
		}
		all = append(all, r)
	}
	for _, path := range []string{"/", "/top", "/coupons", "/report"} {
		add(0, "%s", path)
	}
	for c := range size.Categories {
		add(0, "/categories/%s?page=1", service.Slug(c))
		add(0, "/categories/%s?page=2", service.Slug(c))
	}
	for t := range size.Tags {
		add(0, "/tags/%s", service.TagName(t))
	}
	for _, word := range service.Words {
		add(0, "/search?q=%s", word)
	}
	for p := range size.Products {
		add(0, "/products/%d", p+1)
		add(0, "/products/%d/related", p+1)
	}
	for u := range size.Users {
		add(0, "/users/%d", u+1)
		add(u+1, "/me")
		add(u+1, "/cart")
		add(u+1, "/orders")
		for o := range size.OrdersEach {
			add(u+1, "/orders/%d", u*size.OrdersEach+o+1)
		}
	}
	return all
}

// reading reports whether a statement only reads.
func reading(statement string) bool {
	for _, verb := range []string{"INSERT", "UPDATE", "DELETE"} {
		if strings.HasPrefix(strings.TrimSpace(statement), verb) {
			return false
		}
	}
	return true
}
