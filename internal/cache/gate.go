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
	known   atomic.Int64 // likewise: all is known that was done before, as far as it is known at all
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
	g.known.Store(math.MinInt64)
	return g
}

// Open reports whether the gate is open at a time.
func (g *Gate) Open(now time.Time) bool {
	until := g.until.Load()
	return until == always || g.open(now, until)
}

// Serves is Open of now.
func (g *Gate) Serves() bool { return g.clock.Now().UnixNano() < g.until.Load() }

func (g *Gate) open(now time.Time, until int64) bool {
	if g.foreign {
		now = g.clock.Now()
	}
	return now.UnixNano() < until
}

// Vouches reports whether the gate is open, and all latches vouch for it that all is known that was
// done so long ago. Without latches nobody does.
func (g *Gate) Vouches(age time.Duration) bool {
	now := g.clock.Now().UnixNano()
	return now < g.until.Load() && g.known.Load() >= now-int64(age)
}

// Latch is what one holder keeps a gate open with.
type Latch struct {
	gate  *Gate
	exact bool
	until int64 // by the clock of the gate
	known int64 // likewise: all that was done before is known
}

// Exact says that nothing is ever done of which the holder does not know while the latch keeps the
// gate open.
func (l *Latch) Exact() {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	l.exact = true
	l.gate.settle()
}

// Latch returns a latch that keeps the gate shut until Keep.
func (g *Gate) Latch() *Latch {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := &Latch{gate: g, until: math.MinInt64, known: math.MinInt64}
	g.latches = append(g.latches, l)
	g.settle()
	return l
}

// Keep says that all is known that was done before asked, a time of this process, and keeps the
// gate open until so long after that, as far as it is up to this latch. It does not take back what
// was said before.
func (l *Latch) Keep(asked time.Time, n time.Duration) {
	told := time.Now()
	passed := max(told.Sub(asked), told.Round(0).Sub(asked.Round(0)))
	g := l.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if left := n - passed; passed >= 0 && left > 0 {
		now := g.clock.Now().UnixNano()
		l.until, l.known = max(l.until, now+int64(left)), max(l.known, now-int64(passed))
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

// settle works out until when the gate is open, and what is known. It is locked.
func (g *Gate) settle() {
	until, known := int64(always), int64(always)
	for _, l := range g.latches {
		if until = min(until, l.until); !l.exact {
			known = min(known, l.known)
		}
	}
	g.until.Store(until)
	g.known.Store(known)
}
