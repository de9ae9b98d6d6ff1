package preload

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm/schema"
)

const (
	// maxPinned bounds the values by which an answer is found in one column; a longer list pins nothing.
	maxPinned = 256
	// maxShown bounds the rows by which an answer is found.
	maxShown = 1_000
)

// reading is what the answers of a template depend on, as far as the catalog knows at a version.
type reading struct {
	version int64
	group   *coherence.Group
	info    *tableInfo
	about   coherence.Reading // Table is "" where the query is not understood
	loose   []string          // tables of which any change counts
	pinned  []pinnedColumn    // by about.Pinned
	shown   [][]*schema.Field // by about.Keys: the fields of the destination
}

// pinnedColumn is a column that the bind values of a query pin.
type pinnedColumn struct {
	column column
	values operands
}

// newReading works out what a template's answers depend on.
func (p *Plugin) newReading(t *template, version int64) *reading {
	r := &reading{version: version, loose: t.tables}
	if t.query != nil {
		if info := p.catalog.table(fold(t.query.Table.Name)); info != nil {
			r.loose, r.info = nil, info
			p.understand(r, t, info)
			p.catalog.want(&r.about)
		}
	}
	return r
}

// understand fills in what is known of a query on one table.
func (p *Plugin) understand(r *reading, t *template, info *tableInfo) {
	shape, about := t.query, &r.about
	n := &namer{dialect: p.db.Name(), info: info, shape: shape}
	about.Table = fold(shape.Table.Name)
	about.Choosing = n.columns(shape.Filter, shape.Group)
	about.Columns = union(about.Choosing, n.selected(), n.columns(shape.Order))
	// GORM scans the first row only into what is not a slice.
	limited := shape.Limited || t.destKind() != reflect.Slice
	about.Rows = !shape.Computed && !shape.Distinct && !shape.Grouped && !shape.Offset && t.destKind() != reflect.Array && len(t.proto.ColumnMapping) == 0
	for _, pin := range shape.Pins {
		for i, name := range pin.Columns {
			col, ok := n.exact(name)
			if !ok || col.class == opaque || slices.Contains(about.Pinned, col.name) {
				continue
			}
			if _, ok := about.Fixed.Of(col.name); ok {
				continue
			}
			operands := operands{pin.Values, i}
			if operands.bound() {
				about.Pinned = append(about.Pinned, col.name)
				r.pinned = append(r.pinned, pinnedColumn{col, operands})
			} else if values := col.operands(operands, nil); values != nil {
				about.Fixed = append(about.Fixed, coherence.Pin{Column: col.name, Values: values})
			}
		}
	}
	if about.Rows {
		r.show(p, t, info)
	}
	switch {
	case !limited || about.Primary && r.pins(about.Keys[0]), shape.Aggregate && !shape.Grouped:
	case shape.Ordered:
		about.Choosing = union(about.Choosing, n.columns(shape.Order))
	case !slices.ContainsFunc(info.keys, r.pins):
		// Which rows come first is up to the database, and any change may change that. (Not where there is one row at
		// most. If a key that the model takes for unique is not, whichever row is shown is as good as another.)
		about.Choosing, about.Columns = coherence.Columns{All: true}, coherence.Columns{All: true}
	}
}

// operands are one column of a list of rows.
type operands struct {
	rows   [][]sqltext.Operand
	column int
}

// bound reports whether there are bind values among them.
func (o operands) bound() bool {
	return slices.ContainsFunc(o.rows, func(row []sqltext.Operand) bool { return row[o.column].Kind == sqltext.Bind })
}

// pins reports whether all columns of a key are pinned.
func (r *reading) pins(key []string) bool {
	return !slices.ContainsFunc(key, func(name string) bool {
		_, fixed := r.about.Fixed.Of(name)
		return !fixed && !slices.Contains(r.about.Pinned, name)
	})
}

