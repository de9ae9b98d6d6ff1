// Package latency keeps how long things took, and says it the way people read it.
package latency

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Samples are durations. They are kept one by one, so that the percentiles are exact.
type Samples struct {
	all    []time.Duration
	sum    time.Duration
	sorted bool
}

// Add puts a duration in. It is not for concurrent use: give each goroutine Samples of its own and
// Merge them.
func (s *Samples) Add(d time.Duration) {
	s.all = append(s.all, d)
	s.sum += d
	s.sorted = false
}

// Merge puts in what other has.
func (s *Samples) Merge(other *Samples) {
	s.all = append(s.all, other.all...)
	s.sum += other.sum
	s.sorted = false
}

// Len returns the number of samples.
func (s *Samples) Len() int { return len(s.all) }

// Sum returns the sum of all samples.
func (s *Samples) Sum() time.Duration { return s.sum }

// Percentile returns the smallest sample that p percent of all samples do not exceed, 0 where there
// is none.
func (s *Samples) Percentile(p float64) time.Duration {
	if len(s.all) == 0 {
		return 0
	}
	if !s.sorted {
		slices.Sort(s.all)
		s.sorted = true
	}
	rank := int(math.Ceil(p / 100 * float64(len(s.all))))
	return s.all[min(max(rank, 1), len(s.all))-1]
}

// Format writes a duration with three digits in ns, µs, ms or s.
func Format(d time.Duration) string {
	units := []struct {
		of   time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}}
	for _, unit := range units {
		if d < unit.of {
			continue
		}
		v := float64(d) / float64(unit.of)
		switch {
		case v < 9.995:
			return fmt.Sprintf("%.2f %s", v, unit.name)
		case v < 99.95:
			return fmt.Sprintf("%.1f %s", v, unit.name)
		}
		return fmt.Sprintf("%.0f %s", v, unit.name)
	}
	return fmt.Sprintf("%d ns", d.Nanoseconds())
}
