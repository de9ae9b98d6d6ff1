package runner

import (
	"context"
	"sync"

	"github.com/gorm-preload/preload/internal/cache"
)

// Gate keeps statements of the application waiting while a load in the background has taken the one
// connection of its pool, so that the pool does not open another one for them. It is shut only at a
// moment at which none runs.
type Gate struct {
	mu     sync.Mutex
	inside int           // statements that run
	count  int64         // of those that came in so far
	shut   chan struct{} // closed when it opens again; nil while it is open
	holder int64         // the goroutine of the load, whose own statements pass
}

// Enter lets a statement in, as soon as the gate is open or its context has ended: then it takes no
// connection. Each Enter is followed by one Leave.
func (g *Gate) Enter(ctx context.Context) {
	for {
		g.mu.Lock()
		shut, holder := g.shut, g.holder
		if shut == nil {
			g.inside++
			g.count++
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
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
