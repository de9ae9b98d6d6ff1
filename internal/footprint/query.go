package footprint

import (
	"reflect"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm/schema"
)

// Query is a query whose answers depend on something.
type Query struct {
	Shape  *sqltext.Shape // nil where it is not simple
	Tables []string       // that it names, folded
	Dest   reflect.Type   // the type of its destination
	Rows   bool           // the application reads the rows itself, into whatever it wants
	Schema *schema.Schema // of its model
	Mapped bool           // columns are scanned under other names than their own
	// Further tables are read that it does not name.
	Further []string
	// First says that no more than the first row is read, whatever that is read into.
	First bool
}

// single reports whether an answer has one row at most, however many there are.
func (q *Query) single() bool { return q.First || !q.Rows && q.kind() != reflect.Slice }

// others returns the tables that are joined with the first one, of which any change counts. The
// first one is not among them: no query is understood that joins a table with itself.
func (q *Query) others(first string) []string {
	if len(q.Shape.Joined) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(q.Tables), func(table string) bool { return table == first })
}

// kind returns the kind of the destination behind its pointers.
func (q *Query) kind() reflect.Kind {
	d := q.Dest
	for d.Kind() == reflect.Pointer {
		d = d.Elem()
	}
	return d.Kind()
}

// coarse says why the rows that an answer shows are not all that it was made of, or are not shown
// as they are in the table; "" where they are.
func (q *Query) coarse() string {
	switch {
	case q.Shape.Grouped:
		return "GROUP BY"
	case q.Shape.Aggregate:
		return "the answer is computed from all rows"
	case q.Shape.Distinct:
		return "DISTINCT"
	case q.Shape.Offset:
		return "OFFSET"
	case q.Shape.Computed:
		return "columns are computed"
	case !q.Rows && q.kind() == reflect.Array:
		return "the destination is an array"
	case q.Mapped:
		return "columns are mapped to other names"
	}
	return ""
}

// selects reports whether a query answers with a column of its table.
func (q *Query) selects(column string) bool {
	return q.Shape.Star || slices.ContainsFunc(q.Shape.Selected, func(n sqltext.Name) bool { return sqltext.Fold(n.Text) == column })
}

// names reports whether an alias of the query may name a field, which it then fills.
func (q *Query) names(field *schema.Field) bool {
	return slices.ContainsFunc(q.Shape.Aliases, func(alias sqltext.Name) bool {
		return strings.EqualFold(alias.Text, field.DBName) || strings.EqualFold(alias.Text, field.Name)
	})
}
