package preload_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

func valueHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestPreparedKeepsNoLongArgs: whose memory nothing would count.
func TestPreparedKeepsNoLongArgs(t *testing.T) {
	b := readSQLite(t, preload.WithMaxBytes(1<<20))
	p := prepare[worldtest.ReadLanguage](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("name <> ?", arg(0)) })
	for range 4 {
		worldtest.Must(t, second(p.First(context.Background(), "x")))
	}
	before := valueHeap()
	for i := range 60 {
		text := strings.Repeat("x", 1<<20) + fmt.Sprint(i)
		for range 3 {
			worldtest.Must(t, second(p.First(context.Background(), text)))
		}
	}
	if grown := valueHeap() - before; grown > 8<<20 {
		t.Errorf("the heap grew by %d MiB; WithMaxBytes 1 MiB, Bytes says %d KiB", grown>>20, b.Plugin.Stats().Bytes>>10)
	}
	runtime.KeepAlive(p)
}

// TestLoadersKeepNothingOfTheRequest: a short arg may be a part of a long text.
func TestLoadersKeepNothingOfTheRequest(t *testing.T) {
	b := readSQLite(t, preload.WithMaxBytes(1<<20))
	before := valueHeap()
	for i := range 100 {
		request := strings.Repeat("x", 1<<20) + fmt.Sprintf("%05d", i)
		var rows []worldtest.ReadLanguage
		worldtest.Must(t, b.DB.Where("name <> ?", request[1<<20:]).Find(&rows).Error) // 5 bytes
	}
	if grown := valueHeap() - before; grown > 8<<20 {
		t.Errorf("the heap grew by %d MiB; WithMaxBytes 1 MiB, Bytes says %d KiB", grown>>20, b.Plugin.Stats().Bytes>>10)
	}
}

type valueStore struct {
	preload.Store
	mu   sync.Mutex
	keys map[string]bool
}

func (s *valueStore) Set(k string, v any) {
	s.mu.Lock()
	s.keys[k] = true
	s.mu.Unlock()
	s.Store.Set(k, v)
}

func (s *valueStore) Delete(k string) {
	s.mu.Lock()
	delete(s.keys, k)
	s.mu.Unlock()
	s.Store.Delete(k)
}

// TestWhatIsEvictedLeavesTheStore: also what is evicted while it is being stored.
func TestWhatIsEvictedLeavesTheStore(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t).Open(t)
	store := &valueStore{Store: preload.NewStore(), keys: map[string]bool{}}
	p := preload.New(preload.WithMaxEntries(2), preload.WithoutWorker(), preload.WithStore(store), preload.WithStoreWait(time.Minute))
	worldtest.Must(t, db.Use(p))
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 5_000 {
				_, _ = preload.Load(context.Background(), p, fmt.Sprint(g, "/", i), func(context.Context) (int, error) { return i, nil })
			}
		})
	}
	wg.Wait()
	worldtest.Must(t, p.Close())
	if n := len(store.keys); n > 0 {
		t.Errorf("%d answers are in the store after Close", n)
	}
}
