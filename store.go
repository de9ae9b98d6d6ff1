package preload

import (
	"time"

	"github.com/gorm-preload/preload/internal/store"
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

// NewStore returns the default store: shards of github.com/patrickmn/go-cache, without its clean-up
// goroutine.
func NewStore() Store { return store.New() }

// storeWait is how long a call of the application's Store is waited for. One that takes longer
// takes the Store out of service: all is asked of the database until the Store answers again.
const storeWait = 250 * time.Millisecond
