package preload_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"gorm.io/gorm"
)

// TestAllMemoryIsToldAndBounded: whatever an application asks, what the plugin holds is in Stats,
// does not grow without an end, and is gone after Clear and after Close. It is not parallel: it
// looks at the whole heap.
func TestAllMemoryIsToldAndBounded(t *testing.T) {
	const (
		maxBytes = 4 << 20
		// fixed is what is there before anything is kept, or does not depend on how much is.
		fixed = 512 << 10
	)
	ctx := context.Background()
	db := unwatched(t)
	if err := db.AutoMigrate(&weighed{}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := db.Create(&weighed{Name: fmt.Sprint("name", i), N1: int64(i)}).Error; err != nil {
			t.Fatal(err)
		}
	}
	p := preload.New(preload.WithMaxBytes(maxBytes), preload.WithTTL(time.Hour), preload.WithNegativeTTL(time.Hour))
	if err := db.Use(p); err != nil {
		t.Fatal(err)
	}
	prepared, err := preload.Prepare[weighed](db, func(tx *gorm.DB) *gorm.DB { return tx.Where("n1 = ? AND s1 <> ?", preload.Arg(0), preload.Arg(1)) })
	if err != nil {
		t.Fatal(err)
	}
	find := func(tx *gorm.DB) {
		t.Helper()
		if err := tx.Find(&[]weighed{}).Error; err != nil {
			t.Fatal(err)
		}
	}
	ids := func(n int) []int {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		return all
	}
	kinds := []struct {
		name string
		n    int
		ask  func(i int)
	}{
		{"long keys", 100, func(i int) {
			long := strings.Repeat("key", 1<<17) + fmt.Sprint(i)
			p.RecordAccess(long, long+"a", long+"b", long+"c")
		}},
		{"own data", 3_000, func(i int) {
			long := strings.Repeat("key", 300+i%100) + fmt.Sprint(i)
			if _, err := preload.Load(ctx, p, long, func(context.Context) (string, error) { return "value", nil }); err != nil {
				t.Fatal(err)
			}
		}},
		{"sessions", 3_000, func(i int) {
			tx := db.WithContext(preload.ContextWithSession(ctx, fmt.Sprint(i)))
			find(tx.Where("n1 = ?", i%7))
			find(tx.Where("n1 = ? AND n2 < ?", i%7, 5))
			find(tx.Where("name = ?", strings.Repeat("x", 200)+fmt.Sprint(i)))
		}},
		{"shapes", 2_000, func(i int) { find(db.Where(fmt.Sprintf("s1 <> '%s%d'", strings.Repeat("shape", 200), i))) }},
		{"short shapes", 3_000, func(i int) { find(db.Where(fmt.Sprintf("n1 + %d > ?", i), 100)) }},
		{"lists", 1_200, func(i int) { find(db.Where("id IN ?", ids(i+1))) }},
		{"long lists", 20, func(i int) { find(db.Where("id IN ?", ids(20_000+i))) }},
		{"long args", 1_500, func(i int) { find(db.Where("s1 = ?", strings.Repeat("x", 6_000)+fmt.Sprint(i))) }},
		{"tables", 2_000, func(i int) { db.Table(fmt.Sprintf("log_%d", i)).Find(&[]weighed{}) }},
		{"raw statements", 2_000, func(i int) {
			db.Exec(fmt.Sprintf("UPDATE weigheds SET s2 = '%s%d' WHERE id = 100", strings.Repeat("raw", 700), i))
		}},
		{"raw lists", 1_000, func(i int) { db.Exec("DELETE FROM weigheds WHERE id IN (" + strings.Repeat("0,", i+1) + "0)") }},
		{"prepared", 1_000, func(i int) {
			for range 3 {
				if _, err := prepared.Find(ctx, i%20, strings.Repeat("x", 200)+fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
		}},
	}
	learn := func() {
		for learned := int64(-1); learned != p.Stats().Prediction.Learned; {
			learned = p.Stats().Prediction.Learned
			p.RelatedKeys("key")
		}
	}
	learn()
	before := settledHeap()
	look := func(what string) {
		t.Helper()
		learn()
		grown := settledHeap() - before
		m := p.Stats().Memory
		t.Logf("%s: the heap grew by %d, told are %d: %+v", what, grown, m.Sum(), m)
		if float64(grown) > 1.15*float64(m.Sum())+fixed {
			t.Errorf("%s: the heap grew by %d, told are %d: %+v", what, grown, m.Sum(), m)
		}
		if m.Answers > maxBytes || m.Templates > 8<<20 || m.Statements > 4<<20 || m.Loaders > 1_024*(4<<10) || m.Patterns > 12<<20 ||
			m.Prediction > 16<<20 {
			t.Errorf("%s: a part is larger than it may be: %+v", what, m)
		}
	}
	for _, kind := range kinds {
		for i := range kind.n {
			kind.ask(i)
		}
		look(kind.name)
	}
	p.Clear()
	learn()
	if grown, m := settledHeap()-before, p.Stats().Memory; grown > fixed || m.Sum() > 16<<10 {
		t.Errorf("after Clear %d bytes are left, told are %+v", grown, m)
	}
	for _, kind := range kinds {
		for i := range kind.n / 10 {
			kind.ask(i)
		}
	}
	look("once more")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if grown, m := settledHeap()-before, p.Stats().Memory; grown > fixed || m.Sum() > 0 {
		t.Errorf("after Close %d bytes are left, told are %+v", grown, m)
	}
	if err := db.First(&weighed{}).Error; err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(prepared)
}
