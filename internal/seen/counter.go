package seen

import (
	"sync/atomic"
	"unsafe"
)

// stripes is how many counters a contended Counter has besides its first.
const stripes = 8

// Counter is a number that many add to. It is one word until two processors are seen to add to it
// at the same time; then it gets stripes, of which each has a cache line of its own.
type Counter struct {
	first atomic.Int64
	more  atomic.Pointer[[stripes]stripe]
}

type stripe struct {
	n atomic.Int64
	_ [120]byte // two cache lines: processors fetch them in pairs
}

// StripeBytes is what the stripes of one contended Counter hold.
const StripeBytes = int64(unsafe.Sizeof([stripes]stripe{}))

// Add adds to the counter.
func (c *Counter) Add(n int64) {
	more := c.more.Load()
	if more == nil {
		if now := c.first.Load(); c.first.CompareAndSwap(now, now+n) {
			return
		}
		c.more.CompareAndSwap(nil, new([stripes]stripe))
		more = c.more.Load()
	}
	// The address of a local variable differs by goroutine, so that goroutines use different
	// stripes.
	var here byte
	more[uint64(uintptr(unsafe.Pointer(&here)))>>13%stripes].n.Add(n)
}

// Load returns the number. What is added meanwhile may be in it or not.
func (c *Counter) Load() int64 {
	n := c.first.Load()
	if more := c.more.Load(); more != nil {
		for i := range more {
			n += more[i].n.Load()
		}
	}
	return n
}

// Clear sets the counter to zero. What is added meanwhile may be lost.
func (c *Counter) Clear() {
	c.first.Store(0)
	if more := c.more.Load(); more != nil {
		for i := range more {
			more[i].n.Store(0)
		}
	}
}

// Bytes returns what the counter holds besides itself.
func (c *Counter) Bytes() int64 {
	if c.more.Load() == nil {
		return 0
	}
	return StripeBytes
}
