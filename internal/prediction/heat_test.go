package prediction

import (
	"fmt"
	"math"
	"testing"
)

// heated is a Heat, and keys that are read at some rates.
type heated struct {
	Heat
	kept  float64 // ticks
	used  func(key int) bool
	reads []float64 // of each key, in each tick
	count []float64
	last  []float64 // ticks since the last read
}

func newHeated(kept float64, reads ...float64) *heated {
	return &heated{kept: kept, reads: reads, count: make([]float64, len(reads)), last: make([]float64, len(reads)), used: func(int) bool { return true }}
}

// shapeOf returns the shape of a key, of which there are two.
func (h *heated) shapeOf(key int) string { return fmt.Sprint(key % 2) }

// tick has the keys read for a tick, and chooses among them. It returns which it loads.
func (h *heated) tick() (loads []int, share float64, enough bool) {
	uses, most := make([]float64, len(h.reads)), 0.
	share, enough = h.Review(100, 0)
	for i, reads := range h.reads {
		before := math.Floor(h.count[i])
		h.count[i] += reads
		if h.last[i]++; math.Floor(h.count[i]) > before {
			h.last[i] = 0
		}
		if count := int64(h.count[i]); count > 0 {
			uses[i] = h.Uses(fmt.Sprint(i), count, h.kept, h.last[i])
		}
		most = max(most, uses[i])
	}
	h.Hottest(most)
	for i := range h.reads {
		if !h.Takes(h.shapeOf(i), uses[i]) {
			continue
		}
		o := Wasted
		if h.used(i) {
			o = Useful
		}
		h.Try(&load{outcome: o}, h.shapeOf(i), uses[i])
		loads = append(loads, i)
	}
	return loads, share, enough
}

// TestATickLoadsWhatIsLikelyToBeRead by the rate at which it is read, and not by how often it was.
func TestATickLoadsWhatIsLikelyToBeRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reads, kept float64
		want        bool
	}{
		{10, 5, true},
		{1, 5, true},
		{0.5, 5, true},
		{1, 1, false},
		{3, 1, true},
		{0.1, 5, false},
		{0.1, 60, true},
		{3, 0.1, false},
	} {
		h := newHeated(c.kept, c.reads)
		for range 40 {
			h.tick()
		}
		n := 0
		for range 20 {
			loads, _, _ := h.tick()
			n += len(loads)
		}
		if n != 0 != c.want || c.want && n < 14 {
			t.Errorf("%v reads a tick, kept for %v: loaded in %d of 20 ticks", c.reads, c.kept, n)
		}
	}
	h := newHeated(5, 1_000)
	h.tick()
	h.reads[0] = 0
	for range 6 {
		h.tick()
	}
	if loads, _, _ := h.tick(); len(loads) > 0 {
		t.Error("what was read a thousand times is loaded though it was not read for longer than its answer is kept")
	}
	h = newHeated(5, 0)
	h.count[0] = 3
	if loads, _, _ := h.tick(); len(loads) != 1 {
		t.Error("what was read since the start is not loaded at the first tick")
	}
}

func TestATickLoadsNothingThatLeavesAtOnce(t *testing.T) {
	t.Parallel()
	var h Heat
	h.Review(100, 500)
	if uses := h.Uses("a", 10, 60, 0); !h.Takes("a", uses) {
		t.Errorf("%v uses are promised where 10 reads a tick come, and an answer stays for 1/5 of one", uses)
	}
	h.Review(100, 10_500)
	if uses := h.Uses("b", 10, 60, 0); h.Takes("a", uses) {
		t.Errorf("%v uses are promised where an answer stays for 1/100 of a tick", uses)
	}
	h.Review(100, 10_500)
	if uses := h.Uses("b", 20, 60, 0); !h.Takes("a", uses) {
		t.Errorf("%v uses are promised where answers stay", uses)
	}
}

