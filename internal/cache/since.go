package cache

import (
	"math"
	"time"
)

// Since is what a reader demands of what it takes from memory: that its load began at a time or
// later, in nanoseconds since 1970; 0 is any. The zero value demands nothing.
type Since struct {
	Watched   int64 // of an answer that each change kills which it can have made wrong
	Unwatched int64 // of another one
}

// never is met by nothing that is in memory.
const never = math.MaxInt64

// Never is met by nothing that is in memory.
var Never = Since{never, never}

// Known returns what a reader demands who wants what was known at some time, where all changes are
// that were made until then: there is no telling what of them an answer shows that is not watched.
func Known() Since { return Since{0, never} }

// Met reports whether an entry, or the load of one, is what a reader demands.
func (s Since) Met(e *Entry) bool {
	at := s.Watched
	if e.Unwatched {
		at = s.Unwatched
	}
	return at == 0 || e.asked >= at
}

// And returns what meets both demands.
func (s Since) And(o Since) Since {
	return Since{max(s.Watched, o.Watched), max(s.Unwatched, o.Unwatched)}
}

// Within returns what a reader demands at a time who wants nothing that is older than age. Of what
// is watched it is nothing, where the gate vouches for that: then all changes are known that were
// made before, so that what is alive from now on has none of them missing.
func (c *Cache) Within(age time.Duration, now time.Time) Since {
	if age <= 0 {
		return Never
	}
	at := max(1, now.UnixNano()-int64(age))
	if c.Gate.Vouches(age) {
		return Since{0, at}
	}
	return Since{at, at}
}
