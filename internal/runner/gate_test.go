package runner

import (
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
)

func TestAGateShutsOnNobody(t *testing.T) {
	t.Parallel()
	var g Gate
	g.Enter(t.Context())
	if g.close() {
		t.Fatal("it shut on a statement that runs")
	}
	g.Leave()
	if !g.close() || g.close() {
		t.Fatal("want it to shut once when nobody is inside")
	}
	held := make(chan bool)
	go func() {
		g.hold(cache.Goroutine())
		g.Enter(t.Context()) // its own statements pass
		g.Leave()
		held <- true
	}()
	<-held
	passed := make(chan bool)
	go func() {
		g.Enter(t.Context())
		defer g.Leave()
		passed <- true
	}()
	select {
	case <-passed:
		t.Fatal("a statement passed the shut gate")
	default:
	}
	g.open()
	<-passed
	g.open() // it may be opened twice: by the load, and when that is overdue
	if n := g.entered(); n != 2 {
		t.Errorf("%d came in through the open gate, want 2", n)
	}
}

// TestLoadsEndThatDelayStatements counts statements that the gate kept waiting for more than they
// may be.
func TestLoadsEndThatDelayStatements(t *testing.T) {
	t.Parallel()
	var g Gate
	late := func() {
		g.mu.Lock()
		g.note(time.Now().Add(-2 * Brisk))
		g.mu.Unlock()
	}
	pass := func(n int) {
		for range n {
			g.Enter(t.Context())
			g.Leave()
		}
	}
	pass(10)
	if g.heldUp() {
		t.Fatal("nobody was delayed")
	}
	if late(); !g.heldUp() {
		t.Fatal("one of eleven was delayed")
	}
	if pass(1_000); g.heldUp() {
		t.Error("one of a thousand is not too much")
	}
	late()
	late()
	if pass(900); !g.heldUp() {
		t.Error("three of two thousand are too much")
	}
	if pass(3 * latelyCounted); g.heldUp() {
		t.Error("what was long ago counts")
	}
}
