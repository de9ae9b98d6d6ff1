package args

import (
	"crypto/sha256"
	"database/sql/driver"
	"encoding/hex"
	"hash/maphash"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
)

// Text is where the bind values of a query are written, one after the other. The zero value is an
// empty text. It is not safe for concurrent use.
type Text struct {
	Bytes []byte
	// Moving is set by a bind value that the database reads as a moment that moves, such as "now".
	Moving bool
	// PGX says that bind values may reach pgx, which asks some of them in ways of its own.
	PGX bool
	// Said stands for what the Valuers among the bind values said, in any order; 0 if there are
	// none.
	Said uint64

	whole []byte // a key that has this text at its end
}

var texts = sync.Pool{New: func() any { return &Text{} }}

// NewText returns an empty text, whose memory Free lets others use again.
func NewText() *Text {
	t := texts.Get().(*Text)
	t.Reset()
	t.PGX = false
	return t
}

// Reset empties a text, for bind values that reach the same driver.
func (t *Text) Reset() { t.Bytes, t.Moving, t.Said = t.Bytes[:0], false, 0 }

// Cap returns how much memory a text has.
func (t *Text) Cap() int { return cap(t.Bytes) + cap(t.whole) }

// mostCap is up to how much memory a text is used again.
const mostCap = 16 << 10

// Free gives back a text that NewText returned.
func (t *Text) Free() {
	if t.Cap() <= mostCap {
		texts.Put(t)
	}
}

// Add appends a bind value. It reports false for values that drivers understand by means that are
// not known here.
func (t *Text) Add(value any) bool {
	switch v := value.(type) {
	case string:
		t.AddString(v)
		return true
	case int:
		t.AddInt(int64(v))
		return true
	case uint:
		return t.AddUint(uint64(v))
	case driver.Valuer:
		if t.Refuses(v) {
			return false
		}
		inner, err := DriverValue(v)
		return err == nil && t.AddValuer(v, inner)
	case gorm.Valuer:
		return false
	}
	return t.driverValue(value)
}

var saidSeed = maphash.MakeSeed()

// AddValuer appends a Valuer by its driver value. It reports false for what database/sql does not
// take.
func (t *Text) AddValuer(v driver.Valuer, inner driver.Value) bool {
	from := len(t.Bytes)
	t.pgtype(v)
	if !driver.IsValue(inner) || !t.driverValue(inner) {
		return false
	}
	t.Said += maphash.Bytes(saidSeed, t.Bytes[from:]) | 1
	return true
}

// driverValue appends a value as drivers take it: by kind.
func (t *Text) driverValue(value any) bool {
	switch v := value.(type) {
	case nil:
		t.Bytes = append(t.Bytes, 'n', ';')
		return true
	case int64:
		t.AddInt(v)
		return true
	case bool:
		t.boolean(v)
		return true
	case float64:
		t.float(v)
		return true
	case string:
		t.AddString(v)
		return true
	case []byte:
		if v == nil {
			t.Bytes = append(t.Bytes, 'N', ';')
			return true
		}
		t.Moving = t.Moving || sqltext.MovingTime(unsafe.String(unsafe.SliceData(v), len(v)))
		t.bytes('b', v)
		return true
	case time.Time:
		// Some databases keep the wall clock or the offset, others the moment: all three are part
		// of the key. So is the name of the zone, which is in the text of a time: pgx sends that
		// where a text is asked for.
		zone, offset := v.Zone()
		t.Bytes = append(t.Bytes, 't')
		t.Bytes = strconv.AppendInt(t.Bytes, v.Unix(), 10)
		t.Bytes = append(t.Bytes, '.')
		t.Bytes = strconv.AppendInt(t.Bytes, int64(v.Nanosecond()), 10)
		t.Bytes = append(t.Bytes, '@')
		t.Bytes = strconv.AppendInt(t.Bytes, int64(offset), 10)
		if zone != usualZone(offset) {
			if strings.IndexByte(zone, ';') >= 0 {
				return false // which ends the arg
			}
			t.Bytes = append(t.Bytes, ',')
			t.Bytes = append(t.Bytes, zone...)
		}
		t.Bytes = append(t.Bytes, ';')
		return true
	}
	rv := reflect.ValueOf(value)
	switch rv.Kind() {
	case reflect.Pointer:
		if rv.IsNil() {
			t.Bytes = append(t.Bytes, 'n', ';')
			return true
		}
		if t.PGX && pointerSpeaks(rv.Type()) {
			return false
		}
		return t.Add(rv.Elem().Interface())
	}
	if of := rv.Type(); of.PkgPath() != "" {
		if t.PGX && strings.HasPrefix(of.PkgPath(), pgxPath) {
			return false // an option of pgx's, such as a QueryExecMode, which is no bind value
		}
		// Drivers may treat a named type in a way of their own, as pgx does time.Duration.
		t.named(of)
	}
	switch rv.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		t.AddInt(rv.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return t.AddUint(rv.Uint())
	case reflect.Bool:
		t.boolean(rv.Bool())
	case reflect.Float32:
		// Drivers that take it as it is write it with fewer digits.
		t.Bytes = append(t.Bytes, 'g')
		t.float(rv.Float())
	case reflect.Float64:
		t.float(rv.Float())
	case reflect.String:
		t.AddString(rv.String())
	case reflect.Slice:
		if rv.Type().Elem().Kind() != reflect.Uint8 {
			return false
		}
		return t.driverValue(rv.Bytes())
	default:
		return false
	}
	return true
}