// show finds the keys of the table that destinations hold.
func (r *reading) show(p *Plugin, t *template, info *tableInfo) {
	element := t.destElement()
	// What an alias names may end up in the field of a key.
	if element.Kind() != reflect.Struct || len(t.query.Aliases) > 0 {
		return
	}
	s := t.proto.Schema
	if element != s.ModelType {
		var err error
		if s, err = p.schemaOf(reflect.New(element).Interface()); err != nil {
			return
		}
	}
	for i, key := range info.keys {
		fields := make([]*schema.Field, len(key))
		for j, name := range key {
			f := s.FieldsByDBName[info.columns[name].exact]
			selected := t.query.Star || slices.ContainsFunc(t.query.Selected, func(n sqltext.Name) bool { return sqltext.Fold(n.Text) == name })
			if f == nil || !f.Readable || f.Serializer != nil || !selected {
				fields = nil
				break
			}
			fields[j] = f
		}
		if fields == nil {
			continue
		}
		if i == 0 && info.primary {
			r.about.Primary = true
		}
		r.about.Keys = append(r.about.Keys, key)
		r.shown = append(r.shown, fields)
	}
}

// count returns how many values there are in all lists.
func count(lists [][]coherence.Value) (n int) {
	for _, list := range lists {
		n += len(list)
	}
	return n
}

// facts returns the values that a query with these bind values pins, by about.Pinned.
func (r *reading) facts(vars []any) [][]coherence.Value {
	pins := make([][]coherence.Value, len(r.pinned))
	for i, pinned := range r.pinned {
		pins[i] = pinned.column.operands(pinned.values, vars)
	}
	return pins
}

// operands returns what stands for values in a statement; nil if that is not known of all of them.
func (c *column) operands(o operands, vars []any) []coherence.Value {
	if len(o.rows) > maxPinned {
		return nil
	}
	values := make([]coherence.Value, 0, len(o.rows))
	for _, row := range o.rows {
		v := c.operand(row[o.column], vars)
		if v == "" {
			return nil
		}
		switch {
		case !slices.Contains(values, v):
			values = append(values, v)
		case c.class == textual || c.class == bytewise:
			return nil // they may be two that are not told apart: there can be a row for each
		}
	}
	return values
}

// operand returns what stands for one value in a statement; "" if that is not known.
func (c *column) operand(o sqltext.Operand, vars []any) coherence.Value {
	switch o.Kind {
	case sqltext.Bind:
		if o.Param < 1 || o.Param > len(vars) {
			return ""
		}
		return c.value(vars[o.Param-1])
	case sqltext.Null:
		return c.null()
	case sqltext.Number, sqltext.Text:
		if o.Kind == sqltext.Number && c.class == textual {
			return "" // MySQL compares as numbers: 7 is '7', '07' and '7 days'
		}
		if o.Text == "" {
			return "" // NULL, if the server is set so
		}
		return c.text(o.Text)
	case sqltext.True:
		return c.value(true)
	case sqltext.False:
		return c.value(false)
	}
	return ""
}

// keys returns the keys of the rows that an answer shows, by about.Keys, and how many rows there are; false where it does not
// show them.
func (r *reading) keys(ctx context.Context, answer reflect.Value, rows int64) (n int, keys [][]coherence.Value, ok bool) {
	if !r.about.Rows {
		return 0, nil, false
	}
	keys = make([][]coherence.Value, len(r.shown))
	if rows == 0 {
		for i := range keys {
			keys[i] = []coherence.Value{}
		}
		return 0, keys, true
	}
	if rows > maxShown {
		return int(rows), keys, true
	}
	for i, fields := range r.shown {
		columns := make([]column, len(fields))
		for j, name := range r.about.Keys[i] {
			columns[j] = r.info.columns[name]
		}
		keys[i] = keysOf(ctx, fields, columns, answer, int(rows))
	}
	return int(rows), keys, true
}

