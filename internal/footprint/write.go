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

// Write is what one statement changed.
type Write struct {
	Changes []coherence.Change // they may be those of other statements, too, and are not changed
	// Version is that of the catalog by which columns and values were read off. Under another one
	// they may mean another thing, and only the tables count.
	Version int64
}

// Everything is what a statement changed of which nothing is known.
func Everything() Write { return Write{Changes: []coherence.Change{coherence.Everything}} }

// Loosen leaves nothing of changes but their tables and kinds, each table once.
func Loosen(changes []coherence.Change) (loose []coherence.Change) {
	for _, change := range changes {
		at := slices.IndexFunc(loose, func(l coherence.Change) bool { return l.Table == change.Table })
		if at < 0 {
			at = len(loose)
			loose = append(loose, coherence.Loose(change.Table, 0))
		}
		loose[at].Kinds |= change.Kinds
	}
	return loose
}

// Raw returns what a write that is given as SQL changes: where it is not simple, any of the names
// in it that is a table, in any way.
func (f *Footprints) Raw(stmt *gorm.Statement, all bool) Write {
	return f.rendered(stmt, all, func(stmt *gorm.Statement, _ bool) Write {
		return Write{Changes: f.Mentioned(stmt.SQL.String())}
	})
}

// Mentioned returns what a write changes of which no more is known than the names in its text. What
// is returned is not changed.
func (f *Footprints) Mentioned(query string) []coherence.Change {
	if m := f.known(query); m.Mentioned != nil {
		return m.Mentioned
	}
	return []coherence.Change{coherence.Everything} // it is no write
}

// Created returns what a create statement that GORM built changes, from the clauses that it is
// built of. Its text would tell the same, but grows with its rows.
func (f *Footprints) Created(stmt *gorm.Statement, all bool) Write {
	version := f.catalog.Version()
	if change, ok := f.insertion(stmt, all); ok {
		return Write{change, version}
	}
	return LooselyCreated(stmt, all)
}

// LooselyCreated is what a create statement changes as far as it shows before it is built: rows are
// inserted, updated too if there is something to do on conflict, and deleted where it has a
// modifier such as OR REPLACE.
func LooselyCreated(stmt *gorm.Statement, _ bool) Write {
	on := coherence.Insert
	if _, ok := stmt.Clauses["ON CONFLICT"]; ok {
		on |= coherence.Update
	}
	if insert, ok := stmt.Clauses["INSERT"].Expression.(clause.Insert); ok && insert.Modifier != "" {
		on = coherence.Any
	}
	return Write{Changes: tableChanges(stmt, on)}
}

// Updated returns what an update that GORM built changes.
func (f *Footprints) Updated(stmt *gorm.Statement, all bool) Write {
	return f.rendered(stmt, all, LooselyUpdated)
}

// LooselyUpdated is what an update changes as far as it shows before it is built.
func LooselyUpdated(stmt *gorm.Statement, _ bool) Write {
	if update, ok := stmt.Clauses["UPDATE"].Expression.(clause.Update); ok && update.Modifier != "" {
		return Write{Changes: tableChanges(stmt, coherence.Any)} // OR REPLACE deletes rows
	}
	return Write{Changes: tableChanges(stmt, coherence.Update)}
}

// Deleted returns what a delete that GORM built changes; a soft one is an update.
func (f *Footprints) Deleted(stmt *gorm.Statement, all bool) Write {
	return f.rendered(stmt, all, LooselyDeleted)
}

// LooselyDeleted is what a delete changes as far as it shows before it is built.
func LooselyDeleted(stmt *gorm.Statement, _ bool) Write {
	return Write{Changes: tableChanges(stmt, coherence.Update|coherence.Delete)}
}

// rendered reads off the SQL of a statement what it changes; loosely does where that is not simple.
func (f *Footprints) rendered(stmt *gorm.Statement, all bool, loosely func(*gorm.Statement, bool) Write) Write {
	version := f.catalog.Version()
	if query, numbers := f.simple(stmt.SQL.String()); query != nil {
		if f.choose(query) {
			version = f.catalog.Version()
		}
		if changes := f.understood(query, numbers, stmt, all); changes != nil {
			return Write{changes, version}
		}
	}
	return loosely(stmt, all)
}

// choose has the catalog note by which columns a write chooses its rows. It reports whether that
// was not known.
func (f *Footprints) choose(query *sqltext.Shape) bool {
	var columns []string
	for _, pin := range query.Pins {
		for _, name := range pin.Columns {
			columns = append(columns, sqltext.Fold(name.Text))
		}
	}
	return len(columns) > 0 && f.catalog.Choose(catalog.TableName(query.Table.Name), columns)
}

