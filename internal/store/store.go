package store

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/patrickmn/go-cache"
)

// shards of the default store: enough that writers of one do not hold up the readers of many.
const shards = 32

// New returns an empty store.
func New() *Sharded {
	s := &Sharded{seed: maphash.MakeSeed()}
	for i := range s.shards {
		s.shards[i].cache.Store(cache.New(cache.NoExpiration, 0))
	}
	return s
}

// Sharded is the default store.
type Sharded struct {
	seed   maphash.Seed
	shards [shards]shard
}

// shard is a part of the store. Readers take no lock but the cache's own.
type shard struct {
	cache atomic.Pointer[cache.Cache]

	mu   sync.Mutex // orders writers; nothing but the cache is called under it
	most int        // how many values there were at a time since the cache was made; guarded by mu
}

// slack is how many values fewer than before there may be in any shard: a map keeps the memory of
// all that it ever held at a time.
const slack = 8

func (s *Sharded) shard(key string) *shard {
	return &s.shards[maphash.String(s.seed, key)%shards]
}

// Get returns the value of a key; false where there is none.
func (s *Sharded) Get(key string) (any, bool) { return s.shard(key).cache.Load().Get(key) }

// Set keeps a value.
func (s *Sharded) Set(key string, value any) {
	in := s.shard(key)
	in.mu.Lock()
	defer in.mu.Unlock()
	items := in.cache.Load()
	items.Set(key, value, cache.NoExpiration)
	in.most = max(in.most, items.ItemCount())
}

// Delete forgets a value.
func (s *Sharded) Delete(key string) {
	in := s.shard(key)
	in.mu.Lock()
	defer in.mu.Unlock()
	items := in.cache.Load()
	items.Delete(key)
	if left := items.ItemCount(); in.most > slack && left < in.most/2 {
		in.cache.Store(cache.NewFrom(cache.NoExpiration, 0, items.Items()))
		in.most = left
	}
}
