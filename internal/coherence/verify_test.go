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

// known returns how many tables an index knows.
func known(x *Index) (n int) {
	x.eachTable(func(*table) { n++ })
	return n
}

// verify proves the structure of an index whole, in which nothing happens meanwhile: that every
// guard is in exactly the sets that it belongs to, that sets and guards agree on where, and that
// nothing is kept which is empty.
func verify(t failer, x *Index, groups ...*Group) {
	t.Helper()
	tables, alive := map[string]*table{}, 0
	x.tables.Range(func(name, known any) bool {
		tables[name.(string)] = known.(*table)
		return true
	})
	if int(x.known.Load()) != len(tables) {
		t.Fatalf("%d tables are counted, %d are there", x.known.Load(), len(tables))
	}
	others := map[string]map[*Group]int{}
	for name, table := range tables {
		if table.gone || table.name != name || table.searches != 0 {
			t.Fatalf("table %q is gone (%t), has another name, or is searched", name, table.gone)
		}
		if len(table.groups)+len(table.others)+len(table.pending) == 0 && table.held.IsZero() {
			t.Fatalf("table %q is kept for nothing", name)
		}
		for place, group := range table.groups {
			if group.home != name || group.place != place || len(group.guards) == 0 || group.walks != nil {
				t.Fatalf("table %q has a group of %q, at the wrong place, empty, or that is walked through", name, group.home)
			}
			alive += len(group.guards)
			verifyGroup(t, group)
			for _, other := range group.others {
				if others[other] == nil {
					others[other] = map[*Group]int{}
				}
				others[other][group] = len(group.guards)
			}
		}
		for i, p := range table.pending {
			if p.Table != name || slices.Index(table.pending, p) != i || !slices.Contains(p.of.changes, p) || p.of.over {
				t.Fatalf("table %q: a pending change of %q, or twice, or of no announcement", name, p.Table)
			}
			for _, p := range p.of.changes {
				if other := tables[p.Table]; other == nil || !slices.Contains(other.pending, p) {
					t.Fatalf("a change of %q is announced and not pending", p.Table)
				}
			}
		}
	}
	for name, table := range tables {
		if !maps.Equal(table.others, others[name]) {
			t.Fatalf("table %q counts answers of %v that have another home, want %v", name, table.others, others[name])
		}
		delete(others, name)
	}
	if len(others) != 0 {
		t.Fatalf("tables are missing: %v", others)
	}
	for _, group := range groups {
		if table := tables[group.home]; table == nil || !slices.Contains(table.groups, group) {
			if len(group.guards) > 0 {
				t.Fatalf("a group with %d guards is not linked", len(group.guards))
			}
			verifyGroup(t, group)
		}
	}
	if size := x.Size(); size != alive {
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
		if guard.Dead() || !guard.linked || guard.group.Load() != group || int(guard.place) != place {
			t.Fatalf("a guard is linked that is dead (%t), of another group, or not at its place", guard.Dead())
		}
		seen := map[mark]bool{}
		for l := guard.links; l != 0; l = group.links[l].mine {
			if !group.sieve.mayHave(group.links[l].mark) {
				t.Fatalf("a mark is not in the sieve")
			}
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
		if group.unique && seen[vacant] == guard.showsKeys() {
			t.Fatalf("a guard that shows its keys (%t) is among the vacant (%t)", guard.showsKeys(), seen[vacant])
		}
	}
	if group.used != len(of) {
		t.Fatalf("%d links are used, %d are counted", len(of), group.used)
	}
	listed := 0
	for m, list := range group.lists {
		n, before := 0, uint32(0)
		for l := list.first; l != 0; l = group.links[l].next {
			if !group.sieve.mayHave(group.links[l].mark) {
				t.Fatalf("a mark is not in the sieve")
			}
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
