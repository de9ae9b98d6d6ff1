package cache

import (
	"testing"
	"time"
)

func TestAReadersPatienceFollowsWhatIsUsual(t *testing.T) {
	t.Parallel()
	w := &Waits{Least: leastWait, Most: mostWait, First: firstWait}
	for _, c := range []struct {
		name string
		took []time.Duration
		want [2]time.Duration // from, to
	}{
		{"nothing known", nil, [2]time.Duration{firstWait, firstWait}},
		{"quick", []time.Duration{time.Microsecond}, [2]time.Duration{leastWait, leastWait}},
		{"as usual", []time.Duration{50 * time.Millisecond}, [2]time.Duration{200 * time.Millisecond, 200 * time.Millisecond}},
		{"not quick", []time.Duration{300 * time.Millisecond}, [2]time.Duration{mostWait, mostWait}},
		{"one that was stuck", []time.Duration{5 * time.Millisecond, time.Hour}, [2]time.Duration{leastWait, 60 * time.Millisecond}},
		{"the first one was stuck, long ago", append([]time.Duration{time.Hour}, repeated(40, 5*time.Millisecond)...), [2]time.Duration{leastWait, 50 * time.Millisecond}},
		{"slow at last", append([]time.Duration{time.Millisecond}, repeated(20, 10*time.Second)...), [2]time.Duration{29 * time.Second, 30 * time.Second}},
		{"no time at all", []time.Duration{0}, [2]time.Duration{leastWait, leastWait}},
	} {
		var p Pace
		for _, d := range c.took {
			p.Took(d)
		}
		if got := p.patience(w); got < c.want[0] || got > c.want[1] {
			t.Errorf("%s: %v, want %v to %v", c.name, got, c.want[0], c.want[1])
		}
	}
}

func repeated(n int, d time.Duration) (all []time.Duration) {
	for range n {
		all = append(all, d)
	}
	return all
}
