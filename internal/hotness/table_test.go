package hotness

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"
	"weak"
)

func mustCheck(t testing.TB, table *Table) {
	t.Helper()
	if err := table.check(); err != nil {
		t.Fatal(err)
	}
}

func TestScoreIsCountTimesDecayToTheHours(t *testing.T) {
	const decay = 0.95
	for _, tc := range []struct {
		name  string
		hours []float64 // of the accesses
		now   float64
		want  float64
	}{
		{"at once", []float64{0}, 0, 1},
		{"an hour later", []float64{0}, 1, 0.95},
		{"half an hour later", []float64{0}, 0.5, math.Pow(0.95, 0.5)},
		{"several accesses", []float64{0, 1, 2}, 4, 3 * 0.95 * 0.95},
		{"all at once", []float64{3, 3, 3, 3}, 3, 4},
		{"a week later", []float64{0, 0}, 168, 2 * math.Pow(0.95, 168)},
		{"late arrival does not turn back the last", []float64{5, 1}, 6, 2 * 0.95},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := New(10, decayed(decay))
			for _, h := range tc.hours {
				table.Touch("a", at(h))
			}
			got, ok := table.Score("a", at(tc.now))
			if !ok || math.Abs(got-tc.want) > 1e-12 {
				t.Errorf("score is %v, %v, want %v", got, ok, tc.want)
			}
			// The weight says the same: score(t) = exp(P - lambda*t).
			fromWeight := math.Exp(table.Lookup("a").Weight() + math.Log(decay)*tc.now)
			if math.Abs(fromWeight-tc.want) > 1e-9*tc.want {
				t.Errorf("exp(P - lambda*t) is %v, want %v", fromWeight, tc.want)
			}
		})
	}
}

func TestScoreOfAnUnknownKeyIsNotOK(t *testing.T) {
	table := New(1, decayed(0.5))
	table.Touch("a", start)
	table.Touch("b", start)
	for _, key := range []string{"a", "never"} {
		if score, ok := table.Score(key, start); ok || score != 0 {
			t.Errorf("Score(%q) is %v, %v", key, score, ok)
		}
	}
}

func TestColdestGivesWay(t *testing.T) {
	for _, tc := range []struct {
		name    string
		limit   int
		decay   float64
		touches string // a key an hour; '.' lets an hour pass
		want    string
	}{
		{"room for all", 3, 0.5, "abc", "abc"},
		{"least recent of equals", 3, 0.5, "abcd", "bcd"},
		{"an access saves", 3, 0.5, "abcad", "acd"},
		{"count beats age when decay is slow", 2, 0.99, "aaaabc", "ac"},
		{"age beats count when decay is fast", 2, 0.1, "aaaabc", "bc"},
		{"limit of one", 1, 0.5, "aaab", "b"},
		{"limit of zero is one", 0, 0.5, "ab", "b"},
		{"negative limit is one", -7, 0.5, "ab", "b"},
		{"all repaired", 3, 0.5, "abcabcabcd", "bcd"},
		{"comes back from nothing", 2, 0.5, "aaabc.a", "ac"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := New(tc.limit, decayed(tc.decay))
			for h, key := range tc.touches {
				if key != '.' {
					p := table.Touch(string(key), at(float64(h)))
					if !p.Tracked() || table.Lookup(string(key)) != p {
						t.Fatalf("%c is not tracked after its access", key)
					}
				}
				mustCheck(t, table)
			}
			var got string
			for key := 'a'; key <= 'z'; key++ {
				if table.Lookup(string(key)) != nil {
					got += string(key)
				}
			}
			if got != tc.want || table.Len() != len(tc.want) {
				t.Errorf("%d tracked: %s, want %s", table.Len(), got, tc.want)
			}
		})
	}
}

func TestEvictedPatternKeepsCountingAndComesBack(t *testing.T) {
	table := New(2, decayed(0.999))
	a := table.Touch("a", at(0))
	for range 3 {
		table.Touch("b", at(1))
		table.Touch("c", at(1))
	}
	if a.Tracked() {
		t.Fatal("a is still tracked")
	}
	// As cold as before: b and c have three accesses each.
	table.Record(a, at(1))
	if a.Tracked() || a.Count() != 2 {
		t.Fatalf("tracked %v with %d accesses, want untracked with 2", a.Tracked(), a.Count())
	}
	table.Record(a, at(1))
	if a.Tracked() {
		t.Fatal("came back with a weight that does not exceed the coldest")
	}
	table.Record(a, at(1))
	if !a.Tracked() || a.Count() != 4 || table.Lookup("a") != a || table.Len() != 2 {
		t.Fatalf("tracked %v with %d accesses, want tracked with 4", a.Tracked(), a.Count())
	}
	mustCheck(t, table)
}

