package association

import (
	"runtime"
	"time"
)

const (
	// learningShare: learning takes 1/40 of the time of all processors at most, on one of them.
	learningShare = 40
	// busyShare: of that, it takes 1/4 where the processors are busy.
	busyShare = 4
	// burst: it does not rest while that is all it would have to, so that what follows a read is on
	// its way at once. On two processors learning takes 2.5 ms for that.
	burst = 50 * time.Millisecond
	// waking is about what it takes to have the learner wait and wake.
	waking = 5 * time.Microsecond
	// firstUsual is what learning from an access is thought to take at first. A turn that took
	// longer than slowest times what is usual did not run all the time.
	firstUsual = 2 * time.Microsecond
	slowest    = 2

	// All accesses are learned from while little is known: of the first of them. Then twice as
	// rare sessions are learned from as a whole after each so many, up to one in 2^usualRarity.
	firstAccesses = 1 << 12
	usualRarity   = 4
	// Where the learner does not keep up, fewer are, and it walks from fewer accesses: it does not
	// where crowd turns in a row found as much as one may learn from and had to rest, and it does
	// where calm turns found less.
	crowd = 2
	calm  = 64
	// mostRarity bounds that.
	mostRarity = 12
)

// pace is how much is learned from, by what learning takes.
type pace struct {
	// usual is what learning from an access takes, as far as that can be told by the clock: it
	// falls quickly and rises slowly, since a turn may take longer than it ran, but not shorter.
	usual   time.Duration
	rested  time.Time // until when it would have rested, but for burst
	taken   int64     // accesses that were learned from
	full    int       // turns in a row that found as much as one may learn from, and had to rest
	spare   int       // turns since then
	crowded uint32    // how much rarer sessions are sampled, and walks are, on account of that
	next    uint32    // counts the accesses from which there could be walks
}

// rarity returns how rare the sessions are that are learned from as a whole: not at all where what
// is loaded is worth it, as far as there is time for that.
func (p *pace) rarity(worth bool) uint32 {
	rarity := uint32(min(usualRarity, p.taken/firstAccesses))
	if worth {
		rarity = 0
	}
	return min(mostRarity, rarity+p.crowded)
}

// timely reports whether there is time to walk from the next access.
func (p *pace) timely() bool {
	p.next++
	return p.next&(1<<p.crowded-1) == 0
}

// rest returns how long to rest after a turn that learned from n accesses, and took so long until
// now. It goes by processor time, and so by what an access usually takes: a turn that took much
// longer stood still, because others had the processor. What is saved up and what is owed is told
// by one time, as in the generic cell rate algorithm (ITU-T I.371).
func (p *pace) rest(n int, took time.Duration, now time.Time, busy bool) time.Duration {
	if p.usual == 0 {
		p.usual = firstUsual
	}
	some := time.Duration(max(1, n))
	each := min(took/some, slowest*p.usual)
	if each < p.usual {
		p.usual -= (p.usual - each) / 4
	} else {
		p.usual += p.usual/64 + 1
	}
	if p.rested.Before(now) {
		p.rested = now
	}
	owed := max(1, learningShare/time.Duration(runtime.GOMAXPROCS(0))) * (each*some + waking)
	if busy {
		owed *= busyShare
	}
	p.rested = p.rested.Add(owed)
	rest := max(0, p.rested.Sub(now)-burst)
	p.kept(n, rest > 0)
	return rest
}

// kept notes whether learning kept up in a turn that learned from n accesses.
func (p *pace) kept(n int, rests bool) {
	p.taken += int64(n)
	if n < learnedAtOnce {
		p.full = 0
		if p.spare++; p.spare >= calm && p.crowded > 0 {
			p.spare, p.crowded = 0, p.crowded-1
		}
		return
	}
	p.spare = 0
	if !rests {
		p.full = 0
	} else if p.full++; p.full >= crowd {
		p.full, p.crowded = 0, min(mostRarity, p.crowded+1)
	}
}
