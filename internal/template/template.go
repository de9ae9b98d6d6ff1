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
	"github.com/gorm-preload/preload/internal/replay"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// Refusal is why the answers of a template cannot be kept, in the words of the statistics.
type Refusal string

// The refusals; "" is none.
const (
	notPlain        Refusal = "not a plain read"
	volatile        Refusal = "volatile"
	unknownFunction Refusal = "unknown function"
	unknownTable    Refusal = "unknown table"
	withdrawn       Refusal = "withdrawn"
	noPolicy        Refusal = "no policy"
)

// Terms are on what terms a call has the answer of its query kept.
type Terms struct {
	TTL time.Duration // 0 for that of the tables
	// Tables are those, folded, that the answer depends on besides those in its SQL. What the SQL
	// names of them, and is no table that is known, is taken for a view or a pure function.
	Tables []string
}

// String writes them so that equal terms have equal texts.
func (t *Terms) String() string { return t.TTL.String() + "\x00" + strings.Join(t.Tables, "\x00") }

// Make works out what a rendered statement of this shape, form, is. own is how answers are treated
// that are read into what the statement is read into, nil where these are not kept; terms are those
// of the call, nil where it has none.
func (ts *Set) Make(form string, stmt *gorm.Statement, o shape.Options, own *Limits, terms *Terms) *Template {
	t := &Template{
		set:      ts,
		family:   &family{},
		Shape:    form,
		own:      own,
		Terms:    terms,
		Prepared: o.Prepared,
		rows:     o.Rows,
	}
	if t.page = shape.NoPage; !o.Text {
		t.page = shape.PageIn([]byte(form))
		t.writesPage = writes(t.page, ts.Footprints.Paging())
	}
	sql, ends := t.paged(stmt)
	t.SQL = strings.Clone(sql) // and not what it was built in
	text, simple, joined, short := ts.Footprints.Text(t.SQL)
	t.from = text.From
	if t.Text = o.Text; t.Text {
		t.ofText(o.First)
	} else {
		t.ofModel(stmt)
		t.First = o.Row
		t.Asks = t.Asks || o.Rows
	}
	t.Prefix = ts.prefix(t.Table, shape.Family(stmt, o, t.page, short), form)
	if t.reason = t.refusalOf(text); !ends {
		t.reason = notPlain
	}
	t.Starred = isStarred(stmt.Dialector.Name(), t.SQL)
	t.tables = append(t.tables, text.Tables...)
	references := slices.DeleteFunc(slices.Clone(text.References), func(r sqltext.Reference) bool { return terms.names(catalog.TableName(r.Name)) })
	if !ts.Catalog.Identifies(stmt.Dialector.Name(), references) {
		t.unknown = references
	}
	// Any name that is a table in use counts as read, wherever it stands.
	for _, name := range text.Names {
		if !slices.Contains(t.tables, name) && ts.Catalog.Knows(name) {
			t.tables = append(t.tables, name)
		}
	}
	if table := catalog.TableName(stmt.Table); !t.Text && !slices.Contains(t.tables, table) && ts.Catalog.Knows(table) {
		t.tables = append(t.tables, table)
	}
	if t.query, t.joined = simple, joined; !t.Text {
		t.moment = t.momentOf(stmt, o)
	}
	attributes := slices.DeleteFunc(text.Attributes, func(a sqltext.Attribute) bool { return ts.Footprints.Pure(a.Name) || terms.names(a.Name) })
	if !ts.Catalog.HasColumns(attributes, t.tables, false) {
		t.attributes = attributes
	}
	t.withdrawn = ts.withdrawnOf(t.Table)
	t.weight = t.bytes()
	return t
}

