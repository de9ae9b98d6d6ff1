package preload_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

type ownTenant struct{}

func ownTenantOf(ctx context.Context) string {
	tenant, _ := ctx.Value(ownTenant{}).(string)
	return tenant
}

// TestOwnDataIsOfItsPartition: one tenant never gets what was loaded for another.
func TestOwnDataIsOfItsPartition(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t).Open(t)
	p := preload.New(preload.WithLogger(worldtest.Quiet()), preload.WithPartition(ownTenantOf))
	worldtest.Must(t, db.Use(p))
	defer p.Close()
	loads := 0
	get := func(tenant string) string {
		value, err := preload.Load(context.WithValue(context.Background(), ownTenant{}, tenant), p, "profile", func(ctx context.Context) (string, error) {
			loads++
			return "of " + ownTenantOf(ctx), nil
		})
		worldtest.Must(t, err)
		return value
	}
	for range 2 {
		for _, tenant := range []string{"a", "b", "", "1:a"} {
			if got := get(tenant); got != "of "+tenant {
				t.Errorf("%q got what is %s", tenant, got)
			}
		}
	}
	if loads != 4 {
		t.Errorf("%d loads of 4 values", loads)
	}
	worldtest.Must(t, p.Preload(context.WithValue(context.Background(), ownTenant{}, "c"), "profile", func(context.Context) (any, error) { return "of c", nil }))
	if got := get("c"); got != "of c" || loads != 4 {
		t.Errorf("after Preload %q got %s, by %d loads", "c", got, loads)
	}
}

// TestALoadInALoadOfItsKey does not wait for itself.
func TestALoadInALoadOfItsKey(t *testing.T) {
	t.Parallel()
	p := preload.New(preload.WithoutWorker())
	inner := func(ctx context.Context) (int, error) {
		return preload.Load(ctx, p, "user:7", func(context.Context) (int, error) { return 1, nil })
	}
	done := make(chan error, 2)
	go func() {
		_, err := preload.Load(context.Background(), p, "user:7", inner)
		done <- err
		_ = p.Invalidate()
		done <- p.Preload(context.Background(), "user:7", func(ctx context.Context) (any, error) { return inner(ctx) })
	}()
	for range 2 {
		select {
		case err := <-done:
			worldtest.Must(t, err)
		case <-time.After(time.Minute):
			t.Fatal("it waits for itself")
		}
	}
}

// TestRecordAccessTakesACopy of the keys that it is given.
func TestRecordAccessTakesACopy(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t).Open(t)
	p := preload.New(preload.WithLogger(worldtest.Quiet()))
	worldtest.Must(t, db.Use(p))
	defer p.Close()
	related := make([]string, 2)
	for i := range 1000 {
		related[0], related[1] = fmt.Sprint("a", i), fmt.Sprint("b", i)
		p.RecordAccess("k", related...)
	}
}

// TestKeysAreNoPartOfARequest: a short key may be a part of something large.
func TestKeysAreNoPartOfARequest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, do := range map[string]func(p *preload.Plugin, key string){
		"RecordAccess": func(p *preload.Plugin, key string) { p.RecordAccess(key) },
		"related":      func(p *preload.Plugin, key string) { p.RecordAccess("k", key) },
		"Load": func(p *preload.Plugin, key string) {
			_, _ = preload.Load(ctx, p, key, func(context.Context) (int, error) { return 1, nil })
		},
		"Preload": func(p *preload.Plugin, key string) {
			_ = p.Preload(ctx, key, func(context.Context) (any, error) { return 1, nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := preload.New(preload.WithoutWorker())
			freed := make(chan struct{})
			func() {
				body := new([1 << 20]byte)
				copy(body[:], "key")
				runtime.AddCleanup(body, func(int) { close(freed) }, 0)
				do(p, unsafe.String(&body[0], 3))
			}()
			for range 100 {
				runtime.GC()
				select {
				case <-freed:
					runtime.KeepAlive(p)
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
			t.Error("the request is kept")
		})
	}
}

// afterSet is a Store that runs something once after an answer was stored.
type afterSet struct {
	preload.Store
	after atomic.Pointer[func()]
}

func (s *afterSet) Set(key string, value any) {
	s.Store.Set(key, value)
	if after := s.after.Swap(nil); after != nil {
		(*after)()
	}
}

// TestPreloadHitsAreOfPreloads: what is read as soon as it is stored was loaded in the background,
// too.
func TestPreloadHitsAreOfPreloads(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	store, clock, db := &afterSet{Store: preload.NewStore()}, dbtest.NewClock(), d.Open(t)
	p := preload.New(preload.WithLogger(worldtest.Quiet()), preload.WithStore(store), preload.WithClock(clock), preload.WithBrief(time.Minute))
	worldtest.Must(t, db.Use(p))
	defer p.Close()
	read := func() { worldtest.Must(t, db.First(&worldtest.ReadCompany{}, 1).Error) }
	read()
	clock.Advance(290 * time.Second) // the next one asks for its reload, and so does each until one finds room
	done := make(chan struct{})
	after := func() {
		defer close(done)
		other := make(chan struct{})
		go func() {
			defer close(other)
			read()
		}()
		<-other
		if s := p.Stats(); s.PreloadHits > s.PreloadCount {
			t.Errorf("PreloadHits %d, PreloadCount %d", s.PreloadHits, s.PreloadCount)
		}
	}
	store.after.Store(&after)
	for deadline := time.Now().Add(time.Minute); ; {
		read()
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the answer was not loaded again: %+v", p.Stats())
		}
	}
}

// TestLoadHotInPartitions says that it loads nothing, and does not.
func TestLoadHotInPartitions(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	b := readOpen(t, d)
	worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
	worldtest.Must(t, b.DB.First(&worldtest.ReadUser{}, 1).Error)
	var file, log bytes.Buffer
	worldtest.Must(t, b.Plugin.SaveHot(&file))
	c := readOpen(t, d, preload.WithPartition(ownTenantOf), preload.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	worldtest.Must(t, c.Plugin.Register(worldtest.ReadModels...))
	worldtest.Must(t, c.Plugin.LoadHot(context.Background(), &file))
	if n := c.Plugin.Stats().Entries; n != 0 || !strings.Contains(log.String(), "WithPartition") {
		t.Errorf("%d answers were loaded; the log says %q", n, log.String())
	}
}
