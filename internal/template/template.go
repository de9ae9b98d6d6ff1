package template

import (
	"database/sql"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/clone"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// Limits are how long answers are kept, and how many rows they may have.
type Limits struct {
	TTL      time.Duration
	Negative time.Duration // of answers without rows; 0 does not keep them
	MaxRows  int
}

// Refusal is why the answers of a template cannot be kept, in the words of the statistics.
type Refusal string

// The refusals; "" is none.
const (
	notPlain        Refusal = "not a plain read"
	volatile        Refusal = "volatile"
	unknownFunction Refusal = "unknown function"
	unknownTable    Refusal = "unknown table"
)

// Make works out what a rendered statement of this shape is.
func (ts *Set) Make(shape string, stmt *gorm.Statement, limits Limits) *Template {
	t := &Template{
		set:      ts,
		Shape:    shape,
		Prefix:   ts.prefix(stmt.Schema.Table, shape),
		Limits:   limits,
		Tally:    ts.Cache.Counts.Tally(stmt.Schema.Table),
		SQL:      strings.Clone(stmt.SQL.String()), // and not what it was built in
		DestType: reflect.TypeOf(stmt.Dest),
		Prepared: ts.Prepares(stmt.ConnPool),
		Plan:     clone.For(stmt.ReflectValue.Type()),
		Proto: gorm.Statement{
			Table:         stmt.Table,
			Schema:        stmt.Schema,
			Joins:         slices.Clone(stmt.Joins),
			ColumnMapping: maps.Clone(stmt.ColumnMapping),
			SkipHooks:     true,
		},
	}
	// gorm.Scan looks at names and aliases; the rest holds the values of this request.
	for i := range t.Proto.Joins {
		join := &t.Proto.Joins[i]
		join.Conds, join.On, join.Expression, join.Selects, join.Omits = nil, nil, nil, nil, nil
	}
	t.Asks = asks(stmt.ReflectValue.Type(), map[reflect.Type]bool{}) || slices.ContainsFunc(stmt.Schema.Fields, func(f *schema.Field) bool { return f.Serializer != nil })
	text := sqltext.Analyze(stmt.Dialector.Name(), t.SQL)
	switch {
	case !text.Reads:
		t.reason = notPlain
	case text.Volatile != "":
		t.reason = volatile
	case text.Unknown != "":
		t.reason = unknownFunction
	}
	t.Starred = isStarred(stmt.Dialector.Name(), t.SQL)
	t.tables = append(t.tables, text.Tables...)
	if !ts.Catalog.Identifies(stmt.Dialector.Name(), text.References) {
		t.unknown = text.References
	}
	// Any name that is a table in use counts as read, wherever it stands.
	for _, name := range text.Names {
		if !slices.Contains(t.tables, name) && ts.Catalog.Knows(name) {
			t.tables = append(t.tables, name)
		}
	}
	if table := catalog.TableName(stmt.Table); !slices.Contains(t.tables, table) && ts.Catalog.Knows(table) {
		t.tables = append(t.tables, table)
	}
	t.query = ts.Footprints.SimpleQuery(t.SQL)
	if !ts.Catalog.HasColumns(text.Attributes, t.tables, false) {
		t.attributes = text.Attributes
	}
	t.weight = t.bytes()
	return t
}

// asks reports whether scanning into a type runs code of the application. seen holds the types that
// were looked at.
func asks(t reflect.Type, seen map[reflect.Type]bool) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.PkgPath() {
	case "time", "database/sql", "gorm.io/gorm":
		return false
	}
	if reflect.PointerTo(t).Implements(scannerType) {
		return true
	}
	for i := 0; t.Kind() == reflect.Struct && i < t.NumField(); i++ {
		if asks(t.Field(i).Type, seen) {
			return true
		}
	}
	return false
}

var scannerType = reflect.TypeFor[sql.Scanner]()

