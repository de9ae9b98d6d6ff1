package preload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

// The models of a shop whose pages are learned from.

type soughtUser struct {
	_       struct{} `preload:"ttl:1h"`
	ID      int64
	Login   string `gorm:"index"`
	Name    string
	Mail    string
	City    string
	Country string
	Age     int
	Visits  int64
	Balance float64
	Active  bool
	Since   time.Time
}

type soughtOrder struct {
	_            struct{} `preload:"ttl:1h"`
	ID           int64
	SoughtUserID int64 `gorm:"index"`
	SoughtItemID int64
	State        string
	Address      string
	Note         string
	Total        float64
	At           time.Time
}

type soughtItem struct {
	_      struct{} `preload:"ttl:1h"`
	ID     int64
	Title  string
	Maker  string
	Text   string
	Price  float64
	Stock  int64
	Weight int64
}

const (
	soughtUsers = 500
	soughtEach  = 4 // orders of a user
	soughtItems = 2_000
)

// sought is a database of a shop, and the entries of all that its pages ask for.
type sought struct {
	db     *gorm.DB
	plugin *Plugin
	pages  [][]*cache.Entry // what a page of a user asks for, one after the other
	items  []*cache.Entry
}

func setupSought(tb testing.TB, opts ...Option) *sought {
	tb.Helper()
	d := dbtest.SQLite(tb)
	s := &sought{db: d.Open(tb), plugin: New(append([]Option{WithLogger(slog.New(slog.DiscardHandler))}, opts...)...)}
	if err := errors.Join(s.db.AutoMigrate(&soughtUser{}, &soughtOrder{}, &soughtItem{}), s.db.Use(s.plugin)); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.plugin.Close() })
	var (
		users  []soughtUser
		orders []soughtOrder
		items  []soughtItem
		r      = rand.New(rand.NewPCG(1, 2))
	)
	for i := range int64(soughtItems) {
		items = append(items, soughtItem{ID: 1e6 + i, Title: fmt.Sprint("title ", i), Maker: "somebody", Text: "a text of a few words", Price: float64(i), Stock: i % 7, Weight: i % 50})
	}
	for i := range int64(soughtUsers) {
		users = append(users, soughtUser{ID: 1 + i, Login: fmt.Sprint("user", i), Name: fmt.Sprint("name ", i), Mail: "m@example.org", City: "Ulm", Country: "de", Age: 30, Since: time.Unix(i, 0)})
		for n := range int64(soughtEach) {
			orders = append(orders, soughtOrder{ID: 1e5 + soughtEach*i + n, SoughtUserID: 1 + i, SoughtItemID: 1e6 + r.Int64N(soughtItems), State: "sent", Address: "a street", Total: 1.5, At: time.Unix(i, 0)})
		}
	}
	if err := errors.Join(s.db.CreateInBatches(&users, 50).Error, s.db.CreateInBatches(&orders, 50).Error, s.db.CreateInBatches(&items, 50).Error); err != nil {
		tb.Fatal(err)
	}
	for i := range int64(soughtItems) {
		s.items = append(s.items, s.entry(tb, func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", 1e6+i).Take(&soughtItem{}) }))
	}
	for i := range int64(soughtUsers) {
		page := []*cache.Entry{
			s.entry(tb, func(tx *gorm.DB) *gorm.DB { return tx.Where("login = ?", users[i].Login).Take(&soughtUser{}) }),
			s.entry(tb, func(tx *gorm.DB) *gorm.DB {
				return tx.Where("sought_user_id = ?", 1+i).Order("id").Find(&[]soughtOrder{})
			}),
		}
		for n := range int64(soughtEach) {
			page = append(page, s.items[orders[soughtEach*i+n].SoughtItemID-1e6])
		}
		s.pages = append(s.pages, page)
	}
	return s
}

// entry asks a query and returns the entry of its answer.
func (s *sought) entry(tb testing.TB, query func(*gorm.DB) *gorm.DB) *cache.Entry {
	tb.Helper()
	if err := query(s.db.Session(&gorm.Session{NewDB: true})).Error; err != nil {
		tb.Fatal(err)
	}
	explained, err := s.plugin.Explain(query)
	if err != nil {
		tb.Fatal(err)
	}
	e := s.plugin.cache.Find(s.plugin.own.StoreKey(explained.Key), s.plugin.config.now())
	if e == nil {
		tb.Fatalf("there is no answer of %s", explained.Key)
	}
	return e
}

// learns has the learner learn from all that was noted.
func (s *sought) learns() { s.plugin.learner.Related("") }

// BenchmarkLearning measures what noting accesses and learning from them takes, without the reads:
// the pages of users, for which there are rules; items in orders that come again and again, for
// which there are none; and items in no order.
func BenchmarkLearning(b *testing.B) {
	for _, missed := range []int{0, 10, 100} {
		s := setupSought(b)
		r := rand.New(rand.NewPCG(3, 4))
		sessions := make([]context.Context, 512)
		for i := range sessions {
			sessions[i] = ContextWithSession(context.Background(), fmt.Sprint(i))
		}
		for _, kind := range []struct {
			name string
			next func() []*cache.Entry
		}{
			{"pages", func() []*cache.Entry { return s.pages[r.IntN(len(s.pages))] }},
			{"paths", func() []*cache.Entry { at := 10 * r.IntN(len(s.items)/10); return s.items[at : at+10] }},
			{"chance", func() []*cache.Entry { at := r.IntN(len(s.items)); return s.items[at : at+1] }},
		} {
			b.Run(fmt.Sprintf("%s/missed %d of 100", kind.name, missed), func(b *testing.B) {
				b.ReportAllocs()
				path, at, noted := kind.next(), 0, 0
				ctx, took := sessions[0], processor()
				for i := 0; b.Loop(); i++ {
					if at == len(path) {
						path, at = kind.next(), 0
						if r.IntN(4) == 0 {
							ctx = sessions[i%len(sessions)]
						}
					}
					kind := association.Hit
					if r.IntN(100) < missed {
						kind = association.Miss
					}
					s.plugin.accesses.note(ctx, path[at], s.plugin.config.now(), kind)
					at++
					if noted++; noted == 64 {
						s.learns()
						noted = 0
					}
				}
				s.learns()
				b.ReportMetric(float64(processor()-took)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkLearningAtARate notes 100,000 accesses a second, a quarter of which were not in memory,
// and tells how many were lost, and what share of one processor that and learning from them took.
func BenchmarkLearningAtARate(b *testing.B) {
	const writers, batch = 4, 25
	for _, each := range []struct {
		name string
		path int // accesses of a session
	}{{"short sessions", 12}, {"long sessions", 1 << 30}} {
		b.Run(each.name, func(b *testing.B) {
			s := setupSought(b)
			var done sync.WaitGroup
			began, took := time.Now(), processor()
			for w := range uint64(writers) {
				done.Go(func() {
					r := rand.New(rand.NewPCG(5, w))
					ctx := context.Background()
					for i := 0; i < b.N/writers; i++ {
						if i%each.path == 0 {
							ctx = ContextWithSession(context.Background(), fmt.Sprint(w, " ", i))
						}
						page := s.pages[r.IntN(len(s.pages))]
						kind := association.Hit
						if r.IntN(4) == 0 {
							kind = association.Miss
						}
						s.plugin.accesses.note(ctx, page[i%len(page)], s.plugin.config.now(), kind)
						if i%batch == 0 {
							time.Sleep(time.Until(began.Add(time.Duration(i) * writers * 10 * time.Microsecond)))
						}
					}
				})
			}
			done.Wait()
			passed := time.Since(began)
			s.learns()
			prediction := s.plugin.Stats().Prediction
			b.ReportMetric(float64(b.N)/passed.Seconds(), "accesses/s")
			b.ReportMetric(float64(processor()-took)/float64(passed)*100, "cpu-%")
			b.ReportMetric(float64(processor()-took)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(prediction.Learned), "learned")
			b.ReportMetric(float64(prediction.Lost), "lost")
		})
	}
}

// BenchmarkLearningWithReads compares, in turns, reads through a plugin that learns with reads
// through one that does not: pages of users, most of which are in memory.
func BenchmarkLearningWithReads(b *testing.B) {
	const turn = 200 // pages
	with, without := setupSought(b, WithMaxEntries(1_500)), setupSought(b, WithMaxEntries(1_500), WithoutWorker())
	r := rand.New(rand.NewPCG(6, 7))
	read := func(s *sought, pages []int64) time.Duration {
		took := processor()
		for _, user := range pages {
			db := s.db.WithContext(ContextWithSession(context.Background(), fmt.Sprint(user)))
			var one soughtUser
			var orders []soughtOrder
			err := errors.Join(db.Where("login = ?", fmt.Sprint("user", user)).Take(&one).Error, db.Where("sought_user_id = ?", one.ID).Order("id").Find(&orders).Error)
			for _, order := range orders {
				err = errors.Join(err, db.Where("id = ?", order.SoughtItemID).Take(&soughtItem{}).Error)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		if s == with {
			s.learns()
		}
		return processor() - took
	}
	var all [2]time.Duration
	reads := 0
	for b.Loop() {
		pages := make([]int64, turn)
		for i := range pages {
			pages[i] = int64(min(r.IntN(soughtUsers), r.IntN(soughtUsers), r.IntN(soughtUsers)))
		}
		if reads%2 == 0 {
			all[0] += read(with, pages)
			all[1] += read(without, pages)
		} else {
			all[1] += read(without, pages)
			all[0] += read(with, pages)
		}
		reads += turn
	}
	each := float64(reads * (2 + soughtEach))
	b.ReportMetric(float64(all[0])/each, "cpu-ns/read")
	b.ReportMetric(float64(all[1])/each, "cpu-ns/read-unlearned")
	b.ReportMetric(float64(with.plugin.Stats().Prediction.Learned)/each, "learned/read")
	b.ReportMetric(float64(with.plugin.Stats().PreloadCount)/each, "loads/read")
	b.ReportMetric(float64(with.plugin.Stats().Hits)/each, "hits/read")
	b.ReportMetric(float64(without.plugin.Stats().Hits)/each, "hits/read-unlearned")
}
