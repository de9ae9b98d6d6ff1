package database_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/gorm-preload/preload/bench/database"
	"github.com/gorm-preload/preload/bench/database/databasetest"
	"gorm.io/gorm"
)

// TestAStatementIsCountedOnceAndMayBeFailed: some drivers are asked twice for one statement that has
// args.
func TestAStatementIsCountedOnceAndMayBeFailed(t *testing.T) {
	t.Parallel()
	type thing struct {
		ID   int
		Name string
	}
	databasetest.Each(t, func(t *testing.T, s database.Server) {
		d, err := s.New()
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}()
		var (
			mu     sync.Mutex
			seen   []string
			refuse error
		)
		counts := &database.Counts{Seen: func(_ context.Context, statement string) error {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, statement)
			return refuse
		}}
		db, err := d.Open(counts, gorm.Config{SkipDefaultTransaction: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.AutoMigrate(&thing{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Exec("INSERT INTO things (id, name) VALUES (?, ?)", 1, "one").Error; err != nil {
			t.Fatal(err)
		}
		seen = nil
		queries, execs := counts.Queries.Load(), counts.Execs.Load()
		var found thing
		if err := db.Where("name = ?", "one").Take(&found).Error; err != nil || found.ID != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		if err := db.Exec("UPDATE things SET name = ? WHERE id = ?", "two", 1).Error; err != nil {
			t.Fatal(err)
		}
		if q, e := counts.Queries.Load()-queries, counts.Execs.Load()-execs; q != 1 || e != 1 || len(seen) != 2 {
			t.Errorf("%d queries and %d others were counted, %q were seen: want one of each", q, e, seen)
		}
		refuse = errors.New("refused")
		if err := db.Where("name = ?", "two").Take(&found).Error; !errors.Is(err, refuse) {
			t.Errorf("a query that is to fail: %v", err)
		}
		if err := db.Exec("DELETE FROM things WHERE id = ?", 1).Error; !errors.Is(err, refuse) {
			t.Errorf("a statement that is to fail: %v", err)
		}
		refuse = nil
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		if n := pool.Stats().InUse; n != 0 {
			t.Errorf("%d connections did not come back", n)
		}
	})
}
