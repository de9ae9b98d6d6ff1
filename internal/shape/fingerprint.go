package shape

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/gormprivate"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Fingerprint is the key of a statement under construction, in two parts.
//
// shape is all that decides the SQL and the type of the result, except the bind values: equal
// shapes render to equal SQL with the same number of bind values. It is read off the clauses as
// GORM renders them, one case per type that GORM renders in its own way; for any type that is not
// known here the statement is rendered, and the SQL is the shape.
//
// args are the bind values, each with its type and, where its length varies, its length.
type Fingerprint struct {
	Shape []byte
	Args  args.Text
	// Open are the places that options.place found.
	Open    []Opening
	page    Page
	options Options
}

// Options are what else decides the key of a statement.
type Options struct {
	Rows     bool     // the application reads the rows itself
	Row      bool     // it reads the first row itself, and no other
	Text     bool     // the SQL tells the query, whatever it is read into
	First    bool     // of such a query no more than the first row is read
	Terms    string   // on which the call has its answer kept; "" where it has none
	Prepared bool     // it is prepared before it is sent: servers and drivers answer in another form then, with other digits and time zones
	PGX      bool     // its driver may be pgx
	Known    Builders // the dialect's own
	Paging   Paging   // how the dialect renders a LIMIT clause
	// Place, where there is one, tells of a bind value that it only keeps the place of one, and of
	// which.
	Place func(value any) (arg int, ok bool)
}

// Opening is where in the args of a key the value that is not there yet goes.
type Opening struct {
	At  int // the byte
	Arg int // which value
}

// MaxLength bounds the shapes, and the SQL, that are worth keeping, in bytes.
const MaxLength = 32 << 10

var fingerprints = sync.Pool{New: func() any { return &Fingerprint{} }}

// New returns an empty fingerprint, whose memory Free lets others use again.
func New() *Fingerprint { return fingerprints.Get().(*Fingerprint) }

// roomyShape is up to what size the memory of a shape is used again.
const roomyShape = 2 * MaxLength

// Free gives a fingerprint back that nobody looks at any more.
func (f *Fingerprint) Free() {
	if cap(f.Shape)+f.Args.Cap() <= roomyShape {
		fingerprints.Put(f)
	}
}

// Statement reads a statement whose clauses are complete but not rendered. It reports false where
// the shape must be taken from the SQL instead.
func (f *Fingerprint) Statement(stmt *gorm.Statement, found *Clauses, o Options) bool {
	if f.options = o; !o.Known.render(stmt, found) {
		return false
	}
	f.page = NoPage
	limit, paged := found.of[limitClause].expression.(clause.Limit)
	if paged && found.of[limitClause].has && inUsualOrder(stmt) {
		f.page = pageOf(limit, o.Paging)
	}
	f.head(stmt)
	if !f.order(stmt) {
		return false
	}
	if stmt.TableExpr != nil && !f.expr(*stmt.TableExpr) {
		return false
	}
	if f.flag(found.whole); found.whole {
		f.flag(stmt.Distinct)
	}
	for i := range found.of {
		c := &found.of[i]
		if !c.has {
			continue
		}
		if c.custom || i == forClause {
			return false
		}
		// The name by which it is found, and the one that it is rendered under.
		if f.tag('0' + byte(i)); c.name == clauseNames[i] {
			f.tag('=')
		} else {
			f.tag('/')
			f.text(c.name)
		}
		if c.expression != nil && !f.clause(c.expression) {
			return false
		}
	}
	if f.page != NoPage {
		f.Args.AddInt(int64(*limit.Limit))
	}
	if f.page == WholePage {
		f.Args.AddInt(int64(limit.Offset))
	}
	return true
}

// inUsualOrder reports whether clauses are rendered in the order in which GORM has them.
func inUsualOrder(stmt *gorm.Statement) bool {
	return gormprivate.MemoryOf(stmt.BuildClauses) == gormprivate.MemoryOf(buildOrder[:]) || slices.Equal(stmt.BuildClauses, buildOrder[:])
}

// order captures in which order clauses are rendered. It reports false if there is one among them
// that is not known here.
func (f *Fingerprint) order(stmt *gorm.Statement) bool {
	usual := inUsualOrder(stmt)
	if f.flag(usual); usual {
		return true
	}
	f.number(len(stmt.BuildClauses))
	for _, name := range stmt.BuildClauses {
		f.text(name)
		if _, ok := stmt.Clauses[name]; ok && !slices.Contains(clauseNames[:], name) {
			return false
		}
	}
	return true
}

