package verify

import (
	"context"
	"math"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// Compare compares the entry of a query with the answer of the database to the same query. columns
// are those in which rows differ, where that can be told; "rows" stands for their number.
func Compare(t *template.Template, e *cache.Entry, answer *gorm.DB) (v seen.Verdict, columns []string) {
	kept, got := t.Read(e), answer.Statement.ReflectValue
	if !got.IsValid() || kept.Type() != got.Type() {
		return seen.Skipped, nil
	}
	if e.Rows == 0 && answer.RowsAffected == 0 {
		return seen.Equal, nil
	}
	var s *schema.Schema
	if of := t.Proto.Schema; of != nil && row(kept.Type()) == of.ModelType {
		s = of
	}
	v = seen.Mismatch
	switch {
	case e.Rows != answer.RowsAffected:
		columns = []string{"rows"}
	case kept.Kind() == reflect.Slice:
		columns = differing(answer.Statement.Context, s, kept, got)
	case !same(kept, got):
		columns = fields(answer.Statement.Context, s, kept, got)
	}
	switch {
	case columns == nil:
		return seen.Equal, nil
	case !t.Determined():
		return seen.Skipped, nil
	}
	return v, columns
}

// row returns the type of one row.
func row(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// differing returns the columns in which rows differ that have no equal among the others; nil where
// each has one.
func differing(ctx context.Context, s *schema.Schema, kept, got reflect.Value) (columns []string) {
	var ours, theirs []reflect.Value
	for i := range max(kept.Len(), got.Len()) {
		if i < kept.Len() && i < got.Len() && same(kept.Index(i), got.Index(i)) {
			continue
		}
		if i < kept.Len() {
			ours = append(ours, kept.Index(i))
		}
		if i < got.Len() {
			theirs = append(theirs, got.Index(i))
		}
	}
	ours = slices.DeleteFunc(ours, func(one reflect.Value) bool {
		at := slices.IndexFunc(theirs, func(other reflect.Value) bool { return same(one, other) })
		if at >= 0 {
			theirs = slices.Delete(theirs, at, at+1)
		}
		return at >= 0
	})
	if len(ours) != len(theirs) {
		return []string{"rows"}
	}
	for i := range ours {
		for _, column := range fields(ctx, s, ours[i], theirs[i]) {
			if !slices.Contains(columns, column) {
				columns = append(columns, column)
			}
		}
	}
	return columns
}

// fields returns the columns in which two rows differ, "value" for a row that has none.
func fields(ctx context.Context, s *schema.Schema, a, b reflect.Value) (columns []string) {
	for a.Kind() == reflect.Pointer && b.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil() {
		a, b = a.Elem(), b.Elem()
	}
	switch {
	case s != nil && a.Kind() == reflect.Struct:
		for _, f := range s.Fields {
			if f.DBName != "" && !same(f.ReflectValueOf(ctx, a), f.ReflectValueOf(ctx, b)) {
				columns = append(columns, f.DBName)
			}
		}
	case a.Kind() == reflect.Struct:
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				columns = append(columns, a.Type().Field(i).Name)
			}
		}
	case a.Kind() == reflect.Map && a.Type().Key().Kind() == reflect.String:
		for _, key := range a.MapKeys() {
			if other := b.MapIndex(key); !other.IsValid() || !same(a.MapIndex(key), other) {
				columns = append(columns, key.String())
			}
		}
	}
	if columns == nil {
		columns = []string{"value"}
	}
	return columns
}

const (
	// deepest bounds how deep values are compared: what is deeper counts as the same.
	deepest = 32
	// rounding is up to which part of them two numbers with a fraction are the same.
	rounding = 1e-9
)

var timeType = reflect.TypeFor[time.Time]()

// same reports whether two values are the same to who reads them.
func same(a, b reflect.Value) bool { return (&comparison{}).same(a, b, 0) }

// comparison compares two values. Pointers that lead back to where it has been are compared once.
type comparison struct{ seen map[[2]unsafe.Pointer]bool }

// met reports whether the two pointers are being compared, or were.
func (c *comparison) met(a, b reflect.Value) bool {
	pair := [2]unsafe.Pointer{a.UnsafePointer(), b.UnsafePointer()}
	if c.seen[pair] {
		return true
	}
	if c.seen == nil {
		c.seen = map[[2]unsafe.Pointer]bool{}
	}
	c.seen[pair] = true
	return false
}

func (c *comparison) same(a, b reflect.Value, depth int) bool {
	if depth > deepest || !a.IsValid() || !b.IsValid() {
		return depth > deepest || a.IsValid() == b.IsValid()
	}
	if a.Type() != b.Type() {
		return false
	}
	if a.Type() == timeType && a.CanInterface() && b.CanInterface() {
		return a.Interface().(time.Time).Equal(b.Interface().(time.Time))
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return a.Kind() == reflect.Pointer && (a.Pointer() == b.Pointer() || c.met(a, b)) || c.same(a.Elem(), b.Elem(), depth+1)
	case reflect.Struct:
		for i := range a.NumField() {
			if !c.same(a.Field(i), b.Field(i), depth+1) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !c.same(a.Index(i), b.Index(i), depth+1) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for _, key := range a.MapKeys() {
			if !c.same(a.MapIndex(key), b.MapIndex(key), depth+1) {
				return false
			}
		}
		return true
	case reflect.Float32, reflect.Float64:
		return near(a.Float(), b.Float())
	case reflect.Complex64, reflect.Complex128:
		return near(real(a.Complex()), real(b.Complex())) && near(imag(a.Complex()), imag(b.Complex()))
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return true // no answer that is kept has any
	}
	return a.Equal(b)
}

func near(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= rounding*max(math.Abs(a), math.Abs(b))
}
