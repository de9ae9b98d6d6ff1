// Package workload holds what is measured, once: the Go benchmarks and the report both take it from
// here. A workload is one operation, and the ways in which an application could do it.
package workload

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/measure"
	"gorm.io/gorm"
)

// Workload is an operation that variants do in their own ways.
type Workload struct {
	Name     string // W1
	About    string
	Baseline string // the variant that others are compared with
	Warmup   int    // operations of each variant before it is measured
	open     func(*Place) ([]Variant, error)
}

// Variant is one way to do the operation of a workload.
type Variant struct {
	Name string
	// Do does the i-th operation. It may be called by several goroutines at once.
	Do func(i int) error
	// Answer does it and returns what it found; nil where that is not to be compared with what
	// others find.
	Answer func(i int) (any, error)
	// Plugin is what serves it; nil for nobody.
	Plugin *preload.Plugin
}

// of returns the variant as one of a database that may have the plugin.
func (v Variant) of(db *gorm.DB) Variant {
	v.Plugin, _ = preload.From(db)
	return v
}

// finding returns a variant that finds something.
func finding[D any](name string, do func(i int) (D, error)) Variant {
	return Variant{
		Name:   name,
		Do:     func(i int) error { _, err := do(i); return err },
		Answer: func(i int) (any, error) { d, err := do(i); return &d, err },
	}
}

// Open makes the databases of a workload, and returns its variants.
func (w Workload) Open(p *Place) ([]Variant, error) {
	variants, err := w.open(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.Name, err)
	}
	return variants, nil
}

// Measured returns a variant as it is measured.
func (v Variant) Measured() measure.Variant {
	return measure.Variant{Name: v.Name, Run: func(from, n int) error {
		for i := range n {
			if err := v.Do(from + i); err != nil {
				return err
			}
		}
		return nil
	}}
}

// All are the workloads that are measured in turns.
func All() []Workload { return append(reads(), misses(), bypassed(), updates(), stores()) }

// Select returns the workloads of these names, all of a family for "W5"; all for none.
func Select[T any](all []T, name func(T) string, names []string) ([]T, error) {
	if len(names) == 0 {
		return all, nil
	}
	var selected []T
	for _, wanted := range names {
		found := false
		for _, one := range all {
			if n := name(one); n == wanted || strings.HasPrefix(n, wanted+"-") {
				selected, found = append(selected, one), true
			}
		}
		if !found {
			var known []string
			for _, one := range all {
				known = append(known, name(one))
			}
			return nil, fmt.Errorf("no workload is named %q: there are %s", wanted, strings.Join(slices.Compact(known), ", "))
		}
	}
	return selected, nil
}

// draws are the numbers below n in the order in which they are asked for: the same in every run,
// and few of them often.
func draws(n int) []int {
	z := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(n-1))
	drawn := make([]int, 1<<14)
	for i := range drawn {
		drawn[i] = int(z.Uint64())
	}
	return drawn
}
