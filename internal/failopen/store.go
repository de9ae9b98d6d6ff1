package failopen

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// storeCalls bounds the calls of it that run at a time, and so those that hang.
	storeCalls = 64
	// storeProbe is how often it is asked again while calls hang.
	storeProbe = time.Second
	// probeKey is the key that it is asked for then; there is never anything under it.
	probeKey = "preload:"
)

// Store keeps a Store of the application's that panics or blocks from harming the queries and
// writes that use it: what it cannot do counts as forgotten. Each call runs on a goroutine of its
// own, which is left to itself when it takes too long. That a Set or a Delete comes late does no
// harm: whether an entry may be served is not the Store's to say.
type Store struct {
	store  plugged
	ours   func(value any) bool // whether a value is one that the plugin set
	report Report
	wait   time.Duration
	most   int // keys in missed
	slots  chan struct{}
	out    atomic.Bool // of service

	mu     sync.Mutex
	hang   int // calls that were left to themselves
	probed time.Time
	// missed are the keys of what may be in the Store and should not: they are deleted before it is
	// in service again.
	missed map[string]struct{}
}

// plugged is what the application plugs in.
type plugged interface {
	Get(key string) (value any, ok bool)
	Set(key string, value any)
	Delete(key string)
}

// NewStore guards a Store whose calls are waited for this long. While it is out of service at
// most so many keys are remembered that are to be deleted.
func NewStore(store plugged, ours func(any) bool, report Report, wait time.Duration, most int) *Store {
	return &Store{store: store, ours: ours, report: report, wait: wait, most: most,
		slots: make(chan struct{}, storeCalls), missed: map[string]struct{}{}}
}

// IsOut reports whether the Store is out of service.
func (s *Store) IsOut() bool { return s != nil && s.out.Load() }

// Get implements Store.
func (s *Store) Get(key string) (value any, ok bool) {
	var found struct {
		value any
		ok    bool
	}
	if !s.call(func() { found.value, found.ok = s.store.Get(key) }, func() {}) {
		return nil, false
	}
	if !found.ok || !s.ours(found.value) {
		return nil, false
	}
	return found.value, found.ok
}

// Set implements Store.
func (s *Store) Set(key string, value any) {
	s.call(func() { s.store.Set(key, value) }, func() { s.miss(key) })
}

// Delete implements Store.
func (s *Store) Delete(key string) {
	s.call(func() { s.store.Delete(key) }, func() { s.miss(key) })
}

// miss notes, with the lock held, that what is under a key is to be deleted before the Store is in
// service again.
func (s *Store) miss(key string) {
	if len(s.missed) < s.most {
		s.missed[key] = struct{}{}
	}
}

// Outdated notes that what is under a key is to be deleted, if the Store is out of service, so that
// it cannot be done now.
func (s *Store) Outdated(key string) { s.skip(func() { s.miss(key) }) }

// call runs a call of the Store. It reports false if that did not end well, or not in time. missed
// is called, with the lock held and the Store out of service, if it did not run or was left to
// itself.
func (s *Store) call(do, missed func()) bool {
	if s.out.Load() && s.skip(missed) {
		s.probe()
		return false
	}
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
	case <-timer.C:
		s.mu.Lock()
		s.takeOut(missed)
		return false
	}
	ended, well, left := make(chan struct{}), false, new(atomic.Bool)
	go func() {
		defer func() {
			if left.Swap(true) {
				s.returned(true)
			}
			<-s.slots
			close(ended)
		}()
		well = s.try(do)
	}()
	select {
	case <-ended:
		return well
	case <-timer.C:
	}
	s.mu.Lock()
	if left.Swap(true) {
		s.mu.Unlock()
		<-ended // it ends just now
		return well
	}
	s.hang++
	s.takeOut(missed)
	return false
}

// skip reports whether the Store is out of service; then missed was called.
func (s *Store) skip(missed func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.out.Load() {
		return false
	}
	missed()
	return true
}

// takeOut takes the Store out of service, and gives the lock back that is held.
func (s *Store) takeOut(missed func()) {
	first := !s.out.Swap(true)
	if first {
		s.probed = time.Now()
	}
	missed()
	s.mu.Unlock()
	if first {
		s.report(slog.LevelError, "preload: the Store does not return; the database answers until it does", "", "waited", s.wait)
	}
}

// try runs a call; a panic in it is logged.
func (s *Store) try(do func()) (well bool) {
	defer func() {
		if fault := recover(); fault != nil {
			s.report(slog.LevelError, "preload: the Store panicked", "", FaultAttrs(fault)...)
		}
	}()
	do()
	return true
}

// probe asks a Store that is out of service now and then whether it answers.
func (s *Store) probe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.probed) < storeProbe {
		return
	}
	select {
	case s.slots <- struct{}{}:
	default:
		return // as many calls hang as may
	}
	s.probed = time.Now()
	go func() {
		defer func() { <-s.slots }()
		if s.try(func() { s.store.Get(probeKey) }) {
			s.returned(false)
		}
	}()
}

// returned notes that the Store answers: a call that was left to itself, or a probe. If that is the
// last one, or a probe, the Store is in service again.
func (s *Store) returned(late bool) {
	s.mu.Lock()
	if late {
		s.hang--
	}
	for s.out.Load() && (!late || s.hang == 0) {
		if len(s.missed) == 0 {
			s.out.Store(false)
			break
		}
		missed := s.missed
		s.missed = map[string]struct{}{}
		s.mu.Unlock()
		for key := range missed {
			s.try(func() { s.store.Delete(key) })
		}
		s.mu.Lock()
	}
	s.mu.Unlock()
}
