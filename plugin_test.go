package preload_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// This is where to begin with the tests: one for each promise of the package, in the form in which
// it is made. The hard cases of a promise are in the files that are named after it; those where all
// of them meet are in differential, versions, survival and chaos.

// promised is a model whose answers are kept.
type promised struct {
	_    struct{} `preload:"ttl:1m"`
	ID   int
	Name string
	Tags []string `gorm:"serializer:json"`
}

// bundle is all that a test needs: a handle with the plugin and one without on the same database,
// the clock that the plugin goes by, and the probe that counts what reaches the database through
// the former.
type bundle struct {
	db, plain *gorm.DB
	plugin    *preload.Plugin
	clock     *dbtest.Clock
	probe     *dbtest.Probe
	log       *bytes.Buffer
}

func promise(t *testing.T, opts ...preload.Option) *bundle {
	t.Helper()
	d := dbtest.SQLite(t)
	b := &bundle{db: d.Open(t), plain: d.Plain(t), clock: dbtest.NewClock(), probe: d.Probe, log: &bytes.Buffer{}}
	b.plugin = preload.New(append([]preload.Option{
		preload.WithClock(b.clock), preload.WithoutWorker(), preload.WithLogger(slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelWarn}))),
	}, opts...)...)
	worldtest.Must(t, b.db.Use(b.plugin))
	t.Cleanup(func() { _ = b.plugin.Close() })
	worldtest.Must(t, b.plain.AutoMigrate(&promised{}))
	worldtest.Must(t, b.plain.Create(&[]promised{{ID: 1, Name: "ann", Tags: []string{"a"}}, {ID: 2, Name: "bob"}}).Error)
	return b
}

// find reads a row, and tells how many queries that took.
func (b *bundle) find(t *testing.T, db *gorm.DB, id int) (p promised, queries int64) {
	t.Helper()
	before := b.probe.Queries()
	if err := db.Find(&p, "id = ?", id).Error; err != nil {
		t.Fatal(err)
	}
	return p, b.probe.Queries() - before
}

func TestTransparent(t *testing.T) {
	t.Parallel()
	b := promise(t)
	for _, turn := range []string{"from the database", "from memory"} {
		for name, ask := range map[string]func(*gorm.DB) (any, *gorm.DB){
			"First": func(db *gorm.DB) (any, *gorm.DB) { var p promised; return &p, db.First(&p, 1) },
			"none":  func(db *gorm.DB) (any, *gorm.DB) { var p promised; return &p, db.First(&p, 99) },
			"Find":  func(db *gorm.DB) (any, *gorm.DB) { var ps []promised; return &ps, db.Order("name desc").Find(&ps) },
			"Count": func(db *gorm.DB) (any, *gorm.DB) { var n int64; return &n, db.Model(&promised{}).Count(&n) },
		} {
			got, with := ask(b.db)
			want, without := ask(b.plain)
			if !reflect.DeepEqual(got, want) || with.RowsAffected != without.RowsAffected || !errors.Is(with.Error, without.Error) {
				t.Errorf("%s %s: got %+v, %d rows, %v; plain GORM %+v, %d rows, %v", name, turn, got, with.RowsAffected, with.Error, want, without.RowsAffected, without.Error)
			}
		}
	}
	if b.plugin.Stats().Hits != 4 {
		t.Errorf("%d hits, want that the second turn is of nothing else", b.plugin.Stats().Hits)
	}
}

func TestCoherent(t *testing.T) {
	t.Parallel()
	b := promise(t)
	for n, write := range []func() error{
		func() error { return b.db.Model(&promised{ID: 1}).Update("name", "0").Error },
		func() error { return b.db.Exec("UPDATE promiseds SET name = ? WHERE id = 1", "1").Error },
		func() error {
			return b.db.Transaction(func(tx *gorm.DB) error { return tx.Save(&promised{ID: 1, Name: "2"}).Error })
		},
	} {
		b.find(t, b.db, 1)
		b.find(t, b.db, 2)
		worldtest.Must(t, write())
		if p, queries := b.find(t, b.db, 1); p.Name != fmt.Sprint(n) || queries != 1 {
			t.Errorf("after write %d: name %q with %d queries", n, p.Name, queries)
		}
		if _, queries := b.find(t, b.db, 2); queries != 0 {
			t.Errorf("after write %d: what it did not touch takes %d queries", n, queries)
		}
	}
}

