package replay

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"reflect"
	"slices"
)

// Rows returns rows that give what the recorded query gave, as the rows of a live query of the
// context would. An error means that there are no rows: the context has ended, or the recording has
// no more than a first row.
func Rows(ctx context.Context, recording *Recording) (*sql.Rows, error) {
	switch {
	case recording == nil:
		return nil, ErrNoRecording
	case recording.first:
		return nil, ErrFirst
	}
	return open(ctx, &replayed{ctx: ctx, recording: recording})
}

// Head returns rows that give the first of the recorded rows, and are over then, for a reader that
// reads no more of a query.
func Head(ctx context.Context, recording *Recording) (*sql.Rows, error) {
	if recording == nil {
		return nil, ErrNoRecording
	}
	return open(ctx, &replayed{ctx: ctx, recording: recording})
}

// Row returns the first of the recorded rows, as QueryRowContext would.
func Row(ctx context.Context, recording *Recording) *sql.Row {
	if recording == nil {
		return openRow(ctx, nil, ErrNoRecording)
	}
	return openRow(ctx, &replayed{ctx: ctx, recording: recording}, nil)
}

// Failed returns a row that has an error in place of values.
func Failed(ctx context.Context, err error) *sql.Row { return openRow(ctx, nil, err) }

// replayed are the rows of a driver that plays a recording.
type replayed struct {
	place
	ctx       context.Context
	recording *Recording
	at        int      // how many rows were given
	columns   []string // the reader's own
}

// Columns implements driver.Rows. Rows.Columns hands the slice to the application.
func (r *replayed) Columns() []string {
	if r.columns == nil {
		r.columns = slices.Clone(r.recording.columns)
	}
	return r.columns
}

// Close implements driver.Rows.
func (r *replayed) Close() error {
	r.leave(nil)
	return nil
}

// Next implements driver.Rows. database/sql watches the context, too, but may notice its end after
// the last row was read.
func (r *replayed) Next(dest []driver.Value) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.at == r.recording.rows {
		return io.EOF
	}
	n := len(r.recording.columns)
	copy(dest, r.recording.values[r.at*n:(r.at+1)*n])
	part(dest)
	r.at++
	return nil
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (r *replayed) ColumnTypeScanType(i int) reflect.Type { return r.recording.types[i].scan }

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (r *replayed) ColumnTypeDatabaseTypeName(i int) string { return r.recording.types[i].database }

// ColumnTypeLength implements driver.RowsColumnTypeLength.
func (r *replayed) ColumnTypeLength(i int) (int64, bool) {
	c := &r.recording.types[i]
	return c.length, c.hasLength
}

// ColumnTypeNullable implements driver.RowsColumnTypeNullable.
func (r *replayed) ColumnTypeNullable(i int) (nullable, ok bool) {
	c := &r.recording.types[i]
	return c.nullable, c.hasNullable
}

// ColumnTypePrecisionScale implements driver.RowsColumnTypePrecisionScale.
func (r *replayed) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	c := &r.recording.types[i]
	return c.precision, c.scale, c.hasPrecisionScale
}
