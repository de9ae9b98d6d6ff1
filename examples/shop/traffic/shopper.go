// Package traffic asks the shop what people ask it: they come for a while, go from page to page,
// and one request in sixteen or so writes. Few products and users make for most of what is asked.
package traffic

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/gorm-preload/preload/examples/shop/service"
)

// writing is the share of the requests that write.
const writing = 0.06

// Shopper draws the requests of people who come one after the other. The same numbers give the same
// requests, as long as the shop gives the same answers.
type Shopper struct {
	r        *rand.Rand
	size     service.Size
	users    *rand.Zipf
	products *rand.Zipf
	within   *rand.Zipf // a category
	name     string

	left    int // pages of the one who is there
	user    int // 0 for somebody who is not signed in
	page    string
	product int
	list    int // the page of the list
	orders  []uint
	cart    bool // holds something
	fresh   int  // users that registered
}

// NewShopper returns a shopper. Those of one shop need different streams.
func NewShopper(size service.Size, seed, stream uint64) *Shopper {
	r := rand.New(rand.NewPCG(seed, stream))
	zipf := func(n int) *rand.Zipf { return rand.NewZipf(r, 1.15, 4, uint64(n-1)) }
	return &Shopper{
		r: r, size: size, name: fmt.Sprintf("%d-%d", seed, stream),
		users: zipf(size.Users), products: zipf(size.Products), within: zipf(max(1, size.Products/size.Categories)),
	}
}

// step is a page that may follow, and how often it does.
type step struct {
	to     string
	weight int
}

// follows is how people go from page to page.
var follows = map[string][]step{
	"":         {{"home", 55}, {"any product", 25}, {"category", 12}, {"search", 6}, {"report", 2}},
	"home":     {{"category", 45}, {"any product", 25}, {"search", 18}, {"top", 5}, {"coupons", 3}, {"me", 4}},
	"category": {{"product", 65}, {"next", 18}, {"category", 12}, {"home", 5}},
	"product":  {{"product", 28}, {"related", 24}, {"category", 20}, {"profile", 5}, {"tag", 6}, {"cart", 7}, {"search", 10}},
	"related":  {{"any product", 80}, {"home", 20}},
	"search":   {{"any product", 70}, {"search", 15}, {"home", 15}},
	"tag":      {{"any product", 80}, {"home", 20}},
	"top":      {{"any product", 80}, {"home", 20}},
	"coupons":  {{"home", 50}, {"category", 50}},
	"profile":  {{"any product", 80}, {"home", 20}},
	"cart":     {{"product", 45}, {"home", 25}, {"orders", 15}, {"me", 15}},
	"me":       {{"orders", 60}, {"home", 40}},
	"orders":   {{"order", 70}, {"home", 30}},
	"order":    {{"any product", 50}, {"home", 50}},
	"report":   {{"top", 50}, {"home", 50}},
}

// writes are what people do, and how often.
var writes = []step{
	{"add", 40}, {"buy", 14}, {"like", 10}, {"login", 10}, {"review", 8}, {"remove", 5}, {"rename", 4},
	{"register", 3}, {"price", 3}, {"tag it", 2}, {"delivery", 2}, {"moderate", 1},
}

func (s *Shopper) draw(from []step) string {
	all := 0
	for _, step := range from {
		all += step.weight
	}
	n := s.r.IntN(all)
	for _, step := range from {
		if n -= step.weight; n < 0 {
			return step.to
		}
	}
	return from[0].to
}

// Next returns the next request. It has no context of its own.
func (s *Shopper) Next() *http.Request {
	if s.left == 0 {
		s.arrive()
	}
	s.left--
	if s.r.Float64() < writing {
		return s.write(s.draw(writes))
	}
	s.page = s.read(s.draw(follows[s.page]))
	return s.request("GET", s.path(), "")
}

// arrive lets somebody else come.
func (s *Shopper) arrive() {
	*s = Shopper{r: s.r, size: s.size, users: s.users, products: s.products, within: s.within, name: s.name, fresh: s.fresh}
	s.left = 4 + int(s.r.ExpFloat64()*10)
	if s.r.IntN(10) < 7 {
		s.user = 1 + int(s.users.Uint64())
	}
	s.product = 1 + int(s.products.Uint64())
}

