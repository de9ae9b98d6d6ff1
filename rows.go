package preload

import (
	"cmp"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/gormprivate"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/replay"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// aroundRow runs queries whose rows the application, or GORM's Scan, reads itself.
func (r *reader) aroundRow(next func(*gorm.DB)) func(*gorm.DB) {
	r.host.rows = next
	own := gormprivate.OwnCallback(next)
	next = r.writes.gated(next)
	return func(db *gorm.DB) {
		if !r.life.active() || r.log.Refuses(db) {
			next(db)
			return
		}
		rows, _ := db.Get("rows")
		all, _ := rows.(bool)
		to := dest{rows: true, row: !all, raw: db.Statement.SQL.Len() > 0}
		if o := observing(db.Statement); o != nil {
			r.observeRows(db, o, to, own, next)
			return
		}
		if (all || own) && (to.raw || !shape.Unusual(db.Statement)) {
			r.rows(db, to, next)
			return
		}
		r.bypass(db, ReasonRows, func() {
			switch {
			case to.raw:
				r.writes.bracket(db, next, true)
			case shape.Unusual(db.Statement):
				r.writes.unusual(db, next, false, true)
			default:
				r.ask(db, next)
			}
			r.log.Opened(db.Statement)
		})
	}
}

// observeRows shows an observer a query whose rows are read, all or one, and gives the application
// none: without any it would take the statement for one that failed. own says that GORM's own
// callback reads a single row.
func (r *reader) observeRows(db *gorm.DB, o observer, to dest, own bool, next func(*gorm.DB)) {
	if !to.raw && shape.Unusual(db.Statement) {
		r.writes.unusual(db, next, false, true)
	} else {
		q, reason := r.keys.recognize(db, o, to)
		if reason == "" && to.row && !own {
			reason = ReasonRows
		}
		r.tell(db, o, &q, reason, r.render(db, &q, next))
	}
	if db.Error != nil {
		return
	}
	if to.row {
		db.Statement.Dest = replay.Row(db.Statement.Context, replay.Nothing())
	} else if rows, err := replay.Rows(db.Statement.Context, replay.Nothing()); err == nil {
		db.Statement.Dest = rows
	}
}

// rows gives the application the rows of a query to read, or the first of them: from memory, from a
// load that is under way, or from the database; those that it reads to their end are kept.
func (r *reader) rows(db *gorm.DB, to dest, next func(*gorm.DB)) {
	mode := r.life.mode()
	if mode == ModeOff {
		r.pass(db, &read{dest: to}, off(db), next)
		return
	}
	sound := db.Error == nil
	q, reason := r.keys.recognize(db, nil, to)
	next = r.render(db, &q, next) // also where it is answered from memory: Scan tells its logger of it
	if db.Error != nil && sound && to.row {
		// GORM returns no row of a statement that failed, which nobody expects who scans it at
		// once.
		db.Statement.Dest = replay.Failed(db.Statement.Context, db.Error)
	}
	switch {
	case q.hit != nil && mode == ModeShadow:
		r.shadowRows(db, &q, next)
	case q.hit != nil && r.serve(db, &q, q.hit):
		r.accesses.hit(db.Statement.Context, q.hit, q.template.Tally, q.now)
	case q.hit != nil:
		r.pass(db, &q, ReasonFault, next)
	case reason != "":
		r.pass(db, &q, reason, next)
	case q.view != nil:
		r.pass(db, &q, ReasonRows, next)
	default:
		r.answer(db, &q, next)
	}
}

// shadowRows has the database answer a query whose rows the application reads itself and whose
// answer is in memory, and compares the two once the rows were read to their end.
func (r *reader) shadowRows(db *gorm.DB, q *read, next func(*gorm.DB)) {
	ctx, t, e := db.Statement.Context, q.template, q.hit
	r.host.source.Watch(t, db, q.row, func(recording *replay.Recording, err error) {
		r.config.guard("comparing rows", func() { r.compared(ctx, t, e, loading.Check{Recording: recording, General: true}, err) })
	}, next)
	r.accesses.hit(ctx, e, t.Tally, q.now)
}

// promptly reports whether who asks reads all rows at once, as Scan does, so that others may wait
// for it: an application that reads rows itself may take any time, and Scan into a single struct
// leaves the other rows unread.
func (r *reader) promptly(q *read, stmt *gorm.Statement) bool {
	return gormprivate.Scans(stmt.DB) && !q.template.Partial.Load()
}

// leadRows runs the query of a flight whose rows the application reads itself. The flight ends with
// the rows.
func (r *reader) leadRows(db *gorm.DB, q *read, f *template.Load, next func(*gorm.DB)) {
	why := r.miss(q)
	defer func() { r.lacked(db, q, cmp.Or(q.cause, why), f.Age()) }()
	vars := db.Statement.Vars
	keeps := r.keeps(db.Statement.Context, q)
	if !keeps {
		q.cause = cmp.Or(q.cause, Cause(cache.NotRepeated))
	}
	if !keeps || !r.steady(q, vars) {
		defer r.cache.Land(&f.Flight)
		r.log.Ask(db, next)
		f.Ran(db.Statement.Context, db.Error)
		return
	}
	if q.refresh {
		r.cache.Outdate(&f.Flight) // the application sees the first rows before the answer is kept
	}
	f.Entry.Pattern = r.accesses.patterns.Touch(q.key, q.now)
	f.Entry.Before = f.Entry.Pattern.Count() - 1
	register := r.loader(q, vars)
	ctx := db.Statement.Context
	run := r.host.source.Rows
	if q.row {
		run = r.host.source.Row
	}
	run(f, db, func() bool { return r.steady(q, vars) }, func() {
		register()
		r.accesses.missed(ctx, f.Entry, q.now) // the learner looks into the entry, which is filled by now
	}, next)
}
