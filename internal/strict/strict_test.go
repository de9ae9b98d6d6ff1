package strict

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	flagSteps = flag.Int64("strict.steps", 0, "steps of the simulation of the protocol, 1000000000 for a long one")
	flagSeed  = flag.Uint64("strict.seed", 0, "the seed to begin with; with -strict.only it is played alone, and told")
	flagOnly  = flag.String("strict.only", "", "the variant to play")
)

// search plays seeds until so many steps are done, or something is broken.
func search(v *variant, seed uint64, steps int64) (found *world, broken uint64, done int64, sum counts) {
	var (
		next, played atomic.Int64
		mu           sync.Mutex
		workers      sync.WaitGroup
		stop         atomic.Bool
	)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for !stop.Load() && played.Load() < steps {
				n := seed + uint64(next.Add(1)) - 1
				w := run(n, v, simSteps, false)
				played.Add(int64(w.steps))
				mu.Lock()
				sum.add(&w.counts)
				if w.broken != "" && (found == nil || n < broken) {
					found, broken = w, n
					stop.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return found, broken, played.Load(), sum
}

var whole = []variant{
	{name: "strict"},
	{name: "strict, the broker loses what it knows", loses: true},
	{name: "strict, statements without transactions", autocommit: true},
	{name: "statements without transactions, the broker loses what it knows", autocommit: true, loses: true, ignores: []string{"backwards"}},
	{name: "who is cut off commits", commits: true, loses: true, ignores: outdated},
	{name: "a broker without replicas refuses to write", loses: true, split: true, lag: 20},
}

func TestNothingStaleIsServed(t *testing.T) {
	steps := int64(30_000_000) / raceDivisor
	if testing.Short() {
		steps /= 20
	}
	if *flagSteps > 0 {
		steps = *flagSteps
	}
	for i := range whole {
		v := &whole[i]
		if *flagOnly != "" && *flagOnly != v.name {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			if told(t, v) {
				return
			}
			seed := *flagSeed
			if seed == 0 {
				seed = rand.Uint64N(1 << 40)
			}
			began := time.Now()
			w, broken, done, sum := search(v, seed, steps/int64(len(whole)))
			t.Logf("%d steps from seed %d in %v: %v", done, seed, time.Since(began).Round(time.Millisecond), &sum)
			if w != nil {
				play(t, v, broken, 200)
			} else if done >= 1_000_000 {
				everyKind(t, v, &sum)
			}
		})
	}
}

// everyKind sees to it that what a variant is about happened.
func everyKind(t *testing.T, v *variant, sum *counts) {
	kinds := []int{countHits, countKept, countWrites, countLost, countDoubled, countCut, countStops, countCrashes, countCuts, countDenied, countJoined, countFenced, countCutOff}
	if v.loses {
		kinds = append(kinds, countLosses, countAgain)
	}
	if !v.autocommit {
		kinds = append(kinds, countUnknown, countRolledBack, countTakenOver, countCrashedAnnounced, countCrashedCommitted)
	}
	for _, kind := range kinds {
		if sum[kind] < 3 {
			t.Errorf("%s: %d times. The simulation looks past it", countNames[kind], sum[kind])
		}
	}
}

// told plays the one run that the flags ask for.
func told(t *testing.T, v *variant) bool {
	if *flagSeed == 0 || *flagOnly != v.name {
		return false
	}
	play(t, v, *flagSeed, 0)
	return true
}

// play plays a run and tells its last steps, or all of them.
func play(t *testing.T, v *variant, seed uint64, last int) {
	w := run(seed, v, simSteps, true)
	trace := w.trace
	if last > 0 {
		trace = trace[max(0, len(trace)-last):]
	}
	t.Logf("%s\n%v", strings.Join(trace, "\n"), &w.counts)
	if w.broken != "" {
		t.Errorf("%s: %s\nrepeat it with -strict.only='%s' -strict.seed=%d", w.broken, w.detail, v.name, seed)
	}
}

// TestASeedIsARun: what a seed shows can be shown again.
func TestASeedIsARun(t *testing.T) {
	t.Parallel()
	for i := range whole {
		one, two := run(42, &whole[i], simSteps, false), run(42, &whole[i], simSteps, true)
		if one.counts != two.counts || one.steps != two.steps || one.db.versions != two.db.versions {
			t.Errorf("%s: one seed, and two runs:\n%v\n%v", whole[i].name, &one.counts, &two.counts)
		}
	}
}
