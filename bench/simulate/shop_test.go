package simulate

import (
	"context"
	"encoding/csv"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

const defaultTransitions = "../../../shared/traces/tpcw_transitions.csv"

var (
	transitionsFile = flag.String("transitions", defaultTransitions, "the file of TPC-W's page transitions: mix,from,a probability for each page")
	shopFor         = flag.Duration("shop", 10*time.Minute, "how long, in time of the simulation, the shop is open")
	shopMixes       = flag.String("mixes", "shopping", "the mixes that are played, with commas between them")
	shopSeeds       = flag.Int("seeds", 1, "how many seeds each is played with")
	shopLatencies   = flag.String("query", "2", "how many milliseconds a query takes; several, with commas between them")
)

// The shop of TPC-W, as far as its pages read it.

type customer struct {
	_     struct{} `preload:""`
	ID    int64
	Uname string `gorm:"uniqueIndex"`
	First string
}

type author struct {
	_    struct{} `preload:""`
	ID   int64
	Name string
}

type item struct {
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

type order struct {
	_          struct{} `preload:""`
	ID         int64
	CustomerID int64 `gorm:"index"`
	Total      float64
}

type orderLine struct {
	_       struct{} `preload:""`
	ID      int64
	OrderID int64 `gorm:"index"`
	ItemID  int64
	Count   int
}

type cartLine struct {
	_          struct{} `preload:""`
	ID         int64
	CustomerID int64 `gorm:"index"`
	ItemID     int64
}

const (
	shopCustomers = 2_000
	shopItems     = 10_000
	shopAuthors   = 2_500
	shopSubjects  = 24
	shopShoppers  = 30
	listed        = 20 // items in a list
	thinkMean     = 7 * time.Second
	thinkMost     = 70 * time.Second
	stayMean      = 15 * time.Minute
	stayMost      = 60 * time.Minute
	rendering     = 200 * time.Microsecond // of what a query found, before the next one
)

func fillShop(db *gorm.DB) error {
	if err := db.AutoMigrate(&customer{}, &author{}, &item{}, &order{}, &orderLine{}, &cartLine{}); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(7, 7))
	var (
		customers []customer
		authors   []author
		items     []item
		orders    []order
		lines     []orderLine
		cart      []cartLine
	)
	for i := range int64(shopAuthors) {
		authors = append(authors, author{ID: 50_000 + i, Name: fmt.Sprint("author", i)})
	}
	some := func() int64 { return 100_000 + r.Int64N(shopItems) }
	for i := range int64(shopItems) {
		items = append(items, item{
			ID: 100_000 + i, Title: fmt.Sprint("title", i), AuthorID: 50_000 + r.Int64N(shopAuthors), Subject: r.IntN(shopSubjects), Sold: r.Int64N(1e6),
			Related1: some(), Related2: some(), Related3: some(), Related4: some(), Related5: some(),
		})
	}
	for i := range int64(shopCustomers) {
		id := 1 + i
		customers = append(customers, customer{ID: id, Uname: fmt.Sprint("user", id), First: fmt.Sprint("first", id)})
		for range 1 + r.IntN(3) {
			o := order{ID: 500_000 + int64(len(orders)), CustomerID: id}
			orders = append(orders, o)
			for range 1 + r.IntN(4) {
				lines = append(lines, orderLine{OrderID: o.ID, ItemID: some(), Count: 1})
			}
		}
		for range r.IntN(3) {
			cart = append(cart, cartLine{CustomerID: id, ItemID: some()})
		}
	}
	for _, rows := range []any{customers, authors, items, orders, lines, cart} {
		if err := db.CreateInBatches(rows, 1_000).Error; err != nil {
			return err
		}
	}
	return nil
}

// shopper is one who walks through the shop.
type shopper struct {
	*shop
	id   int64
	name string
	db   *gorm.DB // in the session
	r    *rand.Rand

	subject int
	seen    []int64 // items that the last page showed
	last    string  // what was asked before
}

// shop is the world, and what was measured in it.
type shop struct {
	*world
	markov *markov // nil for none
	// writing is taken by who writes: SQLite waits for others in time that passes outside of the
	// simulation.
	writing chan struct{}

	mu    sync.Mutex
	pages []time.Duration
	kinds map[string][]time.Duration
	asked map[string]bool // by what has been asked so far
	fresh int             // first-time reads
	ahead int             // of them, there before
	reads int
	wrong []string
}

// ask runs a query, which keeps what it finds, and notes whether it was the first time and whether
// the answer was there.
func (s *shopper) ask(what string, query func(db *gorm.DB, keep bool) error) {
	time.Sleep(rendering)
	loaded := false
	db := s.db.WithContext(context.WithValue(s.db.Statement.Context, onDemand{}, &loaded))
	begun := time.Now()
	err := query(db, true)
	there := !loaded && time.Since(begun) == 0
	s.mu.Lock()
	s.reads++
	if !s.asked[what] {
		s.asked[what] = true
		s.fresh++
		if there {
			s.ahead++
		}
	}
	if err != nil && len(s.wrong) < 5 {
		s.wrong = append(s.wrong, fmt.Sprint(what, ": ", err))
	}
	s.mu.Unlock()
	if s.markov != nil {
		s.markov.follow(s.world, s.last, what, query)
	}
	s.last = what
}

// onDemand marks the context of a query that a shopper asked; the value is set where it reached the
// database.
type onDemand struct{}

// markov loads what came last time after a query, if it mostly does: all that "next access only"
// can do.
type markov struct {
	mu      sync.Mutex
	next    map[string]map[string]int
	queries map[string]func(db *gorm.DB, keep bool) error
	running sync.WaitGroup
}

func (m *markov) follow(w *world, before, now string, query func(db *gorm.DB, keep bool) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queries[now] = query
	if before != "" {
		if m.next[before] == nil {
			m.next[before] = map[string]int{}
		}
		m.next[before][now]++
	}
	all := 0
	for _, n := range m.next[now] {
		all += n
	}
	for next, n := range m.next[now] {
		if n >= 2 && 2*n >= all {
			query := m.queries[next]
			m.running.Go(func() { _ = query(w.db, false) })
		}
	}
}

func one[T any](s *shopper, name string, arg any, where func(db *gorm.DB) *gorm.DB) (found T) {
	s.ask(fmt.Sprint(name, " ", arg), func(db *gorm.DB, keep bool) error {
		var into T
		err := where(db).Take(&into).Error
		if keep {
			found = into
		}
		return err
	})
	return found
}

func many[T any](s *shopper, name string, arg any, where func(db *gorm.DB) *gorm.DB) (found []T) {
	s.ask(fmt.Sprint(name, " ", arg), func(db *gorm.DB, keep bool) error {
		var into []T
		err := where(db).Find(&into).Error
		if keep {
			found = into
		}
		return err
	})
	return found
}

func (s *shopper) customer() customer {
	return one[customer](s, "customer", s.id, func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", s.id) })
}

func (s *shopper) customerByName(name string) customer {
	return one[customer](s, "uname", name, func(db *gorm.DB) *gorm.DB { return db.Where("uname = ?", name) })
}

func (s *shopper) lastOrder(of int64) order {
	return one[order](s, "last order", of, func(db *gorm.DB) *gorm.DB { return db.Where("customer_id = ?", of).Order("id DESC") })
}

func (s *shopper) item(id int64) item {
	return one[item](s, "item", id, func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", id) })
}

func (s *shopper) author(id int64) {
	one[author](s, "author", id, func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", id) })
}

func (s *shopper) related(of item) {
	for _, id := range []int64{of.Related1, of.Related2, of.Related3, of.Related4, of.Related5} {
		s.item(id)
		s.seen = append(s.seen, id)
	}
}

// promotion shows five items that are related to a random one, as several pages do.
func (s *shopper) promotion() { s.related(s.item(100_000 + s.r.Int64N(shopItems))) }

func (s *shopper) list(name string, order string) {
	s.subject = s.r.IntN(shopSubjects)
	items := many[item](s, name, s.subject, func(db *gorm.DB) *gorm.DB {
		return db.Where("subject = ?", s.subject).Order(order).Limit(listed)
	})
	for _, i := range items {
		s.seen = append(s.seen, i.ID)
	}
	for _, i := range items[:min(5, len(items))] {
		s.author(i.AuthorID)
	}
}

func (s *shopper) cart() {
	lines := many[cartLine](s, "cart", s.id, func(db *gorm.DB) *gorm.DB { return db.Where("customer_id = ?", s.id).Order("id") })
	for _, l := range lines[:min(5, len(lines))] {
		s.item(l.ItemID)
	}
}

// page shows a page and returns whether there is one of this name.
func (s *shopper) page(name string) bool {
	clicked := int64(0)
	if len(s.seen) > 0 {
		clicked = s.seen[s.r.IntN(len(s.seen))]
	}
	s.seen = s.seen[:0]
	switch name {
	case "HOME":
		s.customer()
		s.promotion()
	case "NEWP":
		s.list("new", "id DESC")
	case "BESS":
		s.list("best", "sold DESC, id")
	case "PROD":
		if clicked == 0 {
			clicked = 100_000 + s.r.Int64N(shopItems)
		}
		i := s.item(clicked)
		s.author(i.AuthorID)
		s.related(i)
	case "SREQ":
		s.promotion()
	case "SRES":
		s.list("search", "title")
	case "SHOP":
		id := clicked
		if id == 0 {
			id = 100_000 + s.r.Int64N(shopItems)
		}
		s.write(func(db *gorm.DB) error { return db.Create(&cartLine{CustomerID: s.id, ItemID: id}).Error })
		s.cart()
	case "CREG":
		s.customer()
	case "BUYR":
		s.customer()
		s.cart()
	case "BUYC":
		s.customer()
		s.cart()
		s.write(func(db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error {
				o := order{CustomerID: s.id}
				if err := tx.Create(&o).Error; err != nil {
					return err
				}
				var lines []cartLine
				if err := tx.Where("customer_id = ?", s.id).Find(&lines).Error; err != nil {
					return err
				}
				for _, l := range lines {
					if err := tx.Create(&orderLine{OrderID: o.ID, ItemID: l.ItemID, Count: 1}).Error; err != nil {
						return err
					}
					if err := tx.Model(&item{}).Where("id = ?", l.ItemID).Update("sold", gorm.Expr("sold + 1")).Error; err != nil {
						return err
					}
				}
				return tx.Where("customer_id = ?", s.id).Delete(&cartLine{}).Error
			})
		})
	case "ORDI":
	case "ORDD":
		o := s.lastOrder(s.customerByName(s.name).ID)
		many[orderLine](s, "lines", o.ID, func(db *gorm.DB) *gorm.DB { return db.Where("order_id = ?", o.ID).Order("id") })
	case "ADMR":
		s.item(100_000 + s.r.Int64N(shopItems))
	case "ADMC":
		s.write(func(db *gorm.DB) error {
			return db.Model(&item{}).Where("id = ?", 100_000+s.r.Int64N(shopItems)).Update("title", "changed").Error
		})
	default:
		return false
	}
	return true
}

func (s *shopper) write(do func(db *gorm.DB) error) {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	if err := do(s.db); err != nil {
		s.fault(err)
	}
}

func (s *shopper) fault(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, err.Error())
}

// exponential draws a duration of a mean, cut off.
func exponential(r *rand.Rand, mean, most time.Duration) time.Duration {
	return min(most, time.Duration(-math.Log(1-r.Float64())*float64(mean)))
}

// walk goes from page to page, as one visitor after the other, until the shop closes.
func (s *shopper) walk(t map[string]map[string]float64, closes time.Time) {
	for visit := 0; time.Now().Before(closes); visit++ {
		s.id = 1 + s.r.Int64N(shopCustomers)
		s.name = fmt.Sprint("user", s.id)
		ctx := preload.ContextWithSession(context.Background(), fmt.Sprint("visit ", s.id, " ", visit))
		s.db = s.world.db.WithContext(ctx)
		s.last = ""
		leaves := time.Now().Add(exponential(s.r, stayMean, stayMost))
		page := "INIT"
		for time.Now().Before(leaves) && time.Now().Before(closes) {
			page = s.draw(t[page])
			begun := time.Now()
			if !s.page(page) {
				s.fault(fmt.Errorf("there is no page %q", page))
				return
			}
			took := time.Since(begun)
			s.mu.Lock()
			s.pages = append(s.pages, took)
			s.kinds[page] = append(s.kinds[page], took)
			s.mu.Unlock()
			time.Sleep(exponential(s.r, thinkMean, thinkMost))
		}
	}
}

func (s *shopper) draw(to map[string]float64) string {
	left := s.r.Float64()
	last := ""
	for _, page := range pageNames {
		if p := to[page]; p > 0 {
			if last = page; left < p {
				return page
			}
			left -= p
		}
	}
	return last
}

var pageNames = []string{"ADMC", "ADMR", "BESS", "BUYC", "BUYR", "CREG", "HOME", "NEWP", "ORDD", "ORDI", "PROD", "SREQ", "SRES", "SHOP"}

// readTransitions reads the probabilities of a mix, by from and to.
func readTransitions(path, mix string) (map[string]map[string]float64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t := map[string]map[string]float64{}
	for _, row := range rows[1:] {
		if row[0] != mix {
			continue
		}
		t[row[1]] = map[string]float64{}
		for i, text := range row[2:] {
			p, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %s to %s: %w", path, row[1], rows[0][i+2], err)
			}
			t[row[1]][rows[0][i+2]] = p
		}
	}
	if len(t) == 0 {
		return nil, fmt.Errorf("%s has no mix %q", path, mix)
	}
	return t, nil
}

func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(p*float64(len(all))))]
}

