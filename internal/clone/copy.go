package clone

import (
	"errors"
	"reflect"
	"sync"
	"time"
	"unsafe"
)

// smallSlice is the size in bytes up to which the slices of one column share an
// allocation. Above it an allocation of its own costs little beside the copying,
// and would be kept alive by its neighbours for nothing.
const smallSlice = 1024

var (
	// errMemo ends a copy without a memo that met an interface whose value may
	// lead back to itself. The copy begins again, so that references met before
	// are in the memo as well.
	errMemo = errors.New("memo needed")
	// errRefused ends a copy that met what cannot be copied; refusal then looks
	// for where that is.
	errRefused = errors.New("refused")
)

// copier is the state of one copy.
//
// Every step works in place: the memory that it is given holds values that
// were moved, whose references still lead into the source, and it replaces
// those by references to copies. A step is given a column, n values that lie
// stride bytes apart, so that what they refer to is allocated together.
type copier struct {
	// memo: the seen below is used and references that loop are put off to jobs,
	// so that the depth of the data is not the depth of the stack.
	memo   bool
	seen   memo
	ranges []span
	jobs   []job

	// to and from are slice headers for calls of reflect: they need an address,
	// which a local variable has only on the heap.
	to, from slice
}

// job is work that was put off: n values in a row, or the filling of a map.
type job struct {
	plan *Plan
	base unsafe.Pointer // of a map: the copy
	from unsafe.Pointer // of a map: the source
	n    int
}

// span is memory that was copied whole and whose values are not in the memo
// yet. They are put there when a pointer is looked for, which for most values
// never happens.
type span struct {
	src, dst unsafe.Pointer
	plan     *Plan
	n        int
}

var copiers = sync.Pool{New: func() any { return new(copier) }}

func newCopier() *copier { return copiers.Get().(*copier) }

func (c *copier) release() {
	c.reset()
	copiers.Put(c)
}

func (c *copier) reset() {
	c.memo = false
	c.seen.reset()
	clear(c.ranges)
	c.ranges = c.ranges[:0]
	clear(c.jobs)
	c.jobs = c.jobs[:0]
	if cap(c.ranges) > keepEntries {
		c.ranges = nil
	}
	if cap(c.jobs) > keepEntries {
		c.jobs = nil
	}
}

// copy does the job of copying the value at src, which was moved to where the
// job says; again moves it anew.
func (c *copier) copy(p *Plan, src unsafe.Pointer, j job, again func()) error {
	c.memo = p.cyclic || p.eager.Load()
	err := c.root(p, src, j)
	if err == errMemo {
		p.eager.Store(true)
		c.reset()
		c.memo = true
		again()
		err = c.root(p, src, j)
	}
	if err != nil {
		return refusal(p, src)
	}
	return nil
}

func (c *copier) root(p *Plan, src unsafe.Pointer, j job) error {
	if c.memo {
		if j.plan == p {
			c.span(p, src, j.base, 1)
		} else {
			// The elements of a slice that is filled in place.
			from := (*slice)(src)
			c.seen.put(place{from.data, j.plan, kindSlice + from.len}, j.base)
			c.span(j.plan, from.data, j.base, from.len)
		}
	}
	if err := c.fix(j.plan, j.base, j.plan.size, j.n); err != nil {
		return err
	}
	return c.drain()
}

