package preload

import (
	"context"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/own"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
	"github.com/gorm-preload/preload/internal/worker"
)

// accesses notes what is read: how often, what follows what, and what is to be loaded again before
// it expires.
type accesses struct {
	config   *config
	life     *life
	cache    *cache.Cache
	own      *own.Data
	patterns *hotness.Table
	learner  *association.Learner
	worker   *worker.Worker
}

// hit notes that an entry was read. tally is the entry's, which the caller has at hand.
func (a *accesses) hit(ctx context.Context, e *cache.Entry, tally *cache.Tally, now time.Time) {
	outcome := OutcomeHit
	if a.config.sampler != nil {
		a.worker.Compare(e)
	}
	if a.read(ctx, e, tally, now) {
		outcome = OutcomeStale
		tally.Seen.Stale.Add(1)
	}
	if a.config.listened() {
		a.tellHit(ctx, e, tally, outcome, now)
	}
}

// tellHit tells of an entry that was read. tally is the entry's.
func (a *accesses) tellHit(ctx context.Context, e *cache.Entry, tally *cache.Tally, outcome Outcome, now time.Time) {
	defer func() {
		if fault := recover(); fault != nil {
			a.config.fault(observerPart, fault)
		}
	}()
	label := tally.Label
	if label == "" {
		label = template.Label(a.own.PublicKey(e))
	}
	event := Event{Outcome: outcome, Table: tally.Table, Shape: label, Rows: e.Rows, Age: e.Age(now)}
	if a.config.debug.On() {
		a.config.write(event)
	}
	if a.config.observe != nil {
		a.config.observe(ctx, event)
	}
}

// shared notes that a reader got the answer of another one's query, for which it waited so long.
func (a *accesses) shared(ctx context.Context, e *cache.Entry, tally *cache.Tally, now time.Time, took time.Duration) {
	a.read(ctx, e, tally, now)
	tally.Seen.Joined.Add(1)
	if a.config.listened() {
		a.config.tell(ctx, Event{Outcome: OutcomeJoined, Table: template.Table(e.Key), Shape: template.Label(a.own.PublicKey(e)), Rows: e.Rows, Age: e.Age(now), Took: took})
	}
}

// joined notes that a reader of own data got what another one loaded.
func (a *accesses) joined(ctx context.Context, e *cache.Entry, now time.Time) {
	e.Tally.Hits.Add(1)
	e.Tally.Seen.Joined.Add(1)
	a.missed(ctx, e, now)
	if a.config.listened() {
		a.config.tell(ctx, Event{Outcome: OutcomeJoined, Shape: template.Label(a.own.PublicKey(e)), Rows: e.Rows, Age: e.Age(now)})
	}
}

// lacked notes that the answer of a key was not in memory, why, and how long it took to ask for it.
// label is what the key may be called.
func (a *accesses) lacked(ctx context.Context, tally *cache.Tally, table, label string, why seen.Cause, rows int64, took time.Duration) {
	tally.Seen.Missed(why)
	tally.Seen.Queries.Took(took)
	if a.config.listens() {
		a.config.tell(ctx, Event{Outcome: OutcomeMiss, Table: table, Shape: label, Cause: Cause(why), Rows: rows, Took: took})
	}
}

// read notes that an entry was read. It reports whether the entry is loaded again before it
// expires.
func (a *accesses) read(ctx context.Context, e *cache.Entry, tally *cache.Tally, now time.Time) (stale bool) {
	kind := association.Hit
	switch {
	case a.cache.Hit(e, tally):
		kind = association.First
	case tally.Leads.Load():
		kind = association.Leading
	}
	if e.Pattern != nil {
		a.patterns.Record(e.Pattern, now)
	} else {
		a.patterns.Touch(a.own.PublicKey(e), now)
	}
	a.note(ctx, e, now, kind)
	if e.Due(now) {
		a.worker.Reload(ctx, e, now)
		return e.Reloading.Load()
	}
	return false
}

// missed tells the learner of an access to an answer that was not in memory.
func (a *accesses) missed(ctx context.Context, e *cache.Entry, now time.Time) {
	a.note(ctx, e, now, association.Miss)
}

// note tells the learner of an access to an answer. It takes no lock and allocates nothing.
func (a *accesses) note(ctx context.Context, e *cache.Entry, now time.Time, kind association.Kind) {
	if !a.config.worker || a.life.away.Load() {
		return
	}
	session, spread := a.sessionOf(ctx)
	a.learner.Note(ctx, spread, session, e, now, kind)
}

// sessionOf returns the session of a context, and a number by which the learner chooses one of its
// buffers, so that sessions do not come in each other's way.
func (a *accesses) sessionOf(ctx context.Context) (s prediction.Session, spread uint64) {
	if named, ok := ctx.Value(sessionKey{}).(prediction.Session); ok {
		return named, named.ID
	}
	if a.config.session != nil {
		id := ""
		a.config.guard("asking for the session", func() { id = a.config.session(ctx) })
		if id != "" {
			named := prediction.Session{ID: cache.Hash(id)}
			return named, named.ID
		}
	}
	done := ctx.Done()
	if done != nil {
		return prediction.Session{Done: done}, uint64(*(*uintptr)(unsafe.Pointer(&done))) >> 6
	}
	// Accesses without a session are of one session. The address of a local variable differs by
	// goroutine, so that goroutines use different buffers.
	var here byte
	return prediction.Session{}, uint64(uintptr(unsafe.Pointer(&here))) >> 13
}
