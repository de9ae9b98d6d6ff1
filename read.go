package preload

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"time"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// aroundQuery serves reads.
func (p *Plugin) aroundQuery(next func(*gorm.DB)) func(*gorm.DB) {
	p.query = next
	next = p.gated(next)
	return func(db *gorm.DB) {
		switch o := observing(db.Statement); {
		case !p.active() || p.log.Refuses(db):
			next(db)
		case db.Statement.SQL.Len() > 0:
			inherit(db.Statement)
			if o == nil {
				p.stats.bypass(ReasonRaw)
			}
			p.around(db, next, false)
		case o != nil:
			q, reason := p.recognize(db, o)
			o.query(db, &q, reason, p.render(db, &q, next))
		default:
			p.read(db, next)
		}
	}
}

// read answers a query that GORM builds: from memory, from the one load that all readers share who
// ask for the same, or, for what does not qualify, from the database alone.
func (p *Plugin) read(db *gorm.DB, next func(*gorm.DB)) {
	q, reason := p.recognize(db, nil)
	switch {
	case q.hit != nil && p.serve(db, q.template, q.hit):
		if p.chain.Others() {
			shape.Settle(db.Statement)
		}
		p.hit(db.Statement.Context, q.hit, q.template.Tally, q.now)
	case q.hit != nil:
		p.pass(db, &q, ReasonFault, p.render(db, &q, next))
	case reason != "":
		p.pass(db, &q, reason, p.render(db, &q, next))
	default:
		p.answer(db, &q, p.render(db, &q, next))
	}
}

// render renders a statement whose clauses are complete, and returns what runs it.
func (p *Plugin) render(db *gorm.DB, q *read, next func(*gorm.DB)) func(*gorm.DB) {
	inherit(db.Statement)
	if !q.complete {
		return next
	}
	shape.Render(db)
	return completed(db.Statement, next)
}

