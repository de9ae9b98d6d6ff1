package preload

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/recency"
)

// entry is the answer of a key: made with its lease, filled by the load, and stored if the lease still lives then.
// After that its value does not change. What every hit looks at fills one cache line: from node.used, at the end of node, to the first
// byte of guard, which says that it is dead.
type entry struct {
	key string
	// expected is what it was loaded for; nil for what was not expected.
	expected atomic.Pointer[expected]
	// recent is by what a prepared query finds it; nil if none does.
	recent atomic.Pointer[recent]

	node recency.Node[*entry]
	// value is a copy of what Statement.ReflectValue held; for own data, an any that holds the value.
	value     unsafe.Pointer
	rows      int64
	expires   int64 // nanoseconds since 1970
	stale     int64 // from when on a read starts its reload
	pattern   *hotness.Pattern
	preloaded atomic.Bool // loaded in the background and not read since
	counted   atomic.Bool // part of the gauges
	guard     coherence.Guard

	stats *modelStats
	// before is how many accesses the pattern had before the answer was there for them, or asked for by one.
	before    int64
	reloading atomic.Bool
	// ahead says that it is loaded in the background. It is set, with pattern and before, before the lease is taken.
	ahead bool
	// awaited says that readers waited for it when it was loaded in the background.
	awaited bool
}

// newEntry returns the entry of an answer that is about to be loaded.
func newEntry(key string, stats *modelStats) *entry {
	e := &entry{key: key, stats: stats}
	e.guard.Owner, e.node.Owner = e, e
	return e
}

// alive reports whether the entry may be served at now.
func (e *entry) alive(now time.Time) bool {
	return !e.guard.Dead() && now.UnixNano() < e.expires
}

// fetch looks at what a hit will change, so that it comes from memory together with the value that is about to be copied, and not after it.
func (e *entry) fetch() {
	if e.pattern != nil {
		e.pattern.Tracked()
	}
}

// keyLocks order the writers of one key: an entry is stored only while its guard lives, and what is deleted is the
// entry that was meant, never a newer one. They are held around single calls of the Store only.
type keyLocks [64]sync.Mutex

func (l *keyLocks) of(key string) *sync.Mutex {
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return &l[h%uint32(len(l))]
}

// lookup returns the live entry of a key, if any. The key is not retained.
func (p *Plugin) lookup(key string, now time.Time) *entry {
	value, ok := p.config.store.Get(key)
	if !ok {
		return nil
	}
	e, ok := value.(*entry)
	if !ok || p.config.keepsKeys && e.key != key {
		return nil
	}
	if e.alive(now) {
		return e
	}
	if !e.guard.Dead() {
		if p.discard(e) {
			p.stats.expired.Add(1)
		}
	}
	return nil
}

// keep stores an entry of this weight whose lease is still alive. It reports whether it did.
func (p *Plugin) keep(e *entry, weight int64) bool {
	if e.guard.Dead() {
		return false
	}
	victims, ok := p.recency.Add(&e.node, weight)
	if !ok {
		return false
	}
	e.stats.entries.Add(1)
	e.counted.Store(true)
	for _, victim := range victims {
		v := victim.Owner
		if p.discard(v) {
			p.stats.evicted.Add(1)
		}
		if e.ahead {
			p.learner.push(v.publicKey(p))
		}
	}
	if e.preloaded.Load() {
		p.stats.preloads.Add(1) // before anybody can read it
	}
	p.set(e)
	if e.guard.Dead() || p.closed.Load() {
		// Killed between the check above and now: the killer, or Close, may have come too early to find it.
		p.drop(e)
		if e.preloaded.Swap(false) {
			p.stats.preloads.Add(-1)
		}
		return false
	}
	return true
}

func (p *Plugin) set(e *entry) {
	lock := p.keyLocks.of(e.key)
	lock.Lock()
	defer lock.Unlock()
	if e.guard.Dead() {
		return
	}
	before, _ := p.config.store.Get(e.key)
	p.config.store.Set(e.key, e)
	if before, ok := before.(*entry); ok && before != e && before.key == e.key {
		// What it replaces. No lock is taken under the key's lock but these leaves.
		p.uncount(before)
		p.index.Release(&before.guard)
	}
}

// drop takes an entry out of the store and of what is counted. It reports whether it was still counted, and may be
// called any number of times.
func (p *Plugin) drop(e *entry) bool {
	counted := p.uncount(e)
	lock := p.keyLocks.of(e.key)
	lock.Lock()
	defer lock.Unlock()
	if now, ok := p.config.store.Get(e.key); ok && now == any(e) {
		p.config.store.Delete(e.key)
	}
	return counted
}

