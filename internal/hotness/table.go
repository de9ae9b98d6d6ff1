package hotness

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Table holds the patterns of at most a limit of keys. Its methods may be used
// by any number of goroutines.
type Table struct {
	limit  int
	scorer Scorer

	// keys holds the tracked *Pattern of each key. It is written under mu and
	// read without.
	keys sync.Map

	size  atomic.Int64  // len(heap); written under mu
	epoch atomic.Uint32 // the number of Clears; written under mu
	// floor is the placed weight of the root, as float64 bits; written under
	// mu. It is never above the weight of the coldest tracked pattern, so a
	// pattern that does not exceed it need not ask for the lock.
	floor atomic.Uint64

	// mu orders what gives a pattern a place or takes it away. Neither the
	// scorer nor any other callback is called under it.
	mu     sync.Mutex
	heap   minHeap // the tracked patterns; under mu
	closed bool    // nothing is tracked any more; under mu
}

// New returns an empty table of at most limit keys, a limit below 1 being 1.
// The scorer must not be nil.
func New(limit int, s Scorer) *Table {
	t := &Table{limit: max(limit, 1), scorer: s}
	t.publish()
	return t
}

// Lookup returns the pattern of key if it is tracked, and otherwise nil. It
// takes no lock.
func (t *Table) Lookup(key string) *Pattern {
	if p, ok := t.keys.Load(key); ok {
		return p.(*Pattern)
	}
	return nil
}

// Touch records an access to key at now, tracking it (in place of the coldest
// when the table is full), and returns its pattern. It takes no lock if key is
// tracked.
func (t *Table) Touch(key string, now time.Time) *Pattern {
	if p := t.Lookup(key); p != nil {
		return p.access(t.scorer, now)
	}
	// Recorded before it is tracked: no lock may be held while the scorer runs,
	// and a tracked pattern without a weight would be the next victim.
	p := newPattern(key, 0)
	p.access(t.scorer, now)
	if q := t.admit(p); q != p {
		return q.access(t.scorer, now)
	}
	return p
}

// admit tracks p, which nobody else knows yet, unless another pattern of its
// key is tracked by now. It returns the one that is.
func (t *Table) admit(p *Pattern) *Pattern {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q := t.Lookup(p.Key); q != nil {
		return q
	}
	p.epoch = t.epoch.Load()
	if len(t.heap) >= t.limit {
		t.heap.coldest()
	}
	t.track(p)
	return p
}

// Record records an access at now on a pattern that the caller kept. It never
// waits, and while the pattern is tracked takes no lock and allocates nothing.
//
// A pattern that lost its place keeps counting in its own memory. It comes back
// with all it has when the table has room or its weight exceeds that of the
// coldest tracked pattern. If meanwhile another pattern of the same key is
// tracked, the two are merged into that one (counts added, weight the larger,
// last the later), for which p answers from then on. If the table is locked
// just now, either is left to a later access.
func (t *Table) Record(p *Pattern, now time.Time) {
	p = p.current()
	if !p.tracked.Load() {
		p = t.reunite(p)
	}
	p = p.access(t.scorer, now)
	if !p.tracked.Load() {
		t.readmit(p)
	}
}

// reunite returns the pattern on which an access to the untracked p is to be
// recorded: the tracked one of its key, if there is one and the lock can be
// had, or else p. Merging comes before recording, so that the access is weighed
// with the count of both.
func (t *Table) reunite(p *Pattern) *Pattern {
	if epoch := t.epoch.Load(); p.epoch != epoch {
		return t.supersede(p, epoch)
	}
	if q := t.Lookup(p.Key); q == nil || q == p || !t.mu.TryLock() {
		return p
	}
	defer t.mu.Unlock()
	return t.unite(p)
}

// unite merges p into the tracked pattern of its key if there is another, and
// returns the one that counts. mu is held.
func (t *Table) unite(p *Pattern) *Pattern {
	p = p.current()
	if p.tracked.Load() || p.epoch != t.epoch.Load() {
		return p
	}
	q := t.Lookup(p.Key)
	if q == nil {
		return p
	}
	p.mergeInto(q)
	return q
}

