package args

import (
	"reflect"
	"slices"
)

// Binding says how the bind values of a template's queries come from the args in their keys, so
// that a query can be run of which only the key is known. There is one for queries whose SQL takes
// the args in the order in which the key has them. It does not change and is safe for concurrent
// use.
type Binding struct {
	args []bind
	// Tail is what the SQL takes besides, which the shape decides.
	Tail []any
}

// bind is how one arg is passed.
type bind struct {
	named  reflect.Type // the type that was given a name of its own; nil for others
	prefix string       // what tells it in a key
}

// NewBinding returns the binding of n args of no named types, and this tail.
func NewBinding(n int, tail []any) *Binding { return &Binding{make([]bind, n), tail} }

// BindingOf finds out how a query whose key has these args is to be bound, by one that was run with
// these bind values; nil if that cannot be told.
func BindingOf(text string, vars []any) *Binding {
	values, ok := Split(text, nil)
	if !ok || len(values) > len(vars) {
		return nil
	}
	b := &Binding{args: make([]bind, len(values))}
	t := NewText()
	defer t.Free()
	for i, v := range values {
		t.Reset()
		kept, ok := Kept(vars[i])
		// If two args are equal their order is not told.
		if !ok || !t.Add(kept) || string(t.Bytes) != v || slices.Contains(values[:i], v) {
			return nil
		}
		if prefix, _, named := CutType(v); named {
			b.args[i] = bind{reflect.TypeOf(kept), prefix}
		}
	}
	for _, v := range vars[len(values):] {
		kept, ok := Kept(v)
		if !ok {
			return nil
		}
		b.Tail = append(b.Tail, kept)
	}
	return b
}

// Len returns how many args the keys have.
func (b *Binding) Len() int { return len(b.args) }

// Named reports whether an arg is of a named type, which means nothing in another process.
func (b *Binding) Named() bool {
	return slices.ContainsFunc(b.args, func(one bind) bool { return one.named != nil })
}

// Vars returns the bind values for the args of a key.
func (b *Binding) Vars(text string) (vars []any, ok bool) {
	values, ok := Split(text, nil)
	if !ok || len(values) != len(b.args) {
		return nil, false
	}
	for i, v := range values {
		prefix, rest, _ := CutType(v)
		value, ok := Decode(rest)
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
	return append(vars, b.Tail...), true
}

// Plain appends the args of a key to into, without what tells their types: as other queries, and
// answers, have them.
func (b *Binding) Plain(text string, into []string) (values []string, ok bool) {
	from := len(into)
	values, ok = Split(text, into)
	if !ok || len(values)-from != len(b.args) {
		return into, false
	}
	for i := range b.args {
		prefix, rest, _ := CutType(values[from+i])
		if prefix != b.args[i].prefix {
			return into, false
		}
		values[from+i] = rest
	}
	return values, true
}

// Append appends the args of the key whose plain ones these are to into.
func (b *Binding) Append(into []byte, plain []string) ([]byte, bool) {
	if len(plain) != len(b.args) {
		return into, false
	}
	for i, v := range plain {
		into = append(append(into, b.args[i].prefix...), v...)
	}
	return into, true
}
