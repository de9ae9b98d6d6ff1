package replay

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
)

// reading reads rows in all the ways in which an application can, and tells what it saw, type for
// type and byte for byte.
func reading(rows *sql.Rows) string {
	var saw strings.Builder
	for n := 0; ; n++ {
		note(&saw, "set", n)
		note(&saw, heads(rows))
		for rows.Next() {
			columns, _ := rows.Columns()
			for _, form := range destinations {
				for i := range columns {
					into, err := scan(rows, len(columns), i, form)
					note(&saw, columns[i], show(into), err)
				}
			}
			note(&saw, heads(rows))
			note(&saw, rows.Scan(make([]any, len(columns)+1)...))
			raw := make([]sql.RawBytes, len(columns))
			into := make([]any, len(columns))
			for i := range raw {
				into[i] = &raw[i]
			}
			err := rows.Scan(into...)
			note(&saw, show(&raw), err, rows.Scan(into...))
		}
		note(&saw, "end", rows.Err())
		if !rows.NextResultSet() {
			break
		}
	}
	note(&saw, rows.Err(), rows.Scan(new(any)), rows.Next(), rows.NextResultSet(), heads(rows), rows.Close(), rows.Err())
	return saw.String()
}

// heads tells what the columns of rows are.
func heads(rows *sql.Rows) string {
	var saw strings.Builder
	columns, err := rows.Columns()
	note(&saw, columns, columns == nil, err)
	types, err := rows.ColumnTypes()
	note(&saw, len(types), err)
	for _, c := range types {
		length, hasLength := c.Length()
		nullable, hasNullable := c.Nullable()
		precision, scale, hasPrecision := c.DecimalSize()
		note(&saw, c.Name(), c.DatabaseTypeName(), c.ScanType(), length, hasLength, nullable, hasNullable, precision, scale, hasPrecision)
	}
	return saw.String()
}

// firstOf reads one row, as an application does that asks for one.
func firstOf(row *sql.Row, columns int) string {
	values, into := make([]any, columns), make([]any, columns)
	for i := range into {
		into[i] = &values[i]
	}
	err := row.Scan(into...)
	return fmt.Sprint(show(&values), err, row.Err())
}

// scan scans column i of n into a new destination, and nothing else.
func scan(rows *sql.Rows, n, i int, form func() any) (any, error) {
	into := make([]any, n)
	for j := range into {
		into[j] = &nothing{}
	}
	into[i] = form()
	return into[i], rows.Scan(into...)
}

type (
	nothing struct{}
	// naked is what a driver gave.
	naked struct{ value any }
	text  string
	small int8
	blob  []byte
)

func (*nothing) Scan(any) error     { return nil }
func (n *naked) Scan(src any) error { n.value = src; return nil }

var destinations = []func() any{
	func() any { return new(naked) }, func() any { return new(any) },
	func() any { return new(string) }, func() any { return new([]byte) }, func() any { return new(*string) },
	func() any { return new(text) }, func() any { return new(blob) }, func() any { return new(json.RawMessage) },
	func() any { return new(int) }, func() any { return new(int64) }, func() any { return new(uint64) },
	func() any { return new(small) }, func() any { return new(*uint8) },
	func() any { return new(float64) }, func() any { return new(float32) }, func() any { return new(bool) },
	func() any { return new(time.Time) }, func() any { return new(*time.Time) },
	func() any { return new(sql.NullString) }, func() any { return new(sql.NullInt64) }, func() any { return new(sql.NullFloat64) },
	func() any { return new(sql.NullBool) }, func() any { return new(sql.NullTime) }, func() any { return new(sql.Null[uint64]) },
	func() any { return new(struct{}) },
}

func note(saw *strings.Builder, what ...any) {
	for _, w := range what {
		fmt.Fprint(saw, w, " | ")
	}
	saw.WriteByte('\n')
}

// show tells a value, and what it points to, in full.
func show(v any) string {
	switch v := v.(type) {
	case *naked:
		return "naked " + show(v.value)
	case *any:
		return "any " + show(*v)
	case *[]any:
		var all []string
		for _, v := range *v {
			all = append(all, show(v))
		}
		return strings.Join(all, ", ")
	case *[]sql.RawBytes:
		var all []string
		for _, v := range *v {
			all = append(all, fmt.Sprintf("%q %t", []byte(v), v == nil))
		}
		return strings.Join(all, ", ")
	case []byte:
		return fmt.Sprintf("%T %q %t", v, v, v == nil)
	case *[]byte:
		return fmt.Sprintf("%T %q %t", v, *v, *v == nil)
	case float64:
		return fmt.Sprintf("%T %v %x", v, v, math.Float64bits(v))
	case float32:
		return fmt.Sprintf("%T %v %x", v, v, math.Float32bits(v))
	case time.Time:
		return fmt.Sprintf("%T %#v %v", v, v, v)
	case *time.Time:
		return show(*v)
	case *sql.NullTime:
		return show(v.Time) + fmt.Sprint(v.Valid)
	case **time.Time:
		if *v != nil {
			return "* " + show(**v)
		}
	case **string:
		if *v != nil {
			return "* " + show(**v)
		}
	case **uint8:
		if *v != nil {
			return "* " + show(**v)
		}
	case *string:
		return show(*v)
	case string, int, int64, uint64, int32, uint8, bool, nil:
		return fmt.Sprintf("%T %#v", v, v)
	case *sql.NullString, *sql.NullInt64, *sql.NullFloat64, *sql.NullBool, *sql.Null[uint64], *text, *blob, *json.RawMessage,
		*int, *int64, *uint64, *small, *float64, *float32, *bool:
		return fmt.Sprintf("%T %#v", v, deref(v))
	}
	return fmt.Sprintf("%T", v)
}

func deref(v any) any {
	switch v := v.(type) {
	case *float64:
		return math.Float64bits(*v)
	case *float32:
		return math.Float32bits(*v)
	case *sql.NullFloat64:
		return fmt.Sprint(math.Float64bits(v.Float64), v.Valid)
	}
	return reflect.ValueOf(v).Elem().Interface()
}

// differ tells the first line in which two readings differ.
func differ(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got %s\nwant %s", i, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
