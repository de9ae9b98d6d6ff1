package clone

import (
	"reflect"
	"unsafe"
)

// sizeClasses are the sizes of the Go allocator for small objects.
var sizeClasses = [...]uint16{
	8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240,
	256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024,
	1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864,
	5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568,
	14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
}

const (
	maxSmall = 32768
	page     = 8192
	// headerFrom is the size above which a small object with pointers is
	// preceded by a word that describes it.
	headerFrom = ptrSize * ptrSize * 8
)

// classOf gives the size class of a size rounded up to words of eight bytes.
var classOf = func() (of [maxSmall/8 + 1]uint16) {
	class := 0
	for i := 1; i < len(of); i++ {
		if i*8 > int(sizeClasses[class]) {
			class++
		}
		of[i] = sizeClasses[class]
	}
	return of
}()

// allocated is what the allocator uses for an object of the size.
func allocated(size uintptr, noscan bool) int64 {
	if !noscan && size > headerFrom && size <= maxSmall-ptrSize {
		size += ptrSize
	}
	if size > maxSmall {
		return int64((size + page - 1) / page * page)
	}
	return int64(classOf[(size+7)/8])
}

// TextSize is the heap memory in bytes of a text that is so long.
func TextSize(length int) int64 { return allocated(uintptr(length), true) }

// Size is the heap memory in bytes that the value at src holds, with the value
// itself, its strings, the spare capacity of its slices, and what its maps are
// expected to use. Every reference counts as an allocation of its own, rounded
// to the allocator's size classes, except that what can be met again through a
// cycle counts once. What copies share, such as a *time.Location, counts
// nothing, but strings and boxed values count as if they were not shared.
func (p *Plan) Size(src unsafe.Pointer) int64 {
	size := allocated(p.size, p.noscan)
	if p.noscan || p.op == opFlat {
		return size
	}
	if p.op == opString {
		return size + allocated(uintptr(len(*(*string)(src))), true)
	}
	c := newCopier()
	defer c.release()
	if p.loops {
		c.span(p, src, src, 1)
	}
	return size + c.held(p, src, p.size, 1) + c.drainSize()
}

// SizeAny is the heap memory in bytes that v holds: for a pointer or a map what
// it leads to, for another value its Size as boxed in the interface.
func SizeAny(v any) int64 {
	if v == nil {
		return 0
	}
	c := newCopier()
	defer c.release()
	return c.box(dynamic(v), (*iface)(unsafe.Pointer(&v)).data) + c.drainSize()
}

func (c *copier) drainSize() (size int64) {
	for len(c.jobs) > 0 {
		last := len(c.jobs) - 1
		j := c.jobs[last]
		c.jobs = c.jobs[:last]
		if j.from != nil {
			size += c.entries(j.plan, j.from)
		} else {
			size += c.held(j.plan, j.base, j.plan.size, j.n)
		}
	}
	return size
}

// held is the memory that n values of the plan p hold beside their own.
func (c *copier) held(p *Plan, base unsafe.Pointer, stride uintptr, n int) (size int64) {
	switch p.op {
	case opStruct:
		for _, f := range p.held {
			size += c.held(f.plan, unsafe.Add(base, f.off), stride, n)
		}
		return size
	case opFlat, opWord, opValue:
		return 0
	}
	for i := range n {
		at := unsafe.Add(base, uintptr(i)*stride)
		switch p.op {
		case opString:
			size += allocated(uintptr(len(*(*string)(at))), true)
		case opPtr:
			size += c.target(p.elem, *(*unsafe.Pointer)(at), kindPointer)
		case opSlice:
			size += c.backing(p.elem, (*slice)(at))
		case opArray:
			size += c.held(p.elem, at, p.elem.size, p.n)
		case opMap:
			size += c.mapSize(p, *(*unsafe.Pointer)(at))
		case opIface:
			if (*iface)(at).tab == nil {
				continue
			}
			var q *Plan
			if p.typ.NumMethod() == 0 {
				q = dynamic(*(*any)(at))
			} else {
				q = For(reflect.NewAt(p.typ, at).Elem().Elem().Type())
			}
			size += c.box(q, (*iface)(at).data)
		}
	}
	return size
}