func TestEvictedPatternComesBackWhenThereIsRoom(t *testing.T) {
	// A weight that never rises gives no reason to come back but room.
	table := New(2, scorerFuncs{weigh: func(w float64, _ int64, _ time.Time) float64 { return math.NaN() }})
	a, b := table.Touch("a", start), table.Touch("b", start)
	table.Touch("c", start)
	if a.Tracked() { // of equals any may be the victim
		a = b
	}
	table.Record(a, start)
	if a.Tracked() {
		t.Fatal("came back without room or weight")
	}
	table.Clear()
	table.Record(a, start)
	if !a.Tracked() || a.Count() != 1 {
		t.Fatalf("tracked %v with %d accesses after Clear, want tracked with 1", a.Tracked(), a.Count())
	}
	mustCheck(t, table)
}

func TestFailedReturnRaisesTheFloor(t *testing.T) {
	table := New(1, decayed(0.5))
	a := table.Touch("a", at(0))
	b := table.Touch("b", at(0))
	for range 100 {
		table.Record(b, at(0))
	}
	before := table.floor.Load()
	table.Record(a, at(1)) // above the floor, below b
	if a.Tracked() {
		t.Fatal("a took the place of a hotter pattern")
	}
	if after := math.Float64frombits(table.floor.Load()); after != b.Weight() || after <= math.Float64frombits(before) {
		t.Fatalf("floor %v, want the weight of the coldest %v", after, b.Weight())
	}
}

func TestMergeAddsCountsAndForwards(t *testing.T) {
	table := New(2, decayed(0.5))
	old := table.Touch("a", at(0))
	table.Record(old, at(0))
	table.Relate("a", "old", "both")
	table.Touch("b", at(5))
	table.Touch("c", at(5))
	if old.Tracked() {
		t.Fatal("a is still tracked")
	}
	fresh := table.Touch("a", at(6))
	table.Relate("a", "both", "new")
	if fresh == old || fresh.Count() != 1 || old.Count() != 2 {
		t.Fatalf("counts are %d and %d, want 1 and 2", fresh.Count(), old.Count())
	}
	table.Record(old, at(5.5)) // arrives late
	for name, p := range map[string]*Pattern{"old": old, "fresh": fresh} {
		if p.Count() != 4 || !p.Last().Equal(at(6)) || !p.Tracked() {
			t.Errorf("%s: count %d last %v tracked %v, want 4 %v true", name, p.Count(), p.Last(), p.Tracked(), at(6))
		}
		if want := decayed(0.5).Weigh(0, 4, at(6)); p.Weight() != want {
			t.Errorf("%s: weight %v, want %v", name, p.Weight(), want)
		}
	}
	if got, want := table.Related("a"), []string{"new", "both", "old"}; !slices.Equal(got, want) {
		t.Errorf("related %q, want %q", got, want)
	}
	mustCheck(t, table)
}

func TestChainOfForwardsIsSkipped(t *testing.T) {
	table := New(1, decayed(0.5))
	first := table.Touch("a", at(0))
	const rounds = 50
	for i := 1; i <= rounds; i++ {
		table.Touch("b", at(float64(i)))
		table.Touch("a", at(float64(i)))    // a new pattern
		table.Record(first, at(float64(i))) // merged into it
	}
	if want := int64(1 + 2*rounds); first.Count() != want {
		t.Fatalf("count %d, want %d", first.Count(), want)
	}
	if first.forward.Load() != table.Lookup("a") {
		t.Fatal("the kept pattern does not forward to the tracked one directly")
	}
	mustCheck(t, table)
}

func TestClearForgetsKeptPatterns(t *testing.T) {
	table := New(1, decayed(0.5))
	evicted := table.Touch("a", at(0))
	tracked := table.Touch("b", at(1))
	table.Relate("b", "c")
	table.Clear()
	if table.Len() != 0 || table.Associations() != 0 || tracked.Tracked() || table.Lookup("b") != nil {
		t.Fatal("something is left")
	}
	mustCheck(t, table)
	for _, p := range []*Pattern{evicted, tracked} {
		table.Record(p, at(2))
		if p.Count() != 1 || !p.Tracked() || table.Related(p.Key) != nil || p.Weight() != decayed(0.5).Weigh(0, 1, at(2)) {
			t.Errorf("%s: count %d tracked %v weight %v after Clear and one access", p.Key, p.Count(), p.Tracked(), p.Weight())
		}
		mustCheck(t, table)
		table.Clear()
	}
	again := table.Touch("a", at(3))
	table.Record(evicted, at(3))
	if again.Count() != 2 || evicted.Count() != 2 {
		t.Errorf("counts %d and %d, want 2: the access before the Clear is forgotten, the two after are not", again.Count(), evicted.Count())
	}
}

