package preload

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/own"
	"github.com/gorm-preload/preload/internal/seen"
)

// Stats is what the plugin did since New or the last Clear (counters), and what it holds now
// (gauges).
type Stats struct {
	Hits          int64           // reads answered from memory, or by a query that another reader had under way
	Misses        int64           // reads that qualified and went to the database
	Joined        int64           // of the hits: answered by the query of another reader
	Stale         int64           // of the hits: answered from memory while the answer was loaded again
	MissCauses    map[Cause]int64 // nil while there are no misses; of a miss that is under way the cause is not known yet
	Bypassed      int64           // reads that did not qualify
	BypassReasons map[Reason]int64
	Evicted       int64 // answers that left for want of room, of which so many
	EvictedBytes  int64 // for want of bytes, and the others for want of entries
	Expired       int64 // answers that outlived their TTL
	Invalidated   int64 // answers that a write, Invalidate or Clear invalidated
	// InvalidatedBy has the answers in Invalidated by the table that was written, "" for all
	// tables, "tag" for all tags of InvalidateTags and "other" for those beyond the first 1,000,
	// and by the rule by which the write found them: "row", it touched a row that the
	// answer shows; "value", a row with a value that the answer asks for; "column", rows that are
	// not known, and a column that the answer depends on; "table", no more is known than the table;
	// "everything".
	InvalidatedBy map[string]map[string]int64
	TotalAccesses int64 // reads that qualified, and calls of RecordAccess and Load
	PreloadCount  int64 // background loads that stored an answer
	PreloadHits   int64 // those of them whose answer was then read

	Entries         int   // answers in memory
	Bytes           int64 // what they hold, and what is remembered of those that left for want of room or were invalidated
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
	Mode           Mode
	Limits         Limits // what is limited, by the side of what there is
	Settings       Settings
	Feeds          []FeedStats // in the order of WithFeed
	// HeldOut are the tables whose answers are not kept now, since the end of a write cannot be
	// seen, "" for all tables; HoldOuts are the writes that had some held out since New, and
	// HoldOutsBy those by why it could not: "not answered", the connection or the context of a
	// write ended before the server answered; "raw rows", a raw write whose rows are read; "other
	// pool", a connection or pool that is not the plugin's; "raw transaction", one that a statement
	// began or ended; "other callback", one in place of the plugin's; "other process".
	HeldOut    []string
	HoldOuts   int64
	HoldOutsBy map[string]int64
	Faults     map[string]int64 // by the part of the plugin; nil while there are none
	Verify     VerifyStats
	Loads      LoadStats

	HotUsed float64               // the share of what ticks loaded lately, because it is hot, that was used; 0 while there was little of that
	Models  map[string]ModelStats // by table; those beyond the first 1,000 as "other"
	Own     ModelStats            // of own data
}

// Limits are the limits that options set, and those that are fixed.
type Limits struct {
	Entries   int   // WithMaxEntries
	Bytes     int64 // WithMaxBytes
	Patterns  int   // WithMaxPatterns
	Loaders   int   // WithMaxLoaders
	Shapes    int   // told by Plugin.Shapes
	Unserved  int   // told by Plugin.Unserved
	LoadSlots int   // WithConcurrency
}

// VerifyStats counts the answers in memory that were compared with those of the database, in
// ModeShadow or as WithVerify has it.
type VerifyStats struct {
	Equal, Mismatches int64
	// Skipped could not be compared: a write came in between, the database may give several
	// answers, as with a LIMIT without ORDER BY, or was too busy to be asked.
	Skipped   int64
	Failed    int64    // the database gave no answer
	Withdrawn []string // tables whose models are not served any more, as WithVerify.DisableAfter has it
}

// LoadStats counts the loads in the background that have ended, by why they were made, "tick",
// "expiry", "write", "association" or "warm" (other processes had it hot, WithSharedHot), and by
// their result, "stored", "dead" (what it found could not be kept), "error", "timeout" or
// "cancelled"; by the same causes but "warm", the loads whose answer was then asked for, and how
// long the loads took.
type LoadStats struct {
	Results map[string]map[string]int64
	Used    map[string]int64
	Took    map[string]Durations
}

