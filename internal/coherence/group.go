package coherence

import (
	"hash/maphash"
	"math"
	"slices"
	"sync/atomic"
)

// Reading is how the answers of a group read one table.
type Reading struct {
	Table string
	// Columns are those whose values decide the answer: all that are named below are among them.
	Columns Columns
	// Choosing are those of them that decide which rows are in it: what it is filtered by, so all
	// that are pinned.
	Choosing Columns
	// Cutting are those that decide, where a limit cuts an answer, which rows are left: what it is
	// ordered by, or all. To an answer that shows all rows they do not matter.
	Cutting Columns
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
	reading Reading
	home    string   // the table that has it and its guards; "" if it reads none
	others  []string // further tables that the answers read, of which no more is known
	loosely bool     // of home no more is known either
	unique  bool     // the pins are a whole primary key
	fixed   int      // how many of these the fixed pins make
	// Bits of Reading.Columns and Reading.Choosing, each with those of Reading.Cutting.
	columns, choosing uint64

	// The rest is guarded by the lock of the home.
	sieve    sieve   // of the marks that its guards have or had
	numbers  []uint8 // of the columns of the facets, in the table numbered
	numbered *table

	place  int      // among the groups of the home, if there are guards
	guards []*Guard // all, in no order; a guard knows its place
	links  []link   // all links of the guards, and free ones; the first stands for none
	free   uint32   // the first free one; their next is another
	used   int      // links that are not free
	lists  map[mark]list
	walks  *walk // that are under way in some list
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
// not show a row for each of the keys that they pin.
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
	cutting := bitsOf(reading.Cutting)
	g := &Group{reading: reading, home: reading.Table, columns: bitsOf(reading.Columns) | cutting, choosing: bitsOf(reading.Choosing) | cutting}
	g.loosely = g.home == "" || slices.Contains(loose, g.home)
	for _, name := range loose {
		switch {
		case g.home == "":
			g.home = name
		case g.home != name && !slices.Contains(g.others, name):
			g.others = append(g.others, name)
		}
	}
	if g.fixed = 1; reading.Primary {
		for _, column := range reading.Keys[0] {
			if !slices.Contains(reading.Pinned, column) {
				g.fixed = times(g.fixed, reading.Fixed.of(column))
			}
		}
		g.unique = g.fixed > 0
	}
	return g
}

// times returns how many keys there are with one of these values in a further column, of each of
// which there is at most one row: some databases let NULL be in many. 0 says that they can be any,
// or more than are counted.
func times(n int, values []Value) int {
	if n *= len(values); n > math.MaxUint8 || slices.Contains(values, Null) {
		return 0
	}
	return n
}

// shown returns the facet of a key.
func (g *Group) shown(key int) facet { return facet(len(g.reading.Pinned) + key) }

// Guard is the liveness of one answer: of a lease while it is being loaded, of an entry once it is
// stored. It is embedded in what it guards.
type Guard struct {
	dead   atomic.Bool
	pinned uint8 // how many primary keys its pins are; 0 if they can be any, or not all of them are shown
	first  bool  // its group was empty before it came
	linked bool  // in its group
	filled bool  // the rows that it shows are known
	rows   rows
	place  uint32                // in its group
	links  uint32                // the first of its links
	group  atomic.Pointer[Group] // into which it was leased last

	Owner any // whatever the caller wants back from Announce; not touched here
}

// rows is what is known of the rows of an answer that is filled.
type rows uint8

const (
	cut   rows = iota // a limit may have cut some off
	whole             // all are shown
	none              // there are none
)

// Dead reports whether a change could have touched the answer, or its guard was released.
// It may be called at any time, by any goroutine.
func (g *Guard) Dead() bool { return g.dead.Load() }

// First reports whether the group was empty when the answer was leased, so that the memory of the
// group is there on its account. It is called by whoever leased it.
func (g *Guard) First() bool { return g.first }

// Tables returns the names of the tables that the answer reads.
func (g *Guard) Tables() []string {
	group := g.group.Load()
	if group == nil {
		return nil
	}
	return append([]string{group.home}, group.others...)
}

// showsKeys reports whether the answer shows a row for each primary key that it pins.
func (g *Guard) showsKeys() bool { return g.pinned > 0 && g.filled && g.rows != none }

