package cache

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/seen"
)

// counts are what a cache did. All are safe for concurrent use.
type counts struct {
	Evicted, Expired      atomic.Int64
	Heavy                 atomic.Int64 // of Evicted, those that left for want of bytes
	Preloads, PreloadHits atomic.Int64 // loads in the background whose answer was stored, and of these those whose answer was read

	kills   sync.Map // killedBy -> *atomic.Int64
	killers bounded  // the tables in kills
	tallies tallies
}

// Tally is what happened to the answers of one shape of query, or to an application's own data.
type Tally struct {
	Hits    seen.Counter
	Misses  atomic.Int64
	Entries atomic.Int64
	Found   atomic.Int64 // bytes by which prepared queries find them
	// Seen has what else is told of them.
	Seen seen.Shape
	// Leads says that reads of them lead to loads ahead, also where they were in memory. It is here
	// because what a hit counts is.
	Leads atomic.Bool
	over  bool // nothing is asked any more that it counts; guarded by tallies.mu
	// Table and Label are what a shape is called; Label is "" of own data. They do not change.
	Table, Label string
}

// tallies are those of a table, by the name of it. The first one has what those had that are over,
// too.
type tallies struct {
	mu      sync.Mutex
	byTable map[string][]*Tally
	unswept map[string]int // how many of a table are over since it was swept last
}

// sweptAt is which part of a table's tallies may be over before they are swept: where each of many
// shapes is asked once, sweeping for each of them would take most of the time.
const sweptAt = 4

// named returns what the tallies of a table are under; those of own data, which is of none, are
// always apart. mu is held.
func (ts *tallies) named(table string) string {
	if _, known := ts.byTable[table]; !known && table != "" && len(ts.byTable) >= maxTables {
		return otherTables
	}
	return table
}

// of returns the tallies that are under a name, at least one. mu is held.
func (ts *tallies) of(table string) []*Tally {
	if ts.byTable == nil {
		ts.byTable = map[string][]*Tally{}
	}
	if ts.byTable[table] == nil {
		ts.byTable[table] = []*Tally{{}}
	}
	return ts.byTable[table]
}

// sweep lets the first tally of a table have what those had that are over.
func (ts *tallies) sweep(table string) {
	all := ts.byTable[table]
	delete(ts.unswept, table)
	ts.byTable[table] = slices.DeleteFunc(all, func(t *Tally) bool {
		gone := t.over && t.Entries.Load() == 0
		if gone {
			all[0].Hits.Add(t.Hits.Load())
			all[0].Misses.Add(t.Misses.Load())
			all[0].Seen.Add(&t.Seen)
			all[0].Found.Add(t.Found.Load())
		}
		return gone
	})
}

// maxTables bounds the tables that are told apart; the others are told as otherTables. A statement
// may name any, and an application may make tables without end.
const (
	maxTables   = 1_000
	otherTables = "other"
)

// bounded are the tables that are told apart. It is safe for concurrent use.
type bounded struct {
	mu    sync.Mutex
	names map[string]bool
}

// name returns what a table is told as.
func (b *bounded) name(table string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case table == "", b.names[table]: // "" is all tables
		return table
	case len(b.names) >= maxTables:
		return otherTables
	case b.names == nil:
		b.names = map[string]bool{}
	}
	b.names[table] = true
	return table
}

func (b *bounded) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.names = nil
}

type killedBy struct {
	table  string
	reason coherence.Reason
}

func (c *counts) kill(table string, reason coherence.Reason) {
	n, ok := c.kills.Load(killedBy{table, reason})
	if !ok {
		n, _ = c.kills.LoadOrStore(killedBy{c.killers.name(table), reason}, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1)
}

// Tally returns a tally of a table that is never over.
func (c *counts) Tally(table string) *Tally {
	c.tallies.mu.Lock()
	defer c.tallies.mu.Unlock()
	return c.tallies.of(c.tallies.named(table))[0]
}

// NewTally returns a tally of a table for one shape of query, which is called so, until it is over.
func (c *counts) NewTally(table, label string) *Tally {
	ts := &c.tallies
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := &Tally{Table: table, Label: label}
	name := ts.named(table)
	ts.byTable[name] = append(ts.of(name), t)
	return t
}

// Over notes that nothing is asked any more that the tally of a table counts. It counts until the
// last of its entries has left.
func (c *counts) Over(table string, t *Tally) {
	ts := &c.tallies
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.unswept == nil {
		ts.unswept = map[string]int{}
	}
	t.over, table = true, ts.named(table)
	if ts.unswept[table]++; ts.unswept[table]*sweptAt >= len(ts.byTable[table]) {
		ts.sweep(table)
	}
}

// EachKill calls do with how many answers changes of a table killed, by what these found them.
func (c *counts) EachKill(do func(table string, reason coherence.Reason, n int64)) {
	c.kills.Range(func(key, n any) bool {
		do(key.(killedBy).table, key.(killedBy).reason, n.(*atomic.Int64).Load())
		return true
	})
}

// EachTally calls do with each tally of each table, those beyond maxTables together as one.
func (c *counts) EachTally(do func(table string, t *Tally)) {
	ts := &c.tallies
	ts.mu.Lock()
	all := maps.Clone(ts.byTable)
	for table := range all {
		ts.sweep(table)
		all[table] = slices.Clone(ts.byTable[table])
	}
	ts.mu.Unlock()
	for table, some := range all {
		for _, t := range some {
			do(table, t)
		}
	}
}

// clear sets all to zero but what tells what there is now.
func (c *counts) clear() {
	for _, n := range []*atomic.Int64{&c.Evicted, &c.Heavy, &c.Expired, &c.Preloads, &c.PreloadHits} {
		n.Store(0)
	}
	c.kills.Clear()
	c.killers.clear()
	c.EachTally(func(_ string, t *Tally) {
		t.Hits.Clear()
		t.Misses.Store(0)
		t.Seen.Clear()
	})
}