func TestIsolated(t *testing.T) {
	t.Parallel()
	b := promise(t)
	b.find(t, b.db, 1)
	undone := errors.New("undone")
	err := b.db.Transaction(func(tx *gorm.DB) error {
		worldtest.Must(t, tx.Model(&promised{ID: 1}).Update("name", "new").Error)
		if p, queries := b.find(t, tx, 1); p.Name != "new" || queries != 1 {
			t.Errorf("within: name %q with %d queries, want what it wrote, from the database", p.Name, queries)
		}
		if p, queries := b.find(t, b.db, 1); p.Name != "ann" || queries != 0 {
			t.Errorf("beside it: name %q with %d queries, want what was there before, from memory", p.Name, queries)
		}
		return undone
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	if p, queries := b.find(t, b.db, 1); p.Name != "ann" || queries != 0 {
		t.Errorf("after the rollback: name %q with %d queries", p.Name, queries)
	}
}

// brokenStore is a Store that panics.
type brokenStore struct{}

func (brokenStore) Get(string) (any, bool) { panic("broken") }
func (brokenStore) Set(string, any)        { panic("broken") }
func (brokenStore) Delete(string)          { panic("broken") }

// keepingStore is a Store that panics where it is to forget something.
type keepingStore struct{ preload.Store }

func (keepingStore) Delete(string) { panic("broken") }

type brokenScorer struct{}

func (brokenScorer) Weigh(float64, int64, time.Time) float64            { panic("broken") }
func (brokenScorer) Score(float64, int64, time.Time, time.Time) float64 { panic("broken") }

type brokenClock struct{}

func (brokenClock) Now() time.Time { panic("broken") }

// brokenHandler is the handler of a log.
type brokenHandler struct{ slog.Handler }

func (brokenHandler) Enabled(context.Context, slog.Level) bool  { panic("broken") }
func (brokenHandler) Handle(context.Context, slog.Record) error { panic("broken") }

func TestFailsOpen(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		broken  []preload.Option
		queries int64 // that a read takes the second time
		told    bool
	}{
		"a store":                 {[]preload.Option{preload.WithStore(brokenStore{})}, 1, true},
		"a store forgets nothing": {[]preload.Option{preload.WithStore(keepingStore{preload.NewStore()})}, 0, true},
		"a scorer":                {[]preload.Option{preload.WithScorer(brokenScorer{})}, 0, true},
		"a partition":             {[]preload.Option{preload.WithPartition(func(context.Context) string { panic("broken") })}, 1, true},
		"a clock":                 {[]preload.Option{preload.WithClock(brokenClock{})}, 0, false},
		"a log":                   {[]preload.Option{preload.WithStore(brokenStore{}), preload.WithLogger(slog.New(brokenHandler{}))}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := promise(t, append(test.broken, preload.WithStoreWait(time.Minute))...)
			for n, want := range []int64{1, test.queries} {
				if p, queries := b.find(t, b.db, 1); p.Name != "ann" || queries != want {
					t.Errorf("read %d: name %q with %d queries, want ann with %d", n, p.Name, queries, want)
				}
			}
			worldtest.Must(t, b.db.Model(&promised{ID: 1}).Update("name", "new").Error)
			if p, _ := b.find(t, b.db, 1); p.Name != "new" {
				t.Errorf("name %q after the write", p.Name)
			}
			worldtest.Must(t, b.db.Transaction(func(tx *gorm.DB) error {
				return tx.Model(&promised{ID: 1}).Update("name", "newer").Error
			}))
			if p, _ := b.find(t, b.db, 1); p.Name != "newer" {
				t.Errorf("name %q after the commit", p.Name)
			}
			if test.told != (b.log.Len() > 0) {
				t.Errorf("told is %q", b.log)
			}
		})
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	b := promise(t, preload.WithMaxEntries(10))
	for id := range 100 {
		b.find(t, b.db, id)
	}
	if s := b.plugin.Stats(); s.Entries > 10 || s.Evicted < 90 {
		t.Errorf("%d entries, %d evicted, want 10 at most", s.Entries, s.Evicted)
	}
	b.find(t, b.db, 1)
	b.clock.Advance(time.Minute + time.Second)
	if _, queries := b.find(t, b.db, 1); queries != 1 {
		t.Error("an answer outlives its TTL")
	}
	worldtest.Must(t, b.plugin.Close())
	if _, queries := b.find(t, b.db, 1); queries != 1 {
		t.Error("a closed plugin answers")
	}
}

func TestResultsArePrivate(t *testing.T) {
	t.Parallel()
	b := promise(t)
	prepared, err := preload.Prepare[promised](b.db, func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", preload.Arg(0)) })
	worldtest.Must(t, err)
	for name, ask := range map[string]func() (promised, error){
		"Find": func() (p promised, err error) {
			err = b.db.Find(&p, "id = ?", 1).Error
			return p, err
		},
		"a list": func() (promised, error) {
			var all []promised
			err := b.db.Order("id").Find(&all).Error
			return all[0], err
		},
		"prepared": func() (promised, error) { return prepared.First(t.Context(), 1) },
		"a prepared list": func() (promised, error) {
			all, err := prepared.Find(t.Context(), 1)
			return all[0], err
		},
		"own data": func() (promised, error) {
			return preload.Load(t.Context(), b.plugin, "own", func(context.Context) (promised, error) {
				return promised{Tags: []string{"a"}}, nil
			})
		},
	} {
		for turn := range 5 {
			before := b.probe.Queries()
			p, err := ask()
			worldtest.Must(t, err)
			if queries := b.probe.Queries() - before; p.Tags[0] != "a" || turn > 0 && queries != 0 {
				t.Errorf("%s, turn %d: tags %q with %d queries: another reader's change shows", name, turn, p.Tags, queries)
			}
			p.Tags[0] = "changed"
		}
	}
}

func TestCheap(t *testing.T) {
	t.Parallel()
	b := promise(t)
	var readers sync.WaitGroup
	before := b.probe.Queries()
	for range 16 {
		readers.Go(func() {
			var p promised
			for range 100 {
				_ = b.db.Find(&p, "id = ?", 1).Error
				p = promised{}
			}
		})
	}
	readers.Wait()
	if queries := b.probe.Queries() - before; queries > 16 {
		t.Errorf("%d queries for 1,600 reads of one row by 16 readers", queries)
	}
}

func TestLoadsAhead(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	db := d.Open(t)
	p := preload.New() // as an application has it
	worldtest.Must(t, db.Use(p))
	defer p.Close()
	worldtest.Must(t, db.AutoMigrate(&promised{}))
	worldtest.Must(t, db.Create(&promised{ID: 1}).Error)
	for n, deadline := 0, time.Now().Add(time.Minute); p.Stats().PreloadHits == 0; n++ {
		for range 10 {
			var one promised
			worldtest.Must(t, db.Find(&one, "id = ?", 1).Error)
			time.Sleep(time.Millisecond)
		}
		worldtest.Must(t, db.Model(&promised{ID: 1}).Update("name", fmt.Sprint(n)).Error)
		time.Sleep(20 * time.Millisecond) // what is read so often is loaded again by now
		if time.Now().After(deadline) {
			t.Fatalf("what is read again and again is not loaded ahead: %+v", p.Stats())
		}
	}
}

func TestPlainToSee(t *testing.T) {
	t.Parallel()
	b := promise(t)
	b.find(t, b.db, 1)
	b.find(t, b.db, 1)
	b.find(t, b.db.Clauses(preload.Bypass), 1)
	s := b.plugin.Stats()
	if s.Hits != 1 || s.Misses != 1 || s.BypassReasons[preload.ReasonAsked] != 1 {
		t.Errorf("told are %d hits, %d misses, bypassed %v", s.Hits, s.Misses, s.BypassReasons)
	}
	e, err := b.plugin.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Find(&promised{}, "id = ?", 1) })
	if err != nil || !e.Cacheable || !e.Stored {
		t.Errorf("explained as %v, %v", e, err)
	}
}
