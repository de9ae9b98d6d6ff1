package association

import (
	"context"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/template"
)

const (
	// maxTold bounds what the learner has been told and not heard yet; more is dropped.
	maxTold = 256
	// bufferStripes is how many goroutines can note an access at the same time without coming in
	// each other's way.
	bufferStripes = 8
	// pollutionMemory is how many of the answers that left for expected ones are remembered.
	pollutionMemory = 1 << 10
)

// mailbox is what others tell and ask a learner.
type mailbox struct {
	buffer  *prediction.Buffer[noted]
	told    chan any // loaded, declared
	asked   chan question
	cleared atomic.Int32
	// rare is how rare sessions are of which all accesses are noted, and patient says that nothing
	// is going to be loaded on account of an access.
	rare    atomic.Uint32
	patient atomic.Bool
	// polluted has the hashes of keys whose answers left for expected ones.
	polluted [pollutionMemory]atomic.Uint64
}

// Kind says how an access found its answer.
type Kind uint8

const (
	Hit     Kind = iota // in memory, as it was for one before
	Leading             // the same, of a shape of query whose hits lead to loads
	First               // in memory, where it was loaded ahead, and nobody has read it before
	Miss                // not in memory
)

// noted is an access on its way to the learner: to the answer of a query, or to a key that was
// declared.
type noted struct {
	entry   *cache.Entry
	session prediction.Session
	origin  context.Context
	at      int64
	of      int32 // the number of Clears before it
	kind    Kind
	rarity  uint8 // of the session
	whole   bool  // of its session all accesses are noted
}

// loaded is an expected key that was loaded, with the origin of the load.
type loaded struct {
	*Expected
	origin context.Context
}

// declared are keys that an application says follow another.
type declared struct {
	key     string
	related []string
	at      int64
	of      int32 // the number of Clears before it
}

// question asks which keys usually follow one.
type question struct {
	key   string
	reply chan []string
}

// Note notes an access to an answer, unless it is a Hit in a session that is not sampled, or
// nothing is loaded for now on account of a Leading one. spread tells apart those who note at the
// same time, and sessions. It takes no lock and, but for what Origin returns of the context,
// allocates nothing; for what is not noted it writes nothing.
func (l *Learner) Note(ctx context.Context, spread uint64, session prediction.Session, e *cache.Entry, now time.Time, kind Kind) {
	at := now.UnixNano()
	rarity := rarityOf(spread, session, at)
	whole := uint32(rarity) >= l.rare.Load()
	urgency := prediction.Urgent
	if patient := l.patient.Load(); kind == Hit || kind == Leading && patient {
		if urgency = prediction.Spare; !whole {
			return
		}
	} else if patient {
		urgency = prediction.Due
	}
	l.buffer.Put(spread, noted{e, session, l.Origin(ctx), at, l.cleared.Load(), kind, rarity, whole}, urgency)
}

const (
	// A session with a name is sampled for as long as it lasts, but names that come again and
	// again take turns, every 18 minutes. Others, which may last as long as the process, are
	// sampled for about a second at a time.
	namedTurn   = 40 // the number of bits of so many nanoseconds
	unnamedTurn = 30
)

// rarityOf draws how rare a session is: one in 2^n has a rarity of n or more.
func rarityOf(spread uint64, session prediction.Session, at int64) uint8 {
	turn := uint64(at >> unnamedTurn)
	switch {
	case session.Done != nil:
	case session.ID != 0:
		turn = uint64(at >> namedTurn)
	default:
		spread = 0
	}
	// The finalizer of SplitMix64, after Stafford.
	x := spread ^ turn*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return uint8(bits.TrailingZeros64(x ^ x>>31))
}

// Lost returns how many accesses there was no room for since the last Clear.
func (l *Learner) Lost() int64 { return l.buffer.Lost() }

// Declare notes that an application says what follows a key.
func (l *Learner) Declare(key string, related []string, now time.Time) {
	l.tell(declared{key, related, now.UnixNano(), l.cleared.Load()})
}

// Loaded notes that an expected key was loaded into an entry. It counts as awaited until the
// learner has heard of it, if that is to. origin is that of the load.
func (l *Learner) Loaded(x *Expected, e *cache.Entry, origin context.Context) {
	if x.Load(e) && (x.Hot || !l.tell(loaded{x, origin})) {
		x.Heard()
	}
	if l.Context.Err() != nil {
		l.drain() // Run may have done so for the last time before this one was told
	}
}

// drain has nothing of what was told awaited any more.
func (l *Learner) drain() {
	for {
		select {
		case what := <-l.told:
			if x, ok := what.(loaded); ok {
				x.Heard()
			}
		default:
			return
		}
	}
}

// Pushed notes that an answer left for one that is expected.
func (l *Learner) Pushed(victim *cache.Entry) {
	hash := cache.Hash(template.PublicKey(l.OwnPrefix, victim.Key))
	l.polluted[hash%pollutionMemory].Store(hash)
}

// Tick has the learner look what became of loads, also where nothing is asked.
func (l *Learner) Tick() { l.tell(nil) }

// Clear has everything forgotten that was learned.
func (l *Learner) Clear() {
	l.cleared.Add(1)
	l.learned.Store(0)
	l.buffer.Forget()
	l.figures.Store(&prediction.Figures{Level: started})
	l.tell(nil)
}

// Clears returns how often Clear was called.
func (l *Learner) Clears() int32 { return l.cleared.Load() }

// tell tells the learner something; false where it was told too much that it has not heard.
func (l *Learner) tell(what any) bool {
	select {
	case l.told <- what:
		return true
	default:
		return false
	}
}

// Related asks the learner, after it has learned from all that is there, which keys usually follow
// one. It waits for that, or for the learner's end; so Run must have been called.
func (l *Learner) Related(key string) []string {
	q := question{key, make(chan []string, 1)}
	select {
	case l.asked <- q:
		return <-q.reply
	case <-l.Context.Done():
		return nil
	}
}
