package coherence

import (
	"maps"
	"slices"
)

// failer is what verify needs of a test.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// verify proves the structure of an index whole: that every guard is in exactly the sets that it belongs to, that sets and
// guards agree on where, and that nothing is kept which is empty.
func verify(t failer, x *Index, groups ...*Group) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	alive := 0
	for group := range x.groups {
		if len(group.all.slots) == 0 {
			t.Fatalf("an empty group is linked")
		}
		alive += len(group.all.slots)
		verifyGroup(t, group)
		for name, table := range x.tables {
			if _, linked := table.groups[group]; linked != (group.hasTable && group.reading.Table == name) {
				t.Fatalf("a group on %q is linked to %q: %t", group.reading.Table, name, linked)
			}
			if _, linked := table.loose[group]; linked != slices.Contains(group.loose, name) {
				t.Fatalf("a group on %q is linked to %q: %t", group.loose, name, linked)
			}
		}
		for _, name := range append(slices.Clone(group.loose), group.reading.Table) {
			if x.tables[name] == nil && name != "" {
				t.Fatalf("table %q of a group is missing", name)
			}
		}
	}
	for _, group := range groups {
		if _, linked := x.groups[group]; !linked {
			if len(group.all.slots) > 0 {
				t.Fatalf("a group with %d guards is not linked", len(group.all.slots))
			}
			verifyGroup(t, group)
		}
	}
	for name, table := range x.tables {
		if len(table.groups)+len(table.loose)+len(table.pending) == 0 && table.held.IsZero() {
			t.Fatalf("table %q is kept for nothing", name)
		}
		for _, linked := range []map[*Group]struct{}{table.groups, table.loose} {
			for group := range linked {
				if _, ok := x.groups[group]; !ok {
					t.Fatalf("table %q leads to a group that is not linked", name)
				}
			}
		}
		for i, p := range table.pending {
			if p.Table != name || slices.Index(table.pending, p) != i || !slices.Contains(p.of.changes, p) {
				t.Fatalf("table %q: a pending change of %q, or twice, or of no announcement", name, p.Table)
			}
			for _, p := range p.of.changes {
				if other := x.tables[p.Table]; other == nil || !slices.Contains(other.pending, p) {
					t.Fatalf("a change of %q is announced and not pending", p.Table)
				}
			}
		}
	}
	x.mu.Unlock()
	size := x.Size()
	x.mu.Lock()
	if size != alive {
		t.Fatalf("size %d with %d guards alive", size, alive)
	}
}

func verifyGroup(t failer, group *Group) {
	t.Helper()
	want := map[*set]map[*Guard]bool{}
	should := func(s *set, guard *Guard) {
		if s == nil {
			t.Fatalf("a set is missing")
		}
		if want[s] == nil {
			want[s] = map[*Guard]bool{}
		}
		want[s][guard] = true
	}
	inFacet := func(f *facet, guard *Guard, values []Value) {
		if values == nil {
			should(&f.free, guard)
		}
		for _, v := range values {
			should(f.values[v], guard)
		}
	}
	for _, slot := range group.all.slots {
		guard := slot.guard
		if guard.Dead() || guard.group != group {
			t.Fatalf("a guard is linked that is dead (%t), or of another group", guard.Dead())
		}
		should(&group.all, guard)
		for i := range group.pinned {
			inFacet(&group.pinned[i], guard, guard.pins[i])
		}
		for i := range group.shown {
			if guard.filled {
				inFacet(&group.shown[i], guard, guard.shown[i])
			} else {
				inFacet(&group.shown[i], guard, nil)
			}
		}
		if group.unique && !(guard.single && guard.filled && guard.rows > 0) {
			should(&group.vacant, guard)
		}
		places := 0
		for _, guards := range want {
			if guards[guard] {
				places++
			}
		}
		if len(guard.in) != places {
			t.Fatalf("a guard has %d places, should have %d", len(guard.in), places)
		}
	}
	sets := map[*set]bool{&group.all: true, &group.vacant: true}
	for _, facets := range [][]facet{group.pinned, group.shown} {
		for i := range facets {
			sets[&facets[i].free] = true
			for value, s := range facets[i].values {
				sets[s] = true
				if len(s.slots) == 0 || s.value != value || !sameMap(s.of, facets[i].values) {
					t.Fatalf("the set of %q is empty, or another's", value)
				}
			}
		}
	}
	for s := range sets {
		if len(s.slots) != len(want[s]) {
			t.Fatalf("a set holds %d guards, should hold %d", len(s.slots), len(want[s]))
		}
		for at, slot := range s.slots {
			if !want[s][slot.guard] || slot.guard.in[slot.place] != (place{s, at}) {
				t.Fatalf("a guard is in a set that it does not belong to, or knows another place")
			}
		}
	}
	for s := range maps.Keys(want) {
		if !sets[s] {
			t.Fatalf("a guard is in a set that the group does not know")
		}
	}
}

// sameMap reports whether two maps are one.
func sameMap(a, b map[Value]*set) bool {
	const probe = Value("\x00probe")
	a[probe] = nil
	_, ok := b[probe]
	delete(a, probe)
	return ok
}
