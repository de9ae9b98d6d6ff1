package preload

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/template"
)

const (
	// maxReloads bounds the reloads that wait for their turn; more are dropped, and asked for again
	// by later reads.
	maxReloads = 256
	// maxAbandoned bounds the loads that ignored the end of their context and were left to
	// themselves: those of own data, and of queries, each. At the limit nothing of the kind is
	// loaded in the background until some return.
	maxAbandoned = 16
)

// worker is the one goroutine that loads ahead, and the loads that it started. It ends them all.
type worker struct {
	p      *Plugin
	ctx    context.Context
	cancel context.CancelFunc
	loop   sync.WaitGroup
	wishes
	heat  heat // the goroutine's
	slots chan struct{}

	grace     time.Duration   // how long a load has to notice that its context ended
	failing   atomic.Bool     // the database failed a load since the last tick
	abandoned [2]atomic.Int64 // by kindOf
	underway
}

// wishes are the keys that others want loaded.
type wishes struct {
	reloads chan reload
	ahead   chan *expected
	queue   []*expected // what left ahead; the goroutine's
}

// underway are the keys that are being loaded.
type underway struct {
	mu      sync.Mutex
	running map[string]bool // true: what is loaded may be out of date, and is loaded once more
	idle    *sync.Cond      // running changed
	stopped bool
}

func newWorker(p *Plugin) *worker {
	w := &worker{
		p:        p,
		wishes:   wishes{reloads: make(chan reload, maxReloads), ahead: make(chan *expected, maxExpected)},
		slots:    make(chan struct{}, max(1, p.config.concurrency)),
		grace:    time.Second,
		underway: underway{running: map[string]bool{}},
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
			x.End(cache.Void)
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
	if r.outdated && w.p.cache.Find(w.p.storeKey(r.key), w.p.now()) != nil {
		return // a reader came first
	}
	// One that was started is not asked for again, also if it fails: a tick or a reader does it
	// then.
	if !w.load(r) {
		r.asked.Store(false)
	}
}

// expect has a key loaded that is expected to be asked for, unless too many wait for that already.
func (w *worker) expect(x *expected) bool {
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
	shut, ok := w.acquire()
	for range len(w.ahead) {
		w.queue = append(w.queue, <-w.ahead)
	}
	// What was expected last comes first: the rest may be too late already.
	slices.SortStableFunc(w.queue, func(a, b *expected) int { return cmp.Compare(b.walk, a.walk) })
	for _, x := range w.queue[min(maxExpected, len(w.queue)):] {
		x.End(cache.Void)
	}
	w.queue = w.queue[:min(maxExpected, len(w.queue))]
	w.queue = slices.DeleteFunc(w.queue, func(x *expected) bool {
		stored := w.p.storeKey(x.key)
		over := w.p.cache.Find(stored, w.p.now()) != nil || w.p.cache.Loading(stored) || w.runs(x.key)
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
		return
	case len(w.queue) > 0:
		var r reload
		r, w.queue = w.p.together(w.queue)
		shut = w.narrow(shut, r.key)
		if w.begin(r, shut) {
			return
		}
		for one := range r.all {
			one.end(cache.Void)
		}
	}
	w.release(shut)
}

// stop ends the worker and waits for its loads, as long as one load may take.
func (w *worker) stop() error {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.cancel()
	w.loop.Wait()
	for range len(w.ahead) {
		(<-w.ahead).End(cache.Void)
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
				keys = append(keys, template.Label(key))
			}
			slices.Sort(keys)
			return fmt.Errorf("preload: Close: %d loaders did not return within %v after their context ended: %s",
				len(keys), w.p.config.loadTimeout, strings.Join(slices.Compact(keys), ", "))
		}
		w.idle.Wait()
	}
	return nil
}

// reload asks for an entry that is read to be loaded again before it expires.
func (w *worker) reload(e *cache.Entry) {
	if w.p.config.worker && !e.Reloading.Load() && !e.Reloading.Swap(true) {
		w.ask(reload{key: w.p.publicKey(e), asked: &e.Reloading})
	}
}

// revive loads an entry again that was killed: at once where there is room and a slot, so that who
// asks next finds the load running and waits for it, instead of the load finding them.
func (w *worker) revive(e *cache.Entry) {
	if !w.p.config.worker || e.Reloading.Swap(true) {
		return
	}
	r := reload{key: w.p.publicKey(e), asked: &e.Reloading, outdated: true}
	caller := 1 // whose connection is back in the pool
	if w.p.log.Direct() {
		caller = 0 // the pool may still show it: it is told by the connection that commits
	}
	switch w.room(caller) {
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

// storeKey returns where the answer of a key is in the store.
func (p *Plugin) storeKey(key string) string {
	if strings.HasPrefix(key, template.KeyPrefix) {
		return key
	}
	return p.own.prefix + key
}

// publicKey is what users know the entry by.
func (p *Plugin) publicKey(e *cache.Entry) string { return strings.TrimPrefix(e.Key, p.own.prefix) }

// revive loads the answers again that writes killed, when these are over, if they are worth it.
func (p *Plugin) revive(all []cache.Killed) {
	for _, k := range all {
		if p.registry.killed(p.publicKey(k.Entry), k.Entry.Pattern.Count()-k.Entry.Before, k.Loading) {
			p.worker.revive(k.Entry)
		}
	}
}
