package clone

import (
	"reflect"
	"time"
	"unsafe"
)

// slice and iface are the memory of any slice and any interface.
type slice struct {
	data     unsafe.Pointer
	len, cap int
}

type iface struct {
	tab  unsafe.Pointer // the type, or the method table of a non-empty interface
	data unsafe.Pointer
}

// emptyData is what empty slices that are not nil point to.
var emptyData = unsafe.Pointer(new(uint64))

// move sets *dst to *src, with the write barriers that the type needs.
func (p *Plan) move(dst, src unsafe.Pointer) {
	switch p.how {
	case moveNone:
	case moveWord:
		*(*uint64)(dst) = *(*uint64)(src)
	case moveBytes:
		copy(unsafe.Slice((*byte)(dst), p.size), unsafe.Slice((*byte)(src), p.size))
	case movePointer:
		*(*unsafe.Pointer)(dst) = *(*unsafe.Pointer)(src)
	case moveString:
		*(*string)(dst) = *(*string)(src)
	case moveSlice:
		*(*slice)(dst) = *(*slice)(src)
	case moveIface:
		*(*iface)(dst) = *(*iface)(src)
	case moveTime:
		*(*time.Time)(dst) = *(*time.Time)(src)
	default:
		p.at(dst).Set(p.at(src))
	}
}

// at returns the value at a place. It is reflect.NewAt, without looking for the type of the
// pointer.
func (p *Plan) at(place unsafe.Pointer) reflect.Value {
	v := p.pointer
	(*iface)(unsafe.Pointer(&v)).data = place
	return reflect.ValueOf(v).Elem()
}

// one returns a new value moved from the one at src.
func (p *Plan) one(src unsafe.Pointer) unsafe.Pointer {
	switch p.how {
	case moveWord:
		v := *(*uint64)(src)
		return unsafe.Pointer(&v)
	case moveString:
		v := *(*string)(src)
		return unsafe.Pointer(&v)
	case moveTime:
		v := *(*time.Time)(src)
		return unsafe.Pointer(&v)
	}
	dst := reflect.New(p.typ).UnsafePointer()
	p.move(dst, src)
	return dst
}

// array allocates n zero values of p's type, n > 0.
func (c *copier) array(p *Plan, n int) unsafe.Pointer {
	if n == 1 {
		return reflect.New(p.typ).UnsafePointer()
	}
	if p.noscan {
		bytes := uintptr(n) * p.size
		switch {
		case p.size%8 == 0:
			return unsafe.Pointer(unsafe.SliceData(make([]uint64, bytes/8)))
		case p.size%4 == 0:
			return unsafe.Pointer(unsafe.SliceData(make([]uint32, bytes/4)))
		case p.size%2 == 0:
			return unsafe.Pointer(unsafe.SliceData(make([]uint16, bytes/2)))
		}
		return unsafe.Pointer(unsafe.SliceData(make([]byte, bytes)))
	}
	// Grow of a slice in place is what reflect offers that allocates the array
	// and nothing else; reflect.MakeSlice puts a slice header on the heap too.
	c.to = slice{}
	reflect.NewAt(p.slice, unsafe.Pointer(&c.to)).Elem().Grow(n)
	data := c.to.data
	c.to = slice{}
	return data
}

// moveN moves n values in a row.
func (c *copier) moveN(p *Plan, dst, src unsafe.Pointer, n int) {
	switch {
	case n == 1:
		p.move(dst, src)
	case p.noscan:
		bytes := uintptr(n) * p.size
		copy(unsafe.Slice((*byte)(dst), bytes), unsafe.Slice((*byte)(src), bytes))
	default:
		c.to, c.from = slice{dst, n, n}, slice{src, n, n}
		reflect.Copy(reflect.NewAt(p.slice, unsafe.Pointer(&c.to)).Elem(),
			reflect.NewAt(p.slice, unsafe.Pointer(&c.from)).Elem())
		c.to, c.from = slice{}, slice{}
	}
}

// many returns a new array of n values moved from those at src, n > 0.
func (c *copier) many(p *Plan, src unsafe.Pointer, n int) unsafe.Pointer {
	if p.noscan {
		return p.words(src, n)
	}
	dst := c.array(p, n)
	c.moveN(p, dst, src, n)
	return dst
}

// words is many of values without pointers. An append does not clear what it
// then overwrites.
func (p *Plan) words(src unsafe.Pointer, n int) unsafe.Pointer {
	bytes := uintptr(n) * p.size
	switch {
	case p.size%8 == 0:
		return unsafe.Pointer(unsafe.SliceData(append([]uint64(nil), unsafe.Slice((*uint64)(src), bytes/8)...)))
	case p.size%4 == 0:
		return unsafe.Pointer(unsafe.SliceData(append([]uint32(nil), unsafe.Slice((*uint32)(src), bytes/4)...)))
	case p.size%2 == 0:
		return unsafe.Pointer(unsafe.SliceData(append([]uint16(nil), unsafe.Slice((*uint16)(src), bytes/2)...)))
	}
	return unsafe.Pointer(unsafe.SliceData(append([]byte(nil), unsafe.Slice((*byte)(src), bytes)...)))
}

// dynamic returns the plan of what is in v, which is not nil.
func dynamic(v any) *Plan { return For(reflect.TypeOf(v)) }

// dataOf returns where the value in *v is, which has the plan p.
func dataOf(v *any, p *Plan) unsafe.Pointer {
	i := (*iface)(unsafe.Pointer(v))
	if p.direct {
		return unsafe.Pointer(&i.data)
	}
	return i.data
}
