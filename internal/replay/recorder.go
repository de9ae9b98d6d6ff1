package replay

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"reflect"
	"slices"
)

// Recorder says how far live rows are recorded while an application reads them, and who is told.
//
// Of each rows that are read to their end or closed, one of Kept and Refused is called once, unless
// it is nil, by whoever reads or closes the rows, with locks of database/sql held: neither may use
// these rows, nor wait for somebody who does.
type Recorder struct {
	// MaxRows and MaxBytes are how much is recorded of one query at most; 0 means any. Rows that
	// have more are read on, unrecorded.
	MaxRows  int
	MaxBytes int64
	// Budget, if any, bounds what this recorder and others hold at a time.
	Budget *Budget
	// First is set for a reader that reads no more than the first row, as sql.Row does: then a
	// recording is complete once that was read, and only Row can replay it.
	First bool
	// One is set where the query should have one row at most: when a reader closes the rows after
	// the first, it is looked whether that was the last.
	One bool
	// Kept takes the recording of rows that were read to their end, and closed, without an error.
	Kept func(*Recording)
	// Refused takes the reason why there is none, as soon as it is known. It is the error of the
	// rows, or wraps one of the errors of this package.
	Refused func(error)
}

// Tee returns rows that are recorded while database/sql reads them. It is for drivers: what they
// give passes through unchanged.
func (r Recorder) Tee(rows driver.Rows) driver.Rows { return r.tee(rows) }

// Rows returns rows that are recorded while an application reads them, in place of those that a
// query of the context returned. They own those from then on. Rows of a transaction have a context
// that nobody else can see: after the end of the transaction the returned rows are over at their
// next Next only.
//
// If rows cannot be recorded, they are returned themselves.
func (r Recorder) Rows(ctx context.Context, rows *sql.Rows) *sql.Rows {
	live, err := newLive(rows)
	if err != nil {
		r.refuse(err)
		return rows
	}
	tee := r.tee(live)
	opened, err := open(ctx, tee)
	if err != nil { // the context has ended: so have the rows
		tee.refuse(err)
		return rows
	}
	return opened
}

// Row returns the first of the rows that a query of the context returned, or its error, as
// QueryRowContext would, and records it as if First were set.
func (r Recorder) Row(ctx context.Context, rows *sql.Rows, err error) *sql.Row {
	r.First = true
	var l *live
	if err == nil {
		l, err = newLive(rows)
	}
	if err != nil {
		r.refuse(err)
		return openRow(ctx, nil, err)
	}
	tee := r.tee(l)
	row := openRow(ctx, tee, nil)
	if err := row.Err(); err != nil {
		tee.refuse(err)
		_ = rows.Close()
	}
	return row
}

func (r Recorder) refuse(err error) {
	if r.Refused != nil {
		r.Refused(err)
	}
}

func (r Recorder) tee(rows driver.Rows) *tee {
	t := &tee{rows: rows, recorder: r}
	columns := slices.Clone(rows.Columns())
	types, err := columnTypesOf(rows, len(columns))
	t.recording = &Recording{columns: columns, types: types, bytes: recordingBytes, first: r.First}
	if err != nil {
		t.refuse(err)
		return t
	}
	t.kinds = make([]kind, len(columns))
	for i, name := range columns {
		t.recording.bytes += columnBytes + int64(len(name)+len(types[i].database))
	}
	if !t.hold(t.recording.bytes) {
		t.refuse(ErrBudget)
	}
	return t
}

// tee are rows that are recorded while they are read. They have all the optional methods of
// driver.Rows: for each, database/sql has an answer of its own where a driver does not have it,
// and that is the one that tee gives then.
type tee struct {
	place
	rows      driver.Rows
	recorder  Recorder
	recording *Recording // nil once it is known that there will be none
	kinds     []kind     // those that were met, by column
	held      int64      // of the budget
	ended     bool
}

// Columns implements driver.Rows.
func (t *tee) Columns() []string { return t.rows.Columns() }

