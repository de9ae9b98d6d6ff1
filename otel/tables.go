package otel

import (
	"maps"
	"slices"

	"github.com/gorm-preload/preload"
)

// maxTables bounds the values of the attribute "table"; tables beyond share one, otherTables.
const (
	maxTables   = 200
	otherTables = "other"
	ownTable    = "own data"
)

// told calls do with each name and what it is told as. Those beyond maxTables in the order of the
// names are told as one, so that a table does not change its name while those in use stay the same.
func told[V any](all map[string]V, do func(as string, v V)) {
	for i, table := range slices.Sorted(maps.Keys(all)) {
		as := table
		if i >= maxTables {
			as = otherTables
		}
		do(as, all[table])
	}
}

// tables returns what is told of the models, and of own data if there is any.
func tables(s *preload.Stats) map[string]preload.ModelStats {
	all := make(map[string]preload.ModelStats, len(s.Models)+1)
	add := func(as string, m preload.ModelStats) {
		sum := all[as]
		sum.Hits, sum.Misses, sum.Joined, sum.Stale, sum.Entries = sum.Hits+m.Hits, sum.Misses+m.Misses, sum.Joined+m.Joined, sum.Stale+m.Stale, sum.Entries+m.Entries
		all[as] = sum
	}
	told(s.Models, add)
	if s.Own.Hits+s.Own.Misses > 0 {
		add(ownTable, s.Own)
	}
	return all
}

// written returns the answers that were invalidated, by the tables that were written, which need
// not be those of models.
func written(by map[string]map[string]int64) map[string]map[string]int64 {
	all := make(map[string]map[string]int64, len(by))
	told(by, func(as string, rules map[string]int64) {
		if all[as] == nil {
			all[as] = map[string]int64{}
		}
		for rule, n := range rules {
			all[as][rule] += n
		}
	})
	return all
}
