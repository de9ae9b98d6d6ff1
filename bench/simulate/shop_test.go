package simulate

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/tpcw"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

var (
	transitionsFile = flag.String("transitions", "", "the file of TPC-W's page transitions: mix,from,a probability for each page; those of a shop that is made up where there is none")
	shopFor         = flag.Duration("shop", 10*time.Minute, "how long, in time of the simulation, the shop is open")
	shopMixes       = flag.String("mixes", "shopping", "the mixes of the file that are played, with commas between them")
	shopSeeds       = flag.Int("seeds", 1, "how many seeds each is played with")
	shopLatencies   = flag.String("query", "2", "how many milliseconds a query takes; several, with commas between them")
)

const shopShoppers = 30

// shopper is one who walks through the shop.
type shopper struct {
	*shop
	*tpcw.Shopper
	db   *gorm.DB // in the session
	last string   // what was asked before
}

// newShopper returns a shopper who has not entered the shop.
func (s *shop) newShopper(seed, number uint64) *shopper {
	one := &shopper{shop: s, db: s.world.db}
	one.Shopper = &tpcw.Shopper{Size: tpcw.Usual, R: rand.New(rand.NewPCG(seed, number)), Ask: one.ask, Write: one.write}
	return one
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
	time.Sleep(tpcw.Rendering)
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

// walk goes from page to page, as one visitor after the other, until the shop closes.
func (s *shopper) walk(t tpcw.Transitions, closes time.Time) {
	for visit := 0; time.Now().Before(closes); visit++ {
		ctx := preload.ContextWithSession(context.Background(), fmt.Sprint("visit ", s.Enter(), " ", visit))
		s.db = s.world.db.WithContext(ctx)
		s.last = ""
		leaves := time.Now().Add(tpcw.Stay(s.R))
		page := tpcw.Entrance
		for time.Now().Before(leaves) && time.Now().Before(closes) {
			page = t.Next(page, s.R)
			begun := time.Now()
			if !s.Page(page) {
				s.fault(fmt.Errorf("there is no page %q", page))
				return
			}
			took := time.Since(begun)
			s.mu.Lock()
			s.pages = append(s.pages, took)
			s.kinds[page] = append(s.kinds[page], took)
			s.mu.Unlock()
			time.Sleep(tpcw.Think(s.R))
		}
	}
}

func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(p*float64(len(all))))]
}

// openShop plays a mix, and looks at it in the end.
func openShop(t *testing.T, transitions tpcw.Transitions, seed uint64, took time.Duration, how string, look func(*shop)) {
	t.Helper()
	inTime(t, func(t *testing.T) {
		opts := []preload.Option{preload.WithTTL(time.Hour)}
		if how != "full" {
			opts = append(opts, preload.WithoutWorker())
		}
		s := &shop{world: newWorld(t, 100, func(db *gorm.DB) error { return tpcw.Fill(db, tpcw.Usual) }, opts...), writing: make(chan struct{}, 1), kinds: map[string][]time.Duration{}, asked: map[string]bool{}}
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
			one := s.newShopper(seed, i)
			shoppers.Go(func() {
				time.Sleep(tpcw.Think(one.R))
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
		from, transitions, err := tpcw.OpenTransitions(*transitionsFile, mix)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range *shopSeeds {
			for _, ms := range numbers(t, "query", *shopLatencies) {
				for _, how := range []string{"off", "next access", "full"} {
					openShop(t, transitions, uint64(seed+1), time.Duration(ms)*time.Millisecond, how, func(s *shop) {
						p := s.plugin.Stats().Prediction
						all := float64(p.Useful + p.Late + p.Wasted)
						rows = append(rows, []string{
							from, strconv.Itoa(seed + 1), fmt.Sprint(ms, " ms"), how, strconv.Itoa(len(s.pages)),
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
	one := s.newShopper(0, 0)
	checked := 0
	for id := int64(tpcw.FirstItem); id < tpcw.FirstItem+int64(tpcw.Usual.Items) && checked < 20; id++ {
		if s.asked[fmt.Sprint("item ", id)] {
			continue
		}
		checked++
		i := one.Item(id)
		var want []string
		for _, id := range []int64{i.Related1, i.Related2, i.Related3, i.Related4, i.Related5} {
			want = append(want, s.key(t, &tpcw.Item{}, "id = ?", id))
		}
		s.follows(t, fmt.Sprint("item ", id), s.key(t, &tpcw.Item{}, "id = ?", id), want, s.key(t, &tpcw.Author{}, "id = ?", i.AuthorID))
	}
	t.Logf("looked at %d items that nobody had asked for", checked)
	if len(s.kinds["ORDD"]) < 10 {
		return
	}
	checked = 0
	for id := int64(tpcw.FirstCustomer); id <= int64(tpcw.Usual.Customers) && checked < 20; id++ {
		name := tpcw.Name(id)
		if s.asked["uname "+name] || s.asked[fmt.Sprint("last order ", id)] {
			continue
		}
		checked++
		one.CustomerByName(name)
		o := one.LastOrder(id)
		greeted := s.key(t, &tpcw.Customer{}, "id = ?", id) // most pages that come next greet the customer
		s.follows(t, name, s.key(t, &tpcw.Customer{}, "uname = ?", name), []string{s.orderKey(t, id)}, greeted)
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
	return s.explained(t, func(db *gorm.DB) *gorm.DB {
		return db.Where("customer_id = ?", id).Order("id DESC").Take(&tpcw.Order{})
	})
}

func (s *shop) linesKey(t *testing.T, id int64) string {
	return s.explained(t, func(db *gorm.DB) *gorm.DB { return db.Where("order_id = ?", id).Order("id").Find(&[]tpcw.OrderLine{}) })
}
