package seen

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// Past remembers of keys, by their hash, why their last answer left memory. It has a fixed number
// of places; a key that falls on the place of another one takes it, and the other one is then told
// as Cold. The places are made when the first answer leaves. It is safe for concurrent use.
type Past struct {
	most   int                             // places
	places atomic.Pointer[[]atomic.Uint64] // the hash, but for the lowest bits, which hold the cause
}

const (
	minPlaces = 1 << 10
	maxPlaces = 1 << 16
	causeBits = 2
)

// NewPast returns one for a cache of so many answers.
func NewPast(answers int) *Past {
	n := 1 << bits.Len(uint(min(max(0, answers), maxPlaces)))
	return &Past{most: min(max(n, minPlaces), maxPlaces)}
}

// Left notes that the answer of a key left memory: it was Invalidated, Expired or Evicted.
func (p *Past) Left(hash uint64, why Cause) {
	places := p.places.Load()
	if places == nil {
		made := make([]atomic.Uint64, p.most)
		p.places.CompareAndSwap(nil, &made)
		if places = p.places.Load(); places == nil {
			return // all was forgotten meanwhile
		}
	}
	place(*places, hash).Store(hash&^(1<<causeBits-1) | uint64(why.index()))
}

// Of returns why the last answer of a key left memory; Cold where that is not remembered.
func (p *Past) Of(hash uint64) Cause {
	places := p.places.Load()
	if places == nil {
		return Cold
	}
	if v := place(*places, hash).Load(); v != 0 && v>>causeBits == hash>>causeBits {
		return Causes[v&(1<<causeBits-1)]
	}
	return Cold
}

func place(places []atomic.Uint64, hash uint64) *atomic.Uint64 {
	return &places[hash>>causeBits%uint64(len(places))]
}

// Clear forgets all.
func (p *Past) Clear() { p.places.Store(nil) }

// Bytes returns what it holds.
func (p *Past) Bytes() int64 {
	places := p.places.Load()
	if places == nil {
		return 0
	}
	return int64(len(*places)) * int64(unsafe.Sizeof(atomic.Uint64{}))
}
