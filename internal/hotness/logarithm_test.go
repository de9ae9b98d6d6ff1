package hotness

import (
	"math"
	"testing"
)

func TestLogarithmsOfCounts(t *testing.T) {
	t.Parallel()
	before := math.Inf(-1)
	for count := int64(0); count < 1<<40; count += 1 + count/4_000 {
		for n := count; n < count+3; n++ {
			got, want := Log(n), math.Log(float64(n))
			if got < before && n > count {
				t.Fatalf("the logarithm falls from %v to %v at %d", before, got, n)
			}
			if diff := want - got; n > 0 && (diff < -1e-14 || diff > 3e-9) {
				t.Fatalf("the logarithm of %d is %v, want %v", n, got, want)
			}
			before = got
		}
	}
}
