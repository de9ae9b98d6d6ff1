package args

import (
	"bytes"
	"database/sql/driver"
	"reflect"
	"strings"
	"time"
	"unsafe"
)

var (
	valuerType = reflect.TypeFor[driver.Valuer]()
	timeType   = reflect.TypeFor[time.Time]()
)

// DriverValue asks a Valuer for its value the way database/sql does: a nil pointer whose method is
// that of its element is nil.
func DriverValue(v driver.Valuer) (driver.Value, error) {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && rv.IsNil() && rv.Type().Elem().Implements(valuerType) {
		return nil, nil
	}
	return v.Value()
}

// Steady reports whether the Valuers among the bind values of a query still say what they said for
// its key. The driver asks them, too, and what they say may change at any time: an answer is that
// of the key if they said the same before the driver asked them and after that, each time twice in
// a row.
func Steady(vars []any, said uint64, pgx bool) bool {
	if said == 0 {
		return true
	}
	t := NewText()
	defer t.Free()
	t.PGX = pgx
	for range 2 {
		t.Reset()
		for _, v := range vars {
			if !t.Add(v) {
				return false
			}
		}
		if t.Said != said {
			return false
		}
	}
	return true
}

// Said stands for what the Valuers among bind values say. Those are left out that say another thing
// each time: nothing is read off them.
func Said(vars []any) (all uint64) {
	for _, v := range vars {
		if _, ok := v.(driver.Valuer); !ok && reflect.ValueOf(v).Kind() != reflect.Pointer {
			continue // a pointer may lead to a Valuer
		}
		first, again := NewText(), NewText()
		if first.Add(v) && again.Add(v) && first.Said == again.Said {
			all += first.Said
		}
		first.Free()
		again.Free()
	}
	return all
}

// Kept returns a bind value as it can be kept beyond its request: it shares no memory with the
// request, and a Valuer is asked for its driver value now. It reports false for values of which
// that cannot be done.
func Kept(v any) (any, bool) {
	if valuer, ok := v.(driver.Valuer); ok {
		if ofPgtype(behind(reflect.TypeOf(v))) {
			return nil, false // pgx does not send its driver value
		}
		inner, err := DriverValue(valuer)
		if err != nil {
			return nil, false
		}
		v = inner
	}
	switch v := v.(type) {
	case string:
		return strings.Clone(v), true
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64,
		float32, float64, time.Time:
		return v, true
	case []byte:
		return bytes.Clone(v), true
	}
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Pointer:
		if rv.IsNil() {
			return nil, true
		}
		return Kept(rv.Elem().Interface())
	case reflect.String:
		own := reflect.New(rv.Type()).Elem()
		own.SetString(strings.Clone(rv.String()))
		return own.Interface(), true
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		return v, true
	}
	return nil, false
}

// TypeID identifies a type within this process: two types may have the same name. It is where the
// runtime describes the type, which it does once and for good.
func TypeID(t reflect.Type) uint64 {
	// It is what reflect.ValueOf(t).Pointer() returns: a reflect.Type is an interface that holds a
	// pointer to the description.
	return uint64((*[2]uintptr)(unsafe.Pointer(&t))[1])
}
