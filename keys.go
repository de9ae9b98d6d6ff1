package preload

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// fingerprint is the key of a statement under construction, in two parts.
//
// shape is all that decides the SQL and the type of the result, except the bind values: equal shapes render to equal
// SQL with the same number of bind values. It is read off the clauses as GORM renders them, one case per type
// that GORM renders in its own way; for any type that is not known here the statement is rendered, and the SQL
// is the shape.
//
// args are the bind values, each with its type and, where its length varies, its length.
type fingerprint struct {
	shape []byte
	args  []byte
	whole []byte // the key
	// moving is set by a bind value that the database reads as a moment that moves, such as "now".
	moving bool
	// open are the places of Args that no value took, in a statement that is being prepared.
	open []opening
}

// opening is where in the args of a key the value of an Arg goes.
type opening struct {
	at  int
	arg Arg
}

var fingerprints = sync.Pool{New: func() any { return &fingerprint{} }}

func newFingerprint() *fingerprint {
	f := fingerprints.Get().(*fingerprint)
	f.shape, f.args, f.moving, f.open = f.shape[:0], f.args[:0], false, f.open[:0]
	return f
}

func (f *fingerprint) free() { fingerprints.Put(f) }

// statement reads a statement whose clauses are complete but not rendered. holds says that the destination holds a primary
// key. It reports false where the shape must be taken from the SQL instead.
func (f *fingerprint) statement(stmt *gorm.Statement, found *clauses, holds bool, known builders) bool {
	if !known.render(stmt, found) {
		return false
	}
	f.head(stmt, holds)
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
	return true
}

