package clock

import (
	"sync/atomic"
	"time"
)

// System tells a time that never goes back, and by which time passes as soon as either of two
// clocks says so: the wall clock, which can be set back, or the monotonic one, which a suspended
// machine does not advance. So what is kept for a while is kept for no longer than that. It reads
// the wall clock once in a Step and lets the monotonic clock carry on in between, which costs half
// as much: steps of the wall clock and the end of a suspension count within a Step.
type System struct {
	// Step is a second where it is 0. It does not change once the clock was read.
	Step time.Duration
	read atomic.Pointer[reckoning]
}

// reckoning is the time that a System told when it read the clocks.
type reckoning struct {
	clocks time.Time // with its monotonic reading
	told   time.Time // without one: it may be ahead of both
}

// Now returns the time.
func (c *System) Now() time.Time {
	last := c.read.Load()
	if last == nil {
		now := time.Now()
		c.read.CompareAndSwap(nil, &reckoning{now, now.Round(0)})
		last = c.read.Load()
	}
	passed := time.Since(last.clocks)
	if passed < c.Step || c.Step == 0 && passed < time.Second {
		return last.told.Add(passed)
	}
	now := time.Now()
	next := &reckoning{now, last.after(now.Sub(last.clocks), now.Round(0).Sub(last.clocks.Round(0)))}
	if !c.read.CompareAndSwap(last, next) {
		return c.Now()
	}
	return next.told
}

// after is the time to tell when so much has passed by the one clock and by the other.
func (r *reckoning) after(monotonic, wall time.Duration) time.Time {
	return r.told.Add(max(monotonic, wall))
}
