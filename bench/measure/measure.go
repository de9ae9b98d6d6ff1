// Package measure compares operations that do the same in different ways. Machines are noisy, and
// slow down and speed up as they like; and what an operation leaves behind, in the caches of the
// processor and for the garbage collector, the next one pays for. So all variants take turns in
// short slices in one process, each round in another order, and what is compared is the medians of
// the slices of one run.
package measure

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// Variant is one way to do an operation.
type Variant struct {
	Name string
	// Run does the operation n times, the i-th of them as number from+i.
	Run func(from, n int) error
}

// Result is what was measured of one variant.
type Result struct {
	Name   string
	Median float64 // nanoseconds an operation, of the slices
	Low    float64 // their tenth percentile, which noise moves least
	Ratio  float64 // of the median to that of the baseline
	Allocs float64 // an operation
	Bytes  float64 // allocated an operation
}

// Options say how long to measure.
type Options struct {
	Rounds   int           // in each of which every variant has one slice; at least 1
	Slice    time.Duration // about how long one is; at least one operation is done in it
	Warmup   int           // operations that each variant does before
	Baseline string        // the variant that Ratio is to
	// Clock tells the time since some moment; nil for the system's.
	Clock func() time.Duration
	// Progress is called before each round, with how many are done; nil for nobody.
	Progress func(done int)
}

// Interleave measures variants in turns. The error is the first one of an operation, with the name
// of its variant.
func Interleave(variants []Variant, o Options) ([]Result, error) {
	if o.Rounds < 1 || o.Slice <= 0 || len(variants) == 0 {
		return nil, fmt.Errorf("measure: %d variants in %d rounds of slices of %v: want at least one of each", len(variants), o.Rounds, o.Slice)
	}
	base := slices.IndexFunc(variants, func(v Variant) bool { return v.Name == o.Baseline })
	if base < 0 {
		return nil, fmt.Errorf("measure: no variant is named %q, the baseline", o.Baseline)
	}
	if o.Clock == nil {
		start := time.Now()
		o.Clock = func() time.Duration { return time.Since(start) }
	}
	m := make([]measured, len(variants))
	for i, v := range variants {
		if m[i].Variant = v; o.Warmup > 0 {
			if err := m[i].run(o.Warmup); err != nil {
				return nil, err
			}
		}
		if err := m[i].calibrate(o); err != nil {
			return nil, err
		}
	}
	orders := rand.New(rand.NewPCG(1, 2))
	for round := range o.Rounds {
		if o.Progress != nil {
			o.Progress(round)
		}
		for _, i := range orders.Perm(len(m)) {
			if err := m[i].slice(o.Clock); err != nil {
				return nil, err
			}
		}
	}
	results := make([]Result, len(m))
	for i := range m {
		var err error
		if results[i], err = m[i].result(); err != nil {
			return nil, err
		}
	}
	for i := range results {
		results[i].Ratio = results[i].Median / results[base].Median
	}
	return results, nil
}

// measured is one variant while it is being measured.
type measured struct {
	Variant
	n    int // operations in a slice
	done int
	took []float64 // by slice, nanoseconds an operation
}

func (m *measured) run(n int) error {
	err := m.Run(m.done, n)
	if m.done += n; err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	return nil
}

// calibrate finds out how many operations fill a slice.
func (m *measured) calibrate(o Options) error {
	for n := 1; ; n *= 2 {
		start := o.Clock()
		if err := m.run(n); err != nil {
			return err
		}
		if took := o.Clock() - start; took >= o.Slice/4 || n >= 1<<24 {
			m.n = max(1, int(int64(n)*int64(o.Slice)/max(1, int64(took))))
			return nil
		}
	}
}

func (m *measured) slice(clock func() time.Duration) error {
	start := clock()
	if err := m.run(m.n); err != nil {
		return err
	}
	m.took = append(m.took, float64(clock()-start)/float64(m.n))
	return nil
}

// few is how many operations what they allocate is counted over.
const few = 200

func (m *measured) result() (Result, error) {
	slices.Sort(m.took)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	err := m.run(few)
	runtime.ReadMemStats(&after)
	return Result{
		Name: m.Name, Median: Quantile(m.took, .5), Low: Quantile(m.took, .1),
		Allocs: float64(after.Mallocs-before.Mallocs) / few, Bytes: float64(after.TotalAlloc-before.TotalAlloc) / few,
	}, err
}

// Quantile returns the value below which a share of sorted values lie.
func Quantile(sorted []float64, share float64) float64 {
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// Find returns the result of a variant.
func Find(results []Result, name string) (Result, error) {
	for _, r := range results {
		if r.Name == name {
			return r, nil
		}
	}
	return Result{}, errors.New("measure: nothing was measured of " + name)
}
