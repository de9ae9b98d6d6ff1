//go:build !race

package workload_test

import (
	"testing"

	"github.com/gorm-preload/preload/bench/workload"
)

// TestAHitAllocatesNoMore than it did: the first query of the report, when its answer is in memory.
func TestAHitAllocatesNoMore(t *testing.T) {
	const most = 25
	w := workload.All()[0]
	variants, err := w.Open(place(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range variants {
		if v.Name != "preload" {
			continue
		}
		for i := range w.Warmup {
			if err := v.Do(i); err != nil {
				t.Fatal(err)
			}
		}
		before := v.Plugin.Stats()
		n := testing.AllocsPerRun(1_000, func() {
			if err := v.Do(0); err != nil {
				t.Fatal(err)
			}
		})
		if after := v.Plugin.Stats(); w.Name != "W1" || after.Misses != before.Misses || after.Hits == before.Hits || n > most {
			t.Errorf("a hit of %s allocates %v times, want %d at most; %d hits, %d misses", w.Name, n, most, after.Hits-before.Hits, after.Misses-before.Misses)
		}
		return
	}
	t.Fatal("nothing is measured with the plugin")
}
