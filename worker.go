package preload

import (
	"cmp"
	"database/sql"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/runner"
)

// maxReloads bounds the reloads that wait for their turn; more are dropped, and asked for again by
// later reads.
const maxReloads = 256

// worker is the one goroutine that decides what is loaded ahead. Its runner decides when.
type worker struct {
	p *Plugin
	*runner.Runner
	loop sync.WaitGroup
	wishes
	heat   prediction.Heat // the goroutine's
	clears int32           // of the learner that heat knows of

	starting sync.Mutex // held by start and stop
	stopped  bool
}

// wishes are the keys that others want loaded.
type wishes struct {
	reloads chan reload
	ahead   chan *association.Expected
	queue   []*association.Expected // what left ahead; only the worker's goroutine uses it
}

func newWorker(p *Plugin) *worker {
	w := &worker{p: p, wishes: wishes{reloads: make(chan reload, maxReloads), ahead: make(chan *association.Expected, association.MaxExpected)}}
	w.Runner = runner.New(runner.Config{
		Concurrency: max(1, p.config.concurrency), Timeout: p.config.loadTimeout, Brief: p.config.brief, Grace: time.Second,
		Pool: p.poolStats, Direct: func() bool { return p.log.Direct() }, Separate: func() bool { return p.dialect == "sqlite" },
		Report: p.config.report,
		Again:  func(key string) { w.request(reload{key: key, asked: new(atomic.Bool), outdated: true}) },
	})
	return w
}

// poolStats returns the statistics of the application's pool, false where there is none.
func (p *Plugin) poolStats() (stats sql.DBStats, ok bool) {
	db, err := p.pool.GetDBConn()
	if err != nil || db == nil {
		return stats, false
	}
	return db.Stats(), true
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
	defer func() {
		for _, x := range w.queue {
			x.End(cache.Void)
		}
	}()
	for {
		// Keys that are read come before keys that are only expected to be.
		select {
		case <-w.Context().Done():
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
		case <-w.Context().Done():
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
	if r.outdated && w.p.cache.Find(w.p.own.StoreKey(r.key), w.p.config.now()) != nil {
		return // a reader came first
	}
	// One that was started is not asked for again, also if it fails: a tick or a reader does it
	// then.
	if !w.load(r) {
		r.asked.Store(false)
	}
}

// load waits for a slot and for room, and begins to load a key. It returns false where the key has
// no loader, where there is no room, and where the key is being loaded already.
func (w *worker) load(r reload) bool {
	j, ok := w.job(r)
	return ok && w.Run(j)
}

// expect queues the load of a key that is expected to be asked for. It returns false, and ends the
// trial, where the queue is full.
func (w *worker) expect(x *association.Expected) bool {
	w.p.cache.Await(&x.Trial)
	select {
	case w.ahead <- x:
		return true
	default:
		x.End(cache.Void)
		return false
	}
}

// expected loads the first key that is expected, and with it those that one query can load, unless
// readers came first.
func (w *worker) expected() {
	place, ok := w.Acquire()
	for range len(w.ahead) {
		w.queue = append(w.queue, <-w.ahead)
	}
	// What was expected last comes first: the rest may be too late already.
	slices.SortStableFunc(w.queue, func(a, b *association.Expected) int { return cmp.Compare(b.Walk, a.Walk) })
	for _, x := range w.queue[min(association.MaxExpected, len(w.queue)):] {
		x.End(cache.Void)
	}
	w.queue = w.queue[:min(association.MaxExpected, len(w.queue))]
	w.queue = slices.DeleteFunc(w.queue, func(x *association.Expected) bool {
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
		for _, x := range w.queue {
			x.End(cache.Void)
		}
		w.queue = nil
	case len(w.queue) == 0:
		place.Release()
	default:
		var r reload
		r, w.queue = w.p.together(w.queue)
		j, ok := w.job(r)
		if !ok {
			place.Release()
		} else if place.Start(j) {
			return
		}
		for one := range r.all {
			one.end(cache.Void)
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
	for range len(w.ahead) {
		(<-w.ahead).End(cache.Void)
	}
	return err
}

// reload asks for an entry that is read to be loaded again before it expires.
func (w *worker) reload(e *cache.Entry) {
	if w.p.config.worker && !e.Reloading.Load() && !e.Reloading.Swap(true) {
		w.request(reload{key: w.p.own.PublicKey(e), asked: &e.Reloading})
	}
}

// revive loads an entry again that was killed: at once where there is room and a slot, so that who
// asks next finds the load running and waits for it, instead of the load finding them.
func (w *worker) revive(e *cache.Entry) {
	if !w.p.config.worker || e.Reloading.Swap(true) {
		return
	}
	r := reload{key: w.p.own.PublicKey(e), asked: &e.Reloading, outdated: true}
	caller := 1 // the connection of the statement that wrote is back in the pool
	if w.p.log.Direct() {
		caller = 0 // the connection that commits tells of the write, and is still in use by the pool's count
	}
	tried := runner.Refused
	if j, ok := w.job(r); ok {
		tried = w.TryRun(j, caller)
	}
	switch tried {
	case runner.Refused:
		r.asked.Store(false)
	case runner.Later:
		w.request(r)
	}
}

func (w *worker) request(r reload) {
	select {
	case w.reloads <- r:
	default:
		r.asked.Store(false)
	}
}

// reviveKilled loads the answers again that writes killed, when these are over, if they are worth
// it.
func (p *Plugin) reviveKilled(all []cache.Killed) {
	for _, k := range all {
		if p.registry.killed(p.own.PublicKey(k.Entry), k.Entry.Pattern.Count()-k.Entry.Before, k.Loading) {
			p.worker.revive(k.Entry)
		}
	}
}
