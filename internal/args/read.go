package args

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"
)

// Split appends the single args of a text to into. It reports false for a text that is not whole,
// or that has more in it than bind values.
func Split(text string, into []string) ([]string, bool) {
	for len(text) > 0 {
		n := length(text)
		if n <= 0 || n > len(text) {
			return into, false
		}
		into = append(into, text[:n])
		text = text[n:]
	}
	return into, true
}

// length returns how long the first arg of a text is, 0 if that cannot be told.
func length(text string) int {
	end := func(s string) int { return strings.IndexByte(s, ';') + 1 }
	switch text[0] {
	case '#':
		prefix := end(text)
		if prefix == 0 || prefix == len(text) || text[prefix] == '#' {
			return 0
		}
		if n := length(text[prefix:]); n > 0 {
			return prefix + n
		}
		return 0
	case 'g':
		if len(text) < 2 || text[1] != 'f' {
			return 0
		}
		return end(text)
	case 's', 'b':
		colon := strings.IndexByte(text, ':')
		if colon < 0 {
			return 0
		}
		n, err := strconv.Atoi(text[1:colon])
		if err != nil || n < 0 || n >= len(text)-colon-1 || text[colon+1+n] != ';' {
			return 0
		}
		return colon + 1 + n + 1
	case 'i', 'u', 'n', 'N', 'y', 'x', 'f', 't':
		return end(text)
	}
	return 0
}

// CutType takes off an arg what tells its named type.
func CutType(arg string) (prefix, rest string, named bool) {
	if !strings.HasPrefix(arg, "#") {
		return "", arg, false
	}
	i := strings.IndexByte(arg, ';') + 1
	return arg[:i], arg[i:], true
}

// Encode writes one bind value as keys have it. It reports false for values that have no form in
// keys.
func Encode(v any) (arg string, ok bool) {
	t := NewText()
	defer t.Free()
	ok = t.Add(v)
	return string(t.Bytes), ok
}

// Decode returns the value of an arg that names no type: what drivers treat as they treat the value
// that the arg was made of.
func Decode(arg string) (any, bool) {
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
		return decodeTime(body)
	}
	return nil, false
}

// decodeTime reads seconds.nanoseconds@offset, or seconds.nanoseconds@offset,name of the zone.
func decodeTime(body string) (any, bool) {
	moment, zone, ok := strings.Cut(body, "@")
	seconds, nanos, ok2 := strings.Cut(moment, ".")
	s, err := strconv.ParseInt(seconds, 10, 64)
	n, err2 := strconv.ParseInt(nanos, 10, 64)
	zone, name, named := strings.Cut(zone, ",")
	offset, err3 := strconv.Atoi(zone)
	if !ok || !ok2 || err != nil || err2 != nil || err3 != nil {
		return nil, false
	}
	at := time.Unix(s, n)
	switch {
	case named:
		return at.In(time.FixedZone(name, offset)), true
	case offset == 0:
		return at.UTC(), true
	}
	return at.In(time.FixedZone("", offset)), true
}
