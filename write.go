package preload

import (
	"database/sql"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/gormprivate"
	"github.com/gorm-preload/preload/internal/optin"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/shape"
	"gorm.io/gorm"
)

// writer announces what statements change before they do it, and finishes that when they are done.
type writer struct {
	*life
	config     *config
	log        *commit.Log
	footprints *footprint.Footprints
	catalog    *catalog.Catalog
	models     *optin.Models
	gate       *runner.Gate
}

// gated is a callback that goes through the gate.
func (w *writer) gated(callback func(*gorm.DB)) func(*gorm.DB) {
	return func(db *gorm.DB) {
		w.gate.Enter(db.Statement.Context)
		defer w.gate.Leave()
		callback(db)
	}
}

// unbracketed handles a write made by a callback that the application put in place of the plugin's.
// The plugin learns of such a write only after it ran, so that its tables are held out.
func (w *writer) unbracketed(loosely func(*gorm.Statement, bool) footprint.Write) func(*gorm.DB) {
	return func(db *gorm.DB) {
		w.log.Begin(db.Statement, w.changes(db, loosely), "", true, true).Done(commit.Ending{Err: db.Error, Unseen: true, Why: commit.Callback})
	}
}

func (w *writer) unbracketedRaw(db *gorm.DB) {
	w.log.RecognizeRaw(db.Statement, true).Done(commit.Ending{Err: db.Error, Unseen: true, Why: commit.Callback})
}

// bracket runs a raw statement, or one that is not known, between the announcement of what it may
// change and its finish.
func (w *writer) bracket(db *gorm.DB, next func(*gorm.DB), unseenEnd bool) {
	if o := observing(db.Statement); o != nil {
		o.Raw(db.Statement)
	}
	if db.Error != nil || db.DryRun {
		next(db)
		return
	}
	tok := w.log.RecognizeRaw(db.Statement, unseenEnd)
	if tok == nil {
		w.log.Ask(db, next)
		w.log.Ran(db.Statement.ConnPool, db.Error)
		return
	}
	e := commit.Ending{Err: commit.ErrUnknownOutcome, Unseen: unseenEnd, Why: commit.RawRows}
	defer func() {
		w.log.Reconsider(db.Statement, tok, e)
		if !unseenEnd || e.Err != nil || tok.Within.Load() != nil || !w.log.Watch(db.Statement, tok.Done) {
			tok.Done(e)
		}
		w.log.Ran(db.Statement.ConnPool, e.Err)
	}()
	commit.Accompanied(db, tok, next)
	e.Err = db.Error
	// One that failed at once has no rows, to be read later.
	if row, ok := db.Statement.Dest.(*sql.Row); ok && row != nil && e.Err == nil {
		e.Err = row.Err()
	}
	e.Unseen = unseenEnd && e.Err == nil
}

// unusual runs a query that GORM builds as if it were raw: what it does is read off its SQL.
func (w *writer) unusual(db *gorm.DB, next func(*gorm.DB), completed, unseenEnd bool) {
	if db.Error == nil && !db.DryRun {
		if !completed {
			shape.CompleteByGORM(db)
		}
		shape.Render(db)
	}
	w.bracket(db, next, unseenEnd)
}

func (w *writer) aroundRaw(next func(*gorm.DB)) func(*gorm.DB) {
	next = w.gated(next)
	return func(db *gorm.DB) {
		if !w.active() || w.log.Refuses(db) {
			next(db)
			return
		}
		w.bracket(db, next, false)
	}
}

// aroundWrite announces and finishes what a create, an update or a delete changes: exactly, where
// GORM's own callback runs it; else loosely, by what the statement shows before.
func (w *writer) aroundWrite(exactly, loosely func(*gorm.Statement, bool) footprint.Write) func(func(*gorm.DB)) func(*gorm.DB) {
	return func(next func(*gorm.DB)) func(*gorm.DB) {
		own := gormprivate.OwnCallback(next)
		next = w.gated(next)
		return func(db *gorm.DB) {
			if !w.active() || w.log.Refuses(db) || db.Error != nil || db.DryRun {
				next(db)
				if o := observing(db.Statement); o != nil && db.Error == nil && db.Statement.SQL.Len() > 0 {
					by := loosely
					if own {
						by = exactly
					}
					o.Write(db.Statement, w.changes(db, by))
				}
				return
			}
			if db.Statement.SQL.Len() > 0 {
				w.bracket(db, next, false) // somebody else has built it, and GORM sends it as it is
				return
			}
			conn := db.Statement.ConnPool
			// outcome is what the application is told of the statement. answer is what the server
			// said of the write, which a hook that fails does not change.
			outcome, answer := commit.ErrUnknownOutcome, commit.ErrUnknownOutcome
			var tok *commit.Token
			defer func() {
				w.log.Reconsider(db.Statement, tok, commit.Ending{Err: answer})
				tok.Done(commit.Ending{Err: answer})
				w.log.Ran(conn, outcome)
			}()
			var seen *commit.Witness
			if own {
				seen = commit.Attend(db.Statement)
				defer seen.Leave()
				seen.Before = func() *commit.Token {
					said, write := w.log.Said(db.Statement), w.changes(db, exactly)
					tok = w.log.Begin(db.Statement, write, db.Statement.SQL.String(), false, false)
					tok.Heard(said, write.Changes)
					return tok
				}
				next(db)
			} else {
				tok = w.log.Begin(db.Statement, w.changes(db, loosely), "", false, false)
				commit.Accompanied(db, tok, next)
			}
			outcome, answer = db.Error, db.Error
			if own && db.Error == nil {
				w.log.Returned(db.Statement, tok, db.RowsAffected)
			}
			if own && seen.Answered {
				answer = seen.Err
			}
		}
	}
}

// changes finds out what a statement changes.
func (w *writer) changes(db *gorm.DB, by func(*gorm.Statement, bool) footprint.Write) (write footprint.Write) {
	defer func() {
		if fault := recover(); fault != nil {
			w.config.fault("recognizing a write", fault)
			write = footprint.Everything()
		}
	}()
	if db.Statement.Schema != nil {
		w.models.Of(db.Statement.Schema)
	} else {
		w.catalog.Update()
	}
	return by(db.Statement, observing(db.Statement) != nil)
}
