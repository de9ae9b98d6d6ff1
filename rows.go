package preload

import (
	"cmp"

	"github.com/gorm-preload/preload/internal/gormprivate"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/recognition"
	"github.com/gorm-preload/preload/internal/replay"
	"github.com/gorm-preload/preload/internal/seen"
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
		to := recognition.Dest{Rows: true, Row: !all, Raw: db.Statement.SQL.Len() > 0}
		if o := observing(db.Statement); o != nil {
			r.observeRows(db, o, to, own, next)
			return
		}
		if (all || own) && (to.Raw || !shape.Unusual(db.Statement)) {
			r.rows(db, to, next)
			return
		}
		r.bypass(db, ReasonRows, func() {
			switch {
			case to.Raw:
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
func (r *reader) observeRows(db *gorm.DB, o observer, to recognition.Dest, own bool, next func(*gorm.DB)) {
	if !to.Raw && shape.Unusual(db.Statement) {
		r.writes.unusual(db, next, false, true)
	} else {
		q, reason := r.recognize(db, o, to)
		if reason == "" && to.Row && !own {
			reason = ReasonRows
		}
		r.tell(db, o, &q, reason, r.render(db, &q, next))
	}
	if db.Error != nil {
		return
	}
	if to.Row {
		db.Statement.Dest = replay.Row(db.Statement.Context, replay.Nothing())
	} else if rows, err := replay.Rows(db.Statement.Context, replay.Nothing()); err == nil {
		db.Statement.Dest = rows
	}
}

// rows gives the application the rows of a query to read, or the first of them: from memory, from a
// load that is under way, or from the database; those that it reads to their end are kept.
func (r *reader) rows(db *gorm.DB, to recognition.Dest, next func(*gorm.DB)) {
	mode := r.life.mode()
	if mode == ModeOff {
		r.pass(db, &recognition.Query{Dest: to}, off(db), next)
		return
	}
	sound := db.Error == nil
	q, why := r.keys.Recognize(db, to, false, nil)
	reason := Reason(why)
	next = r.render(db, &q, next) // also where it is answered from memory: Scan tells its logger of it
	if db.Error != nil && sound && to.Row {
		// GORM returns no row of a statement that failed, which nobody expects who scans it at
		// once.
		db.Statement.Dest = replay.Failed(db.Statement.Context, db.Error)
	}
	switch {
	case q.Hit != nil && mode == ModeShadow:
		r.shadowRows(db, &q, next)
	case q.Hit != nil && r.serve(db, &q, q.Hit):
		r.accesses.hit(db.Statement.Context, q.Hit, q.Template.Tally, q.Now)
	case q.Hit != nil:
		r.pass(db, &q, ReasonFault, next)
	case reason != "":
		r.pass(db, &q, reason, next)
	case q.View != nil:
		r.pass(db, &q, ReasonRows, next)
	default:
		r.answer(db, &q, next)
	}
}

// shadowRows has the database answer a query whose rows the application reads itself and whose
// answer is in memory, and compares the two once the rows were read to their end.
func (r *reader) shadowRows(db *gorm.DB, q *recognition.Query, next func(*gorm.DB)) {
	ctx, t, e := db.Statement.Context, q.Template, q.Hit
	r.host.source.Watch(t, db, q.Row, func(recording *replay.Recording, err error) {
		r.config.guard("comparing rows", func() { r.verifier.Compared(ctx, t, e, loading.Check{Recording: recording, General: true, Err: err}) })
	}, next)
	r.accesses.hit(ctx, e, t.Tally, q.Now)
}

// promptly reports whether who asks reads all rows at once, as Scan does, so that others may wait
// for it: an application that reads rows itself may take any time, and Scan into a single struct
// leaves the other rows unread.
func (r *reader) promptly(q *recognition.Query, stmt *gorm.Statement) bool {
	return gormprivate.Scans(stmt.DB) && !q.Template.Partial.Load()
}

// leadRows runs the query of a flight whose rows the application reads itself. The flight ends with
// the rows.
func (r *reader) leadRows(db *gorm.DB, q *recognition.Query, f *template.Load, next func(*gorm.DB)) {
	why := r.miss(q)
	defer func() { r.lacked(db, q, cmp.Or(q.Cause, why), f.Age()) }()
	vars := q.Template.VarsOf(db.Statement)
	keeps := r.keeps(db.Statement.Context, q)
	if !keeps {
		q.Cause = cmp.Or(q.Cause, seen.NotRepeated)
	}
	if !keeps || !r.steady(q, vars) {
		defer r.cache.Land(&f.Flight)
		r.log.Ask(db, next)
		f.Ran(db.Statement.Context, db.Error)
		return
	}
	if q.Refresh {
		r.cache.Outdate(&f.Flight) // the application sees the first rows before the answer is kept
	}
	f.Entry.Pattern = r.accesses.patterns.Touch(q.Key, q.Now)
	f.Entry.Before = f.Entry.Pattern.Count() - 1
	register := r.loader(q, vars)
	ctx := db.Statement.Context
	run := r.host.source.Rows
	if q.Row {
		run = r.host.source.Row
	}
	run(f, db, func() bool { return r.steady(q, vars) }, func() {
		register()
		r.accesses.missed(ctx, f.Entry, q.Now) // the learner looks into the entry, which is filled by now
	}, next)
}
