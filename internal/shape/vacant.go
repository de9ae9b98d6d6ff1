package shape

import (
	"database/sql"
	"reflect"
	"time"
	"unsafe"

	"gorm.io/gorm"
)

// Vacancy reports whether a destination is of a kind that an answer can be copied into, and whether
// it holds values, of which those stay that the query does not select.
func Vacancy(stmt *gorm.Statement) (fits, filled bool) {
	rv := stmt.ReflectValue
	switch dest := stmt.Dest.(type) {
	case map[string]any:
		return dest != nil, len(dest) > 0
	case *map[string]any:
		return dest != nil, dest != nil && len(*dest) > 0
	case *[]map[string]any:
		// GORM appends to it.
		return dest != nil, dest != nil && len(*dest) > 0
	}
	if !rv.CanSet() {
		return false, false
	}
	switch stmt.Dest.(type) {
	case *time.Time, *sql.NullInt32, *sql.NullInt64, *sql.NullFloat64, *sql.NullBool, *sql.NullString, *sql.NullTime:
		return true, false // GORM reads into these as a whole
	}
	switch rv.Kind() {
	case reflect.Slice, reflect.Array, reflect.String, reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64:
		return true, false
	case reflect.Struct:
		return true, !blank(rv) && !rv.IsZero()
	}
	return false, false
}

// blank reports whether all memory of a value is zero, which is quicker to tell than whether it is
// the zero value.
func blank(rv reflect.Value) bool {
	memory := unsafe.Slice((*byte)(unsafe.Pointer(rv.UnsafeAddr())), rv.Type().Size())
	for len(memory) > len(zeros) {
		if string(memory[:len(zeros)]) != zeros {
			return false
		}
		memory = memory[len(zeros):]
	}
	return string(memory) == zeros[:len(memory)]
}

var zeros = string(make([]byte, 256))
