package shape

import (
	"reflect"
	"unsafe"

	"gorm.io/gorm"
)

// Vacancy reports whether a destination is of a kind that can be copied into and holds nothing, or
// nothing but a primary key that GORM turns into a condition; holds says that it is the latter.
func Vacancy(stmt *gorm.Statement) (vacant, holds bool) {
	rv := stmt.ReflectValue
	switch dest := stmt.Dest.(type) {
	case map[string]any:
		return dest != nil && len(dest) == 0, false
	case *map[string]any:
		return dest != nil && len(*dest) == 0, false
	case *[]map[string]any:
		// GORM appends to it.
		return dest != nil && len(*dest) == 0, false
	}
	if !rv.CanSet() {
		return false, false
	}
	switch rv.Kind() {
	case reflect.Slice, reflect.Array, reflect.String, reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64:
		return true, false
	case reflect.Struct:
		if blank(rv) {
			return true, false
		}
		holds := !rv.IsZero()
		return !holds || rv.Type() == stmt.Schema.ModelType && onlyPrimaryKey(stmt, rv), holds
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

// plainKey reports whether values of a key's type can be told apart by what they hold.
func plainKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Array:
		return t.Elem().Kind() == reflect.Uint8
	}
	return false
}

func onlyPrimaryKey(stmt *gorm.Statement, rv reflect.Value) bool {
	rest := reflect.New(rv.Type()).Elem()
	rest.Set(rv)
	for _, field := range stmt.Schema.PrimaryFields {
		for _, i := range field.StructField.Index {
			if i < 0 {
				// Behind a pointer, which rest shares with the destination.
				return false
			}
		}
		key, err := rest.FieldByIndexErr(field.StructField.Index)
		if err != nil || !plainKey(key.Type()) {
			return false
		}
		key.SetZero()
	}
	return rest.IsZero()
}
