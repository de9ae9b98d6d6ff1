package clone

import (
	"reflect"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Plan says how to copy values of one type. It is safe for concurrent use.
type Plan struct {
	typ  reflect.Type
	size uintptr
	op   op
	how  how

	// flat: a move is a copy. noscan: the garbage collector sees no pointers in
	// it, so that it may be moved as bytes.
	flat, noscan bool
	// direct: an interface keeps the value itself in its data word, not a
	// pointer to it.
	direct bool
	// simple: a struct whose references are pointers to what is flat and slices
	// of what holds no pointers.
	simple bool
	// cyclic: leads to a cycle of types. loops: that, or to an interface.
	cyclic, loops bool

	elem *Plan // of opPtr, opSlice, opMap, opArray
	key  *Plan // of opMap
	n    int   // length of opArray

	slice reflect.Type // []typ, unless noscan

	pointer any // a nil *typ

	// raw are the fields of a struct as declared. The others list, nested
	// structs and short arrays taken apart, what the value holds at which offset:
	// fields what a copy works on, held what the size counts, inner what a pointer
	// elsewhere in a cycle may point to: if it loops, itself and the looping
	// structs and arrays inside.
	raw, fields, held, inner []field

	// strAny: the underlying type is map[string]any.
	strAny bool
	// zeroMap is a nil map of an opMap's type.
	zeroMap any

	// eager is set once a value of the type turned out to need a memo because of
	// what one of its interfaces held: the next ones begin with one.
	eager atomic.Bool
}

type field struct {
	off  uintptr
	plan *Plan
}

type op uint8

const (
	opFlat   op = iota
	opString    // flat, but it counts for the size
	opPtr
	opSlice
	opMap
	opIface
	opStruct
	opArray
	opWord  // chan, func, unsafe.Pointer: can be copied only when nil
	opValue // reflect.Value: can be copied only when zero
)

// how a value is moved. All but moveWord and moveBytes keep the write barriers
// that the garbage collector needs.
type how uint8

const (
	moveReflect how = iota
	moveNone
	moveWord
	moveBytes
	movePointer
	moveString
	moveSlice
	moveIface
	moveTime
)

const (
	ptrSize = unsafe.Sizeof(uintptr(0))
	// flatArray is the length up to which an array is taken apart into its
	// elements by the plan of the struct around it.
	flatArray = 8
)

var (
	timeType    = reflect.TypeFor[time.Time]()
	valueType   = reflect.TypeFor[reflect.Value]()
	stringType  = reflect.TypeFor[string]()
	emptyType   = reflect.TypeFor[any]()
	sharedTypes = map[reflect.Type]bool{
		reflect.TypeFor[*time.Location]():      true,
		reflect.TypeFor[*regexp.Regexp]():      true,
		reflect.TypeOf(reflect.TypeFor[int]()): true, // *reflect.rtype
	}
)

// isShared reports whether values of t are immutable although they are, or
// hold, pointers.
func isShared(t reflect.Type) bool {
	if sharedTypes[t] || t.PkgPath() == "unique" {
		return true
	}
	// A copied runtime type descriptor is no type: it is found by its address.
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "internal/abi"
}

var (
	// plans holds finished plans only: whatever a plan in it leads to is in it.
	plans sync.Map // reflect.Type to *Plan
	// planning is held while new plans are made, so that there is one of a type.
	planning sync.Mutex
)

// For returns the plan of t, planned once per type and kept.
func For(t reflect.Type) *Plan {
	if p, ok := plans.Load(t); ok {
		return p.(*Plan)
	}
	planning.Lock()
	defer planning.Unlock()
	b := builder{plans: map[reflect.Type]*Plan{}}
	p := b.plan(t)
	for _, q := range b.made {
		b.finish(q)
	}
	// Both reach through plans that are not marked yet, so they are two passes.
	inCycle := map[*Plan]bool{}
	for _, q := range b.made {
		inCycle[q] = b.leads(q, func(r *Plan) bool { return r == q })
	}
	for _, q := range b.made {
		q.cyclic = inCycle[q] || b.leads(q, func(r *Plan) bool { return inCycle[r] || r.cyclic })
		q.loops = q.cyclic || q.op == opIface ||
			b.leads(q, func(r *Plan) bool { return r.op == opIface || r.loops })
	}
	for _, q := range b.made {
		if q.loops {
			q.inner = inner([]field{{0, q}}, q, 0)
		}
	}
	for _, q := range b.made {
		plans.Store(q.typ, q)
	}
	return p
}

// builder makes the plans of a type and of all that it leads to.
type builder struct {
	plans    map[reflect.Type]*Plan
	made     []*Plan
	finished map[*Plan]bool
}

// plan returns t's plan with its children, which may not be finished.
func (b *builder) plan(t reflect.Type) *Plan {
	if p, ok := plans.Load(t); ok {
		return p.(*Plan)
	}
	if p := b.plans[t]; p != nil {
		return p
	}
	p := &Plan{typ: t, size: t.Size(), pointer: reflect.Zero(reflect.PointerTo(t)).Interface()}
	b.plans[t] = p
	b.made = append(b.made, p)
	p.noscan = noscan(t)
	if !p.noscan {
		p.slice = reflect.SliceOf(t)
	}
	p.direct = direct(t, p.noscan)
	p.how = moveOf(t, p.noscan)
	switch {
	case p.noscan || isShared(t):
		return p
	case t == valueType:
		p.op = opValue
		return p
	}
	switch t.Kind() {
	case reflect.String:
		p.op = opString
	case reflect.Pointer:
		if t.Elem().Size() > 0 {
			p.op, p.elem = opPtr, b.plan(t.Elem())
		}
	case reflect.Slice:
		p.op, p.elem = opSlice, b.plan(t.Elem())
	case reflect.Map:
		p.op, p.key, p.elem = opMap, b.plan(t.Key()), b.plan(t.Elem())
		p.strAny = t.Key() == stringType && t.Elem() == emptyType
		p.zeroMap = reflect.Zero(t).Interface()
	case reflect.Interface:
		p.op = opIface
	case reflect.Array:
		p.op, p.elem, p.n = opArray, b.plan(t.Elem()), t.Len()
	case reflect.Struct:
		p.op = opStruct
		for i := range t.NumField() {
			f := t.Field(i)
			p.raw = append(p.raw, field{f.Offset, b.plan(f.Type)})
		}
	default:
		p.op = opWord
	}
	return p
}

// finish fills in what follows from the values that p holds by value. Those
// cannot hold p, so the recursion ends.
func (b *builder) finish(p *Plan) {
	if b.finished[p] || b.plans[p.typ] != p {
		return
	}
	if b.finished == nil {
		b.finished = map[*Plan]bool{}
	}
	b.finished[p] = true
	switch p.op {
	case opFlat, opString:
		p.flat = true
	case opSlice:
		p.flat = p.elem.size == 0
	case opArray:
		b.finish(p.elem)
		p.flat = p.elem.flat
	case opStruct:
		p.flat = true
		for _, f := range p.raw {
			b.finish(f.plan)
			p.flat = p.flat && f.plan.flat
			p.fields = flatten(p.fields, f, true)
			p.held = flatten(p.held, f, false)
		}
		p.simple = !slices.ContainsFunc(p.fields, func(f field) bool {
			q := f.plan
			if q.op == opPtr {
				b.finish(q.elem)
			}
			return !(q.op == opPtr && q.elem.flat || q.op == opSlice && q.elem.noscan)
		})
	}
}

// flatten appends what f holds, without what is flat if deep, else without
// what holds no memory.
func flatten(to []field, f field, deep bool) []field {
	q := f.plan
	switch {
	case deep && q.flat, q.op == opFlat:
	case q.op == opStruct:
		parts := q.held
		if deep {
			parts = q.fields
		}
		for _, g := range parts {
			to = append(to, field{f.off + g.off, g.plan})
		}
	case q.op == opArray && q.n <= flatArray:
		for i := range q.n {
			to = flatten(to, field{f.off + uintptr(i)*q.elem.size, q.elem}, deep)
		}
	default:
		to = append(to, f)
	}
	return to
}

// inner appends the looping structs and arrays that p holds by value.
func inner(to []field, p *Plan, off uintptr) []field {
	add := func(q *Plan, off uintptr) {
		if q.loops && (q.op == opStruct || q.op == opArray) {
			to = inner(append(to, field{off, q}), q, off)
		}
	}
	for _, f := range p.raw {
		add(f.plan, off+f.off)
	}
	if p.op == opArray && p.n <= flatArray {
		for i := range p.n {
			add(p.elem, off+uintptr(i)*p.elem.size)
		}
	}
	return to
}

// leads reports whether a type that p leads to, by value or by reference, is
// what is asked for; p itself counts if a way leads back to it.
func (b *builder) leads(p *Plan, is func(*Plan) bool) bool {
	seen := map[*Plan]bool{}
	var visit func(*Plan) bool
	visit = func(q *Plan) bool {
		for _, r := range q.children() {
			if is(r) {
				return true
			}
			// A finished plan never leads to one that is being made.
			if b.plans[r.typ] != r || seen[r] {
				continue
			}
			seen[r] = true
			if visit(r) {
				return true
			}
		}
		return false
	}
	return visit(p)
}

func (p *Plan) children() []*Plan {
	var out []*Plan
	if p.elem != nil {
		out = append(out, p.elem)
	}
	if p.key != nil {
		out = append(out, p.key)
	}
	for _, f := range p.raw {
		out = append(out, f.plan)
	}
	return out
}

// noscan reports whether values of t hold no pointers at all.
func noscan(t reflect.Type) bool {
	if t.Size() == 0 {
		return true
	}
	switch t.Kind() {
	case reflect.Array:
		return noscan(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !noscan(t.Field(i).Type) {
				return false
			}
		}
		return true
	}
	return t.Kind() >= reflect.Bool && t.Kind() <= reflect.Complex128
}

// direct reports whether an interface keeps a t in its data word. Which structs
// and arrays of one pointer it does so for depends on the version of Go, so
// they are tried.
func direct(t reflect.Type, noscan bool) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return true
	case reflect.Struct, reflect.Array:
		if noscan || t.Size() != ptrSize {
			return false
		}
		target := unsafe.Pointer(new(uintptr))
		v := reflect.New(t)
		*(*unsafe.Pointer)(v.UnsafePointer()) = target
		i := v.Elem().Interface()
		return (*iface)(unsafe.Pointer(&i)).data == target
	}
	return false
}

func moveOf(t reflect.Type, noscan bool) how {
	switch {
	case t.Size() == 0:
		return moveNone
	case noscan && t.Size() == 8 && t.Align() == 8:
		return moveWord
	case noscan:
		return moveBytes
	case t == timeType:
		return moveTime
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return movePointer
	case reflect.String:
		return moveString
	case reflect.Slice:
		return moveSlice
	case reflect.Interface:
		return moveIface
	}
	return moveReflect
}
