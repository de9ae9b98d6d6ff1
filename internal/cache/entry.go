package cache

import (
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/eviction"
	"github.com/gorm-preload/preload/internal/hotness"
)

// Entry is the answer of a key: made with its lease, filled by the load, and stored if the lease
// still lives then. After that its value does not change. What every hit looks at fills one cache
// line: from node.uses, at the end of node, to the first byte of guard, which says that it is dead.
type Entry struct {
	Key string
	// trial is what it was loaded for; nil for what was asked for, and once the trial is over.
	trial atomic.Pointer[Trial]
	// recent is by what a prepared query finds it; nil if none does.
	recent atomic.Pointer[recent]

	node eviction.Node[*Entry]
	// Value is a copy of what Statement.ReflectValue held; for own data, an any that holds the
	// value.
	Value     unsafe.Pointer
	Rows      int64
	asked     int64 // when its load began, in nanoseconds since 1970
	expires   int64 // likewise
	Pattern   *hotness.Pattern
	preloaded atomic.Bool // loaded in the background and not read since
	counted   atomic.Bool // part of the gauges
	Guard     coherence.Guard

	Tally *Tally
	// Before is how many accesses the pattern had before the answer was there for them, or asked
	// for by one.
	Before    int64
	Reloading atomic.Bool
	// Background says that it is loaded in the background. It is set, with pattern and before,
	// before the lease is taken.
	Background bool
	// Recorded says that more than the value was kept of the query, for readers whom the value does
	// not tell enough: its template knows where that is.
	Recorded bool
	// Unwatched says that what it shows may change without a change that kills it.
	Unwatched bool
	// awaited says that readers waited for it when it was loaded in the background.
	awaited bool
}

// NewEntry returns the entry of an answer that is about to be loaded.
func NewEntry(key string, stats *Tally) *Entry {
	e := &Entry{Key: key, Tally: stats}
	e.Guard.Owner, e.node.Owner = e, e
	return e
}

// Alive reports whether the entry may be served at now.
func (e *Entry) Alive(now time.Time) bool {
	return !e.Guard.Dead() && now.UnixNano() < e.expires
}

// Stored reports whether the entry is in the store, and counted.
func (e *Entry) Stored() bool { return e.counted.Load() }

// Due reports whether it is time to load the entry again before it expires.
func (e *Entry) Due(now time.Time) bool {
	return now.UnixNano() >= e.expires-(e.expires-e.asked)/reloadFraction
}

// Read returns how often the entry was read since it was loaded, as far as reads are counted:
// besides the one that asked for it.
func (e *Entry) Read() (n int64) {
	if e.Pattern == nil {
		return 0
	}
	if n = e.Pattern.Count() - e.Before; !e.Background {
		n--
	}
	return n
}

// Passed returns how much has passed of the time from the entry's load to its end.
func (e *Entry) Passed(now time.Time) float64 {
	return float64(now.UnixNano()-e.asked) / float64(e.expires-e.asked)
}

// Age returns how long ago the load of the entry began.
func (e *Entry) Age(now time.Time) time.Duration { return time.Duration(now.UnixNano() - e.asked) }

// Fetch looks at what a hit will change, so that it comes from memory together with the value that
// is about to be copied, and not after it.
func (e *Entry) Fetch() {
	if e.Pattern != nil {
		e.Pattern.Tracked()
	}
}

// IsEntry reports whether a value of a Store is one that the plugin put there.
func IsEntry(value any) bool {
	e, _ := value.(*Entry)
	return e != nil
}

// reloadFraction: a read in the last 1/5 of the time from an entry's load to its end starts its
// reload.
const reloadFraction = 5

// after is now+d in nanoseconds since 1970, or the last moment that can be told so.
func after(now time.Time, d time.Duration) int64 {
	if start := now.UnixNano(); start <= math.MaxInt64-int64(d) {
		return start + int64(d)
	}
	return math.MaxInt64
}

var keySeed = maphash.MakeSeed()

// Hash returns a hash of a key that is the same in this process only.
func Hash(key string) uint64 { return maphash.String(keySeed, key) }
