package preload_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// settledHeap returns how much memory is in use once nothing is left to collect.
func settledHeap() int64 {
	for range 3 { // sync.Pool gives its memory back in two
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

var unwatchedCount atomic.Int64

// unwatched returns a handle of which no probe notes statements: the probe's notes would count as
// the plugin's memory.
func unwatched(t *testing.T) *gorm.DB {
	t.Helper()
	dsn := fmt.Sprintf("file:unwatched%d?mode=memory&cache=shared", unwatchedCount.Add(1))
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Discard, SkipDefaultTransaction: true})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = pool.Close() })
	return db
}

// TestAnswersFillNoMoreThanMaxBytes: however long answers come and go.
// It is not parallel: it looks at the whole heap.
func TestAnswersFillNoMoreThanMaxBytes(t *testing.T) {
	if racing {
		t.Skip("under the race detector the heap of many shapes reads higher than without it; why is not known")
	}
	const (
		rows     = 1_000
		maxBytes = 1 << 20
		// fixed is what is there however much is kept: the empty maps of the store, what a
		// statement is built in.
		fixed = 48 << 10
	)
	var all []weighed
	for i := range rows {
		text, number, when := fmt.Sprint("text of ", i), int64(i), time.Unix(int64(i), 0)
		all = append(all, weighed{
			Tenant: "tenant", Name: fmt.Sprint("name", i), S1: "abc", S2: "some text of some length", S3: text, T1: when, T2: when,
			P1: &text, P3: &number, P4: &when, Data: []byte("0123456789"), N1: int64(i % 20), N2: int64(i),
		})
	}
	ctx := context.Background()
	for _, test := range []struct {
		name string
		read func(tx *gorm.DB, p *preload.Plugin, i int) error
	}{
		{"rows", func(tx *gorm.DB, _ *preload.Plugin, i int) error {
			return tx.Where("n2 >= ?", -i).First(new(weighed)).Error
		}},
		{"rows of many pins", func(tx *gorm.DB, _ *preload.Plugin, i int) error {
			keys := make([]int, 40)
			for j := range keys {
				keys[j] = 40*i + j
			}
			return tx.Find(new([]weighed), keys).Error
		}},
		{"maps", func(tx *gorm.DB, _ *preload.Plugin, i int) error {
			return tx.Model(&weighed{}).Where("n2 >= ?", -i).Limit(3).Find(&[]map[string]any{}).Error
		}},
		{"strings", func(tx *gorm.DB, _ *preload.Plugin, i int) error {
			return tx.Model(&weighed{}).Where("n1 = ? AND n3 <= ?", i%20, i/20).Pluck("s3", &[]string{}).Error
		}},
		{"counts", func(tx *gorm.DB, _ *preload.Plugin, i int) error {
			return tx.Model(&weighed{}).Where("n2 >= ?", -i).Count(new(int64)).Error
		}},
		{"nothing", func(tx *gorm.DB, _ *preload.Plugin, i int) error {
			return tx.Where("tenant = ? AND n2 = ?", "nobody", i).Find(&[]weighed{}).Error
		}},
		{"long args", func(tx *gorm.DB, _ *preload.Plugin, i int) error {
			return tx.Where("s1 = ?", strings.Repeat("x", 400)+fmt.Sprint(i)).Limit(1).Find(&weighed{}).Error
		}},
		{"shapes of their own", func(tx *gorm.DB, _ *preload.Plugin, i int) error {
			return tx.Where(fmt.Sprintf("n2 = %d AND n3 = ?", i), -1).Find(&[]weighed{}).Error
		}},
		{"own data", func(_ *gorm.DB, p *preload.Plugin, i int) error {
			_, err := preload.Load(ctx, p, fmt.Sprint("key", i), func(context.Context) (weighed, error) { return all[i%rows], nil })
			return err
		}},
		{"own numbers", func(_ *gorm.DB, p *preload.Plugin, i int) error {
			_, err := preload.Load(ctx, p, fmt.Sprint("key", i), func(context.Context) (int, error) { return i, nil })
			return err
		}},
	} {
		p := preload.New(preload.WithoutWorker(), preload.WithMaxEntries(1_000_000), preload.WithMaxBytes(maxBytes),
			preload.WithTTL(time.Hour), preload.WithNegativeTTL(time.Hour), preload.WithMaxPatterns(1), preload.WithMaxLoaders(1))
		db := unwatched(t)
		if err := db.AutoMigrate(&weighed{}); err != nil {
			t.Fatal(err)
		}
		if err := db.CreateInBatches(all, 500).Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Use(p); err != nil {
			t.Fatal(err)
		}
		read := func(i int) {
			t.Helper()
			if err := test.read(db, p, i); err != nil {
				t.Fatal(err)
			}
		}
		read(0)
		if err := p.Invalidate(); err != nil {
			t.Fatal(err)
		}
		before := settledHeap()
		i := 1
		report := func(when string) {
			t.Helper()
			s := p.Stats()
			grown := settledHeap() - before - (s.Memory.Sum() - s.Memory.Answers)
			t.Logf("%s %s: %d entries, Bytes %.2f of WithMaxBytes, the heap %.2f (%d B an entry told, %d used)", test.name, when, s.Entries, float64(s.Bytes)/maxBytes, float64(grown)/maxBytes,
				s.Bytes/max(1, int64(s.Entries)), grown/max(1, int64(s.Entries)))
			if s.Bytes > maxBytes || float64(grown) > 1.15*float64(s.Bytes)+fixed {
				t.Errorf("%s %s: the heap grew by %d, Bytes says %d and WithMaxBytes %d", test.name, when, grown, s.Bytes, int64(maxBytes))
			}
		}
		for ; i%32 > 0 || p.Stats().Evicted == 0; i++ {
			read(i)
		}
		report("full")
		for range 2 * p.Stats().Entries {
			read(i)
			i++
		}
		report("after evictions")
		// What was many and small leaves no more behind than what is few and large takes.
		for n := range 2 * maxBytes / (1 << 14) {
			if _, err := preload.Load(ctx, p, fmt.Sprint("large", n), func(context.Context) ([]byte, error) { return make([]byte, 1<<14), nil }); err != nil {
				t.Fatal(err)
			}
		}
		report("full of what is large")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
