package hotness

import (
	"math"
	"math/bits"
)

// logs are the logarithms of the counts that most keys have.
var logs = func() (logs [1 << 10]float64) {
	for n := range logs {
		logs[n] = math.Log(float64(n))
	}
	return logs
}()

// Log returns the logarithm of a count: in full up to len(logs), and a little less than that
// above, by less than 3e-9. It never falls from a count to the next.
func Log(count int64) float64 {
	if count < int64(len(logs)) {
		return logs[max(0, count)]
	}
	low := bits.Len64(uint64(count)) - bits.Len(uint(len(logs)-1))
	base := count >> low
	x := float64(count-base<<low) / float64(base<<low)
	return logs[base] + float64(low)*math.Ln2 + x - x*x/2
}
