package loaders

import (
	"container/list"
	"sync"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/clone"
	"github.com/gorm-preload/preload/internal/prediction"
)

// Loaders are the loaders of keys, at most limit, and so many bytes: the least recently registered
// leave first. It is safe for concurrent use.
type Loaders struct {
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
	lives  prediction.Lives
}

// New returns an empty one, for so many loaders at most.
func New(limit int) *Loaders {
	return &Loaders{limit: limit, loads: map[string]*list.Element{}}
}

const (
	// loaderBytes is how much a loader may hold when all that are allowed are there; where some
	// hold less, others may hold more.
	loaderBytes = 4 << 10
	// loaderOverhead is what one holds besides its key and bind values.
	loaderOverhead = 384
)

// Register keeps the loader of a key, which holds so many bytes of bind values.
func (ls *Loaders) Register(key string, load cache.Loader, held int64) {
	weight := loaderOverhead + clone.TextSize(len(key)) + held
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return
	}
	if e, ok := ls.loads[key]; ok {
		known := e.Value.(*registered)
		ls.bytes += weight - known.weight
		known.load, known.weight = load, weight
		ls.order.MoveToFront(e)
	} else {
		ls.bytes += weight
		ls.loads[key] = ls.order.PushFront(&registered{key: key, load: load, weight: weight})
	}
	for ls.order.Len() > ls.limit || ls.bytes > int64(ls.limit)*loaderBytes && ls.order.Len() > 1 {
		oldest := ls.order.Remove(ls.order.Back()).(*registered)
		delete(ls.loads, oldest.key)
		ls.bytes -= oldest.weight
	}
}

// Size returns how many bytes the loaders hold, as far as it is known: what loaders of the
// application's hold is not.
func (ls *Loaders) Size() int64 {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.bytes
}

// Len returns how many loaders there are.
func (ls *Loaders) Len() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.order.Len()
}

// Unregister lets the loader of a key go.
func (ls *Loaders) Unregister(key string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if e, ok := ls.loads[key]; ok {
		delete(ls.loads, key)
		ls.bytes -= ls.order.Remove(e).(*registered).weight
	}
}

// Of returns the loader of a key.
func (ls *Loaders) Of(key string) (cache.Loader, bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	e, ok := ls.loads[key]
	if !ok {
		return nil, false
	}
	return e.Value.(*registered).load, true
}

// Killed notes that a write killed the answer of a key. It reports whether it is worth loading
// again.
func (ls *Loaders) Killed(key string, k cache.Killed) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	e, ok := ls.loads[key]
	if !ok {
		return false
	}
	// It is about to be used, which is as good as being registered anew.
	ls.order.MoveToFront(e)
	return e.Value.(*registered).lives.Ended(k.Entry.Read(), !k.Entry.Background, k.Loading)
}

// Close does what Clear does, and has nothing registered from then on.
func (ls *Loaders) Close() {
	ls.mu.Lock()
	ls.closed = true
	ls.mu.Unlock()
	ls.Clear()
}

// Clear lets all go.
func (ls *Loaders) Clear() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.order.Init()
	ls.loads, ls.bytes = map[string]*list.Element{}, 0
}
