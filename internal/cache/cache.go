package cache

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/recency"
)

// Cache has the answers by key, and the loads of them that are under way.
type Cache struct {
	Config
	recency *recency.Ring[*Entry]
	locks   keyLocks
	flights flights
	unkept  unkept
	trials  trials
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
	// Pushed is called with an answer that left for one that was loaded ahead.
	Pushed func(victim *Entry)
}

// Store keeps entries by key.
type Store interface {
	Get(key string) (value any, ok bool)
	Set(key string, value any)
	Delete(key string)
}

// New returns an empty cache.
func New(config Config) *Cache {
	return &Cache{
		Config:  config,
		recency: recency.New[*Entry](max(1, config.MaxEntries), max(1, config.MaxBytes)),
		flights: flights{byKey: map[string]*Flight{}},
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

// Find returns the live entry of a key, if any. The key is not retained.
func (c *Cache) Find(key string, now time.Time) *Entry {
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
			c.Counts.Expired.Add(1)
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
	victims, ok := c.recency.Add(&e.node, f.weighs)
	if !ok {
		return false
	}
	e.Tally.Entries.Add(1)
	e.counted.Store(true)
	for _, victim := range victims {
		v := victim.Owner
		if c.discard(v) {
			c.Counts.Evicted.Add(1)
		}
		if e.Background {
			c.Pushed(v)
		}
	}
	if e.preloaded.Load() {
		c.Counts.Preloads.Add(1) // before anybody can read it
	}
	if !c.set(f) || e.Guard.Dead() || c.closed.Load() {
		// Killed between the check above and now: the killer, or Close, may have come too early to
		// find it.
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
	before := c.Find(f.Entry.Key, c.Now())
	switch {
	case c.flights.taken(f):
	case before != nil:
		c.discard(before)
	case c.Guarded.IsOut():
		c.Guarded.Outdated(f.Entry.Key)
	}
}

// set puts the entry of a flight into the store. It reports false where there is a newer answer,
// which stays.
func (c *Cache) set(f *Flight) bool {
	e := f.Entry
	lock := c.locks.of(e.Key)
	lock.Lock()
	defer lock.Unlock()
	if e.Guard.Dead() {
		return false
	}
	before, _ := c.Store.Get(e.Key)
	// A flight that is taken over after this look stores after it, too: it waits for the lock.
	if other, ok := before.(*Entry); ok && other.Key == e.Key && other.Alive(c.Now()) && c.flights.taken(f) {
		return false
	}
	if c.Store.Set(e.Key, e); c.Guarded.IsOut() {
		return false
	}
	if before, ok := before.(*Entry); ok && before != e && before.Key == e.Key {
		// What it replaces. No lock is taken under the key's lock but these leaves.
		c.uncount(before)
		c.Index.Release(&before.Guard)
	}
	return true
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
	c.recency.Remove(&e.node)
	if !e.counted.Swap(false) {
		return false
	}
	e.leave()
	e.settle(Wasted)
	e.Tally.Entries.Add(-1)
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
	for _, kill := range kills {
		e := kill.Guard.Owner.(*Entry)
		stored := c.drop(e)
		if stored {
			c.Counts.kill(kill.Table, kill.Reason)
		}
		// The pattern of what a reader is loading is not known yet.
		if (stored || e.Background) && e.Pattern != nil {
			all = append(all, Killed{e, !stored})
		}
	}
	return all
}

// Expire discards the entries that have outlived their TTL.
func (c *Cache) Expire(now time.Time) {
	c.recency.Each(func(e *Entry) {
		if now.UnixNano() >= e.expires && c.discard(e) {
			c.Counts.Expired.Add(1)
		}
	})
}

// Hit notes that an entry was read. tally is the entry's, which the caller has at hand.
func (c *Cache) Hit(e *Entry, tally *Tally) {
	e.node.Use()
	tally.Hits.Add(1)
	if e.preloaded.Load() && e.counted.Load() && e.preloaded.Swap(false) {
		c.Counts.PreloadHits.Add(1)
		e.settle(Used)
	}
}

// Size returns how many answers there are, and what they weigh in bytes.
func (c *Cache) Size() (entries int, bytes int64) { return c.recency.Size() }

// Awaited returns how many trials wait for their turn, run, or were loaded and not heard of.
func (c *Cache) Awaited() int64 { return c.trials.awaited.Load() }

// Await has a trial count as awaited until it has ended or, if it was loaded, until it was heard
// of.
func (c *Cache) Await(t *Trial) { c.trials.begin(t) }

// ObstacleOf returns why the answer of a key cannot be kept, "" where that is not known.
func (c *Cache) ObstacleOf(key []byte, now time.Time) obstacle { return c.unkept.of(key, now) }

// Each calls do with each answer.
func (c *Cache) Each(do func(*Entry)) { c.recency.Each(do) }

// ClearCounts sets the counters to zero.
func (c *Cache) ClearCounts() { c.Counts.clear() }

// ForgetUnkept forgets whose answers cannot be kept.
func (c *Cache) ForgetUnkept() { c.unkept.clear() }
