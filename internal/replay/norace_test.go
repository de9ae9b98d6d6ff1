//go:build !race

package replay

import "testing"

// TestAHitAllocatesLittle, and no more for many rows than for none, but for the values themselves.
// The race detector has seats dropped at random.
func TestAHitAllocatesLittle(t *testing.T) {
	const destinations, own = 5, 4 // those of the reader; sql.Rows and its row, the rows, their columns
	for _, n := range []int{0, 1, 100} {
		recording := recorded(t, things(n, false))
		// The context can end: database/sql derives one from it, and starts a goroutine.
		most, got := float64(destinations+own+4), 0.0
		for range 5 { // a collection of garbage takes seats away
			got = testing.AllocsPerRun(100, func() {
				rows, err := Rows(t.Context(), recording)
				readThings(t, rows, err)
			})
			if got <= most {
				break
			}
		}
		if got > most {
			t.Errorf("%d rows: %v allocations, want %v at most", n, got, most)
		}
	}
}
