package replay

import (
	"database/sql/driver"
	"fmt"
	"reflect"
)

// columnType is what a driver tells of the type of a column. What a driver does not tell is as
// database/sql has it then, so that rows that tell it for the driver are like rows that do not.
type columnType struct {
	scan              reflect.Type
	database          string
	length            int64
	precision, scale  int64
	nullable          bool
	hasLength         bool
	hasPrecisionScale bool
	hasNullable       bool
}

func columnTypeOf(rows driver.Rows, i int) columnType {
	c := columnType{scan: scanTypeOf(rows, i), database: databaseTypeOf(rows, i)}
	c.length, c.hasLength = lengthOf(rows, i)
	c.nullable, c.hasNullable = nullableOf(rows, i)
	c.precision, c.scale, c.hasPrecisionScale = precisionScaleOf(rows, i)
	return c
}

// columnTypesOf returns the types of n columns, as the rows tell them at the present row. Drivers
// are known that panic where they do not know a type: an application that does not ask for types
// must not meet that.
func columnTypesOf(rows driver.Rows, n int) (types []columnType, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the driver panics when it is asked for them: %v", ErrTypes, p)
		}
	}()
	types = make([]columnType, n)
	for i := range types {
		types[i] = columnTypeOf(rows, i)
	}
	return types, nil
}

func scanTypeOf(rows driver.Rows, i int) reflect.Type {
	if r, ok := rows.(driver.RowsColumnTypeScanType); ok {
		return r.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

func databaseTypeOf(rows driver.Rows, i int) string {
	if r, ok := rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return r.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

func lengthOf(rows driver.Rows, i int) (int64, bool) {
	if r, ok := rows.(driver.RowsColumnTypeLength); ok {
		return r.ColumnTypeLength(i)
	}
	return 0, false
}

func nullableOf(rows driver.Rows, i int) (nullable, ok bool) {
	if r, ok := rows.(driver.RowsColumnTypeNullable); ok {
		return r.ColumnTypeNullable(i)
	}
	return false, false
}

func precisionScaleOf(rows driver.Rows, i int) (precision, scale int64, ok bool) {
	if r, ok := rows.(driver.RowsColumnTypePrecisionScale); ok {
		return r.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}
