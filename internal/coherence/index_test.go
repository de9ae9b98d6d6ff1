package coherence

import (
	"fmt"
	"testing"
	"time"
)

// tableOf returns a group whose answers read a table in a way of which nothing is known.
func tableOf(names ...string) *Group { return NewGroup(Reading{}, names...) }

func TestOverlappingChangesEndOneByOne(t *testing.T) {
	t.Parallel()
	x := quiet()
	group := tableOf("t")
	first, _ := x.Announce(Loose("t", Update))
	second, _ := x.Announce(Loose("t", Update), Loose("u", Update), Loose("t", Update))
	x.Finish(first, 0)
	if lease(x, group, nil, nil) != nil {
		t.Error("a lease while the second change is under way")
	}
	x.Finish(first, 0) // once too often ends nothing else
	if lease(x, group, nil, nil) != nil {
		t.Error("finishing one change twice ended another")
	}
	x.Finish(second, 0)
	if lease(x, group, nil, nil) == nil {
		t.Error("no lease after both")
	}
	verify(t, x)
}

func TestEverythingBlocksEveryLease(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	x := New(func() time.Time { return now })
	groups := []*Group{tableOf("t"), tableOf(), NewGroup(Reading{Table: "t"})}
	blocked := func(want bool, when string) {
		t.Helper()
		for i, group := range groups {
			if guard := lease(x, group, nil, nil); (guard == nil) != want {
				t.Errorf("%s: group %d is blocked: %t", when, i, guard == nil)
			}
		}
	}
	blocked(false, "before")
	a, killed := x.Announce(Everything)
	if len(killed) != len(groups) || x.Size() != 0 {
		t.Errorf("killed %d of %d", len(killed), len(groups))
	}
	blocked(true, "under way")
	x.Finish(a, time.Second)
	blocked(true, "held out")
	now = now.Add(time.Second)
	blocked(false, "after")
	verify(t, x)
}

func TestHoldOut(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	x := New(func() time.Time { return now })
	reading := Reading{Table: "t", Columns: cols("a"), Choosing: cols("a"), Fixed: where(pin("a", "a1"))}
	users, exact, pets := tableOf("s", "t"), NewGroup(reading), tableOf("u")
	change := update("a", where(pin("a", "a2")), where(pin("a", "a2")))
	a, _ := x.Announce(change)
	if lease(x, exact, nil, nil) == nil {
		t.Error("blocked by a change that cannot touch it")
	}
	x.Finish(a, time.Second)
	if lease(x, users, nil, nil) != nil || lease(x, exact, nil, nil) != nil || lease(x, pets, nil, nil) == nil {
		t.Error("held out: t must be, whatever the change was, and u must not")
	}
	a, _ = x.Announce(change)
	x.Finish(a, time.Millisecond) // does not shorten it
	now = now.Add(time.Second - 1)
	if lease(x, users, nil, nil) != nil {
		t.Error("the hold-out ended early")
	}
	now = now.Add(1)
	if lease(x, users, nil, nil) == nil || lease(x, exact, nil, nil) == nil {
		t.Error("the hold-out did not end")
	}
	verify(t, x)
}

func TestReleasedGuardsAreDead(t *testing.T) {
	t.Parallel()
	x := quiet()
	group := NewGroup(Reading{Table: "t", Columns: cols("a"), Rows: true, Keys: [][]string{{"a"}}, Primary: true})
	guard, other := lease(x, group, "owner", nil), lease(x, group, nil, nil)
	x.Fill(guard, 1, [][]Value{vals("a1")}, false)
	x.Release(guard)
	x.Release(guard)
	x.Fill(guard, 1, [][]Value{vals("a1")}, false)
	if !guard.Dead() || guard.Owner != "owner" || x.Size() != 1 {
		t.Errorf("dead %t, owner %v, size %d", guard.Dead(), guard.Owner, x.Size())
	}
	a, killed := x.Announce(Loose("t", Delete))
	if len(killed) != 1 || killed[0].Guard != other {
		t.Errorf("killed %v", killed)
	}
	x.Release(other)
	x.Finish(a, 0)
	verify(t, x, group)
	if known(x) != 0 {
		t.Errorf("left: %d tables", known(x))
	}
}

