package preload

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patrickmn/go-cache"
)

// Store keeps answers by key. Implementations must be safe for concurrent use, and must not call
// the plugin.
//
// Values are pointers into this process and mean nothing outside it. A Store may forget a value at
// any time, but Get must never return one that Set or Delete has replaced. Expiry and capacity are
// the plugin's business. A Store that panics or blocks costs database reads, never a wrong answer
// or an error: each call of a Store of the application's runs on a goroutine of its own, and one
// that takes longer than 250 ms takes the Store out of service until it answers again.
//
// Package storetest has the tests that every implementation should pass.
type Store interface {
	Get(key string) (value any, ok bool)
	Set(key string, value any)
	Delete(key string)
}

// shards of the default store: enough that writers of one do not hold up the readers of many.
const shards = 32

// NewStore returns the default store: shards of github.com/patrickmn/go-cache, without its clean-up
// goroutine.
func NewStore() Store {
	s := &shardedStore{seed: maphash.MakeSeed()}
	for i := range s.shards {
		s.shards[i].cache.Store(cache.New(cache.NoExpiration, 0))
	}
	return s
}

// storeWait is how long a call of the application's Store is waited for. One that takes longer
// takes the Store out of service: all is asked of the database until the Store answers again.
const storeWait = 250 * time.Millisecond

type shardedStore struct {
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

func (s *shardedStore) shard(key string) *shard {
	return &s.shards[maphash.String(s.seed, key)%shards]
}

func (s *shardedStore) Get(key string) (any, bool) { return s.shard(key).cache.Load().Get(key) }

func (s *shardedStore) Set(key string, value any) {
	in := s.shard(key)
	in.mu.Lock()
	defer in.mu.Unlock()
	items := in.cache.Load()
	items.Set(key, value, cache.NoExpiration)
	in.most = max(in.most, items.ItemCount())
}

func (s *shardedStore) Delete(key string) {
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
