package cache

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/eviction"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/seen"
)

// Cache has the answers by key, and the loads of them that are under way.
type Cache struct {
	Config
	queues  *eviction.Queues[*Entry] // what is stored, in the order in which it leaves
	locks   keyLocks
	flights flights
	unkept  unkept
	trials  trials
	past    *seen.Past
	Counts  counts
	closed  atomic.Bool
}

// Config is what a cache is made with.
type Config struct {
	Store      Store
	Guarded    *failopen.Store // the same, if it is the application's
	KeepsKeys  bool            // the store may keep the keys that it is asked for
	MaxEntries int
	MaxBytes   int64
	Waits      Waits
	Index      *coherence.Index
	Now        func() time.Time
	// Gate says when answers may be served and kept: always, where it is nil.
	Gate *Gate
	// Pushed is called with an answer that left for one that was loaded ahead.
	Pushed func(victim *Entry)
	// Invalidated returns what is called with how many answers of one shape a change killed, and
	// the key of one of them; nil where nobody wants to know.
	Invalidated func() func(by seen.By, key string, n int64)
}

// Store keeps entries by key.
type Store interface {
	Get(key string) (value any, ok bool)
	Set(key string, value any)
	Delete(key string)
}

// New returns an empty cache.
func New(config Config) *Cache {
	if config.Gate == nil {
		config.Gate = NewGate(nil)
	}
	return &Cache{
		Config:  config,
		queues:  eviction.New[*Entry](max(1, config.MaxEntries), max(1, config.MaxBytes)),
		flights: flights{byKey: map[string]*Flight{}},
		past:    seen.NewPast(config.MaxEntries),
	}
}

// Close has nothing stored any more, nor remembered of what cannot be stored.
func (c *Cache) Close() {
	c.closed.Store(true)
	c.unkept.clear()
}

// keyLocks order the writers of one key: an entry is stored only while its guard lives, and what is
// deleted is the entry that was meant, never a newer one. They are held around single calls of the
// Store only.
type keyLocks [64]sync.Mutex

func (l *keyLocks) of(key string) *sync.Mutex {
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return &l[h%uint32(len(l))]
}

// Open reports whether answers may be served and kept now.
func (c *Cache) Open() bool { return c.Gate.Open(c.Now()) }

// Find returns the live entry of a key, if any, and if it may be served. The key is not retained.
func (c *Cache) Find(key string, now time.Time) *Entry {
	if !c.Gate.Open(now) {
		return nil
	}
	if e := c.find(key, now); e != nil && c.Index.Serves(&e.Guard) {
		return e
	}
	return nil
}

// find returns the live entry of a key, whether it may be served now or not.
func (c *Cache) find(key string, now time.Time) *Entry {
	value, ok := c.Store.Get(key)
	if !ok {
		return nil
	}
	e, ok := value.(*Entry)
	if !ok || c.KeepsKeys && e.Key != key {
		return nil
	}
	if e.Alive(now) {
		return e
	}
	if !e.Guard.Dead() {
		if c.discard(e) {
			c.expired(e)
		}
	}
	return nil
}

// Keep stores the entry of a flight that is filled, if its lease still lives. It reports whether it
// did.
func (c *Cache) Keep(f *Flight) bool {
	e := f.Entry
	if e.Guard.Dead() || c.Guarded.IsOut() {
		return false
	}
	if e.preloaded.Load() {
		c.Counts.Preloads.Add(1) // before anybody can read it
	}
	victims, ok := c.set(f)
	heavy := false // where there is room for another answer, bytes are what is wanting
	if len(victims) > 0 {
		entries, _ := c.queues.Size()
		heavy = entries < c.MaxEntries
	}
	for _, victim := range victims {
		v := victim.Owner
		if c.discard(v) {
			c.Counts.Evicted.Add(1)
			if heavy {
				c.Counts.Heavy.Add(1)
			}
			c.past.Left(Hash(v.Key), seen.Evicted)
		}
		if e.Background && v != e {
			c.Pushed(v)
		}
	}
	if !ok || e.Guard.Dead() || c.closed.Load() {
		// Killed between the check above and now: the killer, or Close, may have come too early to
		// find it. Or it was one of the victims.
		c.discard(e)
		if e.preloaded.Swap(false) {
			c.Counts.Preloads.Add(-1)
		}
		return false
	}
	return true
}

// Outdate drops what is in memory under the key of a flight that found another answer and could not
// store it, such as one without rows: who has seen that one must not be served the one before it.
// What a newer flight stored stays.
func (c *Cache) Outdate(f *Flight) {
	before := c.find(f.Entry.Key, c.Now())
	switch {
	case c.flights.taken(f):
	case before != nil:
		c.discard(before)
	case c.Guarded.IsOut():
		c.Guarded.Outdated(f.Entry.Key)
	}
}

// set puts the entry of a flight into the store and returns those that have to leave for it. It
// reports false where it did not: the entry alone is more than there may be, there is a newer
// answer, which stays, or the store is out of service.
func (c *Cache) set(f *Flight) (victims []*eviction.Node[*Entry], ok bool) {
	e := f.Entry
	lock := c.locks.of(e.Key)
	lock.Lock()
	defer lock.Unlock()
	if e.Guard.Dead() {
		return nil, false
	}
	value, _ := c.Store.Get(e.Key)
	before, _ := value.(*Entry)
	if before != nil && before.Key != e.Key {
		before = nil
	}
	// A flight that is taken over after this look stores after it, too: it waits for the lock.
	if before != nil && before.Alive(c.Now()) && c.flights.taken(f) {
		return nil, false
	}
	// No lock is taken under the key's lock but the leaves.
	var replaced *eviction.Node[*Entry]
	if before != nil {
		replaced = &before.node
	}
	if victims, ok = c.queues.Add(&e.node, Hash(e.Key), f.weighs, replaced); !ok {
		return nil, false
	}
	e.Tally.Entries.Add(1)
	e.Tally.Seen.Bytes.Add(f.weighs)
	e.counted.Store(true)
	c.Store.Set(e.Key, e)
	if before != nil && before != e {
		c.uncount(before)
		c.Index.Release(&before.Guard)
	}
	return victims, !c.Guarded.IsOut()
}

