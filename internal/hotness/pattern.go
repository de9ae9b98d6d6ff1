package hotness

import (
	"math"
	"sync/atomic"
	"time"
)

// never is the last access of a pattern that has none. It is below every time
// that nanos returns.
const never = math.MinInt64

// Pattern is the statistics of one key. It may be kept, and recorded with
// [Table.Record] at the cost of a few atomics. If it loses its place it keeps
// counting for whoever kept it; if it has been merged into another pattern of
// its key, its methods answer for that one. It fills a cache line.
type Pattern struct {
	Key string

	count   atomic.Int64
	last    atomic.Int64  // UnixNano, only moves forward
	weight  atomic.Uint64 // bits of a float64 that is never NaN and only grows
	tracked atomic.Bool   // written under Table.mu

	// epoch is that of the table when the pattern was made. A pattern of an
	// earlier epoch was there before a Clear and is never tracked again.
	epoch uint32

	// forward is nil until the pattern is merged into another of its key, or
	// superseded after a Clear. It then stays set, though it may skip ahead
	// along the chain. It is set only while the pattern is untracked, either
	// under Table.mu or when the epoch is over; so it cannot be set while the
	// pattern is being tracked.
	//
	// Whoever writes to a pattern looks at forward afterwards and carries on
	// what is found here. A merge sets forward before it takes what is here. So
	// a write that the merge came too early to see is carried by its writer.
	forward atomic.Pointer[Pattern]

	related atomic.Pointer[[]string]
}

func newPattern(key string, epoch uint32) *Pattern {
	p := &Pattern{Key: key, epoch: epoch}
	p.last.Store(never)
	p.weight.Store(math.Float64bits(math.Inf(-1)))
	return p
}

// Count is the number of accesses. While patterns are being merged it may for a
// moment be lower than it was.
func (p *Pattern) Count() int64 { return p.current().count.Load() }

// Last is the time of the latest access, or the zero time before the first.
// Times outside the range of UnixNano are held at its ends.
func (p *Pattern) Last() time.Time { return timeOf(p.current().last.Load()) }

// Weight is the weight that the scorer gave, math.Inf(-1) before the first.
func (p *Pattern) Weight() float64 { return p.current().ownWeight() }

// Tracked reports whether the pattern has a place in the table.
func (p *Pattern) Tracked() bool { return p.current().tracked.Load() }

func (p *Pattern) ownWeight() float64 { return math.Float64frombits(p.weight.Load()) }

// current returns the pattern that counts for p: p itself, or the end of its
// chain of forwards.
func (p *Pattern) current() *Pattern {
	next := p.forward.Load()
	if next == nil {
		return p
	}
	return p.follow(next)
}

// follow walks to the end of the chain and lets p skip there, so that the
// patterns in between are garbage as soon as nobody else keeps them.
func (p *Pattern) follow(next *Pattern) *Pattern {
	end := next
	for n := end.forward.Load(); n != nil; n = end.forward.Load() {
		end = n
	}
	if end != next {
		p.forward.CompareAndSwap(next, end)
	}
	return end
}

// heir returns the pattern to which what was just written to p has to be
// carried, or nil. Nothing is carried over a Clear: the writer found p before
// the Clear was over, so the Clear may count as the later of the two.
func (p *Pattern) heir() *Pattern {
	if next := p.forward.Load(); next != nil && next.epoch == p.epoch {
		return next
	}
	return nil
}

// credit adds n accesses of which the latest was at last, and returns the
// pattern that has them now.
func (p *Pattern) credit(n, last int64) *Pattern {
	for {
		p.count.Add(n)
		p.advance(last)
		next := p.heir()
		if next == nil {
			return p
		}
		n, last = p.count.Swap(0), p.last.Load()
		p = next
	}
}

func (p *Pattern) advance(last int64) {
	for {
		old := p.last.Load()
		if last <= old || p.last.CompareAndSwap(old, last) {
			return
		}
	}
}

// lift raises the weight of p, and of what it forwards to, to at least weight.
func (p *Pattern) lift(weight float64) {
	for ; p != nil; p = p.heir() {
		for {
			old := p.weight.Load()
			// Written so that a NaN is not taken.
			if !(weight > math.Float64frombits(old)) {
				break
			}
			if p.weight.CompareAndSwap(old, math.Float64bits(weight)) {
				break
			}
		}
	}
}

// access records one access, and returns the pattern that counted it.
func (p *Pattern) access(s Scorer, now time.Time) *Pattern {
	at := nanos(now)
	p = p.credit(1, at)
	for {
		old := p.weight.Load()
		before := math.Float64frombits(old)
		// Count and last are read after this access was added to them. So of
		// two accesses at once, the one that comes here later weighs both, and
		// the weight does not end up behind the count.
		//
		// Count may be 0 again if a merge has taken it since.
		count := max(1, p.count.Load())
		if last := p.last.Load(); last > at {
			at, now = last, timeOf(last)
		}
		after := s.Weigh(before, count, now)
		if !(after > before) {
			return p
		}
		// A weight that came in between has to be built on and not replaced:
		// the scorer may accumulate.
		if p.weight.CompareAndSwap(old, math.Float64bits(after)) {
			if next := p.heir(); next != nil {
				next.lift(after)
			}
			return p
		}
	}
}

// mergeInto carries all that p has to q, another pattern of the same key and
// epoch, and lets p forward to it. Table.mu is held, p is untracked and does
// not forward, q is tracked.
func (p *Pattern) mergeInto(q *Pattern) {
	p.forward.Store(q)
	q.credit(p.count.Swap(0), p.last.Load())
	q.lift(p.ownWeight())
	if related := p.related.Swap(nil); related != nil {
		q.relate(nil, *related)
	}
}

// nanos is t.UnixNano, at the end of its range where that would overflow.
func nanos(t time.Time) int64 {
	const nanosPerSecond = int64(time.Second)
	switch s := t.Unix(); {
	case s >= math.MaxInt64/nanosPerSecond:
		return math.MaxInt64
	case s <= math.MinInt64/nanosPerSecond:
		return never + 1
	}
	return t.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == never {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}
