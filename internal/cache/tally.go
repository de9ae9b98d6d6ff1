package cache

import (
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/coherence"
)

// counts are what a cache did. All are safe for concurrent use.
type counts struct {
	Evicted, Expired      atomic.Int64
	Preloads, PreloadHits atomic.Int64 // loads in the background whose answer was stored, and of these those whose answer was read

	kills   sync.Map // killedBy -> *atomic.Int64
	tallies sync.Map // table -> *tally
}

// Tally is what happened to the answers of one table.
type Tally struct {
	Hits, Misses atomic.Int64
	Entries      atomic.Int64
	Found        atomic.Int64 // bytes by which prepared queries find them
}

type killedBy struct {
	table  string
	reason coherence.Reason
}

func (c *counts) kill(table string, reason coherence.Reason) {
	key := killedBy{table, reason}
	n, ok := c.kills.Load(key)
	if !ok {
		n, _ = c.kills.LoadOrStore(key, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1)
}

// Tally returns the tally of a table.
func (c *counts) Tally(table string) *Tally {
	t, ok := c.tallies.Load(table)
	if !ok {
		t, _ = c.tallies.LoadOrStore(table, new(Tally))
	}
	return t.(*Tally)
}

// EachKill calls do with how many answers changes of a table killed, by what these found them.
func (c *counts) EachKill(do func(table string, reason coherence.Reason, n int64)) {
	c.kills.Range(func(key, n any) bool {
		do(key.(killedBy).table, key.(killedBy).reason, n.(*atomic.Int64).Load())
		return true
	})
}

// EachTally calls do with the tally of each table.
func (c *counts) EachTally(do func(table string, t *Tally)) {
	c.tallies.Range(func(table, t any) bool {
		do(table.(string), t.(*Tally))
		return true
	})
}

// clear sets all to zero but what tells what there is now.
func (c *counts) clear() {
	for _, n := range []*atomic.Int64{&c.Evicted, &c.Expired, &c.Preloads, &c.PreloadHits} {
		n.Store(0)
	}
	c.kills.Clear()
	c.EachTally(func(_ string, t *Tally) {
		t.Hits.Store(0)
		t.Misses.Store(0)
	})
}