// keysOf returns the keys of all rows in an answer; nil if one is not known.
func keysOf(ctx context.Context, fields []*schema.Field, columns []column, answer reflect.Value, rows int) []coherence.Value {
	if answer.Kind() != reflect.Slice {
		if key := keyOf(ctx, fields, columns, answer); rows == 1 && key != "" {
			return []coherence.Value{key}
		}
		return nil
	}
	if answer.Len() != rows {
		return nil
	}
	keys := make([]coherence.Value, rows)
	for i := range keys {
		if keys[i] = keyOf(ctx, fields, columns, answer.Index(i)); keys[i] == "" {
			return nil
		}
	}
	return keys
}

func keyOf(ctx context.Context, fields []*schema.Field, columns []column, row reflect.Value) coherence.Value {
	for row.Kind() == reflect.Pointer {
		if row.IsNil() {
			return ""
		}
		row = row.Elem()
	}
	values := make([]coherence.Value, len(fields))
	for i, f := range fields {
		v, _ := f.ValueOf(ctx, row)
		// It was read, not written: 0 is 0.
		col := columns[i]
		col.generated = false
		if values[i] = col.value(v); values[i] == "" {
			return ""
		}
	}
	return coherence.Key(values...)
}

// destElement returns the type of one row in a template's destination.
func (t *template) destElement() reflect.Type {
	return structType(t.destType)
}

// destKind returns the kind of a template's destination.
func (t *template) destKind() reflect.Kind {
	d := t.destType
	for d.Kind() == reflect.Pointer {
		d = d.Elem()
	}
	return d.Kind()
}

// namer finds the columns of a table by the names in a statement on it.
type namer struct {
	dialect string
	info    *tableInfo
	shape   *sqltext.Shape
	// wanted are the columns whose values matter to anybody; nil for all.
	wanted map[string]bool
}

func (n *namer) wants(column string) bool { return n.wanted == nil || n.wanted[column] }

// columns returns the columns that names may stand for: all of them for a name that is that of none.
func (n *namer) columns(lists ...[]sqltext.Name) (columns coherence.Columns) {
	for _, list := range lists {
		for _, name := range list {
			folded := sqltext.Fold(name.Text)
			_, known := n.info.columns[folded]
			if n.alias(name) {
				columns = union(columns, n.selected())
			} else if !known {
				return coherence.Columns{All: true}
			}
			if known && !slices.Contains(columns.Names, folded) {
				columns.Names = append(columns.Names, folded)
			}
		}
	}
	return columns
}

// alias reports whether a name is one that the select list makes.
func (n *namer) alias(name sqltext.Name) bool {
	return slices.ContainsFunc(n.shape.Aliases, func(alias sqltext.Name) bool { return strings.EqualFold(alias.Text, name.Text) })
}

// selected returns the columns in the select list.
func (n *namer) selected() (columns coherence.Columns) {
	if n.shape.Star {
		return coherence.Columns{All: true}
	}
	for _, name := range n.shape.Selected {
		folded := sqltext.Fold(name.Text)
		if _, known := n.info.columns[folded]; !known {
			return coherence.Columns{All: true}
		}
		columns.Names = append(columns.Names, folded)
	}
	return columns
}

// exact returns the one column that a name stands for.
func (n *namer) exact(name sqltext.Name) (column, bool) {
	col, ok := n.info.columns[sqltext.Fold(name.Text)]
	if n.dialect == "postgres" {
		text := name.Text
		if !name.Quoted {
			text = strings.ToLower(text)
		}
		ok = ok && text == col.exact
	}
	return col, ok
}

func union(sets ...coherence.Columns) (all coherence.Columns) {
	for _, set := range sets {
		if set.All {
			return coherence.Columns{All: true}
		}
		for _, name := range set.Names {
			if !slices.Contains(all.Names, name) {
				all.Names = append(all.Names, name)
			}
		}
	}
	return all
}

// same reports whether answers depend on the same things in the same way, so that they can stand in one group.
func (r *reading) same(other *reading) bool {
	return reflect.DeepEqual(r.about, other.about) && slices.Equal(r.loose, other.loose) &&
		slices.EqualFunc(r.pinned, other.pinned, func(a, b pinnedColumn) bool { return a.column == b.column })
}
