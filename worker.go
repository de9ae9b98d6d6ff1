package preload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// reloadFraction: a read in the last 1/5 of an entry's TTL starts its reload.
	reloadFraction = 5
	// maxReloads bounds the reloads that wait for their turn; more are dropped, and asked for again by later reads.
	maxReloads = 256
	// maxAbandoned bounds the loads that ignored the end of their context and were left to themselves. At the limit
	// nothing is loaded in the background until some return.
	maxAbandoned = 16
)

// errDatabase marks the error of a background load as the database's.
var errDatabase = errors.New("the database failed")

// worker is the one goroutine that loads ahead, and the loads that it started. It ends them all.
type worker struct {
	p       *Plugin
	ctx     context.Context
	cancel  context.CancelFunc
	reloads chan reload
	ahead   chan *expected
	queue   []*expected // what left ahead; the goroutine's
	heat    heat        // the goroutine's
	slots   chan struct{}
	loop    sync.WaitGroup

	grace     time.Duration // how long a load has to notice that its context ended
	failing   atomic.Bool   // the database failed a load since the last tick
	abandoned atomic.Int64
	awaited   atomic.Int64 // expected loads that wait for their turn or run

	mu      sync.Mutex
	running map[string]bool // keys being loaded; true: what is loaded may be out of date, and is loaded once more
	idle    *sync.Cond      // running changed
	stopped bool
}

// reload asks for a key to be loaded again.
type reload struct {
	key   string
	asked *atomic.Bool // set while it is asked for
	// outdated says that a load of the key that runs already does not do: a write came since it began.
	outdated bool
	// expected is set where the key is expected to be asked for.
	expected *expected
	// load is the loader; that of the registry where it is nil.
	load load
	// with are more keys that the loader loads, by the same query.
	with []reload
}

func newWorker(p *Plugin) *worker {
	w := &worker{
		p:       p,
		reloads: make(chan reload, maxReloads),
		ahead:   make(chan *expected, maxExpected),
		slots:   make(chan struct{}, max(1, p.config.concurrency)),
		running: map[string]bool{},
		grace:   time.Second,
	}
	w.idle = sync.NewCond(&w.mu)
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

func (w *worker) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	w.loop.Go(w.run)
	w.loop.Go(func() { w.p.learner.run(w.ctx) })
}

func (w *worker) run() {
	ticker := time.NewTicker(w.p.config.interval)
	defer ticker.Stop()
	defer func() {
		for _, x := range w.queue {
			w.over(x, void)
		}
	}()
	for {
		// What is read comes before what may be.
		select {
		case <-w.ctx.Done():
			return
		case <-ticker.C:
			w.tick()
			continue
		case r := <-w.reloads:
			w.again(r)
			continue
		default:
		}
		if len(w.queue) > 0 {
			w.expected()
			continue
		}
		select {
		case <-w.ctx.Done():
			return
		case <-ticker.C:
			w.tick()
		case r := <-w.reloads:
			w.again(r)
		case x := <-w.ahead:
			w.queue = append(w.queue, x)
		}
	}
}

// again loads a key again.
func (w *worker) again(r reload) {
	if r.outdated && w.p.lookup(w.p.storeKey(r.key), w.p.now()) != nil {
		return // a reader came first
	}
	// One that was started is not asked for again, also if it fails: a tick or a reader does it then.
	if !w.load(r) {
		r.asked.Store(false)
	}
}

// expect has a key loaded that is expected to be asked for, unless too many wait for that already.
func (w *worker) expect(x *expected) bool {
	w.awaited.Add(1)
	select {
	case w.ahead <- x:
		return true
	default:
		w.awaited.Add(-1)
		return false
	}
}

// expected loads the first key that is expected, and with it those that one query can load, unless readers came first.
func (w *worker) expected() {
	shut, ok := w.acquire()
	for range len(w.ahead) {
		w.queue = append(w.queue, <-w.ahead)
	}
	// What was expected last comes first: the rest may be too late already.
	slices.SortStableFunc(w.queue, func(a, b *expected) int { return cmp.Compare(b.walk, a.walk) })
	for _, x := range w.queue[min(maxExpected, len(w.queue)):] {
		w.over(x, void)
	}
	w.queue = w.queue[:min(maxExpected, len(w.queue))]
	w.queue = slices.DeleteFunc(w.queue, func(x *expected) bool {
		stored := w.p.storeKey(x.key)
		over := w.p.lookup(stored, w.p.now()) != nil || w.p.flights.has(stored) || w.runs(x.key)
		if over {
			w.over(x, overtook)
		}
		return over
	})
	switch {
	case !ok:
		// There is no room for any of them, and they are not worth waiting for.
		for _, x := range w.queue {
			w.over(x, void)
		}
		w.queue = nil
		return
	case len(w.queue) > 0:
		var r reload
		r, w.queue = w.p.together(w.queue)
		shut = w.narrow(shut, r.key)
		if w.begin(r, shut) {
			return
		}
		for one := range r.all {
			w.over(one.expected, void)
		}
	}
	w.release(shut)
}

