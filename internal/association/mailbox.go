package association

import (
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
	bufferStripes = 16
	// pollutionMemory is how many of the answers that left for expected ones are remembered.
	pollutionMemory = 1 << 10
)

// mailbox is what others tell and ask a learner.
type mailbox struct {
	buffer  *prediction.Buffer[noted]
	told    chan any // *Expected that were loaded, declared
	asked   chan question
	ticks   atomic.Int64
	failed  atomic.Bool // the database failed loads since the tick before
	cleared atomic.Int32
	// polluted has the hashes of keys whose answers left for expected ones.
	polluted [pollutionMemory]atomic.Uint64
}

// noted is an access on its way to the learner: to the answer of a query, or to a key that was
// declared.
type noted struct {
	entry   *cache.Entry
	session prediction.Session
	at      int64
	of      int32 // the number of Clears before it
	hit     bool
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

// Note notes an access to an answer. spread tells apart those who note at the same time. It takes
// no lock and allocates nothing.
func (l *Learner) Note(spread uint64, session prediction.Session, e *cache.Entry, now time.Time, hit bool) {
	l.buffer.Put(spread, noted{e, session, now.UnixNano(), l.cleared.Load(), hit})
}

// Lost returns how many accesses there was no room for since the last Clear.
func (l *Learner) Lost() int64 { return l.buffer.Lost() }

// Declare notes that an application says what follows a key.
func (l *Learner) Declare(key string, related []string, now time.Time) {
	l.tell(declared{key, related, now.UnixNano(), l.cleared.Load()})
}

// Loaded notes that an expected key was loaded into an entry. It counts as awaited until the
// learner has heard of it, if that is to.
func (l *Learner) Loaded(x *Expected, e *cache.Entry) {
	if x.Load(e) && (x.Hot || !l.tell(x)) {
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
			if x, ok := what.(*Expected); ok {
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

// Tick says that an interval is over, and whether the database failed loads in it.
func (l *Learner) Tick(failed bool) {
	if failed {
		l.failed.Store(true)
	}
	l.ticks.Add(1)
	l.tell(nil)
}

// Clear has everything forgotten that was learned.
func (l *Learner) Clear() {
	l.cleared.Add(1)
	l.learned.Store(0)
	l.buffer.Forget()
	l.figures.Store(&prediction.Figures{Level: prediction.NewGovernor().Figures().Level})
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
