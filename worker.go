package preload

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/agenda"
	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/seen"
)

// worker is the one goroutine that decides what is loaded ahead. Its runner decides when.
type worker struct {
	p *Plugin
	*runner.Runner
	loop sync.WaitGroup
	*agenda.Agenda
	heat     prediction.Heat // the goroutine's
	clears   int32           // of the learner that heat knows of
	renewals prediction.Renewals
	watch    seen.Watch      // the goroutine's
	checks   chan runner.Job // answers that are to be compared once there is room

	starting sync.Mutex // held by start and stop
	stopped  bool
	ended    sync.Once // what the goroutine had is dropped after it, by one of those who stop it
}

func newWorker(p *Plugin) *worker {
	w := &worker{p: p, Agenda: agenda.New(), checks: make(chan runner.Job, 1)}
	w.Runner = runner.New(runner.Config{
		Concurrency: max(1, p.config.concurrency), MaxIdle: p.config.maxIdleConns, Timeout: p.config.loadTimeout, Brief: p.config.brief, Grace: time.Second,
		Pool: func() runner.Pool { return p.source.LoadPool() }, Alike: func() bool { return p.source.Alike() },
		Suits: func(ctx context.Context, conn *sql.Conn) error { return p.source.Suits(ctx, conn) }, Quiet: func() bool { return p.source.Quiet() },
		Report: p.config.report,
		Again:  func(key string) { w.request(agenda.Wish{Key: key, Asked: new(atomic.Bool), Killed: true}) },
	})
	return w
}

func (w *worker) start() {
	w.starting.Lock()
	defer w.starting.Unlock()
	if w.stopped {
		return
	}
	w.loop.Go(w.run)
	w.loop.Go(w.p.learner.Run)
}

func (w *worker) run() {
	ticker := time.NewTicker(w.p.config.interval)
	defer ticker.Stop()
	for w.Context().Err() == nil {
		select {
		case <-ticker.C:
			w.p.config.guard("a tick", w.tick)
			continue
		default:
		}
		// Keys that are read come before keys that are only expected to be.
		if r, ok := w.Next(); ok {
			w.p.config.guard("loading again", func() { w.anew(r) })
			continue
		}
		if w.AnyForeseen() {
			w.p.config.guard("loading ahead", w.ahead)
			continue
		}
		select {
		case <-w.Context().Done():
		case <-ticker.C:
			w.p.config.guard("a tick", w.tick)
		case <-w.More:
		case j := <-w.checks:
			w.p.config.guard("verifying an answer", func() { w.Run(j) })
		}
	}
}

// anew loads a key that is read.
func (w *worker) anew(r agenda.Wish) {
	if r.Killed && w.p.cache.Find(w.p.own.StoreKey(r.Key), w.p.config.now()) != nil {
		r.End(cache.Late) // a reader came first
		return
	}
	// One that was started is not wished for again, also if it fails: a tick or a reader loads it
	// then.
	if !w.load(r) {
		w.refused(r)
	}
}

// load waits for a slot and for room, and begins to load a key. It returns false where the key has
// no loader, where there is no room, and where the key is being loaded already.
func (w *worker) load(r agenda.Wish) bool {
	j, ok := w.job(r)
	return ok && w.Run(j)
}

// expect has a key loaded that is expected to be asked for. It returns false, and the trial has
// ended, where others come first.
func (w *worker) expect(x *association.Expected) bool {
	x.Used = w.p.stats.loads.Used(causeAssociation)
	w.p.cache.Await(&x.Trial)
	w.Foresee(x)
	return !x.Over()
}

// ahead loads the first key that is expected, and with it those that one query can load, unless
// readers came first.
func (w *worker) ahead() {
	place, ok := w.Acquire()
	expected := slices.DeleteFunc(w.Foreseen(), func(x *association.Expected) bool {
		stored := w.p.own.StoreKey(x.Key)
		over := w.p.cache.Find(stored, w.p.config.now()) != nil || w.p.cache.Loading(stored) || w.Runs(x.Key)
		if over {
			x.End(cache.Late)
		}
		return over
	})
	switch {
	case !ok:
		// There is no room for any of them, and they are not worth waiting for.
		for _, x := range expected {
			x.End(cache.Void)
		}
	case len(expected) == 0:
		place.Release()
	default:
		r, rest := w.p.together(expected)
		w.Foresee(rest...)
		j, ok := w.job(r)
		if !ok {
			place.Release()
		} else if place.Start(j) {
			return
		}
		for one := range r.All {
			one.End(cache.Void)
		}
	}
}

// stop ends the worker and waits for its loads, as long as one load may take.
func (w *worker) stop() error {
	w.starting.Lock()
	w.stopped = true
	w.starting.Unlock()
	err := w.Stop()
	w.loop.Wait()
	w.ended.Do(func() { w.heat = prediction.Heat{} })
	w.p.stats.heat.Store(0)
	w.renewals.Clear()
	for _, x := range w.Foreseen() {
		x.End(cache.Void)
	}
	return err
}

// renewal returns the wish for an entry that is to be loaded again so that nobody has to wait for
// it; false where it is wished for already, or is not to be loaded.
func (w *worker) renewal(e *cache.Entry, cause string) (r agenda.Wish, ok bool) {
	if !w.p.config.worker || e.Reloading.Load() {
		return r, false
	}
	key := w.p.own.PublicKey(e)
	shape := w.p.shapeOf(key)
	if !w.renewals.Takes(shape) || e.Reloading.Swap(true) {
		return r, false
	}
	x := &association.Expected{Key: key, Hot: true}
	x.Used = w.p.stats.loads.Used(cause)
	w.p.cache.Await(&x.Trial)
	w.renewals.Try(x, shape)
	return agenda.Wish{Key: key, Asked: &e.Reloading, Expected: x}, true
}

// reload asks for an entry that is read to be loaded again before it expires, where it is read
// often enough.
func (w *worker) reload(e *cache.Entry, now time.Time) {
	if e.Pattern != nil && !prediction.Renews(e.Read(), e.Passed(now)) {
		return
	}
	if r, ok := w.renewal(e, causeExpiry); ok {
		w.request(r)
	}
}

// revive loads an entry again that was killed: at once where there is room and a slot, so that who
// asks next finds the load running and waits for it, instead of the load finding them.
func (w *worker) revive(e *cache.Entry) {
	r, ok := w.renewal(e, causeWrite)
	if !ok {
		return
	}
	r.Killed = true
	tried := runner.Refused
	if j, ok := w.job(r); ok {
		tried = w.TryRun(j)
	}
	switch tried {
	case runner.Refused:
		w.refused(r)
	case runner.Later:
		w.request(r)
	}
}

// request has a key loaded that is read, as soon as it is its turn.
func (w *worker) request(r agenda.Wish) {
	if !w.Add(r) {
		w.refused(r)
	}
}

// refused notes that the load of a key that is read did not begin.
func (w *worker) refused(r agenda.Wish) {
	r.End(cache.Void)
	r.Asked.Store(false)
}

// reviveKilled loads the answers again that writes killed, when these are over, if they are worth
// it.
func (p *Plugin) reviveKilled(all []cache.Killed) {
	for _, k := range all {
		if p.loaders.Killed(p.own.PublicKey(k.Entry), k) {
			p.worker.revive(k.Entry)
		}
	}
}
