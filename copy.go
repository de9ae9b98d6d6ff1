package preload

import (
	"fmt"
	"maps"
	"reflect"
	"unsafe"

	"gorm.io/gorm"
)

const (
	// entryOverhead is about what an entry holds besides its value and its key.
	entryOverhead = int64(unsafe.Sizeof(entry{})) + 208
	// valueOverhead is about what a value costs by which changes find an entry.
	valueOverhead = 45
)

// image returns a private copy of what a query found, to be stored.
func (t *template) image(found reflect.Value) (reflect.Value, error) {
	if !found.CanAddr() {
		addressable := reflect.New(found.Type()).Elem()
		addressable.Set(found)
		found = addressable
	}
	image := reflect.New(found.Type())
	err := t.plan.Copy(image.UnsafePointer(), found.Addr().UnsafePointer())
	return image.Elem(), err
}

func (t *template) weigh(image reflect.Value) int64 {
	return t.plan.Size(image.Addr().UnsafePointer())
}

// serve gives a reader its own copy of an answer, in the way in which gorm.Scan would have filled its destination.
func (p *Plugin) serve(db *gorm.DB, t *template, e *entry) bool {
	stmt := db.Statement
	e.fetch()
	if err := t.fill(stmt, e); err != nil {
		p.fault("copying the answer of "+e.key, err)
		return false
	}
	db.RowsAffected = e.rows
	if e.rows == 0 && stmt.RaiseErrorOnNotFound {
		_ = db.AddError(gorm.ErrRecordNotFound)
	}
	if stmt.Result != nil {
		stmt.Result.RowsAffected = e.rows
	}
	return true
}

func (t *template) fill(stmt *gorm.Statement, e *entry) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	from := e.value
	switch dest := stmt.Dest.(type) {
	case map[string]any:
		var rows map[string]any
		err := t.plan.Copy(unsafe.Pointer(&rows), from)
		maps.Copy(dest, rows)
		return err
	case *map[string]any:
		if e.rows == 0 {
			return nil
		}
		var rows map[string]any
		err := t.plan.Copy(unsafe.Pointer(&rows), from)
		if *dest == nil {
			*dest = rows
		} else {
			maps.Copy(*dest, rows)
		}
		return err
	case *[]map[string]any:
		var rows []map[string]any
		err := t.plan.Copy(unsafe.Pointer(&rows), from)
		*dest = append(*dest, rows...)
		return err
	}
	dest := stmt.ReflectValue
	switch {
	case dest.Kind() == reflect.Slice && e.rows == 0:
		if dest.Cap() == 0 {
			dest.Set(reflect.MakeSlice(dest.Type(), 0, 0))
		} else {
			dest.SetLen(0)
		}
		return nil
	case dest.Kind() == reflect.Slice:
		return t.plan.CopyInto(unsafe.Pointer(dest.UnsafeAddr()), from)
	case e.rows == 0 && dest.Kind() != reflect.Array:
		return nil
	}
	return t.plan.Copy(unsafe.Pointer(dest.UnsafeAddr()), from)
}