// ofModel takes over what a statement of a model scans into.
func (t *Template) ofModel(stmt *gorm.Statement) {
	t.Table = stmt.Schema.Table
	t.DestType = shape.DestType(stmt.Dest)
	t.Plan = clone.For(stmt.ReflectValue.Type())
	t.Proto = gorm.Statement{
		Table:         stmt.Table,
		Schema:        stmt.Schema,
		Joins:         slices.Clone(stmt.Joins),
		ColumnMapping: maps.Clone(stmt.ColumnMapping),
		SkipHooks:     true,
	}
	// gorm.Scan looks at names and aliases; the rest holds the values of this request.
	for i := range t.Proto.Joins {
		join := &t.Proto.Joins[i]
		join.Conds, join.On, join.Expression, join.Selects, join.Omits = nil, nil, nil, nil, nil
	}
	t.Asks = asking(stmt.ReflectValue.Type()) || slices.ContainsFunc(stmt.Schema.Fields, func(f *schema.Field) bool { return f.Serializer != nil })
}

// ofText makes the template one whose answers are recordings, whatever they are read into. It runs
// again into maps.
func (t *Template) ofText(first bool) {
	t.Table, t.rows, t.First, t.Asks = t.from, true, first, true
	t.Plan = clone.For(reflect.TypeFor[*replay.Recording]())
	if t.DestType = reflect.TypeFor[*[]map[string]any](); first {
		t.DestType = reflect.TypeFor[map[string]any]()
	}
	t.Proto.SkipHooks = true
}

// names reports whether a folded name is one of those that the answer depends on.
func (t *Terms) names(name string) bool { return t != nil && slices.Contains(t.Tables, name) }

// refusalOf returns why the answers of a text cannot be kept, as far as the text shows.
func (t *Template) refusalOf(text sqltext.Query) Refusal {
	if text.Volatile != "" {
		t.Moves.Store(true)
	}
	switch {
	case !text.Reads:
		return notPlain
	case text.Volatile != "" && (t.Terms == nil || !text.Clock):
		return volatile
	case slices.ContainsFunc(text.Functions, func(name string) bool { return !t.set.Footprints.Pure(name) && !t.Terms.names(name) }):
		return unknownFunction
	}
	return ""
}

// askingTypes remembers of which types asking is true.
var askingTypes sync.Map

// asking reports whether scanning into a type runs code of the application.
func asking(t reflect.Type) bool {
	if known, ok := askingTypes.Load(t); ok {
		return known.(bool)
	}
	found := asks(t, map[reflect.Type]bool{})
	askingTypes.Store(t, found)
	return found
}

// asks is asking for a type that may be part of others; seen holds those that were looked at.
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
	if t.reason == "" && !t.identified() {
		return unknownTable
	}
	if t.reason == "" && t.attributes != nil && !t.set.Catalog.HasColumns(t.attributes, t.tables, false) {
		return unknownFunction
	}
	if t.reason == "" && t.withdrawn.Load() {
		return withdrawn
	}
	if t.reason == "" && !t.ruling().opted {
		return noPolicy
	}
	return t.reason
}

// identified reports whether all tables are known that the SQL names.
func (t *Template) identified() bool { return t.unknown == nil || t.set.identifies(t.unknown) }

// Unidentified returns the tables in the SQL that are of no model in use, where answers of the
// template would be kept if these were known.
func (t *Template) Unidentified() []sqltext.Reference {
	if t.reason != "" || t.withdrawn.Load() || !t.ruling().opted {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(t.unknown), func(ref sqltext.Reference) bool {
		return t.set.Catalog.Identifies(t.set.db.Dialector.Name(), []sqltext.Reference{ref})
	})
}

// isStarred reports whether the columns that a query answers with are those of its tables.
func isStarred(dialect, sql string) bool {
	at := strings.IndexByte(sql, '*')
	if dialect != "sqlite" || at < 0 {
		return false
	}
	if !strings.HasSuffix(strings.TrimRight(sql[:at], " \t\r\n\f"), "(") {
		return true // it is that of no count(*)
	}
	return strings.Contains(countAll.ReplaceAllString(sql, ""), "*")
}

var countAll = regexp.MustCompile(`(?i)count\(\s*\*\s*\)`)

