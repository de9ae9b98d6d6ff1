package preload

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/own"
)

// Stats is what the plugin did since New or the last Clear (counters), and what it holds now
// (gauges).
type Stats struct {
	Hits          int64           // reads answered from memory, or by a query that another reader had under way
	Misses        int64           // reads that qualified and went to the database
	MissCauses    map[Cause]int64 // misses whose cause is known, nil while there are none; most others are of what was not asked for before
	Bypassed      int64           // reads that did not qualify
	BypassReasons map[Reason]int64
	Evicted       int64 // answers that left for want of room
	Expired       int64 // answers that outlived their TTL
	Invalidated   int64 // answers that a write, Invalidate or Clear killed
	// Kills has the answers in Invalidated by the table that was written, "" for all tables, and by
	// what the write found them: "row", it touched a row that the answer shows; "value", a row with
	// a value that the answer asks for; "column", rows that are not known, and a column that the
	// answer depends on; "table", no more is known than the table; "everything".
	Kills         map[string]map[string]int64
	TotalAccesses int64 // reads that qualified, and calls of RecordAccess and Load
	PreloadCount  int64 // background loads that stored an answer
	PreloadHits   int64 // those of them whose answer was then read

	Entries         int   // answers in memory
	Bytes           int64 // what they hold
	Memory          MemoryStats
	TrackedPatterns int
	Associations    int
	ActiveTasks     int // background loads that are running
	// AbandonedTasks are background loads that did not return although their context ended long
	// ago. Their loaders are not called again while they have not; where 16 of own data hang, or 16
	// of queries, nothing of the kind is loaded in the background.
	AbandonedTasks int

	Prediction PredictionStats // what is loaded because it is expected

	PreloadHitRate float64 // PreloadHits / PreloadCount; 0 while nothing was loaded
	HotUsed        float64 // the share of what ticks loaded lately, because it is hot, that was used; 0 while there was little of that
	Models         map[string]ModelStats
}

// PredictionStats tells how loading by association goes: how useful that was, how eager it is, and
// what that is judged by. Shares are 0 where there is nothing they could be of.
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

// MemoryStats is what the plugin holds, in bytes and by part. All parts are bounded: answers by
// WithMaxBytes, patterns by WithMaxPatterns, loaders by WithMaxLoaders times 4 KiB, what was
// learned by five eighths of WithMaxBytes (5 MiB at least) and the last accesses of 1,024 sessions,
// the others by limits of their own. What the application holds is not part of it: Prepared
// queries, and what the functions given to Load and Preload hold on to.
type MemoryStats struct {
	Answers    int64 // as Stats.Bytes has it
	Prepared   int64 // by what prepared queries find answers
	Templates  int64 // shapes of queries: 8 MiB at most
	Statements int64 // texts of other statements, and what they do: 4 MiB at most
	Loaders    int64
	Patterns   int64 // statistics of keys
	Prediction int64 // what follows what
}

// Sum returns what all parts hold.
func (m MemoryStats) Sum() int64 {
	return m.Answers + m.Prepared + m.Templates + m.Statements + m.Loaders + m.Patterns + m.Prediction
}

// ModelStats is the part of Stats that belongs to one table.
type ModelStats struct {
	Hits, Misses int64
	HitRate      float64 // of Hits + Misses; 0 while there were none
	Entries      int
}

// Reason says why a read went to the database untouched: the keys of Stats.BypassReasons.
type Reason string

// The reasons.
const (
	ReasonError       Reason = "error"            // the statement had failed before
	ReasonDryRun      Reason = "dry run"          // nothing is to be asked
	ReasonRaw         Reason = "raw SQL"          // the statement was given as SQL
	ReasonRows        Reason = "rows"             // Rows, Row and Scan
	ReasonNoModel     Reason = "no model"         // the statement has no model
	ReasonNoPolicy    Reason = "no policy"        // the model is not opted in
	ReasonBadTag      Reason = "bad tag"          // the model's tag is wrong, which is an error, too
	ReasonTransaction Reason = "transaction"      // a transaction reads the database
	ReasonPool        Reason = "other pool"       // a connection or pool that is not the plugin's
	ReasonAsked       Reason = "asked"            // Bypass, or ContextWithBypass
	ReasonContext     Reason = "context done"     // the statement's context has ended
	ReasonLocking     Reason = "locking"          // FOR UPDATE and the like
	ReasonResolver    Reason = "dbresolver"       // a choice of dbresolver
	ReasonDest        Reason = "destination"      // of a kind that cannot be copied, or holding values already
	ReasonArgs        Reason = "args"             // bind values that cannot be told apart
	ReasonLong        Reason = "long statement"   // of more text than is remembered, such as a list of tens of thousands of ids
	ReasonVolatile    Reason = "volatile"         // a function or value that changes by itself
	ReasonFunction    Reason = "unknown function" // a function that may write, or give a new value each time
	ReasonTable       Reason = "unknown table"    // a table of no model in use, which may be a view
	ReasonNotPlain    Reason = "not a plain read" // the statement may do more than read
	ReasonTooLarge    Reason = "too large"        // its answer was too large to be kept when it was asked for lately
	ReasonNotKeepable Reason = "not keepable"     // its answer holds what cannot be copied, such as a channel
	ReasonFault       Reason = "fault"            // in the plugin, see the log
)

