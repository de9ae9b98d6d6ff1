package preload

import (
	"database/sql"

	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/gormprivate"
	"github.com/gorm-preload/preload/internal/shape"
	"gorm.io/gorm"
)

// unbracketed kills, and holds out, what was changed by a write that the plugin's callback was not
// around.
func (p *Plugin) unbracketed(loosely func(*gorm.Statement, bool) footprint.Write) func(*gorm.DB) {
	return func(db *gorm.DB) {
		p.log.Begin(db.Statement, p.recognizeWrite(db, loosely), "", true, true).Done(commit.Ending{Err: db.Error, Unseen: true})
	}
}

func (p *Plugin) unbracketedRaw(db *gorm.DB) {
	p.log.RecognizeRaw(db.Statement, true).Done(commit.Ending{Err: db.Error, Unseen: true})
}

// around runs a raw statement, or one that is not known, between the announcement of what it may
// change and its finish.
func (p *Plugin) around(db *gorm.DB, next func(*gorm.DB), unseenEnd bool) {
	if o := observing(db.Statement); o != nil {
		o.raw(db.Statement)
	}
	if db.Error != nil || db.DryRun {
		next(db)
		return
	}
	tok := p.log.RecognizeRaw(db.Statement, unseenEnd)
	if tok == nil {
		next(db)
		commit.Ran(db.Statement.ConnPool, db.Error)
		return
	}
	e := commit.Ending{Err: commit.ErrUnknownOutcome, Unseen: unseenEnd}
	defer func() {
		p.log.Reconsider(db.Statement, tok, e)
		if !unseenEnd || e.Err != nil || tok.Within.Load() != nil || !p.log.Watch(db.Statement, tok.Done) {
			tok.Done(e)
		}
		commit.Ran(db.Statement.ConnPool, e.Err)
	}()
	commit.Accompanied(db, tok, next)
	e.Err = db.Error
	// One that failed at once has no rows, to be read later.
	if row, ok := db.Statement.Dest.(*sql.Row); ok && row != nil && e.Err == nil {
		e.Err = row.Err()
	}
	e.Unseen = unseenEnd && e.Err == nil
}

// aroundUnusual runs a query that GORM builds as if it were raw: what it does is read off its SQL.
func (p *Plugin) aroundUnusual(db *gorm.DB, next func(*gorm.DB), completed, unseenEnd bool) {
	if db.Error == nil && !db.DryRun {
		if !completed {
			shape.CompleteByGORM(db)
		}
		shape.Render(db)
	}
	p.around(db, next, unseenEnd)
}

func (p *Plugin) aroundRaw(next func(*gorm.DB)) func(*gorm.DB) {
	next = p.gated(next)
	return func(db *gorm.DB) {
		if !p.active() || p.log.Refuses(db) {
			next(db)
			return
		}
		p.around(db, next, false)
	}
}

func (p *Plugin) aroundRow(next func(*gorm.DB)) func(*gorm.DB) {
	next = p.gated(next)
	return func(db *gorm.DB) {
		if !p.active() || p.log.Refuses(db) {
			next(db)
			return
		}
		p.stats.bypass(ReasonRows)
		switch {
		case db.Statement.SQL.Len() > 0:
			p.around(db, next, true)
		case shape.Unusual(db.Statement):
			p.aroundUnusual(db, next, false, true)
		default:
			p.log.Ask(db, next)
			commit.Ran(db.Statement.ConnPool, db.Error)
		}
	}
}

// aroundWrite announces and finishes what a create, an update or a delete changes: exactly, where
// GORM's own callback runs it; else loosely, by what the statement shows before.
func (p *Plugin) aroundWrite(exactly, loosely func(*gorm.Statement, bool) footprint.Write) func(func(*gorm.DB)) func(*gorm.DB) {
	return func(next func(*gorm.DB)) func(*gorm.DB) {
		own := gormprivate.OwnCallback(next)
		next = p.gated(next)
		return func(db *gorm.DB) {
			if !p.active() || p.log.Refuses(db) || db.Error != nil || db.DryRun {
				next(db)
				if o := observing(db.Statement); o != nil && db.Error == nil && db.Statement.SQL.Len() > 0 {
					by := loosely
					if own {
						by = exactly
					}
					o.write(db.Statement, p.recognizeWrite(db, by))
				}
				return
			}
			conn := db.Statement.ConnPool
			outcome, answer := commit.ErrUnknownOutcome, commit.ErrUnknownOutcome
			var tok *commit.Token
			defer func() {
				p.log.Reconsider(db.Statement, tok, commit.Ending{Err: answer})
				tok.Done(commit.Ending{Err: answer})
				commit.Ran(conn, outcome)
			}()
			var w *commit.Witness
			if own {
				w = commit.Attend(db.Statement)
				defer w.Leave()
				w.Before = func() *commit.Token {
					said, w := p.log.Said(db.Statement), p.recognizeWrite(db, exactly)
					tok = p.log.Begin(db.Statement, w, db.Statement.SQL.String(), false, false)
					tok.Heard(said, w.Changes)
					return tok
				}
				next(db)
			} else {
				tok = p.log.Begin(db.Statement, p.recognizeWrite(db, loosely), "", false, false)
				commit.Accompanied(db, tok, next)
			}
			outcome, answer = db.Error, db.Error
			if own && w.Answered {
				answer = w.Err
			}
		}
	}
}

// recognizeWrite finds out what a statement changes.
func (p *Plugin) recognizeWrite(db *gorm.DB, by func(*gorm.Statement, bool) footprint.Write) (w footprint.Write) {
	defer func() {
		if fault := recover(); fault != nil {
			p.fault("recognizing a write", fault)
			w = footprint.Everything()
		}
	}()
	if db.Statement.Schema != nil {
		p.models.of(db.Statement.Schema)
	} else {
		p.catalog.Update()
	}
	return by(db.Statement, observing(db.Statement) != nil)
}