func TestRelate(t *testing.T) {
	for _, tc := range []struct {
		name  string
		calls [][]string
		want  []string
	}{
		{"none", nil, nil},
		{"no arguments", [][]string{{}}, nil},
		{"newest first", [][]string{{"a", "b"}, {"c"}}, []string{"c", "b", "a"}},
		{"itself is ignored", [][]string{{"self"}, {"a", "self"}}, []string{"a"}},
		{"again is newer", [][]string{{"a", "b", "c"}, {"a"}}, []string{"a", "c", "b"}},
		{"twice in one call", [][]string{{"a", "b", "a"}}, []string{"a", "b"}},
		{"newest eight", [][]string{{"1", "2", "3", "4", "5"}, {"6", "7", "8", "9", "10"}}, []string{"10", "9", "8", "7", "6", "5", "4", "3"}},
		{"more than eight at once", [][]string{{"1", "2", "3", "4", "5", "6", "7", "8", "9"}}, []string{"9", "8", "7", "6", "5", "4", "3", "2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := New(4, decayed(0.5))
			table.Touch("self", start)
			table.Touch("other", start)
			table.Relate("other", "x")
			for _, related := range tc.calls {
				arguments := slices.Clone(related)
				table.Relate("self", arguments...)
				if !slices.Equal(arguments, related) {
					t.Fatalf("the caller's %q became %q", related, arguments)
				}
			}
			got := table.Related("self")
			if !slices.Equal(got, tc.want) {
				t.Fatalf("related %q, want %q", got, tc.want)
			}
			if table.Associations() != 1+len(tc.want) {
				t.Errorf("%d associations, want %d", table.Associations(), 1+len(tc.want))
			}
			if len(got) > 0 {
				got[0] = "overwritten"
				if !slices.Equal(table.Related("self"), tc.want) {
					t.Error("Related returned what the table keeps, not a copy")
				}
			}
			mustCheck(t, table)
		})
	}
	table := New(1, decayed(0.5))
	table.Relate("untracked", "a")
	if table.Related("untracked") != nil || table.Associations() != 0 {
		t.Error("kept for an untracked key")
	}
}

func TestHottest(t *testing.T) {
	table := New(10, decayed(0.5))
	for key, count := range map[string]int{"one": 1, "two": 2, "also two": 2, "four": 4} {
		for range count {
			table.Touch(key, at(0))
		}
	}
	table.Relate("four", "x")
	for _, tc := range []struct {
		limit     int
		threshold float64
		now       float64
		want      []string
	}{
		{10, 0, 0, []string{"four", "also two", "two", "one"}},
		{3, 0, 0, []string{"four", "also two", "two"}},
		{2, 0, 0, []string{"four", "also two"}},
		{1, 0, 0, []string{"four"}},
		{math.MaxInt, 0, 0, []string{"four", "also two", "two", "one"}},
		{0, 0, 0, nil},
		{-1, 0, 0, nil},
		{10, 2, 0, []string{"four", "also two", "two"}},
		{10, 2.0001, 0, []string{"four"}},
		{10, 2, 1, []string{"four"}},
		{10, 2, 2, nil},
		{10, math.NaN(), 0, nil},
		{10, math.Inf(1), 0, nil},
	} {
		t.Run(fmt.Sprintf("%d above %v at %v", tc.limit, tc.threshold, tc.now), func(t *testing.T) {
			var got []string
			for _, s := range table.Hottest(tc.limit, tc.threshold, at(tc.now)) {
				got = append(got, s.Key)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("hottest %q, want %q", got, tc.want)
			}
		})
	}
	got := table.Hottest(1, 0, at(1))[0]
	if got.Count != 4 || !got.Last.Equal(at(0)) || got.Score != 2 || !slices.Equal(got.Related, []string{"x"}) {
		t.Errorf("snapshot is %+v", got)
	}
	if got := New(3, decayed(0.5)).Hottest(5, 0, start); len(got) != 0 {
		t.Errorf("hottest of an empty table: %v", got)
	}
}

