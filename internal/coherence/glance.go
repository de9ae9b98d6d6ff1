package coherence

import "hash/maphash"

// A table may have a thousand groups, of which a change touches the answers of few. What most of
// them are left alone by is told at a glance, and errs to the side of a look: by bits of columns,
// and by a sieve of the marks that the guards of a group have.

// bitsOf returns the bits of a set of columns: sets that meet have one in common.
func bitsOf(c Columns) (bits uint64) {
	if c.All {
		return ^uint64(0)
	}
	for _, name := range c.Names {
		bits |= 1 << (maphash.String(seed, name) & 63)
	}
	return bits
}

// sieve is a Bloom filter, of one hash, of the marks that guards of a group have. Those of guards
// that are gone stay in it.
type sieve struct {
	bits [4]uint64
	adds int // since it was empty
}

// stale is how many additions a sieve takes before it is made anew, if few marks are left.
const stale = 256

func (s *sieve) add(m mark) {
	s.bits[m>>62] |= 1 << (m >> 56 & 63)
	s.adds++
}

func (s *sieve) mayHave(m mark) bool { return s.bits[m>>62]&(1<<(m>>56&63)) != 0 }

// glances are what a search remembers of its change for all groups of the table.
type glances struct {
	of     *Change
	serial uint64 // of changes: what is remembered is of this one
	bits   uint64 // of Columns
	was    [maxNumbered]hashed
	is     [maxNumbered]hashed
}

// hashed are the hashes of the values that rows of a change have in some columns.
type hashed struct {
	serial uint64
	any    bool   // they can be any, or too many to ask for each
	hashes []mark // as facets make marks of
}

const (
	// manyHashes is of how many values a glance asks.
	manyHashes = 64
	// maxNumbered is of how many lists of columns a glance asks in a table.
	maxNumbered = 64
)

// number gives the columns of the facets of a group the numbers that they have in the table.
func (t *table) number(group *Group) {
	group.numbered, group.numbers = t, group.numbers[:0]
	for _, column := range group.reading.Pinned {
		group.numbers = append(group.numbers, t.numberOf(column))
	}
	for _, key := range group.reading.Keys {
		name := key[0]
		if len(key) > 1 {
			name = string(Key(valuesOf(key)...))
		}
		group.numbers = append(group.numbers, t.numberOf(name))
	}
}

// valuesOf returns names as if they were values.
func valuesOf(names []string) (values []Value) {
	for _, name := range names {
		values = append(values, Value(name))
	}
	return values
}

// numberOf returns the number of a list of columns, maxNumbered for one too many.
func (t *table) numberOf(name string) uint8 {
	n, known := t.numbers[name]
	if !known && len(t.numbers) < maxNumbered {
		if t.numbers == nil {
			t.numbers = map[string]uint8{}
		}
		n, known = uint8(len(t.numbers)), true
		t.numbers[name] = n
	}
	if !known {
		return maxNumbered
	}
	return n
}

// begin says of which change there will be glances.
func (g *glances) begin(c *Change) {
	g.of, g.bits = c, bitsOf(c.Columns)
	g.serial++
}

// take remembers values.
func (g *glances) take(h *hashed, values []Value) {
	h.serial, h.any, h.hashes = g.serial, values == nil || len(values) > manyHashes, h.hashes[:0]
	if !h.any {
		for _, v := range values {
			h.hashes = append(h.hashes, mark(maphash.String(seed, string(v))))
		}
	}
}

// mayMeet reports whether a guard of a group may have one of the marks of a facet.
func (h *hashed) mayMeet(s *sieve, f facet) bool {
	if h.any || s.mayHave(f.unknown()) {
		return true
	}
	for _, hash := range h.hashes {
		if s.mayHave(hash + f.unknown()) {
			return true
		}
	}
	return false
}

// glance reports whether it takes a look to know that the change does nothing to the answers of a
// group.
func (g *glances) glance(group *Group) bool {
	was, is := g.of.Kinds != Insert, g.of.Kinds != Delete
	if g.of.Kinds == Update {
		was, is = g.bits&group.columns != 0, g.bits&group.choosing != 0
	}
	pinned := len(group.reading.Pinned)
	for f := len(group.numbers) - 1; f >= 0 && was; f-- {
		n := group.numbers[f]
		if n >= maxNumbered {
			continue
		}
		h := &g.was[n]
		if h.serial != g.serial {
			if f < pinned {
				g.take(h, g.of.before(group.reading.Pinned[f]))
			} else {
				g.take(h, g.of.keys(group.reading.Keys[f-pinned]))
			}
		}
		was = h.mayMeet(&group.sieve, facet(f))
	}
	for f := 0; f < pinned && is; f++ {
		n := group.numbers[f]
		if n >= maxNumbered {
			continue
		}
		h := &g.is[n]
		if h.serial != g.serial {
			g.take(h, g.of.after(group.reading.Pinned[f]))
		}
		is = h.mayMeet(&group.sieve, facet(f))
	}
	return was || is
}

// probe returns the memory for a look, which done gives back.
func (x *Index) probe() *probe {
	if p := x.spare.Swap(nil); p != nil {
		return p
	}
	return &probe{}
}

// done keeps the memory of a probe for the next look.
func (x *Index) done(p *probe) {
	p.change, p.group, p.of = nil, nil, nil
	x.spare.Store(p)
}