// TestATickLoadsWhatIsHotEnough has lukewarm keys that are loaded in vain, and then used.
func TestATickLoadsWhatIsHotEnough(t *testing.T) {
	t.Parallel()
	reads := []float64{20, 20, 20, 20}
	for range 20 {
		reads = append(reads, 1)
	}
	h := newHeated(5, reads...)
	h.used = func(key int) bool { return key < 4 }
	if loads, _, enough := h.tick(); len(loads) != len(reads) || enough {
		t.Fatalf("at first %d of %d are loaded, or the share is known: %t", len(loads), len(reads), enough)
	}
	for range 40 {
		h.tick()
	}
	all := 0
	for range 40 {
		loads, _, _ := h.tick()
		all += len(loads)
	}
	if used := 4 * 40; all < used*9/10 || float64(used) < HotShare*float64(all) {
		t.Errorf("%d loads, want about %d", all, used)
	}
	h.used = func(int) bool { return true }
	for range 60 {
		h.tick()
	}
	if loads, share, enough := h.tick(); len(loads) != len(reads) || !enough || share < HotShare {
		t.Errorf("%d of %d are loaded once all are used; share %v, known: %t", len(loads), len(reads), share, enough)
	}
}

// TestHeatCoolsAfterPromisesThatWereInfinite: those that were wasted do not keep all others out.
func TestHeatCoolsAfterPromisesThatWereInfinite(t *testing.T) {
	t.Parallel()
	var h Heat
	for range 6 {
		h.Review(1, 0)
		for range hotOutcomes {
			h.Try(&load{outcome: Wasted}, fmt.Sprint(len(h.tried)), math.Inf(1))
		}
	}
	for range 100 {
		h.Review(1, 0)
		if h.Hottest(5); h.Takes("a", 5) {
			return
		}
	}
	t.Error("nothing is loaded any more")
}

func TestHeatHoldsABoundedNumberOfLoads(t *testing.T) {
	t.Parallel()
	var h Heat
	for range maxAttempts + hotOutcomes {
		h.Try(&load{clock: &clock{}, decided: 1}, "", 3)
	}
	h.Try(&load{outcome: Void}, "", 3)
	share, enough := h.Review(1, 0)
	if len(h.tried) > maxAttempts || share != 0 || !enough || h.limit != 3 {
		t.Errorf("%d are waited for, share %v, known: %t, limit %v; want %d, and the oldest to be wasted", len(h.tried), share, enough, h.limit, maxAttempts)
	}
}

func TestHeatForgetsKeysThatAreNotHotAnyMore(t *testing.T) {
	t.Parallel()
	var h Heat
	for n := range 100 {
		h.Review(1, 0)
		h.Uses(fmt.Sprint(n), 1, 5, 0)
	}
	if len(h.rates) > hotForgotten+1 || h.Bytes() < int64(len(h.rates))*rateBytes {
		t.Errorf("%d keys are remembered in %d bytes", len(h.rates), h.Bytes())
	}
}

// TestATickLeavesOutShapesWhoseLoadsAreWasted but tries whether they still are.
func TestATickLeavesOutShapesWhoseLoadsAreWasted(t *testing.T) {
	t.Parallel()
	h := newHeated(5, 20, 20, 20, 20)
	wasted := true
	h.used = func(key int) bool { return !wasted || key%2 == 0 }
	count := func(ticks int) (loads [2]int) {
		for range ticks {
			all, _, _ := h.tick()
			for _, key := range all {
				loads[key%2]++
			}
		}
		return loads
	}
	count(20)
	if got := count(80); got[0] < 150 || got[1] == 0 || got[1] > 160/shapeTried {
		t.Errorf("%d of 160 are loaded of the shape that is used, %d of the one that is not", got[0], got[1])
	}
	wasted = false
	count(60)
	if got := count(10); got[1] < 18 {
		t.Errorf("%d of 20 are loaded of a shape that is used again", got[1])
	}
	for n := range 3 * maxTold {
		h.Takes(fmt.Sprint(n), 100)
	}
	if len(h.shapes) > maxTold {
		t.Errorf("%d shapes are told apart", len(h.shapes))
	}
}

// TestWhatWasReadTwiceIsReadAgain: of an answer that is near its end, two reads promise another.
func TestWhatWasReadTwiceIsReadAgain(t *testing.T) {
	t.Parallel()
	for _, age := range []float64{0.8, 0.9, 1} {
		var h Heat
		if h.Takes("", Uses(1, age, 1)) || !h.Takes("", Uses(2, age, 1)) {
			t.Errorf("after %v of its TTL an answer promises %v uses if it was read once, %v if twice", age, Uses(1, age, 1), Uses(2, age, 1))
		}
	}
}