// TestFillCountsOnce: a second answer is another guard's.
func TestFillCountsOnce(t *testing.T) {
	t.Parallel()
	x := quiet()
	group := NewGroup(Reading{Table: "t", Columns: cols("a"), Rows: true, Keys: [][]string{{"a"}, {"a", "a"}}, Primary: true})
	guard := lease(x, group, nil, nil)
	x.Fill(guard, 3, [][]Value{vals("a1 a2 a1")}, false) // a key is not known, another is there twice
	verify(t, x)
	x.Fill(guard, 1, [][]Value{vals("a3"), nil}, false)
	verify(t, x)
	a, _ := x.Announce(deletes(pin("a", "a3")))
	if guard.Dead() {
		t.Error("filled twice")
	}
	x.Finish(a, 0)
	if x.Announce(deletes(pin("a", "a2"))); !guard.Dead() {
		t.Error("survived the delete of a row that it shows")
	}
	verify(t, x, group)
}

func TestWiden(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	x := New(func() time.Time { return now })
	parent, child, other := tableOf("parent"), tableOf("child"), tableOf("other")
	all := func() (guards [3]*Guard) {
		for i, group := range []*Group{parent, child, other} {
			guards[i] = lease(x, group, nil, nil)
		}
		return guards
	}
	under, _ := x.Announce(Loose("parent", Delete), Loose("parent", Update))
	before := all()
	if before[0] != nil || before[1] == nil || before[2] == nil {
		t.Fatal("a change of parent blocks more, or less")
	}
	if killed := x.Widen("parent", "child"); len(killed) != 1 || !before[1].Dead() || before[2].Dead() {
		t.Errorf("widening killed %v", killed)
	}
	verify(t, x)
	if all()[1] != nil {
		t.Error("what is under way for parent is not for child")
	}
	x.Finish(under, time.Second)
	verify(t, x)
	if during := all(); during[0] != nil || during[1] != nil {
		t.Error("what is held out for parent is not for child")
	}
	if x.Widen("parent", "grandchild"); lease(x, tableOf("grandchild"), nil, nil) != nil {
		t.Error("what was held out for parent is not for grandchild")
	}
	now = now.Add(time.Second)
	if after := all(); after[0] == nil || after[1] == nil {
		t.Error("the hold-out did not end")
	}
	if killed := x.Widen("nobody", "child"); len(killed) != 1 || lease(x, child, nil, nil) == nil {
		t.Errorf("widening a table that nothing is known of killed %v", killed)
	}
	verify(t, x)
}

// TestWideningInCircles: tables that reach one another, or themselves, are learned any number of
// times while one change is under way.
func TestWideningInCircles(t *testing.T) {
	t.Parallel()
	x := quiet()
	under, _ := x.Announce(Loose("t", Update), Loose("t", Delete))
	for range 100 {
		x.Widen("t", "t")
		x.Widen("t", "u")
		x.Widen("u", "v")
		x.Widen("v", "t")
	}
	if n := len(under.changes); n != 2+3 {
		t.Errorf("%d changes are under way, of which 2 were announced, for 3 tables", n)
	}
	verify(t, x)
	x.Finish(under, 0)
	if known(x) != 0 {
		t.Errorf("left: %d tables", known(x))
	}
}

// TestIndexForgetsTables: names in raw SQL are tables to the index only while a change of them is
// under way.
func TestIndexForgetsTables(t *testing.T) {
	t.Parallel()
	x := quiet()
	for i := range 100 {
		a, _ := x.Announce(Loose(fmt.Sprint("t", i), Any), Loose(fmt.Sprint("u", i), Any))
		x.Widen(fmt.Sprint("t", i), fmt.Sprint("v", i))
		x.Finish(a, 0)
	}
	group := tableOf("t", "u")
	x.Release(lease(x, group, nil, nil))
	if known(x) != 0 || x.Size() != 0 {
		t.Errorf("left: %d tables, %d guards", known(x), x.Size())
	}
	verify(t, x, group)
}

func TestHoldOutsThatAreOverDoNotPileUp(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	x := New(func() time.Time { return now })
	for i := range 100_000 {
		a, _ := x.Announce(Loose(fmt.Sprint("t", i), Any))
		x.Finish(a, time.Second)
		now = now.Add(10 * time.Millisecond)
	}
	if n := known(x); n > 1_000 {
		t.Errorf("%d tables are known, of which 100 are held out", n)
	}
}

// TestAnnounceAllocatesByWhatItKills: not by the guards that there are.
func TestAnnounceAllocatesByWhatItKills(t *testing.T) {
	allocated := func(guards int, change Change) float64 {
		x, _, _ := crowd(guards)
		return testing.AllocsPerRun(100, func() {
			a, killed := x.Announce(change)
			if len(killed) > 0 {
				t.Fatalf("killed %d", len(killed))
			}
			x.Finish(a, 0)
		})
	}
	for name, change := range map[string]Change{
		"row":   update("c", where(pin("id", "none")), nil),
		"value": insert(pin("id", "none"), pin("a", "none")),
		"key":   insert(pin("a", "none")),
	} {
		if few, many := allocated(10, change), allocated(10_000, change); few != many {
			t.Errorf("%s: %v allocations with 10 guards, %v with 10000", name, few, many)
		}
	}
}

