package hotness

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// modelPattern and model say what the table promises in the plainest way: no
// heap, no atomics, everything is searched by looking at all of it.
type modelPattern struct {
	key     string
	epoch   int
	count   int64
	last    time.Time
	weight  float64
	related []string // oldest first
	tracked bool
	forward *modelPattern
}

type model struct {
	limit   int
	scorer  Scorer
	epoch   int
	tracked map[string]*modelPattern
}

func (m *model) newPattern(key string) *modelPattern {
	return &modelPattern{key: key, epoch: m.epoch, weight: math.Inf(-1)}
}

func (p *modelPattern) end() *modelPattern {
	for p.forward != nil {
		p = p.forward
	}
	return p
}

func (p *modelPattern) relate(keys ...string) {
	for _, key := range keys {
		if key == p.key {
			continue
		}
		p.related = slices.DeleteFunc(p.related, func(k string) bool { return k == key })
		p.related = append(p.related, key)
	}
	p.related = p.related[max(0, len(p.related)-8):]
}

func (m *model) access(p *modelPattern, now time.Time) {
	p.count++
	if p.last.IsZero() || now.After(p.last) {
		p.last = now
	}
	if w := m.scorer.Weigh(p.weight, p.count, p.last); w > p.weight {
		p.weight = w
	}
}

func (m *model) lowest() float64 {
	lowest := math.Inf(1)
	for _, p := range m.tracked {
		lowest = min(lowest, p.weight)
	}
	return lowest
}

// track gives p a place. Of several coldest patterns any may be the victim, so
// the table is asked which it was; it may not be one that is not coldest.
func (m *model) track(p *modelPattern, table *Table) error {
	if len(m.tracked) == m.limit {
		lowest := m.lowest()
		var gone []*modelPattern
		for key, q := range m.tracked {
			if table.Lookup(key) == nil {
				gone = append(gone, q)
			}
		}
		if len(gone) != 1 {
			return fmt.Errorf("%d patterns lost their places to %q, want 1", len(gone), p.key)
		}
		if gone[0].weight != lowest {
			return fmt.Errorf("victim %q has weight %v, the coldest %v", gone[0].key, gone[0].weight, lowest)
		}
		gone[0].tracked = false
		delete(m.tracked, gone[0].key)
	}
	p.tracked = true
	m.tracked[p.key] = p
	return nil
}

func (m *model) touch(key string, now time.Time, table *Table) (*modelPattern, error) {
	if p := m.tracked[key]; p != nil {
		m.access(p, now)
		return p, nil
	}
	p := m.newPattern(key)
	m.access(p, now)
	return p, m.track(p, table)
}

func (m *model) record(p *modelPattern, now time.Time, table *Table) error {
	p = p.end()
	if !p.tracked {
		q := m.tracked[p.key]
		switch {
		case p.epoch != m.epoch:
			if q == nil {
				q = m.newPattern(p.key)
			}
			p.forward = q
			p = q
		case q != nil:
			q.count += p.count
			if p.last.After(q.last) {
				q.last = p.last
			}
			q.weight = max(q.weight, p.weight)
			newer := q.related
			q.related = p.related
			q.relate(newer...)
			p.forward = q
			p = q
		}
	}
	m.access(p, now)
	if !p.tracked && (len(m.tracked) < m.limit || p.weight > m.lowest()) {
		return m.track(p, table)
	}
	return nil
}

func (m *model) hottest(limit int, threshold float64, now time.Time) []Snapshot {
	var all []Snapshot
	for key, p := range m.tracked {
		if score := m.scorer.Score(p.weight, p.count, p.last, now); score >= threshold {
			related := slices.Clone(p.related)
			slices.Reverse(related)
			all = append(all, Snapshot{key, p.count, p.last, score, related})
		}
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].Score != all[j].Score {
			return all[i].Score > all[j].Score
		}
		return all[i].Key < all[j].Key
	})
	return all[:max(0, min(limit, len(all)))]
}

func diffSnapshots(got, want []Snapshot) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d snapshots %v, want %d %v", len(got), got, len(want), want)
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.Key != w.Key || g.Count != w.Count || !g.Last.Equal(w.Last) || g.Score != w.Score || !slices.Equal(g.Related, w.Related) {
			return fmt.Errorf("snapshot %d is %+v, want %+v", i, g, w)
		}
	}
	return nil
}

// Every operation in any order does what the model does, whichever patterns
// callers kept from whenever, and leaves the structure whole.
func TestTableDoesWhatTheModelDoes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		scorer Scorer
	}{
		{"decayed", decayed(0.5)},
		{"hardly decayed", decayed(0.999999)},
		{"frequency", frequency(0.7)},
		{"wayward", wayward{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) { checkAgainstModel(rt, tc.scorer) })
		})
	}
}

