package coherence

import "slices"

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
	was    wanted
	is     wanted
}

// look works out what a change can do to the answers of a group at all; false if nothing.
func look(c *Change, g *Group) (probe, bool) {
	p := probe{change: c, group: g, before: c.Kinds != Insert, after: c.Kinds != Delete}
	if c.Kinds == Update {
		p.before = c.Columns.Meets(g.reading.Columns)
		p.after = p.before && c.Columns.Meets(g.reading.Choosing)
	}
	for _, fixed := range g.reading.Fixed {
		p.before = p.before && !disjoint(c.before(fixed.Column), fixed.Values)
		p.after = p.after && !disjoint(c.after(fixed.Column), fixed.Values)
	}
	if p.before {
		for i, columns := range g.reading.Keys {
			p.was.want(g.shown(i), c.keys(columns), ByRow)
		}
		p.was.wantPinned(g, c.before)
	}
	if p.after {
		p.is.wantPinned(g, c.after)
	}
	return p, p.before || p.after
}

// wanted is what is known of the rows of a change: in some facets the marks of which an answer must have one, for each of
// these facets, to be touched.
type wanted struct {
	facets []facetMarks
	all    uint64 // a bit for each of facets
	marks  []facetMark
}

// facetMarks are the wanted marks of one facet.
type facetMarks struct {
	marks  []mark
	reason Reason
}

// facetMark is one wanted mark, with the bit of its facet.
type facetMark struct {
	mark mark
	bit  uint64
}

// want adds a facet in which the rows have these values; nil if they can be any.
func (w *wanted) want(f facet, values []Value, reason Reason) {
	if values == nil {
		return
	}
	marks := make([]mark, 1, len(values)+1)
	marks[0] = f.unknown()
	for _, v := range values {
		marks = append(marks, f.of(v))
	}
	bit := uint64(1) << len(w.facets)
	w.facets, w.all = append(w.facets, facetMarks{marks, reason}), w.all|bit
	for _, m := range marks {
		w.marks = append(w.marks, facetMark{m, bit})
	}
	if len(w.marks) > few {
		slices.SortFunc(w.marks, func(a, b facetMark) int {
			if a.mark < b.mark {
				return -1
			}
			return 1
		})
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
	marks := w.marks
	if len(marks) > few {
		first, _ := slices.BinarySearchFunc(marks, m, func(a facetMark, m mark) int {
			if a.mark < m {
				return -1
			}
			return 1
		})
		for marks = marks[first:]; len(marks) > 0 && marks[0].mark == m; marks = marks[1:] {
			bits |= marks[0].bit
		}
		return bits
	}
	for i := range marks {
		if marks[i].mark == m {
			bits |= marks[i].bit
		}
	}
	return bits
}

// touches reports whether the change can touch the answer of a guard of the group.
func (p *probe) touches(guard *Guard) bool {
	// Whether a touched row may have been in the answer before, or may be in it afterwards.
	return p.before && !(guard.filled && guard.empty) && p.was.has(p.group, guard) ||
		p.after && !(p.change.Kinds == Insert && guard.showsKey()) && p.is.has(p.group, guard)
}

// candidates calls each with guards among which are all that the change can touch in the group, and the
// reason that brings them up. A guard may come several times.
func (p *probe) candidates(each func(*Guard, Reason)) {
	g := p.group
	if p.before && !p.narrowest(&p.was, len(g.guards), each) {
		for _, guard := range g.guards {
			each(guard, p.rest())
		}
	}
	if !p.after {
		return
	}
	if p.change.Kinds == Insert && g.unique {
		rest := []mark{vacant}
		if !p.narrowest(&p.is, g.size(rest), each) {
			g.each(rest, func(guard *Guard) { each(guard, p.rest()) })
		}
	} else if !p.narrowest(&p.is, len(g.guards), each) {
		for _, guard := range g.guards {
			each(guard, p.rest())
		}
	}
}

// narrowest calls each with the guards that have a mark of the facet in which fewest have one, if these are at most so many;
// false if there is none. Rows are asked before values where both are as few.
func (p *probe) narrowest(w *wanted, most int, each func(*Guard, Reason)) bool {
	var best *facetMarks
	for i := range w.facets {
		n := p.group.size(w.facets[i].marks)
		if n < most || n == most && (best == nil || best.reason != ByRow) {
			best, most = &w.facets[i], n
		}
	}
	if best == nil {
		return false
	}
	p.group.each(best.marks, func(guard *Guard) { each(guard, best.reason) })
	return true
}

// each calls do with the guards that have one of these marks.
func (g *Group) each(marks []mark, do func(*Guard)) {
	for _, m := range marks {
		for l := g.lists[m].first; l != 0; l = g.links[l].next {
			do(g.guards[g.links[l].guard])
		}
	}
}

// rest is the reason for guards of which nothing brings them up.
func (p *probe) rest() Reason {
	if p.change.Kinds == Update && !p.change.Columns.All {
		return ByColumn
	}
	return ByTable
}
