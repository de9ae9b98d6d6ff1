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
	columns []insertedColumn
	rows    int
	value   func(row, column int) coherence.Value // "" where it is not known
}

type insertedColumn struct {
	catalog.Column
	known bool // and wanted
}

func (n *namer) inserted(name sqltext.Name) insertedColumn {
	col, ok := n.exact(name)
	if !ok {
		col = catalog.Column{Name: sqltext.Fold(name.Text)}
	}
	return insertedColumn{col, ok && n.wants(col.Name)}
}

// change returns the change that the insertion is. Columns that it does not name get defaults,
// which are not known.
func (i *insertion) change() coherence.Change {
	change := coherence.Change{Table: i.table, Kinds: coherence.Insert}
	for at, col := range i.columns {
		if values := i.values(at); values != nil {
			change.Set = append(change.Set, coherence.Pin{Column: col.Name, Values: values})
		}
	}
	return change
}

// values returns the values of a column in all rows; nil where they are not known, or too many.
func (i *insertion) values(at int) (values []coherence.Value) {
	if !i.columns[at].known || i.rows > maxPinned {
		return nil
	}
	for row := range i.rows {
		v := i.value(row, at)
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
		at := slices.IndexFunc(i.columns, func(c insertedColumn) bool { return c.known && c.Name == col.Name })
		if !ok || at < 0 {
			continue
		}
		if values := i.values(at); values != nil {
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
	for _, c := range values.Columns {
		if c.Raw || c.Table != "" {
			return nil, false
		}
		col := names.inserted(sqltext.Name{Text: c.Name, Quoted: true})
		if slices.ContainsFunc(i.columns, func(other insertedColumn) bool { return other.Name == col.Name }) {
			return nil, false // one of both counts
		}
		i.columns = append(i.columns, col)
	}
	i.value = func(row, column int) coherence.Value { return i.columns[column].Value(values.Values[row][column]) }
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
			at := slices.IndexFunc(i.columns, func(c insertedColumn) bool { return c.known && c.Name == sqltext.Fold(from.Name) })
			// The value of another column would be one of another kind.
			if from.Table == "excluded" && !from.Raw && at >= 0 && from.Name == a.Column.Name {
				values = i.values(at)
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
