package args

import (
	"database/sql/driver"
	"reflect"
	"strings"
	"sync"
)

// Refuses reports whether a Valuer cannot be told by its driver value, as pgx does not ask for
// that.
func (t *Text) Refuses(v driver.Valuer) bool { return t.PGX && speaksPgx(reflect.TypeOf(v)) }

// pgtype appends the type of a Valuer that is one of pgtype: pgx does not ask it for its driver
// value, and sends a Numeric of 5.0 where an integer is asked for, but not the text "5.0".
func (t *Text) pgtype(v driver.Valuer) {
	if !t.PGX {
		return
	}
	if of := behind(reflect.TypeOf(v)); ofPgtype(of) {
		t.named(of)
	}
}

// behind returns what a pointer type points to, and other types as they are.
func behind(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// pgxPath is what the packages of pgx begin with.
const pgxPath = "github.com/jackc/pgx/"

// pgxTypes remembers of which types speaksPgx is true.
var pgxTypes sync.Map

// speaksPgx reports whether pgx asks values of a type in ways of its own, before it asks for their
// driver value: by the methods of an interface of pgtype. The types of pgtype themselves are part
// of the key.
func speaksPgx(t reflect.Type) bool {
	if known, ok := pgxTypes.Load(t); ok {
		return known.(bool)
	}
	own, speaks := behind(t), false
	for i := 0; i < t.NumMethod() && !ofPgtype(own); i++ {
		speaks = speaks || methodOfPgx(t.Method(i))
	}
	pgxTypes.Store(t, speaks)
	return speaks
}

// pgxPointers remembers of which types pointerSpeaks is true.
var pgxPointers sync.Map

// pointerSpeaks reports whether pgx asks a pointer what it could not ask of what it points to: for
// a text, as a Stringer, or for a document.
func pointerSpeaks(t reflect.Type) bool {
	if own := t.Elem(); t.NumMethod() == 0 || own == timeType || own.Kind() == reflect.Interface {
		return false
	}
	if known, ok := pgxPointers.Load(t); ok {
		return known.(bool)
	}
	speaks := false
	for i := range t.NumMethod() {
		m := t.Method(i)
		if _, both := t.Elem().MethodByName(m.Name); both {
			continue
		}
		speaks = speaks || m.Name == "String" || m.Name == "MarshalJSON" || m.Name == "MarshalText" || methodOfPgx(m)
	}
	pgxPointers.Store(t, speaks)
	return speaks
}

// methodOfPgx reports whether pgx may call a method of a bind value. Nearly all of these return
// something of pgtype, as in Int64Value() (pgtype.Int8, error) or Dimensions()
// []pgtype.ArrayDimension.
func methodOfPgx(m reflect.Method) bool {
	signature := m.Type // with the receiver before the parameters
	for i := range signature.NumOut() {
		out := behind(signature.Out(i))
		if out.Kind() == reflect.Slice {
			out = out.Elem()
		}
		if ofPgtype(out) {
			return true
		}
	}
	switch m.Name {
	case "BytesValue", "NetipPrefixValue":
		return signature.NumIn() == 1 && signature.NumOut() == 2 && signature.Out(1) == errorType
	case "Index":
		return signature.NumIn() == 2 && signature.In(1).Kind() == reflect.Int && signature.NumOut() == 1 && signature.Out(0) == anyType
	case "SkipUnderlyingTypePlan":
		return signature.NumIn() == 1 && signature.NumOut() == 0
	}
	return false
}

// ofPgtype reports whether a type is of a package pgtype, of which there is one in each major
// version of pgx.
func ofPgtype(t reflect.Type) bool { return strings.HasSuffix(t.PkgPath(), "/pgtype") }

var (
	errorType = reflect.TypeFor[error]()
	anyType   = reflect.TypeFor[any]()
)
