package prediction

import (
	"math"
	"testing"
)

// heatTick has a tick choose among keys that promise so many uses, the hottest first, and returns
// how many it loads. What promises at least a limit is used.
func heatTick(h *Heat, used float64, keys ...float64) (loads int, share float64, enough bool) {
	share, enough = h.Review()
	for i, uses := range keys {
		if i == 0 {
			h.Hottest(uses)
		}
		if h.TooCold(uses) {
			continue
		}
		o := Wasted
		if uses >= used {
			o = Useful
		}
		h.Try(&load{outcome: o}, uses)
		loads++
	}
	return loads, share, enough
}

// TestATickLoadsWhatIsHotEnough has lukewarm keys that are loaded in vain, and then used.
func TestATickLoadsWhatIsHotEnough(t *testing.T) {
	t.Parallel()
	var h Heat
	keys := []float64{20, 20, 20, 20}
	for range 20 {
		keys = append(keys, 1)
	}
	if loads, _, enough := heatTick(&h, 10, keys...); loads != len(keys) || enough {
		t.Fatalf("at first %d of %d are loaded, or the share is known: %t", loads, len(keys), enough)
	}
	for range 40 {
		heatTick(&h, 10, keys...)
	}
	all := 0
	for range 40 {
		loads, _, _ := heatTick(&h, 10, keys...)
		all += loads
	}
	if used := 4 * 40; all < used || float64(used) < HotShare*float64(all) {
		t.Errorf("%d loads, want %d and few more", all, used)
	}
	for range 60 {
		heatTick(&h, 1, keys...)
	}
	if loads, share, enough := heatTick(&h, 1, keys...); loads != len(keys) || !enough || share < HotShare {
		t.Errorf("%d of %d are loaded once all are used; share %v, known: %t", loads, len(keys), share, enough)
	}
}

// TestHeatCoolsAfterPromisesThatWereInfinite: those that were wasted do not keep all others out.
func TestHeatCoolsAfterPromisesThatWereInfinite(t *testing.T) {
	t.Parallel()
	var h Heat
	var infinite []float64
	for range hotOutcomes {
		infinite = append(infinite, math.Inf(1))
	}
	for range 6 {
		heatTick(&h, math.NaN(), infinite...) // none is used
	}
	for range 100 {
		if loads, _, _ := heatTick(&h, 1, 5); loads > 0 {
			return
		}
	}
	t.Error("nothing is loaded any more")
}

func TestHeatHoldsABoundedNumberOfLoads(t *testing.T) {
	t.Parallel()
	var h Heat
	for range maxHot + hotOutcomes {
		h.Try(&load{open: true}, 1)
	}
	h.Try(&load{outcome: Void}, 1)
	share, enough := h.Review()
	if len(h.tried) > maxHot || share != 0 || !enough || h.limit != 1 {
		t.Errorf("%d are waited for, share %v, known: %t, limit %v; want %d, and the oldest to be wasted", len(h.tried), share, enough, h.limit, maxHot)
	}
}
