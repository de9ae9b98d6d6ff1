package coherence

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
)

// Reading is how the answers of a group read one table.
type Reading struct {
	Table string
	// Columns are those whose values decide the answer: all that are named below are among them.
	Columns Columns
	// Choosing are those of them that decide which rows are in it: what it is filtered by, so all
	// that are pinned, and, where a limit cuts it, ordered by.
	Choosing Columns
	// Fixed are the pins that all answers of the group have.
	Fixed Pins
	// Pinned are the columns in which each answer may have pins of its own.
	Pinned []string
	// Rows says that answers show all rows that they are made of, once they are filled.
	Rows bool
	// Keys are the columns of the keys by which rows are shown. They need not be unique.
	Keys [][]string
	// Primary says that the first of Keys is the primary key of the table.
	Primary bool
}

// Group holds the guards of answers that read the same tables in the same way. Its fields belong to
// the Index.
type Group struct {
	reading  Reading
	hasTable bool
	loose    []string // tables of which nothing is known but that the answers read them
	unique   bool     // the pins are a whole primary key

	guards []*Guard // all, in no order; a guard knows its place
	links  []link   // all links of the guards, and free ones; the first stands for none
	free   uint32   // the first free one; their next is another
	used   int      // links that are not free
	lists  map[mark]list
}

// mark is what guards are found by: a facet and a value in it, hashed. Two that are equal by
// accident make a change find, and kill, a guard too many.
type mark uint64

// facet numbers what guards of a group have values in: its pinned columns, and after them the keys
// by which they show rows.
type facet int

// maxFacets is how many facets there can be: what is pinned or shown beyond it counts as not known.
const maxFacets = 64

var seed = maphash.MakeSeed()

// of returns the mark of a value.
func (f facet) of(v Value) mark { return mark(maphash.String(seed, string(v))) + f.unknown() }

// unknown returns the mark of guards whose values are not known: they could be any.
func (f facet) unknown() mark { return mark(f+1) * 0x9e3779b97f4a7c15 }

// vacant is the mark, where the pins of a group may be a whole primary key, of the guards that do
// not show its row.
const vacant mark = 0

// link is one mark of a guard.
type link struct {
	mark       mark
	guard      uint32 // the place of its guard
	next, prev uint32 // in the list of the mark
	mine       uint32 // the guard's next
}

// list holds the links of one mark. There is none without links.
type list struct{ first, n uint32 }

// NewGroup returns a group whose answers read one table as reading says, if its Table is not "",
// and others of which any change could touch them. A group is used with one Index only.
func NewGroup(reading Reading, loose ...string) *Group {
	if !reading.Rows {
		reading.Keys, reading.Primary = nil, false
	}
	reading.Keys = reading.Keys[:min(len(reading.Keys), maxFacets/2)]
	reading.Pinned = reading.Pinned[:min(len(reading.Pinned), maxFacets-len(reading.Keys))]
	g := &Group{reading: reading, hasTable: reading.Table != "", loose: loose}
	g.unique = reading.Primary && !slices.ContainsFunc(reading.Keys[0], func(column string) bool {
		return !one(reading.Fixed.of(column)) && !slices.Contains(reading.Pinned, column)
	})
	return g
}

// one reports whether values are a single one that at most one row can have in a primary key: some
// databases let NULL be in many.
func one(values []Value) bool { return len(values) == 1 && values[0] != Null }

// shown returns the facet of a key.
func (g *Group) shown(key int) facet { return facet(len(g.reading.Pinned) + key) }

// Guard is the liveness of one answer: of a lease while it is being loaded, of an entry once it is
// stored. It is embedded in what it guards.
type Guard struct {
	dead   atomic.Bool
	single bool   // its pins are one primary key
	first  bool   // its group was empty before it came
	filled bool   // the rows that it shows are known
	empty  bool   // and there are none
	place  uint32 // in its group
	links  uint32 // the first of its links
	group  *Group // nil when not linked
	seen   uint64 // the search that came by last

	Owner any // whatever the caller wants back from Announce; not touched here
}

// Dead reports whether a change could have touched the answer, or its guard was released.
// It may be called at any time, by any goroutine.
func (g *Guard) Dead() bool { return g.dead.Load() }

// First reports whether the group was empty when the answer was leased, so that the memory of the
// group is there on its account. It is called by whoever leased it.
func (g *Guard) First() bool { return g.first }

// showsKey reports whether the answer shows a row that has the one primary key that it pins.
func (g *Guard) showsKey() bool { return g.single && g.filled && !g.empty }

