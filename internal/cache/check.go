package cache

import (
	"errors"
	"fmt"
)

// Check looks at the whole of a cache in which nothing happens meanwhile, and returns an error for
// each thing that does not agree: store, queues, guards, gauges, recents and flights. It
// is for tests.
func (c *Cache) Check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("cache: "+format, args...)) }
	entries, counted := 0, map[*Tally]int64{}
	c.queues.Each(func(e *Entry) {
		entries++
		counted[e.Tally]++
		if !e.Stored() {
			wrong("%q is in a queue and not counted", e.Key)
		}
		if e.Guard.Dead() {
			wrong("%q is in a queue, and its guard is dead", e.Key)
		}
		if found, _ := c.Store.Get(e.Key); found != any(e) {
			wrong("%q is in a queue, and another answer, or none, in the store", e.Key)
		}
		if r := e.recent.Load(); r != nil && (r.entry != e || r.at.Load() != r) {
			wrong("%q has a recent that is not found", e.Key)
		}
	})
	if n, _ := c.Size(); n != entries {
		wrong("the queues have %d entries and tell of %d", entries, n)
	}
	c.Counts.EachTally(func(table string, t *Tally) {
		if n := t.Entries.Load(); n != counted[t] {
			wrong("%d entries of %q are counted, and %d are there", n, table, counted[t])
		}
	})
	flights := 0
	c.EachFlight(func(newest *Flight) {
		for f := newest; f != nil; f = f.older {
			flights++
			if f.taken != (f != newest) || f.Entry.Key != newest.Entry.Key {
				wrong("the flights of %q are in disorder", newest.Entry.Key)
			}
		}
	})
	if n := c.Index.Size(); n > entries+flights || flights == 0 && n != entries {
		wrong("%d guards are alive, of %d entries and %d flights", n, entries, flights)
	}
	return errors.Join(append(errs, c.queues.Check())...)
}
