package preload

import (
	"sync"
	"sync/atomic"
)

// life says whether a plugin is initialized, whether it is closed, and which mode it is in.
type life struct {
	initialize sync.Mutex // held by Initialize
	ready      atomic.Bool
	closed     atomic.Bool

	change  sync.Mutex // held while closed, current or away changes: a leaf
	current atomic.Int32
	// away says that nothing is answered from memory: the plugin is closed, or not in ModeOn.
	away atomic.Bool
}

// active reports whether the plugin takes part in statements.
func (l *life) active() bool { return l.ready.Load() && !l.closed.Load() }

// mode returns the mode that the plugin is in, unless it is closed.
func (l *life) mode() Mode { return Mode(l.current.Load()) }

// enter changes the mode; false where the plugin is closed.
func (l *life) enter(mode Mode) (before Mode, ok bool) {
	l.change.Lock()
	defer l.change.Unlock()
	if l.closed.Load() {
		return 0, false
	}
	before = Mode(l.current.Swap(int32(mode)))
	l.away.Store(mode != ModeOn)
	return before, true
}

// close notes that the plugin is closed; it reports whether that is new.
func (l *life) close() bool {
	l.change.Lock()
	defer l.change.Unlock()
	l.away.Store(true)
	return !l.closed.Swap(true)
}
