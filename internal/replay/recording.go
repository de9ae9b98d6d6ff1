package replay

import (
	"database/sql/driver"
	"slices"
	"time"
	"unsafe"
)

// Recording is what a query gave: its columns, what the driver told of their types, and its rows as
// driver values. It never changes, shares no memory that could be written with anybody, and is safe
// for concurrent use.
type Recording struct {
	columns []string
	types   []columnType
	values  []driver.Value // row after row
	rows    int
	bytes   int64
	first   bool
}

// Nothing returns a recording without columns and rows.
func Nothing() *Recording { return &Recording{bytes: recordingBytes} }

// Columns returns the names of the columns.
func (r *Recording) Columns() []string { return slices.Clone(r.columns) }

// Len returns the number of rows.
func (r *Recording) Len() int { return r.rows }

// Bytes returns about how much memory the recording holds.
func (r *Recording) Bytes() int64 { return r.bytes }

// Value returns what the driver gave in a row, in one of the columns. It is not to be changed.
func (r *Recording) Value(row, column int) driver.Value { return r.values[row*len(r.columns)+column] }

// First reports whether the rows after the first are not known: see Recorder.First.
func (r *Recording) First() bool { return r.first }

// The sizes that count: of an empty Recording, of one column without its texts, of a driver.Value
// without what it points to.
const (
	recordingBytes = int64(unsafe.Sizeof(Recording{}))
	columnBytes    = int64(unsafe.Sizeof("") + unsafe.Sizeof(columnType{}))
	valueBytes     = int64(unsafe.Sizeof(driver.Value(nil)))
)

// kind is what a driver.Value holds, as a bit. Values of one kind have the same Go type.
type kind uint32

const unknown kind = 0

// weigh returns the kind of a value, unknown if nobody can tell whether it can be shared or copied,
// and the bytes that it points to.
func weigh(v driver.Value) (kind, int64) {
	switch v := v.(type) {
	case nil:
		return 1 << 0, 0
	case int64:
		return 1 << 1, 8
	case string:
		return 1 << 2, 16 + int64(len(v))
	case []byte:
		return 1 << 3, 24 + int64(len(v))
	case time.Time:
		return 1 << 4, 24
	case float64:
		return 1 << 5, 8
	case bool:
		return 1 << 6, 0
	case uint64:
		return 1 << 7, 8
	case float32:
		return 1 << 8, 4
	case int:
		return 1 << 9, 8
	case int32:
		return 1 << 10, 4
	case int16:
		return 1 << 11, 2
	case int8:
		return 1 << 12, 0
	case uint:
		return 1 << 13, 8
	case uint32:
		return 1 << 14, 4
	case uint16:
		return 1 << 15, 2
	case uint8:
		return 1 << 16, 0
	}
	return unknown, 0
}

// part gives the []byte values of a row memory of their own, in one piece: Rows.Scan hands the
// memory of a value to a RawBytes or a Scanner of the application's. A nil one stays nil.
func part(row []driver.Value) {
	size, some := 0, false
	for _, v := range row {
		if b, ok := v.([]byte); ok {
			size, some = size+len(b), true
		}
	}
	if !some {
		return
	}
	memory := make([]byte, 0, size)
	for i, v := range row {
		if b, ok := v.([]byte); ok && b != nil {
			start := len(memory)
			memory = append(memory, b...)
			row[i] = memory[start:len(memory):len(memory)]
		}
	}
}
