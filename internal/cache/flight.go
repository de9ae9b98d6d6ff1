package cache

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/clone"
	"github.com/gorm-preload/preload/internal/hotness"
	"gorm.io/gorm"
)

// Flight is one load of a key and the readers that wait for it.
type Flight struct {
	Entry    *Entry    // with the lease
	weighs   int64     // the weight of the entry, once it is filled
	began    time.Time // by the system's clock
	pace     *Pace
	patience time.Duration // of a reader
	done     chan struct{} // closed when it ended; made for the first who waits
	filled   bool          // set before done is closed: the entry has the answer
	Unkept   obstacle      // why the answer could not be kept, though nothing was written
	// Left says that it ended without an answer for a reason of its leader's alone, such as the end
	// of its context. It is set before done is closed.
	Left    bool
	waiters atomic.Int32
	// Leader is the goroutine that runs the query, where code of the application runs on it
	// meanwhile: it must not wait for itself. 0 where it does not matter, or is not known yet.
	Leader atomic.Int64
	// unsent says that it is one of the background's whose query was not sent yet: a reader takes
	// it over. taken says that another flight did, and older is the one that it took over itself
	// and that has not ended. They belong to flights, as began does once there is a flight.
	unsent, taken bool
	older         *Flight
	// Alone says that nobody may wait for it: who reads what it gives may take any time. It is set
	// before the flight starts.
	Alone bool
}

// NewFlight returns a flight for an entry, of a load whose usual time the pace tells.
func (c *Cache) NewFlight(e *Entry, pace *Pace) *Flight {
	f := &Flight{}
	c.Prepare(f, e, pace)
	return f
}

// Prepare makes of the memory of a flight what NewFlight returns.
func (c *Cache) Prepare(f *Flight, e *Entry, pace *Pace) {
	f.Entry, f.pace, f.began, f.patience = e, pace, time.Now(), pace.patience(&c.Waits)
	e.asked = c.Now().UnixNano()
}

// Ran notes that what the flight runs ended with this error.
func (f *Flight) Ran(ctx context.Context, err error) {
	if err == nil || errors.Is(err, gorm.ErrRecordNotFound) {
		f.pace.Took(time.Since(f.began))
		return
	}
	f.Left = ctx.Err() != nil
}

// Age returns for how long the flight has been under way.
func (f *Flight) Age() time.Duration { return time.Since(f.began) }

// overdue is when a reader takes the flight over.
func (f *Flight) overdue() time.Time { return f.began.Add(f.patience / 2) }

// inTime reports whether the newest flight of a key has a lease that lives, and does not take too
// long.
func (f *Flight) inTime() bool {
	return !f.taken && !f.Entry.Guard.Dead() && time.Now().Before(f.overdue())
}

// joinable reports whether a reader may wait for the newest flight of a key. While the query of a
// load in the background is not sent, the reader is sooner there with its own: the goroutine of
// the load waits for a processor, or for a connection.
func (f *Flight) joinable() bool { return !f.unsent && !f.Alone && f.inTime() }

// Waiter is all the waiting of one reader.
type Waiter struct {
	end    time.Time // of it all
	half   time.Duration
	Past   *Flight // what it waited for last, for long enough
	failed bool    // a flight failed that it waited for
}

// waited says what became of that.
type waited uint8

const (
	// Answered: the entry of the flight has the answer.
	Answered waited = iota
	// Again: the reader leads the next flight, or waits for it.
	Again
	// inVain: the reader runs its own query.
	inVain
)