// supersede lets p, kept from before a Clear, forward to a pattern that knows
// nothing of it, and returns the end of the chain.
//
// It needs no lock: a Clear starts the new epoch under mu, so what tracks or
// merges patterns has either finished with p or will leave it alone.
func (t *Table) supersede(p *Pattern, epoch uint32) *Pattern {
	fresh := t.Lookup(p.Key)
	// While the Clear is under way, what is found may still be of p's epoch, or
	// be p itself.
	if fresh == nil || fresh.epoch != epoch {
		fresh = newPattern(p.Key, epoch)
	}
	p.forward.CompareAndSwap(nil, fresh)
	return p.current()
}

// readmit gives p its place back if it deserves one and the lock can be had.
func (t *Table) readmit(p *Pattern) {
	room := t.size.Load() < int64(t.limit)
	if !room && !(p.ownWeight() > math.Float64frombits(t.floor.Load())) {
		return
	}
	if !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	p = t.unite(p)
	if p.tracked.Load() || p.epoch != t.epoch.Load() {
		return
	}
	if len(t.heap) >= t.limit && !(p.ownWeight() > t.heap.coldest().ownWeight()) {
		// The floor had fallen behind. With the true one published, the next
		// access of a pattern as cold as this one does not ask for the lock.
		t.publish()
		return
	}
	t.track(p)
}

// track gives p a place: a new one while there is room, else that of the root.
// mu is held, no pattern of the key is tracked, p is of this epoch and does not
// forward.
func (t *Table) track(p *Pattern) {
	if t.closed {
		return
	}
	if len(t.heap) < t.limit {
		t.heap.push(p)
	} else {
		victim := t.heap[0].Pattern
		t.keys.Delete(victim.Key)
		victim.tracked.Store(false)
		t.heap.replaceRoot(p)
	}
	p.tracked.Store(true)
	t.keys.Store(p.Key, p)
	t.publish()
}

// publish lets those who do not hold mu know the floor and the size. mu is held.
func (t *Table) publish() {
	floor := math.Inf(-1)
	if len(t.heap) > 0 {
		floor = t.heap[0].at
	}
	t.floor.Store(math.Float64bits(floor))
	t.size.Store(int64(len(t.heap)))
}

// Len is the number of tracked keys.
func (t *Table) Len() int { return int(t.size.Load()) }

// placeBytes is about what the places of a pattern in the heap and among the
// keys take.
const placeBytes = 160

// Bytes is about how much memory the tracked patterns hold, with their keys and
// related keys.
func (t *Table) Bytes() (n int64) {
	for _, p := range t.patterns() {
		n += int64(unsafe.Sizeof(*p)) + placeBytes + textBytes(p.Key)
		if related := p.related.Load(); related != nil {
			n += int64(unsafe.Sizeof(*related)) + int64(cap(*related))*int64(unsafe.Sizeof(p.Key))
			for _, key := range *related {
				n += textBytes(key)
			}
		}
	}
	return n
}

// textBytes is what the allocator uses for a text: it rounds up, by an eighth
// at most but for short ones.
func textBytes(s string) int64 { return int64(len(s)) + int64(len(s))/16 + 8 }

// Close does what Clear does, and has nothing tracked from then on.
func (t *Table) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.Clear()
}

// Clear forgets all statistics, also those of patterns that lost their place
// and are kept by callers: such a pattern shows what it had until its next
// access, which counts as the first. An access that runs at the same time may
// be forgotten as well.
func (t *Table) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	// The epoch comes first: an access that starts when Clear has returned
	// finds its pattern untracked, and then that its epoch is over.
	t.epoch.Add(1)
	t.keys.Clear()
	for _, p := range t.heap {
		p.tracked.Store(false)
	}
	t.heap = nil
	t.publish()
}

// patterns returns the tracked patterns in the order of the heap.
func (t *Table) patterns() []*Pattern {
	t.mu.Lock()
	defer t.mu.Unlock()
	patterns := make([]*Pattern, len(t.heap))
	for i, p := range t.heap {
		patterns[i] = p.Pattern
	}
	return patterns
}