// crowd returns an index with n answers to each of two queries: of one row by its key, and of 10
// rows by a value that they share.
func crowd(n int) (x *Index, byKey, byValue func(int) *Guard) {
	x = quiet()
	one := NewGroup(Reading{
		Table: "t", Columns: cols("id", "a", "c"), Choosing: cols("id"), Pinned: []string{"id"},
		Rows: true, Keys: [][]string{{"id"}}, Primary: true,
	})
	list := NewGroup(Reading{
		Table: "t", Columns: cols("id", "a", "c"), Choosing: cols("a"), Pinned: []string{"a"},
		Rows: true, Keys: [][]string{{"id"}}, Primary: true,
	})
	byKey = func(i int) *Guard {
		id := Value(fmt.Sprint("i", i))
		guard := lease(x, one, nil, [][]Value{{id}})
		x.Fill(guard, 1, [][]Value{{id}}, false)
		return guard
	}
	byValue = func(i int) *Guard {
		guard := lease(x, list, nil, [][]Value{{Value(fmt.Sprint("a", i))}})
		x.Fill(guard, 10, [][]Value{many("id", "i", 10*i, 10).Values}, false)
		return guard
	}
	for i := range n {
		byKey(i)
		byValue(i)
	}
	return x, byKey, byValue
}

// BenchmarkAnnounceByRow changes what one answer of each query shows, among many answers, and puts
// them back.
func BenchmarkAnnounceByRow(b *testing.B) {
	for _, n := range []int{1_000, 50_000} {
		x, byKey, byValue := crowd(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 1) % (n / 10) {
				id := Value(fmt.Sprint("i", 10*i))
				a, killed := x.Announce(update("c", where(Pin{"id", []Value{id}}), nil))
				if len(killed) != 2 {
					b.Fatalf("killed %d", len(killed))
				}
				x.Finish(a, 0)
				byKey(10 * i)
				byValue(i)
			}
		})
	}
}

// BenchmarkAnnounceByValue inserts a row that belongs into one answer.
func BenchmarkAnnounceByValue(b *testing.B) {
	for _, n := range []int{1_000, 50_000} {
		x, _, byValue := crowd(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 1) % n {
				a, killed := x.Announce(insert(Pin{"a", []Value{Value(fmt.Sprint("a", i))}}))
				if len(killed) != 1 {
					b.Fatalf("killed %d", len(killed))
				}
				x.Finish(a, 0)
				byValue(i)
			}
		})
	}
}

// lease leases a new guard; nil where that is refused.
func lease(x *Index, group *Group, owner any, pins [][]Value) *Guard {
	if guard := (&Guard{Owner: owner}); x.Lease(group, guard, pins) {
		return guard
	}
	return nil
}

// TestLinksFollowTheGuards: what most guards needed that are gone is given back, and those that are
// left are still found.
func TestLinksFollowTheGuards(t *testing.T) {
	t.Parallel()
	x := quiet()
	group := NewGroup(Reading{Table: "t", Columns: cols("a b"), Choosing: cols("a b"), Pinned: []string{"a", "b"}})
	guards := make([]*Guard, 1_000)
	pins := func(i int) [][]Value {
		return [][]Value{{Value(fmt.Sprint("i", i))}, {Value(fmt.Sprint("i", i%10)), "i1", "i1"}}
	}
	for i := range guards {
		guards[i] = lease(x, group, nil, pins(i))
	}
	most := len(group.links)
	left := map[*Guard]bool{}
	for i, guard := range guards {
		if i%100 == 7 {
			left[guard] = true
			continue
		}
		x.Release(guard)
		if i%50 == 0 {
			verify(t, x, group)
		}
	}
	verify(t, x, group)
	if n := len(group.links); n > most/10 {
		t.Errorf("%d links are kept for %d guards, of %d for %d", n, len(left), most, len(guards))
	}
	for i, guard := range guards {
		kills := x.Touching(insert(Pin{"a", pins(i)[0]}, Pin{"b", pins(i)[1]}))
		if left[guard] != (len(kills) == 1 && kills[0].Guard == guard) || len(kills) > 1 {
			t.Errorf("guard %d, which is left %t: found %d", i, left[guard], len(kills))
		}
	}
	for guard := range left {
		x.Release(guard)
	}
	verify(t, x, group)
	if n := cap(group.links) + cap(group.guards); n > most/10 {
		t.Errorf("room for %d links and guards is kept for none", n)
	}
}
