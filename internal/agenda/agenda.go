package agenda

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
)

// MaxRead bounds the keys that are read, and wait for their turn to be loaded anew. More are
// dropped, and wished for again by later reads.
const MaxRead = 256

// Wish is a key that is to be loaded, or several that one query loads.
type Wish struct {
	Key   string
	Asked *atomic.Bool // set while the wish is there; cleared where no load began
	// Killed says that a write killed the answer of the key: a load of it that runs already may
	// have read what was there before, and nothing is to be done once a reader has loaded it.
	Killed bool
	// Expected is set where the key is loaded because it is expected to be asked for.
	Expected *association.Expected
	// Origin is what is kept of the context of the read that had the key loaded; nil for nothing.
	Origin context.Context
	// Load is the loader; that of the registry where it is nil.
	Load cache.Loader
	// With are more keys that the loader loads, by the same query.
	With []Wish
}

// End notes the fate of an expected key whose load stored nothing.
func (w *Wish) End(o cache.Fate) {
	if w.Expected != nil {
		w.Expected.Trial.End(o)
	}
}

// All calls yield with the wish itself and with each one in With.
func (w *Wish) All(yield func(*Wish) bool) {
	if !yield(w) {
		return
	}
	for i := range w.With {
		if !yield(&w.With[i]) {
			return
		}
	}
}

// Agenda has the keys that wait for their turn to be loaded: those that are read, in the order in
// which they came, and those that are only expected to be, of which the last ones stay. It is safe
// for concurrent use; mu is a leaf.
type Agenda struct {
	More chan struct{} // gets something when something was added

	mu       sync.Mutex
	read     []Wish
	expected []*association.Expected
}

// New returns an agenda with nothing on it.
func New() *Agenda { return &Agenda{More: make(chan struct{}, 1)} }

func (a *Agenda) tell() {
	select {
	case a.More <- struct{}{}:
	default: // it was told, and has not looked yet
	}
}

// Add adds a key that is read. It returns false where there are too many.
func (a *Agenda) Add(r Wish) bool {
	a.mu.Lock()
	fits := len(a.read) < MaxRead
	if fits {
		a.read = append(a.read, r)
	}
	a.mu.Unlock()
	if fits {
		a.tell()
	}
	return fits
}

// Next takes the first key out that is read.
func (a *Agenda) Next() (r Wish, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.read) == 0 {
		return r, false
	}
	r = a.read[0]
	a.read[0] = Wish{}
	if a.read = a.read[1:]; len(a.read) == 0 {
		a.read = nil
	}
	return r, true
}

// Foresee adds keys that are expected. Where there are too many, those that were expected first
// leave: they may come too late already.
func (a *Agenda) Foresee(all ...*association.Expected) {
	a.mu.Lock()
	a.expected = append(a.expected, all...)
	slices.SortStableFunc(a.expected, func(x, y *association.Expected) int { return cmp.Compare(y.Walk, x.Walk) })
	most := min(association.MaxExpected, len(a.expected))
	over := slices.Clone(a.expected[most:])
	clear(a.expected[most:])
	a.expected = a.expected[:most]
	a.mu.Unlock()
	for _, x := range over {
		x.End(cache.Void)
	}
	if len(all) > 0 {
		a.tell()
	}
}

// Foreseen takes the keys out that are expected, those that were expected last first.
func (a *Agenda) Foreseen() (all []*association.Expected) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all, a.expected = a.expected, nil
	return all
}

// AnyForeseen reports whether a key is expected.
func (a *Agenda) AnyForeseen() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.expected) > 0
}
