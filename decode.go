package preload

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/prediction"
)

// binds says how the bind values of a template's queries come from the args in their keys, so that a query can be run whose key alone
// is known. It is known of queries whose SQL takes the args in the order in which the key has them.
type binds struct {
	args []bind
	tail []any // what the SQL takes besides, which the shape decides
}

// bind is how one arg is passed.
type bind struct {
	named  reflect.Type // the type that was given a name of its own; nil for others
	prefix string       // what tells it in a key
}

// bindsOf finds out how a query whose key has these args is to be bound, by one that was run with these bind values; nil if that cannot
// be told.
func bindsOf(args string, vars []any) *binds {
	values, ok := splitArgs(args, nil)
	if !ok || len(values) > len(vars) {
		return nil
	}
	b := &binds{args: make([]bind, len(values))}
	f := newFingerprint()
	defer f.free()
	for i, v := range values {
		f.args = f.args[:0]
		kept, ok := keptVar(vars[i])
		// If two args are equal their order is not told.
		if !ok || !f.arg(kept) || string(f.args) != string(v) || slices.Contains(values[:i], v) {
			return nil
		}
		if prefix, _, named := cutType(string(v)); named {
			b.args[i] = bind{reflect.TypeOf(kept), prefix}
		}
	}
	for _, v := range vars[len(values):] {
		kept, ok := keptVar(v)
		if !ok {
			return nil
		}
		b.tail = append(b.tail, kept)
	}
	return b
}

// vars returns the bind values for the args of a key.
func (b *binds) vars(args string) (vars []any, ok bool) {
	values, ok := splitArgs(args, nil)
	if !ok || len(values) != len(b.args) {
		return nil, false
	}
	for i, v := range values {
		prefix, text, _ := cutType(string(v))
		value, ok := decodeArg(text)
		if !ok || prefix != b.args[i].prefix {
			return nil, false
		}
		if named := b.args[i].named; named != nil {
			rv := reflect.ValueOf(value)
			if !rv.IsValid() || !rv.CanConvert(named) {
				return nil, false
			}
			value = rv.Convert(named).Interface()
		}
		vars = append(vars, value)
	}
	return append(vars, b.tail...), true
}

// plain returns the args of a key without what tells their types, as other queries and answers have them.
func (b *binds) plain(args string, into []prediction.Value) (values []prediction.Value, ok bool) {
	from := len(into)
	values, ok = splitArgs(args, into)
	if !ok || len(values)-from != len(b.args) {
		return into, false
	}
	for i := range b.args {
		prefix, text, _ := cutType(string(values[from+i]))
		if prefix != b.args[i].prefix {
			return into, false
		}
		values[from+i] = prediction.Value(text)
	}
	return values, true
}

// key returns the args of a key of which these are the plain ones.
func (b *binds) key(values []prediction.Value) (args string, ok bool) {
	if len(values) != len(b.args) {
		return "", false
	}
	var all strings.Builder
	for i, v := range values {
		all.WriteString(b.args[i].prefix)
		all.WriteString(string(v))
	}
	return all.String(), all.Len() <= longArgs
}

// splitArgs splits the args of a key, as fingerprint writes them. It reports false for those that are not bind values only, or not
// there.
func splitArgs(args string, into []prediction.Value) ([]prediction.Value, bool) {
	for len(args) > 0 {
		n := argLength(args)
		if n <= 0 || n > len(args) {
			return into, false
		}
		into = append(into, prediction.Value(args[:n]))
		args = args[n:]
	}
	return into, true
}

// argLength returns how long the first arg is, 0 if that cannot be told.
func argLength(args string) int {
	end := func(s string) int { return strings.IndexByte(s, ';') + 1 }
	switch args[0] {
	case '#':
		prefix := end(args)
		if prefix == 0 || prefix == len(args) {
			return 0
		}
		if n := argLength(args[prefix:]); n > 0 {
			return prefix + n
		}
		return 0
	case 'g':
		if len(args) < 2 || args[1] != 'f' {
			return 0
		}
		return 1 + end(args[1:])
	case 's', 'b':
		colon := strings.IndexByte(args, ':')
		if colon < 0 {
			return 0
		}
		n, err := strconv.Atoi(args[1:colon])
		if last := colon + 1 + n; err == nil && n >= 0 && last < len(args) && args[last] == ';' {
			return last + 1
		}
		return 0
	case 'i', 'u', 'n', 'N', 'y', 'x', 'f', 't':
		return end(args)
	}
	return 0
}

// cutType takes off an arg what tells its named type.
func cutType(arg string) (prefix, rest string, named bool) {
	if !strings.HasPrefix(arg, "#") {
		return "", arg, false
	}
	i := strings.IndexByte(arg, ';') + 1
	return arg[:i], arg[i:], true
}

// encodeArg writes a bind value as keys have it.
func encodeArg(v any) (text string, ok bool) {
	f := newFingerprint()
	defer f.free()
	f.args = f.args[:0]
	ok = f.arg(v)
	return string(f.args), ok
}

// decodeArg returns the value of an arg: what drivers treat as they treat the one that it was made of.
func decodeArg(arg string) (any, bool) {
	body := strings.TrimSuffix(arg[1:], ";")
	switch arg[0] {
	case 'i':
		n, err := strconv.ParseInt(body, 10, 64)
		return n, err == nil
	case 'u':
		n, err := strconv.ParseUint(body, 10, 64)
		return n, err == nil
	case 'n':
		return nil, true
	case 'N':
		return []byte(nil), true
	case 'y':
		return true, true
	case 'x':
		return false, true
	case 'f':
		bits, err := strconv.ParseUint(body, 16, 64)
		return math.Float64frombits(bits), err == nil
	case 'g':
		bits, err := strconv.ParseUint(body[1:], 16, 64)
		return float32(math.Float64frombits(bits)), err == nil
	case 's', 'b':
		_, text, ok := strings.Cut(body, ":")
		if arg[0] == 'b' {
			return bytes.Clone([]byte(text)), ok
		}
		return text, ok
	case 't':
		moment, zone, ok := strings.Cut(body, "@")
		seconds, nanos, ok2 := strings.Cut(moment, ".")
		s, err := strconv.ParseInt(seconds, 10, 64)
		n, err2 := strconv.ParseInt(nanos, 10, 64)
		offset, err3 := strconv.Atoi(zone)
		if !ok || !ok2 || err != nil || err2 != nil || err3 != nil {
			return nil, false
		}
		at := time.Unix(s, n)
		if offset == 0 {
			return at.UTC(), true
		}
		return at.In(time.FixedZone("", offset)), true
	}
	return nil, false
}
