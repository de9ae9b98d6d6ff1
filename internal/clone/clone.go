// Package clone makes deep copies of Go values by their type. What a type
// needs is planned once and kept; a copy is then one typed move of the whole
// value, followed by work at the places that hold references.
//
// Invariants:
//
//   - The copy is what the source was, unexported and blank fields, nil versus
//     empty, and dynamic types included. Only the spare capacity of a slice is
//     not kept: the copy's capacity ends at its length, so that an append to it
//     never writes into memory that another slice uses.
//   - Source and copy share nothing that can be changed. They do share what
//     cannot be: strings, values boxed in an interface that hold no references,
//     pointers to zero-size values, *time.Location, *regexp.Regexp,
//     reflect.Type, and the types of package unique, which compare by pointer.
//   - The source is only read, so any number of copies of one source may run at
//     once.
//   - References whose type leads to a cycle of types, or to an interface that
//     may close one, keep their aliasing within one copy, and cycles end. Other
//     references (*string, []byte, a struct of such) are copied once for each
//     place that holds them.
//   - Aliasing is kept between equal pointers, maps, and slices of equal start
//     and length, and for pointers to an element or a struct inside memory that
//     was met before the pointer. A pointer that is met before the memory around
//     its target gets a copy of the target alone.
//   - The values behind one column of a slice of rows are allocated together:
//     the rows of []*T, the targets of a *string field, small []byte fields.
//     Keeping one of them keeps its neighbours from being collected.
package clone

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unsafe"
)

// ErrUncopyable is wrapped by the errors of values that cannot be copied: a
// non-nil func, chan or unsafe.Pointer, or a valid reflect.Value. The error
// names the type and the field path.
var ErrUncopyable = errors.New("clone: uncopyable value")

// Copy overwrites *dst with a deep copy of *src; both point to a value of the
// plan's type. What dst held before is overwritten whole. After an error *dst
// is unspecified and may share memory with *src.
func (p *Plan) Copy(dst, src unsafe.Pointer) error {
	p.move(dst, src)
	if p.flat || p.Renew(dst) {
		return nil
	}
	c := newCopier()
	if !p.loops {
		// What copy does then, without what nothing of the kind needs.
		err := c.fix(p, dst, p.size, 1)
		copiers.Put(c)
		if err != nil {
			return refusal(p, src)
		}
		return nil
	}
	defer c.release()
	return c.copy(p, src, job{plan: p, base: dst, n: 1}, func() { p.move(dst, src) })
}

// Renew makes the value at a place a copy of the one that it was assigned from:
// what it refers to is copied. It reports false, and does nothing, for types whose
// references lead further than to values that hold none. The place does not
// escape to the heap.
func (p *Plan) Renew(at unsafe.Pointer) bool {
	if !p.simple {
		return p.flat
	}
	for i := range p.fields {
		f := &p.fields[i]
		switch place := unsafe.Add(at, f.off); f.plan.op {
		case opPtr:
			if q := *(*unsafe.Pointer)(place); q != nil {
				*(*unsafe.Pointer)(place) = f.plan.elem.one(q)
			}
		case opSlice:
			switch s := (*slice)(place); {
			case s.data == nil || f.plan.flat:
			case s.len == 0:
				*s = slice{data: emptyData}
			default:
				*s = slice{f.plan.elem.words(s.data, s.len), s.len, s.len}
			}
		}
	}
	return true
}

// CopyInto is for plans of slice types. It copies all elements of the slice at
// src into the slice at dst, in dst's backing array when that has the capacity
// and is not also src's. The slice at dst gets the length of the one at src, a
// nil src gives a nil dst, and the elements of dst's array beyond that length
// stay as they are. After an error the elements are unspecified.
func (p *Plan) CopyInto(dst, src unsafe.Pointer) error {
	if p.op != opSlice {
		return fmt.Errorf("clone: CopyInto of %s, which is not a slice", p.typ)
	}
	to, from, e := (*slice)(dst), (*slice)(src), p.elem
	switch {
	case from.data == nil:
		*to = slice{}
		return nil
	case e.size == 0:
		*to = *from
		return nil
	case from.len == 0:
		if to.data == nil {
			to.data = emptyData
		}
		to.len = 0
		return nil
	case to.cap < from.len || overlap(to, from, e.size):
		return p.Copy(dst, src)
	}
	to.len = from.len
	c := newCopier()
	defer c.release()
	fill := func() { c.moveN(e, to.data, from.data, from.len) }
	fill()
	if e.flat {
		return nil
	}
	return c.copy(p, src, job{plan: e, base: to.data, n: to.len}, fill)
}

// Type returns the type whose values the plan copies.
func (p *Plan) Type() reflect.Type { return p.typ }

// Flat reports whether a typed move alone copies values of the plan's type:
// they hold no references, or only to what cannot be changed.
func (p *Plan) Flat() bool { return p.flat }

// Refuses reports whether values of the plan's type may be uncopyable by their type alone, whatever
// their interfaces hold.
func (p *Plan) Refuses() bool {
	seen := map[*Plan]bool{}
	var leads func(*Plan) bool
	leads = func(q *Plan) bool {
		if q.op == opWord || q.op == opValue {
			return true
		}
		if seen[q] {
			return false
		}
		seen[q] = true
		return slices.ContainsFunc(q.children(), leads)
	}
	return leads(p)
}

// Any deep-copies v by its dynamic type.
func Any(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	p := dynamic(v)
	if p.flat {
		return v, nil
	}
	c := newCopier()
	defer c.release()
	c.memo = p.loops
	out, err := c.any(v)
	if err == nil {
		err = c.drain()
	}
	if err != nil {
		w := v // apart, as its address moves it to the heap
		return nil, refusal(p, dataOf(&w, p))
	}
	return out, nil
}

// overlap reports whether the memory that to may be written in meets from's.
func overlap(to, from *slice, size uintptr) bool {
	t, f := uintptr(to.data), uintptr(from.data)
	return t < f+uintptr(from.len)*size && f < t+uintptr(to.cap)*size
}
