package preload

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"time"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/loaders"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/recognition"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/sqltext"
	"github.com/gorm-preload/preload/internal/template"
	"github.com/gorm-preload/preload/internal/verify"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// reader answers queries.
type reader struct {
	config   *config
	life     *life
	host     *host
	keys     *recognition.Keys
	accesses *accesses
	log      *commit.Log
	cache    *cache.Cache
	loaders  *loaders.Loaders
	stats    *counters
	writes   *writer
	verifier *verify.Verifier
}

// aroundQuery serves reads.
func (r *reader) aroundQuery(next func(*gorm.DB)) func(*gorm.DB) {
	r.host.query = next
	next = r.writes.gated(next)
	return func(db *gorm.DB) {
		switch o := observing(db.Statement); {
		case !r.life.active() || r.log.Refuses(db):
			next(db)
		case o != nil:
			r.observe(db, o, next)
		default:
			r.read(db, next)
		}
	}
}

// observe has an observer see a query. What may write is told as a write.
func (r *reader) observe(db *gorm.DB, o observer, next func(*gorm.DB)) {
	q, reason := r.recognize(db, o, recognition.Dest{Raw: db.Statement.SQL.Len() > 0})
	r.tell(db, o, &q, reason, r.render(db, &q, next))
}

// recognize recognizes a query that an observer sees.
func (r *reader) recognize(db *gorm.DB, o observer, to recognition.Dest) (recognition.Query, Reason) {
	q, reason := r.keys.Recognize(db, to, true, o.prepares())
	return q, Reason(reason)
}

// tell tells an observer of a query, or of a write.
func (r *reader) tell(db *gorm.DB, o observer, q *recognition.Query, reason Reason, next func(*gorm.DB)) {
	switch reason {
	case ReasonRaw, ReasonNotPlain, ReasonFunction:
		if q.Raw {
			r.writes.bracket(db, next, q.Rows)
			return
		}
	}
	o.query(db, q, reason, next)
}

// read answers a query: from memory, from the one load that all readers share who
// ask for the same, or, for what does not qualify, from the database alone.
func (r *reader) read(db *gorm.DB, next func(*gorm.DB)) {
	to := recognition.Dest{Raw: db.Statement.SQL.Len() > 0}
	mode := r.life.mode()
	if mode == ModeOff {
		r.pass(db, &recognition.Query{Dest: to}, off(db), next)
		return
	}
	q, reason := r.keys.Recognize(db, to, false, nil)
	if q.Hit == nil || mode == ModeShadow || !r.serve(db, &q, q.Hit) {
		r.unserved(db, q, Reason(reason), mode, next)
		return
	}
	if r.host.chain.Others() {
		shape.Settle(db.Statement)
		if db.Statement.SQL.Len() == 0 {
			db.Statement.SQL.WriteString(q.Template.SQL) // callbacks of others name what they see by it
		}
	}
	r.accesses.hit(db.Statement.Context, q.Hit, q.Template.Tally, q.Now)
}

// unserved answers a query that memory does not. It has a copy of what is known of the query, so
// that a hit leaves nothing on the heap.
func (r *reader) unserved(db *gorm.DB, q recognition.Query, reason Reason, mode Mode, next func(*gorm.DB)) {
	switch {
	case q.Hit != nil && mode == ModeShadow:
		r.shadow(db, &q, r.render(db, &q, next))
	case q.Hit != nil:
		r.pass(db, &q, ReasonFault, r.render(db, &q, next))
	case reason != "":
		r.pass(db, &q, reason, r.render(db, &q, next))
	case q.View != nil:
		r.within(db, &q, r.render(db, &q, next))
	default:
		r.answer(db, &q, r.render(db, &q, next))
	}
}

// off returns why a read is not served in ModeOff.
func off(db *gorm.DB) Reason {
	switch {
	case db.Error != nil:
		return ReasonError
	case db.DryRun:
		return ReasonDryRun
	}
	return ReasonOff
}

// render renders a statement whose clauses are complete, and returns what runs it.
func (r *reader) render(db *gorm.DB, q *recognition.Query, next func(*gorm.DB)) func(*gorm.DB) {
	mode.Inherit(db.Statement)
	if !q.Complete {
		return next
	}
	shape.Render(db)
	return completed(db.Statement, next)
}

// pass has the database alone answer a query that does not qualify.
func (r *reader) pass(db *gorm.DB, q *recognition.Query, reason Reason, next func(*gorm.DB)) {
	// GORM renders a subquery in DryRun, with logger.Discard. The query around the subquery is
	// counted, the subquery is not.
	ask := func() {
		switch {
		case q.Raw, db.Statement.Schema == nil && db.Statement.SQL.Len() > 0 && reason == ReasonNotPlain:
			r.writes.bracket(db, next, q.Rows)
		case reason == ReasonNotPlain, shape.Unusual(db.Statement):
			r.writes.unusual(db, next, q.Complete, q.Rows)
		default:
			r.ask(db, next)
		}
		if q.Rows {
			r.log.Opened(db.Statement)
		}
	}
	if reason == ReasonDryRun && db.Logger == logger.Discard && r.host.db.Logger != logger.Discard {
		ask()
		return
	}
	r.bypass(db, reason, ask)
}

