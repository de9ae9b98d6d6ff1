package template

import (
	"context"
	"database/sql"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// A query may give a moment, the current time as a rule, with which its condition only loses rows
// as it grows: WHERE expires_at > ?. Rows that the condition did not choose then stay out for
// ever, and those that the answer shows stay in until the first of their own times: so that is how
// long the answer holds. A limit changes nothing of that: the rows behind it could come in only
// when one of those that are shown leaves. Such a query has a key without the moment, and its
// answer the span of moments that it holds for. Moments are compared with one another, never with
// a clock (but see late).
//
// With another moment the condition may only gain rows as it grows: WHERE valid_from <= ?. Of those
// that the answer does not show, none comes in before the first time in the whole table that the
// condition did not choose: the database is asked for that with a query of its own, under the lease
// of the answer. What else the condition asks of a row is left out there, which can only make that
// time an earlier one. A write that makes it an earlier one for this answer kills the answer: it
// makes a row, or sets a column that decides which rows are in the answer. A write that leaves the
// answer alone either does none of that, so that no row comes in at another time than before, or
// does it to rows with a value that the answer does not pin, which come in at no time.
//
// Moments have to be compared here in the order in which the database compares them: see order.
// Where the rows that are shown do not tell that order, the database is also asked for the first
// time of a row that the condition of the query chooses, which the moment that is given leaves in
// it.

// moment is how moments stand in the queries of a template: one with which the condition loses
// rows, one with which it gains rows, or both.
type moment struct {
	order           *order
	falling, rising place
	located         atomic.Pointer[located] // nil while that is not known
	looked          atomic.Int64            // how often queries were looked at because of that
}

// place is where a moment stands; the zero place is that of none.
type place struct {
	param int           // the ordinal of its bind value, from 1; 0 for none
	field *schema.Field // what it is compared with
	asks  *question     // for the first time at which a row leaves or comes in; nil where none is needed
}

// located is where the args of moments are in keys, -1 for one that is not known. equal says that
// it is not known which is which, as both were one value.
type located struct {
	falling, rising int
	equal           bool
}

// Moments are those that a query gives, as far as they are not part of its key. They are zero
// otherwise.
type Moments struct{ Falling, Rising time.Time }

// Which tells moments of one place from those of another.
func (m Moments) Which() string {
	switch {
	case m.Rising.IsZero():
		return ""
	case m.Falling.IsZero():
		return "r"
	}
	return "fr"
}

// None reports whether there are no moments.
func (m Moments) None() bool { return m.Falling.IsZero() && m.Rising.IsZero() }

// Before reports whether one of the moments is before what an answer holds from.
func (m Moments) Before(s Spans) bool {
	return m.Falling.Before(s.Falling.From) || m.Rising.Before(s.Rising.From)
}

// Spans are what moments an answer holds for.
type Spans struct{ Falling, Rising Span }

// Cover reports whether an answer holds for moments, which are given by queries of its key.
func (s Spans) Cover(m Moments) bool { return s.Falling.Covers(m.Falling) && s.Rising.Covers(m.Rising) }

// Span is the moments of one place that an answer holds for: From, and those of the same offset
// after it that are more than a second before Until.
type Span struct {
	From, Until time.Time // Until is zero where there is no end
}

// spanMargin keeps a moment that is given from being taken for one before a moment that was rounded
// when it was stored.
const spanMargin = time.Second

// Covers reports whether an answer holds for a moment.
func (s Span) Covers(at time.Time) bool {
	if !sameOffset(s.From, at) {
		return false
	}
	return at.Equal(s.From) || at.After(s.From) && (s.Until.IsZero() || at.Before(s.Until.Add(-spanMargin)))
}

func sameOffset(a, b time.Time) bool {
	_, one := a.Zone()
	_, other := b.Zone()
	return one == other
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	timePointer  = reflect.TypeFor[*time.Time]()
	nullTimeType = reflect.TypeFor[sql.NullTime]()
)

// momentOf finds out whether the queries of a statement's shape give a moment; nil if not.
func (t *Template) momentOf(stmt *gorm.Statement, o shape.Options) *moment {
	q, s := t.query, stmt.Schema
	order := orders[stmt.Dialector.Name()]
	if q == nil || o.Rows || order == nil || q.Computed || q.Distinct || q.Grouped || q.Offset ||
		len(q.Aliases) > 0 || len(stmt.ColumnMapping) > 0 || catalog.TableName(q.Table.Name) != catalog.TableName(s.Table) {
		return nil
	}
	element := stmt.ReflectValue.Type()
	for element.Kind() == reflect.Slice || element.Kind() == reflect.Pointer {
		element = element.Elem()
	}
	if element != s.ModelType {
		return nil
	}
	found, several := &moment{order: order}, 0
	for _, falling := range q.Falling {
		field := timeOf(stmt, order, falling.Column, falling.Param)
		if field == nil {
			continue
		}
		if several++; several > 1 {
			return nil // a row may leave by either
		}
		switch {
		case !order.shows && asksOf(stmt, q, falling.Column):
			sign := map[bool]string{true: ">=", false: ">"}[falling.Equal]
			condition, vars := conditionOf(stmt, t.SQL)
			found.falling = place{falling.Param, field, order.asksFor(stmt, field.DBName, sign, condition, vars)}
		case order.shows && (q.Star || slices.ContainsFunc(q.Selected, func(n sqltext.Name) bool { return n.Text == field.DBName })):
			found.falling = place{falling.Param, field, nil}
		}
	}
	several = 0
	for _, rising := range q.Rising {
		field := timeOf(stmt, order, rising.Column, rising.Param)
		if field == nil {
			continue
		}
		if several++; several > 1 || !asksOf(stmt, q, rising.Column) {
			found.rising = place{} // a row may come in by either, or the column or the table is another one
			break
		}
		sign := map[bool]string{true: ">", false: ">="}[rising.Equal]
		found.rising = place{rising.Param, field, order.asksFor(stmt, field.DBName, sign, "", 0)}
	}
	if found.falling.param == 0 && found.rising.param == 0 {
		return nil
	}
	return found
}

// asksOf reports whether the database can be asked for a column of a query of this shape by the
// names that the model has for the column and its table.
func asksOf(stmt *gorm.Statement, q *sqltext.Shape, column sqltext.Name) bool {
	return (column.Quoted || column.Text == strings.ToLower(column.Text)) &&
		stmt.TableExpr == nil && stmt.Table == stmt.Schema.Table && q.Table.Name == stmt.Table
}

// timeOf returns the field of a column that holds a time in the database and in the model, where
// the bind value of this ordinal is one, too; nil otherwise.
func timeOf(stmt *gorm.Statement, o *order, column sqltext.Name, param int) *schema.Field {
	field := stmt.Schema.FieldsByDBName[column.Text]
	if field == nil || !field.Readable || field.Serializer != nil || param > len(stmt.Vars) {
		return nil
	}
	switch field.FieldType {
	case timeType, timePointer, nullTimeType:
	default:
		return nil
	}
	own := *field // to which a dialector may write
	of := strings.ToLower(stmt.DB.Dialector.DataTypeOf(&own))
	if _, given := stmt.Vars[param-1].(time.Time); !given || !slices.ContainsFunc(o.types, func(t string) bool { return strings.HasPrefix(of, t) }) {
		return nil
	}
	return field
}

// maxLooked is how many more queries are looked at for where the moments are among the args, where
// the first one had one value for several.
const maxLooked = 16

// Unlocated reports whether to look at a query with these args, of a template that gives moments,
// for where they are: that is not known, and no two of the args are one moment.
func (t *Template) Unlocated(text string) bool {
	at := t.moment.located.Load()
	if at == nil || at.known() == t.moment.places() || t.moment.looked.Load() >= maxLooked {
		return false
	}
	values, ok := args.Split(text, nil)
	if !ok {
		return false
	}
	slices.Sort(values)
	for i := 1; i < len(values); i++ {
		if values[i] == values[i-1] && values[i][0] == 't' {
			return false
		}
	}
	return t.moment.looked.Add(1) <= maxLooked
}

// places returns how many places there are.
func (m *moment) places() (n int) {
	for _, p := range []place{m.falling, m.rising} {
		if p.param > 0 {
			n++
		}
	}
	return n
}

// known returns of how many places it is known where they are.
func (l *located) known() (n int) {
	for _, at := range []int{l.falling, l.rising} {
		if at >= 0 && !l.equal {
			n++
		}
	}
	return n
}

// LocateMoments finds the moments among the args of a key, by a query that has these.
func (t *Template) LocateMoments(text string, vars []any) {
	m := t.moment
	if m == nil || max(m.falling.param, m.rising.param) > len(vars) {
		return
	}
	values, whole := args.Split(text, nil)
	if !whole {
		return
	}
	// where returns all args that are the value of a place.
	where := func(p *place) (all []int) {
		if p.param > 0 {
			own, ok := args.Encode(vars[p.param-1])
			for i, value := range values {
				if ok && value == own {
					all = append(all, i)
				}
			}
		}
		return all
	}
	falling, rising := where(&m.falling), where(&m.rising)
	at := located{-1, -1, len(falling) == 2 && slices.Equal(falling, rising)}
	switch {
	case at.equal:
		at.falling, at.rising = falling[0], falling[1]
	default:
		if len(falling) == 1 {
			at.falling = falling[0]
		}
		if len(rising) == 1 {
			at.rising = rising[0]
		}
	}
	if at.falling == at.rising {
		at.falling, at.rising = -1, -1 // one value for both: neither can be left out by itself
	}
	if before := m.located.Load(); before == nil || at.known() > before.known() {
		m.located.CompareAndSwap(before, &at)
	}
}

// late is how long ago the present is at most that a query gives as a moment for which the database
// is asked. An earlier one is a place to go on reading from, as a rule, or was rounded: many ask
// for it again, and each has an answer of its own.
const late = time.Minute

// GivesMoments reports whether queries of the template give moments.
func (t *Template) GivesMoments() bool { return t.moment != nil }

// CutMoments takes the moments out of the args of a query that is asked at now; those for which the
// database is asked only where general says that the rows which the query can see are those that
// anybody can. It reports false where there are none.
func (t *Template) CutMoments(text string, now time.Time, general bool) (rest []byte, m Moments, ok bool) {
	if t.moment == nil {
		return nil, m, false
	}
	at, values := t.moment.located.Load(), []string(nil)
	if at == nil {
		return nil, m, false
	}
	if values, ok = args.Split(text, nil); !ok || max(at.falling, at.rising) >= len(values) || at.equal && values[at.falling] != values[at.rising] {
		return nil, m, false
	}
	given := func(n int) (at time.Time) {
		if n >= 0 && values[n][0] == 't' {
			value, _ := args.Decode(values[n])
			at, _ = value.(time.Time)
		}
		return at
	}
	m = Moments{given(at.falling), given(at.rising)}
	pays := general && t.trial.pays(t.Tally.Hits.Load())
	if t.moment.rising.asks != nil && (!pays || m.Rising.Before(now.Add(-late))) {
		m.Rising = time.Time{}
	}
	if t.moment.falling.asks != nil && (!pays || m.Falling.Before(now.Add(-late))) {
		m.Falling = time.Time{}
	}
	for i, v := range values {
		if i == at.falling && !m.Falling.IsZero() || i == at.rising && !m.Rising.IsZero() {
			continue
		}
		rest = append(rest, v...)
	}
	return rest, m, !m.None()
}

// spansFrom returns the spans of an answer to the query of a load that gave moments.
func (f *Load) spansFrom(ctx context.Context, answer reflect.Value, rows int64) Spans {
	t, given := f.template, f.Moments
	s := Spans{Span{given.Falling, given.Falling}, Span{given.Rising, given.Rising}}
	if f.saids != nil {
		s = Spans{t.moment.falling.span(given.Falling, f.saids.Falling), t.moment.rising.span(given.Rising, f.saids.Rising)}
	}
	if !given.Falling.IsZero() && t.moment.falling.asks == nil {
		s.Falling = t.spanFrom(ctx, given.Falling, answer, rows)
	}
	return s
}

// span returns the moments from one on that are as good as that one for a place, by what the
// database said of it: that one alone where it was not asked or did not say.
func (p *place) span(at time.Time, s said) Span {
	if p.asks != nil && !at.IsZero() {
		if until, known := p.asks.order.until(at, s); known {
			return Span{at, until}
		}
	}
	return Span{at, at}
}

// spanFrom returns the moments with which an answer loses no row that it had with one.
func (t *Template) spanFrom(ctx context.Context, from time.Time, answer reflect.Value, rows int64) Span {
	s := Span{From: from}
	shown := func(row reflect.Value) {
		value, _ := t.moment.falling.field.ValueOf(ctx, reflect.Indirect(row))
		var at time.Time
		switch v := value.(type) {
		case time.Time:
			at = v
		case *time.Time:
			if v != nil {
				at = *v
			}
		case sql.NullTime:
			at = v.Time
		}
		switch {
		case at.IsZero(): // NULL, which is no moment
		case !sameOffset(from, at):
			s.Until = from
		case s.Until.IsZero() || at.Before(s.Until):
			s.Until = at
		}
	}
	if rows > 0 && answer.Kind() != reflect.Slice {
		shown(answer)
	}
	for i := 0; rows > 0 && answer.Kind() == reflect.Slice && i < answer.Len(); i++ {
		shown(answer.Index(i))
	}
	return s
}

// SpansOf returns the spans of an answer that was loaded for moments: they are in front of the
// value.
func (t *Template) SpansOf(value unsafe.Pointer) Spans {
	size, align := unsafe.Sizeof(Spans{}), uintptr(t.Plan.Type().Align())
	return *(*Spans)(unsafe.Add(value, -int((size+align-1)/align*align)))
}
