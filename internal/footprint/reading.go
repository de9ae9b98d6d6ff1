package footprint

import (
	"context"
	"database/sql"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

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
	Shown   [][]*schema.Field // by about.Keys: the fields of the destination; nil where there is none
	Coarse  string            // why it is not known which rows an answer was made of; "" where that is known
	Unique  int               // how many of about.Keys are keys of the model's; others are what writes choose by
	limited bool              // an answer may show less than there is
	most    sqltext.Operand   // the limit of the query
	single  bool              // the destination holds one row
	shape   *sqltext.Shape    // of the query; nil where it is not understood
}

// PinnedColumn is a column that the bind values of a query pin.
type PinnedColumn struct {
	Column catalog.Column
	Values operands
	pin    int // that has them, of the shape
}

// Reading works out what the answers of a query depend on, as far as the catalog knows at a
// version. others, of which nil is none, are of the same query but for the lengths of lists and the
// number of a limit, such as what it was before: it is in the group of the first that depends on
// the same, and what that found out is not looked for again.
func (f *Footprints) Reading(q Query, version int64, others ...*Reading) *Reading {
	r := &Reading{Version: version, Loose: slices.Concat(q.Tables, q.Further)}
	if q.Shape != nil {
		name := catalog.TableName(q.Shape.Table.Name)
		if info := f.catalog.Table(name); info != nil {
			r.Loose, r.Info, r.shape = slices.Concat(q.others(name), q.Further), info, q.Shape
			for _, other := range others {
				if other != nil && other.serves(r) {
					return other.with(q.Shape)
				}
			}
			f.understand(r, q)
			f.catalog.Want(&r.About)
		}
	}
	for _, other := range others {
		if other != nil && other.same(r) {
			r.Group = other.Group
			return r
		}
	}
	r.Group = coherence.NewGroup(r.About, r.Loose...)
	return r
}

// serves reports whether with makes the reading of a query of one that is the same but for the
// lengths of lists and the number of a limit, where no more is known of it than its tables. Whether
// a list has one value or several makes a difference: one may pin a key.
func (r *Reading) serves(other *Reading) bool {
	return r.Version == other.Version && r.Info == other.Info && r.shape != nil && slices.Equal(r.Loose, other.Loose) &&
		slices.EqualFunc(r.shape.Pins, other.shape.Pins, func(a, b sqltext.Pin) bool { return (len(a.Values) == 1) == (len(b.Values) == 1) })
}

// with returns the reading of a query of another shape, for which r serves.
func (r *Reading) with(shape *sqltext.Shape) *Reading {
	of := *r
	of.shape, of.most, of.Pinned = shape, shape.Limit, slices.Clone(r.Pinned)
	for i := range of.Pinned {
		of.Pinned[i].Values.Rows = shape.Pins[of.Pinned[i].pin].Values
	}
	return &of
}

// understand fills in what is known of a query on one table.
func (f *Footprints) understand(r *Reading, q Query) {
	shape, about := q.Shape, &r.About
	n := &namer{dialect: f.db.Name(), info: r.Info, shape: shape}
	about.Table = catalog.TableName(shape.Table.Name)
	about.Choosing = n.columns(shape.Filter, shape.Group)
	about.Columns = union(about.Choosing, n.selected(), n.columns(shape.Order))
	// GORM scans the first row only into what is not a slice.
	r.single, r.most = q.single(), shape.Limit
	r.limited = shape.Limited || r.single
	about.Rows = q.coarse() == ""
	r.Coarse = q.coarse()
	for at, pin := range shape.Pins {
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
				r.Pinned = append(r.Pinned, PinnedColumn{col, operands, at})
			} else if values := operands.values(&col, nil, nil); values != nil {
				about.Fixed = append(about.Fixed, coherence.Pin{Column: col.Name, Values: values})
			}
		}
	}
	if about.Rows {
		if f.show(r, q); len(about.Keys) == 0 {
			r.Coarse = "no key of the table is among what is read"
		}
	}
	switch {
	case !r.limited, shape.Aggregate && !shape.Grouped:
	case about.Primary && r.Pins(about.Keys[0]) && !r.textual(about.Keys[0]):
		// All that is shown is made of one row: what others have decides nothing.
	case shape.Ordered:
		about.Cutting = n.columns(shape.Order)
	case len(shape.Joined) > 0 || !slices.ContainsFunc(r.Info.Keys, r.Pins) && !slices.ContainsFunc(r.Info.Unique, n.pinsOne):
		// Which rows come first is up to the database, and any change may change that. (Not where
		// there is one row at most. If a key that the model takes for unique is not, whichever row
		// is shown is as good as another.)
		about.Cutting = coherence.Columns{All: true}
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

// pinsOne reports whether a query asks for one value in each column of a key, however the database
// compares it: also where that cannot be told, as by the usual collations of MySQL.
func (n *namer) pinsOne(key []string) bool {
	return !slices.ContainsFunc(key, func(name string) bool {
		return !slices.ContainsFunc(n.shape.Pins, func(pin sqltext.Pin) bool {
			at := slices.IndexFunc(pin.Columns, func(column sqltext.Name) bool {
				col, ok := n.exact(column)
				return ok && col.Name == name
			})
			return at >= 0 && len(pin.Values) == 1 && pin.Values[0][at].Kind != sqltext.Null
		})
	})
}

// textual reports whether a column of a key compares texts: two of them may be the same by the
// collation of the column, and not by that of a unique index.
func (r *Reading) textual(key []string) bool {
	return slices.ContainsFunc(key, func(name string) bool { col := r.Info.Columns[name]; return col.Folds() })
}

// show finds the keys of the table that destinations hold.
func (f *Footprints) show(r *Reading, q Query) {
	if q.Shape.Renamed {
		return
	}
	if q.Rows {
		f.showColumns(r, q)
		return
	}
	element := catalog.StructType(q.Dest)
	if element.Kind() != reflect.Struct {
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
		if fields := r.fields(q, s, key); fields != nil {
			r.shows(i, fields)
		}
	}
	r.Unique = len(r.Shown)
	for _, name := range r.Info.Chosen {
		if fields := r.fields(q, s, []string{name}); fields != nil && tellsColumn(fields[0]) {
			r.About.Keys = append(r.About.Keys, []string{name})
			r.Shown = append(r.Shown, fields)
		}
	}
}

// fields returns the fields of a destination that hold the values of columns; nil if one is not
// there.
func (r *Reading) fields(q Query, s *schema.Schema, columns []string) []*schema.Field {
	fields := make([]*schema.Field, len(columns))
	for i, name := range columns {
		field := s.FieldsByDBName[r.Info.Columns[name].Exact]
		if field == nil || !field.Readable || field.Serializer != nil || !q.selects(name) || q.names(field) {
			return nil
		}
		fields[i] = field
	}
	return fields
}

// tellsColumn reports whether a field holds the value that the column has, or its zero value for
// NULL. A type of the application's may make another one of what it scans.
func tellsColumn(f *schema.Field) bool {
	t := f.IndirectFieldType
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.String:
		return !reflect.PointerTo(t).Implements(scannerType)
	}
	return t.PkgPath() == "database/sql"
}