// Durations tell how long something took: how often, in all, and how often it took at most so long
// and longer than the next lower bound. What took longer than all bounds is in Count alone.
type Durations struct {
	Count   int64
	Sum     time.Duration
	Buckets map[time.Duration]int64
}

func durations(sum time.Duration, buckets seen.Buckets) Durations {
	d := Durations{Sum: sum, Buckets: make(map[time.Duration]int64, len(seen.Bounds))}
	for i, n := range buckets {
		if d.Count += n; i < len(seen.Bounds) {
			d.Buckets[seen.Bounds[i]] = n
		}
	}
	return d
}

// PredictionStats tells how loading by association goes: how useful that was, how eager it is, and
// what that is judged by. Shares are 0 where there is nothing they could be of.
type PredictionStats struct {
	Level     int     // why the last loads were made: from 0, to see whether they are used, to 5, since such loads are
	Accuracy  float64 // the share of the loads whose answer was asked for
	Lateness  float64 // the share of those that was asked for before it was there
	Pollution float64 // the share of the misses whose answer had left for one that was loaded

	Useful, Late, Wasted int64 // loads whose answer was read, asked for before it was there, or neither

	Treated, Control float64 // the hit ratios of the keys that may be loaded so, and of 1 in 16 that never are

	Waiting int // loads that wait for their turn, or run

	Learned, Lost int64 // accesses that were learned from, which are a sample of all, and that were to be but found no room
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
	Seen       int64 // why answers left memory, what was not served, and what was written lately
	Recordings int64 // rows that are being read, and kept once that is done: half of WithMaxBytes at most
}

// Sum returns what all parts hold.
func (m MemoryStats) Sum() int64 {
	return m.Answers + m.Prepared + m.Templates + m.Statements + m.Loaders + m.Patterns + m.Prediction + m.Recordings + m.Seen
}

// ModelStats is the part of Stats that belongs to one table.
type ModelStats struct {
	Hits, Misses int64
	HitRate      float64 // of Hits + Misses; 0 while there were none
	Entries      int
	Joined       int64 // of the hits
	Stale        int64 // of the hits
	MissCauses   map[Cause]int64
	Bytes        int64     // that the answers weigh
	Queries      Durations // of the misses
	Verify       VerifyStats
}

// take takes over what shapes of the model counted.
func (m *ModelStats) take(f *seen.Figures) {
	m.Joined, m.Stale, m.Bytes = f.Joined, f.Stale, f.Bytes
	m.MissCauses, m.Queries = causesOf(f), durations(f.DBTime, f.Queries)
	m.Verify = verifiedOf(f)
}

// causesOf returns the causes of misses as they are documented.
func causesOf(f *seen.Figures) (causes map[Cause]int64) {
	for why, n := range f.Causes {
		if causes == nil {
			causes = map[Cause]int64{}
		}
		causes[Cause(why)] += n
	}
	return causes
}

func verifiedOf(f *seen.Figures) VerifyStats {
	return VerifyStats{Equal: f.Verdicts[seen.Equal], Mismatches: f.Verdicts[seen.Mismatch], Skipped: f.Verdicts[seen.Skipped], Failed: f.Verdicts[seen.Failed]}
}

// Reason says why a read went to the database untouched: the keys of Stats.BypassReasons.
type Reason string

