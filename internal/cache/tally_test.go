package cache

import (
	"fmt"
	"testing"

	"github.com/gorm-preload/preload/internal/coherence"
)

// TestTablesWithoutEndAreTalliedTogether: statements may name any table, and what is counted of
// them is bounded, and complete.
func TestTablesWithoutEndAreTalliedTogether(t *testing.T) {
	const extra = 50
	for _, test := range []struct {
		name  string
		count func(c *counts, table string)
		told  func(c *counts) map[string]int64
	}{
		{"kills", func(c *counts, table string) { c.kill(table, coherence.ByTable) }, func(c *counts) map[string]int64 {
			all := map[string]int64{}
			c.EachKill(func(table string, _ coherence.Reason, n int64) { all[table] += n })
			return all
		}},
		{"shapes", func(c *counts, table string) {
			one := c.NewTally(table, "shape")
			one.Misses.Add(1)
			c.Over(table, one)
		}, missesByTable},
		{"tables", func(c *counts, table string) { c.Tally(table).Misses.Add(1) }, missesByTable},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c counts
			for i := range maxTables + extra {
				test.count(&c, fmt.Sprint("t", i))
			}
			test.count(&c, "")
			test.count(&c, "t0")
			told := test.told(&c)
			if len(told) > maxTables+2 {
				t.Errorf("%d tables are told apart", len(told))
			}
			if told["t0"] != 2 || told[""] != 1 || told[otherTables] != extra {
				t.Errorf("t0: %d, no table: %d, others: %d", told["t0"], told[""], told[otherTables])
			}
			c.clear()
			if test.count(&c, "t0"); test.told(&c)["t0"] != 1 {
				t.Errorf("after it was cleared: %v", test.told(&c)["t0"])
			}
		})
	}
}

func missesByTable(c *counts) map[string]int64 {
	all := map[string]int64{}
	c.EachTally(func(table string, t *Tally) { all[table] += t.Misses.Load() })
	return all
}
