package runner

import (
	"context"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
)

// Gate keeps statements of the application waiting while a load in the background has taken the one
// connection of its pool, so that the pool does not open another one for them. It is shut only at a
// moment at which none runs.
type Gate struct {
	mu      sync.Mutex
	inside  int           // statements that run
	count   int64         // of those that came in so far
	shut    chan struct{} // closed when it opens again; nil while it is open
	holder  int64         // the goroutine of the load, whose own statements pass
	busiest int           // the most that ran at a time since most was called
	// lately are the statements that came in lately, and delayed are those of them that the gate
	// kept waiting for more than Brisk.
	lately, delayed float64
	keeper          *keeper // which looks at the pool when statements come in; nil for none
}

const (
	// delayedShare is the share of the statements that may be delayed.
	delayedShare = 0.001
	// latelyCounted is how many statements are looked at for that; their counts are halved then.
	latelyCounted = 10_000
)

// Enter lets a statement in, as soon as the gate is open or its context has ended: then it takes no
// connection. Each Enter is followed by one Leave.
func (g *Gate) Enter(ctx context.Context) {
	var came time.Time // when the gate was first found shut
	for {
		g.mu.Lock()
		shut, holder := g.shut, g.holder
		if shut == nil {
			g.inside++
			g.count++
			g.busiest = max(g.busiest, g.inside)
			g.note(came)
			g.mu.Unlock()
			if g.keeper != nil && g.keeper.due() {
				g.keeper.look(time.Now())
			}
			return
		}
		g.mu.Unlock()
		if came.IsZero() {
			came = time.Now()
		}
		if ctx != nil && ctx.Err() != nil || holder == cache.Goroutine() {
			// Of the latter kind is code of the application that scans what is being loaded and
			// asks for more.
			g.mu.Lock()
			g.inside++
			g.mu.Unlock()
			return
		}
		select {
		case <-shut:
		case <-done(ctx):
		}
	}
}

// note counts a statement that came in, and since when it waited if it did. mu is held.
func (g *Gate) note(came time.Time) {
	g.lately++
	if !came.IsZero() && time.Since(came) > Brisk {
		g.delayed++
	}
	if g.lately >= latelyCounted {
		g.lately, g.delayed = g.lately/2, g.delayed/2
	}
}

// heldUp reports whether the gate delays more statements than it may.
func (g *Gate) heldUp() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.delayed > delayedShare*g.lately
}

// most returns how many statements ran at a time since the last call, at most.
func (g *Gate) most() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, g.busiest = g.busiest, g.inside
	return n
}

func done(ctx context.Context) <-chan struct{} {
	if ctx == nil {
		return nil
	}
	return ctx.Done()
}

// Leave says that a statement ended.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
}

// entered returns how many statements came in so far.
func (g *Gate) entered() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

// close shuts the gate if nobody is inside.
func (g *Gate) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside > 0 || g.shut != nil {
		return false
	}
	g.shut = make(chan struct{})
	return true
}

// hold says which goroutine shut the gate.
func (g *Gate) hold(goroutine int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holder = goroutine
}

// open opens the gate.
func (g *Gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut, g.holder = nil, 0
	}
}