// Template is the shape of a query: all that decides its SQL and its result type, except the bind
// values.
type Template struct {
	*family // its own until it is put into the set
	set     *Set
	Shape   string
	Prefix  string  // of the keys of its queries
	Table   string  // under which they are counted
	reason  Refusal // why its answers cannot be kept; "" if they can
	// Text says that its queries are told by their SQL, whatever they are read into: then its
	// answers are recordings. First says that no more than the first row is read, by a
	// reader of such a query or by the application.
	Text, First bool
	from        string  // the table of the outermost FROM, folded
	own         *Limits // of what it is read into; nil where that is not opted in
	rules       atomic.Pointer[ruling]
	// Terms are those of the call, nil where it has none. tagged are the groups of answers that
	// have tags, by these; guarded by mu.
	Terms  *Terms
	tagged map[string]taggedGroup
	// unknown are the references to tables if one was to the table of no model in use when the
	// template was met. It may be a view, and may become one.
	unknown []sqltext.Reference
	// attributes are the names behind a dot in its SQL if one was the column of no model in use
	// when the template was met. It may be a function.
	attributes []sqltext.Attribute
	// Asks says that code of the application runs while the answer is scanned, and may ask the
	// same.
	Asks bool

	// What runs it again.
	SQL      string
	Proto    gorm.Statement // the fields that gorm.Scan looks at
	DestType reflect.Type
	Prepared bool // before it is sent
	rows     bool // the application reads the rows itself
	// page are the numbers of its LIMIT clause that are args; writesPage says that these are not
	// bound but part of what is sent, and not of SQL.
	page       shape.Page
	writesPage bool
	// Partial says that the last who read rows of the template read no more than a part of them.
	Partial atomic.Bool

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
	joined *sqltext.Shape // where it is but for the tables that it joins
	moment *moment        // nil where its queries give none

	mu      sync.Mutex // held while the reading is worked out, so that an older one cannot replace a newer one
	reading atomic.Pointer[footprint.Reading]

	// Binds says how to run a query of which only the key is known; nil while that is not known.
	// untold counts the queries that did not tell.
	Binds  atomic.Pointer[args.Binding]
	untold atomic.Int32
	fields atomic.Pointer[[]*schema.Field]
	// overlay is how answers are put into structs that hold values; nil until one does.
	overlay atomic.Pointer[overlay]

	// Moves says that answers change as time passes: they are kept on the terms of a call only.
	Moves atomic.Bool

	State     atomic.Int32 // met, restored or refuted
	withdrawn *atomic.Bool // of all templates of the model's table

	Pace cache.Pace // of its queries

	weight int64     // in bytes
	next   *Template // in the same bucket
}

// bytes returns how many bytes a template holds.
func (t *Template) bytes() int64 {
	size := int64(unsafe.Sizeof(*t)) + int64(unsafe.Sizeof(cache.Tally{})) + templateOverhead
	texts := append([]string{t.Shape, t.Prefix, t.SQL, t.Table, t.from}, t.tables...)
	if t.Terms != nil {
		texts = append(texts, t.Terms.Tables...)
	}
	if t.moment != nil {
		size += int64(unsafe.Sizeof(*t.moment))
		for _, q := range []*question{t.moment.falling.asks, t.moment.rising.asks} {
			if q != nil {
				size += int64(unsafe.Sizeof(*q))
				texts = append(texts, q.list, q.from)
			}
		}
	}
	for _, text := range texts {
		size += clone.TextSize(len(text)) + int64(unsafe.Sizeof(text))
	}
	for _, ref := range t.unknown {
		size += clone.TextSize(len(ref.Name)) + int64(unsafe.Sizeof(ref))
	}
	if t.attributes != nil {
		size += clone.SizeAny(t.attributes)
	}
	for _, query := range []*sqltext.Shape{t.query, t.joined} {
		if query != nil {
			size += clone.SizeAny(query)
		}
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
