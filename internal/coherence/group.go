package coherence

import (
	"slices"
	"sync/atomic"
)

// Reading is how the answers of a group read one table.
type Reading struct {
	Table string
	// Columns are those whose values decide the answer: all that are named below are among them.
	Columns Columns
	// Choosing are those of them that decide which rows are in it: what it is filtered by, so all that are pinned, and,
	// where a limit cuts it, ordered by.
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

// Group holds the guards of answers that read the same tables in the same way. Its fields belong to the Index.
type Group struct {
	reading  Reading
	hasTable bool
	loose    []string // tables of which nothing is known but that the answers read them

	all    set     // every guard
	vacant set     // of one whose pins may be a whole primary key: the guards that do not show its row
	pinned []facet // by Reading.Pinned
	shown  []facet // by Reading.Keys
	unique bool    // the pins are a whole primary key
}

// facet holds the guards of a group by their values in a column, or in the columns of a key.
type facet struct {
	values map[Value]*set
	free   set // guards of which they are not known
}

func newFacets(n int) []facet {
	facets := make([]facet, n)
	for i := range facets {
		facets[i].values = map[Value]*set{}
	}
	return facets
}

func (f *facet) add(g *Guard, values []Value) {
	if values == nil {
		f.free.add(g)
	}
	for _, v := range values {
		s := f.values[v]
		if s == nil {
			s = &set{of: f.values, value: v}
			f.values[v] = s
		}
		if last := len(s.slots) - 1; last >= 0 && s.slots[last].guard == g {
			continue // the value is there twice
		}
		s.add(g)
	}
}

// size returns how many guards have one of these values, or could have.
func (f *facet) size(values []Value) int {
	n := len(f.free.slots)
	for _, v := range values {
		if s := f.values[v]; s != nil {
			n += len(s.slots)
		}
	}
	return n
}

// NewGroup returns a group whose answers read one table as reading says, if its Table is not "", and others of which any
// change could touch them. A group is used with one Index only.
func NewGroup(reading Reading, loose ...string) *Group {
	if !reading.Rows {
		reading.Keys, reading.Primary = nil, false
	}
	g := &Group{
		reading: reading, hasTable: reading.Table != "", loose: loose,
		pinned: newFacets(len(reading.Pinned)), shown: newFacets(len(reading.Keys)),
	}
	g.unique = reading.Primary && !slices.ContainsFunc(reading.Keys[0], func(column string) bool {
		return !one(reading.Fixed.of(column)) && !slices.Contains(reading.Pinned, column)
	})
	return g
}

// one reports whether values are a single one that at most one row can have in a primary key: some databases let NULL
// be in many.
func one(values []Value) bool { return len(values) == 1 && values[0] != Null }

// Guard is the liveness of one answer: of a lease while it is being loaded, of an entry once it is stored.
type Guard struct {
	Owner any // whatever the caller wants back from Announce; not touched here

	dead   atomic.Bool
	group  *Group    // nil when not linked
	pins   [][]Value // by Reading.Pinned; nil where it pins nothing
	single bool      // its pins are one primary key
	seen   uint64    // the search that came by last
	filled bool      // the rows that it shows are known
	rows   int       // how many
	shown  [][]Value // their keys, by Reading.Keys; nil where they are not known
	in     []place
}

// Dead reports whether a change could have touched the answer, or its guard was released.
// It may be called at any time, by any goroutine.
func (g *Guard) Dead() bool { return g.dead.Load() }

// showsKey reports whether the answer shows a row that has the one primary key that it pins.
func (g *Guard) showsKey() bool { return g.single && g.filled && g.rows > 0 }

// link puts a new guard into its group's sets.
func (g *Group) link(guard *Guard) {
	guard.group = g
	guard.in = make([]place, 0, 2+len(g.pinned)+len(g.shown))
	g.all.add(guard)
	guard.single = g.unique
	for i, values := range guard.pins {
		g.pinned[i].add(guard, values)
		if guard.single && !one(values) && slices.Contains(g.reading.Keys[0], g.reading.Pinned[i]) {
			guard.single = false
		}
	}
	for i := range g.shown {
		g.shown[i].add(guard, nil)
	}
	if g.unique {
		g.vacant.add(guard)
	}
}

// fill notes the rows that a guard's answer shows.
func (g *Group) fill(guard *Guard, rows int, shown [][]Value) {
	if guard.filled || !g.reading.Rows {
		return
	}
	guard.filled, guard.rows, guard.shown = true, rows, sized(shown, len(g.shown))
	for i, keys := range guard.shown {
		if keys != nil {
			guard.leave(&g.shown[i].free)
			g.shown[i].add(guard, keys)
		}
	}
	if guard.showsKey() {
		guard.leave(&g.vacant)
	}
}

// sized returns lists of which there are n; those that are not given are nil.
func sized(lists [][]Value, n int) [][]Value {
	if len(lists) == n {
		return lists
	}
	all := make([][]Value, n)
	copy(all, lists)
	return all
}

// unlink takes a guard out of all sets.
func (g *Group) unlink(guard *Guard) {
	for _, p := range guard.in {
		p.set.remove(p.at)
	}
	guard.in, guard.group = nil, nil
}

// set holds guards in no order. A guard knows its places, so that it leaves each at once.
type set struct {
	of    map[Value]*set // that it is in under value, and leaves when it is empty; nil if it stays
	value Value
	slots []slot
}

type slot struct {
	guard *Guard
	place int // which of the guard's places this is
}

type place struct {
	set *set
	at  int
}

func (s *set) add(g *Guard) {
	g.in = append(g.in, place{s, len(s.slots)})
	s.slots = append(s.slots, slot{g, len(g.in) - 1})
}

// remove takes out the guard at a place.
func (s *set) remove(at int) {
	last := len(s.slots) - 1
	moved := s.slots[last]
	s.slots[at] = moved
	moved.guard.in[moved.place].at = at
	s.slots[last] = slot{}
	s.slots = s.slots[:last]
	if last == 0 {
		if s.slots = nil; s.of != nil {
			delete(s.of, s.value)
		}
	}
}

// leave takes a guard out of one set that it may be in.
func (g *Guard) leave(s *set) {
	for i := range g.in {
		if g.in[i].set == s {
			s.remove(g.in[i].at)
			last := len(g.in) - 1
			if i != last {
				g.in[i] = g.in[last]
				g.in[i].set.slots[g.in[i].at].place = i
			}
			g.in = g.in[:last]
			return
		}
	}
}
