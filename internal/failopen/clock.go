package failopen

import (
	"math"
	"sync/atomic"
	"time"
)

// Clock is a Clock of the application's, whose time does not go back here: one that is set back
// goes on from where it was. A clock that panics harms nothing: the system's serves instead. It is
// looked at in whole seconds, so that it costs a hit no write.
type Clock struct {
	clock  interface{ Now() time.Time }
	latest atomic.Int64 // that was told by the clock, in nanoseconds since 1970, but for less than a second
	behind atomic.Int64 // by how much it was set back
}

// NewClock guards a clock.
func NewClock(clock interface{ Now() time.Time }) *Clock {
	c := &Clock{clock: clock}
	c.latest.Store(math.MinInt64)
	return c
}

// Now returns the time, which does not go back by more than a second.
func (c *Clock) Now() (now time.Time) {
	defer func() {
		if recover() != nil {
			now = time.Now()
		}
	}()
	now = c.clock.Now()
	told, latest := now.UnixNano(), c.latest.Load()
	switch {
	case told > latest+int64(time.Second):
		c.latest.CompareAndSwap(latest, told)
	case told < latest-int64(time.Second) && c.latest.CompareAndSwap(latest, told):
		c.behind.Add(latest - told)
	}
	return now.Add(time.Duration(c.behind.Load()))
}
