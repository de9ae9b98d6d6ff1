package seen

import (
	"fmt"
	"testing"
)

func TestMemoryIsCrowdedWhereFewerReadsHit(t *testing.T) {
	t.Parallel()
	var w Watch
	for i, c := range []struct {
		hits, reads, evicted int64
		share                float64
		want                 bool
	}{
		{900, 1_000, 0, .5, false},
		{900, 1_500, 900, .99, false}, // too few reads
		{1_000, 2_000, 900, .99, true},
		{1_100, 3_000, 1_800, .99, false}, // as few as before
		{1_900, 4_000, 1_900, .99, false},
		{2_000, 5_000, 1_900, .99, false}, // nothing was pushed out
		{2_900, 6_000, 2_000, .99, false},
		{3_000, 7_000, 2_100, .5, false}, // there is room
		{900, 1_000, 10, .99, false},     // counted anew
		{1_000, 2_000, 20, .99, true},
	} {
		if _, _, got := w.Crowded(c.hits, c.reads, c.evicted, c.share); got != c.want {
			t.Errorf("look %d: %t, want %t", i, got, c.want)
		}
	}
}

func TestAShapeThatNeverHitsIsToldOnce(t *testing.T) {
	t.Parallel()
	var w Watch
	for i, c := range []struct {
		shape        string
		hits, misses int64
		want         bool
	}{{"a", 0, 999, false}, {"a", 0, 1_000, true}, {"a", 0, 2_000, false}, {"b", 1, 2_000, false}, {"c", 0, 2_000, true}} {
		if got := w.NeverHits(c.shape, c.hits, c.misses); got != c.want {
			t.Errorf("look %d: %t, want %t", i, got, c.want)
		}
	}
	for i := range 3 * maxNever {
		w.NeverHits(fmt.Sprint(i), 0, 1_000)
	}
	if len(w.never) > maxNever {
		t.Errorf("%d shapes are remembered", len(w.never))
	}
}