// over notes what became of a key that is not loaded, or not any more.
func (w *worker) over(x *expected, state int32) {
	if x != nil && x.state.CompareAndSwap(waiting, state) {
		w.awaited.Add(-1)
	}
}

// all calls yield with all that a query loads.
func (r *reload) all(yield func(*reload) bool) {
	if !yield(r) {
		return
	}
	for i := range r.with {
		if !yield(&r.with[i]) {
			return
		}
	}
}

// stop ends the worker and waits for its loads, as long as one load may take.
func (w *worker) stop() error {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.cancel()
	w.loop.Wait()
	for range len(w.ahead) {
		w.over(<-w.ahead, void)
	}
	// A load that does not heed its context must not keep the application from ending.
	expired := false
	deadline := time.AfterFunc(w.p.config.loadTimeout, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		expired = true
		w.idle.Broadcast()
	})
	defer deadline.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.running) > 0 {
		if expired {
			var keys []string
			for key := range w.running {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			return fmt.Errorf("preload: Close: %d loaders did not return within %v after their context ended: %s",
				len(keys), w.p.config.loadTimeout, strings.Join(keys, ", "))
		}
		w.idle.Wait()
	}
	return nil
}

// reload asks for an entry that is read to be loaded again before it expires.
func (w *worker) reload(e *entry) {
	if w.p.config.worker && !e.reloading.Load() && !e.reloading.Swap(true) {
		w.ask(reload{key: e.publicKey(w.p), asked: &e.reloading})
	}
}

// revive loads an entry again that was killed: at once where there is room and a slot, so that who asks next finds the load
// running and waits for it, instead of the load finding them.
func (w *worker) revive(e *entry) {
	if !w.p.config.worker || e.reloading.Swap(true) {
		return
	}
	r := reload{key: e.publicKey(w.p), asked: &e.reloading, outdated: true}
	switch w.room(1) { // the caller is one
	case noRoom:
		r.asked.Store(false)
		return
	case roomNow:
		select {
		case w.slots <- struct{}{}:
			if !w.begin(r, false) {
				w.release(false)
				r.asked.Store(false)
			}
			return
		default:
		}
	}
	w.ask(r)
}

func (w *worker) ask(r reload) {
	select {
	case w.reloads <- r:
	default:
		r.asked.Store(false)
	}
}

// load starts the loader of a key once there are a slot and room. It reports whether it did.
func (w *worker) load(r reload) bool {
	shut, ok := w.acquire()
	if !ok {
		return false
	}
	shut = w.narrow(shut, r.key)
	if w.begin(r, shut) {
		return true
	}
	w.release(shut)
	return false
}

// acquire waits for a slot, and room; false if there will be none soon. With shut, the gate is shut.
func (w *worker) acquire() (shut, ok bool) {
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return false, false
	}
	shut, ok = w.makeRoom()
	if !ok {
		w.release(shut)
	}
	return shut, ok
}

// narrow opens a shut gate for a loader of the application's, which may wait for others that ask the database.
func (w *worker) narrow(shut bool, key string) bool {
	if shut && !strings.HasPrefix(key, keyPrefix) {
		w.p.gate.open()
		return false
	}
	return shut
}

// release gives back what acquire took.
func (w *worker) release(shut bool) {
	if shut {
		w.p.gate.open()
	}
	<-w.slots
}

