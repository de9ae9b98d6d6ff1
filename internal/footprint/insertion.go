package footprint

import (
	"slices"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// insertion is rows that are inserted.
type insertion struct {
	table   string
	columns []insertedColumn // whose values matter to anybody
	rows    int
	value   func(row int, c *insertedColumn) coherence.Value // "" where it is not known
}

type insertedColumn struct {
	catalog.Column
	at    int // among the columns that the statement names
	known bool
}

// add adds a column of the statement, if its values matter to anybody.
func (i *insertion) add(n *namer, name sqltext.Name, at int) {
	folded := sqltext.Fold(name.Text)
	if !n.wants(folded) {
		return
	}
	col, ok := n.exact(name)
	if !ok {
		col = catalog.Column{Name: folded}
	}
	i.columns = append(i.columns, insertedColumn{col, at, ok})
}

// column returns the column of a folded name; nil if it is none of those.
func (i *insertion) column(name string) *insertedColumn {
	for at := range i.columns {
		if i.columns[at].Name == name {
			return &i.columns[at]
		}
	}
	return nil
}

// change returns the change that the insertion is. Columns that it does not name get defaults,
// which are not known.
func (i *insertion) change() coherence.Change {
	change := coherence.Change{Table: i.table, Kinds: coherence.Insert}
	for at := range i.columns {
		c := &i.columns[at]
		if values := i.values(c); values != nil {
			change.Set = append(change.Set, coherence.Pin{Column: c.Name, Values: values})
		}
	}
	return change
}

// values returns the values of a column in all rows; nil where they are not known, or too many.
func (i *insertion) values(c *insertedColumn) (values []coherence.Value) {
	if !c.known || i.rows > maxPinned {
		return nil
	}
	for row := range i.rows {
		v := i.value(row, c)
		if v == "" {
			return nil
		}
		if !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return values
}

// conflicting returns what is known of the rows that are there already: they have the values of the
// new ones in the columns of the conflict target. Where none is given it may be any unique key.
func (i *insertion) conflicting(n *namer, target []sqltext.Name) (where coherence.Pins) {
	for _, name := range target {
		col, ok := n.exact(name)
		inserted := i.column(col.Name)
		if !ok || inserted == nil {
			continue
		}
		if values := i.values(inserted); values != nil {
			where = append(where, coherence.Pin{Column: col.Name, Values: values})
		}
	}
	return where
}

// insertion reads what a create statement changes off its clauses; false where these are not GORM's
// own.
func (f *Footprints) insertion(stmt *gorm.Statement, all bool) ([]coherence.Change, bool) {
	insert, ok := stmt.Clauses["INSERT"].Expression.(clause.Insert)
	if !ok || insert.Modifier != "" || insert.Table.Name != "" || stmt.TableExpr != nil || len(stmt.Joins) > 0 ||
		shape.Unusual(stmt) || !f.builders.Standard(stmt.DB) {
		return nil, false
	}
	values, ok := stmt.Clauses["VALUES"].Expression.(clause.Values)
	table := catalog.TableName(stmt.Table)
	names := f.namer(table, all)
	if !ok || names == nil {
		return nil, false
	}
	i := insertion{table: table, rows: max(1, len(values.Values))}
	for at := range values.Columns {
		c := &values.Columns[at]
		if c.Raw || c.Table != "" {
			return nil, false
		}
		if i.column(sqltext.Fold(c.Name)) != nil {
			return nil, false // one of both counts
		}
		i.add(names, sqltext.Name{Text: c.Name, Quoted: true}, at)
	}
	i.value = func(row int, c *insertedColumn) coherence.Value { return c.Value(values.Values[row][c.at]) }
	changes := []coherence.Change{i.change()}
	if c, ok := stmt.Clauses["ON CONFLICT"]; ok {
		on, ok := c.Expression.(clause.OnConflict)
		if !ok {
			return nil, false
		}
		if !on.DoNothing && !(names.dialect == "mysql" && keeps(on)) {
			changes = append(changes, i.upsert(names, on))
		}
	}
	return changes, true
}

// keeps reports whether all that is done on conflict is to set columns to what they are, as GORM
// has MySQL do nothing.
func keeps(on clause.OnConflict) bool {
	return len(on.DoUpdates) > 0 && !slices.ContainsFunc(on.DoUpdates, func(a clause.Assignment) bool {
		from, ok := a.Value.(clause.Column)
		return !ok || from != clause.Column{Name: a.Column.Name}
	})
}

// upsert returns what is changed of the rows that are there already.
func (i *insertion) upsert(n *namer, on clause.OnConflict) coherence.Change {
	change := coherence.Change{Table: i.table, Kinds: coherence.Update}
	var target []sqltext.Name
	if n.dialect != "mysql" && on.OnConstraint == "" {
		for _, c := range on.Columns {
			target = append(target, sqltext.Name{Text: c.Name, Quoted: true})
		}
	}
	change.Where = i.conflicting(n, target)
	for _, a := range on.DoUpdates {
		name := sqltext.Fold(a.Column.Name)
		col, ok := n.info.Columns[name]
		if !ok || a.Column.Raw {
			change.Columns.All = true
			continue
		}
		again := slices.Contains(change.Columns.Names, name)
		change.Columns.Names = append(change.Columns.Names, name)
		if again { // the last one counts
			change.Set = slices.DeleteFunc(change.Set, func(p coherence.Pin) bool { return p.Column == name })
			continue
		}
		if !n.wants(name) {
			continue
		}
		var values []coherence.Value
		if from, ok := a.Value.(clause.Column); ok {
			inserted := i.column(sqltext.Fold(from.Name))
			// The value of another column would be one of another kind.
			if from.Table == "excluded" && !from.Raw && inserted != nil && from.Name == a.Column.Name {
				values = i.values(inserted)
			}
		} else if v := col.Value(a.Value); v != "" {
			values = []coherence.Value{v}
		}
		if values != nil {
			change.Set = append(change.Set, coherence.Pin{Column: name, Values: values})
		}
	}
	if len(on.DoUpdates) == 0 {
		change.Columns.All = true
	}
	return change
}
