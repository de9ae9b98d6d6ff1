package preload

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
)

// recent is an entry that a prepared query found, by the args as they were given. It is asked before the store: comparing args is
// cheaper than making a key of them.
type recent struct {
	entry *entry
	args  []any
	at    *atomic.Pointer[recent] // where it is found
	used  atomic.Bool             // since it was last in another's way
}

// recents holds the recent entries of one prepared query, each at one of the places that its args share with few others.
type recents struct {
	all   atomic.Pointer[[]places] // nil until make
	tight atomic.Int32             // how often there was no free place
}

// places are where the entries of some args can be.
type places [2]atomic.Pointer[recent]

// How many places there are: at first, and at most. They double when more than one in four was wanted in vain.
const (
	minPlaces = 1 << 7
	maxPlaces = 1 << 13
)

var recentSeed = maphash.MakeSeed()

func (r *recents) make() {
	first := make([]places, minPlaces)
	r.all.CompareAndSwap(nil, &first)
}

// grow makes more places, which are empty.
func (r *recents) grow() {
	all := r.all.Load()
	if r.tight.Add(1) < int32(len(*all)/4) || len(*all) >= maxPlaces {
		return
	}
	more := make([]places, 2*len(*all))
	if !r.all.CompareAndSwap(all, &more) {
		return
	}
	r.tight.Store(0)
	for i := range *all {
		for j := range (*all)[i] {
			if old := (*all)[i][j].Load(); old != nil {
				old.entry.leave()
			}
		}
	}
}

// of returns the places of some args; nil where there are none: two that are equal in Go must be equal in a key.
func (r *recents) of(args []any) *places {
	all := r.all.Load()
	if all == nil {
		return nil
	}
	var h uint64
	for _, arg := range args {
		var of uint64
		switch v := arg.(type) {
		case string:
			of = maphash.String(recentSeed, v)
		case int:
			of = uint64(v)
		case int64:
			of = uint64(v)
		case uint:
			of = uint64(v)
		case uint64:
			of = v
		case int32:
			of = uint64(v)
		case uint32:
			of = uint64(v)
		default:
			return nil
		}
		h = (h ^ of) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	return &(*all)[h%uint64(len(*all))]
}

// find returns the entry that was found by these args; nil if it is not here.
func (ps *places) find(args []any) *entry {
	for i := range ps {
		if r := ps[i].Load(); r.is(args) {
			return r.entry
		}
	}
	return nil
}

// is reports whether it was found by these args, and notes that it was used.
func (r *recent) is(args []any) bool {
	if r == nil || !slices.Equal(r.args, args) {
		return false
	}
	if !r.used.Load() {
		r.used.Store(true)
	}
	return true
}

// free returns a place that is empty, or whose entry was not used since it was last in the way; nil if there is none.
func (ps *places) free() (at *atomic.Pointer[recent], before *recent) {
	for i := range ps {
		before := ps[i].Load()
		if before == nil || !before.used.Swap(false) || before.entry.guard.Dead() {
			return &ps[i], before
		}
	}
	return nil, nil
}

// put makes an entry be found by these args, at one of their places.
func (r *recents) put(e *entry, ps *places, args []any) {
	at, before := ps.free()
	if at == nil || before != nil {
		r.grow()
	}
	if at == nil {
		return
	}
	e.come(at, before, args)
}

// come makes an entry be found by these args at a place, where another one was before.
func (e *entry) come(at *atomic.Pointer[recent], before *recent, args []any) {
	r := &recent{entry: e, args: slices.Clone(args), at: at}
	if !e.recent.CompareAndSwap(nil, r) {
		return // it is found elsewhere, by another query or in another guise
	}
	if !at.CompareAndSwap(before, r) {
		e.recent.CompareAndSwap(r, nil)
		return
	}
	if before != nil {
		before.entry.recent.CompareAndSwap(before, nil)
	}
	if !e.counted.Load() {
		e.leave() // it left the store meanwhile
	}
}

// leave makes an entry that leaves the store be found no more.
func (e *entry) leave() {
	if r := e.recent.Swap(nil); r != nil {
		r.at.CompareAndSwap(r, nil)
	}
}
