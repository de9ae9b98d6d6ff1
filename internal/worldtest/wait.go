package worldtest

import (
	"context"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Within fails the test when do does not return in time, and shows the goroutines of the plugin.
func Within(t testing.TB, d time.Duration, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(d):
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		var mine []string
		for g := range strings.SplitSeq(string(buf), "\n\n") {
			if strings.Contains(g, "gorm-preload/preload.(*Plugin)") {
				mine = append(mine, g)
			}
		}
		t.Fatalf("%s did not return within %v\n%s", what, d, strings.Join(mine, "\n\n"))
	}
}

// Waiting is a context that says when somebody waits for it to end.
type Waiting struct {
	context.Context
	once  sync.Once
	Begun chan struct{}
}

// NewWaiting returns a context that ends with ctx.
func NewWaiting(ctx context.Context) *Waiting {
	return &Waiting{Context: ctx, Begun: make(chan struct{})}
}

// Done closes Begun, and then is Done of the context.
func (w *Waiting) Done() <-chan struct{} {
	w.once.Do(func() { close(w.Begun) })
	return w.Context.Done()
}

// Gate stops the queries that match at the database until it is opened.
type Gate struct {
	Arrived chan struct{}
	open    chan struct{}
	once    sync.Once
}

// Release opens the gate.
func (g *Gate) Release() { g.once.Do(func() { close(g.open) }) }

// Patience is for how long a test waits for what has to come, on a machine that is busy.
const Patience = time.Minute

// Budget is how long the concurrency and the differential tests run: PRELOAD_TEST_LONG holds a
// duration.
func Budget(t testing.TB, otherwise time.Duration) time.Duration {
	t.Helper()
	value := os.Getenv("PRELOAD_TEST_LONG")
	if value == "" {
		return otherwise
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		t.Fatalf("PRELOAD_TEST_LONG: %v", err)
	}
	return d
}