// pass has the database alone answer a query that does not qualify.
func (p *Plugin) pass(db *gorm.DB, q *read, reason Reason, next func(*gorm.DB)) {
	// What GORM renders as a subquery, with a logger of its own, is part of a query that is counted
	// itself.
	if reason != ReasonDryRun || db.Logger != logger.Discard || p.db.Logger == logger.Discard {
		p.stats.bypass(reason)
	}
	if reason == ReasonNotPlain || shape.Unusual(db.Statement) {
		p.aroundUnusual(db, next, q.complete, false)
		return
	}
	p.log.Ask(db, next)
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
func (p *Plugin) answer(db *gorm.DB, q *read, next func(*gorm.DB)) {
	var (
		w     cache.Waiter
		found *cache.Entry
	)
	for became := cache.Again; became == cache.Again && found == nil; {
		flight, lead := p.board(q, db.Statement, w.Past)
		if lead != nil {
			p.lead(db, q, lead, next)
			return
		}
		if flight == nil {
			found = q.hit
			break
		}
		if became = w.Wait(db.Statement.Context, flight); became == cache.Answered {
			found = flight.Entry
		} else if db.Statement.Context.Err() == nil { // otherwise the database tells it in its own words
			found = p.cache.Find(q.key, p.now())
		}
	}
	if mayAnswer(found, db.Statement) && p.serve(db, q.template, found) {
		p.hit(db.Statement.Context, found, q.template.Tally, q.now)
		return
	}
	p.miss(q)
	p.stats.cause(q.cause)
	p.log.Ask(db, next)
}

// mayAnswer reports whether an entry may answer a statement. One without rows does not answer
// FirstOrCreate: it would create what another process created since, and all who waited for one
// query would create at once what they did not find.
func mayAnswer(e *cache.Entry, stmt *gorm.Statement) bool {
	return e != nil && (e.Rows > 0 || !orCreates(stmt))
}

// orCreates reports whether a query is of the form in which FirstOrCreate and FirstOrInit look for
// a row: Find into one thing, with a limit of one, and ordered by the primary key in the end.
func orCreates(stmt *gorm.Statement) bool {
	if stmt.RaiseErrorOnNotFound || stmt.ReflectValue.Kind() == reflect.Slice {
		return false
	}
	limit, ok := stmt.Clauses["LIMIT"].Expression.(clause.Limit)
	if !ok || limit.Limit == nil || *limit.Limit != 1 {
		return false
	}
	order, ok := stmt.Clauses["ORDER BY"].Expression.(clause.OrderBy)
	if !ok || len(order.Columns) == 0 {
		return false
	}
	last := order.Columns[len(order.Columns)-1]
	return !last.Desc && last.Column == clause.Column{Table: clause.CurrentTable, Name: clause.PrimaryKey}
}

// board gets the reader of a key that is not in memory onto a flight: as its leader, as one who
// waits, or, where the answer could not be kept, onto none. past is the flight that the reader
// waited for long enough.
func (p *Plugin) board(q *read, stmt *gorm.Statement, past *cache.Flight) (join *cache.Flight, lead *template.Load) {
	vars := stmt.Vars
	p.guard("boarding", func() {
		var self int64
		if q.template.Asks {
			self = cache.Goroutine()
			defer func() {
				if join != nil && join.Leader.Load() == self {
					join = nil
				}
			}()
		}
		if !q.refresh {
			if join = p.cache.Join(q.key, past); join != nil {
				return
			}
		}
		mine := q.template.NewLoad(cache.NewEntry(q.key, q.template.Tally))
		mine.Leader.Store(self)
		if !mine.Lease(vars) {
			p.log.GiveUpRaw()
			if !p.log.SweepRows() || !mine.Lease(vars) {
				if q.template.State.Load() != template.Refuted {
					q.cause = CauseHeldOut
				}
				return
			}
		}
		if join = p.cache.Start(&mine.Flight, q.refresh, past); join != nil {
			return
		}
		if !q.refresh {
			// Another flight may have come and gone since the key was not in memory.
			q.hit = p.cache.Find(q.key, p.now())
		}
		if !mayAnswer(q.hit, stmt) {
			lead = mine
			return
		}
		// Those who wait for this one look, too.
		mine.Left = true
		p.cache.Land(&mine.Flight)
	})
	return join, lead
}

// lead runs the query of a flight and stores its answer if the lease still lives.
func (p *Plugin) lead(db *gorm.DB, q *read, f *template.Load, next func(*gorm.DB)) {
	// Also when the query panics: then one of those who wait leads the next, and the panic goes its
	// way.
	defer p.cache.Land(&f.Flight)
	p.miss(q)
	vars := db.Statement.Vars
	steady := p.steady(q, vars)
	if rv := db.Statement.ReflectValue; q.holds {
		q.preset, _ = q.template.Image(rv)
		q.reloadable = q.reloadable && q.preset.IsValid()
	}
	general := p.source.Ask(db, q.template, next)
	f.Ran(db.Statement.Context, db.Error)
	p.guard("keeping an answer", func() {
		f.Entry.Pattern = p.patterns.Touch(q.key, q.now)
		f.Entry.Before = f.Entry.Pattern.Count() - 1
		if general && steady && p.steady(q, vars) {
			if stored := f.Fill(db) && p.cache.Keep(&f.Flight); stored && q.reloadable {
				p.remember(q, vars)
			} else if !stored && template.Succeeded(db) {
				p.cache.Outdate(&f.Flight)
			}
		}
		p.note(db.Statement.Context, f.Entry, q.now, false)
	})
	p.stats.cause(cmp.Or(q.cause, Cause(f.Unkept)))
}

// steady reports whether the Valuers among the bind values of a query still say what they said for
// its key.
func (p *Plugin) steady(q *read, vars []any) (same bool) {
	if q.said == 0 {
		return true
	}
	p.guard("asking values again", func() { same = args.Steady(vars, q.said, p.pgx) })
	return same
}

// hit notes that an entry was read. stats are the entry's, which the caller has at hand.
func (p *Plugin) hit(ctx context.Context, e *cache.Entry, stats *cache.Tally, now time.Time) {
	p.cache.Hit(e, stats)
	if e.Pattern != nil {
		p.patterns.Record(e.Pattern, now)
	} else {
		p.patterns.Touch(p.publicKey(e), now)
	}
	p.note(ctx, e, now, true)
	if e.Due(now) {
		p.worker.reload(e)
	}
}

func (p *Plugin) miss(q *read) {
	q.template.Tally.Misses.Add(1)
}

// serve gives a reader its own copy of an answer; false where that failed, which the log tells.
func (p *Plugin) serve(db *gorm.DB, t *template.Template, e *cache.Entry) bool {
	if err := t.Serve(db, e); err != nil {
		p.fault("copying an answer of "+template.Label(e.Key), err)
		return false
	}
	return true
}
