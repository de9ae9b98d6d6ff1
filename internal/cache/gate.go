package cache

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/clock"
)

// Gate says until when answers may be served from memory, and kept. It is open for good while it
// has no Latch; with some it is open until the first of their times has come, by whichever of the
// wall clock and the monotonic clock says so first.
type Gate struct {
	until   atomic.Int64 // nanoseconds since 1970, by the clock of the gate; always without latches
	clock   *clock.System
	foreign bool // the time that it is asked with is by another clock

	mu      sync.Mutex // a leaf
	latches []*Latch
}

// always is a time that does not come.
const always = math.MaxInt64

// GateStep is how long the clock of a gate may go without looking at the wall clock: for so long a
// process may take a machine that was suspended for one that was not.
const GateStep = time.Millisecond

// NewGate returns a gate without latches. It is asked with the time of a clock whose Step is
// GateStep at most; if that is nil, with that of any clock, and has one of its own.
func NewGate(by *clock.System) *Gate {
	g := &Gate{clock: by}
	if by == nil {
		g.clock, g.foreign = &clock.System{Step: GateStep}, true
	}
	g.until.Store(always)
	return g
}

// Open reports whether the gate is open at a time.
func (g *Gate) Open(now time.Time) bool {
	until := g.until.Load()
	return until == always || g.open(now, until)
}

func (g *Gate) open(now time.Time, until int64) bool {
	if g.foreign {
		now = g.clock.Now()
	}
	return now.UnixNano() < until
}

// Latch is what one holder keeps a gate open with.
type Latch struct {
	gate  *Gate
	until int64 // by the clock of the gate
}

// Latch returns a latch that keeps the gate shut until Keep.
func (g *Gate) Latch() *Latch {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := &Latch{gate: g, until: math.MinInt64}
	g.latches = append(g.latches, l)
	g.settle()
	return l
}

// Keep keeps the gate open until so long after asked, a time of this process, as far as it is up to
// this latch. It does not take back what was said before.
func (l *Latch) Keep(asked time.Time, n time.Duration) {
	now := time.Now()
	passed := max(now.Sub(asked), now.Round(0).Sub(asked.Round(0)))
	g := l.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if left := n - passed; passed >= 0 && left > 0 {
		l.until = max(l.until, g.clock.Now().UnixNano()+int64(left))
		g.settle()
	}
}

// Shut shuts the gate until Keep.
func (l *Latch) Shut() {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	l.until = math.MinInt64
	l.gate.settle()
}

// settle works out until when the gate is open. It is locked.
func (g *Gate) settle() {
	until := int64(always)
	for _, l := range g.latches {
		until = min(until, l.until)
	}
	g.until.Store(until)
}
