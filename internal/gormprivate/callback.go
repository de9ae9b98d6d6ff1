package gormprivate

import (
	"reflect"
	"runtime"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

// OwnCallback reports whether a callback is GORM's own: it then runs a statement that it built, as
// it is, on the statement's connection, and nothing else.
func OwnCallback(callback func(*gorm.DB)) bool {
	config := &callbacks.Config{}
	at := placeOf(callback)
	for _, own := range []func(*gorm.DB){callbacks.Create(config), callbacks.Update(config), callbacks.Delete(config), callbacks.RowQuery} {
		if at == placeOf(own) {
			return true
		}
	}
	return false
}

type place struct {
	file string
	line int
}

// placeOf tells functions apart by where they are written: of one that was inlined there may be
// several copies.
func placeOf(f func(*gorm.DB)) (p place) {
	pc := reflect.ValueOf(f).Pointer()
	if code := runtime.FuncForPC(pc); code != nil {
		p.file, p.line = code.FileLine(pc)
	}
	return p
}
