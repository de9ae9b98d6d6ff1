package feeds

import (
	"sync"
	"time"
)

// calls are those of tellers that are under way.
type calls struct {
	mu   sync.Mutex // a leaf
	n    int
	left bool          // nothing is told any more
	none chan struct{} // closed once there are none after that
}

// tell begins to tell of a write; false where nothing is told any more.
func (c *calls) tell() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left {
		return false
	}
	c.n++
	return true
}

// ends begins to tell of the end of a write that was told of.
func (c *calls) ends() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

// done ends what tell or ends began.
func (c *calls) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.none != nil {
		close(c.none)
		c.none = nil
	}
}

// leave has nothing told any more, and returns what is closed once nothing is being told; nil where
// that is so already.
func (c *calls) leave() (none <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left = true; c.n > 0 && c.none == nil {
		c.none = make(chan struct{})
	}
	return c.none
}

// Leave has no write told to feeds from then on: it goes on as if there were none. It returns once
// the feeds have answered of those that are being told, or after that time.
func (f *Feeds) Leave(within time.Duration) {
	none := f.calls.leave()
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
