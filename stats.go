package preload

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/coherence"
)

// Stats is what the plugin did since New or the last Clear (counters), and what it holds now (gauges).
type Stats struct {
	Hits          int64 // reads answered from memory, or by a query that another reader had under way
	Misses        int64 // reads that qualified and went to the database
	Bypassed      int64 // reads that did not qualify
	BypassReasons map[string]int64
	Evicted       int64 // answers that left for want of room
	Expired       int64 // answers that outlived their TTL
	Invalidated   int64 // answers that a write, Invalidate or Clear killed
	// Kills has the answers in Invalidated by the table that was written, "" for all tables, and by what the write found
	// them: "row", it touched a row that the answer shows; "value", a row with a value that the answer asks for;
	// "column", rows that are not known, and a column that the answer depends on; "table", no more is known than
	// the table; "everything".
	Kills         map[string]map[string]int64
	TotalAccesses int64 // reads that qualified, and calls of RecordAccess and Load
	PreloadCount  int64 // background loads that stored an answer
	PreloadHits   int64 // those of them whose answer was then read

	Entries         int   // answers in memory
	Bytes           int64 // their weight
	TrackedPatterns int
	Associations    int
	ActiveTasks     int // background loads that are running

	Prediction PredictionStats // what is loaded because it is expected

	PreloadHitRate float64 // PreloadHits / PreloadCount; 0 while nothing was loaded
	HotUsed        float64 // the share of what ticks loaded lately, because it is hot, that was used; 0 while there was little of that
	Models         map[string]ModelStats
}

// PredictionStats tells how loading by association goes: how useful that was, how eager it is, and what that is judged by. Shares are 0
// where there is nothing they could be of.
type PredictionStats struct {
	Level     int     // from 0, nothing is loaded, to 5
	Accuracy  float64 // the share of the loads whose answer was asked for
	Lateness  float64 // the share of those that was asked for before it was there
	Pollution float64 // the share of the misses whose answer had left for one that was loaded

	Useful, Late, Wasted int64 // loads whose answer was read, asked for before it was there, or neither

	Treated, Control float64 // the hit ratios of the keys that may be loaded so, and of 1 in 16 that never are; of three intervals

	Waiting int // loads that wait for their turn, or run

	Learned, Lost int64 // accesses that were learned from, and that there was no room for
}

// ModelStats is the part of Stats that belongs to one table.
type ModelStats struct {
	Hits, Misses int64
	HitRate      float64 // of Hits + Misses; 0 while there were none
	Entries      int
}

// Why a read went to the database untouched: the keys of Stats.BypassReasons.
const (
	reasonError       = "error"            // the statement had failed before
	reasonDryRun      = "dry run"          //
	reasonRaw         = "raw SQL"          //
	reasonRows        = "rows"             // Rows, Row and Scan
	reasonNoModel     = "no model"         //
	reasonNoPolicy    = "no policy"        // the model is not opted in
	reasonBadTag      = "bad tag"          // an error, too
	reasonTransaction = "transaction"      //
	reasonPool        = "other pool"       // a connection or pool that is not the plugin's
	reasonAsked       = "asked"            // Bypass, or ContextWithBypass
	reasonContext     = "context done"     //
	reasonLocking     = "locking"          //
	reasonResolver    = "dbresolver"       // a choice of dbresolver
	reasonDest        = "destination"      // of a kind that cannot be copied, or holding values already
	reasonArgs        = "args"             // bind values that cannot be told apart
	reasonVolatile    = "volatile"         // a function or value that changes by itself
	reasonFunction    = "unknown function" //
	reasonTable       = "unknown table"    //
	reasonNotPlain    = "not a plain read" //
	reasonFault       = "fault"            // in the plugin, see the log
)

// counters are written by everybody.
type counters struct {
	evicted, expired      atomic.Int64
	recorded              atomic.Int64
	preloads, preloadHits atomic.Int64
	active                atomic.Int64
	hotUsed               atomic.Uint64 // bits of the share

	bypassed sync.Map // reason -> *atomic.Int64
	killed   sync.Map // killedBy -> *atomic.Int64
	models   sync.Map // table -> *modelStats
}

