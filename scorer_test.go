package preload

import (
	"math"
	"testing"
	"time"
)

func TestCountScorer(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		decay float64
		count int64
		after time.Duration
		want  float64
	}{
		{0.9, 1, 0, 1},
		{0.9, 3, 0, 3},
		{0.9, 1, time.Hour, 0.9},
		{0.9, 7, 24 * time.Hour, 7 * math.Pow(0.9, 24)},
		{0.5, 4, 90 * time.Minute, 4 * math.Pow(0.5, 1.5)},
		{1, 5, 1000 * time.Hour, 5},
		{0.9, 2, -time.Hour, 2}, // a clock that went back
	} {
		s := NewCountScorer(test.decay)
		weight := math.Inf(-1)
		for n := range test.count {
			weight = s.Weigh(weight, n+1, start)
		}
		if got := s.Score(weight, test.count, start, start.Add(test.after)); math.Abs(got-test.want) > 1e-12*test.want {
			t.Errorf("decay %v, %d accesses, %v later: %v, want %v", test.decay, test.count, test.after, got, test.want)
		}
	}
}

// TestOrderOfWeightsIsThatOfScores: whenever it is looked at.
func TestOrderOfWeightsIsThatOfScores(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := NewCountScorer(0.9)
	type key struct {
		count int64
		last  time.Time
	}
	keys := []key{{1, start}, {2, start.Add(-5 * time.Hour)}, {50, start.Add(-30 * time.Hour)}, {3, start.Add(-11 * time.Hour)}}
	for _, a := range keys {
		for _, b := range keys {
			wa, wb := s.Weigh(0, a.count, a.last), s.Weigh(0, b.count, b.last)
			for _, later := range []time.Duration{0, time.Hour, 1000 * time.Hour} {
				now := start.Add(later)
				sa, sb := s.Score(wa, a.count, a.last, now), s.Score(wb, b.count, b.last, now)
				if (wa < wb) != (sa < sb) {
					t.Errorf("%+v and %+v: weights %v, %v; scores %v, %v after %v", a, b, wa, wb, sa, sb, later)
				}
			}
		}
	}
}

func TestFrequencyScorer(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := NewFrequencyScorer(0.9)
	weight, want := math.Inf(-1), 0.0
	now := start
	for i := range 600 {
		now = start.Add(time.Duration(i) * 6 * time.Minute)
		weight = s.Weigh(weight, int64(i+1), now)
	}
	for i := range 600 {
		at := start.Add(time.Duration(i) * 6 * time.Minute)
		want += math.Pow(0.9, now.Sub(at).Hours())
	}
	got := s.Score(weight, 600, now, now)
	if math.Abs(got-want) > 1e-9*want {
		t.Errorf("score %v, want %v", got, want)
	}
	// Ten an hour: five to expect in half an hour.
	if expected := s.Expected(got, 30*time.Minute); math.Abs(expected-5) > 0.1 {
		t.Errorf("%v accesses to expect in 30 minutes, want about 5", expected)
	}
}