// named captures the type of a bind value.
func (t *Text) named(of reflect.Type) {
	t.Bytes = append(t.Bytes, '#')
	t.Bytes = strconv.AppendUint(t.Bytes, TypeID(of), 36)
	t.Bytes = append(t.Bytes, ';')
}

// usualZone is the name that a zone of an offset has in a key that tells none.
func usualZone(offset int) string {
	if offset == 0 {
		return "UTC"
	}
	return ""
}

// AddString appends a text.
func (t *Text) AddString(v string) {
	t.Moving = t.Moving || sqltext.MovingTime(v)
	t.AddTagged('s', v)
}

// AddInt appends an integer.
func (t *Text) AddInt(v int64) {
	t.Bytes = append(t.Bytes, 'i')
	t.Bytes = strconv.AppendInt(t.Bytes, v, 10)
	t.Bytes = append(t.Bytes, ';')
}

// AddUint appends an integer that is not negative. It reports true.
func (t *Text) AddUint(v uint64) bool {
	if v > math.MaxInt64 {
		t.Bytes = append(t.Bytes, 'u')
		t.Bytes = strconv.AppendUint(t.Bytes, v, 10)
		t.Bytes = append(t.Bytes, ';')
		return true
	}
	t.AddInt(int64(v))
	return true
}

func (t *Text) boolean(v bool) {
	if v {
		t.Bytes = append(t.Bytes, "y;"...)
	} else {
		t.Bytes = append(t.Bytes, "x;"...)
	}
}

func (t *Text) float(v float64) {
	t.Bytes = append(t.Bytes, 'f')
	t.Bytes = strconv.AppendUint(t.Bytes, math.Float64bits(v), 16)
	t.Bytes = append(t.Bytes, ';')
}

func (t *Text) bytes(tag byte, v []byte) {
	t.measured(tag, len(v))
	t.Bytes = append(t.Bytes, v...)
	t.Bytes = append(t.Bytes, ';')
}

// AddTagged appends a text that is no bind value, but part of a key: the tag tells what it is.
func (t *Text) AddTagged(tag byte, v string) {
	t.measured(tag, len(v))
	t.Bytes = append(t.Bytes, v...)
	t.Bytes = append(t.Bytes, ';')
}

// measured begins an arg whose length is not told by what it is.
func (t *Text) measured(tag byte, length int) {
	switch {
	case length < 10:
		t.Bytes = append(t.Bytes, tag, '0'+byte(length), ':')
	case length < 100:
		t.Bytes = append(t.Bytes, tag, '0'+byte(length/10), '0'+byte(length%10), ':')
	default:
		t.Bytes = append(t.Bytes, tag)
		t.Bytes = strconv.AppendInt(t.Bytes, int64(length), 10)
		t.Bytes = append(t.Bytes, ':')
	}
}

// Long is from how many bytes on the args of a key are replaced by their SHA-256.
const Long = 512

// Key returns the key of this text under a template's prefix, in memory that the text owns.
func (t *Text) Key(prefix string) []byte {
	t.whole = append(t.whole[:0], prefix...)
	if len(t.Bytes) > Long {
		sum := sha256.Sum256(t.Bytes)
		t.whole = append(t.whole, "sha256:"...)
		t.whole = hex.AppendEncode(t.whole, sum[:])
	} else {
		t.whole = append(t.whole, t.Bytes...)
	}
	return t.whole
}

// Lent returns a key as a string that shares its memory, which the caller will use again. Whoever
// may keep the keys that it is asked for gets a copy.
func Lent(key []byte, keeps bool) string {
	if keeps {
		return string(key)
	}
	return unsafe.String(unsafe.SliceData(key), len(key))
}
