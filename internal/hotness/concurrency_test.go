package hotness

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rounds is how often a loop that looks for races is run.
func rounds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// run runs f in n goroutines and waits for them.
func run(n int, f func(worker int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func TestCountsOfTrackedKeysAreExact(t *testing.T) {
	const workers, keys = 8, 20
	each := rounds(5000)
	table := New(keys, decayed(0.5))
	run(workers, func(worker int) {
		kept := map[string]*Pattern{}
		for i := range each {
			key := fmt.Sprint((i + worker) % keys)
			now := at(float64(i) / 100)
			if p := kept[key]; p != nil && i%3 == 0 {
				table.Record(p, now)
			} else {
				kept[key] = table.Touch(key, now)
			}
			if i%100 == 0 {
				table.Hottest(3, 0, now)
				table.Relate(key, fmt.Sprint(i))
				table.Associations()
			}
		}
	})
	mustCheck(t, table)
	var total int64
	for _, s := range table.Hottest(keys, -1, at(0)) {
		total += s.Count
		// Whatever the interleaving, the weight ends where the count and the
		// last access say.
		if want := decayed(0.5).Weigh(0, s.Count, s.Last); table.Lookup(s.Key).Weight() != want {
			t.Errorf("weight of %s is %v, want %v", s.Key, table.Lookup(s.Key).Weight(), want)
		}
	}
	if want := int64(workers * each); total != want {
		t.Errorf("%d accesses counted, want %d", total, want)
	}
}

// A scorer that adds a fixed amount for each access sees every access once.
func TestAccumulatingScorerLosesNoAccess(t *testing.T) {
	const workers = 8
	each := rounds(5000)
	table := New(1, scorerFuncs{weigh: func(weight float64, _ int64, _ time.Time) float64 { return max(weight, 0) + 1 }})
	p := table.Touch("a", start)
	run(workers, func(int) {
		for range each {
			table.Record(p, start)
		}
	})
	if want := float64(workers*each + 1); p.Weight() != want {
		t.Errorf("weight %v, want %v", p.Weight(), want)
	}
}

// Keys lose their places all the time. Every pattern that Touch returned is
// kept by the one who got it, so in the end every access must be found again.
func TestNoAccessOfAKeptPatternIsLost(t *testing.T) {
	for _, scorer := range []Scorer{decayed(0.5), decayed(0.999999), frequency(0.7), wayward{}} {
		t.Run(fmt.Sprintf("%T %v", scorer, scorer), func(t *testing.T) {
			const workers, keys, limit = 8, 24, 6
			each := rounds(10000)
			table := New(limit, scorer)
			var clock, merges atomic.Int64
			var recorded [keys]atomic.Int64
			kept := make([][keys]map[*Pattern]bool, workers)
			run(workers, func(worker int) {
				random := rand.New(rand.NewPCG(1, uint64(worker)))
				var latest [keys]*Pattern
				for range each {
					now := start.Add(time.Duration(clock.Add(1)) * time.Second)
					k := random.IntN(keys)
					key := fmt.Sprint(k)
					p := latest[k]
					if p == nil || random.IntN(20) == 0 {
						p = table.Touch(key, now)
						latest[k] = p
						if kept[worker][k] == nil {
							kept[worker][k] = map[*Pattern]bool{}
						}
						kept[worker][k][p] = true
					} else {
						table.Record(p, now)
						if p.forward.Load() != nil {
							merges.Add(1)
						}
					}
					recorded[k].Add(1)
					switch random.IntN(100) {
					case 0:
						table.Touch(fmt.Sprint("noise", random.IntN(1000)), now)
					case 1:
						table.Relate(key, fmt.Sprint(random.IntN(keys)))
					case 2:
						table.Hottest(3, 0, now)
					case 3:
						runtime.Gosched()
					}
				}
			})
			mustCheck(t, table)

			// One last access of each kept pattern, with room for it, brings all
			// that a key has together.
			table.limit = keys + limit
			now := start.Add(time.Duration(clock.Load()) * time.Hour)
			for k := range keys {
				want := recorded[k].Load()
				for worker := range kept {
					for p := range kept[worker][k] {
						table.Record(p, now)
						want++
					}
				}
				one := table.Lookup(fmt.Sprint(k))
				if one == nil {
					t.Fatalf("key %d did not come back", k)
				}
				if got := one.Count(); got != want {
					t.Errorf("key %d: %d accesses found, want %d", k, got, want)
				}
				for worker := range kept {
					for p := range kept[worker][k] {
						if p.current() != one {
							t.Errorf("key %d: a kept pattern of worker %d does not answer for the tracked one", k, worker)
						}
					}
				}
			}
			if merges.Load() == 0 {
				t.Error("nothing was merged: the test shows nothing")
			}
			mustCheck(t, table)
		})
	}
}

// Writers are caught between looking at forward and writing as often as can be:
// all of them record one evicted pattern while it is being merged.
func TestMergeUnderFireLosesNothing(t *testing.T) {
	const workers, each = 4, 20
	for round := range rounds(2000) {
		table := New(1, decayed(0.5))
		old := table.Touch("a", at(0))
		table.Touch("b", at(1))
		var fresh *Pattern
		run(workers+1, func(worker int) {
			if worker == workers {
				fresh = table.Touch("a", at(2))
				return
			}
			for range each {
				table.Record(old, at(2))
			}
		})
		table.Record(old, at(3))
		table.Record(fresh, at(3))
		if want := int64(workers*each + 4); old.Count() != want || fresh.Count() != want {
			t.Fatalf("round %d: counts %d and %d, want %d", round, old.Count(), fresh.Count(), want)
		}
		if want := decayed(0.5).Weigh(0, old.Count(), at(3)); old.Weight() != want {
			t.Fatalf("round %d: weight %v, want %v", round, old.Weight(), want)
		}
		mustCheck(t, table)
	}
}

// The same at the pattern itself, where the writer is fast enough to hit the
// moment of the merge.
func TestWritesToAPatternThatIsBeingMergedAreCarried(t *testing.T) {
	for round := range rounds(20000) {
		p, q := newPattern("a", 0), newPattern("a", 0)
		var merged atomic.Bool
		written := int64(0)
		run(2, func(worker int) {
			if worker == 0 {
				for p.count.Load() < 3 {
					runtime.Gosched()
				}
				p.mergeInto(q)
				merged.Store(true)
				return
			}
			for !merged.Load() {
				written++
				p.credit(1, written)
			}
		})
		if got := q.count.Load(); got != written {
			t.Fatalf("round %d: %d accesses carried, want %d", round, got, written)
		}
		if got := q.last.Load(); got != written {
			t.Fatalf("round %d: last is %d, want %d", round, got, written)
		}
	}
}

func TestClearWhileInUse(t *testing.T) {
	const workers, keys = 6, 10
	each := rounds(10000)
	table := New(4, decayed(0.9))
	run(workers+1, func(worker int) {
		if worker == workers {
			for range each / 50 {
				table.Clear()
				runtime.Gosched()
			}
			return
		}
		var kept [keys]*Pattern
		random := rand.New(rand.NewPCG(2, uint64(worker)))
		for i := range each {
			k := random.IntN(keys)
			now := at(float64(i) / 100)
			if kept[k] == nil || random.IntN(10) == 0 {
				kept[k] = table.Touch(fmt.Sprint(k), now)
			} else {
				table.Record(kept[k], now)
			}
			if i%64 == 0 {
				table.Relate(fmt.Sprint(k), "x", "y")
				table.Hottest(2, 0, now)
				table.Score(fmt.Sprint(k), now)
			}
		}
	})
	mustCheck(t, table)

	// What was recorded before a Clear does not show after it, whoever kept it.
	p := table.Touch("0", at(1e4))
	table.Clear()
	run(workers, func(int) {
		for range each {
			table.Record(p, at(1e4))
		}
	})
	if want := int64(workers * each); p.Count() != want {
		t.Errorf("count %d after Clear, want %d", p.Count(), want)
	}
	mustCheck(t, table)
}

// A victim is found although every pattern is accessed all the time.
func TestVictimIsFoundUnderConstantAccess(t *testing.T) {
	const limit = 3
	table := New(limit, decayed(0.5))
	var patterns []*Pattern
	for i := range limit {
		patterns = append(patterns, table.Touch(fmt.Sprint(i), start))
	}
	var done atomic.Bool
	run(limit+1, func(worker int) {
		if worker == limit {
			defer done.Store(true)
			for i := range rounds(5000) {
				table.Touch(fmt.Sprint("new", i), start)
			}
			return
		}
		for !done.Load() {
			table.Record(patterns[worker], start)
		}
	})
	mustCheck(t, table)
}
