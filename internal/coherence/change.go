package coherence

import "slices"

// Kind is a set of kinds of change.
type Kind uint8

// The kinds of change, as bits of a set.
const (
	Insert Kind = 1 << iota
	Update
	Delete
	Any = Insert | Update | Delete
)

// String returns "insert", "update" or "delete", and "write" where it is not known which.
func (k Kind) String() string {
	switch k {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	}
	return "write"
}

// Value is a value of a column: values of one column that the database may take for equal are equal
// Values.
type Value string

// Null is the Value of NULL, which equals no other. All others begin with another letter.
const Null Value = "n"

// Pin says that a column has one of these values, in all rows that it is said of. There is one for
// each value that the statement names: two that are equal here may be two to the database. nil
// stands for any value, as if there were no Pin; an empty list for none, so that there are no such
// rows.
type Pin struct {
	Column string
	Values []Value
}

// Pins are what is known of the values of a row's columns. No column has two.
type Pins []Pin

// Of returns the values of a column; false if they can be any.
func (p Pins) Of(column string) ([]Value, bool) {
	values := p.of(column)
	return values, values != nil
}

// of returns the values of a column; nil if they can be any.
func (p Pins) of(column string) []Value {
	for i := range p {
		if p[i].Column == column {
			return p[i].Values
		}
	}
	return nil
}

// Columns is a set of columns of one table.
type Columns struct {
	All   bool
	Names []string
}

// Has reports whether a column is in the set.
func (c Columns) Has(name string) bool { return c.All || slices.Contains(c.Names, name) }

// Meets reports whether two sets have a column in common.
func (c Columns) Meets(other Columns) bool {
	switch {
	case c.All:
		return other.All || len(other.Names) > 0
	case other.All:
		return len(c.Names) > 0
	}
	return slices.ContainsFunc(c.Names, other.Has)
}

// Change is what one write did to one table. The zero Table stands for every table.
type Change struct {
	Table string
	// Kinds has one bit, or more where it is not known which of them it was; then whatever else is
	// said does not count.
	Kinds Kind
	// Where holds for the rows that an update or a delete touched, as they were before it.
	Where Pins
	// Columns are those that an update set.
	Columns Columns
	// Set holds for these columns afterwards; of an insert for all columns of its rows.
	Set Pins
}

// Everything is the change that could have touched any answer.
var Everything = Change{Kinds: Any}

// Loose is the change of a table of which no more is known than its kinds.
func Loose(table string, kinds Kind) Change {
	return Change{Table: table, Kinds: kinds, Columns: Columns{All: true}}
}

// sure returns the change without what is not known for sure. Of several kinds, Set may hold for
// what was inserted and not for what was updated.
func (c Change) sure() Change {
	switch c.Kinds {
	case Insert, Update, Delete:
		return c
	}
	return Loose(c.Table, c.Kinds)
}

// before returns the values that a touched row had in a column; nil if they can be any.
func (c *Change) before(column string) []Value { return c.Where.of(column) }

// after returns the values that a touched row has in a column afterwards; nil if they can be any.
func (c *Change) after(column string) []Value {
	if c.Kinds == Update && !c.Columns.Has(column) {
		return c.Where.of(column)
	}
	return c.Set.of(column)
}

// maxKeys bounds the keys that are made of pins on their columns.
const maxKeys = 1 << 10

// keys returns the keys, in these columns, of the rows that a change touched; nil if they can be
// any. So they can where a column may have been NULL: a row that shows 0 or "" may hold NULL.
func (c *Change) keys(columns []string) []Value {
	if len(columns) == 1 {
		if one := c.before(columns[0]); len(one) <= maxKeys && !slices.Contains(one, Null) {
			return one
		}
		return nil
	}
	parts := make([][]Value, len(columns))
	n := 1
	for i, column := range columns {
		parts[i] = c.before(column)
		if n *= len(parts[i]); parts[i] == nil || n > maxKeys || slices.Contains(parts[i], Null) {
			return nil
		}
	}
	keys := make([]Value, 0, n)
	row := make([]Value, len(parts))
	var combine func(int)
	combine = func(i int) {
		if i == len(parts) {
			keys = append(keys, Key(row...))
			return
		}
		for _, row[i] = range parts[i] {
			combine(i + 1)
		}
	}
	combine(0)
	return keys
}

// Key returns the Value that stands for a key of these values.
func Key(values ...Value) Value {
	if len(values) == 1 {
		return values[0]
	}
	var key []byte
	for _, v := range values {
		key = append(key, byte(len(v)>>16), byte(len(v)>>8), byte(len(v)))
		key = append(key, v...)
	}
	return Value(key)
}

// few is how many values are looked for one by one.
const few = 16

// disjoint reports whether two lists of values have none in common. nil is the list of all.
func disjoint(a, b []Value) bool {
	if a == nil || b == nil {
		return false
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) <= few {
		return !slices.ContainsFunc(a, func(v Value) bool { return slices.Contains(b, v) })
	}
	in := make(map[Value]struct{}, len(a))
	for _, v := range a {
		in[v] = struct{}{}
	}
	return !slices.ContainsFunc(b, func(v Value) bool { _, ok := in[v]; return ok })
}
