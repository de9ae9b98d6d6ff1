package processors

import (
	"testing"
	"time"
)

// TestProcessorsAreBusyWhereOneWaitsForThem in the mean: one that waited long says nothing, nor
// do those that wait some microseconds.
func TestProcessorsAreBusyWhereOneWaitsForThem(t *testing.T) {
	t.Parallel()
	var w Waits
	after := func(n int, d time.Duration) bool {
		for range n {
			w.note(d)
		}
		return w.Busy()
	}
	for _, step := range []struct {
		n    int
		d    time.Duration
		busy bool
	}{
		{100, 10 * time.Microsecond, false},
		{1, time.Minute, false},
		{100, 10 * time.Microsecond, false},
		{20, time.Millisecond, true},
		{100, time.Millisecond, true},
		{100, 10 * time.Microsecond, false},
	} {
		if busy := after(step.n, step.d); busy != step.busy {
			t.Errorf("after %d that waited %v: busy %t", step.n, step.d, busy)
		}
	}
}
