package workload_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/measure"
	"github.com/gorm-preload/preload/bench/workload"
)

func place(t testing.TB) *workload.Place {
	p := &workload.Place{Dir: t.TempDir(), Postgres: os.Getenv("PRELOAD_TEST_POSTGRES")}
	t.Cleanup(p.Close)
	return p
}

// TestVariantsFindTheSame: else they could not be compared.
func TestVariantsFindTheSame(t *testing.T) {
	for _, w := range workload.All() {
		t.Run(w.Name, func(t *testing.T) {
			variants, err := w.Open(place(t))
			if err != nil {
				t.Fatal(err)
			}
			baseline := false
			for i := range 60 {
				var first any
				for _, v := range variants {
					baseline = baseline || v.Name == w.Baseline
					if v.Answer == nil {
						continue
					}
					got, err := v.Answer(i)
					if err != nil {
						t.Fatalf("%s: %v", v.Name, err)
					}
					if first == nil {
						first = got
					}
					if !same(first, got) {
						t.Fatalf("operation %d: %s found %+v, %s %+v", i, variants[0].Name, first, v.Name, got)
					}
				}
			}
			if !baseline {
				t.Errorf("no variant is the baseline %s", w.Baseline)
			}
			for _, v := range variants {
				if _, err := measure.Interleave([]measure.Variant{v.Measured()}, measure.Options{Rounds: 1, Slice: 1, Baseline: v.Name}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// same compares what was found; databases differ in the zones of times.
func same(a, b any) bool {
	if p, ok := a.(*workload.Person); ok {
		q := b.(*workload.Person)
		x, y := *p, *q
		if !x.CreatedAt.Equal(y.CreatedAt) || !x.SeenAt.Equal(y.SeenAt) {
			return false
		}
		x.CreatedAt, x.SeenAt = y.CreatedAt, y.SeenAt
		return reflect.DeepEqual(x, y)
	}
	if p, ok := a.(*[]workload.Message); ok {
		q := b.(*[]workload.Message)
		if len(*p) != len(*q) || len(*p) != 50 {
			return false
		}
		for i := range *p {
			x, y := (*p)[i], (*q)[i]
			if !x.SentAt.Equal(y.SentAt) || !x.CreatedAt.Equal(y.CreatedAt) || !x.EditedAt.Equal(*y.EditedAt) {
				return false
			}
			x.SentAt, x.CreatedAt, x.EditedAt = y.SentAt, y.CreatedAt, y.EditedAt
			if !reflect.DeepEqual(x, y) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

// TestStudies: each finds out what does not depend on the machine, and something at all.
func TestStudies(t *testing.T) {
	for _, s := range workload.Studies() {
		t.Run(s.Name, func(t *testing.T) {
			figures, err := s.Run(place(t), 3)
			if err != nil || len(figures) == 0 {
				t.Fatal(figures, err)
			}
			for _, f := range figures {
				t.Logf("%s: %.3f %s", f.Name, f.Value, f.Unit)
				switch {
				case f.Name == "queries" && f.Value != 1, f.Name == "stale reads" && f.Value != 0:
					t.Errorf("%s: %v", f.Name, f.Value)
				case f.Unit == "x" && !(f.Value > 0):
					t.Errorf("%s: %v", f.Name, f.Value)
				}
			}
		})
	}
}

func TestSelect(t *testing.T) {
	name := func(w workload.Workload) string { return w.Name }
	got, err := workload.Select(workload.All(), name, []string{"W5", "W1"})
	if err != nil || len(got) != 3 || got[0].Name != "W5-miss" || got[1].Name != "W5-bypass" || got[2].Name != "W1" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err = workload.Select(workload.All(), name, nil); err != nil || len(got) != len(workload.All()) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err = workload.Select(workload.All(), name, []string{"W99"}); err == nil || !strings.Contains(err.Error(), `"W99": there are W1, W2`) {
		t.Error(err)
	}
}

// TestWhatIsMeasuredIsWhatItSays: hits are hits, misses misses, and a model that is not opted in is
// passed by.
func TestWhatIsMeasuredIsWhatItSays(t *testing.T) {
	count := func(name string, variant string) preload.Stats {
		p := place(t)
		for _, w := range workload.All() {
			if w.Name != name {
				continue
			}
			variants, err := w.Open(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range variants {
				if v.Name != variant {
					continue
				}
				for i := range 3 * w.Warmup {
					if err := v.Do(i); err != nil {
						t.Fatal(err)
					}
				}
				return v.Plugin.Stats()
			}
		}
		t.Fatalf("no variant %s of %s", variant, name)
		return preload.Stats{}
	}
	if s := count("W5-bypass", "preload"); s.Bypassed == 0 || s.Hits+s.Misses > 0 {
		t.Errorf("W5-bypass: %+v", s)
	}
	// The few that stay where most are not kept are found again when their turn comes.
	if s := count("W5-miss", "preload"); s.Misses == 0 || s.Hits > s.Misses/20 || s.Bypassed > 0 || s.Evicted == 0 {
		t.Errorf("W5-miss: %+v", s)
	}
	for _, name := range []string{"W1", "W2", "W3", "W4"} {
		for _, variant := range []string{"preload", "prepared"} {
			if s := count(name, variant); s.Misses > 1_000 || s.Hits < s.Misses || s.Bypassed > 0 {
				t.Errorf("%s %s: %d hits, %d misses, %d bypassed", name, variant, s.Hits, s.Misses, s.Bypassed)
			}
		}
	}
}
