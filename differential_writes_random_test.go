package preload_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"pgregory.net/rapid"
)

// Whatever is read and written, in whatever order, in transactions, savepoints and rollbacks: every
// answer equals plain GORM's.
func TestWriteDifferential(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := worldtest.MigrateWrites(t, d)
		deadline := time.Now().Add(worldtest.Budget(t, 2*time.Second))
		rounds, hits := 0, int64(0)
		property := func(rt *rapid.T) {
			if time.Now().After(deadline) && !t.Failed() && rounds > 0 {
				return
			}
			rounds++
			worldtest.SeedWrites(t, plain)
			w := writeOpen(t, d, plain, &gorm.Config{PrepareStmt: rapid.Bool().Draw(rt, "prepare"), SkipDefaultTransaction: rapid.Bool().Draw(rt, "skip default transaction")})
			pool, _ := w.DB.DB()
			defer pool.Close()
			defer w.Plugin.Close()
			var (
				tx      *gorm.DB
				history []string
				// broken says that PostgreSQL refuses all but the end of the transaction, after an
				// error.
				broken bool
			)
			note := func(format string, args ...any) { history = append(history, fmt.Sprintf(format, args...)) }
			defer func() {
				if tx != nil {
					tx.Session(&gorm.Session{NewDB: true}).Rollback()
				}
			}()
			compare := func(q worldtest.Named) {
				for range 2 {
					if got, want := q.Ask(w.DB), q.Ask(plain); want.Differs(got) != "" {
						rt.Fatalf("%q\n got %v\nwant %v\nafter\n%s", q.Name, got, want, strings.Join(history, "\n"))
					}
				}
				if tx != nil && !broken {
					if got, want := q.Ask(tx), q.Ask(tx.Clauses(preload.Bypass).Session(&gorm.Session{})); want.Differs(got) != "" {
						rt.Fatalf("in the transaction: %q\n got %v\nwant %v\nafter\n%s", q.Name, got, want, strings.Join(history, "\n"))
					}
				}
			}
			for range rapid.IntRange(1, 25).Draw(rt, "steps") {
				switch rapid.IntRange(0, 9).Draw(rt, "kind") {
				case 0:
					if tx == nil {
						tx, broken = w.DB.Begin(), false
						note("begin")
					}
				case 1:
					if tx != nil {
						note("commit: %v", tx.Session(&gorm.Session{NewDB: true}).Commit().Error)
						tx = nil
					}
				case 2:
					if tx != nil {
						note("rollback: %v", tx.Session(&gorm.Session{NewDB: true}).Rollback().Error)
						tx = nil
					}
				case 3:
					if tx != nil && !broken {
						name := rapid.SampledFrom([]string{"a", "b", "A"}).Draw(rt, "savepoint")
						err := tx.Session(&gorm.Session{NewDB: true}).Exec("SAVEPOINT " + name).Error
						note("savepoint %s: %v", name, err)
					}
				case 4:
					if tx != nil {
						name := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "savepoint")
						err := tx.Session(&gorm.Session{NewDB: true}).Exec("ROLLBACK TO SAVEPOINT " + name).Error
						note("rollback to %s: %v", name, err)
						broken = w.Dialect == "postgres" && err != nil
					}
				default:
					write := rapid.SampledFrom(worldtest.RandomWrites).Draw(rt, "write")
					id, n := uint(rapid.IntRange(1, 4).Draw(rt, "id")), rapid.IntRange(0, 45).Draw(rt, "n")
					db := w.DB
					if tx != nil {
						db = tx
					}
					err := write.Do(db.Session(&gorm.Session{}), id, n)
					note("%s(%d, %d), in a transaction %v: %v", write.Name, id, n, tx != nil, err)
					if tx != nil && err != nil && w.Dialect == "postgres" {
						broken = true
					}
				}
				for range 3 {
					compare(rapid.SampledFrom(worldtest.WriteQueries).Draw(rt, "query"))
				}
				if rapid.IntRange(0, 3).Draw(rt, "wait") == 0 {
					w.Clock.Advance(worldtest.HoldOut)
				}
			}
			for _, q := range worldtest.WriteQueries {
				compare(q)
			}
			hits += w.Plugin.Stats().Hits
		}
		rapid.Check(t, property)
		t.Logf("%d rounds, %d hits", rounds, hits)
		if hits == 0 {
			t.Errorf("nothing was read from memory: the test tests nothing")
		}
	})
}
