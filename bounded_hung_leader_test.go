package preload_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type hungRow struct {
	_    struct{} `preload:""`
	ID   int
	Name string
}

func newHungPlugin(opts ...preload.Option) *preload.Plugin {
	return preload.New(append(opts, preload.WithoutWorker(), preload.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))...)
}

// A reader without a deadline whose connection is half open stops nobody else: others who ask for
// the same get their answers well within their own deadlines, as with plain GORM.
func TestAHalfOpenConnectionStopsItsOwnReaderOnly(t *testing.T) {
	const (
		readers  = 20
		deadline = 500 * time.Millisecond
		// longer is how much longer than with plain GORM the slowest of them may take.
		longer = 400 * time.Millisecond
	)
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		behind, proxy := d.Behind(t)
		direct := d.Plain(t)
		if err := direct.AutoMigrate(&hungRow{}); err != nil {
			t.Fatal(err)
		}
		if err := direct.Create(&hungRow{ID: 1, Name: "a"}).Error; err != nil {
			t.Fatal(err)
		}
		run := func(name string, plugin *preload.Plugin) (answered int, slowest time.Duration) {
			db := behind.Open(t)
			if plugin != nil {
				if err := db.Use(plugin); err != nil {
					t.Fatal(err)
				}
				defer plugin.Close()
			}
			hungWarm(t, db, readers+2)
			hung := make(chan struct{})
			var once sync.Once
			proxy.Rule(func(p dbtest.Packet) (v dbtest.Verdict) {
				if v = dbtest.Pass; p.Has("hung_rows") {
					once.Do(func() { close(hung); v = dbtest.Silence })
				}
				return v
			})
			led := make(chan error, 1)
			go func() { led <- db.First(&hungRow{}, 1).Error }()
			<-hung
			var (
				all   sync.WaitGroup
				mu    sync.Mutex
				times []time.Duration
			)
			for range readers {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					defer cancel()
					begun := time.Now()
					var row hungRow
					if err := db.WithContext(ctx).First(&row, 1).Error; err != nil || row.Name != "a" {
						return
					}
					mu.Lock()
					defer mu.Unlock()
					times = append(times, time.Since(begun))
				})
			}
			all.Wait()
			select {
			case err := <-led:
				t.Errorf("%s: the first reader is not stopped, the test tests nothing: %v", name, err)
			default:
			}
			proxy.Rule(nil)
			proxy.CutAll()
			<-led
			slices.Sort(times)
			if len(times) == 0 {
				t.Logf("%s: 0 of %d answered", name, readers)
				return 0, 0
			}
			t.Logf("%s: %d of %d answered, in %v to %v", name, len(times), readers, times[0], times[len(times)-1])
			return len(times), times[len(times)-1]
		}
		plain, without := run("plain GORM", nil)
		plugin, with := run("with the plugin", newHungPlugin())
		if plugin < plain || with > without+longer {
			t.Errorf("%d of %d readers have an answer, the slowest after %v; with plain GORM %d, the slowest after %v",
				plugin, readers, with, plain, without)
		}
	})
}

// hungWarm opens connections, so that what is measured does not hold what opening them takes.
func hungWarm(t *testing.T, db *gorm.DB, n int) {
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxIdleConns(n)
	for range n {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
}

// When the reader for whom others wait is cancelled, one of them runs the next query, and not all
// of them.
func TestACancelledReaderLeavesOneQueryToThoseWhoWait(t *testing.T) {
	const waiters = 500
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		direct := d.Plain(t)
		if err := direct.AutoMigrate(&hungRow{}); err != nil {
			t.Fatal(err)
		}
		if err := direct.Create(&hungRow{ID: 1, Name: "a"}).Error; err != nil {
			t.Fatal(err)
		}
		db, plugin := d.Open(t), newHungPlugin(preload.WithWaits(worldtest.Patience))
		if err := db.Use(plugin); err != nil {
			t.Fatal(err)
		}
		defer plugin.Close()
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		pool.SetMaxOpenConns(20)
		leading := make(chan struct{})
		var once sync.Once
		d.Probe.Before(func(c dbtest.Call) error {
			first := false
			if c.Op == "query" {
				once.Do(func() { first = true })
			}
			if first {
				close(leading)
				<-c.Context.Done()
				return c.Context.Err()
			}
			return nil
		})
		before := d.Probe.Queries()
		ctx, cancel := context.WithCancel(t.Context())
		led := make(chan error, 1)
		go func() { led <- db.WithContext(ctx).First(&hungRow{}, 1).Error }()
		<-leading
		var (
			all     sync.WaitGroup
			failed  atomic.Int64
			boarded []func()
		)
		for range waiters {
			waiting, done := worldtest.NewWaiting(t.Context()), make(chan struct{})
			boarded = append(boarded, func() {
				select {
				case <-waiting.Begun:
				case <-done: // somebody else has taken the load over meanwhile
				}
			})
			all.Go(func() {
				defer close(done)
				var row hungRow
				if err := db.WithContext(waiting).First(&row, 1).Error; err != nil || row.Name != "a" {
					failed.Add(1)
				}
			})
		}
		for _, wait := range boarded {
			wait()
		}
		begun := time.Now()
		cancel()
		all.Wait()
		queries := d.Probe.Queries() - before
		t.Logf("%d queries for one who is cancelled and %d who wait; the last answer %v after that", queries, waiters, time.Since(begun))
		if <-led == nil || failed.Load() > 0 {
			t.Errorf("%d of those who waited have no answer", failed.Load())
		}
		if queries > 4 {
			t.Errorf("%d queries for one who is cancelled and %d who wait, want 2", queries, waiters)
		}
	})
}
