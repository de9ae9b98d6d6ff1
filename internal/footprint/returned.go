package footprint

import (
	"reflect"
	"slices"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// Returned returns what a create statement changed, by the keys of the rows that it returned, once
// it has run and said to have touched so many; false where these do not tell more than was known
// before. What conflicts with a row updates the row that is returned, whatever key they share.
func (f *Footprints) Returned(stmt *gorm.Statement, changes []coherence.Change, rows int64) ([]coherence.Change, bool) {
	key, column := f.returnedKey(stmt)
	if key == nil || rows == 0 || rows > maxPinned {
		return nil, false
	}
	var keys []coherence.Value
	each := func(row reflect.Value) {
		if v := keyOf(stmt.Context, []*schema.Field{key}, []catalog.Column{column}, row); v != "" && !slices.Contains(keys, v) {
			keys = append(keys, v)
		}
	}
	switch dest := stmt.ReflectValue; dest.Kind() {
	case reflect.Struct:
		each(dest)
	case reflect.Slice, reflect.Array:
		if int64(dest.Len()) != rows {
			return nil, false // some were left alone, and did not return
		}
		for i := range dest.Len() {
			each(dest.Index(i))
		}
	}
	// What is there twice took the key of another row.
	if int64(len(keys)) != rows {
		return nil, false
	}
	narrow := slices.Clone(changes)
	for i, c := range narrow {
		pin := coherence.Pin{Column: column.Name, Values: keys}
		_, chosen := c.Where.Of(column.Name)
		_, set := c.Set.Of(column.Name)
		switch {
		case c.Table != catalog.TableName(stmt.Table):
			return nil, false
		case c.Kinds == coherence.Insert && !set:
			narrow[i].Set = append(slices.Clone(c.Set), pin)
		case c.Kinds == coherence.Update && !chosen && !c.Columns.Has(column.Name):
			narrow[i].Where = append(slices.Clone(c.Where), pin)
		}
	}
	return narrow, true
}

// Returns reports whether Returned may tell which rows a create statement updated that is about to
// run, where its changes do not.
func (f *Footprints) Returns(stmt *gorm.Statement, changes []coherence.Change) bool {
	key, column := f.returnedKey(stmt)
	return key != nil && slices.ContainsFunc(changes, func(c coherence.Change) bool {
		_, chosen := c.Where.Of(column.Name)
		return c.Kinds == coherence.Update && !chosen && !c.Columns.Has(column.Name)
	})
}

// returnedKey returns the field of the primary key, and its column, if a create statement has the
// database say the key of each row that it inserts or updates, and GORM puts it there.
func (f *Footprints) returnedKey(stmt *gorm.Statement) (*schema.Field, catalog.Column) {
	returning, ok := stmt.Clauses["RETURNING"].Expression.(clause.Returning)
	if !ok || stmt.Schema == nil || len(stmt.Schema.PrimaryFields) != 1 || len(stmt.ColumnMapping) > 0 ||
		!slices.Contains(stmt.BuildClauses, "INSERT") || !slices.Contains(stmt.BuildClauses, "RETURNING") {
		return nil, catalog.Column{}
	}
	if on, ok := stmt.Clauses["ON CONFLICT"].Expression.(clause.OnConflict); ok && len(on.DoUpdates) == 0 {
		return nil, catalog.Column{} // what is left alone does not return
	}
	key := stmt.Schema.PrimaryFields[0]
	named := func(c clause.Column) bool { return !c.Raw && c.Alias == "" && c.Table == "" && c.Name == key.DBName }
	// A type of the application's may make another value of the one that it scans.
	if !slices.ContainsFunc(returning.Columns, named) || stmt.Schema.FieldsByDBName[key.DBName] != key || !key.Readable || key.Serializer != nil || key.IndirectFieldType.PkgPath() != "" {
		return nil, catalog.Column{}
	}
	info := f.catalog.Table(catalog.TableName(stmt.Table))
	if info == nil {
		return nil, catalog.Column{}
	}
	column := info.Columns[sqltext.Fold(key.DBName)]
	if column.Exact != key.DBName || column.Class != catalog.Integer {
		return nil, catalog.Column{}
	}
	return key, column.AsRead()
}
