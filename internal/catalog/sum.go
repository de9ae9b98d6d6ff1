package catalog

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
)

// Sum sums up what stands for the values of a table's columns. Processes whose sums of a table are
// equal make equal Values of what the database takes for equal; of others that is not known. A
// table that is not known has the sum 0. What a database said of a column is not in it: where one
// process makes a Value of a text, those that do not know so much make none, and not another one.
func (t *Table) Sum(dialect string) uint64 {
	if t == nil {
		return 0
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%q", dialect)
	for _, name := range slices.Sorted(maps.Keys(t.said)) {
		_, _ = fmt.Fprintf(h, "\n%q %+v", name, t.said[name])
	}
	return max(1, h.Sum64())
}
