package oracle

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"reflect"
	"time"
)

// digest is what stands for a key or an answer; equal ones have equal digests.
type digest [sha256.Size]byte

// digester makes a digest of values by what they hold: pointers by what they point to, unexported
// fields not at all.
type digester struct{ hash.Hash }

func newDigester() digester { return digester{sha256.New()} }

func (d digester) sum() (sum digest) {
	d.Sum(sum[:0])
	return sum
}

func (d digester) number(n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	_, _ = d.Write(b[:])
}

func (d digester) text(s string) {
	d.number(uint64(len(s)))
	_, _ = d.Write([]byte(s))
}

func (d digester) add(value any) {
	if value == nil {
		d.text("nil")
		return
	}
	d.text(fmt.Sprintf("%T", value))
	d.value(reflect.ValueOf(value))
}

func (d digester) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			d.number(1)
		} else {
			d.number(0)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		d.number(v.Uint())
	case reflect.Float32, reflect.Float64:
		d.number(math.Float64bits(v.Float()))
	case reflect.String:
		d.text(v.String())
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			d.text("nil")
			return
		}
		d.value(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.IsNil() {
			d.text("nil")
			return
		}
		d.number(uint64(v.Len()))
		for i := range v.Len() {
			d.value(v.Index(i))
		}
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			d.text(t.Format(time.RFC3339Nano))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				d.value(v.Field(i))
			}
		}
	default:
		panic(fmt.Sprintf("oracle: values of %v are not known how to be compared", v.Type()))
	}
}

// rows adds all rows, and closes them.
func (d digester) rows(rows *sql.Rows) error {
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for _, v := range values {
			d.add(v)
		}
	}
	return rows.Err()
}
