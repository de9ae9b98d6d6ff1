package feeds

import (
	"sync"
	"time"
)

// telling counts the writes that feeds are told of: from before they are told that one begins until
// all have answered that it has ended.
type telling struct {
	mu   sync.Mutex // a leaf
	n    int
	left bool          // nothing is told any more
	none chan struct{} // closed once there are none after that
}

// begin reports false where nothing is told any more.
func (t *telling) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left {
		return false
	}
	t.n++
	return true
}

// end ends what begin began.
func (t *telling) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// leave has no more told, and returns what is closed once what is told has ended; nil where that is
// so already.
func (t *telling) leave() (none <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left = true; t.n > 0 && t.none == nil {
		t.none = make(chan struct{})
	}
	return t.none
}

// Leave has no further write told to feeds: it goes on as if there were none. It returns once those
// have ended that feeds were told of, and the feeds have answered, or after that time.
func (f *Feeds) Leave(within time.Duration) {
	none := f.telling.leave()
	if none == nil {
		return
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	}
}
