package measure_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/bench/measure"
)

// world is a clock that operations move.
type world struct{ now time.Duration }

func (w *world) clock() time.Duration { return w.now }

// takes returns a variant whose operations take that long.
func (w *world) takes(name string, each func(i int) time.Duration) measure.Variant {
	return measure.Variant{Name: name, Run: func(from, n int) error {
		for i := range n {
			w.now += each(from + i)
		}
		return nil
	}}
}

func TestRatiosAreThoseOfTheOperations(t *testing.T) {
	w := &world{}
	steady := func(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }
	variants := []measure.Variant{
		w.takes("base", steady(time.Microsecond)),
		w.takes("twice", steady(2*time.Microsecond)),
		w.takes("longer than a slice", steady(5*time.Millisecond)),
		// The machine stops for a while now and then.
		w.takes("disturbed", func(i int) time.Duration {
			if i%10_000 == 0 {
				return 50 * time.Millisecond
			}
			return 3 * time.Microsecond
		}),
	}
	rounds := 0
	results, err := measure.Interleave(variants, measure.Options{
		Rounds: 99, Slice: time.Millisecond, Baseline: "base", Clock: w.clock, Progress: func(int) { rounds++ },
	})
	if err != nil || rounds != 99 {
		t.Fatal(err, rounds)
	}
	for name, want := range map[string]float64{"base": 1, "twice": 2, "longer than a slice": 5000, "disturbed": 3} {
		r, err := measure.Find(results, name)
		if err != nil || math.Abs(r.Ratio-want) > 0.01*want || math.Abs(r.Low-1000*want) > 10*want {
			t.Errorf("%s: %+v, %v; want a ratio of %v", name, r, err, want)
		}
	}
	if _, err := measure.Find(results, "none"); err == nil {
		t.Error("found what was not measured")
	}
}

// TestSlowingDownMeetsAllAlike: a machine that becomes slower and slower changes no ratio by much.
func TestSlowingDownMeetsAllAlike(t *testing.T) {
	w := &world{}
	drifting := func(d time.Duration) func(int) time.Duration {
		return func(int) time.Duration { return time.Duration(float64(d) * (1 + w.now.Seconds())) }
	}
	results, err := measure.Interleave([]measure.Variant{w.takes("base", drifting(10*time.Microsecond)), w.takes("thrice", drifting(30*time.Microsecond))},
		measure.Options{Rounds: 500, Slice: time.Millisecond, Baseline: "base", Clock: w.clock})
	if err != nil || math.Abs(results[1].Ratio-3) > 0.1 {
		t.Errorf("%+v, %v; want a ratio of 3", results, err)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	failure := errors.New("no such table")
	good := measure.Variant{Name: "good", Run: func(int, int) error { return nil }}
	for name, test := range map[string]struct {
		variants []measure.Variant
		options  measure.Options
		want     string
	}{
		"no rounds":   {[]measure.Variant{good}, measure.Options{Slice: 1, Baseline: "good"}, "0 rounds"},
		"no variants": {nil, measure.Options{Rounds: 1, Slice: 1}, "0 variants"},
		"no baseline": {[]measure.Variant{good}, measure.Options{Rounds: 1, Slice: 1, Baseline: "bad"}, `"bad"`},
		"a failure": {
			[]measure.Variant{good, {Name: "fails", Run: func(int, int) error { return failure }}},
			measure.Options{Rounds: 1, Slice: 1, Baseline: "good", Warmup: 1}, "fails: no such table",
		},
	} {
		if _, err := measure.Interleave(test.variants, test.options); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want one that says %q", name, err, test.want)
		}
	}
}