// target is the memory of the value at q and of what it holds.
func (c *copier) target(p *Plan, q unsafe.Pointer, kind int) int64 {
	if q == nil {
		return 0
	}
	if p.loops {
		at := place{q, p, kind}
		if _, met := c.copied(at); met {
			return 0
		}
		c.seen.put(at, nil)
		if kind == kindPointer && len(p.inner) > 1 {
			c.span(p, q, q, 1)
		}
		c.jobs = append(c.jobs, job{plan: p, base: q, n: 1})
		return allocated(p.size, p.noscan)
	}
	return allocated(p.size, p.noscan) + c.held(p, q, p.size, 1)
}

// backing is the memory of a slice's array and of what its elements hold.
func (c *copier) backing(e *Plan, s *slice) int64 {
	size := allocated(uintptr(s.cap)*e.size, e.noscan)
	if e.noscan || s.len == 0 {
		return size
	}
	if e.loops {
		at := place{s.data, e, kindSlice + s.len}
		if _, met := c.seen.find(at); met {
			return 0
		}
		c.seen.put(at, nil)
		c.span(e, s.data, s.data, s.len)
		c.jobs = append(c.jobs, job{plan: e, base: s.data, n: s.len})
		return size
	}
	return size + c.held(e, s.data, e.size, s.len)
}

// box is the memory behind an interface with the data word data.
func (c *copier) box(p *Plan, data unsafe.Pointer) int64 {
	switch {
	case p.direct && p.op == opPtr:
		return c.target(p.elem, data, kindPointer)
	case p.direct && p.op == opMap:
		return c.mapSize(p, data)
	case p.direct && p.op == opFlat, p.direct && p.op == opWord:
		return 0
	case p.direct:
		word := data
		return c.held(p, unsafe.Pointer(&word), p.size, 1)
	}
	return c.target(p, data, kindBox)
}

const (
	mapHeader   = 48
	tableHeader = 48
	groupSlots  = 8
	tableSlots  = 1024
	// maxInline is the size above which a map keeps a pointer to a key or value.
	maxInline = 128
)

// mapSize is what a map that was made for its length uses, with what its
// entries hold. One that had more entries before may use more.
func (c *copier) mapSize(p *Plan, m unsafe.Pointer) int64 {
	if m == nil {
		return 0
	}
	if p.loops {
		at := place{m, p, kindPointer}
		if _, met := c.seen.find(at); met {
			return 0
		}
		c.seen.put(at, nil)
	}
	n := p.mapAt(m).Len()
	var size int64 = mapHeader
	if n == 0 {
		return size
	}
	var slot, align uintptr = 0, 1
	for _, q := range []*Plan{p.key, p.elem} {
		s, a := q.size, uintptr(q.typ.Align())
		if s > maxInline {
			size += int64(n) * allocated(s, q.noscan)
			s, a = ptrSize, ptrSize
		}
		slot, align = (slot+a-1)/a*a+s, max(align, a)
	}
	slot = (slot + align - 1) / align * align
	noscan := p.key.noscan && p.elem.noscan
	group := 8 + groupSlots*slot
	if n <= groupSlots {
		size += allocated(group, noscan)
	} else {
		slots := groupSlots
		for slots*7/8 < n {
			slots *= 2
		}
		tables := max(1, slots/tableSlots)
		groups := uintptr(slots / tables / groupSlots)
		size += int64(tables)*(tableHeader+allocated(groups*group, noscan)) +
			allocated(uintptr(tables)*ptrSize, false)
	}
	if p.loops {
		c.jobs = append(c.jobs, job{plan: p, from: m})
		return size
	}
	return size + c.entries(p, m)
}

// entries is the memory that the keys and values of a map hold.
func (c *copier) entries(p *Plan, m unsafe.Pointer) (size int64) {
	if p.key.op == opFlat && p.elem.op == opFlat {
		return 0
	}
	if p.strAny {
		for k, v := range *(*map[string]any)(unsafe.Pointer(&m)) {
			size += allocated(uintptr(len(k)), true)
			if v != nil {
				size += c.box(dynamic(v), (*iface)(unsafe.Pointer(&v)).data)
			}
		}
		return size
	}
	k, e := reflect.New(p.key.typ), reflect.New(p.elem.typ)
	for it := p.mapAt(m).MapRange(); it.Next(); {
		k.Elem().SetIterKey(it)
		e.Elem().SetIterValue(it)
		size += c.held(p.key, k.UnsafePointer(), p.key.size, 1)
		size += c.held(p.elem, e.UnsafePointer(), p.elem.size, 1)
	}
	return size
}
