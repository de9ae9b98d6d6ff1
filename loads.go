package preload

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/template"
)

// reload asks for a key to be loaded again.
type reload struct {
	key   string
	asked *atomic.Bool // set while it is asked for
	// outdated says that a load of the key that runs already does not do: a write came since it
	// began.
	outdated bool
	// expected is set where the key is expected to be asked for.
	expected *expected
	// load is the loader; that of the registry where it is nil.
	load load
	// with are more keys that the loader loads, by the same query.
	with []reload
}

// end notes that a load of an expected key is over, and was not loaded.
func (r *reload) end(o cache.Fate) {
	if r.expected != nil {
		r.expected.Trial.End(o)
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

// load starts the loader of a key once there are a slot and room. It reports whether it did.
func (w *worker) load(r reload) bool {
	shut, ok := w.acquire()
	if !ok {
		return false
	}
	shut = w.narrow(shut, r.key)
	if !(shut && w.slow(r.key)) && w.begin(r, shut) {
		return true
	}
	w.release(shut)
	return false
}

// slow reports whether the query of a key usually takes too long for what has little time.
func (w *worker) slow(key string) bool {
	t := w.p.templates.Of(key)
	return t != nil && time.Duration(t.Pace.Usual.Load()) > w.p.config.brief/cache.WaitFactor
}

// acquire waits for a slot, and room; false if there will be none soon. With shut, the gate is
// shut.
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

// narrow opens a shut gate for a loader of the application's, which may wait for others that ask
// the database.
func (w *worker) narrow(shut bool, key string) bool {
	if shut && !strings.HasPrefix(key, template.KeyPrefix) {
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

// begin starts the loader of a key in the slot that the caller took, and behind the gate that it
// shut; both are still the caller's if it returns false. Where the key is being loaded already,
// outdated has it loaded once more after that.
func (w *worker) begin(r reload, shut bool) bool {
	load, ok := r.load, true
	if load == nil {
		load, ok = w.p.registry.loader(r.key)
	}
	if !ok || w.crowded(r.key) {
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
	limit, brief := w.p.config.loadTimeout, shut || w.lastConn(r.key)
	if brief {
		limit = min(limit, w.p.config.brief)
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
	go w.execute(r, run, cancel, limit, shut, brief)
	return true
}

// kindOf tells loads of own data, 0, from those of queries, 1.
func kindOf(key string) int {
	if strings.HasPrefix(key, template.KeyPrefix) {
		return 1
	}
	return 0
}

// crowded reports whether too many loads of a key's kind hang.
func (w *worker) crowded(key string) bool {
	kind := kindOf(key)
	if w.abandoned[kind].Load() < maxAbandoned {
		return false
	}
	w.p.config.report(slog.LevelError, "preload: too many loaders have not returned although their context ended long ago; until some do "+
		"nothing of their kind is loaded in the background", [...]string{"own data", "queries"}[kind], "hang", maxAbandoned)
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

func (w *worker) execute(r reload, run run, cancel context.CancelFunc, limit time.Duration, shut, brief bool) {
	defer cancel()
	p, key := w.p, r.key
	began, open := time.Now(), func() {}
	if shut {
		p.gate.hold(cache.Goroutine())
		open = sync.OnceFunc(p.gate.open)
		if p.db.Name() != "sqlite" {
			// The load was cancelled a moment ago, and its connection should be free. If it is not,
			// the driver is stuck with a connection that nobody will get back. SQLite has no such
			// connections, and another one could be another database.
			stuck := time.AfterFunc(limit+gateGrace, open)
			defer stuck.Stop()
		}
	}

	// The slot is given back when the load ends, or when its time is up: a loader that hangs holds
	// up no others.
	const (
		runs = iota
		abandoned
		ended
	)
	var state atomic.Int32
	free := func() {
		p.stats.active.Add(-1)
		open()
		w.release(false)
	}
	overdue := time.AfterFunc(limit+w.grace, func() {
		if state.CompareAndSwap(runs, abandoned) {
			w.abandoned[kindOf(key)].Add(1)
			free()
			w.drop(r)
		}
	})
	defer func() {
		if fault := recover(); fault != nil {
			p.config.report(slog.LevelError, "preload: a loader panicked", template.Label(key), failopen.FaultAttrs(fault)...)
		}
		overdue.Stop()
		if state.Swap(ended) == abandoned {
			w.abandoned[kindOf(key)].Add(-1)
		} else {
			free()
		}
		for one := range r.all {
			one.end(cache.Failed)
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
		if errors.Is(err, failopen.ErrDatabase) {
			if t := p.templates.Of(key); brief && t != nil && time.Since(began) >= limit {
				t.Pace.Took(time.Since(began)) // it is no failure that there was little time
				return
			}
			w.failing.Store(true)
		}
		p.config.report(slog.LevelWarn, "preload: a background load failed", template.Label(key), "err", failopen.Plain(err))
	}
}

// drop forgets the loaders of a load that hangs.
func (w *worker) drop(r reload) {
	for one := range r.all {
		w.p.registry.unregister(one.key)
	}
	w.p.config.report(slog.LevelWarn, "preload: a loader did not return although its context ended long ago; it is not called again until its key is read", template.Label(r.key))
}

// loaded notes what became of the load of a key that is expected.
func (w *worker) loaded(x *expected, stored []*cache.Entry, err error) {
	key := w.p.storeKey(x.key)
	i := slices.IndexFunc(stored, func(e *cache.Entry) bool { return e.Key == key })
	switch {
	case i < 0 && err == nil:
		x.End(cache.Void)
	case i < 0:
		x.End(cache.Failed)
	default:
		if load, ok := w.p.loaderOf(x.key); ok {
			w.p.keepLoader(x.key, load, 0)
		}
		// It counts as awaited until the learner has heard of it, if that is to.
		if x.Load(stored[i]) && (x.hot || !w.p.learner.tell(x)) {
			x.Heard()
		}
	}
}