// drain does the jobs that were put off.
func (c *copier) drain() error {
	for len(c.jobs) > 0 {
		last := len(c.jobs) - 1
		j := c.jobs[last]
		c.jobs[last] = job{}
		c.jobs = c.jobs[:last]
		var err error
		if j.from != nil {
			err = c.fill(j.plan, j.base, j.from)
		} else {
			err = c.fix(j.plan, j.base, j.plan.size, j.n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) span(p *Plan, src, dst unsafe.Pointer, n int) {
	if len(p.inner) > 0 {
		c.ranges = append(c.ranges, span{src, dst, p, n})
	}
}

// copied looks for the copy of a pointer's target.
func (c *copier) copied(at place) (unsafe.Pointer, bool) {
	for _, r := range c.ranges {
		for i := range r.n {
			off := uintptr(i) * r.plan.size
			for _, f := range r.plan.inner {
				in := place{unsafe.Add(r.src, off+f.off), f.plan, kindPointer}
				if _, ok := c.seen.find(in); !ok {
					c.seen.put(in, unsafe.Add(r.dst, off+f.off))
				}
			}
		}
	}
	clear(c.ranges)
	c.ranges = c.ranges[:0]
	return c.seen.find(at)
}

// fix makes the n values of the plan p at base into copies.
func (c *copier) fix(p *Plan, base unsafe.Pointer, stride uintptr, n int) error {
	switch p.op {
	case opPtr:
		return c.pointers(p, base, stride, n)
	case opSlice:
		return c.slices(p, base, stride, n)
	case opStruct:
		for i := range p.fields {
			f := &p.fields[i]
			if err := c.fix(f.plan, unsafe.Add(base, f.off), stride, n); err != nil {
				return err
			}
		}
	case opArray:
		if p.flat {
			return nil
		}
		for i := range n {
			at := unsafe.Add(base, uintptr(i)*stride)
			if err := c.fix(p.elem, at, p.elem.size, p.n); err != nil {
				return err
			}
		}
	case opMap:
		for i := range n {
			at := (*unsafe.Pointer)(unsafe.Add(base, uintptr(i)*stride))
			m, err := c.mapping(p, *at)
			if err != nil {
				return err
			}
			*at = m
		}
	case opIface:
		for i := range n {
			if err := c.iface(p, unsafe.Add(base, uintptr(i)*stride)); err != nil {
				return err
			}
		}
	case opWord:
		for i := range n {
			if *(*unsafe.Pointer)(unsafe.Add(base, uintptr(i)*stride)) != nil {
				return errRefused
			}
		}
	case opValue:
		for i := range n {
			if (*reflect.Value)(unsafe.Add(base, uintptr(i)*stride)).IsValid() {
				return errRefused
			}
		}
	}
	return nil
}

// pointers copies the targets of a column into one array.
func (c *copier) pointers(p *Plan, base unsafe.Pointer, stride uintptr, n int) error {
	if n == 1 {
		at := (*unsafe.Pointer)(base)
		q, err := c.pointer(p, *at)
		if err != nil {
			return err
		}
		*at = q
		return nil
	}
	e, count := p.elem, 0
	for i := range n {
		if *(*unsafe.Pointer)(unsafe.Add(base, uintptr(i)*stride)) != nil {
			count++
		}
	}
	if count == 0 {
		return nil
	}
	if c.memo && e.loops {
		c.aliased(p, base, stride, n)
		return nil
	}
	targets := c.array(e, count)
	next := targets
	left := count
	for i := 0; left > 0; i++ {
		at := (*unsafe.Pointer)(unsafe.Add(base, uintptr(i)*stride))
		if *at == nil {
			continue
		}
		e.move(next, *at)
		*at = next
		// An address past the array would keep its neighbour in memory alive.
		if left--; left > 0 {
			next = unsafe.Add(next, e.size)
		}
	}
	if e.flat {
		return nil
	}
	return c.fix(e, targets, e.size, count)
}

// aliased is pointers with a memo: a target that is met again, in this column
// or before it, keeps its first copy.
func (c *copier) aliased(p *Plan, base unsafe.Pointer, stride uintptr, n int) {
	e := p.elem
	var start, met int
	for i := range n {
		q := *(*unsafe.Pointer)(unsafe.Add(base, uintptr(i)*stride))
		if q == nil {
			continue
		}
		at := place{q, e, kindPointer}
		_, ok := c.copied(at)
		if met == 0 {
			// Looking for the first one may have added entries.
			start = len(c.seen.entries)
		}
		met++
		if !ok {
			c.seen.put(at, nil)
		}
	}
	// The entries that were added are of this column, in its order.
	count := len(c.seen.entries) - start
	if count > 0 {
		targets := c.array(e, count)
		for k := range count {
			q := &c.seen.entries[start+k]
			q.copy = unsafe.Add(targets, uintptr(k)*e.size)
			e.move(q.copy, q.ptr)
			if len(e.inner) > 1 {
				c.span(e, q.ptr, q.copy, 1)
			}
		}
		c.jobs = append(c.jobs, job{plan: e, base: targets, n: count})
	}
	k := start
	for i := range n {
		at := (*unsafe.Pointer)(unsafe.Add(base, uintptr(i)*stride))
		switch {
		case *at == nil:
		case met == count:
			*at = c.seen.entries[k].copy
			k++
		default:
			*at, _ = c.seen.find(place{*at, e, kindPointer})
		}
	}
}

// pointer returns a pointer to a copy of what q, of the plan p, points to.
func (c *copier) pointer(p *Plan, q unsafe.Pointer) (unsafe.Pointer, error) {
	if q == nil || p.flat {
		return q, nil
	}
	e := p.elem
	if c.memo && e.loops {
		at := place{q, e, kindPointer}
		if was, ok := c.copied(at); ok {
			return was, nil
		}
		to := e.one(q)
		c.seen.put(at, to)
		if len(e.inner) > 1 {
			c.span(e, q, to, 1)
		}
		c.jobs = append(c.jobs, job{plan: e, base: to, n: 1})
		return to, nil
	}
	to := e.one(q)
	if e.flat {
		return to, nil
	}
	return to, c.fix(e, to, e.size, 1)
}

// slices copies the arrays of a column, the small ones into one.
func (c *copier) slices(p *Plan, base unsafe.Pointer, stride uintptr, n int) error {
	e := p.elem
	if p.flat {
		return nil
	}
	if n == 1 || c.memo && e.loops {
		for i := range n {
			if err := c.slice(p, (*slice)(unsafe.Add(base, uintptr(i)*stride))); err != nil {
				return err
			}
		}
		return nil
	}
	small := func(s *slice) bool { return s.len > 0 && uintptr(s.len) <= smallSlice/e.size }
	total := 0
	for i := range n {
		s := (*slice)(unsafe.Add(base, uintptr(i)*stride))
		if small(s) {
			total += s.len
		} else if err := c.slice(p, s); err != nil {
			return err
		}
	}
	if total == 0 {
		return nil
	}
	elems, used := c.array(e, total), 0
	for i := 0; used < total; i++ {
		s := (*slice)(unsafe.Add(base, uintptr(i)*stride))
		if !small(s) {
			continue
		}
		to := unsafe.Add(elems, uintptr(used)*e.size)
		c.moveN(e, to, s.data, s.len)
		used += s.len
		*s = slice{to, s.len, s.len}
	}
	if e.flat {
		return nil
	}
	return c.fix(e, elems, e.size, total)
}

func (c *copier) slice(p *Plan, s *slice) error {
	e := p.elem
	switch {
	case s.data == nil:
		return nil
	case s.len == 0:
		*s = slice{data: emptyData}
		return nil
	}
	if c.memo && e.loops {
		at := place{s.data, e, kindSlice + s.len}
		to, ok := c.seen.find(at)
		if !ok {
			to = c.many(e, s.data, s.len)
			c.seen.put(at, to)
			c.span(e, s.data, to, s.len)
			c.jobs = append(c.jobs, job{plan: e, base: to, n: s.len})
		}
		*s = slice{to, s.len, s.len}
		return nil
	}
	*s = slice{c.many(e, s.data, s.len), s.len, s.len}
	if e.flat {
		return nil
	}
	return c.fix(e, s.data, e.size, s.len)
}

// mapping returns a copy of the map m.
func (c *copier) mapping(p *Plan, m unsafe.Pointer) (unsafe.Pointer, error) {
	if m == nil {
		return nil, nil
	}
	memo := c.memo && p.loops
	if memo {
		if was, ok := c.seen.find(place{m, p, kindPointer}); ok {
			return was, nil
		}
	}
	var to unsafe.Pointer
	if p.strAny {
		made := make(map[string]any, len(*(*map[string]any)(unsafe.Pointer(&m))))
		to = *(*unsafe.Pointer)(unsafe.Pointer(&made))
	} else {
		to = reflect.MakeMapWithSize(p.typ, p.mapAt(m).Len()).UnsafePointer()
	}
	if memo {
		c.seen.put(place{m, p, kindPointer}, to)
		c.jobs = append(c.jobs, job{plan: p, base: to, from: m})
		return to, nil
	}
	return to, c.fill(p, to, m)
}

// mapAt returns the map m of the plan p as a reflect.Value that holds m itself.
func (p *Plan) mapAt(m unsafe.Pointer) reflect.Value {
	v := p.zeroMap
	(*iface)(unsafe.Pointer(&v)).data = m
	return reflect.ValueOf(v)
}

// fill puts copies of the keys and values of from into the empty map to. Only
// what keys refer to is put off, never a part of a key that is compared or
// hashed, so they can be put into a map before that is done.
func (c *copier) fill(p *Plan, to, from unsafe.Pointer) error {
	if p.strAny {
		dst := *(*map[string]any)(unsafe.Pointer(&to))
		for k, v := range *(*map[string]any)(unsafe.Pointer(&from)) {
			w, err := c.any(v)
			if err != nil {
				return err
			}
			dst[k] = w
		}
		return nil
	}
	dst, src := p.mapAt(to), p.mapAt(from)
	key, elem := reflect.New(p.key.typ), reflect.New(p.elem.typ)
	keyAt, elemAt := key.UnsafePointer(), elem.UnsafePointer()
	k, e := key.Elem(), elem.Elem()
	for it := src.MapRange(); it.Next(); {
		k.SetIterKey(it)
		e.SetIterValue(it)
		if !p.key.flat {
			if err := c.fix(p.key, keyAt, p.key.size, 1); err != nil {
				return err
			}
		}
		if !p.elem.flat {
			if err := c.fix(p.elem, elemAt, p.elem.size, 1); err != nil {
				return err
			}
		}
		dst.SetMapIndex(k, e)
	}
	return nil
}

// iface replaces what the interface at the address at holds.
func (c *copier) iface(p *Plan, at unsafe.Pointer) error {
	if (*iface)(at).tab == nil {
		return nil
	}
	if p.typ.NumMethod() == 0 {
		v, err := c.any(*(*any)(at))
		if err != nil {
			return err
		}
		*(*any)(at) = v
		return nil
	}
	i := (*iface)(at)
	data, err := c.boxed(For(reflect.NewAt(p.typ, at).Elem().Elem().Type()), i.data)
	if err != nil {
		return err
	}
	i.data = data
	return nil
}

func (c *copier) any(v any) (any, error) {
	switch v.(type) {
	case nil, string, bool, int, int64, float64, time.Time:
		return v, nil
	}
	i := (*iface)(unsafe.Pointer(&v))
	data, err := c.boxed(dynamic(v), i.data)
	if err != nil {
		return nil, err
	}
	i.data = data
	return v, nil
}

// boxed returns the data word for a copy of an interface that holds a value of
// the plan p and has the data word data.
func (c *copier) boxed(p *Plan, data unsafe.Pointer) (unsafe.Pointer, error) {
	switch {
	case p.flat:
		// What an interface points to is never written to.
		return data, nil
	case p.loops && !c.memo:
		return nil, errMemo
	case p.direct && p.op == opPtr:
		return c.pointer(p, data)
	case p.direct && p.op == opMap:
		return c.mapping(p, data)
	case p.direct:
		word := data
		err := c.fix(p, unsafe.Pointer(&word), p.size, 1)
		return word, err
	}
	at := place{data, p, kindBox}
	if p.loops {
		if was, ok := c.seen.find(at); ok {
			return was, nil
		}
	}
	to := p.one(data)
	if err := c.fix(p, to, p.size, 1); err != nil {
		return nil, err
	}
	// It cannot have met itself: a cycle leads through a pointer, slice or map.
	if p.loops {
		c.seen.put(at, to)
	}
	return to, nil
}