// Wait waits for a flight. What a flight failed at may be its leader's alone, so that one of those
// who wait leads another; what a second one fails at will hardly spare a third, and each runs its
// own query then, so that no reader waits for a row of errors. None waits longer than its patience
// for all flights together, nor for more than half of the time that its context has.
func (w *Waiter) Wait(ctx context.Context, f *Flight) waited {
	now := time.Now()
	if w.end.IsZero() {
		patience := f.patience
		if deadline, ok := ctx.Deadline(); ok {
			patience = min(patience, deadline.Sub(now)/2)
		}
		w.end, w.half = now.Add(patience), patience/2
	}
	turn := f.overdue()
	if own := w.end.Add(-w.half); w.Past == nil && own.Before(turn) {
		turn = own
	}
	if w.end.Before(turn) {
		turn = w.end
	}
	timer := time.NewTimer(turn.Sub(now))
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	ended := false
	select {
	case <-f.done:
		ended = true
	default:
	}
	switch {
	case ctx.Err() != nil:
		return inVain
	case ended && f.filled:
		return Answered
	case !ended && w.Past == nil:
		// On a busy machine it may be much later than that.
		if end := time.Now().Add(w.half); end.After(w.end) {
			w.end = end
		}
		w.Past = f
	case !time.Now().Before(w.end):
		return inVain
	case !ended:
		w.Past = f
	case !f.Left:
		if w.failed {
			return inVain
		}
		w.failed = true
	}
	return Again
}

// Goroutine returns the number of the calling goroutine, which the runtime tells in stack traces
// only.
func Goroutine() int64 {
	var buf [64]byte
	trace := buf[:runtime.Stack(buf[:], false)]
	trace = bytes.TrimPrefix(trace, []byte("goroutine "))
	number, _, _ := bytes.Cut(trace, []byte(" "))
	n, _ := strconv.ParseInt(string(number), 10, 64)
	return n
}

// flights are the loads that run now, by key: the newest, which leads to those that it took over.
type flights struct {
	mu    sync.Mutex
	byKey map[string]*Flight
}

// Loading reports whether a key is being loaded, in time.
func (c *Cache) Loading(key string) bool {
	fs := &c.flights
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.byKey[key]
	return f != nil && f.inTime()
}

// taken reports whether another flight took this one over.
func (fs *flights) taken(f *Flight) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return f.taken
}

// Join returns the flight of a key that is under way, if it can be joined, began late enough, and
// is not the one that the reader waited for long enough.
func (c *Cache) Join(key string, since Since, past *Flight) *Flight {
	if !c.Open() || c.holdsBack(key) {
		return nil
	}
	fs := &c.flights
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.byKey[key]
	if f == nil || f == past || !f.joinable() || !since.Met(f.Entry) {
		return nil
	}
	f.await()
	return f
}

// holdsBack reports whether the flight of a key may have read what a write that is under way has
// changed since. One that starts after that reads it as it is now.
func (c *Cache) holdsBack(key string) bool {
	if !c.Index.Blocks() {
		return false
	}
	fs := &c.flights
	fs.mu.Lock()
	f := fs.byKey[key]
	fs.mu.Unlock()
	return f != nil && !c.Index.Serves(&f.Entry.Guard)
}

// await notes that one more reader waits for the flight. The caller holds the lock of the flights.
func (f *Flight) await() {
	if f.waiters.Add(1) == 1 {
		f.done = make(chan struct{})
	}
}

// Start makes f the flight of its key unless another one that Join allows came first: that one is
// returned, and the reader of f waits for it. Nobody joins those any more that f takes over; an
// answer that one of them still finds is kept if it comes before a newer one. With force they lose
// their leases: f is to see what they may not have seen.
func (c *Cache) Start(f *Flight, force bool, since Since, past *Flight) (join *Flight) {
	join, displaced := c.flights.start(f, force, true, since, past)
	if join != nil {
		c.Index.Release(&f.Entry.Guard)
	}
	for _, other := range displaced {
		c.Index.Release(&other.Entry.Guard)
	}
	return join
}

// StartAhead makes f, for which nobody waits, the flight of its key until a reader takes it over;
// false where another one that is in time came first. Its query is sent after Send only.
func (c *Cache) StartAhead(f *Flight) bool {
	f.unsent = true
	other, _ := c.flights.start(f, false, false, Since{}, nil)
	if other != nil {
		c.Index.Release(&f.Entry.Guard)
	}
	return other == nil
}

// Send is called when the query of a flight that StartAhead began is about to be sent: from then on
// readers wait for it. It returns false where a reader took the flight over, whose own query is
// under way: then none is to be sent.
func (c *Cache) Send(f *Flight) bool {
	fs, asked := &c.flights, c.Now().UnixNano()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.unsent, f.began, f.Entry.asked = false, time.Now(), asked
	return !f.taken
}