// bypass counts a read that goes to the database untouched, with what that takes.
func (r *reader) bypass(db *gorm.DB, reason Reason, ask func()) {
	r.stats.bypass(reason)
	began := time.Now()
	ask()
	if reason == ReasonDryRun || reason == ReasonError || db.DryRun {
		return
	}
	took := time.Since(began)
	r.stats.unserved.Record(string(reason), db.Statement.SQL.String(), took, func(text string) string { return sqltext.Plain(db.Name(), text) })
	if r.config.listens() {
		r.config.tell(db.Statement.Context, Event{Outcome: OutcomeBypass, Table: db.Statement.Table, Reason: reason, Rows: max(0, db.RowsAffected), Took: took})
	}
}

// ask has the database answer a query whose answer is not kept.
func (r *reader) ask(db *gorm.DB, next func(*gorm.DB)) {
	r.log.Ask(db, next)
	r.log.Ran(db.Statement.ConnPool, db.Error)
	r.log.Passed(db.Statement)
}

// completed returns next for a statement whose clauses are complete: GORM adds those of the model
// once more, which only its own do not mind.
func completed(stmt *gorm.Statement, next func(*gorm.DB)) func(*gorm.DB) {
	if shape.Steady(stmt) {
		return next
	}
	return func(db *gorm.DB) {
		clauses := maps.Clone(db.Statement.Clauses)
		next(db)
		db.Statement.Clauses = clauses
	}
}

// answer gives a query that qualifies, and whose answer is not in memory, its answer: from a load
// that is under way, or from the database.
func (r *reader) answer(db *gorm.DB, q *recognition.Query, next func(*gorm.DB)) {
	var (
		w      cache.Waiter
		found  *cache.Entry
		joined bool
		began  = time.Now()
		shadow = r.life.mode() == ModeShadow
	)
	for became := cache.Again; became == cache.Again && found == nil; {
		flight, lead := r.board(q, db.Statement, w.Past)
		if lead != nil && q.Rows {
			r.leadRows(db, q, lead, next)
			return
		}
		if lead != nil {
			r.lead(db, q, lead, next)
			return
		}
		if flight == nil || shadow {
			found = q.Hit
			break
		}
		if became = w.Wait(db.Statement.Context, flight); became == cache.Answered {
			found, joined = flight.Entry, true
		} else if db.Statement.Context.Err() == nil { // otherwise the database tells it in its own words
			found = r.cache.Find(q.Key, r.config.now())
		}
	}
	if !shadow && q.MayAnswer(found, db.Statement) && r.serve(db, q, found) {
		if joined {
			r.accesses.shared(db.Statement.Context, found, q.Template.Tally, q.Now, time.Since(began))
		} else {
			r.accesses.hit(db.Statement.Context, found, q.Template.Tally, q.Now)
		}
		return
	}
	why := r.miss(q)
	defer func() { r.lacked(db, q, cmp.Or(q.Cause, why), time.Since(began)) }()
	r.log.Ask(db, next)
}

// board returns, for the reader of a key that is not in memory, the flight to wait for or the load
// to lead; neither where the answer could not be kept. q.Hit is set where an answer came meanwhile.
// past is the flight that the reader waited for long enough.
func (r *reader) board(q *recognition.Query, stmt *gorm.Statement, past *cache.Flight) (join *cache.Flight, lead *template.Load) {
	vars := q.Template.VarsOf(stmt)
	r.config.guard("boarding", func() {
		var self int64
		if q.Template.Asks {
			self = cache.Goroutine()
			defer func() {
				// The goroutine that leads this flight asks for the same key while it scans: it
				// must not wait for itself.
				if join != nil && join.Leader.Load() == self {
					join = nil
				}
			}()
		}
		if !q.Refresh {
			if join = r.cache.Join(q.Key, q.Since, past); join != nil {
				return
			}
		}
		mine := q.Template.NewLoad(cache.NewEntry(q.Key, q.Template.Tally))
		mine.Tags = q.Tags
		mine.Leader.Store(self)
		mine.Moments = q.Moments
		mine.Alone = q.Rows && !r.promptly(q, stmt)
		if !mine.Lease(vars) {
			r.log.GiveUpRaw()
			if !r.log.SweepRows() || !mine.Lease(vars) {
				switch {
				case !r.cache.Open():
					q.Cause = seen.Closed
				case q.Template.State.Load() != template.Refuted:
					q.Cause = seen.HeldOut
				}
				return
			}
		}
		if join = r.cache.Start(&mine.Flight, q.Refresh, q.Since, past); join != nil {
			return
		}
		if !q.Refresh {
			// Another flight may have come and gone since the key was not in memory.
			q.Hit = r.cache.Find(q.Key, r.config.now())
		}
		if !q.MayAnswer(q.Hit, stmt) {
			lead = mine
			return
		}
		// Readers who wait for this flight look into memory when it ends.
		mine.Left = true
		r.cache.Land(&mine.Flight)
	})
	return join, lead
}