func checkAgainstModel(t *rapid.T, scorer Scorer) {
	limit := rapid.IntRange(1, 6).Draw(t, "limit")
	table := New(limit, scorer)
	m := &model{limit: limit, scorer: scorer, tracked: map[string]*modelPattern{}}
	type kept struct {
		real  *Pattern
		model *modelPattern
	}
	var keep []kept

	clock := start
	keyOf := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	touch := func(key string) {
		real := table.Touch(key, clock)
		want, err := m.touch(key, clock, table)
		must(err)
		if real.Key != key {
			t.Fatalf("Touch(%q) returned the pattern of %q", key, real.Key)
		}
		keep = append(keep, kept{real, want})
	}

	t.Repeat(map[string]func(*rapid.T){
		"touch": func(t *rapid.T) { touch(keyOf.Draw(t, "key")) },
		// What is drawn is short; this goes far from an empty table.
		"burst": func(t *rapid.T) {
			random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			for range 50 {
				clock = clock.Add(time.Duration(random.IntN(3)) * 15 * time.Minute)
				if len(keep) == 0 || random.IntN(3) == 0 {
					touch(string(rune('a' + random.IntN(12))))
					continue
				}
				k := keep[random.IntN(len(keep))]
				table.Record(k.real, clock)
				must(m.record(k.model, clock, table))
				must(table.check())
			}
		},
		"record": func(t *rapid.T) {
			if len(keep) == 0 {
				t.Skip("nothing kept")
			}
			// More than once, so that cold patterns warm up.
			k := keep[rapid.IntRange(0, len(keep)-1).Draw(t, "kept")]
			for range rapid.IntRange(1, 4).Draw(t, "times") {
				table.Record(k.real, clock)
				must(m.record(k.model, clock, table))
			}
		},
		"pass time": func(t *rapid.T) {
			// Coarse, so that weights tie; sometimes backwards.
			clock = clock.Add(time.Duration(rapid.IntRange(-1, 4).Draw(t, "quarters")) * 15 * time.Minute)
		},
		"relate": func(t *rapid.T) {
			key := keyOf.Draw(t, "key")
			related := rapid.SliceOfN(keyOf, 0, 12).Draw(t, "related")
			table.Relate(key, related...)
			if p := m.tracked[key]; p != nil {
				p.relate(related...)
			}
		},
		"hottest": func(t *rapid.T) {
			n := rapid.IntRange(-1, 7).Draw(t, "n")
			threshold := rapid.SampledFrom([]float64{math.Inf(-1), 0, 0.5, 1, 2, math.NaN()}).Draw(t, "threshold")
			must(diffSnapshots(table.Hottest(n, threshold, clock), m.hottest(n, threshold, clock)))
		},
		"clear": func(t *rapid.T) {
			if rapid.IntRange(0, 4).Draw(t, "seldom") > 0 {
				t.Skip("not now")
			}
			table.Clear()
			m.epoch++
			for _, p := range m.tracked {
				p.tracked = false
			}
			clear(m.tracked)
		},
		"": func(t *rapid.T) {
			must(table.check())
			if table.Len() != len(m.tracked) {
				t.Fatalf("Len is %d, want %d", table.Len(), len(m.tracked))
			}
			associations := 0
			for key, p := range m.tracked {
				associations += len(p.related)
				want := slices.Clone(p.related)
				slices.Reverse(want)
				if got := table.Related(key); !slices.Equal(got, want) {
					t.Fatalf("Related(%q) is %q, want %q", key, got, want)
				}
				score, ok := table.Score(key, clock)
				wantScore := scorer.Score(p.weight, p.count, p.last, clock)
				if !ok || score != wantScore && !(math.IsNaN(score) && math.IsNaN(wantScore)) {
					t.Fatalf("Score(%q) is %v, %v, want %v", key, score, ok, wantScore)
				}
			}
			if got := table.Associations(); got != associations {
				t.Fatalf("Associations is %d, want %d", got, associations)
			}
			for i, k := range keep {
				want := k.model.end()
				got := k.real
				if got.Count() != want.count || !got.Last().Equal(want.last) || got.Weight() != want.weight || got.Tracked() != want.tracked {
					t.Fatalf("kept %d of %q: count %d last %v weight %v tracked %v, want %d %v %v %v", i, got.Key,
						got.Count(), got.Last(), got.Weight(), got.Tracked(), want.count, want.last, want.weight, want.tracked)
				}
			}
		},
	})
}

// The victims come out in the order in which a rescan would choose them, on a
// heap deep enough to have one.
func TestVictimsAreThoseOfARescan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		limit := 1 + random.IntN(200)
		table := New(limit, decayed(0.9))
		m := &model{limit: limit, scorer: decayed(0.9), tracked: map[string]*modelPattern{}}
		// Some keys are used much more than others, so that many accesses go to
		// tracked ones and the heap has something to repair.
		const accesses = 2000
		keys := rand.NewZipf(random, 1.1, float64(limit)/4+1, uint64(4*limit))
		repaired := 0
		for i := range accesses {
			key, now := fmt.Sprint(keys.Uint64()), at(float64(i)/20)
			if root := table.heap; len(root) > 0 && root[0].at != root[0].ownWeight() {
				repaired++
			}
			table.Touch(key, now)
			if _, err := m.touch(key, now, table); err != nil {
				t.Fatalf("limit %d, access %d: %v", limit, i, err)
			}
		}
		if repaired == 0 {
			t.Fatal("the root never fell behind: the test shows nothing")
		}
		if err := table.check(); err != nil {
			t.Fatal(err)
		}
		now := at(accesses / 20)
		if err := diffSnapshots(table.Hottest(limit/3+1, 1e-9, now), m.hottest(limit/3+1, 1e-9, now)); err != nil {
			t.Fatal(err)
		}
	})
}
