package preload

import (
	"container/list"
	"context"
	"sync"
)

// Loader loads a value again, outside any request. It is called with a context of the plugin's own that ends after
// WithLoadTimeout or with Close, and should return soon after that.
type Loader func(ctx context.Context) (any, error)

// load brings the answer of a key into the store, in the background; it reports whether it stored one.
type load func(ctx context.Context) (stored bool, err error)

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
}

func newRegistry(limit int) *registry {
	return &registry{limit: limit, loads: map[string]*list.Element{}}
}

func (r *registry) register(key string, load load) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.loads[key]; ok {
		e.Value = registered{key, load}
		r.order.MoveToFront(e)
		return
	}
	if r.order.Len() >= r.limit {
		oldest := r.order.Back()
		delete(r.loads, oldest.Value.(registered).key)
		r.order.Remove(oldest)
	}
	r.loads[key] = r.order.PushFront(registered{key, load})
}

func (r *registry) loader(key string) (load, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.loads[key]
	if !ok {
		return nil, false
	}
	return e.Value.(registered).load, true
}

func (r *registry) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order.Init()
	clear(r.loads)
}
