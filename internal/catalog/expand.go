package catalog

import (
	"slices"

	"github.com/gorm-preload/preload/internal/coherence"
)

// maxExpanded bounds the changes that one write is made of.
const maxExpanded = 4 << 10

// Expand returns changes together with those that the database makes on their account: to columns
// that it derives from others, and over foreign keys.
func (c *Catalog) Expand(changes []coherence.Change) []coherence.Change {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !slices.ContainsFunc(changes, c.expands) {
		return changes
	}
	changes = slices.Clone(changes)
	for i := 0; i < len(changes); i++ {
		if len(changes) > maxExpanded {
			return []coherence.Change{coherence.Everything}
		}
		if changes[i].Kinds&coherence.Update != 0 {
			changes[i].Columns = c.withDerived(changes[i].Table, changes[i].Columns)
		}
		for _, e := range c.edges[changes[i].Table] {
			for _, further := range c.follow(&changes[i], e) {
				if !slices.ContainsFunc(changes, func(known coherence.Change) bool { return covers(&known, &further) }) {
					changes = append(changes, further)
				}
			}
		}
	}
	return changes
}

// expands reports whether the database may make more of a change.
func (c *Catalog) expands(change coherence.Change) bool {
	t := c.tables[change.Table]
	return len(c.edges[change.Table]) > 0 || t != nil && len(t.derived) > 0 && change.Kinds&coherence.Update != 0
}

// covers reports whether all that a change touches is touched by another one, where that is plain
// to see.
func covers(wide, narrow *coherence.Change) bool {
	if wide.Table != narrow.Table || wide.Kinds&narrow.Kinds != narrow.Kinds || len(wide.Set) > 0 && !samePins(wide.Set, narrow.Set) {
		return false
	}
	if !wide.Columns.All && narrow.Kinds&coherence.Update != 0 &&
		(narrow.Columns.All || slices.ContainsFunc(narrow.Columns.Names, func(name string) bool { return !wide.Columns.Has(name) })) {
		return false
	}
	return len(wide.Where) == 0 || samePins(wide.Where, narrow.Where)
}

func samePins(a, b coherence.Pins) bool {
	return slices.EqualFunc(a, b, func(a, b coherence.Pin) bool {
		return a.Column == b.Column && slices.Equal(a.Values, b.Values)
	})
}

// follow returns what a change changes over an edge.
func (c *Catalog) follow(change *coherence.Change, e edge) (further []coherence.Change) {
	if len(e.pairs) == 0 {
		return []coherence.Change{coherence.Loose(e.to, coherence.Any)}
	}
	columns := coherence.Columns{}
	for _, pair := range e.pairs {
		columns.Names = append(columns.Names, pair.to)
	}
	update := func(set coherence.Pins) coherence.Change {
		return coherence.Change{
			Table: e.to, Kinds: coherence.Update, Columns: columns, Where: c.over(change.Table, e, change.Where), Set: set,
		}
	}
	if change.Kinds&coherence.Delete != 0 {
		switch e.onDelete {
		case nothing:
		case cascade:
			further = append(further, coherence.Change{Table: e.to, Kinds: coherence.Delete, Where: c.over(change.Table, e, change.Where)})
		case setNull:
			further = append(further, update(c.nulls(e)))
		default:
			further = append(further, coherence.Loose(e.to, coherence.Any))
		}
	}
	if change.Kinds&coherence.Update != 0 && slices.ContainsFunc(e.pairs, func(p pair) bool { return change.Columns.Has(p.from) }) {
		switch e.onUpdate {
		case nothing:
		case cascade:
			further = append(further, update(c.over(change.Table, e, change.Set)))
		case setNull:
			further = append(further, update(c.nulls(e)))
		default:
			further = append(further, coherence.Loose(e.to, coherence.Any))
		}
	}
	return further
}

// over translates what is known of the referenced columns into the columns of the foreign key,
// where both compare alike.
func (c *Catalog) over(table string, e edge, pins coherence.Pins) (over coherence.Pins) {
	from, to := c.tables[table], c.tables[e.to]
	if from == nil || to == nil {
		return nil
	}
	for _, pair := range e.pairs {
		values, ok := pins.Of(pair.from)
		a, b := from.Columns[pair.from], to.Columns[pair.to]
		if ok && a.Class != Opaque && a.Class == b.Class {
			over = append(over, coherence.Pin{Column: pair.to, Values: values})
		}
	}
	return over
}

func (c *Catalog) nulls(e edge) (set coherence.Pins) {
	to := c.tables[e.to]
	for _, pair := range e.pairs {
		if to != nil && to.Columns[pair.to].nullable {
			set = append(set, coherence.Pin{Column: pair.to, Values: []coherence.Value{coherence.Null}})
		}
	}
	return set
}

// withDerived adds the columns that may change with any others.
func (c *Catalog) withDerived(table string, columns coherence.Columns) coherence.Columns {
	if t := c.tables[table]; t != nil && len(t.derived) > 0 && !columns.All {
		columns.Names = slices.Concat(columns.Names, t.derived)
	}
	return columns
}
