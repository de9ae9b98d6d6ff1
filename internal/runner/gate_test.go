package runner

import (
	"testing"

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
