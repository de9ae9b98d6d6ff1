package clone

import (
	"fmt"
	"reflect"
	"strings"
	"unsafe"
)

// pathEnds is how many steps of a long path an error shows from either end.
const pathEnds = 16

// refusal returns the error for the value at src that could not be copied. It
// walks the value anew, so that a copy that succeeds keeps no paths.
func refusal(p *Plan, src unsafe.Pointer) error {
	w := walker{seen: map[place]bool{}}
	bad := w.walk(p, src)
	if bad == nil {
		return fmt.Errorf("%w: in %s", ErrUncopyable, p.typ)
	}
	path := w.path
	if len(path) > 2*pathEnds {
		head, tail := path[:pathEnds], path[len(path)-pathEnds:]
		path = append(append(append([]string{}, head...), " ... "), tail...)
	}
	name := p.typ.String()
	if strings.HasPrefix(name, "*") {
		name = "(" + name + ")"
	}
	return fmt.Errorf("%w: %s is a non-zero %s", ErrUncopyable, name+strings.Join(path, ""), bad)
}

// walker looks for the first value that cannot be copied. path is where it is.
type walker struct {
	path []string
	seen map[place]bool
}

// walk returns the type of the value that it found, with path leading there, or
// nil with path as it was.
func (w *walker) walk(p *Plan, at unsafe.Pointer) reflect.Type {
	if p.flat {
		return nil
	}
	switch p.op {
	case opWord:
		if *(*unsafe.Pointer)(at) != nil {
			return p.typ
		}
	case opValue:
		if (*reflect.Value)(at).IsValid() {
			return p.typ
		}
	case opPtr:
		q := *(*unsafe.Pointer)(at)
		if q != nil && w.first(place{q, p.elem, kindPointer}) {
			return w.walk(p.elem, q)
		}
	case opStruct:
		for i, f := range p.raw {
			if bad := w.step("."+p.typ.Field(i).Name, f.plan, unsafe.Add(at, f.off)); bad != nil {
				return bad
			}
		}
	case opArray:
		return w.elems(p.elem, at, p.n)
	case opSlice:
		s := (*slice)(at)
		if s.data != nil && w.first(place{s.data, p.elem, kindSlice + s.len}) {
			return w.elems(p.elem, s.data, s.len)
		}
	case opMap:
		m := *(*unsafe.Pointer)(at)
		if m == nil || !w.first(place{m, p, kindPointer}) {
			return nil
		}
		for it := p.mapAt(m).MapRange(); it.Next(); {
			k, e := reflect.New(p.key.typ), reflect.New(p.elem.typ)
			k.Elem().SetIterKey(it)
			e.Elem().SetIterValue(it)
			const name = "[...]" // a key is a value, which errors do not show
			if bad := w.step(name+" (key)", p.key, k.UnsafePointer()); bad != nil {
				return bad
			}
			if bad := w.step(name, p.elem, e.UnsafePointer()); bad != nil {
				return bad
			}
		}
	case opIface:
		v := reflect.NewAt(p.typ, at).Elem().Elem()
		if !v.IsValid() {
			return nil
		}
		q := For(v.Type())
		data := (*iface)(at).data
		if q.direct {
			data = unsafe.Pointer(&(*iface)(at).data)
		} else if !w.first(place{data, q, kindBox}) {
			return nil
		}
		return w.step(".("+q.typ.String()+")", q, data)
	}
	return nil
}

// first reports whether the place is met for the first time.
func (w *walker) first(at place) bool {
	if w.seen[at] {
		return false
	}
	w.seen[at] = true
	return true
}

func (w *walker) step(name string, p *Plan, at unsafe.Pointer) reflect.Type {
	if p.flat {
		return nil
	}
	w.path = append(w.path, name)
	bad := w.walk(p, at)
	if bad == nil {
		w.path = w.path[:len(w.path)-1]
	}
	return bad
}

func (w *walker) elems(p *Plan, at unsafe.Pointer, n int) reflect.Type {
	for i := range n {
		if bad := w.step(fmt.Sprintf("[%d]", i), p, unsafe.Add(at, uintptr(i)*p.size)); bad != nil {
			return bad
		}
	}
	return nil
}
