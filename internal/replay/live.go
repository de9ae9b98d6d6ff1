package replay

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"io"
	"reflect"
)

// live are the rows that database/sql reads from a driver, as the rows of a driver again.
//
// What the driver gave is what a Scanner is given: Rows.Scan converts nothing for it. Only a
// cursor, which is rows in a column, is no value of the driver's afterwards but live itself:
// database/sql has to close it before its connection goes back to its pool.
type live struct {
	rows    *sql.Rows
	columns []string
	types   []*sql.ColumnType // as they were told last
	asked   bool              // types are those of the present row
	more    bool              // at the end of a result set: there is another one
	cells   []cell
	into    []any // the cells
}

func newLive(rows *sql.Rows) (*live, error) {
	if rows == nil {
		return nil, ErrNoRows
	}
	l := &live{rows: rows}
	return l, l.enter()
}

// enter is called at the beginning of a result set.
func (l *live) enter() (err error) {
	if l.columns, err = l.rows.Columns(); err != nil {
		return err
	}
	l.types, l.asked, l.more = nil, false, false
	l.cells, l.into = make([]cell, len(l.columns)), make([]any, len(l.columns))
	for i := range l.cells {
		l.into[i] = &l.cells[i]
	}
	return nil
}

// cell takes a driver value as it is. The memory of a []byte is the driver's as soon as the end of
// a context closes the rows, at any time: so it is copied at once.
type cell struct{ value driver.Value }

// Scan implements sql.Scanner.
func (c *cell) Scan(value any) error {
	if b, ok := value.([]byte); ok {
		value = bytes.Clone(b)
	}
	c.value = value
	return nil
}

// Columns implements driver.Rows.
func (l *live) Columns() []string { return l.columns }

// Close implements driver.Rows.
func (l *live) Close() error { return l.rows.Close() }

// Next implements driver.Rows.
func (l *live) Next(dest []driver.Value) error {
	l.asked, l.more = false, false
	if !l.rows.Next() {
		// database/sql closes rows after the last result set alone. An error that comes between the
		// two calls is found by the second.
		_, closed := l.rows.Columns()
		l.more = closed == nil
		return l.failure(io.EOF)
	}
	if err := l.rows.Scan(l.into...); err != nil {
		return l.failure(err)
	}
	for i := range l.cells {
		dest[i] = l.cells[i].value
		l.cells[i].value = nil
		if _, cursor := dest[i].(driver.Rows); cursor {
			rows := &sql.Rows{}
			if err := l.scanCursor(i, rows); err != nil {
				return l.failure(err)
			}
			inner, err := newLive(rows)
			if err != nil {
				return l.failure(err)
			}
			dest[i] = inner
		}
	}
	return nil
}

// scanCursor scans column i again, into rows.
func (l *live) scanCursor(i int, rows *sql.Rows) error {
	into := make([]any, len(l.into))
	for j := range into {
		into[j] = &cell{}
	}
	into[i] = rows
	return l.rows.Scan(into...)
}

// failure returns the error of the rows, or another one if they have none.
func (l *live) failure(otherwise error) error {
	if err := l.rows.Err(); err != nil {
		return err
	}
	return otherwise
}

// HasNextResultSet implements driver.RowsNextResultSet.
func (l *live) HasNextResultSet() bool { return l.more }

// NextResultSet implements driver.RowsNextResultSet.
func (l *live) NextResultSet() error {
	if !l.rows.NextResultSet() {
		return l.failure(io.EOF)
	}
	if err := l.enter(); err != nil {
		return l.failure(err)
	}
	return nil
}

// typeOf returns the type of a column at the present row. The end of a context can have closed the
// rows: then it is what was told last.
func (l *live) typeOf(i int) *sql.ColumnType {
	if !l.asked {
		if types, err := l.rows.ColumnTypes(); err == nil {
			l.types = types
		}
		l.asked = true
	}
	if i < len(l.types) {
		return l.types[i]
	}
	return &sql.ColumnType{}
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (l *live) ColumnTypeScanType(i int) reflect.Type { return l.typeOf(i).ScanType() }

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (l *live) ColumnTypeDatabaseTypeName(i int) string { return l.typeOf(i).DatabaseTypeName() }

// ColumnTypeLength implements driver.RowsColumnTypeLength.
func (l *live) ColumnTypeLength(i int) (int64, bool) { return l.typeOf(i).Length() }

// ColumnTypeNullable implements driver.RowsColumnTypeNullable.
func (l *live) ColumnTypeNullable(i int) (nullable, ok bool) { return l.typeOf(i).Nullable() }

// ColumnTypePrecisionScale implements driver.RowsColumnTypePrecisionScale.
func (l *live) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	return l.typeOf(i).DecimalSize()
}
