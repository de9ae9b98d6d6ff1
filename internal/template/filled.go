package template

import (
	"context"
	"database/sql"
	"errors"
	"reflect"
	"strings"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/replay"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// A struct that holds values keeps those that the query does not select, and most of those for
// which the query finds NULL. The value of an entry is what a query leaves in a struct that held
// nothing, and tells the most of that: what is not zero there is what GORM sets, and where both
// hold zero nothing changes. What is zero in the value, and is not in the destination, may be one
// or the other: that is told by what was recorded of the query alone, which GORM scans again.

// overlay is how the value of an entry is put into a struct that holds values.
type overlay struct {
	fields []overlaid
	// blind says that the value never tells enough.
	blind bool
}

// overlaid is a field of the schema of a destination.
type overlaid struct {
	*schema.Field
	// open says that the query may set it; whole, that it then replaces what was there.
	open, whole bool
}

// overlayOf returns how values are put into the structs that the statement's destination is one of.
func (t *Template) overlayOf(stmt *gorm.Statement) *overlay {
	if known := t.overlay.Load(); known != nil {
		return known
	}
	o := &overlay{}
	of, s := stmt.ReflectValue.Type(), t.Proto.Schema
	if of != s.ModelType {
		parsed := &gorm.Statement{DB: stmt.DB}
		if err := parsed.Parse(stmt.Dest); err != nil || parsed.Schema.ModelType != of {
			o.blind = true
		}
		s = parsed.Schema
	}
	// GORM may scan one column into the struct itself.
	o.blind = o.blind || reflect.PointerTo(of).Implements(scannerType) || of.ConvertibleTo(schema.TimeReflectType)
	if !o.blind {
		for _, f := range s.Fields {
			// A column may have the name of a field that is none, such as an association.
			field := overlaid{f, f.Readable && (f.DBName != "" || strings.Contains(t.SQL, f.Name)), true}
			field.whole = f.DBName != "" || f.FieldType.Kind() != reflect.Struct
			o.fields = append(o.fields, field)
			o.blind = o.blind || field.open && custom(f.Serializer)
		}
	}
	t.overlay.Store(o)
	return o
}

// custom reports whether a serializer is not one of GORM's: it may look at the struct around.
func custom(s schema.SerializerInterface) bool {
	if s == nil {
		return false
	}
	of := reflect.TypeOf(s)
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	return of.PkgPath() != reflect.TypeFor[schema.Schema]().PkgPath()
}

// in returns the field of a struct; false where it is behind a nil pointer.
func (f *overlaid) in(rv reflect.Value) (reflect.Value, bool) {
	for _, i := range f.StructField.Index {
		if i >= 0 {
			rv = rv.Field(i)
			continue
		}
		if rv = rv.Field(-i - 1); rv.IsNil() {
			return rv, false
		}
		rv = rv.Elem()
	}
	return rv, true
}

// tells reports whether a value tells all that GORM would do to a destination.
func (o *overlay) tells(value, dest reflect.Value) bool {
	for i := range o.fields {
		f := &o.fields[i]
		if !f.open {
			continue
		}
		held, ok := f.in(dest)
		if !ok || held.IsZero() {
			continue
		}
		if found, ok := f.in(value); !f.whole || !ok || found.IsZero() {
			return false
		}
	}
	return !o.blind
}

// put puts a value into a destination, which shares its memory then.
func (o *overlay) put(ctx context.Context, value, dest reflect.Value) {
	for i := range o.fields {
		f := &o.fields[i]
		found, ok := f.in(value)
		if !ok {
			continue
		}
		if _, there := f.in(dest); !there || !found.IsZero() {
			f.ReflectValueOf(ctx, dest).Set(found)
		}
	}
}

// Tells reports whether an entry tells all that its destination, which holds values, gets from the
// query.
func (t *Template) Tells(stmt *gorm.Statement, e *cache.Entry) bool {
	rv := stmt.ReflectValue
	return e.Rows == 0 || e.Recorded || rv.Kind() != reflect.Struct || t.overlayOf(stmt).tells(t.Read(e), rv)
}

// fillOver fills a struct that holds values.
func (t *Template) fillOver(db *gorm.DB, e *cache.Entry) error {
	stmt := db.Statement
	o := t.overlayOf(stmt)
	if !o.tells(t.Read(e), stmt.ReflectValue) {
		rows, err := replay.Head(stmt.Context, t.recordingOf(e))
		if err != nil {
			return err
		}
		scan(rows, db)
		return nil
	}
	value := reflect.New(t.Plan.Type())
	if err := t.Plan.Copy(value.UnsafePointer(), e.Value); err != nil {
		return err
	}
	o.put(stmt.Context, value.Elem(), stmt.ReflectValue)
	return nil
}

// scan reads rows into the destination of a statement, as GORM's own callback does.
func scan(rows *sql.Rows, db *gorm.DB) {
	defer func() { _ = db.AddError(rows.Close()) }()
	gorm.Scan(rows, db, 0)
}

// Replay returns a statement of the template whose destination, of its own, holds what was
// recorded; nil where that could not be read.
func (t *Template) Replay(ctx context.Context, vars []any, recording *replay.Recording) *gorm.DB {
	rows, err := replay.Head(context.WithoutCancel(ctx), recording)
	if err != nil {
		return nil
	}
	tx := t.Statement(ctx, vars)
	if scan(rows, tx); tx.Error != nil && !errors.Is(tx.Error, gorm.ErrRecordNotFound) {
		return nil
	}
	return tx
}

// Proves reports whether the answer of a query is that of one of the template, too, which asks for
// the primary key that its destination holds besides: the one row has that key.
func (t *Template) Proves(stmt *gorm.Statement, wider *Template, e *cache.Entry) bool {
	rv := stmt.ReflectValue
	q, w := t.query, wider.query
	if e.Rows != 1 || q == nil || w == nil || w.Offset || w.Grouped || w.Aggregate || w.Computed || w.Distinct || rv.Type() != wider.Plan.Type() {
		return false
	}
	value, asked := wider.Read(e), []string{}
	for _, field := range stmt.Schema.PrimaryFields {
		f := overlaid{Field: field}
		held, ok := f.in(rv)
		if !ok || held.IsZero() {
			continue
		}
		found, ok := f.in(value)
		if !ok || !exact(held) || !held.Equal(found) {
			return false
		}
		asked = append(asked, field.DBName)
	}
	// Then the query has these conditions and those of the wider one, and no part of it has but the
	// one or the other.
	return len(asked) > 0 && t.ReadingOf(t.set.Catalog.Version()).Pins(asked)
}

// exact reports whether values of this kind that are equal are equal for the database.
func exact(v reflect.Value) bool {
	return v.CanInt() || v.CanUint() || v.Kind() == reflect.String
}