type killedBy struct {
	table  string
	reason coherence.Reason
}

type modelStats struct {
	hits, misses atomic.Int64
	entries      atomic.Int64
}

func (c *counters) bypass(reason string) { add(&c.bypassed, reason) }

func (c *counters) kill(table string, reason coherence.Reason) {
	add(&c.killed, killedBy{table, reason})
}

func add[K comparable](counts *sync.Map, key K) {
	n, ok := counts.Load(key)
	if !ok {
		n, _ = counts.LoadOrStore(key, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1)
}

func (c *counters) model(table string) *modelStats {
	m, ok := c.models.Load(table)
	if !ok {
		m, _ = c.models.LoadOrStore(table, new(modelStats))
	}
	return m.(*modelStats)
}

func (c *counters) clear() {
	for _, n := range []*atomic.Int64{&c.evicted, &c.expired, &c.recorded, &c.preloads, &c.preloadHits} {
		n.Store(0)
	}
	c.hotUsed.Store(0)
	c.bypassed.Clear()
	c.killed.Clear()
	c.models.Range(func(_, m any) bool {
		m.(*modelStats).hits.Store(0)
		m.(*modelStats).misses.Store(0)
		return true
	})
}

// Stats returns what the plugin did and holds. The figures are read one after the other, so that they may differ by
// what happens meanwhile.
func (p *Plugin) Stats() Stats {
	c := &p.stats
	s := Stats{
		BypassReasons:   map[string]int64{},
		Evicted:         c.evicted.Load(),
		Expired:         c.expired.Load(),
		Kills:           map[string]map[string]int64{},
		PreloadCount:    c.preloads.Load(),
		PreloadHits:     c.preloadHits.Load(),
		TrackedPatterns: p.patterns.Len(),
		Associations:    p.patterns.Associations(),
		ActiveTasks:     int(c.active.Load()),
		HotUsed:         math.Float64frombits(c.hotUsed.Load()),
		Models:          map[string]ModelStats{},
	}
	s.Entries, s.Bytes = p.recency.Size()
	f := p.learner.figures.Load()
	s.Prediction = PredictionStats{
		Level: f.Level, Accuracy: f.Accuracy, Lateness: f.Lateness, Pollution: f.Pollution,
		Useful: f.Useful, Late: f.Late, Wasted: f.Wasted, Treated: f.Treated, Control: f.Control,
		Waiting: int(p.worker.awaited.Load()),
		Learned: p.learner.learned.Load(), Lost: p.learner.buffer.Lost(),
	}
	if !p.config.worker {
		s.Prediction.Level = 0
	}
	c.bypassed.Range(func(reason, n any) bool {
		s.BypassReasons[reason.(string)] = n.(*atomic.Int64).Load()
		return true
	})
	c.killed.Range(func(key, n any) bool {
		by, n64 := key.(killedBy), n.(*atomic.Int64).Load()
		if s.Kills[by.table] == nil {
			s.Kills[by.table] = map[string]int64{}
		}
		s.Kills[by.table][by.reason.String()] = n64
		s.Invalidated += n64
		return true
	})
	for n := range maps.Values(s.BypassReasons) {
		s.Bypassed += n
	}
	c.models.Range(func(table, m any) bool {
		stats := m.(*modelStats)
		one := ModelStats{Hits: stats.hits.Load(), Misses: stats.misses.Load(), Entries: int(stats.entries.Load())}
		if one.Hits+one.Misses > 0 {
			one.HitRate = float64(one.Hits) / float64(one.Hits+one.Misses)
		}
		s.Hits += one.Hits
		s.Misses += one.Misses
		if table != ownTable {
			s.Models[table.(string)] = one
		}
		return true
	})
	s.TotalAccesses = s.Hits + s.Misses + c.recorded.Load()
	if s.PreloadCount > 0 {
		s.PreloadHitRate = float64(s.PreloadHits) / float64(s.PreloadCount)
	}
	return s
}