// Rendered reads a statement that has been rendered. It reports false for bind values that cannot
// be told apart.
func (f *Fingerprint) Rendered(stmt *gorm.Statement, o Options) bool {
	f.page = NoPage
	if f.options = o; o.Text {
		f.headOfText()
	} else {
		f.head(stmt)
	}
	f.Shape = append(f.Shape, "sql "...)
	f.Shape = append(f.Shape, stmt.SQL.String()...)
	for _, v := range stmt.Vars {
		if !f.Args.Add(v) {
			return false
		}
	}
	return true
}

// head captures what decides the result besides the clauses: the table, the model, the destination,
// and what gorm.Scan looks at; and how the statement is sent.
func (f *Fingerprint) head(stmt *gorm.Statement) {
	f.Shape, f.Open = f.Shape[:0], f.Open[:0]
	f.Args.Reset()
	f.Args.PGX = f.options.PGX
	f.text(stmt.Table)
	f.typ(stmt.Schema.ModelType)
	if f.flag(stmt.Schema.Table != stmt.Table); stmt.Schema.Table != stmt.Table {
		f.text(stmt.Schema.Table)
	}
	f.typ(DestType(stmt.Dest))
	if f.options.Row {
		f.tag('r')
	} else {
		f.flag(f.options.Rows)
	}
	f.tag(byte(f.page))
	f.number(len(stmt.Joins))
	for _, join := range stmt.Joins {
		f.text(join.Name)
		f.text(join.Alias)
	}
	f.mapping(stmt.ColumnMapping)
	f.flag(f.options.Prepared)
	f.terms()
}

// Family returns a text that statements have in common which are alike but for what form leaves out
// of their SQL.
func Family(stmt *gorm.Statement, o Options, page Page, form string) string {
	f := New()
	defer f.Free()
	if f.options, f.page = o, page; o.Text {
		f.headOfText()
	} else {
		f.head(stmt)
	}
	return string(append(f.Shape, form...))
}

// terms captures the terms of a call. What follows never begins like them.
func (f *Fingerprint) terms() {
	if f.options.Terms != "" {
		f.tag('t')
		f.text(f.options.Terms)
	}
}

// headOfText captures what decides the answer of a query besides its SQL, where its rows are kept
// as the database gives them. No other shape begins with it: there is no table of its name.
func (f *Fingerprint) headOfText() {
	f.Shape, f.Open = append(f.Shape[:0], "\x01\x00"...), f.Open[:0]
	f.Args.Reset()
	f.Args.PGX = f.options.PGX
	f.flag(f.options.First)
	f.flag(f.options.Prepared)
	f.terms()
}

func (f *Fingerprint) mapping(columns map[string]string) {
	if f.number(len(columns)); len(columns) == 0 {
		return
	}
	for _, from := range slices.Sorted(maps.Keys(columns)) {
		f.text(from)
		f.text(columns[from])
	}
}

// TypesIn returns where the types of the model and of the destination are in a shape, and whether
// the application reads the rows itself, as fingerprint.head writes them.
func TypesIn(shape []byte) (model, dest []byte, rows, ok bool) {
	at, into, reads, ok := partsOf(shape)
	if !ok {
		return nil, nil, false, false
	}
	return shape[at : at+typeSize], shape[into : into+typeSize], shape[reads] == '+', true
}

// typeSize is how many bytes a type takes in a shape.
const typeSize = 8

// partsOf returns where the types of the model and of the destination are in a shape, and what says
// whether the application reads the rows itself.
func partsOf(shape []byte) (model, dest, rows int, ok bool) {
	skipText := func(from int) int {
		n, width := binary.Uvarint(shape[min(max(from, 0), len(shape)):])
		if from < 0 || width <= 0 || n > uint64(len(shape)) {
			return -1
		}
		return from + width + int(n)
	}
	model = skipText(0)
	if model < 0 || model+typeSize+1 > len(shape) {
		return 0, 0, 0, false
	}
	dest = model + typeSize + 1
	if shape[dest-1] == '+' { // the table of the schema follows
		dest = skipText(dest)
	}
	rows = dest + typeSize
	return model, dest, rows, dest >= 0 && rows < len(shape)
}
