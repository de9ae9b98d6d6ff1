package preload

import (
	"slices"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// written is what one statement changed.
type written struct {
	changes []coherence.Change
	// version is that of the catalog by which columns and values were read off. Under another one they may mean
	// another thing, and only the tables count.
	version int64
}

// everything is what a statement changed of which nothing is known.
func everything() written { return written{changes: []coherence.Change{coherence.Everything}} }

// loosen leaves nothing of changes but their tables and kinds, each table once.
func loosen(changes []coherence.Change) (loose []coherence.Change) {
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

// created returns what a create statement that GORM built changes, from the clauses that it is built of. Its text would
// tell the same, but grows with its rows.
func (p *Plugin) created(stmt *gorm.Statement) written {
	version := p.catalog.version.Load()
	if change, ok := p.insertion(stmt); ok {
		return written{change, version}
	}
	return created(stmt)
}

// created is what a create statement changes as far as it shows before it is built: rows are inserted, updated too if there
// is something to do on conflict, and deleted where it has a modifier such as OR REPLACE.
func created(stmt *gorm.Statement) written {
	on := coherence.Insert
	if _, ok := stmt.Clauses["ON CONFLICT"]; ok {
		on |= coherence.Update
	}
	if insert, ok := stmt.Clauses["INSERT"].Expression.(clause.Insert); ok && insert.Modifier != "" {
		on = coherence.Any
	}
	return written{changes: tableChanges(stmt, on)}
}

// updated returns what an update that GORM built changes.
func (p *Plugin) updated(stmt *gorm.Statement) written { return p.rendered(stmt, updated) }

func updated(stmt *gorm.Statement) written {
	if update, ok := stmt.Clauses["UPDATE"].Expression.(clause.Update); ok && update.Modifier != "" {
		return written{changes: tableChanges(stmt, coherence.Any)} // OR REPLACE deletes rows
	}
	return written{changes: tableChanges(stmt, coherence.Update)}
}

// deleted returns what a delete that GORM built changes; a soft one is an update.
func (p *Plugin) deleted(stmt *gorm.Statement) written { return p.rendered(stmt, deleted) }

func deleted(stmt *gorm.Statement) written {
	return written{changes: tableChanges(stmt, coherence.Update|coherence.Delete)}
}

// rendered reads off the SQL of a statement what it changes; loosely does where that is not simple.
func (p *Plugin) rendered(stmt *gorm.Statement, loosely func(*gorm.Statement) written) written {
	version := p.catalog.version.Load()
	if query := p.simple(stmt); query != nil {
		if changes := p.understood(query, stmt); changes != nil {
			return written{changes, version}
		}
	}
	return loosely(stmt)
}

// namer finds the columns of a table in a statement that writes to it; nil if the table is of no model in use.
func (p *Plugin) namer(stmt *gorm.Statement, table string) *namer {
	info, wanted := p.catalog.written(table)
	if info == nil {
		return nil
	}
	if explaining(stmt) != nil {
		wanted = nil
	}
	return &namer{dialect: p.db.Name(), info: info, wanted: wanted}
}

// understood returns what a simple statement changes; nil if that is not known.
func (p *Plugin) understood(query *sqltext.Shape, stmt *gorm.Statement) []coherence.Change {
	table, vars := fold(query.Table.Name), stmt.Vars
	names := p.namer(stmt, table)
	if names == nil {
		return nil
	}
	names.shape = query
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
		for _, name := range query.Columns {
			i.columns = append(i.columns, names.inserted(name))
		}
		i.value = func(row, column int) coherence.Value {
			return i.columns[column].operand(query.Rows[row][column], vars)
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
			if _, has := all.Of(col.name); !ok || has || !n.wants(col.name) {
				continue
			}
			if values := col.operands(operands{pin.Values, i}, vars); values != nil {
				all = append(all, coherence.Pin{Column: col.name, Values: values})
			}
		}
	}
	return all
}

// assigned returns the columns that are set: any where one is not known, as SQLite's rowid, which is another name of the
// primary key.
func (n *namer) assigned(set []sqltext.Assignment) (columns coherence.Columns) {
	for _, a := range set {
		name := sqltext.Fold(a.Column.Text)
		if _, ok := n.info.columns[name]; !ok {
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
		if !ok || !n.wants(col.name) {
			continue
		}
		if value := col.operand(a.Value, vars); value != "" {
			pins = append(pins, coherence.Pin{Column: col.name, Values: []coherence.Value{value}})
		}
	}
	return pins
}

// insertion is rows that are inserted.
type insertion struct {
	table   string
	columns []insertedColumn
	rows    int
	value   func(row, column int) coherence.Value // "" where it is not known
}

type insertedColumn struct {
	column
	known bool // and wanted
}

func (n *namer) inserted(name sqltext.Name) insertedColumn {
	col, ok := n.exact(name)
	if !ok {
		col = column{name: sqltext.Fold(name.Text)}
	}
	return insertedColumn{col, ok && n.wants(col.name)}
}

// change returns the change that the insertion is. Columns that it does not name get defaults, which are not known.
func (i *insertion) change() coherence.Change {
	change := coherence.Change{Table: i.table, Kinds: coherence.Insert}
	for at, col := range i.columns {
		if values := i.values(at); values != nil {
			change.Set = append(change.Set, coherence.Pin{Column: col.name, Values: values})
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

// conflicting returns what is known of the rows that are there already: they have the values of the new ones in the columns
// of the conflict target. Where none is given it may be any unique key.
func (i *insertion) conflicting(n *namer, target []sqltext.Name) (where coherence.Pins) {
	for _, name := range target {
		col, ok := n.exact(name)
		at := slices.IndexFunc(i.columns, func(c insertedColumn) bool { return c.known && c.name == col.name })
		if !ok || at < 0 {
			continue
		}
		if values := i.values(at); values != nil {
			where = append(where, coherence.Pin{Column: col.name, Values: values})
		}
	}
	return where
}

// insertion reads what a create statement changes off its clauses; false where these are not GORM's own.
func (p *Plugin) insertion(stmt *gorm.Statement) ([]coherence.Change, bool) {
	insert, ok := stmt.Clauses["INSERT"].Expression.(clause.Insert)
	if !ok || insert.Modifier != "" || insert.Table.Name != "" || stmt.TableExpr != nil || len(stmt.Joins) > 0 ||
		unusual(stmt) || !p.builders.standard(stmt.DB) {
		return nil, false
	}
	values, ok := stmt.Clauses["VALUES"].Expression.(clause.Values)
	table := fold(stmt.Table)
	names := p.namer(stmt, table)
	if !ok || names == nil {
		return nil, false
	}
	i := insertion{table: table, rows: max(1, len(values.Values))}
	for _, c := range values.Columns {
		if c.Raw || c.Table != "" {
			return nil, false
		}
		col := names.inserted(sqltext.Name{Text: c.Name, Quoted: true})
		if slices.ContainsFunc(i.columns, func(other insertedColumn) bool { return other.name == col.name }) {
			return nil, false // one of both counts
		}
		i.columns = append(i.columns, col)
	}
	i.value = func(row, column int) coherence.Value { return i.columns[column].value(values.Values[row][column]) }
	changes := []coherence.Change{i.change()}
	if c, ok := stmt.Clauses["ON CONFLICT"]; ok {
		on, ok := c.Expression.(clause.OnConflict)
		if !ok {
			return nil, false
		}
		if !on.DoNothing {
			changes = append(changes, i.upsert(names, on))
		}
	}
	return changes, true
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
		col, ok := n.info.columns[name]
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
			at := slices.IndexFunc(i.columns, func(c insertedColumn) bool { return c.known && c.name == sqltext.Fold(from.Name) })
			// The value of another column would be one of another kind.
			if from.Table == "excluded" && !from.Raw && at >= 0 && from.Name == a.Column.Name {
				values = i.values(at)
			}
		} else if v := col.value(a.Value); v != "" {
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

// tableChanges returns the change of a statement's table; and of all other names that an unusual table expression or
// clause puts into the statement.
func tableChanges(stmt *gorm.Statement, on coherence.Kind) []coherence.Change {
	if len(stmt.Joins) > 0 || unusual(stmt) {
		return []coherence.Change{coherence.Everything}
	}
	names := []string{fold(stmt.Table)}
	if stmt.Schema != nil && stmt.Table == "" {
		names[0] = fold(stmt.Schema.Table)
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
	return named(names, on)
}

func named(names []string, on coherence.Kind) []coherence.Change {
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

// simple returns the shape of a statement that is simple, nil for another one, once per text.
func (p *Plugin) simple(stmt *gorm.Statement) *sqltext.Shape {
	return p.shapes.of(stmt.SQL.String(), func(text string) *sqltext.Shape {
		if shape, ok := sqltext.Simple(stmt.Dialector.Name(), text); ok {
			return &shape
		}
		return nil
	})
}