// Next implements driver.Rows.
func (t *tee) Next(dest []driver.Value) error {
	err := t.rows.Next(dest)
	if t.recording == nil {
		return err
	}
	switch err {
	case nil:
		if reason := t.add(dest); reason != nil {
			t.refuse(reason)
		}
	case io.EOF: // database/sql compares it in this way, too
		t.ended = true
		if t.HasNextResultSet() {
			t.refuse(ErrResultSets)
		}
	default:
		t.refuse(err)
	}
	return err
}

// Close implements driver.Rows. A driver may know only then that the rows are not whole.
func (t *tee) Close() error {
	t.look()
	err := t.rows.Close()
	switch r := t.recording; {
	case r == nil:
	case err != nil:
		t.refuse(err)
	case t.ended, r.first && r.rows == 1:
		t.recording = nil
		r.values = slices.Clone(r.values) // without the room that they grew into
		if t.recorder.Kept != nil {
			t.recorder.Kept(r)
		}
		t.letGo()
	default:
		t.refuse(ErrUnread)
	}
	t.leave(err)
	return err
}

// look finds out whether the first row, after which the reader closes the rows, was the last.
func (t *tee) look() {
	if r := t.recording; r != nil && !t.ended && t.recorder.One && r.rows == 1 {
		t.ended = t.rows.Next(make([]driver.Value, len(r.columns))) == io.EOF && !t.HasNextResultSet()
	}
}

// add records a row, or returns why it cannot be recorded.
func (t *tee) add(row []driver.Value) error {
	r := t.recording
	bytes, met := r.bytes+int64(len(row))*valueBytes, false
	for i, v := range row {
		k, size := weigh(v)
		if k == unknown {
			return fmt.Errorf("%w: %T in column %d", ErrValue, v, i)
		}
		met = met || t.kinds[i]&k == 0
		t.kinds[i] |= k
		bytes += size
	}
	if r.rows++; t.recorder.MaxRows > 0 && r.rows > t.recorder.MaxRows || t.recorder.MaxBytes > 0 && bytes > t.recorder.MaxBytes {
		return ErrTooLarge
	}
	if !t.hold(bytes - r.bytes) {
		return ErrBudget
	}
	if met {
		// Some drivers tell the type of a column by the value that the present row has there.
		types, err := columnTypesOf(t.rows, len(r.types))
		if err != nil {
			return err
		}
		if !slices.Equal(types, r.types) {
			return ErrTypes
		}
	}
	r.bytes = bytes
	r.values = append(r.values, row...)
	part(r.values[len(r.values)-len(row):])
	return nil
}

func (t *tee) refuse(err error) {
	if t.recording != nil {
		t.recording = nil
		t.letGo()
		t.recorder.refuse(err)
	}
}

// hold takes so many bytes of the budget; false where there are not as many left.
func (t *tee) hold(bytes int64) bool {
	if !t.recorder.Budget.take(bytes) {
		return false
	}
	t.held += bytes
	return true
}

func (t *tee) letGo() {
	t.recorder.Budget.give(t.held)
	t.held = 0
}

// HasNextResultSet implements driver.RowsNextResultSet.
func (t *tee) HasNextResultSet() bool {
	r, ok := t.rows.(driver.RowsNextResultSet)
	return ok && r.HasNextResultSet()
}

// NextResultSet implements driver.RowsNextResultSet.
func (t *tee) NextResultSet() error {
	r, ok := t.rows.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	err := r.NextResultSet()
	if err == nil {
		t.refuse(ErrResultSets)
	}
	return err
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (t *tee) ColumnTypeScanType(i int) reflect.Type { return scanTypeOf(t.rows, i) }

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (t *tee) ColumnTypeDatabaseTypeName(i int) string { return databaseTypeOf(t.rows, i) }

// ColumnTypeLength implements driver.RowsColumnTypeLength.
func (t *tee) ColumnTypeLength(i int) (int64, bool) { return lengthOf(t.rows, i) }

// ColumnTypeNullable implements driver.RowsColumnTypeNullable.
func (t *tee) ColumnTypeNullable(i int) (nullable, ok bool) { return nullableOf(t.rows, i) }

// ColumnTypePrecisionScale implements driver.RowsColumnTypePrecisionScale.
func (t *tee) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	return precisionScaleOf(t.rows, i)
}