func (fs *flights) start(f *Flight, force, waits bool, since Since, past *Flight) (join *Flight, displaced []*Flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	newest := fs.byKey[f.Entry.Key]
	if newest != nil && newest != past && !force && newest.inTime() && (!waits || newest.joinable() && since.Met(newest.Entry)) {
		if waits {
			newest.await()
		}
		return newest, nil
	}
	for other := newest; other != nil && force; other = other.older {
		displaced = append(displaced, other)
	}
	if f.older = newest; newest != nil {
		newest.taken = true
	}
	fs.byKey[f.Entry.Key] = f
	return nil, displaced
}

func (fs *flights) end(f *Flight) {
	fs.mu.Lock()
	if newest := fs.byKey[f.Entry.Key]; newest != f {
		for newest != nil && newest.older != f {
			newest = newest.older
		}
		if newest != nil {
			newest.older = f.older
		}
	} else if f.older != nil {
		fs.byKey[f.Entry.Key] = f.older
	} else {
		delete(fs.byKey, f.Entry.Key)
	}
	f.older = nil
	done := f.done // nobody can wait for it any more who does not yet
	fs.mu.Unlock()
	if done != nil {
		close(done)
	}
}

// Land ends a flight, also one whose load panicked.
func (c *Cache) Land(f *Flight) {
	if !f.Entry.counted.Load() {
		c.Index.Release(&f.Entry.Guard)
	}
	c.flights.end(f)
}

const (
	// entryOverhead is what an entry holds besides its value and its key: itself, its pattern, its
	// place in a map of the store that is half full or more, and its places among the answers of
	// its group.
	entryOverhead = int64(unsafe.Sizeof(Entry{})) + int64(unsafe.Sizeof(hotness.Pattern{})) + 80 + 32
	// valueOverhead is what a value costs by which changes find an entry: a link, and a place in a
	// map.
	valueOverhead = 60
	// groupOverhead is what a group of answers costs, whose first entry answers for it.
	groupOverhead = 640
)

// weight returns what the entry of a flight weighs whose value weighs so much, and which changes
// find by so many values.
func (f *Flight) weight(value int64, found int) int64 {
	w := value + clone.TextSize(len(f.Entry.Key)) + entryOverhead + int64(found)*valueOverhead
	if f.Entry.Guard.First() {
		w += groupOverhead
	}
	return w
}

// Weigh refuses the answer of a flight whose value weighs so much, and which changes find by so
// many values, if it is more than the cache may hold.
func (c *Cache) Weigh(f *Flight, value int64, found int) {
	if f.weight(value, found) > c.MaxBytes {
		c.Refuse(f, TooLarge)
	}
}

// Content is what an entry gets from the load that it was made for.
type Content struct {
	Value  unsafe.Pointer
	Rows   int64
	Weighs int64 // the value alone, in bytes
	Found  int   // by how many values changes find it
	TTL    time.Duration
	// Recorded says that more than the value was kept of the query.
	Recorded bool
}

// Fill gives the entry of a flight its answer, so that those who wait have it. It does not store
// it.
func (c *Cache) Fill(f *Flight, with Content) {
	f.Entry.Value, f.Entry.Rows, f.Entry.Recorded = with.Value, with.Rows, with.Recorded
	f.weighs = f.weight(with.Weighs, with.Found)
	f.Entry.expires = after(c.Now(), with.TTL)
	f.filled = true
}

// Ahead says of a flight that it is one of the background's, and whether readers wait for it
// already.
func (f *Flight) Ahead() {
	f.Entry.preloaded.Store(true)
	f.Entry.awaited = f.Awaited()
}

// Awaited reports whether anybody waits, or has waited, for a flight.
func (f *Flight) Awaited() bool { return f.waiters.Load() > 0 }

// EachFlight calls do with the newest flight of each key.
func (c *Cache) EachFlight(do func(*Flight)) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	for _, f := range c.flights.byKey {
		do(f)
	}
}
