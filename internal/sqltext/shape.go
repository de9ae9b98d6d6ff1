package sqltext

import (
	"reflect"
	"slices"
	"strings"
)

// Verb is what a statement of a Shape does.
type Verb uint8

const (
	Select Verb = iota + 1
	Insert
	Update
	Delete
)

// Name is the name of a column as it is written.
//
// A name that is no column of the table may stand for anything in its row, so it has to count as
// any column: the rowid of SQLite, a function without parentheses (current_date), a function that
// PostgreSQL calls as t.f, a word of the syntax that could have been a column, an alias, or
// wholeRow.
type Name struct {
	Text   string // without quotes
	Quoted bool
}

// wholeRow stands for all columns where an expression names the row as a whole, as PostgreSQL's
// to_json(t) and t.* IS NULL do.
var wholeRow = Name{Text: "*"}

// OperandKind is what is known of an Operand.
type OperandKind uint8

const (
	Unknown OperandKind = iota // an expression, DEFAULT, a literal whose value is not known here
	Bind                       // a bind value
	Number                     // a decimal literal without sign and exponent
	Text
	Null
	True
	False
)

// Operand is a value in a statement: a bind value or a literal. The zero Operand is one that is not
// known (an expression).
type Operand struct {
	Param int // the ordinal of a bind value, from 1; 0 if it is none
	Kind  OperandKind
	Text  string // of Number and Text: as the server reads it, without quotes
}

// Pin says that every row that a condition chooses has one of these values in these columns, by the
// equality of the server (types are converted, collations may fold case). IS NULL is a pin whose
// one value is Null. Most pins are of one column; `(a, b) IN ((?,?),(?,?))` is of two: each of
// Values is as long as Columns. A pin of a name that is no column of the table says nothing.
type Pin struct {
	Columns []Name
	Values  [][]Operand
}

// Assignment is a column that is set; Value is Unknown for an expression (such as n = n + 1),
// DEFAULT, ...
type Assignment struct {
	Column Name
	Value  Operand
}

// Conflict is what an Insert does with a row that is there already.
type Conflict uint8

const (
	NoConflict Conflict = iota // it fails
	Ignored                    // DO NOTHING
	Updated                    // DO UPDATE SET, ON DUPLICATE KEY UPDATE
)

// Shape is a statement on one table.
type Shape struct {
	Verb  Verb
	Table Reference // as written
	// Pins of the WHERE: every row that it chooses satisfies all of these; sound, not complete. For
	// Select, Update, Delete.
	Pins   []Pin
	Filter []Name // every column that the WHERE names, those of Pins included

	// Falling are bind values of the WHERE of a Select with which it only loses rows as they grow.
	Falling []Falling
	// Rising are those with which it only gains rows.
	Rising []Rising

	// Of a Select that is Joined: the other tables. All else is said of the first one; Filter has
	// what the conditions of the joins name, too, and the names of which it is not certain whose
	// they are count as those of the first one.
	Joined []Reference
	// Renamed says that something else than a column of another table has an alias.
	Renamed bool

	// Of a Select. ORDER BY and GROUP BY may mean what the list computes, and an alias that they
	// name: then Group and Order hold all of Selected as well, and so does Filter if it names an
	// alias.
	Selected []Name // the columns that the list names, also inside expressions and functions
	Star     bool   // an item of the list is * or table.*: all columns are selected, too
	Aliases  []Name // the names that the list defines
	Computed bool   // the list has more than columns and *: a row of the answer need not be a row of the table
	// Aggregate: each item of the list is made of count, sum, min, max, avg and total of all rows,
	// so that without Grouped the answer is one row, in whatever order the rows are read.
	Aggregate bool
	Distinct  bool
	Grouped   bool    // GROUP BY or HAVING
	Group     []Name  // columns named in GROUP BY and HAVING
	Ordered   bool    // ORDER BY
	Order     []Name  // columns named in ORDER BY
	Limited   bool    // LIMIT
	Limit     Operand // of LIMIT
	Offset    bool    // OFFSET, or LIMIT a, b

	// Of an Insert. The columns that are not among Columns get their defaults.
	Columns  []Name
	Rows     [][]Operand // each as long as Columns
	Conflict Conflict
	Target   []Name // of ON CONFLICT (a, b); nil if not given

	// Of an Update, and of what an Insert does on conflict. Each column is there once.
	Set []Assignment
}

// Simple returns the shape of a statement, and false for one that is not simple: one that touches
// more than one table, or has a part that is not understood for certain. It does not tell what runs
// beside the statement (Classify, Analyze).
func Simple(dialect, sql string) (Shape, bool) {
	if shape, ok := shapeOf(dialect, sql); ok && len(shape.Joined) == 0 {
		return shape, true
	}
	return Shape{}, false
}

// shapeOf returns the shape of a statement that is simple, or would be but for the tables that it
// joins.
func shapeOf(dialect, sql string) (Shape, bool) {
	if dialect != sqlite && dialect != mysql && dialect != postgres || foreign(sql) {
		return Shape{}, false
	}
	var shape Shape
	found := false
	for _, r := range quoteReadings(dialect, sql) {
		tokens, doubt := r.tokens(sql)
		if doubt && r.spare {
			continue // no server runs this reading
		}
		s, ok := parse(dialect, tokens)
		if doubt || !ok || found && !reflect.DeepEqual(s, shape) {
			return Shape{}, false
		}
		shape, found = s, true
	}
	return shape, found
}

// quoteReadings are the readings of sql. MySQL's "b" is a text in all of those, but `a = "b"`
// compares two columns under ANSI_QUOTES, so each is taken with names in these quotes, too.
func quoteReadings(dialect, sql string) []reading {
	all := readings(dialect, sql)
	if strings.IndexByte(sql, '"') < 0 {
		return all
	}
	for _, r := range slices.Clone(all) {
		if r.dqText {
			r.dqText, r.dqBackslash, r.spare = false, false, true
			all = append(all, r)
		}
	}
	return all
}
