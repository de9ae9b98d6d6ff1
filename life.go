package preload

import (
	"sync"
	"sync/atomic"
)

// life says whether a plugin is initialized, and whether it is closed.
type life struct {
	initialize sync.Mutex // held by Initialize
	ready      atomic.Bool
	closed     atomic.Bool
}

// active reports whether the plugin takes part in statements.
func (l *life) active() bool { return l.ready.Load() && !l.closed.Load() }
