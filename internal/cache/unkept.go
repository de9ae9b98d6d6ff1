package cache

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// unkeptFor is for how long it is remembered of a key that its answer cannot be kept. Trying again
// costs a measuring.
const unkeptFor = time.Minute

// unkeptKeys is how many keys are remembered at most, by hash.
const unkeptKeys = 1 << 10

// unkept remembers whose answers could not be kept, so that the next reads neither measure nor copy
// them, and hold up nobody who could ask at the same time. A shape of query is not judged by one
// answer: with other args it may be small. The zero value is ready. It is safe for concurrent use,
// and looked at on misses only.
type unkept struct {
	some  atomic.Bool // there is something in it, as there never is in most applications
	slots [unkeptKeys]atomic.Pointer[unkeptKey]
}

type unkeptKey struct {
	hash     uint64
	until    int64 // nanoseconds since 1970
	obstacle obstacle
}

var unkeptSeed = maphash.MakeSeed()

// add remembers a key.
func (u *unkept) add(key string, o obstacle, now time.Time) {
	hash := maphash.String(unkeptSeed, key)
	u.slots[hash%unkeptKeys].Store(&unkeptKey{hash, after(now, unkeptFor), o})
	u.some.Store(true)
}

// of returns why the answer of a key cannot be kept, "" where that is not known.
func (u *unkept) of(key []byte, now time.Time) obstacle {
	if !u.some.Load() {
		return ""
	}
	hash := maphash.Bytes(unkeptSeed, key)
	k := u.slots[hash%unkeptKeys].Load()
	if k == nil || k.hash != hash || now.UnixNano() >= k.until {
		return ""
	}
	return k.obstacle
}

func (u *unkept) clear() {
	u.some.Store(false)
	for i := range u.slots {
		u.slots[i].Store(nil)
	}
}

// obstacle is why an answer cannot be kept, in the words of the statistics.
type obstacle string

// The obstacles; "" is none.
const (
	TooLarge    obstacle = "too large"    // heavier than the cache may be, or of more rows than wanted
	NotKeepable obstacle = "not keepable" // it holds what cannot be copied
	NotRepeated obstacle = "not repeated" // queries of its shape are hardly ever asked again
)

// Refuse notes that the answer of a flight cannot be kept, for the next who ask.
func (c *Cache) Refuse(f *Flight, o obstacle) {
	if f.Unkept = o; c.closed.Load() {
		return
	}
	c.unkept.add(f.Entry.Key, o, c.Now())
}