// drop takes an entry out of the store and of what is counted. It reports whether it was still
// counted, and may be called any number of times.
func (c *Cache) drop(e *Entry) bool {
	counted := c.uncount(e)
	lock := c.locks.of(e.Key)
	lock.Lock()
	defer lock.Unlock()
	now, ok := c.Store.Get(e.Key)
	switch {
	case ok && now == any(e):
		c.Store.Delete(e.Key)
	case counted && c.Guarded.IsOut():
		c.Guarded.Outdated(e.Key)
	}
	return counted
}

// discard drops an entry whose guard lives. The guard dies first: the entry may be about to be
// stored, which is seen to then.
func (c *Cache) discard(e *Entry) bool {
	c.Index.Release(&e.Guard)
	return c.drop(e)
}

func (c *Cache) uncount(e *Entry) bool {
	c.queues.Remove(&e.node)
	if !e.counted.Swap(false) {
		return false
	}
	e.leave()
	e.settle(Wasted)
	e.Tally.Entries.Add(-1)
	e.Tally.Seen.Bytes.Add(-e.node.Weight())
	return true
}

// Killed is an answer that a change killed: one that was stored, or that was being loaded in the
// background.
type Killed struct {
	Entry   *Entry
	Loading bool
}

// Forget drops the entries that changes killed.
func (c *Cache) Forget(kills []coherence.Kill) (all []Killed) {
	var told map[toldOf]*toldBy
	var tell func(by seen.By, key string, n int64)
	if c.Invalidated != nil && len(kills) > 0 {
		tell = c.Invalidated()
	}
	for _, kill := range kills {
		e := kill.Guard.Owner.(*Entry)
		stored := c.drop(e)
		c.past.Left(Hash(e.Key), seen.Invalidated) // also of an answer that was being loaded
		if stored {
			c.Counts.kill(kill.Table, kill.Reason)
			by := seen.By{Table: kill.Table, Rule: kill.Reason.String()}
			if e.Tally.Seen.Invalidate(by); tell != nil {
				if told == nil {
					told = map[toldOf]*toldBy{}
				}
				of := toldOf{by, e.Tally}
				if told[of] == nil {
					told[of] = &toldBy{key: e.Key}
				}
				told[of].n++
			}
		}
		// The pattern of what a reader is loading is not known yet.
		if (stored || e.Background) && e.Pattern != nil {
			all = append(all, Killed{e, !stored})
		}
	}
	for of, by := range told {
		tell(of.By, by.key, by.n)
	}
	return all
}

// toldOf is what kills are told by.
type toldOf struct {
	seen.By
	tally *Tally
}

type toldBy struct {
	key string // of one of them
	n   int64
}

// Expire discards the entries that have outlived their TTL.
func (c *Cache) Expire(now time.Time) {
	c.queues.Each(func(e *Entry) {
		if now.UnixNano() >= e.expires && c.discard(e) {
			c.expired(e)
		}
	})
}

// expired notes that an entry left because it had outlived its TTL.
func (c *Cache) expired(e *Entry) {
	c.Counts.Expired.Add(1)
	c.past.Left(Hash(e.Key), seen.Expired)
}

// Past returns why the last answer of a key, which is not in memory, left it.
func (c *Cache) Past(key string) seen.Cause { return c.past.Of(Hash(key)) }

// PastBytes returns what is held to tell that, and the counters that many add to at a time.
func (c *Cache) PastBytes() int64 {
	n := c.past.Bytes()
	c.Counts.EachTally(func(_ string, t *Tally) { n += t.Hits.Bytes() })
	return n
}

// Refute drops an answer that was found to be wrong.
func (c *Cache) Refute(e *Entry) {
	if c.discard(e) {
		c.past.Left(Hash(e.Key), seen.Invalidated)
	}
}

// Hit notes that an entry was read. tally is the entry's, which the caller has at hand. It reports
// whether the entry was loaded in the background and not read before.
func (c *Cache) Hit(e *Entry, tally *Tally) (first bool) {
	e.node.Use()
	tally.Hits.Add(1)
	if e.preloaded.Load() && e.counted.Load() && e.preloaded.Swap(false) {
		c.Counts.PreloadHits.Add(1)
		e.settle(Used)
		return true
	}
	return false
}

// Size returns how many answers there are, and what they weigh in bytes.
func (c *Cache) Size() (entries int, bytes int64) { return c.queues.Size() }

// Awaited returns how many trials wait for their turn, run, or were loaded and not heard of.
func (c *Cache) Awaited() int64 { return c.trials.awaited.Load() }

// Await has a trial count as awaited until it has ended or, if it was loaded, until it was heard
// of.
func (c *Cache) Await(t *Trial) { c.trials.begin(t) }

// ObstacleOf returns why the answer of a key cannot be kept, "" where that is not known.
func (c *Cache) ObstacleOf(key []byte, now time.Time) obstacle { return c.unkept.of(key, now) }

// Each calls do with each answer.
func (c *Cache) Each(do func(*Entry)) { c.queues.Each(do) }

// ClearCounts sets the counters to zero.
func (c *Cache) ClearCounts() { c.Counts.clear() }

// ForgetPast forgets whose answers cannot be kept, and whose answers left lately.
func (c *Cache) ForgetPast() {
	c.unkept.clear()
	c.past.Clear()
	c.queues.Forget()
}
