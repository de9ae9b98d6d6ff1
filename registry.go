package preload

import (
	"container/list"
	"context"
	"sync"
)

// Loader loads a value again, outside any request. It is called with a context of the plugin's own that ends after
// WithLoadTimeout or with Close, and should return soon after that.
type Loader func(ctx context.Context) (any, error)

// load begins to bring the answer of a key into the store, in the background: from its return on readers of the key wait for
// run, which does it, and returns the entry if it stored one. run is nil if it is being done already, or cannot be.
type load func(ctx context.Context) (run run)

type run func() (stored []*entry, err error)

// registry holds the loaders of keys, at most limit: the least recently registered leave first.
type registry struct {
	limit int

	mu    sync.Mutex
	order list.List // of registered, most recent first
	loads map[string]*list.Element
}

type registered struct {
	key  string
	load load
	// worth says how surely an answer is read before a write kills it, as the answers before it were; from 0 to 1.
	worth float64
}

// A killed answer is loaded again at once when two reads were seen since the answers of its key began to be killed, and from
// then on while about two of three such answers are read. One that was not costs the database a query for nothing, so
// it counts twice as much as a read.
const (
	worthAtFirst = 0.25
	worthLoading = 0.5
	worthGain    = 0.25 // of what is missing to 1, for each of the first reads of an answer
	worthLoss    = 0.5
	worthReads   = 3
	// worthHaste is lost when a write came while the answer was being loaded, so that nobody could read it: a few writes in
	// a row do not matter, many do.
	worthHaste = 0.1
)

func newRegistry(limit int) *registry {
	return &registry{limit: limit, loads: map[string]*list.Element{}}
}

func (r *registry) register(key string, load load) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.loads[key]; ok {
		e.Value.(*registered).load = load
		r.order.MoveToFront(e)
		return
	}
	if r.order.Len() >= r.limit {
		oldest := r.order.Back()
		delete(r.loads, oldest.Value.(*registered).key)
		r.order.Remove(oldest)
	}
	r.loads[key] = r.order.PushFront(&registered{key, load, worthAtFirst})
}

func (r *registry) loader(key string) (load, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.loads[key]
	if !ok {
		return nil, false
	}
	return e.Value.(*registered).load, true
}

// killed notes that a write killed the answer of a key, and how often it had been read, or that it was loading it. It reports
// whether it is worth loading again.
func (r *registry) killed(key string, reads int64, loading bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.loads[key]
	if !ok {
		return false
	}
	// It is about to be used, which is as good as being registered anew.
	r.order.MoveToFront(e)
	known := e.Value.(*registered)
	switch {
	case reads > 0:
	case loading:
		known.worth -= known.worth * worthHaste
	default:
		known.worth -= known.worth * worthLoss
	}
	for range min(reads, worthReads) {
		known.worth += (1 - known.worth) * worthGain
	}
	return known.worth >= worthLoading
}

func (r *registry) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order.Init()
	clear(r.loads)
}
