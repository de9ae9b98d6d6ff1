package storetest_test

import (
	"sync"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/storetest"
)

func TestTheDefaultStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, preload.NewStore)
}

// ofMap is the least that a Store can be.
type ofMap struct{ sync.Map }

func (s *ofMap) Get(key string) (any, bool) { return s.Load(key) }
func (s *ofMap) Set(key string, value any)  { s.Store(key, value) }
func (s *ofMap) Delete(key string)          { s.Map.Delete(key) }

func TestAStoreOfAnApplications(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func() preload.Store { return &ofMap{} })
}
