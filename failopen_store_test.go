package preload_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"go.uber.org/goleak"
	"gorm.io/gorm"
)

// blockingStore blocks in the operation that is named, while it is told to.
type blockingStore struct {
	preload.Store
	op     string
	on     atomic.Bool
	inside atomic.Int64
	open   chan struct{}
}

func (s *blockingStore) block(op string) {
	if s.on.Load() && strings.Contains(s.op, op) {
		s.inside.Add(1)
		defer s.inside.Add(-1)
		<-s.open
	}
}

func (s *blockingStore) Get(key string) (any, bool) { s.block("get"); return s.Store.Get(key) }
func (s *blockingStore) Set(key string, v any)      { s.block("set"); s.Store.Set(key, v) }
func (s *blockingStore) Delete(key string)          { s.block("delete"); s.Store.Delete(key) }

// A Store that blocks costs reads of the database: nobody hangs, nothing stale is read, and it is
// used again when it answers.
func TestAStoreThatBlocksHoldsUpNobody(t *testing.T) {
	// Not parallel: the goroutines of other tests would be seen.
	for _, op := range []string{"get", "set", "delete", "get set delete"} {
		t.Run(op, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			d := dbtest.SQLite(t)
			plain := d.Plain(t)
			worldtest.SeedReads(t, plain)
			store := &blockingStore{Store: preload.NewStore(), op: op, open: make(chan struct{})}
			b := readOpen(t, d, preload.WithStore(store))
			worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
			var c worldtest.ReadCompany
			worldtest.Must(t, b.DB.First(&c, 1).Error)
			worldtest.Must(t, b.DB.First(&worldtest.ReadLanguage{}).Error)
			store.on.Store(true)
			name := "acme"
			for turn := range 4 {
				ctx, cancel := context.WithTimeout(context.Background(), worldtest.Patience)
				worldtest.Within(t, worldtest.Patience, "reads and writes", func() {
					var all sync.WaitGroup
					for i := range 100 {
						all.Go(func() {
							var c worldtest.ReadCompany
							if err := b.DB.WithContext(ctx).First(&c, 1).Error; err != nil || c.Name != name {
								t.Errorf("turn %d: %v, %q, want %q", turn, err, c.Name, name)
							}
							var languages []worldtest.ReadLanguage
							_ = b.DB.WithContext(ctx).Limit(i + 1).Find(&languages)
						})
					}
					all.Wait()
					name = fmt.Sprint("name ", turn)
					worldtest.Must(t, b.DB.Model(&worldtest.ReadCompany{}).Where("id = 1").Update("name", name).Error)
					var c worldtest.ReadCompany
					worldtest.Must(t, b.DB.First(&c, 1).Error)
					if c.Name != name {
						t.Errorf("turn %d: read %q after %q was written", turn, c.Name, name)
					}
				})
				cancel()
				if n := store.inside.Load(); n > 64 {
					t.Fatalf("%d calls hang in the Store", n)
				}
			}
			store.on.Store(false)
			close(store.open)
			for deadline := time.Now().Add(worldtest.Patience); ; time.Sleep(time.Millisecond) {
				var c worldtest.ReadCompany
				if n := b.Queries(func() { worldtest.Must(t, b.DB.First(&c, 1).Error) }); c.Name != name {
					t.Fatalf("read %q, want %q", c.Name, name)
				} else if n == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the Store is not used again")
				}
			}
			worldtest.Must(t, b.Plugin.Close())
			for _, db := range []interface{ Close() error }{poolOf(t, b.DB), poolOf(t, b.Plain), poolOf(t, plain)} {
				_ = db.Close()
			}
			goleak.VerifyNone(t, before)
		})
	}
}

// A Store that panics is told of once a minute.
func TestAStoreThatPanicsFillsNoLog(t *testing.T) {
	t.Parallel()
	var (
		mu  sync.Mutex
		log bytes.Buffer
	)
	store := &readStore{Store: preload.NewStore(), get: func(string, any, bool) (any, bool) { panic("get") }, set: func(string, any) bool { panic("set") }}
	b := readSQLite(t, preload.WithStore(store), preload.WithLogger(slog.New(slog.NewTextHandler(storeLog{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	for range 20 {
		worldtest.Must(t, b.DB.First(&worldtest.ReadCompany{}, 1).Error)
	}
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want 1:\n%s", n, log.String())
	}
}

type storeLog struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (w storeLog) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

func poolOf(t *testing.T, db *gorm.DB) *sql.DB {
	t.Helper()
	pool, err := db.DB()
	worldtest.Must(t, err)
	return pool
}

// A Store that returns what it was not given costs database reads, also where that is nothing of
// the type that it was given.
func TestAStoreThatReturnsOtherValuesHarmsNobody(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]func(value any) any{
		"nil":       func(any) any { return nil },
		"a nil one": func(value any) any { return reflect.Zero(reflect.TypeOf(value)).Interface() },
		"a text":    func(any) any { return "value" },
	} {
		store := &readStore{Store: preload.NewStore(), get: func(_ string, value any, ok bool) (any, bool) {
			if ok {
				value = other(value)
			}
			return value, true
		}}
		b := readSQLite(t, preload.WithStore(store))
		for range 3 {
			var c worldtest.ReadCompany
			worldtest.Must(t, b.DB.First(&c, 1).Error)
			v, err := preload.Load(t.Context(), b.Plugin, "k", func(context.Context) (int, error) { return 7, nil })
			if c.Name != "acme" || v != 7 || err != nil {
				t.Errorf("%s: got %q and %d, %v", name, c.Name, v, err)
			}
		}
		if s := b.Plugin.Stats(); s.BypassReasons[preload.ReasonFault] > 0 {
			t.Errorf("%s: bypassed %v", name, s.BypassReasons)
		}
	}
}
