package seen

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Cause is why a read was not answered from memory, in the words of the statistics.
type Cause string

// The causes of a miss.
const (
	Cold        Cause = "cold"         // its answer was not in memory before, as far as is remembered
	Invalidated Cause = "invalidated"  // a write, Invalidate or Clear invalidated its answer
	Expired     Cause = "expired"      // its answer outlived its TTL
	Evicted     Cause = "evicted"      // its answer left for want of room
	HeldOut     Cause = "held out"     // a write has not ended, or its end cannot be seen
	Refreshed   Cause = "refreshed"    // the application asked for the database
	TooLarge    Cause = "too large"    // its answer is too large to be kept
	NotKeepable Cause = "not keepable" // its answer cannot be copied
	NotRepeated Cause = "not repeated" // reads of its shape are hardly ever asked again
	Closed      Cause = "closed"       // nothing was served from memory at that time
)

// Causes are all of them, in the order in which they are told.
var Causes = [...]Cause{Cold, Invalidated, Expired, Evicted, HeldOut, Refreshed, TooLarge, NotKeepable, NotRepeated, Closed}

func (c Cause) index() int {
	for i, known := range Causes {
		if c == known {
			return i
		}
	}
	return 0
}

// Bounds are the upper bounds of the buckets of a Histogram; what takes longer is in one more.
var Bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Buckets are how many of what was measured fell into each bucket of a Histogram.
type Buckets [len(Bounds) + 1]int64

// Histogram tells how long something took.
type Histogram struct {
	sum     atomic.Int64
	buckets [len(Bounds) + 1]atomic.Int64
}

// Took notes how long it took once.
func (h *Histogram) Took(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// Load returns how long it took in all, and how often it took how long.
func (h *Histogram) Load() (sum time.Duration, buckets Buckets) {
	for i := range h.buckets {
		buckets[i] = h.buckets[i].Load()
	}
	return time.Duration(h.sum.Load()), buckets
}

func (h *Histogram) add(other *Histogram) {
	h.sum.Add(other.sum.Load())
	for i := range h.buckets {
		h.buckets[i].Add(other.buckets[i].Load())
	}
}

func (h *Histogram) clear() {
	h.sum.Store(0)
	for i := range h.buckets {
		h.buckets[i].Store(0)
	}
}

// maxWriters bounds the written tables that a shape tells apart; the others are told as "other".
const maxWriters = 16

// By is what invalidated answers: the table that was written, "" for all tables, and the rule by
// which the write found them.
type By struct{ Table, Rule string }

// Shape counts what happened to the reads of one shape besides hits and misses.
type Shape struct {
	Joined, Stale atomic.Int64 // hits of another reader's query; hits while the answer is loaded again
	Bytes         atomic.Int64 // what its answers weigh that are in memory
	Queries       Histogram    // of its misses
	causes        [len(Causes)]atomic.Int64
	verdicts      [len(Verdicts)]atomic.Int64

	mu          sync.Mutex
	invalidated map[By]int64
}

// Verdict is what came of comparing an answer in memory with that of the database.
type Verdict string

// The verdicts.
const (
	Equal    Verdict = "equal"
	Mismatch Verdict = "mismatch" // memory held something else
	Skipped  Verdict = "skipped"  // the two may differ, or cannot be compared, or a write came in between
	Failed   Verdict = "error"    // the database gave no answer
)

// Verdicts are all of them.
var Verdicts = [...]Verdict{Equal, Mismatch, Skipped, Failed}

// Missed counts a miss; a cause that is none counts as Cold.
func (s *Shape) Missed(why Cause) { s.causes[why.index()].Add(1) }

// Compared counts a comparison.
func (s *Shape) Compared(v Verdict) {
	for i, known := range Verdicts {
		if v == known {
			s.verdicts[i].Add(1)
		}
	}
}

// Invalidate counts an answer that a write invalidated.
func (s *Shape) Invalidate(by By) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invalidate(by, 1)
}

// invalidate is called with mu held.
func (s *Shape) invalidate(by By, n int64) {
	if s.invalidated == nil {
		s.invalidated = map[By]int64{}
	}
	if _, known := s.invalidated[by]; !known && len(s.invalidated) >= maxWriters {
		by.Table = "other"
	}
	s.invalidated[by] += n
}

// Figures are what a Shape counted.
type Figures struct {
	Joined, Stale int64
	Bytes         int64
	DBTime        time.Duration
	Queries       Buckets
	Causes        map[Cause]int64
	Verdicts      map[Verdict]int64
	Invalidated   map[By]int64
}

// Into adds what the shape counted to figures, whose maps it makes where they are nil.
func (s *Shape) Into(f *Figures) {
	f.Joined += s.Joined.Load()
	f.Stale += s.Stale.Load()
	f.Bytes += s.Bytes.Load()
	took, buckets := s.Queries.Load()
	f.DBTime += took
	for i, n := range buckets {
		f.Queries[i] += n
	}
	for i := range s.causes {
		if n := s.causes[i].Load(); n != 0 {
			add(&f.Causes, Causes[i], n)
		}
	}
	for i := range s.verdicts {
		if n := s.verdicts[i].Load(); n != 0 {
			add(&f.Verdicts, Verdicts[i], n)
		}
	}
	s.mu.Lock()
	invalidated := maps.Clone(s.invalidated)
	s.mu.Unlock()
	for by, n := range invalidated {
		add(&f.Invalidated, by, n)
	}
}

// Add adds what others counted.
func (f *Figures) Add(o *Figures) {
	f.Joined, f.Stale, f.Bytes, f.DBTime = f.Joined+o.Joined, f.Stale+o.Stale, f.Bytes+o.Bytes, f.DBTime+o.DBTime
	for i, n := range o.Queries {
		f.Queries[i] += n
	}
	for why, n := range o.Causes {
		add(&f.Causes, why, n)
	}
	for v, n := range o.Verdicts {
		add(&f.Verdicts, v, n)
	}
	for by, n := range o.Invalidated {
		add(&f.Invalidated, by, n)
	}
}

func add[K comparable](to *map[K]int64, key K, n int64) {
	if *to == nil {
		*to = map[K]int64{}
	}
	(*to)[key] += n
}

// Add adds what another shape counted, but for what it holds.
func (s *Shape) Add(other *Shape) {
	s.Joined.Add(other.Joined.Load())
	s.Stale.Add(other.Stale.Load())
	s.Queries.add(&other.Queries)
	for i := range s.causes {
		s.causes[i].Add(other.causes[i].Load())
	}
	for i := range s.verdicts {
		s.verdicts[i].Add(other.verdicts[i].Load())
	}
	other.mu.Lock()
	invalidated := maps.Clone(other.invalidated)
	other.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for by, n := range invalidated {
		s.invalidate(by, n)
	}
}

// Clear sets the counters to zero, but not what tells what there is now.
func (s *Shape) Clear() {
	s.Joined.Store(0)
	s.Stale.Store(0)
	s.Queries.clear()
	for i := range s.causes {
		s.causes[i].Store(0)
	}
	for i := range s.verdicts {
		s.verdicts[i].Store(0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invalidated = nil
}