// link takes a new guard in.
func (g *Group) link(guard *Guard, pins [][]Value) {
	if g.lists == nil {
		g.lists, g.links = map[mark]list{}, make([]link, 1)
	}
	guard.dead.Store(false)
	guard.first = len(g.guards) == 0
	guard.group, guard.place = g, uint32(len(g.guards))
	g.guards = append(g.guards, guard)
	guard.single, guard.filled, guard.empty = g.unique, false, false
	for i, column := range g.reading.Pinned {
		values := at(pins, i)
		g.mark(guard, facet(i), values)
		if guard.single && !one(values) && slices.Contains(g.reading.Keys[0], column) {
			guard.single = false
		}
	}
	for i := range g.reading.Keys {
		g.add(guard, g.shown(i).unknown())
	}
	if g.unique {
		g.add(guard, vacant)
	}
}

// at returns one of some lists; nil if it is not given.
func at(lists [][]Value, i int) []Value {
	if i < len(lists) {
		return lists[i]
	}
	return nil
}

// fill notes the rows that a guard's answer shows.
func (g *Group) fill(guard *Guard, rows int, keys [][]Value) {
	if guard.filled || !g.reading.Rows {
		return
	}
	guard.filled, guard.empty = true, rows == 0
	for i := range g.reading.Keys {
		if values := at(keys, i); values != nil {
			g.remove(guard, g.shown(i).unknown())
			g.mark(guard, g.shown(i), values)
		}
	}
	if guard.showsKey() {
		g.remove(guard, vacant)
	}
}

// unlink takes a guard out.
func (g *Group) unlink(guard *Guard) {
	for l := guard.links; l != 0; {
		mine := g.links[l].mine
		g.leave(l)
		l = mine
	}
	last := g.guards[len(g.guards)-1]
	last.place = guard.place
	g.guards[guard.place] = last
	for l := last.links; l != 0; l = g.links[l].mine {
		g.links[l].guard = guard.place
	}
	g.guards[len(g.guards)-1] = nil
	g.guards = g.guards[:len(g.guards)-1]
	guard.links, guard.group = 0, nil
	if len(g.guards) == 0 {
		// A group outlives its answers: as long as it has none it takes no memory for them.
		g.guards, g.lists, g.links, g.free, g.used = nil, nil, nil, 0, 0
		return
	}
	g.shrink()
}

// mark gives a guard the marks of its values in a facet.
func (g *Group) mark(guard *Guard, f facet, values []Value) {
	if values == nil {
		g.add(guard, f.unknown())
	}
	for _, v := range values {
		g.add(guard, f.of(v))
	}
}

// add gives a guard a mark.
func (g *Group) add(guard *Guard, m mark) {
	in := g.lists[m]
	if in.n > 0 && g.links[in.first].guard == guard.place {
		return // the value is there twice
	}
	l := g.free
	if l != 0 {
		g.free = g.links[l].next
	} else {
		l = uint32(len(g.links))
		g.links = append(g.links, link{})
	}
	g.used++
	g.links[l] = link{mark: m, guard: guard.place, next: in.first, mine: guard.links}
	guard.links = l
	if in.n > 0 {
		g.links[in.first].prev = l
	}
	g.lists[m] = list{l, in.n + 1}
}

// remove takes a mark from a guard that may have it.
func (g *Group) remove(guard *Guard, m mark) {
	for at := &guard.links; *at != 0; at = &g.links[*at].mine {
		if l := *at; g.links[l].mark == m {
			*at = g.links[l].mine
			g.leave(l)
			return
		}
	}
}

// leave takes a link out of the list of its mark, and frees it.
func (g *Group) leave(l uint32) {
	it := g.links[l]
	in := g.lists[it.mark]
	if it.prev != 0 {
		g.links[it.prev].next = it.next
	} else {
		in.first = it.next
	}
	if it.next != 0 {
		g.links[it.next].prev = it.prev
	}
	if in.n--; in.n == 0 {
		delete(g.lists, it.mark)
	} else {
		g.lists[it.mark] = in
	}
	g.links[l] = link{next: g.free}
	g.free = l
	g.used--
}

// roomy is how many links there may be however few of them are used.
const roomy = 64

// shrink gives memory back that guards needed which are gone: a slice and a map keep the memory of
// all that they ever held at a time.
func (g *Group) shrink() {
	if len(g.links) <= roomy || g.used >= len(g.links)/2 {
		return
	}
	old := g.links
	g.guards = slices.Clone(g.guards)
	g.links, g.lists, g.free, g.used = make([]link, 1, 1+g.used), make(map[mark]list, len(g.lists)), 0, 0
	for _, guard := range g.guards {
		l := guard.links
		for guard.links = 0; l != 0; l = old[l].mine {
			g.add(guard, old[l].mark)
		}
	}
}
