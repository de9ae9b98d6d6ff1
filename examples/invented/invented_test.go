package invented

import (
	"slices"
	"testing"
)

func TestAccessesComeFromTheSeed(t *testing.T) {
	t.Parallel()
	const n = 20_000
	first := Accesses(n, 1)
	if len(first) != n || !slices.Equal(first, Accesses(n, 1)) || !slices.Equal(first[:n/2], Accesses(n/2, 1)) {
		t.Error("equal seeds gave different accesses")
	}
	if slices.Equal(first, Accesses(n, 2)) {
		t.Error("another seed gave the same accesses")
	}
}

// TestAccessesAreThoseOfAShop: there are popular objects, others that are asked for once, and many
// more than a small cache holds.
func TestAccessesAreThoseOfAShop(t *testing.T) {
	t.Parallel()
	const n = 40_000
	times := map[uint32]int{}
	once, visits := 0, 0
	for _, k := range Accesses(n, 1) {
		times[k]++
		if k>>27 == visit {
			visits++
		}
	}
	for _, n := range times {
		if n == 1 {
			once++
		}
	}
	most := slices.Sorted(func(yield func(int) bool) {
		for _, n := range times {
			if !yield(n) {
				return
			}
		}
	})
	if popular := most[len(most)-1]; popular < 200 || once < n/20 || len(times) < n/10 || visits < n/100 {
		t.Errorf("%d objects, the most popular one asked for %d times, %d once, %d visits", len(times), popular, once, visits)
	}
}
