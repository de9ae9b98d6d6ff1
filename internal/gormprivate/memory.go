package gormprivate

import (
	"unsafe"

	"gorm.io/gorm/clause"
)

// MemoryOf returns where the texts of a list are. Two lists with the same are equal, which is the
// quick way to see it.
func MemoryOf(texts []string) string {
	return unsafe.String((*byte)(unsafe.Pointer(unsafe.SliceData(texts))), len(texts)*int(unsafe.Sizeof("")))
}

// CodeOf returns what reflect.ValueOf(build).Pointer() does: a func is a pointer to what begins
// with the address of its code.
func CodeOf(build clause.ClauseBuilder) uintptr {
	if build == nil {
		return 0
	}
	return **(**uintptr)(unsafe.Pointer(&build))
}
