package batch

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gorm-preload/preload/internal/coherence"
)

// Change is a change, and the sum of what its writer knows of the table: of which columns there are
// and what stands for their values.
type Change struct {
	coherence.Change
	Sum uint64
}

// version is the first byte of a batch that is not sealed. Another one means another format, or
// that package catalog makes other values of what is in a column.
const version = 1

// MaxBytes bounds a batch that is read.
const MaxBytes = 1 << 20

// The bits of the byte that says what a change is besides its lists: its kinds, and whether an
// update set any column.
const (
	kindBits   = byte(coherence.Any)
	allColumns = 1 << 7
)

var (
	errVersion = errors.New("batch: another version, or none")
	errCutOff  = errors.New("batch: cut off, or altered")
)

// Append appends the batch of some changes, of which there is at least one.
func Append(b []byte, changes []Change) []byte {
	w := writer{b: append(b, version), names: map[string]uint64{}}
	w.number(uint64(len(changes)))
	for i := range changes {
		w.change(&changes[i])
	}
	return w.b
}

// writer writes each name once, and from then on where it came among the names.
type writer struct {
	b     []byte
	names map[string]uint64
}

func (w *writer) number(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *writer) change(c *Change) {
	w.name(c.Table)
	w.b = binary.LittleEndian.AppendUint64(w.b, c.Sum)
	is := byte(c.Kinds)
	if c.Columns.All {
		is |= allColumns
	}
	w.b = append(w.b, is)
	w.number(uint64(len(c.Columns.Names)))
	for _, name := range c.Columns.Names {
		w.name(name)
	}
	w.pins(c.Where)
	w.pins(c.Set)
}

func (w *writer) name(s string) {
	if at, known := w.names[s]; known {
		w.number(at<<1 | 1)
		return
	}
	w.names[s] = uint64(len(w.names))
	w.number(uint64(len(s)) << 1)
	w.b = append(w.b, s...)
}

// pins writes how many values there are plus one, as there may be a list of none, and no list.
func (w *writer) pins(pins coherence.Pins) {
	w.number(uint64(len(pins)))
	for _, pin := range pins {
		w.name(pin.Column)
		if pin.Values == nil {
			w.number(0)
			continue
		}
		w.number(uint64(len(pin.Values)) + 1)
		for _, v := range pin.Values {
			w.number(uint64(len(v)))
			w.b = append(w.b, v...)
		}
	}
}

// Read returns the changes of a batch. An error means that anything may have changed.
func Read(b []byte) ([]Change, error) {
	switch {
	case len(b) == 0 || b[0] != version:
		return nil, errVersion
	case len(b) > MaxBytes:
		return nil, fmt.Errorf("batch: %d bytes: want %d at most", len(b), MaxBytes)
	}
	r := reader{b: b[1:]}
	n := r.count(changeBytes)
	changes := make([]Change, 0, n)
	for range n {
		changes = append(changes, r.change())
	}
	if r.failed || len(changes) == 0 || len(r.b) > 0 {
		return nil, errCutOff
	}
	return changes, nil
}

// What a change, a pin and all else take in a batch at least, in bytes: by that a count is refused
// for which there is no room.
const (
	changeBytes = 13
	pinBytes    = 2
)

// reader reads what a writer wrote. Once it has failed, it reads nothing but zeros.
type reader struct {
	b      []byte
	names  []string
	failed bool
}

func (r *reader) fail() { r.failed, r.b = true, nil }

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

// count reads how many follow that take so many bytes each at least.
func (r *reader) count(each int) int {
	n := r.number()
	if n > uint64(len(r.b)/each) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) change() (c Change) {
	c.Table = r.name()
	if sum := r.take(8); !r.failed {
		c.Sum = binary.LittleEndian.Uint64(sum)
	}
	var is byte
	if one := r.take(1); !r.failed {
		is = one[0]
	}
	c.Kinds, c.Columns.All = coherence.Kind(is&kindBits), is&allColumns != 0
	if c.Kinds == 0 || is&^(kindBits|allColumns) != 0 {
		r.fail()
	}
	for range r.count(1) {
		c.Columns.Names = append(c.Columns.Names, r.name())
	}
	c.Where = r.pins()
	c.Set = r.pins()
	return c
}

func (r *reader) name() string {
	n := r.number()
	if n&1 == 0 {
		s := string(r.take(n >> 1))
		r.names = append(r.names, s)
		return s
	}
	if n >>= 1; n >= uint64(len(r.names)) {
		r.fail()
		return ""
	}
	return r.names[n]
}

func (r *reader) pins() (pins coherence.Pins) {
	for range r.count(pinBytes) {
		pin := coherence.Pin{Column: r.name()}
		if n := r.number(); n > 0 {
			if n--; n > uint64(len(r.b)) {
				r.fail()
				return nil
			}
			pin.Values = make([]coherence.Value, 0, n)
			for range n {
				pin.Values = append(pin.Values, coherence.Value(r.take(r.number())))
			}
		}
		if _, twice := pins.Of(pin.Column); twice {
			r.fail() // no column has two
		}
		pins = append(pins, pin)
	}
	return pins
}
