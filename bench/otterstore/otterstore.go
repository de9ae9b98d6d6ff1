// Package otterstore keeps the plugin's answers in github.com/maypok86/otter/v2, to compare it with
// the default store.
package otterstore

import (
	"github.com/gorm-preload/preload"
	"github.com/maypok86/otter/v2"
)

// New returns an empty store without bounds: these are the plugin's.
func New() (preload.Store, error) {
	cache, err := otter.New(&otter.Options[string, any]{})
	if err != nil {
		return nil, err
	}
	return store{cache}, nil
}

type store struct{ cache *otter.Cache[string, any] }

func (s store) Get(key string) (any, bool) { return s.cache.GetIfPresent(key) }

func (s store) Set(key string, value any) { s.cache.Set(key, value) }

func (s store) Delete(key string) { s.cache.Invalidate(key) }
