package observed

import (
	"database/sql/driver"
	"io"
	"reflect"
)

// watchedRows are rows of a statement in a transaction: an error among them may have ended it. They
// have all that rows may have; what the driver's have not is answered as database/sql does then.
type watchedRows struct {
	driver.Rows
	session *session
}

var (
	_ driver.RowsNextResultSet              = (*watchedRows)(nil)
	_ driver.RowsColumnTypeScanType         = (*watchedRows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*watchedRows)(nil)
	_ driver.RowsColumnTypeLength           = (*watchedRows)(nil)
	_ driver.RowsColumnTypeNullable         = (*watchedRows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*watchedRows)(nil)
)

func (r *watchedRows) told(err error) error {
	if err != nil && err != io.EOF {
		r.session.failed()
	}
	return err
}

// Next implements driver.Rows.
func (r *watchedRows) Next(dest []driver.Value) error { return r.told(r.Rows.Next(dest)) }

// Close implements driver.Rows.
func (r *watchedRows) Close() error { return r.told(r.Rows.Close()) }

// HasNextResultSet implements driver.RowsNextResultSet.
func (r *watchedRows) HasNextResultSet() bool {
	inner, ok := r.Rows.(driver.RowsNextResultSet)
	return ok && inner.HasNextResultSet()
}

// NextResultSet implements driver.RowsNextResultSet.
func (r *watchedRows) NextResultSet() error {
	inner, ok := r.Rows.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	return r.told(inner.NextResultSet())
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (r *watchedRows) ColumnTypeScanType(index int) reflect.Type {
	if inner, ok := r.Rows.(driver.RowsColumnTypeScanType); ok {
		return inner.ColumnTypeScanType(index)
	}
	return reflect.TypeFor[any]()
}

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (r *watchedRows) ColumnTypeDatabaseTypeName(index int) string {
	if inner, ok := r.Rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return inner.ColumnTypeDatabaseTypeName(index)
	}
	return ""
}

// ColumnTypeLength implements driver.RowsColumnTypeLength.
func (r *watchedRows) ColumnTypeLength(index int) (length int64, ok bool) {
	if inner, has := r.Rows.(driver.RowsColumnTypeLength); has {
		return inner.ColumnTypeLength(index)
	}
	return 0, false
}

// ColumnTypeNullable implements driver.RowsColumnTypeNullable.
func (r *watchedRows) ColumnTypeNullable(index int) (nullable, ok bool) {
	if inner, has := r.Rows.(driver.RowsColumnTypeNullable); has {
		return inner.ColumnTypeNullable(index)
	}
	return false, false
}

// ColumnTypePrecisionScale implements driver.RowsColumnTypePrecisionScale.
func (r *watchedRows) ColumnTypePrecisionScale(index int) (precision, scale int64, ok bool) {
	if inner, has := r.Rows.(driver.RowsColumnTypePrecisionScale); has {
		return inner.ColumnTypePrecisionScale(index)
	}
	return 0, 0, false
}