// begin starts the loader of a key in the slot that the caller took, and behind the gate that it shut; both are still the
// caller's if it returns false. Where the key is being loaded already, outdated has it loaded once more after that.
func (w *worker) begin(r reload, shut bool) bool {
	load, ok := r.load, true
	if load == nil {
		load, ok = w.p.registry.loader(r.key)
	}
	if !ok {
		return false
	}
	entered := 0
	for one := range r.all {
		if !w.enter(one.key, one.outdated) {
			break
		}
		entered++
	}
	leave := func() {
		for one := range r.all {
			if entered--; entered >= 0 {
				w.leave(one.key)
			}
		}
	}
	if entered <= len(r.with) {
		leave()
		return false
	}
	limit := w.p.config.loadTimeout
	if shut {
		limit = min(limit, patience)
	}
	ctx, cancel := context.WithTimeout(w.ctx, limit)
	var run run
	w.p.guard("beginning a load", func() { run = load(ctx) })
	if run == nil {
		cancel()
		leave()
		return false
	}
	w.p.stats.active.Add(1)
	go w.execute(r, run, cancel, limit, shut)
	return true
}

// enter notes that a key is being loaded; false if it is already, or if no load may begin any more.
func (w *worker) enter(key string, outdated bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	again, runs := w.running[key]
	if runs {
		w.running[key] = again || outdated
	}
	if runs || w.stopped {
		return false
	}
	w.running[key] = false
	return true
}

// runs reports whether a key is being loaded.
func (w *worker) runs(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, runs := w.running[key]
	return runs
}

// leave notes that a key is not being loaded any more.
func (w *worker) leave(key string) {
	w.mu.Lock()
	again := w.running[key]
	delete(w.running, key)
	w.idle.Broadcast()
	w.mu.Unlock()
	if again {
		w.ask(reload{key: key, asked: new(atomic.Bool), outdated: true})
	}
}

func (w *worker) execute(r reload, run run, cancel context.CancelFunc, limit time.Duration, shut bool) {
	defer cancel()
	p, key := w.p, r.key
	if shut {
		p.gate.hold(goroutine())
	}

	// The slot is given back when the load ends, or when its time is up: a loader that hangs holds up no others.
	const (
		runs = iota
		abandoned
		ended
	)
	var state atomic.Int32
	free := func() {
		p.stats.active.Add(-1)
		w.release(shut)
	}
	overdue := time.AfterFunc(limit+w.grace, func() {
		if state.CompareAndSwap(runs, abandoned) {
			w.abandoned.Add(1)
			free()
		}
	})
	defer func() {
		if fault := recover(); fault != nil {
			p.config.logger.Error("preload: a loader panicked", "key", key, "fault", fault)
		}
		overdue.Stop()
		if state.Swap(ended) == abandoned {
			w.abandoned.Add(-1)
		} else {
			free()
		}
		for one := range r.all {
			w.over(one.expected, failed)
			w.leave(one.key)
		}
	}()
	stored, err := run()
	for one := range r.all {
		if one.expected != nil {
			w.loaded(one.expected, stored, err)
		}
	}
	if err != nil && w.ctx.Err() == nil {
		if errors.Is(err, errDatabase) {
			w.failing.Store(true)
		}
		p.config.logger.Warn("preload: a background load failed", "key", key, "err", err)
	}
}

// storeKey returns where the answer of a key is in the store.
func (p *Plugin) storeKey(key string) string {
	if strings.HasPrefix(key, keyPrefix) {
		return key
	}
	return p.ownPrefix + key
}

// publicKey is what users know the entry by.
func (e *entry) publicKey(p *Plugin) string { return strings.TrimPrefix(e.key, p.ownPrefix) }

// loaded notes what became of the load of a key that is expected.
func (w *worker) loaded(x *expected, stored []*entry, err error) {
	key := w.p.storeKey(x.key)
	i := slices.IndexFunc(stored, func(e *entry) bool { return e.key == key })
	switch {
	case i < 0 && err == nil:
		w.over(x, void)
	case i < 0:
		w.over(x, failed)
	default:
		if load, ok := w.p.loaderOf(x.key); ok {
			w.p.keepLoader(x.key, load)
		}
		e, state := stored[i], int32(loaded)
		if e.awaited {
			state = overtook
		}
		if !x.state.CompareAndSwap(waiting, state) {
			return
		}
		e.expected.Store(x)
		switch {
		case !e.preloaded.Load():
			e.fate(used) // it came before x was here to be told
		case !e.counted.Load():
			e.fate(wasted)
		}
		// It counts as awaited until the learner has heard of it, if that is to.
		x.entry.Store(e)
		if x.hot || !w.p.learner.tell(x) {
			x.entry.Store(nil)
			w.awaited.Add(-1)
		}
	}
}
