package coherence

import (
	"cmp"
	"slices"
)

// Reason says by what a change found the answer that it killed.
type Reason uint8

const (
	ByRow        Reason = iota // it touched a row that the answer shows
	ByValue                    // it touched a row, or made one, with a value that the answer pins
	ByColumn                   // it updated a column that the answer depends on, in rows of which no more is known
	ByTable                    // no more is known of it, or of the answer, than the table
	ByEverything               // it could have touched any answer
)

// String returns the word for a reason: row, value, column, table, everything.
func (r Reason) String() string {
	return [...]string{"row", "value", "column", "table", "everything"}[r]
}

// probe is one change as it looks at one group.
type probe struct {
	change *Change
	group  *Group
	before bool // rows that were touched may have been in answers of the group
	after  bool // rows that were touched may be in answers of the group now that were not in them before
	// cut says that before or after holds only for answers that a limit may have cut.
	cutBefore, cutAfter bool
	was                 wanted
	is                  wanted
	glances
	walk walk
}

// look works out what a change can do to the answers of a group at all; false if nothing.
func (p *probe) look(c *Change, g *Group) bool {
	p.change, p.group, p.before, p.after = c, g, c.Kinds != Insert, c.Kinds != Delete
	p.cutBefore, p.cutAfter = false, false
	if c.Kinds == Update {
		cuts := c.Columns.Meets(g.reading.Cutting)
		p.before, p.after = c.Columns.Meets(g.reading.Columns), c.Columns.Meets(g.reading.Choosing)
		p.cutBefore, p.cutAfter = cuts && !p.before, cuts && !p.after
		p.before, p.after = p.before || cuts, p.after || cuts
	}
	for _, fixed := range g.reading.Fixed {
		p.before = p.before && !disjoint(c.before(fixed.Column), fixed.Values)
		p.after = p.after && !disjoint(c.after(fixed.Column), fixed.Values)
	}
	p.was.none()
	p.is.none()
	if p.before {
		for i, columns := range g.reading.Keys {
			p.was.want(g.shown(i), c.keys(columns), ByRow)
		}
		p.was.wantPinned(g, c.before)
	}
	if p.after {
		p.is.wantPinned(g, c.after)
	}
	return p.before || p.after
}

// wanted is what is known of the rows of a change: in some facets the marks of which an answer must
// have one, for each of these facets, to be touched.
type wanted struct {
	facets []wantedFacet
	all    uint64       // a bit for each of facets
	marks  []wantedMark // by facet
	sorted []wantedMark // by mark, where they are many

	// For the usual number of them.
	someFacets [4]wantedFacet
	someMarks  [8]wantedMark
}

// wantedFacet is one facet, and which of the marks are of it.
type wantedFacet struct {
	from, to int
	reason   Reason
}

// wantedMark is one mark, with the bit of its facet.
type wantedMark struct {
	mark mark
	bit  uint64
}

func (w *wanted) none() {
	w.facets, w.all, w.marks, w.sorted = w.someFacets[:0], 0, w.someMarks[:0], nil
}

// want adds a facet in which the rows have these values; nil if they can be any.
func (w *wanted) want(f facet, values []Value, reason Reason) {
	if values == nil {
		return
	}
	from, bit := len(w.marks), uint64(1)<<len(w.facets)
	// What is not known comes first: while a search goes by, answers are filled, but none forgets.
	w.marks = append(w.marks, wantedMark{f.unknown(), bit})
	for _, v := range values {
		w.marks = append(w.marks, wantedMark{f.of(v), bit})
	}
	w.facets, w.all = append(w.facets, wantedFacet{from, len(w.marks), reason}), w.all|bit
	if len(w.marks) > few {
		w.sorted = slices.Clone(w.marks)
		slices.SortFunc(w.sorted, func(a, b wantedMark) int { return cmp.Compare(a.mark, b.mark) })
	}
}

// wantPinned adds the pinned columns of a group.
func (w *wanted) wantPinned(g *Group, of func(string) []Value) {
	for i, column := range g.reading.Pinned {
		w.want(facet(i), of(column), ByValue)
	}
}

// has reports whether a guard has one of the wanted marks for each facet.
func (w *wanted) has(g *Group, guard *Guard) bool {
	missing := w.all
	for l := guard.links; l != 0 && missing != 0; l = g.links[l].mine {
		missing &^= w.bit(g.links[l].mark)
	}
	return missing == 0
}

// bit returns the bit of the facet of a mark; 0 if it is not wanted.
func (w *wanted) bit(m mark) (bits uint64) {
	if w.sorted == nil {
		for i := range w.marks {
			if w.marks[i].mark == m {
				bits |= w.marks[i].bit
			}
		}
		return bits
	}
	first, _ := slices.BinarySearchFunc(w.sorted, m, func(a wantedMark, m mark) int { return cmp.Compare(a.mark, m) })
	for _, found := range w.sorted[first:] {
		if found.mark != m {
			break
		}
		bits |= found.bit
	}
	return bits
}

// touches reports whether the change can touch the answer of a guard of the group.
func (p *probe) touches(guard *Guard) bool {
	// Whether a touched row may have been in the answer before, or may be in it afterwards.
	all := guard.filled && guard.rows != cut
	return p.before && !(p.cutBefore && all) && !(guard.filled && guard.rows == none) && p.was.has(p.group, guard) ||
		p.after && !(p.cutAfter && all) && !(p.change.Kinds == Insert && guard.showsKeys()) && p.is.has(p.group, guard)
}

// candidates calls each with guards among which are all that the change can touch in the group, and
// the reason that brings them up. A guard may come several times.
func (p *probe) candidates(each func(*Guard, Reason)) {
	g := p.group
	if p.before && !p.narrowest(&p.was, len(g.guards), each) {
		p.rest(each)
	}
	switch {
	case !p.after:
	case p.change.Kinds == Insert && g.unique:
		if !p.narrowest(&p.is, int(g.lists[vacant].n), each) {
			g.each(&p.walk, vacant, func(guard *Guard) { each(guard, p.loose()) })
		}
	case !p.narrowest(&p.is, len(g.guards), each):
		p.rest(each)
	}
}

// narrowest calls each with the guards that have a mark of the facet in which fewest have one, if
// these are at most so many; false if there is none. Rows are asked before values where both are as
// few.
func (p *probe) narrowest(w *wanted, most int, each func(*Guard, Reason)) bool {
	best := -1
	for i, f := range w.facets {
		n := 0
		for _, m := range w.marks[f.from:f.to] {
			n += int(p.group.lists[m.mark].n)
		}
		if n < most || n == most && (best < 0 || w.facets[best].reason != ByRow) {
			best, most = i, n
		}
	}
	if best < 0 {
		return false
	}
	f := w.facets[best]
	for _, m := range w.marks[f.from:f.to] {
		p.group.each(&p.walk, m.mark, func(guard *Guard) { each(guard, f.reason) })
	}
	return true
}

// rest calls each with all guards.
func (p *probe) rest(each func(*Guard, Reason)) {
	p.group.every(func(guard *Guard) { each(guard, p.loose()) })
}

// loose is the reason for guards that nothing brings up.
func (p *probe) loose() Reason {
	if p.change.Kinds == Update && !p.change.Columns.All {
		return ByColumn
	}
	return ByTable
}
