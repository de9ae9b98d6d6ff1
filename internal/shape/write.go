package shape

import (
	"encoding/binary"
	"reflect"

	"github.com/gorm-preload/preload/internal/args"
)

// What a shape is written with: each of these appends something that tells its own end.

func (f *Fingerprint) tag(b byte) { f.Shape = append(f.Shape, b) }

// number appends a number, in one byte where it is small.
func (f *Fingerprint) number(n int) {
	if n >= 0 && n < 0x80 {
		f.Shape = append(f.Shape, byte(n))
		return
	}
	f.Shape = binary.AppendUvarint(f.Shape, uint64(n))
}

func (f *Fingerprint) text(s string) {
	f.number(len(s))
	f.Shape = append(f.Shape, s...)
}

func (f *Fingerprint) flag(b bool) {
	if b {
		f.tag('+')
	} else {
		f.tag('-')
	}
}

// DestType returns the type into which a statement reads: a map, or a pointer. What Rows, Row and
// Scan have for a destination is their model, which may be a value: it counts as what it is of.
func DestType(dest any) reflect.Type {
	t := reflect.TypeOf(dest)
	if t == nil || t.Kind() == reflect.Pointer || t.Kind() == reflect.Map {
		return t
	}
	return reflect.PointerTo(t)
}

// typ captures the identity of a type: two types may have the same name.
func (f *Fingerprint) typ(t reflect.Type) {
	f.Shape = binary.NativeEndian.AppendUint64(f.Shape, args.TypeID(t))
}