// Cause says why a read that qualifies was not answered from memory: the keys of Stats.MissCauses.
type Cause string

// The causes.
const (
	CauseTooLarge    Cause = "too large"    // more rows than MaxRows, or heavier than WithMaxBytes
	CauseNotKeepable Cause = "not keepable" // the answer holds what cannot be copied, such as a channel
	CauseRefreshed   Cause = "refreshed"    // Refresh, or ContextWithRefresh
	CauseHeldOut     Cause = "held out"     // a write of what the answer depends on has not ended, or its end cannot be seen
)

// counters are written by everybody.
type counters struct {
	recorded atomic.Int64
	hotUsed  atomic.Uint64 // bits of the share

	bypassed sync.Map // reason -> *atomic.Int64
	causes   sync.Map // cause -> *atomic.Int64
}

func (c *counters) bypass(reason Reason) { add(&c.bypassed, reason) }

// cause counts why a miss was one; "" counts nothing.
func (c *counters) cause(cause Cause) {
	if cause != "" {
		add(&c.causes, cause)
	}
}

func add[K comparable](counts *sync.Map, key K) {
	n, ok := counts.Load(key)
	if !ok {
		n, _ = counts.LoadOrStore(key, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1)
}

func (c *counters) clear() {
	c.recorded.Store(0)
	c.hotUsed.Store(0)
	c.bypassed.Clear()
	c.causes.Clear()
}

// Stats returns what the plugin did and holds. The figures are read one after the other, so that
// they may differ by what happens meanwhile.
func (p *Plugin) Stats() Stats {
	if p.idle() {
		return Stats{}
	}
	c, counts := &p.stats, &p.cache.Counts
	s := Stats{
		BypassReasons:   map[Reason]int64{},
		Evicted:         counts.Evicted.Load(),
		Expired:         counts.Expired.Load(),
		Kills:           map[string]map[string]int64{},
		PreloadCount:    counts.Preloads.Load(),
		PreloadHits:     counts.PreloadHits.Load(),
		TrackedPatterns: p.patterns.Len(),
		Associations:    p.patterns.Associations(),
		ActiveTasks:     p.worker.Active(),
		AbandonedTasks:  p.worker.Abandoned(),
		HotUsed:         math.Float64frombits(c.hotUsed.Load()),
		Models:          map[string]ModelStats{},
	}
	s.Entries, s.Bytes = p.cache.Size()
	s.Memory = MemoryStats{
		Answers: s.Bytes, Templates: p.templates.Size(), Statements: p.footprints.Size(),
		Loaders: p.registry.size(), Patterns: p.patterns.Bytes(), Prediction: p.learner.Bytes(),
	}
	f := p.learner.Figures()
	s.Prediction = PredictionStats{
		Level: f.Level, Accuracy: f.Accuracy, Lateness: f.Lateness, Pollution: f.Pollution,
		Useful: f.Useful, Late: f.Late, Wasted: f.Wasted, Treated: f.Treated, Control: f.Control,
		Waiting: int(p.cache.Awaited()),
		Learned: p.learner.Learned(), Lost: p.learner.Lost(),
	}
	if !p.config.worker {
		s.Prediction.Level = 0
	}
	c.bypassed.Range(func(reason, n any) bool {
		s.BypassReasons[reason.(Reason)] = n.(*atomic.Int64).Load()
		return true
	})
	c.causes.Range(func(cause, n any) bool {
		if s.MissCauses == nil {
			s.MissCauses = map[Cause]int64{}
		}
		s.MissCauses[cause.(Cause)] = n.(*atomic.Int64).Load()
		return true
	})
	counts.EachKill(func(table string, reason coherence.Reason, n int64) {
		if s.Kills[table] == nil {
			s.Kills[table] = map[string]int64{}
		}
		s.Kills[table][reason.String()] = n
		s.Invalidated += n
	})
	for n := range maps.Values(s.BypassReasons) {
		s.Bypassed += n
	}
	counts.EachTally(func(table string, t *cache.Tally) {
		one := ModelStats{Hits: t.Hits.Load(), Misses: t.Misses.Load(), Entries: int(t.Entries.Load())}
		if one.Hits+one.Misses > 0 {
			one.HitRate = float64(one.Hits) / float64(one.Hits+one.Misses)
		}
		s.Memory.Prepared += t.Found.Load()
		s.Hits += one.Hits
		s.Misses += one.Misses
		if table != own.Table {
			s.Models[table] = one
		}
	})
	s.TotalAccesses = s.Hits + s.Misses + c.recorded.Load()
	if s.PreloadCount > 0 {
		s.PreloadHitRate = float64(s.PreloadHits) / float64(s.PreloadCount)
	}
	return s
}
