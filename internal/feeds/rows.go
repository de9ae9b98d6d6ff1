package feeds

import (
	"bytes"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/sqltext"
)

// Row is what a replication stream tells of one row, or of a whole table.
type Row struct {
	Table    string
	Within   []string
	Kind     RowKind
	Columns  []string
	Old, New []any
}

// RowKind says what became of rows.
type RowKind uint8

// The kinds of what becomes of rows.
const (
	RowInserted RowKind = iota + 1
	RowUpdated
	RowDeleted
	RowsChanged
)

// RowText is a value of which a text is known that no other value has.
type RowText string

// rowValue is what is known of a value that is not told.
type rowValue uint8

// What is known of values that are not told: nothing, or that they are as before.
const (
	RowUnknown rowValue = iota + 1
	RowUnchanged
)

// Rows returns the batch of what a stream tells of rows. Of no rows at all it is that of
// everything, as one that is long is.
func (f *Feeds) Rows(rows []Row) []byte {
	var changes []coherence.Change
	for i := range rows {
		changes = append(changes, f.ofRow(&rows[i])...)
		// What is of more rows than a batch can tell is loosened as it grows, so that it takes
		// little memory.
		if len(changes) > maxRows {
			changes = footprint.Loosen(changes)
		}
	}
	if len(changes) == 0 || slices.ContainsFunc(changes, func(c coherence.Change) bool { return c.Table == "" }) {
		changes = []coherence.Change{coherence.Everything}
	}
	return f.Seal.Close(f.batch(changes))
}

// maxRows is how many rows are told one by one at most: a batch of more would be too long anyway.
const maxRows = maxBatch / 16

// ofRow returns what one row changes: of its table, and in the same way of those that show it.
func (f *Feeds) ofRow(r *Row) (changes []coherence.Change) {
	for _, name := range append([]string{r.Table}, r.Within...) {
		if name == "" || strings.ContainsRune(name, '.') {
			// A dot would be read as that behind a schema.
			return []coherence.Change{coherence.Everything}
		}
		t := image{Row: r, table: catalog.TableName(name)}
		t.info, t.wanted = f.Catalog.Written(t.table)
		changes = append(changes, t.change())
	}
	return changes
}

// image reads a row as the models say of one table.
type image struct {
	*Row
	table  string
	info   *catalog.Table // nil where the table is of no model in use
	wanted map[string]bool
}

func (i *image) change() coherence.Change {
	c := coherence.Change{Table: i.table}
	switch i.Kind {
	case RowInserted:
		c.Kinds, c.Set = coherence.Insert, i.pins(i.New)
	case RowDeleted:
		c.Kinds, c.Where = coherence.Delete, i.pins(i.Old)
	case RowUpdated:
		c.Kinds, c.Where, c.Columns = coherence.Update, i.pins(i.Old), i.set()
		for _, pin := range i.pins(i.New) {
			if c.Columns.Has(pin.Column) {
				c.Set = append(c.Set, pin)
			}
		}
	default:
		return coherence.Loose(i.table, coherence.Any)
	}
	return c
}

// pins returns what is known of the values of a row.
func (i *image) pins(values []any) (pins coherence.Pins) {
	if i.info == nil || len(values) != len(i.Columns) {
		return nil
	}
	for at, name := range i.Columns {
		col, ok := i.info.Columns[sqltext.Fold(name)]
		if !ok || col.Exact != name || !i.wanted[col.Name] {
			continue
		}
		if _, untold := values[at].(rowValue); untold {
			continue
		}
		if v := col.Image(values[at]); v != "" {
			pins = append(pins, coherence.Pin{Column: col.Name, Values: []coherence.Value{v}})
		}
	}
	return pins
}

// set returns the columns that an update may have set: all but those whose value is the same before
// and after, or was not touched. A column that the stream does not tell, as one that the database
// computes, may have been.
func (i *image) set() coherence.Columns {
	if len(i.New) != len(i.Columns) {
		return coherence.Columns{All: true}
	}
	var set coherence.Columns
	add := func(name string) {
		if !slices.Contains(set.Names, name) {
			set.Names = append(set.Names, name)
		}
	}
	told := map[string]bool{}
	for at, name := range i.Columns {
		told[sqltext.Fold(name)] = true
		if i.New[at] == RowUnchanged || len(i.Old) == len(i.Columns) && same(i.Old[at], i.New[at]) {
			continue
		}
		add(sqltext.Fold(name))
	}
	if i.info != nil {
		for name := range i.info.Columns {
			if !told[name] {
				add(name)
			}
		}
	}
	return set
}

// same reports whether two values are known, and the same.
func same(a, b any) bool {
	switch a := a.(type) {
	case nil, bool, string, RowText:
		return a == b
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	}
	return false
}
