package cache

import (
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/gorm-preload/preload/internal/clone"
)

// recent is an entry that a prepared query found, by the args as they were given. It is asked
// before the store: comparing args is cheaper than making a key of them. What most of them are
// compared by is in it, so that it fills one cache line.
type recent struct {
	entry *Entry
	at    *atomic.Pointer[recent] // where it is found
	used  atomic.Bool             // since it was last in another's way
	kinds kinds
	words [2]word
	rest  *rest // nil where the above is all
}

// rest is what a recent has no room for.
type rest struct {
	words [maxGiven - 2]word
	texts [maxGiven]string // of kind longText
}

// Given are the args of a call as they are compared.
type Given struct {
	Args  []any
	kinds kinds
	words [maxGiven]word
	hash  uint64
}

const (
	// maxGiven is how many args a call may have to be found by them.
	maxGiven = 4
	// longestRecent is how long a text may be among them.
	longestRecent = 256
)

// kinds says of what type each arg is. Types that differ in Go differ in a key only now and then,
// so they always do here.
type kinds [maxGiven]uint8

const (
	noArg    = iota
	longText // a text of more than 16 bytes: its hash and its length are the word
	_Int
	_Int64
	_Int32
	_Uint
	_Uint64
	_Uint32
	text // and its length: the word tells its bytes
)

// word is what is compared of an arg.
type word [2]uint64

// Take tells args apart; false where they are too many, or of other types: two that are equal in Go
// must be equal in a key.
func (g *Given) Take() bool {
	if len(g.Args) > maxGiven {
		return false
	}
	g.hash = seeds[0]
	for i, arg := range g.Args {
		w := &g.words[i]
		switch v := arg.(type) {
		case string:
			if len(v) > longestRecent {
				return false
			}
			if len(v) > 16 {
				g.kinds[i], w[0], w[1] = longText, Hash(v), uint64(len(v))
			} else {
				g.kinds[i] = text + uint8(len(v))
				*w = wordOf(v)
			}
		case int:
			g.kinds[i], w[0] = _Int, uint64(v)
		case int64:
			g.kinds[i], w[0] = _Int64, uint64(v)
		case int32:
			g.kinds[i], w[0] = _Int32, uint64(v)
		case uint:
			g.kinds[i], w[0] = _Uint, uint64(v)
		case uint64:
			g.kinds[i], w[0] = _Uint64, v
		case uint32:
			g.kinds[i], w[0] = _Uint32, uint64(v)
		default:
			return false
		}
		high, low := bits.Mul64(g.hash^w[0], w[1]^seeds[1])
		g.hash = high ^ low ^ uint64(g.kinds[i])
	}
	return true
}

// seeds keep an application's users from choosing what shares a place. They are odd: a product with
// one is not 0 for all.
var seeds = [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1}

// wordOf returns all bytes of a text of at most 16: of two that are as long it is the same only if
// they are.
func wordOf(s string) word {
	switch n := len(s); {
	case n >= 8:
		return word{eight(s), eight(s[n-8:])}
	case n >= 4:
		return word{four(s) | four(s[n-4:])<<32}
	case n > 0:
		return word{uint64(s[0]) | uint64(s[n/2])<<8 | uint64(s[n-1])<<16}
	}
	return word{}
}

func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func four(s string) uint64 {
	_ = s[3]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
}

// is reports whether it was found by these args.
func (r *recent) is(g *Given) bool {
	if r.kinds != g.kinds || r.words[0] != g.words[0] || r.words[1] != g.words[1] {
		return false
	}
	return r.rest == nil || r.rest.is(g)
}

func (r *rest) is(g *Given) bool {
	if [maxGiven - 2]word(g.words[2:]) != r.words {
		return false
	}
	for i, kind := range g.kinds {
		if kind == longText && g.Args[i].(string) != r.texts[i] {
			return false
		}
	}
	return true
}

