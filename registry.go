package preload

import (
	"container/list"
	"context"
	"sync"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/clone"
)

// Loader loads a value again, outside any request. It is called with a context of the plugin's own
// that ends after WithLoadTimeout or with Close, and should return soon after that.
type Loader func(ctx context.Context) (any, error)

// registry holds the loaders of keys, at most limit, and so many bytes: the least recently
// registered leave first.
type registry struct {
	limit int

	mu    sync.Mutex
	order list.List // of registered, most recent first
	loads map[string]*list.Element
	bytes int64 // what they hold

	closed bool // nothing is registered any more
}

type registered struct {
	key    string
	load   cache.Loader
	weight int64 // in bytes
	// worth says how surely an answer is read before a write kills it, as the answers before it
	// were; from 0 to 1.
	worth float64
}

// A killed answer is loaded again at once when two reads were seen since the answers of its key
// began to be killed, and from then on while about two of three such answers are read. One that was
// not costs the database a query for nothing, so it counts twice as much as a read.
const (
	worthAtFirst = 0.25
	worthLoading = 0.5
	worthGain    = 0.25 // of what is missing to 1, for each of the first reads of an answer
	worthLoss    = 0.5
	worthReads   = 3
	// worthHaste is lost when a write came while the answer was being loaded, so that nobody could
	// read it: a few writes in a row do not matter, many do.
	worthHaste = 0.1
)

func newRegistry(limit int) *registry {
	return &registry{limit: limit, loads: map[string]*list.Element{}}
}

const (
	// loaderBytes is how much a loader may hold when all that are allowed are there; where some
	// hold less, others may hold more.
	loaderBytes = 4 << 10
	// loaderOverhead is what one holds besides its key and bind values.
	loaderOverhead = 384
)

// register keeps the loader of a key, which holds so many bytes of bind values.
func (r *registry) register(key string, load cache.Loader, held int64) {
	weight := loaderOverhead + clone.TextSize(len(key)) + held
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if e, ok := r.loads[key]; ok {
		known := e.Value.(*registered)
		r.bytes += weight - known.weight
		known.load, known.weight = load, weight
		r.order.MoveToFront(e)
	} else {
		r.bytes += weight
		r.loads[key] = r.order.PushFront(&registered{key, load, weight, worthAtFirst})
	}
	for r.order.Len() > r.limit || r.bytes > int64(r.limit)*loaderBytes && r.order.Len() > 1 {
		oldest := r.order.Remove(r.order.Back()).(*registered)
		delete(r.loads, oldest.key)
		r.bytes -= oldest.weight
	}
}

// size returns how many bytes the loaders hold, as far as it is known: what loaders of the
// application's hold is not.
func (r *registry) size() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

func (r *registry) unregister(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.loads[key]; ok {
		delete(r.loads, key)
		r.bytes -= r.order.Remove(e).(*registered).weight
	}
}

func (r *registry) loader(key string) (cache.Loader, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.loads[key]
	if !ok {
		return nil, false
	}
	return e.Value.(*registered).load, true
}

// killed notes that a write killed the answer of a key, and how often it had been read, or that it
// was loading it. It reports whether it is worth loading again.
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

// close does what clear does, and has nothing registered from then on.
func (r *registry) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.clear()
}

func (r *registry) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order.Init()
	r.loads, r.bytes = map[string]*list.Element{}, 0
}