// order captures in which order clauses are rendered. It reports false if there is one among them that is not known here.
func (f *fingerprint) order(stmt *gorm.Statement) bool {
	usual := memoryOf(stmt.BuildClauses) == memoryOf(buildOrder[:]) || slices.Equal(stmt.BuildClauses, buildOrder[:])
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

// memoryOf returns where the texts of a list are. Two lists with the same are equal, which is the quick way to see it.
func memoryOf(texts []string) string {
	return unsafe.String((*byte)(unsafe.Pointer(unsafe.SliceData(texts))), len(texts)*int(unsafe.Sizeof("")))
}

// rendered reads a statement that has been rendered. It reports false for bind values that cannot be told apart.
func (f *fingerprint) rendered(stmt *gorm.Statement, holds bool) bool {
	f.head(stmt, holds)
	f.shape = append(f.shape, "sql "...)
	f.shape = append(f.shape, stmt.SQL.String()...)
	for _, v := range stmt.Vars {
		if !f.arg(v) {
			return false
		}
	}
	return true
}

// head captures what decides the result besides the clauses: the table, the model, the destination, and what
// gorm.Scan looks at.
func (f *fingerprint) head(stmt *gorm.Statement, holds bool) {
	f.shape, f.args, f.moving, f.open = f.shape[:0], f.args[:0], false, f.open[:0]
	f.text(stmt.Table)
	f.typ(stmt.Schema.ModelType)
	if f.flag(stmt.Schema.Table != stmt.Table); stmt.Schema.Table != stmt.Table {
		f.text(stmt.Schema.Table)
	}
	f.typ(reflect.TypeOf(stmt.Dest))
	// A primary key that the destination holds is an arg, and stays in it even if the query does not select it.
	if f.flag(holds); holds {
		for _, field := range stmt.Schema.PrimaryFields {
			f.held(stmt.ReflectValue.FieldByIndex(field.StructField.Index))
		}
	}
	f.number(len(stmt.Joins))
	for _, join := range stmt.Joins {
		f.text(join.Name)
		f.text(join.Alias)
	}
	if len(stmt.ColumnMapping) > 0 {
		f.mapping(stmt.ColumnMapping)
	}
}

// held captures what a primary key in the destination holds, which a Valuer may not tell the whole of.
func (f *fingerprint) held(key reflect.Value) {
	switch key.Kind() {
	case reflect.String:
		f.string('h', key.String())
	case reflect.Array:
		for i := range key.Len() {
			f.integer(int64(key.Index(i).Uint()))
		}
	case reflect.Bool:
		f.boolean(key.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		f.integer(key.Int())
	default:
		f.unsigned(key.Uint())
	}
}

func (f *fingerprint) mapping(columns map[string]string) {
	for _, from := range slices.Sorted(maps.Keys(columns)) {
		f.text(from)
		f.text(columns[from])
	}
}

func (f *fingerprint) tag(b byte) { f.shape = append(f.shape, b) }

// number appends a number in a form that tells its own end.
func (f *fingerprint) number(n int) {
	if n >= 0 && n < 0x80 {
		f.shape = append(f.shape, byte(n))
		return
	}
	f.shape = binary.AppendUvarint(f.shape, uint64(n))
}

func (f *fingerprint) text(s string) {
	f.number(len(s))
	f.shape = append(f.shape, s...)
}

func (f *fingerprint) flag(b bool) {
	if b {
		f.tag('+')
	} else {
		f.tag('-')
	}
}

// typ captures the identity of a type: two types may have the same name.
func (f *fingerprint) typ(t reflect.Type) {
	f.shape = binary.NativeEndian.AppendUint64(f.shape, typeID(t))
}

// typeID returns where the runtime describes a type, which it does once and for good.
func typeID(t reflect.Type) uint64 {
	// What reflect.ValueOf(t).Pointer() returns: a reflect.Type is an interface that holds a pointer to the description.
	return uint64((*[2]uintptr)(unsafe.Pointer(&t))[1])
}

func (f *fingerprint) clause(expression clause.Expression) bool {
	switch e := expression.(type) {
	case clause.Select:
		f.tag('S')
		f.flag(e.Distinct)
		f.number(len(e.Columns))
		for _, c := range e.Columns {
			f.columnName(c)
		}
		return e.Expression == nil || f.expr(e.Expression)
	case itself:
		f.tag('F')
		f.number(0)
		f.number(0)
		return true
	case clause.From:
		f.tag('F')
		f.number(len(e.Tables))
		for _, t := range e.Tables {
			f.table(t)
		}
		f.number(len(e.Joins))
		for _, j := range e.Joins {
			if !f.join(j) {
				return false
			}
		}
		return true
	case clause.GroupBy:
		f.tag('G')
		f.number(len(e.Columns))
		for _, c := range e.Columns {
			f.columnName(c)
		}
		return f.exprs(e.Having)
	case clause.OrderBy:
		f.tag('O')
		if e.Expression != nil {
			return f.expr(e.Expression)
		}
		f.number(len(e.Columns))
		for _, c := range e.Columns {
			f.columnName(c.Column)
			f.flag(c.Desc)
		}
		return true
	case clause.Limit:
		// Some dialects write these into the SQL.
		f.tag('L')
		limit := -1
		if e.Limit != nil {
			limit = *e.Limit
		}
		f.number(limit)
		f.number(e.Offset)
		return true
	}
	return f.expr(expression)
}

func (f *fingerprint) join(j clause.Join) bool {
	f.text(string(j.Type))
	f.table(j.Table)
	f.number(len(j.Using))
	for _, column := range j.Using {
		f.text(column)
	}
	if j.Expression != nil {
		f.tag('x')
		return f.expr(j.Expression)
	}
	return f.exprs(j.ON.Exprs)
}

func (f *fingerprint) table(t clause.Table) {
	f.text(t.Name)
	f.text(t.Alias)
	f.flag(t.Raw)
}

func (f *fingerprint) columnName(c clause.Column) {
	f.text(c.Table)
	f.text(c.Name)
	f.text(c.Alias)
	f.flag(c.Raw)
}

func (f *fingerprint) exprs(exprs []clause.Expression) bool {
	f.number(len(exprs))
	for _, e := range exprs {
		if !f.expr(e) {
			return false
		}
	}
	return true
}

func (f *fingerprint) expr(expression clause.Expression) bool {
	switch e := expression.(type) {
	case clause.Expr:
		f.tag('e')
		f.text(e.SQL)
		f.flag(e.WithoutParentheses)
		return f.values(e.Vars)
	case clause.Eq:
		f.tag('=')
		return f.column(e.Column) && f.equal(e.Value)
	case clause.Neq:
		f.tag('!')
		return f.column(e.Column) && f.equal(e.Value)
	case clause.Gt:
		f.tag('>')
		return f.column(e.Column) && f.value(e.Value)
	case clause.Gte:
		f.tag('g')
		return f.column(e.Column) && f.value(e.Value)
	case clause.Lt:
		f.tag('<')
		return f.column(e.Column) && f.value(e.Value)
	case clause.Lte:
		f.tag('l')
		return f.column(e.Column) && f.value(e.Value)
	case clause.Like:
		f.tag('%')
		return f.column(e.Column) && f.value(e.Value)
	case clause.IN:
		f.tag('i')
		return f.column(e.Column) && f.values(e.Values)
	case clause.AndConditions:
		f.tag('&')
		return f.exprs(e.Exprs)
	case clause.OrConditions:
		f.tag('|')
		return f.exprs(e.Exprs)
	case clause.NotConditions:
		f.tag('~')
		return f.exprs(e.Exprs)
	case clause.Where:
		f.tag('w')
		return f.exprs(e.Exprs)
	case clause.CommaExpression:
		f.tag(',')
		return f.exprs(e.Exprs)
	}
	return false
}

func (f *fingerprint) column(column any) bool {
	switch c := column.(type) {
	case clause.Column:
		f.tag('c')
		f.columnName(c)
	case string:
		f.tag('s')
		f.text(c)
	case []clause.Column:
		f.tag('C')
		f.number(len(c))
		for _, column := range c {
			f.columnName(column)
		}
	default:
		return false
	}
	return true
}

// equal captures the value of Eq and Neq, which render nil and some slices in a way of their own.
func (f *fingerprint) equal(value any) bool {
	switch v := value.(type) {
	case []string, []int, []int32, []int64, []uint, []uint32, []uint64, []any:
		f.tag('I')
		return f.list(reflect.ValueOf(v))
	case nil:
		f.tag('N')
		return true
	case driver.Valuer:
		// What is nil, or a Valuer of nil, renders as IS NULL.
		if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
			f.tag('N')
			return true
		}
		if speaksPgx(reflect.TypeOf(v)) {
			return false
		}
		inner, err := v.Value()
		if err != nil {
			return false
		}
		if inner == nil {
			f.tag('N')
			return true
		}
		switch value.(type) {
		case gorm.Valuer, clause.Expression:
			return false
		}
		f.tag('?')
		return driver.IsValue(inner) && f.driverArg(inner)
	}
	if rv := reflect.ValueOf(value); rv.Kind() == reflect.Pointer && rv.IsNil() {
		f.tag('N')
		return true
	}
	return f.value(value)
}

func (f *fingerprint) values(values []any) bool {
	f.number(len(values))
	for _, v := range values {
		if !f.value(v) {
			return false
		}
	}
	return true
}

// value captures something that is passed to Statement.AddVar.
func (f *fingerprint) value(value any) bool {
	switch v := value.(type) {
	case string:
		f.tag('?')
		f.textArg(v)
		return true
	case int:
		f.tag('?')
		f.integer(int64(v))
		return true
	case nil, int64, uint, uint64, bool, float64, int32, uint32, time.Time:
		f.tag('?')
		return f.arg(v)
	case Arg:
		f.tag('?')
		f.open = append(f.open, opening{len(f.args), v})
		return true
	case clause.Column:
		f.tag('c')
		f.columnName(v)
		return true
	case clause.Table:
		f.tag('t')
		f.table(v)
		return true
	case []byte:
		// Some expressions spread it, so that its length is part of the SQL.
		f.tag('b')
		f.number(len(v))
		return f.arg(v)
	case []any:
		f.tag('A')
		return f.list(reflect.ValueOf(v))
	case sql.NamedArg, gorm.Valuer, clause.Interface, *gorm.DB:
		return false
	case clause.Expression:
		f.tag('E')
		return f.expr(v)
	case driver.Valuer:
		f.tag('?')
		return f.arg(v)
	}
	if rv := reflect.ValueOf(value); rv.Kind() == reflect.Slice || rv.Kind() == reflect.Array {
		// Named bytes, and none at all, GORM spreads.
		if rv.Len() > 0 && rv.Type().Elem() == byteType {
			f.tag('b')
			f.number(rv.Len())
			return f.arg(value)
		}
		f.tag('A')
		return f.list(rv)
	}
	f.tag('?')
	return f.arg(value)
}

func (f *fingerprint) list(rv reflect.Value) bool {
	f.number(rv.Len())
	for i := range rv.Len() {
		if !f.value(rv.Index(i).Interface()) {
			return false
		}
	}
	return true
}

// arg appends a bind value to the args. It reports false for values that drivers understand by means not known here.
func (f *fingerprint) arg(value any) bool {
	switch v := value.(type) {
	case string:
		f.textArg(v)
		return true
	case int:
		f.integer(int64(v))
		return true
	case uint:
		return f.unsigned(uint64(v))
	case driver.Valuer:
		if speaksPgx(reflect.TypeOf(v)) {
			return false
		}
		inner, err := driverValue(v)
		return err == nil && driver.IsValue(inner) && f.driverArg(inner) // or database/sql does not take it
	case gorm.Valuer:
		return false
	}
	return f.driverArg(value)
}

// driverArg appends a value as drivers take it: by kind.
func (f *fingerprint) driverArg(value any) bool {
	switch v := value.(type) {
	case nil:
		f.args = append(f.args, 'n', ';')
		return true
	case int64:
		f.integer(v)
		return true
	case bool:
		f.boolean(v)
		return true
	case float64:
		f.float(v)
		return true
	case string:
		f.textArg(v)
		return true
	case []byte:
		if v == nil {
			f.args = append(f.args, 'N', ';')
			return true
		}
		f.moving = f.moving || len(v) <= longestMoving && sqltext.MovingTime(string(v))
		f.bytes('b', v)
		return true
	case time.Time:
		// Some databases keep the wall clock or the offset, others the moment: all three are part of the key.
		_, offset := v.Zone()
		f.args = append(f.args, 't')
		f.args = strconv.AppendInt(f.args, v.Unix(), 10)
		f.args = append(f.args, '.')
		f.args = strconv.AppendInt(f.args, int64(v.Nanosecond()), 10)
		f.args = append(f.args, '@')
		f.args = strconv.AppendInt(f.args, int64(offset), 10)
		f.args = append(f.args, ';')
		return true
	}
	rv := reflect.ValueOf(value)
	switch rv.Kind() {
	case reflect.Pointer:
		if rv.IsNil() {
			f.args = append(f.args, 'n', ';')
			return true
		}
		return f.arg(rv.Elem().Interface())
	}
	if t := rv.Type(); t.PkgPath() != "" {
		// Drivers may treat a named type in a way of their own, as pgx does time.Duration.
		f.args = append(f.args, '#')
		f.args = strconv.AppendUint(f.args, typeID(t), 36)
		f.args = append(f.args, ';')
	}
	switch rv.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		f.integer(rv.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return f.unsigned(rv.Uint())
	case reflect.Bool:
		f.boolean(rv.Bool())
	case reflect.Float32:
		// Drivers that take it as it is write it with fewer digits.
		f.args = append(f.args, 'g')
		f.float(rv.Float())
	case reflect.Float64:
		f.float(rv.Float())
	case reflect.String:
		f.textArg(rv.String())
	case reflect.Slice:
		if rv.Type().Elem().Kind() != reflect.Uint8 {
			return false
		}
		return f.driverArg(rv.Bytes())
	default:
		return false
	}
	return true
}

func (f *fingerprint) textArg(v string) {
	f.moving = f.moving || sqltext.MovingTime(v)
	f.string('s', v)
}

func (f *fingerprint) integer(v int64) {
	f.args = append(f.args, 'i')
	f.args = strconv.AppendInt(f.args, v, 10)
	f.args = append(f.args, ';')
}

func (f *fingerprint) unsigned(v uint64) bool {
	if v > math.MaxInt64 {
		f.args = append(f.args, 'u')
		f.args = strconv.AppendUint(f.args, v, 10)
		f.args = append(f.args, ';')
		return true
	}
	f.integer(int64(v))
	return true
}

func (f *fingerprint) boolean(v bool) {
	if v {
		f.args = append(f.args, "y;"...)
	} else {
		f.args = append(f.args, "x;"...)
	}
}

func (f *fingerprint) float(v float64) {
	f.args = append(f.args, 'f')
	f.args = strconv.AppendUint(f.args, math.Float64bits(v), 16)
	f.args = append(f.args, ';')
}

func (f *fingerprint) bytes(tag byte, v []byte) {
	f.measured(tag, len(v))
	f.args = append(f.args, v...)
	f.args = append(f.args, ';')
}

func (f *fingerprint) string(tag byte, v string) {
	f.measured(tag, len(v))
	f.args = append(f.args, v...)
	f.args = append(f.args, ';')
}

// measured begins an arg whose length is not told by what it is.
func (f *fingerprint) measured(tag byte, length int) {
	switch {
	case length < 10:
		f.args = append(f.args, tag, '0'+byte(length), ':')
	case length < 100:
		f.args = append(f.args, tag, '0'+byte(length/10), '0'+byte(length%10), ':')
	default:
		f.args = append(f.args, tag)
		f.args = strconv.AppendInt(f.args, int64(length), 10)
		f.args = append(f.args, ':')
	}
}

// longestMoving is how long a text can be that a database reads as a moving time.
const longestMoving = 64

// pgxTypes remembers of which types speaksPgx is true.
var pgxTypes sync.Map

// speaksPgx reports whether pgx asks values of a type in ways of its own, before it asks for their driver value. pgx's
// own types say the same in both ways.
func speaksPgx(t reflect.Type) bool {
	if known, ok := pgxTypes.Load(t); ok {
		return known.(bool)
	}
	speaks := false
	for i := range t.NumMethod() {
		name := t.Method(i).Name
		speaks = speaks || strings.HasSuffix(name, "Value") && name != "Value" && name != "GormValue"
	}
	if t.Kind() == reflect.Pointer {
		speaks = speaks && !strings.HasSuffix(t.Elem().PkgPath(), "/pgtype")
	}
	speaks = speaks && !strings.HasSuffix(t.PkgPath(), "/pgtype")
	pgxTypes.Store(t, speaks)
	return speaks
}

// steady reports whether the Valuers among bind values say the same when they are asked again. The driver asks them
// once more after they were asked for the key.
func steady(vars []any) bool {
	valuers := false
	for _, v := range vars {
		if _, ok := v.(driver.Valuer); ok {
			valuers = true
		}
	}
	if !valuers {
		return true
	}
	first, second := newFingerprint(), newFingerprint()
	defer first.free()
	defer second.free()
	for _, v := range vars {
		if !first.arg(v) || !second.arg(v) {
			return false
		}
	}
	return bytes.Equal(first.args, second.args)
}

// driverValue asks a Valuer the way database/sql does: a nil pointer whose method is that of its element is nil.
func driverValue(v driver.Valuer) (driver.Value, error) {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() && rv.Type().Elem().Implements(valuerType) {
		return nil, nil
	}
	return v.Value()
}

var (
	valuerType = reflect.TypeFor[driver.Valuer]()
	byteType   = reflect.TypeFor[byte]()
)

// longArgs is from how many bytes on the args of a key are replaced by their SHA-256.
const longArgs = 512

// key returns the key of these args under a template's prefix, in memory that the fingerprint owns.
func (f *fingerprint) key(prefix string) []byte {
	f.whole = append(f.whole[:0], prefix...)
	if len(f.args) > longArgs {
		sum := sha256.Sum256(f.args)
		f.whole = append(f.whole, "sha256:"...)
		f.whole = hex.AppendEncode(f.whole, sum[:])
	} else {
		f.whole = append(f.whole, f.args...)
	}
	return f.whole
}

// builders are the functions that render clauses, by the code that they run: first those of clauses that queries have.
type builders []builder

type builder struct {
	name    string
	code    uintptr
	queries bool
}

// buildersOf finds the builders that are part of a dialect's package; others are the application's.
func buildersOf(db *gorm.DB) builders {
	dialect := reflect.TypeOf(db.Dialector)
	if dialect == nil {
		return nil
	}
	if dialect.Kind() == reflect.Pointer {
		dialect = dialect.Elem()
	}
	return slices.DeleteFunc(allBuilders(db), func(b builder) bool {
		f := runtime.FuncForPC(b.code)
		return f == nil || !strings.HasPrefix(f.Name(), dialect.PkgPath()+".")
	})
}

func allBuilders(db *gorm.DB) (first builders) {
	var rest builders
	for name, build := range db.ClauseBuilders {
		if slices.Contains(clauseNames[:], name) {
			first = append(first, builder{name, codeOf(build), true})
		} else {
			rest = append(rest, builder{name, codeOf(build), false})
		}
	}
	return append(first, rest...)
}

// codeOf returns what reflect.ValueOf(build).Pointer() does: a func is a pointer to what begins with the address of its code.
func codeOf(build clause.ClauseBuilder) uintptr {
	if build == nil {
		return 0
	}
	return **(**uintptr)(unsafe.Pointer(&build))
}

// are reports whether a clause is rendered by one of these. An application's own builder may render the same clause in different ways.
func (b builders) are(name string, build clause.ClauseBuilder) bool {
	return slices.ContainsFunc(b, func(known builder) bool { return known.name == name && known.code == codeOf(build) })
}

// only reports whether there are no other builders of queries than these. That nobody takes another one away, with which a dialect
// inserts, for one of a query is taken on trust.
func (b builders) only(all map[string]clause.ClauseBuilder) bool {
	if len(all) != len(b) {
		return false
	}
	for i := range b {
		if !b[i].queries {
			break
		}
		if build, ok := all[b[i].name]; !ok || codeOf(build) != b[i].code {
			return false
		}
	}
	return true
}

// render reports whether these render the clauses that were found.
func (b builders) render(stmt *gorm.Statement, found *clauses) bool {
	if b.only(stmt.DB.ClauseBuilders) {
		return true
	}
	for i, name := range clauseNames {
		if found.of[i].has || found.whole && (i == selectClause || i == fromClause) {
			if build, ok := stmt.DB.ClauseBuilders[name]; ok && !b.are(name, build) {
				return false
			}
		}
	}
	return true
}

// standard reports whether these render all clauses of a statement.
func (b builders) standard(db *gorm.DB) bool {
	for _, name := range db.Statement.BuildClauses {
		if build, ok := db.ClauseBuilders[name]; ok && !b.are(name, build) {
			return false
		}
	}
	return true
}
