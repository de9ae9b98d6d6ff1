package coherence

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
	change  *Change
	reading *Reading
	keys    [][]Value // by Reading.Keys, of the rows that were touched, once candidates were looked for; nil where they are not known
	before  bool      // rows that were touched may have been in answers of the group
	after   bool      // rows that were touched may be in answers of the group now that were not in them before
}

// look works out what a change can do to the answers of a group at all; false if nothing.
func look(c *Change, g *Group) (probe, bool) {
	p := probe{change: c, reading: &g.reading, before: c.Kinds != Insert, after: c.Kinds != Delete}
	if c.Kinds == Update {
		p.before = c.Columns.Meets(g.reading.Columns)
		p.after = p.before && c.Columns.Meets(g.reading.Choosing)
	}
	for _, fixed := range g.reading.Fixed {
		p.before = p.before && !disjoint(c.before(fixed.Column), fixed.Values)
		p.after = p.after && !disjoint(c.after(fixed.Column), fixed.Values)
	}
	return p, p.before || p.after
}

// touches reports whether the change can touch the answer of a guard of the group.
func (p *probe) touches(guard *Guard) bool {
	return p.before && p.wasIn(guard) || p.after && p.isIn(guard)
}

// wasIn reports whether a touched row may have been in the answer before.
func (p *probe) wasIn(guard *Guard) bool {
	if guard.filled && guard.rows == 0 {
		return false
	}
	for i, keys := range p.keys {
		if guard.filled && disjoint(keys, guard.shown[i]) {
			return false
		}
	}
	return p.shares(guard, p.change.before)
}

// isIn reports whether a touched row may be in the answer afterwards.
func (p *probe) isIn(guard *Guard) bool {
	if p.change.Kinds == Insert && guard.showsKey() {
		return false
	}
	return p.shares(guard, p.change.after)
}

// shares reports whether rows with these values can have the answer's pinned ones.
func (p *probe) shares(guard *Guard, of func(string) []Value) bool {
	for i, pinned := range guard.pins {
		if disjoint(of(p.reading.Pinned[i]), pinned) {
			return false
		}
	}
	return true
}

// candidates calls each with sets of guards that hold all that the change can touch in the group, and the
// reason that brings them up. A guard may be in several of them.
func (p *probe) candidates(g *Group, each func(*set, Reason)) {
	if p.before {
		best := p.narrowest(g, p.change.before, len(g.all.slots))
		p.keys = make([][]Value, len(g.reading.Keys))
		for i, columns := range g.reading.Keys {
			p.keys[i] = p.change.keys(columns)
			if p.keys[i] == nil {
				continue
			}
			if n := g.shown[i].size(p.keys[i]); n <= best.size {
				best = choice{&g.shown[i], p.keys[i], n, ByRow}
			}
		}
		p.each(best, &g.all, each)
	}
	if p.after {
		rest := &g.all
		if p.change.Kinds == Insert && g.unique {
			rest = &g.vacant
		}
		p.each(p.narrowest(g, p.change.after, len(rest.slots)), rest, each)
	}
}

// choice is a facet in which the values of a change's rows are known, and how many guards share them.
type choice struct {
	facet  *facet // nil for none
	values []Value
	size   int
	reason Reason
}

// narrowest returns the pinned column in which fewest guards, at most so many, share a value with the rows of the change.
func (p *probe) narrowest(g *Group, of func(string) []Value, most int) choice {
	best := choice{size: most}
	for i, column := range g.reading.Pinned {
		values := of(column)
		if values == nil {
			continue
		}
		if n := g.pinned[i].size(values); n <= best.size {
			best = choice{&g.pinned[i], values, n, ByValue}
		}
	}
	return best
}

// each calls do with the sets of a choice; with the rest where there is none.
func (p *probe) each(c choice, rest *set, do func(*set, Reason)) {
	if c.facet == nil {
		reason := ByTable
		if p.change.Kinds == Update && !p.change.Columns.All {
			reason = ByColumn
		}
		do(rest, reason)
		return
	}
	do(&c.facet.free, c.reason)
	for _, v := range c.values {
		if s := c.facet.values[v]; s != nil {
			do(s, c.reason)
		}
	}
}
