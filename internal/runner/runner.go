package runner

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
)

// MaxAbandoned bounds the loads that ignored the end of their context and were left to themselves:
// those of own data, and of queries, each. At the limit nothing of the kind is loaded until some
// return.
const MaxAbandoned = 16

// Config is what a runner is made with.
type Config struct {
	Concurrency int           // loads at a time
	Timeout     time.Duration // of a load
	Brief       time.Duration // of a load for which statements of the application wait
	Grace       time.Duration // how long a load has to notice that its context ended
	// Pool returns the application's pool, nil where there is none.
	Pool func() Pool
	// MaxIdle is how many idle connections the pool is made to keep at most, where the application
	// left that to database/sql.
	MaxIdle int
	// Alike reports whether one connection of the pool is as good as another: of the same database,
	// with the same settings.
	Alike func() bool
	// Suits looks at a connection that loads take from the pool: its error says why they cannot use
	// it.
	Suits func(context.Context, *sql.Conn) error
	// Quiet reports whether loads may use the connection of the application at a quiet moment.
	Quiet  func() bool
	Report failopen.Report
	// Again is called with a key whose load ended when an answer that was begun before it does not
	// do.
	Again func(key string)
}

// Runner runs jobs.
type Runner struct {
	Config
	Gate   Gate
	ctx    context.Context // of all jobs
	cancel context.CancelFunc

	slots     chan struct{}
	conns     conns
	keeper    keeper
	active    atomic.Int64
	abandoned [2]atomic.Int64 // by Job.kind
	underway
}

// underway are the keys that are being loaded, and how the loads fared.
type underway struct {
	mu      sync.Mutex
	running map[string]*running
	idle    *sync.Cond // running changed
	stopped bool

	resumes time.Time     // until then nothing is begun
	pause   time.Duration // the last one; 0 since a load was answered
}

// running is the load of a key.
type running struct {
	label string
	again bool // what is loaded may be out of date, and is loaded once more
}

// Job is one load, of one key or of several.
type Job struct {
	Keys  []string // none twice; the first one names the job
	Label string   // what the log calls it
	Own   bool     // it loads an application's own data
	// Afresh says that a load of the key that runs already does not do: a write came since it
	// began.
	Afresh bool
	// Slow is how long the slowest of a hundred such loads takes, 0 where that is not known.
	Slow time.Duration
	// Begin begins the load, and returns what does the rest of it; nil where there is nothing to
	// do. The context ends at the load's deadline.
	Begin func(ctx context.Context) (run func() error)
	// Dropped is called when the load did not return although its context ended long ago.
	Dropped func()
	// Done is called once for each job that was begun.
	Done func(Ending)
}

// Ending is how a load ended.
type Ending struct {
	Err error
	// Brief says that it was given little time, and took all of it.
	Brief bool
	Took  time.Duration
}