// openShop plays a mix, and looks at it in the end.
func openShop(t *testing.T, transitions map[string]map[string]float64, seed uint64, took time.Duration, how string, look func(*shop)) {
	t.Helper()
	inTime(t, func(t *testing.T) {
		opts := []preload.Option{preload.WithTTL(time.Hour)}
		if how != "full" {
			opts = append(opts, preload.WithoutWorker())
		}
		s := &shop{world: newWorld(t, 100, fillShop, opts...), writing: make(chan struct{}, 1), kinds: map[string][]time.Duration{}, asked: map[string]bool{}}
		if how == "next access" {
			s.markov = &markov{next: map[string]map[string]int{}, queries: map[string]func(*gorm.DB, bool) error{}}
		}
		s.probe.Before(func(c dbtest.Call) error {
			if c.Op == "query" || c.Op == "exec" {
				if loaded, ok := c.Context.Value(onDemand{}).(*bool); ok {
					*loaded = true
				}
				time.Sleep(took)
			}
			return nil
		})
		before := s.probe.Queries()
		closes := time.Now().Add(*shopFor)
		var shoppers sync.WaitGroup
		for i := range uint64(shopShoppers) {
			one := &shopper{shop: s, r: rand.New(rand.NewPCG(seed, i))}
			shoppers.Go(func() {
				time.Sleep(exponential(one.r, thinkMean, thinkMost))
				one.walk(transitions, closes)
			})
		}
		shoppers.Wait()
		if s.markov != nil {
			s.markov.running.Wait()
		}
		if len(s.wrong) > 0 {
			t.Errorf("%s: %s", how, strings.Join(s.wrong, "; "))
		}
		s.loads = float64(s.probe.Queries() - before)
		look(s)
		if err := s.plugin.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestShop(t *testing.T) {
	rows := [][]string{{"mix", "seed", "query", "", "pages", "p50", "p95", "queries a page", "first-time reads", "of them there", "by association", "used", "level"}}
	for _, mix := range strings.Split(*shopMixes, ",") {
		transitions, err := readTransitions(*transitionsFile, mix)
		if err != nil {
			if os.IsNotExist(err) && *transitionsFile == defaultTransitions {
				t.Skipf("transitions: there is no %s; name one with -transitions", defaultTransitions)
			}
			t.Fatal(err)
		}
		for seed := range *shopSeeds {
			for _, ms := range numbers(t, "query", *shopLatencies) {
				for _, how := range []string{"off", "next access", "full"} {
					openShop(t, transitions, uint64(seed+1), time.Duration(ms)*time.Millisecond, how, func(s *shop) {
						p := s.plugin.Stats().Prediction
						all := float64(p.Useful + p.Late + p.Wasted)
						rows = append(rows, []string{
							mix, strconv.Itoa(seed + 1), fmt.Sprint(ms, " ms"), how, strconv.Itoa(len(s.pages)),
							fmt.Sprint(percentile(s.pages, .5).Round(100 * time.Microsecond)), fmt.Sprint(percentile(s.pages, .95).Round(100 * time.Microsecond)),
							fmt.Sprintf("%.2f", share(s.loads, float64(len(s.pages)))),
							strconv.Itoa(s.fresh), fmt.Sprintf("%.3f", share(float64(s.ahead), float64(s.fresh))),
							fmt.Sprintf("%.0f", all), fmt.Sprintf("%.3f", share(float64(p.Useful+p.Late), all)), strconv.Itoa(p.Level),
						})
						if how == "full" {
							s.check(t)
						}
					})
				}
			}
		}
	}
	t.Logf("\n\n%s", table(rows))
}

// check looks at what was learned about queries that nobody has asked before: what is true by
// construction, and nothing else.
func (s *shop) check(t *testing.T) {
	t.Helper()
	if len(s.kinds["PROD"])+len(s.kinds["HOME"])+len(s.kinds["SREQ"]) < 50 {
		return
	}
	one := &shopper{shop: s, db: s.world.db}
	checked := 0
	for id := int64(100_000); id < 100_000+shopItems && checked < 20; id++ {
		if s.asked[fmt.Sprint("item ", id)] {
			continue
		}
		checked++
		i := one.item(id)
		var want []string
		for _, id := range []int64{i.Related1, i.Related2, i.Related3, i.Related4, i.Related5} {
			want = append(want, s.key(t, &item{}, "id = ?", id))
		}
		s.follows(t, fmt.Sprint("item ", id), s.key(t, &item{}, "id = ?", id), want, s.key(t, &author{}, "id = ?", i.AuthorID))
	}
	t.Logf("looked at %d items that nobody had asked for", checked)
	if len(s.kinds["ORDD"]) < 10 {
		return
	}
	checked = 0
	for id := int64(1); id <= shopCustomers && checked < 20; id++ {
		name := fmt.Sprint("user", id)
		if s.asked["uname "+name] || s.asked[fmt.Sprint("last order ", id)] {
			continue
		}
		checked++
		one.customerByName(name)
		o := one.lastOrder(id)
		greeted := s.key(t, &customer{}, "id = ?", id) // most pages that come next greet the customer
		s.follows(t, name, s.key(t, &customer{}, "uname = ?", name), []string{s.orderKey(t, id)}, greeted)
		s.follows(t, fmt.Sprint("last order of ", name), s.orderKey(t, id), []string{s.linesKey(t, o.ID)}, greeted)
	}
	t.Logf("looked at the orders of %d customers that nobody had asked for", checked)
}

// follows reports what is missing in what is known to follow a key, and what is there without
// reason.
func (s *shop) follows(t *testing.T, what, key string, want []string, also ...string) {
	t.Helper()
	got := s.plugin.RelatedKeys(key)
	for _, one := range want {
		if !slices.Contains(got, one) {
			t.Errorf("after %s: %s is missing in %q", what, one, got)
		}
	}
	for _, one := range got {
		if !slices.Contains(want, one) && !slices.Contains(also, one) {
			t.Errorf("after %s: %s is not true", what, one)
		}
	}
}

func (s *shop) explained(t *testing.T, query func(db *gorm.DB) *gorm.DB) string {
	t.Helper()
	e, err := s.plugin.Explain(query)
	if err != nil || e.Key == "" {
		t.Fatalf("no key: %v, %v", e, err)
	}
	return e.Key
}

func (s *shop) key(t *testing.T, into any, where string, arg any) string {
	return s.explained(t, func(db *gorm.DB) *gorm.DB { return db.Where(where, arg).Take(into) })
}

func (s *shop) orderKey(t *testing.T, id int64) string {
	return s.explained(t, func(db *gorm.DB) *gorm.DB { return db.Where("customer_id = ?", id).Order("id DESC").Take(&order{}) })
}

func (s *shop) linesKey(t *testing.T, id int64) string {
	return s.explained(t, func(db *gorm.DB) *gorm.DB { return db.Where("order_id = ?", id).Order("id").Find(&[]orderLine{}) })
}
