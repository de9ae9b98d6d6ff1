package gormprivate

import (
	"reflect"

	"gorm.io/gorm"
)

// Root returns the handle that gorm.Open made, whose callbacks all handles that come from it share;
// nil where it cannot be seen.
func Root(processor Processor) *gorm.DB {
	v := reflect.Indirect(reflect.ValueOf(processor))
	if v.Kind() != reflect.Struct {
		return nil
	}
	root := v.FieldByName("db")
	if !root.IsValid() || root.Type() != reflect.TypeFor[*gorm.DB]() {
		return nil
	}
	return (*gorm.DB)(root.UnsafePointer())
}