// New returns a runner.
func New(config Config) *Runner {
	r := &Runner{Config: config, slots: make(chan struct{}, config.Concurrency), underway: underway{running: map[string]*running{}}}
	r.conns.runner, r.conns.peak.turned = r, time.Now()
	r.keeper.most, r.keeper.kept, r.keeper.pool, r.keeper.report = config.MaxIdle, usualIdle, config.Pool, config.Report
	r.Gate.keeper = &r.keeper
	r.idle = sync.NewCond(&r.mu)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Context ends when Stop is called.
func (r *Runner) Context() context.Context { return r.ctx }

// Active returns how many jobs run.
func (r *Runner) Active() int { return int(r.active.Load()) }

// Abandoned returns how many jobs were left to themselves and have not returned.
func (r *Runner) Abandoned() int { return int(r.abandoned[0].Load() + r.abandoned[1].Load()) }

// Runs reports whether a key is being loaded.
func (r *Runner) Runs(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running[key] != nil
}

// Run begins a job once there are a slot and room. It reports whether it did.
func (r *Runner) Run(j Job) bool {
	place, ok := r.Acquire()
	return ok && place.Start(j)
}

// Tried says what became of a job.
type Tried uint8

const (
	// Refused: it is not to be run.
	Refused Tried = iota
	// Later: Run may begin it.
	Later
	// Begun: it runs.
	Begun
)

// TryRun begins a job if there are a slot and room at once.
func (r *Runner) TryRun(j Job) Tried {
	switch r.Room() {
	case NoRoom:
		return Refused
	case roomNow:
		select {
		case r.slots <- struct{}{}:
			if r.begin(j, false) {
				return Begun
			}
			r.release(false)
			return Refused
		default:
		}
	}
	return Later
}

// Place is a slot, and room.
type Place struct {
	runner *Runner
	shut   bool // the gate is shut
}

// Acquire waits for a place; false if there will be none soon. The caller gives it back with Start,
// whatever Start returns, or with Release.
func (r *Runner) Acquire() (p Place, ok bool) {
	select {
	case r.slots <- struct{}{}:
	case <-r.ctx.Done():
		return p, false
	}
	p.runner = r
	if p.shut, ok = r.makeRoom(); !ok {
		p.Release()
	}
	return p, ok
}

// Start begins a job in the place. It reports whether it did.
func (p Place) Start(j Job) bool {
	p.narrow(&j)
	// What may take too long for what has little time is not tried.
	slow := p.shut && (j.Slow == 0 || j.Slow > Brisk)
	if !slow && p.runner.begin(j, p.shut) {
		return true
	}
	p.Release()
	return false
}

// Release gives the place back.
func (p Place) Release() { p.runner.release(p.shut) }

func (r *Runner) release(shut bool) {
	if shut {
		r.Gate.open()
	}
	<-r.slots
}

// narrow opens a shut gate for a loader of the application's, which may wait for others that ask
// the database.
func (p *Place) narrow(j *Job) {
	if p.shut && j.Own {
		p.runner.Gate.open()
		p.shut = false
	}
}

func (j *Job) kind() int {
	if j.Own {
		return 0
	}
	return 1
}

// begin begins a job in the slot that the caller took, and behind the gate that it shut; both are
// still the caller's if it returns false.
func (r *Runner) begin(j Job, shut bool) bool {
	if r.crowded(&j) {
		return false
	}
	for i, key := range j.Keys {
		if !r.enter(key, &j) {
			r.leave(j.Keys[:i])
			return false
		}
	}
	limit := r.Timeout
	if shut {
		limit = min(limit, r.Brief)
	}
	ctx, cancel := context.WithTimeout(r.ctx, limit)
	var (
		own *line
		run func() error
	)
	if !shut && !j.Own {
		if own = r.line(); own != nil {
			ctx = context.WithValue(ctx, lineKey{}, own)
		}
	}
	failopen.Guard(r.Report, "beginning a load", func() { run = j.Begin(ctx) })
	if run == nil {
		cancel()
		r.leave(j.Keys)
		return false
	}
	r.active.Add(1)
	go func() {
		defer cancel()
		r.execute(j, run, own, limit, shut)
	}()
	return true
}

// PanickedEvent is what the log says of a loader that panicked.
const PanickedEvent = "preload: a loader panicked"

// crowded reports whether too many loads of a job's kind hang.
func (r *Runner) crowded(j *Job) bool {
	if r.abandoned[j.kind()].Load() < MaxAbandoned {
		return false
	}
	r.Report(slog.LevelError, "preload: too many loaders have not returned although their context ended long ago; until some do "+
		"nothing of their kind is loaded in the background", [...]string{"own data", "queries"}[j.kind()], "hang", MaxAbandoned)
	return true
}

// enter notes that a key is being loaded; false if it is already, or if no load may begin any more.
// Where it is being loaded already, Afresh has it loaded once more after that.
func (r *Runner) enter(key string, j *Job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if runs := r.running[key]; runs != nil {
		runs.again = runs.again || j.Afresh
		return false
	}
	if r.stopped {
		return false
	}
	r.running[key] = &running{label: j.Label}
	return true
}

// leave notes that keys are not being loaded any more.
func (r *Runner) leave(keys []string) {
	for _, key := range keys {
		r.mu.Lock()
		again := r.running[key].again
		delete(r.running, key)
		r.idle.Broadcast()
		r.mu.Unlock()
		if again {
			r.Again(key)
		}
	}
}

// execute runs a job that was begun. Its slot is given back when the load ends, or when its time is
// up: a loader that hangs holds up no others.
func (r *Runner) execute(j Job, run func() error, own *line, limit time.Duration, shut bool) {
	began, open := time.Now(), func() {}
	if shut {
		r.Gate.hold(cache.Goroutine())
		open = sync.OnceFunc(r.Gate.open)
		if r.Alike() {
			// The load was cancelled a moment ago, and its connection should be free. If it is not,
			// the driver is stuck with a connection that nobody will get back. Another one may be
			// opened then, unless it could be another database.
			stuck := time.AfterFunc(limit+gateGrace, open)
			defer stuck.Stop()
		}
	}
	const (
		runs = iota
		abandoned
		ended
	)
	var state atomic.Int32
	free := func() {
		r.active.Add(-1)
		open()
		r.release(false)
	}
	overdue := time.AfterFunc(limit+r.Grace, func() {
		if state.CompareAndSwap(runs, abandoned) {
			r.abandoned[j.kind()].Add(1)
			free()
			j.Dropped()
			r.Report(slog.LevelWarn, "preload: a loader did not return although its context ended long ago; it is not called again until its key is read", j.Label)
		}
	})
	var (
		end      Ending
		returned bool // it did not panic
	)
	defer func() {
		if fault := recover(); fault != nil {
			r.Report(slog.LevelError, PanickedEvent, j.Label, failopen.FaultAttrs(fault)...)
		}
		overdue.Stop()
		own.end(!returned || end.Err != nil)
		if returned && end.Err == nil {
			r.fared()
		}
		j.Done(end)
		if state.Swap(ended) == abandoned {
			r.abandoned[j.kind()].Add(-1)
		} else {
			free()
		}
		r.leave(j.Keys)
	}()
	end.Err = run()
	returned = true
	end.Took = time.Since(began)
	end.Brief = shut && end.Took >= limit
}

// Stop has no job begun any more, ends the context of those that run, and waits for them as long as
// one may take. The error names those that have not returned by then.
func (r *Runner) Stop() error {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.cancel()
	defer r.conns.close()
	defer r.keeper.end()
	// A load that does not heed its context must not keep the application from ending.
	expired := false
	deadline := time.AfterFunc(r.Timeout, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		expired = true
		r.idle.Broadcast()
	})
	defer deadline.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.running) > 0 && !expired {
		r.idle.Wait()
	}
	if len(r.running) == 0 {
		return nil
	}
	var labels []string
	for _, runs := range r.running {
		labels = append(labels, runs.label)
	}
	slices.Sort(labels)
	return fmt.Errorf("preload: Close: %d loaders did not return within %v after their context ended: %s",
		len(labels), r.Timeout, strings.Join(slices.Compact(labels), ", "))
}

// Wait waits until no more than so many keys are being loaded.
func (r *Runner) Wait(most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.running) > most {
		r.idle.Wait()
	}
}
