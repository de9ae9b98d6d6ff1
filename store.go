package preload

import (
	"hash/maphash"
	"log/slog"

	"github.com/patrickmn/go-cache"
)

// Store keeps answers by key. Implementations must be safe for concurrent use, and must not call the plugin.
//
// Values are pointers into this process and mean nothing outside it. A Store may forget a value at any time, but Get
// must never return one that Set or Delete has replaced. Expiry and capacity are the plugin's business. A Store
// that panics costs database reads, never a wrong answer or an error.
type Store interface {
	Get(key string) (value any, ok bool)
	Set(key string, value any)
	Delete(key string)
}

// shards of the default store: enough that writers of one do not hold up the readers of many.
const shards = 32

// NewStore returns the default store: shards of github.com/patrickmn/go-cache, without its clean-up goroutine.
func NewStore() Store {
	s := &shardedStore{seed: maphash.MakeSeed()}
	for i := range s.shards {
		s.shards[i] = cache.New(cache.NoExpiration, 0)
	}
	return s
}

// guardedStore keeps a Store that panics from harming the queries and writes that use it: what it cannot do counts as
// forgotten.
type guardedStore struct {
	Store
	logger *slog.Logger
}

func (s guardedStore) Get(key string) (value any, ok bool) {
	defer func() {
		if s.failed(recover()) {
			value, ok = nil, false
		}
	}()
	return s.Store.Get(key)
}

func (s guardedStore) Set(key string, value any) {
	defer func() { s.failed(recover()) }()
	s.Store.Set(key, value)
}

func (s guardedStore) Delete(key string) {
	defer func() { s.failed(recover()) }()
	s.Store.Delete(key)
}

func (s guardedStore) failed(fault any) bool {
	if fault != nil {
		s.logger.Error("preload: the Store panicked", "fault", fault)
	}
	return fault != nil
}

type shardedStore struct {
	seed   maphash.Seed
	shards [shards]*cache.Cache
}

func (s *shardedStore) shard(key string) *cache.Cache {
	return s.shards[maphash.String(s.seed, key)%shards]
}

func (s *shardedStore) Get(key string) (any, bool) { return s.shard(key).Get(key) }

func (s *shardedStore) Set(key string, value any) {
	s.shard(key).Set(key, value, cache.NoExpiration)
}

func (s *shardedStore) Delete(key string) { s.shard(key).Delete(key) }