// discard drops an entry whose guard lives. The guard dies first: the entry may be about to be stored, which is seen to then.
func (p *Plugin) discard(e *entry) bool {
	p.index.Release(&e.guard)
	return p.drop(e)
}

func (p *Plugin) uncount(e *entry) bool {
	p.recency.Remove(&e.node)
	if !e.counted.Swap(false) {
		return false
	}
	e.leave()
	e.fate(wasted)
	e.stats.entries.Add(-1)
	return true
}

// fate tells what was expected of an entry, that it came true or that it did not.
func (e *entry) fate(state int32) {
	if x := e.expected.Load(); x != nil {
		x.state.CompareAndSwap(loaded, state)
		e.expected.Store(nil)
	}
}

// killed is an answer that a change killed: one that was stored, or that was being loaded in the background.
type killed struct {
	entry   *entry
	loading bool
}

// forget drops the entries that changes killed.
func (p *Plugin) forget(kills []coherence.Kill) (all []killed) {
	for _, kill := range kills {
		e := kill.Guard.Owner.(*entry)
		stored := p.drop(e)
		if stored {
			p.stats.kill(kill.Table, kill.Reason)
		}
		// The pattern of what a reader is loading is not known yet.
		if (stored || e.ahead) && e.pattern != nil {
			all = append(all, killed{e, !stored})
		}
	}
	return all
}

// revive loads the answers again that writes killed, when these are over, if they are worth it.
func (p *Plugin) revive(all []killed) {
	for _, k := range all {
		if p.registry.killed(k.entry.publicKey(p), k.entry.pattern.Count()-k.entry.before, k.loading) {
			p.worker.revive(k.entry)
		}
	}
}

// flight is one load of a key and the readers that wait for it.
type flight struct {
	entry   *entry        // with the lease
	reading *reading      // what the answer depends on; nil for own data
	found   int           // by how many values changes find it
	weight  int64         // of the entry, once it is filled
	done    chan struct{} // closed when it ended
	filled  bool          // set before done is closed: the entry has the answer
	waiters atomic.Int32
	// over is closed when the time of a load in the background is up: readers do not wait for it any longer. nil for a reader's.
	over <-chan struct{}
	// leader is the goroutine that runs the query, where code of the application runs on it meanwhile: it must not wait for
	// itself. 0 where it does not matter, or is not known yet.
	leader atomic.Int64
}

// goroutine returns the number of the calling goroutine, which the runtime tells in stack traces only.
func goroutine() int64 {
	var buf [64]byte
	trace := buf[:runtime.Stack(buf[:], false)]
	trace = bytes.TrimPrefix(trace, []byte("goroutine "))
	number, _, _ := bytes.Cut(trace, []byte(" "))
	n, _ := strconv.ParseInt(string(number), 10, 64)
	return n
}

// flights are the loads that run now, by key.
type flights struct {
	mu    sync.Mutex
	byKey map[string]*flight
}

// joinable reports whether a reader may wait for the flight: its lease lives, and its time is not up.
func (f *flight) joinable() bool {
	select {
	case <-f.over:
		return false
	default:
		return !f.entry.guard.Dead()
	}
}

// wait waits for the flight as long as the context lasts. It reports whether the entry has the answer.
func (f *flight) wait(ctx context.Context) bool {
	select {
	case <-f.done:
	case <-f.over:
	case <-ctx.Done():
	}
	select {
	case <-f.done:
		return f.filled && ctx.Err() == nil
	default:
		return false
	}
}

// has reports whether a key is being loaded.
func (fs *flights) has(key string) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.byKey[key] != nil
}

// join returns the flight of a key that is under way, if it can be joined.
func (fs *flights) join(key string) *flight {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.byKey[key]
	if f == nil || !f.joinable() {
		return nil
	}
	f.waiters.Add(1)
	return f
}

// start makes f the flight of its key unless another one that can be joined came first: that one is returned. With
// force f takes its place. One that f displaces loses its lease: f is to see what it may not have seen.
func (p *Plugin) start(f *flight, force bool) (join *flight) {
	join, displaced := p.flights.start(f, force)
	if join != nil {
		p.index.Release(&f.entry.guard)
	}
	if displaced != nil {
		p.index.Release(&displaced.entry.guard)
	}
	return join
}

func (fs *flights) start(f *flight, force bool) (join, displaced *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	other := fs.byKey[f.entry.key]
	if other != nil && other.joinable() && !force {
		other.waiters.Add(1)
		return other, nil
	}
	fs.byKey[f.entry.key] = f
	return nil, other
}

func (fs *flights) end(f *flight) {
	fs.mu.Lock()
	if fs.byKey[f.entry.key] == f {
		delete(fs.byKey, f.entry.key)
	}
	fs.mu.Unlock()
	close(f.done)
}