// Refused returns why answers of the template cannot be kept, "" if they can.
func (t *Template) Refused() Refusal {
	if t.reason == "" && t.unknown != nil && !t.set.Catalog.Identifies(t.set.db.Dialector.Name(), t.unknown) {
		return unknownTable
	}
	if t.reason == "" && t.attributes != nil && !t.set.Catalog.HasColumns(t.attributes, t.tables, false) {
		return unknownFunction
	}
	return t.reason
}

// isStarred reports whether the columns that a query answers with are those of its tables.
func isStarred(dialect, sql string) bool {
	return dialect == "sqlite" && strings.Contains(countAll.ReplaceAllString(sql, ""), "*")
}

var countAll = regexp.MustCompile(`(?i)count\(\s*\*\s*\)`)

// Template is the shape of a query: all that decides its SQL and its result type, except the bind
// values.
type Template struct {
	set    *Set
	Shape  string
	Prefix string  // of the keys of its queries
	reason Refusal // why its answers cannot be kept; "" if they can
	// unknown are the references to tables if one was to the table of no model in use when the
	// template was met. It may be a view.
	unknown []sqltext.Reference
	// attributes are the names behind a dot in its SQL if one was the column of no model in use
	// when the template was met. It may be a function.
	attributes []sqltext.Attribute
	Limits     Limits
	Tally      *cache.Tally

	// Asks says that code of the application runs while the answer is scanned, and may ask the
	// same.
	Asks bool

	// What runs it again.
	SQL      string
	Proto    gorm.Statement // the fields that gorm.Scan looks at
	DestType reflect.Type
	Prepared bool // before it is sent

	// Plan copies what Statement.ReflectValue holds; uncopyable says that it could not, and that
	// this is due to the type.
	Plan       *clone.Plan
	Uncopyable atomic.Bool

	// Starred says that the columns that are answered with are those that the tables have when the
	// query runs, in a database in which a connection may be late to notice them. shown are the
	// last that were seen.
	Starred bool
	Shown   atomic.Pointer[Shown]

	tables []string
	query  *sqltext.Shape // nil where the SQL is not simple

	mu      sync.Mutex // held while the reading is worked out, so that an older one cannot replace a newer one
	reading atomic.Pointer[footprint.Reading]

	// Binds says how to run a query of which only the key is known; nil while that is not known.
	// untold counts the queries that did not tell.
	Binds  atomic.Pointer[args.Binding]
	untold atomic.Int32
	fields atomic.Pointer[[]*schema.Field]

	State atomic.Int32 // met, restored or refuted

	Pace cache.Pace // of its queries

	weight int64     // in bytes
	next   *Template // in the same bucket
}

// bytes returns how many bytes a template holds.
func (t *Template) bytes() int64 {
	size := int64(unsafe.Sizeof(*t)) + templateOverhead
	for _, text := range append([]string{t.Shape, t.Prefix, t.SQL}, t.tables...) {
		size += clone.TextSize(len(text)) + int64(unsafe.Sizeof(text))
	}
	for _, ref := range t.unknown {
		size += clone.TextSize(len(ref.Name)) + int64(unsafe.Sizeof(ref))
	}
	if t.attributes != nil {
		size += clone.SizeAny(t.attributes)
	}
	if t.query != nil {
		size += clone.SizeAny(t.query)
	}
	for _, join := range t.Proto.Joins {
		size += int64(unsafe.Sizeof(join))
	}
	return size
}

// destElement returns the type of one row in a template's destination.
func (t *Template) destElement() reflect.Type { return catalog.StructType(t.DestType) }

// destKind returns the kind of a template's destination.
func (t *Template) destKind() reflect.Kind {
	d := t.DestType
	for d.Kind() == reflect.Pointer {
		d = d.Elem()
	}
	return d.Kind()
}

// LearnBinding finds out how to run a query of which only the key is known, from one whose bind
// values are known, too.
func (t *Template) LearnBinding(key string, vars []any) {
	if t.Binds.Load() != nil || t.untold.Add(1) > maxUntold {
		return
	}
	if b := args.BindingOf(key[len(t.Prefix):], vars); b != nil {
		t.Binds.Store(b)
	}
}