// link takes a new guard in.
func (g *Group) link(guard *Guard, pins [][]Value) {
	if g.lists == nil {
		g.lists, g.links = map[mark]list{}, make([]link, 1)
	}
	guard.dead.Store(false)
	guard.first = len(g.guards) == 0
	guard.group.Store(g)
	guard.linked, guard.place = true, uint32(len(g.guards))
	g.guards = append(g.guards, guard)
	guard.filled, guard.rows = false, cut
	keys := 0
	if g.unique {
		keys = g.fixed
	}
	for i, column := range g.reading.Pinned {
		values := at(pins, i)
		g.mark(guard, facet(i), values)
		if keys > 0 && slices.Contains(g.reading.Keys[0], column) {
			keys = times(keys, values)
		}
	}
	guard.pinned = uint8(keys)
	for i := range g.reading.Keys {
		g.add(guard, g.shown(i).unknown())
	}
	if g.unique {
		g.add(guard, vacant)
	}
}

// distinct counts values that are different.
func distinct(values []Value) int {
	values = slices.Clone(values)
	slices.Sort(values)
	return len(slices.Compact(values))
}

// at returns one of some lists; nil if it is not given.
func at(lists [][]Value, i int) []Value {
	if i < len(lists) {
		return lists[i]
	}
	return nil
}

// fill notes the rows that a guard's answer shows.
func (g *Group) fill(guard *Guard, rows int, keys [][]Value, all bool) {
	if guard.filled || !g.reading.Rows {
		return
	}
	guard.filled = true
	switch {
	case rows == 0:
		guard.rows = none
	case all:
		guard.rows = whole
	}
	// Different Values are different keys. As many as are pinned are all that there are.
	if n := int(guard.pinned); n > 1 && distinct(at(keys, 0)) < n {
		guard.pinned = 0
	}
	for i := range g.reading.Keys {
		if values := at(keys, i); values != nil {
			g.remove(guard, g.shown(i).unknown())
			g.mark(guard, g.shown(i), values)
		}
	}
	if guard.showsKeys() {
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
	guard.links, guard.linked = 0, false
	if len(g.guards) == 0 {
		// A group outlives its answers: as long as it has none it takes no memory for them.
		g.guards, g.lists, g.links, g.free, g.used, g.sieve = nil, nil, nil, 0, 0, sieve{}
		return
	}
	g.shrink()
}

// walk goes through a list from its head to its end, while links may be added at the head and taken
// out anywhere.
type walk struct {
	at    uint32 // the link that comes next
	other *walk
}

// each calls do with the guards that have a mark. Meanwhile do may let go the lock of the group's
// home: whoever takes a link out moves the walks on that stand at it.
func (g *Group) each(w *walk, m mark, do func(*Guard)) {
	*w = walk{g.lists[m].first, g.walks}
	g.walks = w
	for w.at != 0 {
		l := g.links[w.at]
		w.at = l.next
		do(g.guards[l.guard])
	}
	for at := &g.walks; *at != nil; at = &(*at).other {
		if *at == w {
			*at = w.other
			break
		}
	}
	if len(g.guards) > 0 {
		g.shrink()
	}
}

// every calls do with all guards. Meanwhile do may let go the lock of the group's home: what is new
// comes in at the end, and whoever goes leaves its place to the last one.
func (g *Group) every(do func(*Guard)) {
	for i := len(g.guards) - 1; i >= 0; i = min(i, len(g.guards)) - 1 {
		do(g.guards[i])
	}
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
	g.sieve.add(m)
	if g.sieve.adds > stale && g.used <= stale/4 {
		g.sift()
	}
}

// sift makes the sieve anew, of the marks that there are.
func (g *Group) sift() {
	g.sieve = sieve{}
	for _, guard := range g.guards {
		for l := guard.links; l != 0; l = g.links[l].mine {
			g.sieve.add(g.links[l].mark)
		}
	}
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
	for w := g.walks; w != nil; w = w.other {
		if w.at == l {
			w.at = it.next
		}
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

// roomy is how many links there may be however few of them are used. Of more than heavy the memory
// is left for others to come: to move them would hold the lock for long.
const (
	roomy = 64
	heavy = 8 << 10
)

// shrink gives memory back that guards needed which are gone: a slice and a map keep the memory of
// all that they ever held at a time.
func (g *Group) shrink() {
	if len(g.links) <= roomy || g.used >= min(len(g.links)/2, heavy) || g.walks != nil {
		return
	}
	old := g.links
	g.guards, g.sieve = slices.Clone(g.guards), sieve{}
	g.links, g.lists, g.free, g.used = make([]link, 1, 1+g.used), make(map[mark]list, len(g.lists)), 0, 0
	for _, guard := range g.guards {
		l := guard.links
		for guard.links = 0; l != 0; l = old[l].mine {
			g.add(guard, old[l].mark)
		}
	}
}