func TestTimesOutsideTheRangeOfUnixNano(t *testing.T) {
	table := New(3, frequency(0))
	p := table.Touch("a", time.Time{})
	if p.Count() != 1 || p.Last().Year() != 1677 {
		t.Errorf("last is %v", p.Last())
	}
	table.Record(p, start)
	if !p.Last().Equal(start) {
		t.Errorf("last is %v, want %v", p.Last(), start)
	}
	table.Record(p, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if p.Last().Year() != 2262 {
		t.Errorf("last is %v", p.Last())
	}
	if (newPattern("b", 0)).Last() != (time.Time{}) {
		t.Error("a pattern without accesses has a last one")
	}
	mustCheck(t, table)
}

func TestWeightsThatAreLowerOrNaNAreIgnored(t *testing.T) {
	var next float64
	table := New(2, scorerFuncs{weigh: func(float64, int64, time.Time) float64 { return next }})
	for _, tc := range []struct{ next, want float64 }{
		{math.NaN(), math.Inf(-1)},
		{math.Inf(-1), math.Inf(-1)},
		{3, 3},
		{2, 3},
		{math.NaN(), 3},
		{math.Inf(-1), 3},
		{4, 4},
		{math.Inf(1), math.Inf(1)},
		{5, math.Inf(1)},
	} {
		next = tc.next
		if got := table.Touch("a", start).Weight(); got != tc.want {
			t.Fatalf("weight %v after the scorer said %v, want %v", got, tc.next, tc.want)
		}
		mustCheck(t, table)
	}
	if got := table.Lookup("a").Count(); got != 9 {
		t.Errorf("count %d, want 9: the accesses count whatever the scorer says", got)
	}
}

func TestWeighIsNeverGivenATimeBeforeTheLastAccess(t *testing.T) {
	var seen []time.Time
	table := New(2, scorerFuncs{weigh: func(w float64, _ int64, now time.Time) float64 {
		seen = append(seen, now)
		return w
	}})
	for _, h := range []float64{1, 3, 2, 4} {
		table.Touch("a", at(h))
	}
	for i, want := range []float64{1, 3, 3, 4} {
		if !seen[i].Equal(at(want)) {
			t.Errorf("access %d weighed at %v, want %v", i, seen[i], at(want))
		}
	}
}

func TestPanicOfTheScorerReachesTheCallerAndLeavesTheTableWhole(t *testing.T) {
	boom := errors.New("boom")
	var fail bool
	table := New(2, scorerFuncs{
		weigh: func(w float64, count int64, now time.Time) float64 {
			if fail {
				panic(boom)
			}
			return decayed(0.5).Weigh(w, count, now)
		},
		score: func(float64, int64, time.Time, time.Time) float64 {
			if fail {
				panic(boom)
			}
			return 1
		},
	})
	evicted := table.Touch("evicted", at(0))
	merging := table.Touch("merging", at(0))
	table.Touch("a", at(1))
	table.Touch("b", at(1))
	table.Touch("merging", at(2))
	tracked := table.Lookup("merging")
	for _, tc := range []struct {
		name string
		do   func()
	}{
		{"Touch of a tracked key", func() { table.Touch("merging", at(3)) }},
		{"Touch of a new key", func() { table.Touch("new", at(3)) }},
		{"Record of a tracked pattern", func() { table.Record(tracked, at(3)) }},
		{"Record of an evicted pattern", func() { table.Record(evicted, at(3)) }},
		{"Record that merges", func() { table.Record(merging, at(3)) }},
		{"Hottest", func() { table.Hottest(5, 0, at(3)) }},
		{"Score", func() { table.Score("merging", at(3)) }},
	} {
		fail = true
		func() {
			defer func() {
				if got := recover(); got != boom {
					t.Errorf("%s: recovered %v, want %v", tc.name, got, boom)
				}
			}()
			tc.do()
		}()
		fail = false
		mustCheck(t, table)
	}
	if table.Lookup("new") != nil {
		t.Error("a key that could not be weighed is tracked")
	}
	// Two touches, and what was recorded by the three calls that panicked.
	if got := tracked.Count(); got != 5 || merging.Count() != got {
		t.Errorf("count %d and %d, want 5", got, merging.Count())
	}
	table.Touch("new", at(4))
	mustCheck(t, table)
}

func TestScorerMayUseTheTable(t *testing.T) {
	var table *Table
	table = New(2, scorerFuncs{
		weigh: func(w float64, count int64, now time.Time) float64 {
			table.Hottest(1, 0, now)
			table.Relate("a", "b")
			return decayed(0.5).Weigh(w, count, now)
		},
		score: func(float64, int64, time.Time, time.Time) float64 {
			table.Associations()
			return 1
		},
	})
	for i, key := range []string{"a", "b", "c", "a"} {
		table.Touch(key, at(float64(i)))
	}
	mustCheck(t, table)
}

// With the lock held by someone else, all that must not wait for it still
// returns. (A call that did wait would never end: the holder is this test.)
func TestAccessesDoNotWaitForTheLock(t *testing.T) {
	table := New(2, decayed(0.5))
	evicted := table.Touch("evicted", at(0))
	merging := table.Touch("merging", at(0))
	table.Touch("a", at(1))
	table.Touch("b", at(1))
	tracked := table.Touch("merging", at(2))
	if evicted.Tracked() || merging.Tracked() || !tracked.Tracked() {
		t.Fatal("the set-up is not what it should be")
	}

	table.mu.Lock()
	table.Record(tracked, at(3))
	table.Touch("merging", at(3))
	table.Record(evicted, at(9)) // could come back
	table.Record(merging, at(9)) // could be merged
	table.Relate("merging", "x")
	table.Related("merging")
	table.Score("merging", at(9))
	table.Len()
	table.mu.Unlock()

	if evicted.Tracked() || evicted.Count() != 2 || merging.Tracked() || tracked.Count() != 3 {
		t.Errorf("evicted %d, merging %d, tracked %d accesses", evicted.Count(), merging.Count(), tracked.Count())
	}
	table.Record(evicted, at(9))
	table.Record(merging, at(9))
	if !evicted.Tracked() || evicted.Count() != 3 || !merging.Tracked() || tracked.Count() != 6 {
		t.Errorf("evicted %d, merging %d accesses after the lock was free, want 3 and 6", evicted.Count(), merging.Count())
	}
	mustCheck(t, table)
}

func TestAccessesDoNotAllocate(t *testing.T) {
	table := New(2, decayed(0.999))
	var hours float64
	now := func() time.Time { hours += 0.001; return at(hours) }
	tracked := table.Touch("users:id:1", now())
	cold := table.Touch("users:id:2", now())
	for range 10000 {
		table.Touch("users:id:1", now())
		table.Touch("users:id:3", now())
	}
	if cold.Tracked() {
		t.Fatal("the set-up is not what it should be")
	}
	for name, access := range map[string]func(){
		"Record of a tracked pattern":  func() { table.Record(tracked, now()) },
		"Record of an evicted pattern": func() { table.Record(cold, now()) },
		"Touch of a tracked key":       func() { table.Touch("users:id:1", now()) },
		"Lookup":                       func() { table.Lookup("users:id:1") },
		"Score":                        func() { table.Score("users:id:1", now()) },
	} {
		if n := testing.AllocsPerRun(100, access); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func TestEvictedPatternsAreGarbage(t *testing.T) {
	table := New(4, decayed(0.5))
	var patterns []weak.Pointer[Pattern]
	var related []weak.Pointer[[]string]
	for i := range 100 {
		key := fmt.Sprint(i)
		p := table.Touch(key, at(float64(i)))
		table.Relate(key, "x", "y")
		patterns = append(patterns, weak.Make(p))
		related = append(related, weak.Make(p.related.Load()))
	}
	// A chain of patterns that one caller keeps the start of.
	kept := table.Touch("kept", at(200))
	var chain []weak.Pointer[Pattern]
	for i := range 20 {
		now := at(float64(300 + 100*i))
		for j := range 4 {
			table.Touch(fmt.Sprint("other", i, j), now)
		}
		chain = append(chain, weak.Make(table.Touch("kept", now)))
		table.Record(kept, now)
	}
	kept.Count()

	runtime.GC()
	for i := range patterns {
		if patterns[i].Value() != nil || related[i].Value() != nil {
			t.Fatalf("pattern %d of 100 is still in memory", i)
		}
	}
	for i, p := range chain[:len(chain)-1] {
		if p.Value() != nil {
			t.Fatalf("pattern %d of the chain is still in memory", i)
		}
	}
	if kept.Count() != 41 {
		t.Errorf("count %d, want 41", kept.Count())
	}
	runtime.KeepAlive(table)
}

// TestAPatternFillsACacheLine: or an access may have to wait for two.
func TestAPatternFillsACacheLine(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(Pattern{}); size > 64 {
		t.Errorf("it has %d bytes", size)
	}
}
