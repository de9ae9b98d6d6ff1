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
// a clock.
//
// PostgreSQL compares the wall clock where a column has no zone. So all moments, given and shown,
// must have one offset: then both orders are the same.

// moment is how a moment stands in the queries of a template.
type moment struct {
	param int           // the ordinal of its bind value, from 1
	field *schema.Field // what it is compared with, in the destination
	at    atomic.Int32  // the ordinal of its arg in keys, from 1; 0 while that is not known
}

// Span is what moments an answer holds for: From, and those of the same offset after it that are
// more than a second before Until.
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
	if q == nil || o.Rows || stmt.Dialector.Name() != "postgres" || q.Computed || q.Distinct || q.Grouped || q.Offset ||
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
	var found *moment
	for _, falling := range q.Falling {
		field := s.FieldsByDBName[falling.Column.Text]
		if field == nil || !field.Readable || field.Serializer != nil || falling.Param > len(stmt.Vars) {
			continue
		}
		switch field.FieldType {
		case timeType, timePointer, nullTimeType:
		default:
			continue
		}
		if _, given := stmt.Vars[falling.Param-1].(time.Time); !given || !strings.HasPrefix(strings.ToLower(stmt.DB.Dialector.DataTypeOf(field)), "timestamp") {
			continue
		}
		if found != nil {
			return nil // a row may leave by either
		}
		if q.Star || slices.ContainsFunc(q.Selected, func(n sqltext.Name) bool { return n.Text == field.DBName }) {
			found = &moment{param: falling.Param, field: field}
		}
	}
	return found
}

// LocateMoment finds the moment among the args of a key, by a query that has this one.
func (t *Template) LocateMoment(text string, vars []any) {
	m := t.moment
	if m == nil || m.at.Load() != 0 || m.param > len(vars) {
		return
	}
	own, ok := args.Encode(vars[m.param-1])
	values, whole := args.Split(text, nil)
	if !ok || !whole {
		return
	}
	if i := slices.Index(values, own); i >= 0 && !slices.Contains(values[i+1:], own) {
		m.at.Store(int32(i) + 1)
	}
}

// GivesMoment reports whether queries of the template give a moment.
func (t *Template) GivesMoment() bool { return t.moment != nil }

// CutMoment takes the moment out of the args of a query. It reports false where there is none.
func (t *Template) CutMoment(text string) (rest []byte, at time.Time, ok bool) {
	if t.moment == nil {
		return nil, at, false
	}
	n := int(t.moment.at.Load()) - 1
	values, whole := args.Split(text, nil)
	if n < 0 || !whole || n >= len(values) || values[n][0] != 't' {
		return nil, at, false
	}
	value, _ := args.Decode(values[n])
	if at, ok = value.(time.Time); !ok {
		return nil, at, false
	}
	for i, v := range values {
		if i != n {
			rest = append(rest, v...)
		}
	}
	return rest, at, true
}

// spanFrom returns the span of an answer to a query that gave a moment.
func (t *Template) spanFrom(ctx context.Context, from time.Time, answer reflect.Value, rows int64) Span {
	s := Span{From: from}
	shown := func(row reflect.Value) {
		value, _ := t.moment.field.ValueOf(ctx, reflect.Indirect(row))
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

// SpanOf returns the span of an answer that was loaded for a moment: it is in front of the value.
func (t *Template) SpanOf(value unsafe.Pointer) Span {
	size, align := unsafe.Sizeof(Span{}), uintptr(t.Plan.Type().Align())
	return *(*Span)(unsafe.Add(value, -int((size+align-1)/align*align)))
}
