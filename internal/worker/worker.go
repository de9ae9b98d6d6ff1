package worker

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/agenda"
	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/loaders"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/own"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/processors"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
	"github.com/gorm-preload/preload/internal/verify"
)

// Config is what a worker is made with.
type Config struct {
	Cache     *cache.Cache
	Own       *own.Data
	Patterns  *hotness.Table
	Loaders   *loaders.Loaders
	Templates *template.Set
	// Off says that Start is not called: what expires or is killed is not loaded again.
	Off bool
	// Away says that nothing is loaded now.
	Away     *atomic.Bool
	Settings Settings
	Now      func() time.Time
	Report   failopen.Report
	// Origin returns what is kept of the context of a read for the loads that it has made.
	Origin func(context.Context) context.Context
	// Ended is told of each load that has ended.
	Ended func(Ended)
	// Processors tell whether they are busy.
	Processors *processors.Waits
	// Ticked is called once a tick.
	Ticked func()
	// Verifier compares answers, and Sampler says which; nil where none is compared.
	Verifier *verify.Verifier
	Sampler  *verify.Sampler
}

// Settings are how much a worker does.
type Settings struct {
	Interval           time.Duration // between two ticks
	TTL                time.Duration // of own data
	Threshold          float64       // the score from which on a key is hot
	MaxPatterns, Batch int           // how many hot keys a tick looks at, and loads
	Concurrency        int           // loads at a time
	MaxIdleConns       int
	LoadTimeout, Brief time.Duration // for which a load may last, and one that statements wait for
}

// Worker is the one goroutine that decides what is loaded ahead. Its runner decides when.
type Worker struct {
	Config
	*runner.Runner
	*agenda.Agenda
	// Learner knows what is expected, and Source how queries are run. Both are set before Start:
	// the learner is made with the worker, and the source with a database.
	Learner *association.Learner
	Source  *loading.Source
	Told    Told

	loop     sync.WaitGroup
	heat     prediction.Heat // the goroutine's
	clears   int32           // of the learner that heat knows of
	renewals prediction.Renewals
	watch    seen.Watch      // the goroutine's
	checks   chan comparison // answers that are to be compared once there is room

	starting sync.Mutex // held by Start and Stop
	stopped  bool
	ended    sync.Once // what the goroutine had is dropped after it, by one of those who stop it
}

// Ended is a load that has ended.
type Ended struct {
	// Origin is what is kept of the context of the read that had it made, of the first one where
	// one query loaded several keys; else a Background.
	Origin       context.Context
	Table, Shape string
	Cause        string // why it was made
	Took         time.Duration
	Failed       bool
}

// Why loads are made.
const (
	causeTick        = "tick"
	causeExpiry      = "expiry"
	causeWrite       = "write"
	causeAssociation = "association"
	causeWarm        = "warm" // other processes have it hot
)

// Told is what a worker tells of itself.
type Told struct {
	Loads   seen.Loads
	hotUsed atomic.Uint64 // bits of the share
	heat    atomic.Int64  // bytes that are held to tell what is hot
}

// HotUsed returns the share of what ticks loaded lately that was used.
func (t *Told) HotUsed() float64 { return math.Float64frombits(t.hotUsed.Load()) }

// Bytes returns what is held to tell what is hot.
func (t *Told) Bytes() int64 { return t.heat.Load() }

// Clear sets all to zero.
func (t *Told) Clear() {
	t.Loads.Clear()
	t.hotUsed.Store(0)
	t.heat.Store(0)
}

// New returns a worker that has nothing to do yet.
func New(c Config) *Worker {
	w := &Worker{Config: c, Agenda: agenda.New(), checks: make(chan comparison, 1)}
	w.Runner = runner.New(runner.Config{
		Concurrency: max(1, c.Settings.Concurrency), MaxIdle: c.Settings.MaxIdleConns, Timeout: c.Settings.LoadTimeout, Brief: c.Settings.Brief, Grace: time.Second,
		Pool: func() runner.Pool { return w.Source.LoadPool() }, Alike: func() bool { return w.Source.Alike() },
		Suits: func(ctx context.Context, conn *sql.Conn) error { return w.Source.Suits(ctx, conn) }, Quiet: func() bool { return w.Source.Quiet() },
		Report: c.Report,
		Again:  func(key string) { w.request(agenda.Wish{Key: key, Asked: new(atomic.Bool), Killed: true}) },
	})
	return w
}

// Start begins to decide what is loaded, unless Stop was called.
func (w *Worker) Start() {
	w.starting.Lock()
	defer w.starting.Unlock()
	if w.stopped {
		return
	}
	w.loop.Go(w.run)
	w.loop.Go(w.Learner.Run)
}

