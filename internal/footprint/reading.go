package footprint

import (
	"context"
	"reflect"
	"slices"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

const (
	// maxPinned bounds the values by which an answer is found in one column; a longer list pins
	// nothing.
	maxPinned = 256
	// maxShown bounds the rows by which an answer is found.
	maxShown = 1_000
)

// Reading is what the answers of a template depend on, as far as the catalog knows at a version.
type Reading struct {
	Version int64
	Group   *coherence.Group
	Info    *catalog.Table
	About   coherence.Reading // Table is "" where the query is not understood
	Loose   []string          // tables of which any change counts
	Pinned  []PinnedColumn    // by about.Pinned
	Shown   [][]*schema.Field // by about.Keys: the fields of the destination
}

// PinnedColumn is a column that the bind values of a query pin.
type PinnedColumn struct {
	Column catalog.Column
	Values operands
}

// Reading works out what the answers of a query depend on, as far as the catalog knows at a
// version. before is what it was before, or nil: where nothing changed both have one group.
func (f *Footprints) Reading(q Query, version int64, before *Reading) *Reading {
	r := &Reading{Version: version, Loose: q.Tables}
	if q.Shape != nil {
		if info := f.catalog.Table(catalog.TableName(q.Shape.Table.Name)); info != nil {
			r.Loose, r.Info = nil, info
			f.understand(r, q)
			f.catalog.Want(&r.About)
		}
	}
	if before != nil && before.same(r) {
		r.Group = before.Group
	} else {
		r.Group = coherence.NewGroup(r.About, r.Loose...)
	}
	return r
}

// Query is a query whose answers depend on something.
type Query struct {
	Shape  *sqltext.Shape // nil where it is not simple
	Tables []string       // that it names, folded
	Dest   reflect.Type   // the type of its destination
	Schema *schema.Schema // of its model
	Mapped bool           // columns are scanned under other names than their own
}

// kind returns the kind of the destination behind its pointers.
func (q *Query) kind() reflect.Kind {
	d := q.Dest
	for d.Kind() == reflect.Pointer {
		d = d.Elem()
	}
	return d.Kind()
}

// understand fills in what is known of a query on one table.
func (f *Footprints) understand(r *Reading, q Query) {
	shape, about := q.Shape, &r.About
	n := &namer{dialect: f.db.Name(), info: r.Info, shape: shape}
	about.Table = catalog.TableName(shape.Table.Name)
	about.Choosing = n.columns(shape.Filter, shape.Group)
	about.Columns = union(about.Choosing, n.selected(), n.columns(shape.Order))
	// GORM scans the first row only into what is not a slice.
	limited := shape.Limited || q.kind() != reflect.Slice
	about.Rows = !shape.Computed && !shape.Distinct && !shape.Grouped && !shape.Offset && q.kind() != reflect.Array && !q.Mapped
	for _, pin := range shape.Pins {
		for i, name := range pin.Columns {
			col, ok := n.exact(name)
			if !ok || col.Class == catalog.Opaque || slices.Contains(about.Pinned, col.Name) {
				continue
			}
			if _, ok := about.Fixed.Of(col.Name); ok {
				continue
			}
			operands := operands{pin.Values, i}
			if operands.bound() {
				about.Pinned = append(about.Pinned, col.Name)
				r.Pinned = append(r.Pinned, PinnedColumn{col, operands})
			} else if values := operands.values(&col, nil); values != nil {
				about.Fixed = append(about.Fixed, coherence.Pin{Column: col.Name, Values: values})
			}
		}
	}
	if about.Rows {
		f.show(r, q)
	}
	switch {
	case !limited || about.Primary && r.Pins(about.Keys[0]) && !r.textual(about.Keys[0]), shape.Aggregate && !shape.Grouped:
	case shape.Ordered:
		about.Choosing = union(about.Choosing, n.columns(shape.Order))
	case !slices.ContainsFunc(r.Info.Keys, r.Pins):
		// Which rows come first is up to the database, and any change may change that. (Not where
		// there is one row at most. If a key that the model takes for unique is not, whichever row
		// is shown is as good as another.)
		about.Choosing, about.Columns = coherence.Columns{All: true}, coherence.Columns{All: true}
	}
}

// Pins reports whether a query asks for one value in each column of a key, so that there is at most
// one row for it. A list of two values does not say so, nor does NULL, which may be in many rows.
func (r *Reading) Pins(key []string) bool {
	return !slices.ContainsFunc(key, func(name string) bool {
		if values, fixed := r.About.Fixed.Of(name); fixed {
			return len(values) != 1 || values[0] == coherence.Null
		}
		at := slices.Index(r.About.Pinned, name)
		return at < 0 || len(r.Pinned[at].Values.Rows) != 1
	})
}

// textual reports whether a column of a key compares texts: two of them may be the same by the
// collation of the column, and not by that of a unique index.
func (r *Reading) textual(key []string) bool {
	return slices.ContainsFunc(key, func(name string) bool { return r.Info.Columns[name].Class == catalog.Textual })
}

// show finds the keys of the table that destinations hold.
func (f *Footprints) show(r *Reading, q Query) {
	element := catalog.StructType(q.Dest)
	// What an alias names may end up in the field of a key.
	if element.Kind() != reflect.Struct || len(q.Shape.Aliases) > 0 {
		return
	}
	s := q.Schema
	if element != s.ModelType {
		var err error
		stmt := &gorm.Statement{DB: f.db}
		if err = stmt.Parse(reflect.New(element).Interface()); err != nil {
			return // a smaller struct may have no name, and so no table
		}
		s = stmt.Schema
	}
	for i, key := range r.Info.Keys {
		fields := make([]*schema.Field, len(key))
		for j, name := range key {
			field := s.FieldsByDBName[r.Info.Columns[name].Exact]
			selected := q.Shape.Star || slices.ContainsFunc(q.Shape.Selected, func(n sqltext.Name) bool { return sqltext.Fold(n.Text) == name })
			if field == nil || !field.Readable || field.Serializer != nil || !selected {
				fields = nil
				break
			}
			fields[j] = field
		}
		if fields == nil {
			continue
		}
		if i == 0 && r.Info.Primary {
			r.About.Primary = true
		}
		r.About.Keys = append(r.About.Keys, key)
		r.Shown = append(r.Shown, fields)
	}
}

// Count returns how many values there are in all lists.
func Count(lists [][]coherence.Value) (n int) {
	for _, list := range lists {
		n += len(list)
	}
	return n
}

// Facts returns the values that a query with these bind values pins, by about.Pinned.
func (r *Reading) Facts(vars []any) [][]coherence.Value {
	pins := make([][]coherence.Value, len(r.Pinned))
	for i := range r.Pinned {
		pins[i] = r.Pinned[i].Values.values(&r.Pinned[i].Column, vars)
	}
	return pins
}

// Keys returns the keys of the rows that an answer shows, by about.Keys, and how many rows there
// are; false where it does not show them.
func (r *Reading) Keys(ctx context.Context, answer reflect.Value, rows int64) (n int, keys [][]coherence.Value, ok bool) {
	if !r.About.Rows {
		return 0, nil, false
	}
	keys = make([][]coherence.Value, len(r.Shown))
	if rows == 0 {
		for i := range keys {
			keys[i] = []coherence.Value{}
		}
		return 0, keys, true
	}
	if rows > maxShown {
		return int(rows), keys, true
	}
	var few [4]catalog.Column // most keys are of no more, and need no memory of the heap
	for i, fields := range r.Shown {
		columns := few[:0]
		for _, name := range r.About.Keys[i] {
			columns = append(columns, r.Info.Columns[name].AsRead()) // 0 was read, not written: it is 0
		}
		keys[i] = keysOf(ctx, fields, columns, answer, int(rows))
	}
	return int(rows), keys, true
}

// keysOf returns the keys of all rows in an answer; nil if one is not known.
func keysOf(ctx context.Context, fields []*schema.Field, columns []catalog.Column, answer reflect.Value, rows int) []coherence.Value {
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

func keyOf(ctx context.Context, fields []*schema.Field, columns []catalog.Column, row reflect.Value) coherence.Value {
	for row.Kind() == reflect.Pointer {
		if row.IsNil() {
			return ""
		}
		row = row.Elem()
	}
	if len(fields) == 1 {
		v, _ := fields[0].ValueOf(ctx, row)
		return columns[0].Value(v)
	}
	values := make([]coherence.Value, len(fields))
	for i, f := range fields {
		v, _ := f.ValueOf(ctx, row)
		if values[i] = columns[i].Value(v); values[i] == "" {
			return ""
		}
	}
	return coherence.Key(values...)
}

// same reports whether answers depend on the same things in the same way, so that they can stand in
// one group.
func (r *Reading) same(other *Reading) bool {
	return reflect.DeepEqual(r.About, other.About) && slices.Equal(r.Loose, other.Loose) &&
		slices.EqualFunc(r.Pinned, other.Pinned, func(a, b PinnedColumn) bool { return a.Column == b.Column })
}
