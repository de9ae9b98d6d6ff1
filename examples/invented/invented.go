// Package invented makes up what programs and tests play where nobody gives them a trace that was
// really taken.
package invented

import "math/rand/v2"

// The types of the objects of the shop.
const (
	category = iota
	product
	price
	maker
	text
	picture
	visit
	order
)

const (
	categories = 60
	products   = 6_000
	makers     = 400
	visitors   = 8 // at a time
	clicks     = 12
	// skew is the exponent of the Zipf distributions: few categories and products are in most
	// visits.
	skew = 1.3
)

// Accesses makes up the accesses that an object-relational mapper makes in a shop: equal seeds give
// equal ones. Each is a key as a trace has it: the type of an object in 5 bits, its id in 18, its
// index in 9.
//
// Several people go from a category to products, some of them popular, and to an order at last. The
// page of a product asks for objects that belong together, in an order that hardly varies. The
// accesses of all people are mixed up, and a part of them is to what is asked for once and never
// again: the visit, the order.
//
// So it shows that what belongs together is found among what does not, and that what is asked for
// once is left alone. It does not show how often that happens in a shop: how popular the products
// are, and how regular the pages, is made up. Its hit ratios can be compared with each other, and
// not with those of a trace that was taken.
func Accesses(n int, seed uint64) []uint32 {
	s := &shop{r: rand.New(rand.NewPCG(seed, 9))}
	s.categories = rand.NewZipf(s.r, skew, 1, categories-1)
	s.products = rand.NewZipf(s.r, skew, 20, products-1)
	keys := make([]uint32, 0, n)
	var people [visitors]visitor
	for len(keys) < n {
		p := &people[s.r.IntN(visitors)]
		if len(p.next) == 0 {
			s.click(p)
		}
		keys = append(keys, p.next[0])
		p.next = p.next[1:]
	}
	return keys
}

type shop struct {
	r                    *rand.Rand
	categories, products *rand.Zipf
	visits, orders       int
}

// visitor is one who is in the shop.
type visitor struct {
	visit int
	left  int      // clicks of the visit
	next  []uint32 // accesses of the click
}

func (v *visitor) ask(kind, id, index int) {
	v.next = append(v.next, uint32(kind<<27|id<<9|index))
}

// click has a visitor ask for the next page.
func (s *shop) click(v *visitor) {
	if v.left == 0 {
		s.visits++
		v.visit, v.left = s.visits, 1+s.r.IntN(clicks)
		v.ask(visit, v.visit%(1<<18), 0)
		v.ask(category, int(s.categories.Uint64()), 0)
		return
	}
	if v.left--; v.left == 0 && s.r.IntN(4) == 0 {
		s.orders++
		v.ask(order, s.orders%(1<<18), 0)
		v.ask(order, s.orders%(1<<18), 1)
		return
	}
	// Popular products are not those with the lowest ids.
	p := int(s.products.Uint64()) * 3_571 % products
	v.ask(product, p, 0)
	for i := range 1 + p%3 {
		v.ask(price, p, i)
	}
	if s.r.IntN(10) > 0 { // now and then a page is left before it is whole
		v.ask(text, p, 0)
		v.ask(maker, p*7%makers, 0)
		v.ask(picture, p, p%4)
	}
}