// lead runs the query of a flight and stores its answer if the lease still lives.
func (r *reader) lead(db *gorm.DB, q *recognition.Query, f *template.Load, next func(*gorm.DB)) {
	// Also when the query panics: then one of those who wait leads the next, and the panic goes its
	// way.
	defer r.cache.Land(&f.Flight)
	why := r.miss(q)
	took := time.Duration(0)
	defer func() { r.lacked(db, q, cmp.Or(q.Cause, seen.Cause(f.Unkept), why), took) }()
	vars := q.Template.VarsOf(db.Statement)
	steady := r.steady(q, vars)
	// general says that the database answered as it would have answered anybody.
	general, answer := r.host.source.AskFor(f, db, q.Filled, next)
	took = f.Age()
	f.Ran(db.Statement.Context, db.Error)
	r.config.guard("keeping an answer", func() {
		if !r.keeps(db.Statement.Context, q) {
			if f.Unkept = cache.NotRepeated; general && template.Succeeded(db) {
				r.cache.Outdate(&f.Flight)
			}
			return
		}
		f.Entry.Pattern = r.accesses.patterns.Touch(q.Key, q.Now)
		f.Entry.Before = f.Entry.Pattern.Count() - 1
		if general && steady && r.steady(q, vars) {
			if answer != nil && r.life.mode() == ModeOn {
				f.AskFirst(db.Statement.Context, vars, took, func(tx *gorm.DB) bool { return r.log.Ask(tx, r.host.query) })
			}
			if stored := answer != nil && f.Fill(answer) && r.cache.Keep(&f.Flight); stored {
				r.remember(q, vars)
			} else if !stored && template.Succeeded(db) {
				r.cache.Outdate(&f.Flight)
			}
		}
		r.accesses.missed(db.Statement.Context, f.Entry, q.Now)
	})
}

// keeps reports whether the answer of a query is to be kept: where that was asked for, and where
// the queries of its shape are asked again now and then.
func (r *reader) keeps(ctx context.Context, q *recognition.Query) bool {
	keep, news := q.Template.Keep()
	if news {
		r.config.report(slog.LevelInfo, "preload: hardly any query of this shape is asked again, so that most of its answers are not kept; "+
			"is there a time among its values that could be rounded, or a random number?", template.Label(q.Template.Prefix))
	}
	return keep || q.Refresh || ctx.Value(warmKey{}) != nil
}

// steady reports whether the Valuers among the bind values of a query return the same now as when
// the key of the query was made.
func (r *reader) steady(q *recognition.Query, vars []any) (same bool) {
	if q.Said == 0 {
		return true
	}
	r.config.guard("asking values again", func() { same = args.Steady(vars, q.Said, r.host.pgx) })
	return same
}

// miss counts a read whose answer is not in memory, and returns why the last one left it.
func (r *reader) miss(q *recognition.Query) seen.Cause {
	q.Template.Tally.Misses.Add(1)
	if !r.cache.Open() {
		return seen.Closed
	}
	return r.cache.Past(q.Key)
}

// lacked notes why an answer was not in memory, and how long it took to ask for it.
func (r *reader) lacked(db *gorm.DB, q *recognition.Query, why seen.Cause, took time.Duration) {
	r.accesses.lacked(db.Statement.Context, q.Template.Tally, q.Template.Table, template.Label(q.Template.Prefix), why, max(0, db.RowsAffected), took)
}

// serve gives a reader its own copy of an answer; false where that failed, which the log tells.
func (r *reader) serve(db *gorm.DB, q *recognition.Query, e *cache.Entry) bool {
	switch {
	case q.Row:
		q.Template.PlayRow(db, e)
		return true
	case q.Rows:
		return q.Template.Play(db, e)
	}
	if err := q.Template.Serve(db, e, q.Filled); err != nil {
		r.config.fault("copying an answer", err, "of", template.Label(e.Key))
		return false
	}
	return true
}

// remember registers a loader for the query of a key that was just answered.
func (r *reader) remember(q *recognition.Query, vars []any) {
	if register := r.loader(q, vars); r.steady(q, vars) {
		register()
	}
}

// loader returns what registers a loader for the query of a key, which asks no values any more.
func (r *reader) loader(q *recognition.Query, vars []any) (register func()) {
	kept, ok := loading.Keep(vars)
	if !ok || !q.Reloadable {
		return func() {}
	}
	q.Template.LearnBinding(q.Key, vars)
	load, held := r.host.source.Again(q.Template, q.Key, kept)
	return func() { r.loaders.Register(q.Key, load, held) }
}