// The reasons.
const (
	ReasonError       Reason = "error"            // the statement had failed before
	ReasonDryRun      Reason = "dry run"          // nothing is to be asked
	ReasonRaw         Reason = "raw SQL"          // the statement was given as SQL, without WithRaw or Cache
	ReasonRows        Reason = "rows"             // Row, Rows and Scan that cannot be kept
	ReasonNoModel     Reason = "no model"         // the statement has no model, and its table none that is opted in
	ReasonNoPolicy    Reason = "no policy"        // the model of the table is not opted in, or one that is read is opted out
	ReasonBadTag      Reason = "bad tag"          // the model's tag is wrong, which is an error, too
	ReasonTransaction Reason = "transaction"      // a transaction reads the database, but for what WithTransactionReads allows
	ReasonOwnWrites   Reason = "own writes"       // what its transaction wrote could show in the answer
	ReasonPool        Reason = "other pool"       // a connection or pool that is not the plugin's
	ReasonAsked       Reason = "asked"            // Bypass, or ContextWithBypass
	ReasonContext     Reason = "context done"     // the statement's context has ended
	ReasonLocking     Reason = "locking"          // FOR UPDATE and the like
	ReasonResolver    Reason = "dbresolver"       // a choice of dbresolver
	ReasonDest        Reason = "destination"      // of a kind that cannot be copied
	ReasonArgs        Reason = "args"             // bind values that cannot be told apart
	ReasonLong        Reason = "long statement"   // of more text than is remembered, such as a list of tens of thousands of ids
	ReasonVolatile    Reason = "volatile"         // a function or value that changes by itself
	ReasonFunction    Reason = "unknown function" // a function that may write, or give a new value each time
	ReasonTable       Reason = "unknown table"    // a table of no model in use, which may be a view
	ReasonNotPlain    Reason = "not a plain read" // the statement may do more than read
	ReasonTooLarge    Reason = "too large"        // its answer was too large to be kept when it was asked for lately
	ReasonNotKeepable Reason = "not keepable"     // its answer holds what cannot be copied, such as a channel
	ReasonFault       Reason = "fault"            // in the plugin, see the log
	ReasonOff         Reason = "off"              // the plugin is in ModeOff
	ReasonWithdrawn   Reason = "withdrawn"        // answers of the model were wrong, so that WithVerify switched it off
)

// Cause says why a read that qualifies was not answered from memory: the keys of Stats.MissCauses.
type Cause string

// The causes.
const (
	CauseCold        Cause = "cold"         // it was not in memory before, as far as is remembered
	CauseInvalidated Cause = "invalidated"  // a write, Invalidate or Clear invalidated it
	CauseExpired     Cause = "expired"      // it outlived its TTL
	CauseEvicted     Cause = "evicted"      // it left for want of room
	CauseClosed      Cause = "closed"       // a feed did not say in time what other processes have written
	CauseTooLarge    Cause = "too large"    // more rows than MaxRows, or heavier than WithMaxBytes
	CauseNotKeepable Cause = "not keepable" // the answer holds what cannot be copied, such as a channel
	CauseNotRepeated Cause = "not repeated" // hardly any of the thousand queries of this shape before was asked again, while others had to leave; a few are kept, to see whether that changes
	CauseRefreshed   Cause = "refreshed"    // Refresh, or ContextWithRefresh
	CauseTooOld      Cause = "too old"      // it was in memory, and older than ContextWithFreshness or ContextWithAtLeast allows, or not known to be younger
	CauseTransaction Cause = "transaction"  // asked in a transaction, and not kept: that writes what could show in it, or is not at READ COMMITTED
	CauseHeldOut     Cause = "held out"     // a write of what the answer depends on has not ended, or its end cannot be seen
)

// counters are written by everybody.
type counters struct {
	recorded atomic.Int64
	bypassed sync.Map // reason -> *atomic.Int64
	unserved seen.Unserved
	holdOuts *seen.HoldOuts
	writes   seen.Writes
}

func (c *counters) bypass(reason Reason) { add(&c.bypassed, reason) }