// understood returns what a simple statement changes; nil if that is not known. numbers are those
// that others stand for in its shape.
func (f *Footprints) understood(query *sqltext.Shape, numbers []string, stmt *gorm.Statement, all bool) []coherence.Change {
	table, vars := catalog.TableName(query.Table.Name), stmt.Vars
	names := f.namer(table, all)
	if names == nil {
		return nil
	}
	names.shape, names.numbers = query, numbers
	switch query.Verb {
	case sqltext.Update:
		return []coherence.Change{{
			Table: table, Kinds: coherence.Update,
			Where: names.pins(query.Pins, vars), Columns: names.assigned(query.Set), Set: names.set(query.Set, vars),
		}}
	case sqltext.Delete:
		return []coherence.Change{{Table: table, Kinds: coherence.Delete, Where: names.pins(query.Pins, vars)}}
	case sqltext.Insert:
		i := insertion{table: table, rows: len(query.Rows)}
		for at, name := range query.Columns {
			i.add(names, name, at)
		}
		i.value = func(row int, c *insertedColumn) coherence.Value {
			return c.Operand(query.Rows[row][c.at].With(numbers), vars)
		}
		changes := []coherence.Change{i.change()}
		if query.Conflict == sqltext.Updated {
			changes = append(changes, coherence.Change{
				Table: table, Kinds: coherence.Update,
				Where: i.conflicting(names, query.Target), Columns: names.assigned(query.Set), Set: names.set(query.Set, vars),
			})
		}
		return changes
	}
	return nil
}

// pins returns what a condition says of the rows that it chooses.
func (n *namer) pins(pins []sqltext.Pin, vars []any) (all coherence.Pins) {
	for _, pin := range pins {
		for i, name := range pin.Columns {
			col, ok := n.exact(name)
			if _, has := all.Of(col.Name); !ok || has || !n.wants(col.Name) {
				continue
			}
			if values := (operands{pin.Values, i}).values(&col, vars, n.numbers); values != nil {
				all = append(all, coherence.Pin{Column: col.Name, Values: values})
			}
		}
	}
	return all
}

// assigned returns the columns that are set: any where one is not known, as SQLite's rowid, which
// is another name of the primary key.
func (n *namer) assigned(set []sqltext.Assignment) (columns coherence.Columns) {
	for _, a := range set {
		name := sqltext.Fold(a.Column.Text)
		if _, ok := n.info.Columns[name]; !ok {
			return coherence.Columns{All: true}
		}
		columns.Names = append(columns.Names, name)
	}
	return columns
}

// set returns the values that columns are set to, where they are known.
func (n *namer) set(set []sqltext.Assignment, vars []any) (pins coherence.Pins) {
	for _, a := range set {
		col, ok := n.exact(a.Column)
		if !ok || !n.wants(col.Name) {
			continue
		}
		if value := col.Operand(a.Value.With(n.numbers), vars); value != "" {
			pins = append(pins, coherence.Pin{Column: col.Name, Values: []coherence.Value{value}})
		}
	}
	return pins
}

// tableChanges returns the change of a statement's table; and of all other names that an unusual
// table expression or clause puts into the statement.
func tableChanges(stmt *gorm.Statement, on coherence.Kind) []coherence.Change {
	if len(stmt.Joins) > 0 || shape.Unusual(stmt) {
		return []coherence.Change{coherence.Everything}
	}
	names := []string{catalog.TableName(stmt.Table)}
	if stmt.Schema != nil && stmt.Table == "" {
		names[0] = catalog.TableName(stmt.Schema.Table)
	}
	if expr := stmt.TableExpr; expr != nil {
		if len(expr.Vars) > 0 {
			return []coherence.Change{coherence.Everything}
		}
		names = append(names, sqltext.Identifiers(stmt.Dialector.Name(), expr.SQL)...)
	}
	for _, name := range []string{"INSERT", "UPDATE", "DELETE", "FROM"} {
		c, ok := stmt.Clauses[name]
		if !ok {
			continue
		}
		if c.Builder != nil {
			return []coherence.Change{coherence.Everything}
		}
		switch e := c.Expression.(type) {
		case nil:
		case clause.Insert:
			names = append(names, sqltext.Identifiers(stmt.Dialector.Name(), e.Table.Name)...)
		case clause.Update:
			names = append(names, sqltext.Identifiers(stmt.Dialector.Name(), e.Table.Name)...)
		case clause.Delete:
		case clause.From:
			if len(e.Joins) > 0 {
				return []coherence.Change{coherence.Everything}
			}
			for _, table := range e.Tables {
				names = append(names, sqltext.Identifiers(stmt.Dialector.Name(), table.Name)...)
			}
		default:
			return []coherence.Change{coherence.Everything}
		}
	}
	return ofTables(names, on)
}

// ofTables returns changes of these kinds to all rows of the tables with these names; to everything
// where there is no name.
func ofTables(names []string, on coherence.Kind) []coherence.Change {
	changes := make([]coherence.Change, 0, len(names))
	for _, name := range names {
		if name != "" {
			changes = append(changes, coherence.Loose(name, on))
		}
	}
	if len(changes) == 0 {
		return []coherence.Change{coherence.Everything}
	}
	return changes
}