var scannerType = reflect.TypeFor[sql.Scanner]()

// shows notes that answers show a key of the table, in these fields.
func (r *Reading) shows(key int, fields []*schema.Field) {
	if key == 0 && r.Info.Primary {
		r.About.Primary = true
	}
	r.About.Keys = append(r.About.Keys, r.Info.Keys[key])
	r.Shown = append(r.Shown, fields)
}

// showColumns finds the keys of the table that the columns of a query show.
func (f *Footprints) showColumns(r *Reading, q Query) {
	for i, key := range r.Info.Keys {
		hidden := slices.ContainsFunc(key, func(name string) bool {
			return !q.selects(name) || slices.ContainsFunc(q.Shape.Aliases, func(alias sqltext.Name) bool { return strings.EqualFold(alias.Text, name) })
		})
		if !hidden {
			r.shows(i, nil)
		}
	}
	r.Unique = len(r.Shown)
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
		pins[i] = r.Pinned[i].Values.values(&r.Pinned[i].Column, vars, nil)
	}
	return pins
}

// Limit returns how many rows an answer to a query with these bind values shows at most: one that
// shows fewer shows all. 0 says that this is not known.
func (r *Reading) Limit(vars []any) int64 {
	switch {
	case !r.limited:
		return math.MaxInt64
	case r.single:
		return 1
	}
	switch o := r.most; o.Kind {
	case sqltext.Number:
		n, _ := strconv.ParseInt(o.Text, 10, 64)
		return max(n, 0)
	case sqltext.Bind:
		if o.Param <= len(vars) {
			switch n := vars[o.Param-1].(type) {
			case int: // as GORM binds it
				return int64(max(n, 0))
			case int64: // as it is read off a key
				return max(n, 0)
			}
		}
	}
	return 0
}

// Keys returns the keys of the rows that an answer shows, by about.Keys, and how many rows there
// are; false where it does not show them.
func (r *Reading) Keys(ctx context.Context, answer reflect.Value, rows int64) (n int, keys [][]coherence.Value, ok bool) {
	keys, known := r.keysOfFew(rows)
	if known || !r.About.Rows {
		return int(rows), keys, r.About.Rows
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

// keysOfFew returns the keys of an answer that has no rows, or too many for each to be known. It
// reports false for another one.
func (r *Reading) keysOfFew(rows int64) (keys [][]coherence.Value, known bool) {
	keys = make([][]coherence.Value, len(r.Shown))
	if rows == 0 {
		for i := range keys {
			keys[i] = []coherence.Value{}
		}
	}
	return keys, rows == 0 || rows > maxShown
}

// KeysOfRows is Keys for an answer of which the rows are known as the driver gave them: value
// returns what is in a row, in one of the columns of the answer.
func (r *Reading) KeysOfRows(columns []string, rows int64, value func(row, column int) any) (n int, keys [][]coherence.Value, ok bool) {
	keys, known := r.keysOfFew(rows)
	if known || !r.About.Rows {
		return int(rows), keys, r.About.Rows
	}
	folded := make([]string, len(columns))
	for i, name := range columns {
		folded[i] = sqltext.Fold(name)
	}
	for i, key := range r.About.Keys {
		keys[i] = r.keysIn(key, folded, int(rows), value)
	}
	return int(rows), keys, true
}

// keysIn returns the key of each row; nil if one is not known.
func (r *Reading) keysIn(key, columns []string, rows int, value func(row, column int) any) []coherence.Value {
	at, of := make([]int, len(key)), make([]catalog.Column, len(key))
	for j, name := range key {
		at[j], of[j] = slices.Index(columns, name), r.Info.Columns[name].AsRead()
		if at[j] < 0 || slices.Contains(columns[at[j]+1:], name) {
			return nil // two columns of a name may be of two tables
		}
	}
	keys, values := make([]coherence.Value, rows), make([]coherence.Value, len(key))
	for row := range keys {
		for j := range key {
			v := value(row, at[j])
			if text, ok := v.([]byte); ok && of[j].Class == catalog.Integer {
				v = string(text) // as MySQL gives numbers where a query has no bind values
			}
			if values[j] = of[j].Value(v); values[j] == "" {
				return nil
			}
		}
		keys[row] = coherence.Key(values...)
	}
	return keys
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
