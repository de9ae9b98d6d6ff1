package preload

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/template"
)

// TestALoadThatHangsSoonYieldsToStatements has a load in the background hang on the one connection
// that the pool uses, or may open, and asks something else meanwhile.
func TestALoadThatHangsSoonYieldsToStatements(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 1} {
		for _, slow := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d connections, slow: %v", limit, slow), func(t *testing.T) {
				dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
					var proxy *dbtest.Proxy
					if d.Dialect != "sqlite" {
						d, proxy = d.Behind(t)
					}
					db := d.Open(t)
					if err := db.AutoMigrate(&workerUser{}); err != nil {
						t.Fatal(err)
					}
					for i := range 3 {
						db.Create(&workerUser{Name: fmt.Sprint("u", i+1)})
					}
					p := New(WithLogger(slog.New(slog.DiscardHandler)))
					if err := db.Use(p); err != nil {
						t.Fatal(err)
					}
					defer p.Close()
					pool, _ := db.DB()
					pool.SetMaxOpenConns(limit)
					read := func(ctx context.Context, id uint) {
						var u workerUser
						if err := db.WithContext(ctx).First(&u, id).Error; err != nil || u.Name != fmt.Sprint("u", id) {
							t.Errorf("user %d: %v, %+v", id, err, u)
						}
					}
					for range 3 {
						read(context.Background(), 1)
					}
					_ = p.Invalidate()
					p.templates.Each(func(t *template.Template) {
						t.Pace = cache.Pace{}
						t.Pace.Took(time.Millisecond) // on a busy machine the load would count as slow, and not begin
					})
					var once atomic.Bool
					came := make(chan struct{})
					if proxy == nil {
						d.Probe.Before(func(c dbtest.Call) error {
							if !once.Swap(true) {
								close(came)
								<-c.Context.Done()
								return c.Context.Err()
							}
							return nil
						})
					} else {
						// What is still on its way of the reads before is not the load's.
						var begun atomic.Bool
						d.Probe.Before(func(dbtest.Call) error { begun.Store(true); return nil })
						proxy.Rule(func(packet dbtest.Packet) dbtest.Verdict {
							if packet.Up && begun.Load() && !once.Swap(true) {
								close(came)
								if slow {
									return dbtest.Delay(3 * time.Second)
								}
								return dbtest.Silence
							}
							return dbtest.Pass
						})
					}
					ticked := make(chan struct{})
					go func() {
						defer close(ticked)
						for !once.Load() && p.worker.Context().Err() == nil { // a busy machine may leave no room at first
							p.worker.Tick()
						}
					}()
					within(t, "a load in the background", func() { <-came })
					began := time.Now()
					read(ContextWithBypass(context.Background()), 2)
					if took := time.Since(began); took > 2*time.Second { // of the 5 s that a load may take
						t.Errorf("a statement waited %v for a load in the background", took)
					}
					<-ticked
				})
			})
		}
	}
}

// TestLoadersThatHangStopNobodyElse has more loaders of own data hang than may.
func TestLoadersThatHangStopNobodyElse(t *testing.T) {
	t.Parallel()
	var (
		mu  sync.Mutex
		log bytes.Buffer
	)
	logger := slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))
	b := setup(t, WithLoadTimeout(5*time.Millisecond), WithLogger(logger), WithConcurrency(4))
	w := b.plugin.worker
	w.Grace = 5 * time.Millisecond
	release := make(chan struct{})
	defer close(release)
	own := func(key string, hangs bool) {
		var again atomic.Bool
		for range 3 {
			_, err := Load(context.Background(), b.plugin, key, func(context.Context) (int, error) {
				if again.Swap(true) && hangs {
					<-release
				}
				return 1, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	wait := func(what string, until func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !until(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, b.plugin.Stats())
			}
		}
	}
	own("one", true)
	_ = b.plugin.Invalidate()
	w.Tick()
	wait("the loader that hangs is not given up", func() bool { return b.plugin.Stats().AbandonedTasks == 1 })
	wait("the loader that hangs is still registered", func() bool { _, ok := b.plugin.loaders.Of("one"); return !ok })
	own("healthy", false)
	_ = b.plugin.Invalidate()
	before := b.plugin.Stats().PreloadCount
	w.Tick()
	wait("another loader was not called", func() bool { return b.plugin.Stats().PreloadCount == before+1 })

	for i := range 3 * runner.MaxAbandoned {
		own(fmt.Sprint("hangs", i), true)
	}
	_ = b.plugin.Invalidate()
	w.Tick()
	wait("loaders that hang", func() bool {
		return b.plugin.Stats().AbandonedTasks >= runner.MaxAbandoned && b.plugin.Stats().ActiveTasks == 0
	})
	if n := b.plugin.Stats().AbandonedTasks; n > runner.MaxAbandoned+w.Concurrency {
		t.Errorf("%d loaders hang, want at most about %d", n, runner.MaxAbandoned)
	}
	for range 3 {
		b.read(t, 1)
	}
	wait("a query was not loaded", func() bool {
		_ = b.plugin.Invalidate()
		w.Tick() // a busy machine may not load it within its time
		for w.Active() > 0 {
			time.Sleep(time.Millisecond)
		}
		_, queries := b.read(t, 1)
		return queries == 0 && b.plugin.Stats().PreloadHits > 0
	})
	mu.Lock()
	defer mu.Unlock()
	for what, want := range map[string]int{"a loader did not return": runner.MaxAbandoned, "too many loaders": 1} {
		if n := strings.Count(log.String(), what); n < 1 || n > want+w.Concurrency {
			t.Errorf("%d lines say that %s, want about %d", n, what, want)
		}
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}
