package dbtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
)

func TestAProxyCutsHoldsAndDelays(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		behind, proxy := d.Behind(t)
		plain := d.Plain(t)
		if err := plain.Exec("CREATE TABLE seen (id integer)").Error; err != nil {
			t.Fatal(err)
		}
		count := func(id int) (n int64) {
			plain.Table("seen").Where("id = ?", id).Count(&n)
			return n
		}
		insert := func(ctx context.Context, text string) error {
			return behind.Open(t).WithContext(ctx).Exec(text).Error
		}
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		for id, c := range map[int]struct {
			text    string
			verdict dbtest.Verdict
			fails   bool
			stored  int64
		}{
			1: {"INSERT INTO seen VALUES (1)", dbtest.Pass, false, 1},
			2: {"INSERT INTO seen VALUES (2)", dbtest.Cut, true, 0},
			3: {"INSERT INTO seen VALUES (3)", dbtest.LoseAfter, true, 1},
			4: {"INSERT INTO seen VALUES (4)", dbtest.Silence, true, 0},
			5: {"INSERT INTO seen VALUES (5)", dbtest.SilenceAfter, true, 1},
			6: {"INSERT INTO seen VALUES (6)", dbtest.Delay(20 * time.Millisecond), false, 1},
		} {
			proxy.Rule(func(p dbtest.Packet) dbtest.Verdict {
				if p.Has(c.text) {
					return c.verdict
				}
				return dbtest.Pass
			})
			err := insert(within(2*time.Second), c.text)
			if (err != nil) != c.fails {
				t.Errorf("%s: error %v, want one: %v", c.text, err, c.fails)
			}
			for end := time.Now().Add(2 * time.Second); count(id) < c.stored && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			// database/sql may send a statement again whose connection was lost.
			if n := count(id); min(n, 1) != c.stored {
				t.Errorf("%s: stored %d times, want %d", c.text, n, c.stored)
			}
		}
	})
}
