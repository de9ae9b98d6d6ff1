package catalog

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Value returns what stands for a bind value, or for a value that a column is given; "" where it
// cannot be told which others the database takes for equal.
func (c *Column) Value(v any) coherence.Value {
	if c.Class == Opaque {
		return ""
	}
	switch v.(type) {
	case gorm.Valuer, clause.Expression:
		return "" // what it is rendered as
	}
	if valuer, ok := v.(driver.Valuer); ok {
		first, err := args.DriverValue(valuer)
		if err != nil {
			return ""
		}
		// What says another thing each time says it to the driver, too.
		again, err := args.DriverValue(valuer)
		if err != nil || !sameDriverValue(first, again) {
			return ""
		}
		v = first
	}
	switch v := v.(type) {
	case nil:
		return c.null()
	case string:
		return c.text(v)
	case []byte:
		if v == nil {
			return c.null()
		}
		return c.bytes(v)
	case time.Time:
		return c.some()
	}
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Pointer:
		if rv.IsNil() {
			return c.null()
		}
		return c.Value(rv.Elem().Interface())
	case reflect.Bool:
		if rv.Bool() {
			return c.integer(1)
		}
		return c.integer(0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return c.integer(rv.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if rv.Uint() > math.MaxInt64 {
			return ""
		}
		return c.integer(int64(rv.Uint()))
	case reflect.Float32, reflect.Float64:
		if math.IsNaN(rv.Float()) {
			return "" // which SQLite keeps as NULL
		}
		return c.some()
	case reflect.String:
		// What has methods may tell a driver another text: pgx asks a Stringer.
		if rv.Type().NumMethod() == 0 {
			return c.text(rv.String())
		}
	}
	return ""
}

// Image returns what stands for a value that the database itself says a row has: nil for NULL, a
// bool, a string, the bytes of a binary one, and anything else for one of which is known that it is
// not NULL. What is of another kind than the model says is not compared as the model says either:
// "".
func (c *Column) Image(v any) coherence.Value {
	as := c.AsRead()
	switch v := v.(type) {
	case nil, bool:
		return as.Value(v)
	case string:
		return as.text(v)
	case []byte:
		if c.Class == Bytewise {
			return as.bytes(v)
		}
	}
	return as.some()
}

// Operand returns what stands for one value in a statement; "" if that is not known.
func (c *Column) Operand(o sqltext.Operand, vars []any) coherence.Value {
	switch o.Kind {
	case sqltext.Bind:
		if o.Param < 1 || o.Param > len(vars) {
			return ""
		}
		return c.Value(vars[o.Param-1])
	case sqltext.Null:
		return c.null()
	case sqltext.Number, sqltext.Text:
		if o.Kind == sqltext.Number && c.Folds() {
			return "" // MySQL compares as numbers: 7 is '7', '07' and '7 days'
		}
		if o.Text == "" {
			return "" // NULL, if the server is set so
		}
		return c.text(o.Text)
	case sqltext.True:
		return c.Value(true)
	case sqltext.False:
		return c.Value(false)
	}
	return ""
}

// SomeValue stands for any value but NULL.
const SomeValue coherence.Value = "some"

// some returns what stands for all values but NULL where no others are told apart.
func (c *Column) some() coherence.Value {
	if c.Class != nullness {
		return ""
	}
	return SomeValue
}

// sameDriverValue compares driver values of the types that are told apart here; others are never
// the same.
func sameDriverValue(a, b driver.Value) bool {
	switch a := a.(type) {
	case nil, int64, float64, bool, string:
		return a == b
	case time.Time:
		b, ok := b.(time.Time)
		return ok && a.Equal(b)
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	}
	return false
}

func (c *Column) null() coherence.Value {
	if !c.nullable || c.generated {
		return ""
	}
	return coherence.Null
}

func (c *Column) integer(v int64) coherence.Value {
	if c.Class == nullness {
		return c.some()
	}
	if c.Class != Integer || v < c.min || v > c.max || v == 0 && c.generated {
		return ""
	}
	return coherence.Value(strconv.AppendInt(append(make([]byte, 0, 24), 'i'), v, 10))
}

func (c *Column) text(s string) coherence.Value {
	switch {
	case c.Class == Integer:
		// '7' is 7 to every database; '07' is to some.
		if v, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(v, 10) == s {
			return c.integer(v)
		}
	case c.longest > 0 && len(s) > c.longest, c.untyped && !spelledOneWay(s):
	case c.Class == Textual && !(c.ascii && beyondASCII(s)), c.Class == Collated && printable(s):
		return textValue(s)
	}
	return c.some()
}

func (c *Column) bytes(b []byte) coherence.Value {
	switch c.Class {
	case Textual, Collated:
		return c.text(string(b))
	case Bytewise:
		if c.longest > 0 && len(b) > c.longest {
			return ""
		}
		// Fixed lengths are filled up with zeros.
		return coherence.Value("b" + string(bytes.TrimRight(b, "\x00")))
	}
	return c.some()
}

// longestText is how much of a text's folded form is compared.
const longestText = 96

// textValue folds a text so that all which some database takes for equal to it fold alike: in a
// column that a migration of the application's own made citext, NOCASE, RTRIM, uuid, char or
// numeric, which the model need not show. Texts that look like dates may be equal in ways of their
// own: "".
func textValue(s string) coherence.Value {
	if len(s) >= len("2006-01") && s[4] == '-' && isDigits(s[:4]) && isDigits(s[5:7]) {
		return ""
	}
	if v, ok := number(strings.TrimSpace(s)); ok {
		return v
	}
	folded := make([]byte, 1, min(len(s), longestText)+1)
	folded[0] = 's'
	for _, r := range s {
		switch {
		case r == '-' || r == '{' || r == '}' || unicode.IsSpace(r):
			continue
		case 'A' <= r && r <= 'Z':
			r += 'a' - 'A'
		case r > unicode.MaxASCII:
			r = unicode.ToLower(unicode.ToUpper(r))
		}
		folded = utf8.AppendRune(folded, r)
		if len(folded) > longestText {
			return coherence.Value(folded)
		}
	}
	if v, ok := number(string(folded[1:])); ok { // such as a uuid of nothing but digits
		return v
	}
	return coherence.Value(folded)
}

// number returns what stands for a text that is a number; "" for one that is too large or too near
// to 0 to be told from others.
func number(s string) (v coherence.Value, ok bool) {
	if s == "" || s[len(s)-1] != '.' && !isDigits(s[len(s)-1:]) {
		return "", false
	}
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return "", false
	case math.IsInf(n, 0), n == 0 && strings.ContainsAny(s, "eEpP"):
		return "", true
	case n == 0:
		n = 0 // which -0 is equal to
	}
	return coherence.Value(strconv.AppendFloat([]byte("s#"), n, 'g', -1, 64)), true
}

// beyondASCII reports whether a text has a character that is none of ASCII.
func beyondASCII(s string) bool {
	for i := range len(s) {
		if s[i] > unicode.MaxASCII {
			return true
		}
	}
	return false
}

// printable reports whether all characters of a text are of printable ASCII: a collation may ignore
// others.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
