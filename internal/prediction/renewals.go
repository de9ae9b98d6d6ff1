package prediction

import "sync"

// Lives are what became of the last answers of one key that a write killed.
type Lives struct {
	read, all float32 // of those whose end says something, those that were read, and all
	seen      uint8   // up to livesSeen
	passed    uint8   // that say nothing, since the key was last loaded again
}

const (
	// livesSeen is how many answers of a key are killed before it is loaded again where none of
	// them says anything.
	livesSeen = 2
	// livesMost is how many count at most: beyond, the earlier ones count half.
	livesMost = 8
	// livesTried: where the answers of a key were not read, it is loaded again nevertheless after
	// so many that say nothing.
	livesTried = 8
	// livesHaste is what an answer counts that was killed while it was being loaded, so that nobody
	// could read it: a few writes in a row do not matter, many do.
	livesHaste = 0.2
)

// Ended notes that an answer was killed: after so many reads besides the one that it was loaded
// for, if asked; or while it was being loaded. It reports whether the key is to be loaded again at
// once: that is so while HotShare of its answers are read before the next write kills them.
//
// An answer that somebody asked for, and nobody after that, says nothing: that one would have read
// it, too, if it had been loaded as soon as the one before it was killed, unless there were writes
// between, which nobody counts.
func (l *Lives) Ended(reads int64, asked, loading bool) (again bool) {
	l.seen = min(l.seen+1, livesSeen)
	switch {
	case loading:
		l.all += livesHaste
	case reads > 0:
		l.read++
		l.all++
	case !asked:
		l.all++
	default:
		l.passed = min(l.passed+1, livesTried)
	}
	if l.all >= livesMost {
		l.read, l.all = l.read/2, l.all/2
	}
	// What is not known counts as one answer that is read as often as it is to be.
	again = (l.all > 0 || l.seen >= livesSeen) && l.read+HotShare >= HotShare*(l.all+1) || l.passed >= livesTried
	if again {
		l.passed = 0
	}
	return again
}

// Renews reports whether an answer is to be loaded again before it expires that was read so often
// while so much of its TTL passed: whether it promises to be read while the next one is kept.
func Renews(reads int64, passed float64) bool { return Uses(float64(reads), passed, 1) >= hotEnough }

// Renewals choose, by what became of those before, of which shapes answers are loaded again that
// would be loaded so that nobody has to wait for them. It is safe for concurrent use; its lock is a
// leaf.
type Renewals struct {
	mu   sync.Mutex
	last int64 // when something was tried only because a second had passed
	accounts
}

// Takes reports whether an answer of a shape is to be loaded again now, in nanoseconds since some
// moment.
func (r *Renewals) Takes(shape string, now int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.of(shape)
	return t.open(0) || t.tries(0, now, &r.last)
}

// Try notes that an answer of a shape is loaded again.
func (r *Renewals) Try(l Load, shape string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.try(l, shape, 0)
	if len(r.tried)%renewalsSettled == 0 {
		r.settle(func(attempt, Outcome) {})
	}
}

// Clear forgets all.
func (r *Renewals) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accounts = accounts{}
}

// Bytes returns about how much memory is held.
func (r *Renewals) Bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes()
}

// What became of loads is looked at after each renewalsSettled of them.
const renewalsSettled = 16
