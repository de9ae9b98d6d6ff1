package cache

import (
	"math"
	"time"
)

// Since is what a reader demands of what it takes from memory: that its load began at that time or
// later, in nanoseconds since 1970. 0 demands nothing.
type Since int64

// Never is met by nothing that is in memory.
const Never Since = math.MaxInt64

// Met reports whether an entry, or the load of one, is what a reader demands.
func (s Since) Met(e *Entry) bool { return s == 0 || e.asked >= int64(s) }

// Within returns what a reader demands at a time who wants nothing that is older than age. It is
// nothing, where the gate vouches for that: then all changes are known that were made before, so
// that what is alive from now on has none of them missing.
func (c *Cache) Within(age time.Duration, now time.Time) Since {
	switch {
	case age <= 0:
		return Never
	case c.Gate.Vouches(age):
		return 0
	}
	return Since(max(1, now.UnixNano()-int64(age)))
}
