package tpcw

import (
	"math"
	"slices"
	"testing"
)

// TestInventedTransitionsLeadSomewhere: all pages are reached, and each is left for pages that
// there are, with probabilities that add up.
func TestInventedTransitionsLeadSomewhere(t *testing.T) {
	t.Parallel()
	reached := map[string]bool{}
	for from, next := range Invented {
		sum := 0.
		for to, p := range next {
			if sum += p; p > 0 {
				reached[to] = true
			}
			if !slices.Contains(pages, to) {
				t.Errorf("%s is left for %s, which is no page", from, to)
			}
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("%s is left with probability %v", from, sum)
		}
	}
	for _, page := range pages {
		if !reached[page] || Invented[page] == nil {
			t.Errorf("%s is not reached or not left", page)
		}
	}
}