func add[K comparable](counts *sync.Map, key K) {
	n, ok := counts.Load(key)
	if !ok {
		n, _ = counts.LoadOrStore(key, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1)
}

func (c *counters) clear() {
	c.recorded.Store(0)
	c.bypassed.Clear()
	c.unserved.Clear()
	c.writes.Clear()
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
		EvictedBytes:    counts.Heavy.Load(),
		Expired:         counts.Expired.Load(),
		InvalidatedBy:   map[string]map[string]int64{},
		PreloadCount:    counts.Preloads.Load(),
		PreloadHits:     counts.PreloadHits.Load(),
		TrackedPatterns: p.patterns.Len(),
		Associations:    p.patterns.Associations(),
		ActiveTasks:     p.worker.Active(),
		AbandonedTasks:  p.worker.Abandoned(),
		HotUsed:         p.worker.Told.HotUsed(),
		Models:          map[string]ModelStats{},
	}
	s.Entries, s.Bytes = p.cache.Size()
	s.Memory = MemoryStats{
		Answers: s.Bytes, Templates: p.templates.Size(), Statements: p.footprints.Size(),
		Loaders: p.loaders.Size(), Patterns: p.patterns.Bytes() + p.worker.Told.Bytes(), Prediction: p.learner.Bytes(),
		Seen: p.cache.PastBytes() + c.unserved.Bytes() + c.writes.Bytes(),
	}
	s.Mode, s.Limits, s.Faults = p.Mode(), p.limits(), p.config.faults.Parts()
	c.holdOuts.Look()
	s.HeldOut, s.HoldOuts = p.cache.Index.HeldOut()
	s.HoldOutsBy = c.holdOuts.Causes()
	s.Verify.Withdrawn = p.templates.Withdrawn()
	loads := &p.worker.Told.Loads
	s.Loads = LoadStats{Results: loads.Results(), Used: map[string]int64{}, Took: map[string]Durations{}}
	loads.EachUsed(func(cause string, n int64) { s.Loads.Used[cause] = n })
	loads.Took(func(cause string, sum time.Duration, buckets seen.Buckets) {
		s.Loads.Took[cause] = durations(sum, buckets)
	})
	s.Settings, s.Feeds = p.settings(), p.feedStats()
	if p.ready.Load() {
		s.Memory.Recordings = p.source.Recordings.Held()
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
	counts.EachKill(func(table string, reason coherence.Reason, n int64) {
		if s.InvalidatedBy[table] == nil {
			s.InvalidatedBy[table] = map[string]int64{}
		}
		s.InvalidatedBy[table][reason.String()] = n
		s.Invalidated += n
	})
	for n := range maps.Values(s.BypassReasons) {
		s.Bypassed += n
	}
	figures := map[string]*seen.Figures{}
	counts.EachTally(func(table string, t *cache.Tally) {
		if figures[table] == nil {
			figures[table] = &seen.Figures{}
		}
		t.Seen.Into(figures[table])
		s.Memory.Prepared += t.Found.Load()
		one := s.Models[table]
		one.Hits += t.Hits.Load()
		one.Misses += t.Misses.Load()
		one.Entries += int(t.Entries.Load())
		s.Models[table] = one
	})
	for table, one := range s.Models {
		s.Hits += one.Hits
		s.Misses += one.Misses
		if one.Hits+one.Misses > 0 {
			one.HitRate = float64(one.Hits) / float64(one.Hits+one.Misses)
		}
		one.take(figures[table])
		s.Models[table] = one
		s.Joined += one.Joined
		s.Stale += one.Stale
		for why, n := range one.MissCauses {
			if s.MissCauses == nil {
				s.MissCauses = map[Cause]int64{}
			}
			s.MissCauses[why] += n
		}
		s.Verify.Equal += one.Verify.Equal
		s.Verify.Mismatches += one.Verify.Mismatches
		s.Verify.Skipped += one.Verify.Skipped
		s.Verify.Failed += one.Verify.Failed
	}
	s.Own = s.Models[own.Table]
	delete(s.Models, own.Table)
	s.TotalAccesses = s.Hits + s.Misses + c.recorded.Load()
	if s.PreloadCount > 0 {
		s.PreloadHitRate = float64(s.PreloadHits) / float64(s.PreloadCount)
	}
	return s
}