// read goes to a page and returns its name.
func (s *Shopper) read(to string) string {
	switch to {
	case "any product":
		s.product = 1 + int(s.products.Uint64())
		return "product"
	case "product": // of the same category
		s.product = min(1+s.size.Category(s.product)+s.size.Categories*int(s.within.Uint64()), s.size.Products)
	case "next":
		s.list++
		return "category"
	case "category":
		s.list = 1
		s.product = 1 + int(s.products.Uint64())
	case "me", "cart", "orders":
		if s.user == 0 {
			return "home"
		}
	case "order":
		if len(s.orders) == 0 {
			return "home"
		}
	}
	return to
}

func (s *Shopper) path() string {
	switch s.page {
	case "home":
		return "/"
	case "category":
		return fmt.Sprintf("/categories/%s?page=%d", service.Slug(s.size.Category(s.product)), max(1, s.list))
	case "product":
		return fmt.Sprint("/products/", s.product)
	case "related":
		return fmt.Sprintf("/products/%d/related", s.product)
	case "profile":
		return fmt.Sprint("/users/", 1+s.users.Uint64())
	case "tag":
		return "/tags/" + service.TagName(int(s.products.Uint64())%s.size.Tags)
	case "search":
		return "/search?q=" + service.Words[int(s.products.Uint64())%len(service.Words)]
	case "order":
		return fmt.Sprint("/orders/", s.orders[s.r.IntN(len(s.orders))])
	}
	return "/" + s.page
}

func (s *Shopper) write(what string) *http.Request {
	if s.user == 0 {
		s.user = 1 + int(s.users.Uint64()) // who signs in
		what = "login"
	}
	if what == "buy" && !s.cart {
		what = "add"
	}
	switch what {
	case "add":
		s.cart = true
		return s.request("POST", "/cart", fmt.Sprintf(`{"ProductID":%d,"Quantity":%d}`, s.product, 1+s.r.IntN(2)))
	case "buy":
		s.cart = false
		return s.request("POST", "/orders", "")
	case "remove":
		return s.request("DELETE", fmt.Sprint("/cart/", s.product), "")
	case "like":
		return s.request("POST", fmt.Sprintf("/reviews/%d/like", s.size.Review(s.product, s.r.IntN(8))), "")
	case "review":
		return s.request("POST", fmt.Sprintf("/products/%d/reviews", s.product), fmt.Sprintf(`{"Stars":%d,"Text":"As I thought."}`, 1+s.r.IntN(5)))
	case "moderate":
		return s.request("DELETE", fmt.Sprint("/reviews/", s.size.Review(s.product, s.r.IntN(8))), "")
	case "rename":
		return s.request("PUT", "/me", fmt.Sprintf(`{"Name":"User %d, %d"}`, s.user, s.r.IntN(100)))
	case "register":
		s.fresh++
		return s.request("POST", "/users", fmt.Sprintf(`{"Email":"new-%s-%d@example.org","Name":"New","Password":"x","Street":"A","City":"B"}`, s.name, s.fresh))
	case "price":
		return s.request("PUT", fmt.Sprintf("/products/%d/price", s.product), fmt.Sprintf(`{"Price":%d}`, 100+s.r.IntN(10_000)))
	case "tag it":
		return s.request("POST", fmt.Sprintf("/products/%d/tags", s.product), fmt.Sprintf(`{"Name":%q}`, service.TagName(s.r.IntN(s.size.Tags+5))))
	case "delivery":
		return s.request("POST", fmt.Sprintf("/products/%d/deliveries", s.product), `{"Pieces":10}`)
	}
	return s.request("POST", "/login", fmt.Sprintf(`{"Email":%q,"Password":"secret"}`, service.Email(s.user)))
}

func (s *Shopper) request(method, path, body string) *http.Request {
	r, err := http.NewRequest(method, "http://shop"+path, strings.NewReader(body))
	if err != nil {
		panic(err) // the paths above are addresses
	}
	if s.user > 0 {
		r.Header.Set("X-User", fmt.Sprint(s.user))
	}
	return r
}

// Saw tells the shopper what came of its last request.
func (s *Shopper) Saw(r *http.Request, body []byte) {
	if r.Method != "GET" || s.page != "orders" {
		return
	}
	var seen struct{ Orders []struct{ ID uint } }
	_ = json.Unmarshal(body, &seen)
	s.orders = nil
	for _, order := range seen.Orders {
		s.orders = append(s.orders, order.ID)
	}
}
