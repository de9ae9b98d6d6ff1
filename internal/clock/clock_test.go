package clock

import (
	"testing"
	"time"
)

// TestTimePassesAsSoonAsEitherClockSaysSo: of a clock that is set back, and of a machine that is
// suspended.
func TestTimePassesAsSoonAsEitherClockSaysSo(t *testing.T) {
	t.Parallel()
	const s, h = time.Second, time.Hour
	for _, c := range []struct {
		name            string
		monotonic, wall []time.Duration // that pass between two readings
		want            time.Duration
	}{
		{"both", []time.Duration{s, s}, []time.Duration{s, s}, 2 * s},
		{"set back", []time.Duration{s, s, s}, []time.Duration{s, s - h, s}, 3 * s},
		{"set back and forward again", []time.Duration{s, s, s}, []time.Duration{s, s - h, s + h}, 3*s + h},
		{"suspended", []time.Duration{s, s}, []time.Duration{h, s}, h + s},
		{"set back again and again", []time.Duration{s, s, s}, []time.Duration{-h, -h, -h}, 3 * s},
	} {
		start := time.Now()
		r := &reckoning{start, start.Round(0)}
		for i := range c.monotonic {
			r = &reckoning{start, r.after(c.monotonic[i], c.wall[i])}
		}
		if got := r.told.Sub(start.Round(0)); got != c.want {
			t.Errorf("%s: %v passed, want %v", c.name, got, c.want)
		}
	}
	// What is told goes on from there.
	ahead := time.Now().Add(h)
	c := &System{}
	c.read.Store(&reckoning{time.Now().Add(-2 * s), ahead.Round(0)})
	if now := c.Now(); now.Before(ahead.Add(2*s).Round(0)) || now.After(ahead.Add(h)) {
		t.Errorf("told %v, two seconds after %v", now, ahead)
	}
}
