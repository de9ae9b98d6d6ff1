package template

import (
	"maps"
	"reflect"
	"unsafe"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/replay"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// addressable returns what a query found where it can be copied from.
func addressable(found reflect.Value) reflect.Value {
	if found.CanAddr() {
		return found
	}
	place := reflect.New(found.Type()).Elem()
	place.Set(found)
	return place
}

// image returns a private copy of what a query found, to be stored. What else is kept of the query,
// if anything, is in front of it: what was recorded, or the spans of moments that it holds for.
func (t *Template) image(found reflect.Value, inFront any) (reflect.Value, error) {
	image := reflect.New(found.Type())
	if inFront != nil {
		both := reflect.New(t.behind(reflect.TypeOf(inFront))).Elem()
		both.Field(0).Set(reflect.ValueOf(inFront))
		image = both.Field(1).Addr()
	}
	err := t.Plan.Copy(image.UnsafePointer(), addressable(found).Addr().UnsafePointer())
	return image.Elem(), err
}

// behind returns the type of the memory that a value has together with what is in front of it, so
// that the value is found in the same way as others are.
func (t *Template) behind(inFront reflect.Type) reflect.Type {
	return reflect.StructOf([]reflect.StructField{
		{Name: "InFront", Type: inFront},
		{Name: "Value", Type: t.Plan.Type()},
	})
}

// recordingOf returns what was recorded of the query of an entry, nil if nothing was.
func (t *Template) recordingOf(e *cache.Entry) *replay.Recording {
	if !e.Recorded {
		return nil
	}
	return *(**replay.Recording)(unsafe.Add(e.Value, -int(t.behind(reflect.TypeFor[*replay.Recording]()).Field(1).Offset)))
}

// Weigh returns what a copy of what a query found would weigh: the room that GORM left behind the
// rows is none of it.
func (t *Template) Weigh(found reflect.Value) int64 {
	if found.Kind() == reflect.Slice && found.Cap() > found.Len() {
		found = addressable(found.Slice3(0, found.Len(), found.Len()))
	}
	return t.Plan.Size(found.Addr().UnsafePointer())
}

// Serve gives a reader its own copy of an answer, in the way in which gorm.Scan would have filled
// its destination. filled says that the destination holds values.
func (t *Template) Serve(db *gorm.DB, e *cache.Entry, filled bool) error {
	stmt := db.Statement
	e.Fetch()
	if t.Text {
		return t.play(db, e)
	}
	if err := t.fill(db, e, filled); err != nil {
		return err
	}
	db.RowsAffected = e.Rows
	if e.Rows == 0 && stmt.RaiseErrorOnNotFound {
		_ = db.AddError(gorm.ErrRecordNotFound)
	}
	if stmt.Result != nil {
		stmt.Result.RowsAffected = e.Rows
	}
	return nil
}

func (t *Template) fill(db *gorm.DB, e *cache.Entry, filled bool) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = failopen.OwnText("panic: " + failopen.PlainFault(fault) + " at " + failopen.Panicked())
		}
	}()
	stmt, from := db.Statement, e.Value
	switch dest := stmt.Dest.(type) {
	case map[string]any:
		var rows map[string]any
		err := t.Plan.Copy(unsafe.Pointer(&rows), from)
		maps.Copy(dest, rows)
		return err
	case *map[string]any:
		if e.Rows == 0 {
			return nil
		}
		var rows map[string]any
		err := t.Plan.Copy(unsafe.Pointer(&rows), from)
		if *dest == nil {
			*dest = rows
		} else {
			maps.Copy(*dest, rows)
		}
		return err
	case *[]map[string]any:
		var rows []map[string]any
		err := t.Plan.Copy(unsafe.Pointer(&rows), from)
		*dest = append(*dest, rows...)
		return err
	}
	dest := stmt.ReflectValue
	switch {
	case dest.Kind() == reflect.Slice && e.Rows == 0:
		if dest.Cap() == 0 {
			dest.Set(reflect.MakeSlice(dest.Type(), 0, 0))
		} else {
			dest.SetLen(0)
		}
		return nil
	case dest.Kind() == reflect.Slice:
		return t.Plan.CopyInto(unsafe.Pointer(dest.UnsafeAddr()), from)
	case e.Rows == 0 && dest.Kind() != reflect.Array:
		return nil
	case filled:
		return t.fillOver(db, e)
	}
	return t.Plan.Copy(unsafe.Pointer(dest.UnsafeAddr()), from)
}

// Read returns what an entry holds, not to be changed.
func (t *Template) Read(e *cache.Entry) reflect.Value {
	return reflect.NewAt(t.Plan.Type(), e.Value).Elem()
}

// Columns returns the fields of the rows of the template's answers that others may be found by.
func (t *Template) Columns() []*schema.Field {
	if known := t.fields.Load(); known != nil {
		return *known
	}
	var fields []*schema.Field
	if s := t.Proto.Schema; s != nil && !t.rows && t.destElement() == s.ModelType {
		for _, f := range s.Fields {
			if f.DBName != "" && f.Readable && f.Serializer == nil && len(fields) < 256 {
				fields = append(fields, f)
			}
		}
	}
	t.fields.Store(&fields)
	return fields
}