func (w *Worker) run() {
	ticker := time.NewTicker(w.Settings.Interval)
	defer ticker.Stop()
	for w.Context().Err() == nil {
		select {
		case <-ticker.C:
			w.guard("a tick", w.Tick)
			continue
		default:
		}
		// Keys that are read come before keys that are only expected to be.
		if r, ok := w.Next(); ok {
			w.guard("loading again", func() { w.anew(r) })
			continue
		}
		if w.AnyForeseen() {
			w.guard("loading ahead", w.ahead)
			continue
		}
		select {
		case <-w.Context().Done():
		case <-ticker.C:
			w.guard("a tick", w.Tick)
		case <-w.More:
		case c := <-w.checks:
			w.guard("verifying an answer", func() { w.compareLater(c) })
		}
	}
}

// anew loads a key that is read.
func (w *Worker) anew(r agenda.Wish) {
	if r.Killed && w.Cache.Find(w.Own.StoreKey(r.Key), w.Now()) != nil {
		r.End(cache.Late) // a reader came first
		return
	}
	// One that was started is not wished for again, also if it fails: a tick or a reader loads it
	// then.
	if !w.Load(r) {
		w.refused(r)
	}
}

// Load waits for a slot and for room, and begins to load a key. It returns false where the key has
// no loader, where there is no room, and where the key is being loaded already.
func (w *Worker) Load(r agenda.Wish) bool {
	j, ok := w.job(r)
	return ok && w.Run(j)
}

// Expect has a key loaded that is expected to be asked for. It returns false, and the trial has
// ended, where others come first.
func (w *Worker) Expect(x *association.Expected) bool {
	x.Used = w.Told.Loads.Used(causeAssociation)
	w.Cache.Await(&x.Trial)
	w.Foresee(x)
	return !x.Over()
}

// ahead loads the first key that is expected, and with it those that one query can load, unless
// readers came first.
func (w *Worker) ahead() {
	place, ok := w.Acquire()
	expected := w.Foreseen()
	if !ok {
		// There is no room for any of them, and they are not worth waiting for. Those that a reader
		// has asked for meanwhile are not late: they would not have been loaded at all.
		for _, x := range expected {
			x.End(cache.Void)
		}
		return
	}
	expected = slices.DeleteFunc(expected, func(x *association.Expected) bool {
		stored := w.Own.StoreKey(x.Key)
		over := w.Cache.Find(stored, w.Now()) != nil || w.Cache.Loading(stored) || w.Runs(x.Key)
		if over {
			x.End(cache.Late)
		}
		return over
	})
	if len(expected) == 0 {
		place.Release()
		return
	}
	r, rest := w.Together(expected)
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

// Stop ends the worker and waits for its loads, as long as one load may take.
func (w *Worker) Stop() error {
	w.starting.Lock()
	w.stopped = true
	w.starting.Unlock()
	err := w.Runner.Stop()
	w.loop.Wait()
	w.ended.Do(func() { w.heat = prediction.Heat{} })
	w.Told.heat.Store(0)
	w.renewals.Clear()
	for _, x := range w.Foreseen() {
		x.End(cache.Void)
	}
	return err
}

// renewal returns the wish for an entry that is to be loaded again so that nobody has to wait for
// it; false where it is wished for already, or is not to be loaded.
func (w *Worker) renewal(e *cache.Entry, cause string) (r agenda.Wish, ok bool) {
	if w.Off || e.Reloading.Load() {
		return r, false
	}
	key := w.Own.PublicKey(e)
	shape := w.shapeOf(key)
	if !w.renewals.Takes(shape, w.Now().UnixNano()) || e.Reloading.Swap(true) {
		return r, false
	}
	x := &association.Expected{Key: key, Hot: true}
	x.Used = w.Told.Loads.Used(cause)
	w.Cache.Await(&x.Trial)
	w.renewals.Try(x, shape)
	return agenda.Wish{Key: key, Asked: &e.Reloading, Expected: x}, true
}

// Reload asks for an entry that is read to be loaded again before it expires, where it is read
// often enough.
func (w *Worker) Reload(ctx context.Context, e *cache.Entry, now time.Time) {
	if e.Pattern != nil && !prediction.Renews(e.Read(), e.Passed(now)) {
		return
	}
	if r, ok := w.renewal(e, causeExpiry); ok {
		r.Origin = w.Origin(ctx)
		w.request(r)
	}
}

// revive loads an entry again that was killed: at once where there is room and a slot, so that who
// asks next finds the load running and waits for it, instead of the load finding them.
func (w *Worker) revive(e *cache.Entry) {
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
func (w *Worker) request(r agenda.Wish) {
	if !w.Add(r) {
		w.refused(r)
	}
}

// refused notes that the load of a key that is read did not begin.
func (w *Worker) refused(r agenda.Wish) {
	r.End(cache.Void)
	r.Asked.Store(false)
}

// Revive loads the answers again that writes killed, when these are over, if they are worth it.
func (w *Worker) Revive(all []cache.Killed) {
	for _, k := range all {
		if w.Loaders.Killed(w.Own.PublicKey(k.Entry), k) {
			w.revive(k.Entry)
		}
	}
}