// recent makes one of an entry that was found by these args. It keeps none of the caller's memory.
func (g *Given) recent(e *Entry, at *atomic.Pointer[recent]) *recent {
	r := &recent{entry: e, at: at, kinds: g.kinds, words: [2]word(g.words[:2])}
	for i, kind := range g.kinds {
		if kind != longText && (i < 2 || kind == noArg) {
			continue
		}
		if r.rest == nil {
			r.rest = &rest{words: [maxGiven - 2]word(g.words[2:])}
		}
		if kind == longText {
			r.rest.texts[i] = strings.Clone(g.Args[i].(string))
		}
	}
	return r
}

// Recents holds the recent entries of one prepared query, each at one of the places that its args
// share with few others.
type Recents struct {
	all   atomic.Pointer[[]places] // nil until make
	tight atomic.Int32             // how often there was no free place
}

// places are where the entries of some args can be.
type places [2]atomic.Pointer[recent]

// How many places there are: at first, and at most. They double when more than one in four was
// wanted in vain.
const (
	minPlaces = 1 << 4
	maxPlaces = 1 << 13
)

// Make has places made for the first entries.
func (r *Recents) Make() {
	first := make([]places, minPlaces)
	r.all.CompareAndSwap(nil, &first)
}

// grow makes more places, which are empty.
func (r *Recents) grow() {
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

// Of returns the places of some args.
func (r *Recents) Of(g *Given) *places {
	all := *r.all.Load()
	return &all[g.hash%uint64(len(all))]
}

// Find returns the entry that was found by these args; nil if it is not here.
func (ps *places) Find(g *Given) *Entry {
	for i := range ps {
		if r := ps[i].Load(); r != nil && r.is(g) {
			if !r.used.Load() {
				r.used.Store(true)
			}
			return r.entry
		}
	}
	return nil
}

// free returns a place that is empty, or whose entry was not used since it was last in the way; nil
// if there is none.
func (ps *places) free() (at *atomic.Pointer[recent], before *recent) {
	for i := range ps {
		before := ps[i].Load()
		if before == nil || !before.used.Swap(false) || before.entry.Guard.Dead() {
			return &ps[i], before
		}
	}
	return nil, nil
}

// Put makes an entry be found by these args, at one of their places.
func (r *Recents) Put(e *Entry, ps *places, g *Given) {
	at, before := ps.free()
	if at == nil || before != nil {
		r.grow()
	}
	if at == nil {
		return
	}
	e.come(at, before, g)
}

// come makes an entry be found by these args at a place, where another one was before.
func (e *Entry) come(at *atomic.Pointer[recent], before *recent, g *Given) {
	elsewhere := e.recent.Load()
	if elsewhere != nil && elsewhere.used.Swap(false) {
		return // by another query, or in another guise, and in use
	}
	r := g.recent(e, at)
	if !e.recent.CompareAndSwap(elsewhere, r) {
		return
	}
	e.Tally.Found.Add(r.bytes())
	if elsewhere != nil {
		elsewhere.at.CompareAndSwap(elsewhere, nil)
		elsewhere.gone()
	}
	if !at.CompareAndSwap(before, r) {
		if e.recent.CompareAndSwap(r, nil) {
			r.gone()
		}
		return
	}
	if before != nil && before.entry.recent.CompareAndSwap(before, nil) {
		before.gone()
	}
	if !e.counted.Load() {
		e.leave() // it left the store meanwhile
	}
	if e.recent.Load() != r {
		at.CompareAndSwap(r, nil) // or was taken over, and this came too late to be seen
	}
}

// leave makes an entry that leaves the store be found no more.
func (e *Entry) leave() {
	if r := e.recent.Swap(nil); r != nil {
		r.at.CompareAndSwap(r, nil)
		r.gone()
	}
}

// bytes returns what a recent holds besides its entry.
func (r *recent) bytes() int64 {
	n := int64(unsafe.Sizeof(*r))
	if r.rest != nil {
		n += int64(unsafe.Sizeof(*r.rest))
		for _, text := range r.rest.texts {
			n += clone.TextSize(len(text))
		}
	}
	return n
}

// gone notes that an entry has it no more. Whoever takes it from the entry calls it.
func (r *recent) gone() { r.entry.Tally.Found.Add(-r.bytes()) }
