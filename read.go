package preload

import (
	"cmp"
	"maps"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// reader answers queries.
type reader struct {
	config   *config
	life     *life
	host     *host
	keys     *keys
	accesses *accesses
	log      *commit.Log
	cache    *cache.Cache
	registry *registry
	stats    *counters
	writes   *writer
}

// aroundQuery serves reads.
func (r *reader) aroundQuery(next func(*gorm.DB)) func(*gorm.DB) {
	r.host.query = next
	next = r.writes.gated(next)
	return func(db *gorm.DB) {
		switch o := observing(db.Statement); {
		case !r.life.active() || r.log.Refuses(db):
			next(db)
		case db.Statement.SQL.Len() > 0:
			inherit(db.Statement)
			if o == nil {
				r.stats.bypass(ReasonRaw)
			}
			r.writes.bracket(db, next, false)
		case o != nil:
			q, reason := r.keys.recognize(db, o)
			o.query(db, &q, reason, r.render(db, &q, next))
		default:
			r.read(db, next)
		}
	}
}

// read answers a query that GORM builds: from memory, from the one load that all readers share who
// ask for the same, or, for what does not qualify, from the database alone.
func (r *reader) read(db *gorm.DB, next func(*gorm.DB)) {
	q, reason := r.keys.recognize(db, nil)
	switch {
	case q.hit != nil && r.serve(db, q.template, q.hit):
		if r.host.chain.Others() {
			shape.Settle(db.Statement)
		}
		r.accesses.hit(db.Statement.Context, q.hit, q.template.Tally, q.now)
	case q.hit != nil:
		r.pass(db, &q, ReasonFault, r.render(db, &q, next))
	case reason != "":
		r.pass(db, &q, reason, r.render(db, &q, next))
	default:
		r.answer(db, &q, r.render(db, &q, next))
	}
}

// aroundRow runs queries whose rows the application reads itself.
func (r *reader) aroundRow(next func(*gorm.DB)) func(*gorm.DB) {
	next = r.writes.gated(next)
	return func(db *gorm.DB) {
		if !r.life.active() || r.log.Refuses(db) {
			next(db)
			return
		}
		r.stats.bypass(ReasonRows)
		switch {
		case db.Statement.SQL.Len() > 0:
			r.writes.bracket(db, next, true)
		case shape.Unusual(db.Statement):
			r.writes.unusual(db, next, false, true)
		default:
			r.log.Ask(db, next)
			commit.Ran(db.Statement.ConnPool, db.Error)
		}
	}
}

// render renders a statement whose clauses are complete, and returns what runs it.
func (r *reader) render(db *gorm.DB, q *read, next func(*gorm.DB)) func(*gorm.DB) {
	inherit(db.Statement)
	if !q.complete {
		return next
	}
	shape.Render(db)
	return completed(db.Statement, next)
}

// pass has the database alone answer a query that does not qualify.
func (r *reader) pass(db *gorm.DB, q *read, reason Reason, next func(*gorm.DB)) {
	// GORM renders a subquery in DryRun, with logger.Discard. The query around the subquery is
	// counted, the subquery is not.
	if reason != ReasonDryRun || db.Logger != logger.Discard || r.host.db.Logger == logger.Discard {
		r.stats.bypass(reason)
	}
	if reason == ReasonNotPlain || shape.Unusual(db.Statement) {
		r.writes.unusual(db, next, q.complete, false)
		return
	}
	r.log.Ask(db, next)
	commit.Ran(db.Statement.ConnPool, db.Error)
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
func (r *reader) answer(db *gorm.DB, q *read, next func(*gorm.DB)) {
	var (
		w     cache.Waiter
		found *cache.Entry
	)
	for became := cache.Again; became == cache.Again && found == nil; {
		flight, lead := r.board(q, db.Statement, w.Past)
		if lead != nil {
			r.lead(db, q, lead, next)
			return
		}
		if flight == nil {
			found = q.hit
			break
		}
		if became = w.Wait(db.Statement.Context, flight); became == cache.Answered {
			found = flight.Entry
		} else if db.Statement.Context.Err() == nil { // otherwise the database tells it in its own words
			found = r.cache.Find(q.key, r.config.now())
		}
	}
	if mayAnswer(found, db.Statement) && r.serve(db, q.template, found) {
		r.accesses.hit(db.Statement.Context, found, q.template.Tally, q.now)
		return
	}
	r.miss(q)
	r.stats.cause(q.cause)
	r.log.Ask(db, next)
}

// board returns, for the reader of a key that is not in memory, the flight to wait for or the load
// to lead; neither where the answer could not be kept. q.hit is set where an answer came meanwhile.
// past is the flight that the reader waited for long enough.
func (r *reader) board(q *read, stmt *gorm.Statement, past *cache.Flight) (join *cache.Flight, lead *template.Load) {
	vars := stmt.Vars
	r.config.guard("boarding", func() {
		var self int64
		if q.template.Asks {
			self = cache.Goroutine()
			defer func() {
				// The goroutine that leads this flight asks for the same key while it scans: it
				// must not wait for itself.
				if join != nil && join.Leader.Load() == self {
					join = nil
				}
			}()
		}
		if !q.refresh {
			if join = r.cache.Join(q.key, past); join != nil {
				return
			}
		}
		mine := q.template.NewLoad(cache.NewEntry(q.key, q.template.Tally))
		mine.Leader.Store(self)
		if !mine.Lease(vars) {
			r.log.GiveUpRaw()
			if !r.log.SweepRows() || !mine.Lease(vars) {
				if q.template.State.Load() != template.Refuted {
					q.cause = CauseHeldOut
				}
				return
			}
		}
		if join = r.cache.Start(&mine.Flight, q.refresh, past); join != nil {
			return
		}
		if !q.refresh {
			// Another flight may have come and gone since the key was not in memory.
			q.hit = r.cache.Find(q.key, r.config.now())
		}
		if !mayAnswer(q.hit, stmt) {
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
func (r *reader) lead(db *gorm.DB, q *read, f *template.Load, next func(*gorm.DB)) {
	// Also when the query panics: then one of those who wait leads the next, and the panic goes its
	// way.
	defer r.cache.Land(&f.Flight)
	r.miss(q)
	vars := db.Statement.Vars
	steady := r.steady(q, vars)
	if rv := db.Statement.ReflectValue; q.holds {
		q.preset, _ = q.template.Image(rv)
		q.reloadable = q.reloadable && q.preset.IsValid()
	}
	// general says that the database answered as it would have answered anybody.
	general := r.host.source.Ask(db, q.template, next)
	f.Ran(db.Statement.Context, db.Error)
	r.config.guard("keeping an answer", func() {
		f.Entry.Pattern = r.accesses.patterns.Touch(q.key, q.now)
		f.Entry.Before = f.Entry.Pattern.Count() - 1
		if general && steady && r.steady(q, vars) {
			if stored := f.Fill(db) && r.cache.Keep(&f.Flight); stored && q.reloadable {
				r.remember(q, vars)
			} else if !stored && template.Succeeded(db) {
				r.cache.Outdate(&f.Flight)
			}
		}
		r.accesses.note(db.Statement.Context, f.Entry, q.now, false)
	})
	r.stats.cause(cmp.Or(q.cause, Cause(f.Unkept)))
}

// steady reports whether the Valuers among the bind values of a query return the same now as when
// the key of the query was made.
func (r *reader) steady(q *read, vars []any) (same bool) {
	if q.said == 0 {
		return true
	}
	r.config.guard("asking values again", func() { same = args.Steady(vars, q.said, r.host.pgx) })
	return same
}

func (r *reader) miss(q *read) {
	q.template.Tally.Misses.Add(1)
}

// serve gives a reader its own copy of an answer; false where that failed, which the log tells.
func (r *reader) serve(db *gorm.DB, t *template.Template, e *cache.Entry) bool {
	if err := t.Serve(db, e); err != nil {
		r.config.fault("copying an answer of "+template.Label(e.Key), err)
		return false
	}
	return true
}

// remember registers a loader for the query of a key that was just answered.
func (r *reader) remember(q *read, vars []any) {
	kept, ok := loading.Keep(vars)
	if !ok || !r.steady(q, vars) {
		return
	}
	if !q.holds {
		q.template.LearnBinding(q.key, vars)
	}
	load, held := r.host.source.Again(q.template, q.key, kept, q.preset)
	r.registry.register(q.key, load, held)
}
