package replay

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"reflect"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// set is a result set that a fake driver gives.
type set struct {
	columns  []string
	types    []columnType
	rows     [][]driver.Value
	typesAt  func(row, column int) columnType // if not nil, instead of types
	err      error                            // at the end of the rows, instead of io.EOF
	closeErr error
	endless  bool // the rows begin anew
	next     *set
	closed   func() // called when the rows are closed
}

// opener opens a pool of a driver that answers each query with rows.
func opener(t testing.TB, rows func(context.Context) driver.Rows) *sql.DB {
	db := sql.OpenDB(fakeConn(rows))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

type fakeConn func(context.Context) driver.Rows

func (c fakeConn) Connect(context.Context) (driver.Conn, error) { return c, nil }
func (c fakeConn) Driver() driver.Driver                        { return nil }
func (c fakeConn) Prepare(string) (driver.Stmt, error)          { return nil, driver.ErrSkip }
func (c fakeConn) Begin() (driver.Tx, error)                    { return fakeTx{}, nil }
func (c fakeConn) Close() error                                 { return nil }
func (c fakeConn) QueryContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	return c(ctx), nil
}

type fakeTx struct{}

func (fakeTx) Commit() error   { return nil }
func (fakeTx) Rollback() error { return nil }

// fake are the rows of a set. As many drivers do, they have the []byte values of each row in the
// memory of those of the row before.
type fake struct {
	*set
	at     int
	memory []byte
}

func (f *fake) Columns() []string { return f.columns }

func (f *fake) Close() error {
	for i := range f.memory {
		f.memory[i] = '#'
	}
	if f.set.closed != nil {
		f.set.closed()
	}
	return f.closeErr
}

func (f *fake) Next(dest []driver.Value) error {
	if f.endless {
		f.at %= len(f.rows)
	}
	if f.at == len(f.rows) {
		if f.err != nil {
			return f.err
		}
		return io.EOF
	}
	if f.memory == nil {
		f.memory = make([]byte, 0, 1<<12)
	}
	clear(f.memory)
	f.memory = f.memory[:0]
	for i, v := range f.rows[f.at] {
		if b, ok := v.([]byte); ok && b != nil {
			start := len(f.memory)
			f.memory = append(f.memory, b...)
			v = f.memory[start:]
		}
		dest[i] = v
	}
	f.at++
	return nil
}

func (f *fake) typeOf(i int) columnType {
	if f.typesAt != nil {
		return f.typesAt(f.at, i)
	}
	return f.types[i]
}

// The optional methods of driver.Rows, each of which a driver may not have.
type (
	scanTypes       struct{ f *fake }
	databaseTypes   struct{ f *fake }
	lengths         struct{ f *fake }
	nullables       struct{ f *fake }
	precisionScales struct{ f *fake }
	resultSets      struct{ f *fake }
)

func (o scanTypes) ColumnTypeScanType(i int) reflect.Type { return o.f.typeOf(i).scan }

func (o databaseTypes) ColumnTypeDatabaseTypeName(i int) string { return o.f.typeOf(i).database }

func (o lengths) ColumnTypeLength(i int) (int64, bool) {
	return o.f.typeOf(i).length, o.f.typeOf(i).hasLength
}

func (o nullables) ColumnTypeNullable(i int) (nullable, ok bool) {
	return o.f.typeOf(i).nullable, o.f.typeOf(i).hasNullable
}

func (o precisionScales) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	c := o.f.typeOf(i)
	return c.precision, c.scale, c.hasPrecisionScale
}

func (o resultSets) HasNextResultSet() bool { return o.f.next != nil }

func (o resultSets) NextResultSet() error {
	if o.f.next == nil {
		return io.EOF
	}
	o.f.set, o.f.at = o.f.next, 0
	return nil
}

// variants are rows of drivers that have some of the optional methods.
var variants = map[string]func(*fake) driver.Rows{
	"none": func(f *fake) driver.Rows { return f },
	"scan types": func(f *fake) driver.Rows {
		return struct {
			driver.Rows
			scanTypes
		}{f, scanTypes{f}}
	},
	"database types": func(f *fake) driver.Rows {
		return struct {
			driver.Rows
			databaseTypes
		}{f, databaseTypes{f}}
	},
	"lengths": func(f *fake) driver.Rows {
		return struct {
			driver.Rows
			lengths
		}{f, lengths{f}}
	},
	"nullables": func(f *fake) driver.Rows {
		return struct {
			driver.Rows
			nullables
		}{f, nullables{f}}
	},
	"precisions": func(f *fake) driver.Rows {
		return struct {
			driver.Rows
			precisionScales
		}{f, precisionScales{f}}
	},
	"result sets": func(f *fake) driver.Rows {
		return struct {
			driver.Rows
			resultSets
		}{f, resultSets{f}}
	},
	"all": func(f *fake) driver.Rows { return full(f) },
}

func full(f *fake) driver.Rows {
	return struct {
		driver.Rows
		scanTypes
		databaseTypes
		lengths
		nullables
		precisionScales
		resultSets
	}{f, scanTypes{f}, databaseTypes{f}, lengths{f}, nullables{f}, precisionScales{f}, resultSets{f}}
}

// take is what a recorder told.
type take struct {
	kept    []*Recording
	refused []error
}

func (k *take) recorder() Recorder {
	return Recorder{
		Kept:    func(r *Recording) { k.kept = append(k.kept, r) },
		Refused: func(err error) { k.refused = append(k.refused, err) },
	}
}

// recording returns the one recording that was taken.
func (k *take) recording(t testing.TB) *Recording {
	t.Helper()
	if len(k.kept) != 1 || len(k.refused) != 0 {
		t.Fatalf("kept %d recordings, refused %v: want one recording", len(k.kept), k.refused)
	}
	return k.kept[0]
}

// way is one of the two ways to record what a query gives.
type way struct {
	name string
	// open has a driver's rows recorded and returns those of the application.
	open func(ctx context.Context, t testing.TB, r Recorder, rows func() driver.Rows) *sql.Rows
}

var ways = []way{
	{"below database/sql", func(ctx context.Context, t testing.TB, r Recorder, rows func() driver.Rows) *sql.Rows {
		db := opener(t, func(context.Context) driver.Rows { return r.Tee(rows()) })
		return must(db.QueryContext(ctx, ""))(t)
	}},
	{"above database/sql", func(ctx context.Context, t testing.TB, r Recorder, rows func() driver.Rows) *sql.Rows {
		return r.Rows(ctx, plain(ctx, t, rows))
	}},
}

func plain(ctx context.Context, t testing.TB, rows func() driver.Rows) *sql.Rows {
	return must(opener(t, func(context.Context) driver.Rows { return rows() }).QueryContext(ctx, ""))(t)
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
