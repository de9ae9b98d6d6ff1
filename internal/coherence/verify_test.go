package coherence

import "slices"

// failer is what verify needs of a test.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// verify proves the structure of an index whole: that every guard is in exactly the sets that it
// belongs to, that sets and guards agree on where, and that nothing is kept which is empty.
func verify(t failer, x *Index, groups ...*Group) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	alive := 0
	for group := range x.groups {
		if len(group.guards) == 0 {
			t.Fatalf("an empty group is linked")
		}
		alive += len(group.guards)
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
			if len(group.guards) > 0 {
				t.Fatalf("a group with %d guards is not linked", len(group.guards))
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

// verifyGroup proves that the links of a group's guards are what its lists are made of, and that
// all others are free. Which marks a guard should have is for the model to say, by what changes
// find.
func verifyGroup(t failer, group *Group) {
	t.Helper()
	of := map[uint32]*Guard{}
	for place, guard := range group.guards {
		if guard.Dead() || guard.group != group || int(guard.place) != place {
			t.Fatalf("a guard is linked that is dead (%t), of another group, or not at its place", guard.Dead())
		}
		seen := map[mark]bool{}
		for l := guard.links; l != 0; l = group.links[l].mine {
			if it := group.links[l]; of[l] != nil || int(it.guard) != place || seen[it.mark] {
				t.Fatalf("a link is two guards', another's, or its mark is there twice")
			}
			of[l], seen[group.links[l].mark] = guard, true
		}
		for i := range group.reading.Keys {
			if !guard.filled && !seen[group.shown(i).unknown()] {
				t.Fatalf("a guard that is not filled has no mark for a key that is not known")
			}
		}
		if group.unique && seen[vacant] == guard.showsKey() {
			t.Fatalf("a guard that shows its key (%t) is among the vacant (%t)", guard.showsKey(), seen[vacant])
		}
	}
	if group.used != len(of) {
		t.Fatalf("%d links are used, %d are counted", len(of), group.used)
	}
	listed := 0
	for m, list := range group.lists {
		n, before := 0, uint32(0)
		for l := list.first; l != 0; l = group.links[l].next {
			if it := group.links[l]; of[l] == nil || it.mark != m || it.prev != before {
				t.Fatalf("a link in a list is free, of another mark, or leads back elsewhere")
			}
			n, before = n+1, l
		}
		if n == 0 || n != int(list.n) {
			t.Fatalf("a list of %d links counts %d", n, list.n)
		}
		listed += n
	}
	if listed != len(of) {
		t.Fatalf("%d links are in lists, %d are used", listed, len(of))
	}
	free := 0
	for l := group.free; l != 0; l = group.links[l].next {
		if free++; of[l] != nil || free > len(group.links) {
			t.Fatalf("a free link is used, or there is a loop of them")
		}
	}
	if len(group.links) > 0 && free+listed+1 != len(group.links) {
		t.Fatalf("%d of %d links are lost", len(group.links)-1-free-listed, len(group.links))
	}
}
