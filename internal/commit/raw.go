package commit

import (
	"context"
	"database/sql"
	"log/slog"

	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
)

// RecognizeRaw is rawStatement. Where a fault keeps it from being recognized what a statement
// changes, that may be anything.
func (l *Log) RecognizeRaw(stmt *gorm.Statement, lazily bool) (tok *Token) {
	if !failopen.Guard(l.Report, "recognizing a raw statement", func() { tok = l.rawStatement(stmt, lazily) }) {
		return l.Begin(stmt, footprint.Everything(), stmt.SQL.String(), true, lazily)
	}
	return tok
}

// rawStatement is begin for a statement that is given as SQL; it returns nil for one of which
// nobody has to be told.
func (l *Log) rawStatement(stmt *gorm.Statement, lazily bool) *Token {
	query := stmt.SQL.String()
	meaning := l.Footprints.Meaning(query)
	l.leaves(meaning)
	at, wrapper := Reach(stmt.ConnPool)
	tx, _ := at.(*transaction)
	if tx != nil && (tx.pool.log != l || wrapper != "") {
		tx = nil
	}
	if tx != nil {
		tx.does(meaning.Within)
	}
	if meaning.Inside && (tx != nil || wrapper == "" && isSQLTx(at)) {
		return nil
	}
	if meaning.Stays && meaning.Kind == sqltext.Everything && (tx != nil || wrapper == "" && isSQLTx(at)) {
		return l.Begin(stmt, footprint.Everything(), query, false, lazily)
	}
	_, direct := at.(*Pool)
	if conn, ok := at.(*sql.DB); ok {
		direct = l.sees(conn)
	}
	switch meaning.Kind {
	case sqltext.Read:
		return nil
	case sqltext.Write:
		// The models that GORM has met meanwhile, in a migration say, may lead from these tables to
		// others.
		l.Catalog.Update()
		said, w := l.Said(stmt), l.Footprints.Raw(stmt, false)
		tok := l.Begin(stmt, w, query, false, lazily)
		tok.Heard(said, w.Changes)
		return tok
	case sqltext.Savepoint, sqltext.RollbackTo, sqltext.Release:
		if tx != nil {
			pointed := tx.held.point(meaning.Kind, meaning.Name)
			return &Token{log: l, query: query, known: true, held: &tx.held, after: func(e Ending) { pointed(e.Err) }}
		}
		if tok := l.rawSavepoint(stmt, query, meaning, direct); tok != nil {
			return tok
		}
		return l.aside(stmt, query, lazily)
	case sqltext.Begin:
		if direct {
			l.beginRaw()
			return &Token{log: l, known: true, after: func(e Ending) {
				if e.Err != nil {
					l.endRaw(false, Ending{})
				}
			}}
		}
		return l.aside(stmt, query, lazily)
	case sqltext.Commit, sqltext.Rollback:
		if direct && l.raw.open() {
			return &Token{log: l, known: true, after: func(e Ending) { l.endRaw(false, e) }}
		}
	}
	if direct && meaning.Open {
		l.beginRaw() // even if it fails: the transaction may have begun before that
	}
	if tx != nil {
		// It may have ended the transaction, and so made visible all that is held, which everything
		// covers.
		tx.held.lose()
	}
	return l.Begin(stmt, footprint.Everything(), query, true, lazily)
}

// isSQLTx reports whether a connection is a transaction of database/sql.
func isSQLTx(conn any) bool {
	_, ok := conn.(*sql.Tx)
	return ok
}

// aside is begin for a statement that makes nothing visible by itself, but after which nothing is
// known of its connection, if nobody of the plugin's saw it.
func (l *Log) aside(stmt *gorm.Statement, query string, lazily bool) *Token {
	switch at, _ := Reach(stmt.ConnPool); at := at.(type) {
	case *Pool:
		tok := l.Begin(stmt, footprint.Everything(), query, true, lazily)
		tok.unseen = true
		return tok
	case *sql.DB:
		if l.sees(at) {
			return nil
		}
	}
	return &Token{log: l, query: query, write: footprint.Everything(), ends: true}
}

// rawSavepoint is rawStatement for a savepoint outside of any transaction that is known. In SQLite
// it begins one, which its release ends. It returns nil for another one.
func (l *Log) rawSavepoint(stmt *gorm.Statement, query string, meaning sqltext.Statement, direct bool) *Token {
	switch {
	case direct && meaning.Kind == sqltext.Savepoint && stmt.Dialector.Name() == "sqlite" && !l.raw.open():
		l.beginRaw()
		l.raw.beganBy(meaning.Name, true)
		return &Token{log: l, known: true, after: func(e Ending) {
			if e.Err != nil {
				l.endRaw(false, Ending{})
			}
		}}
	case direct && meaning.Kind == sqltext.Release && l.raw.beganBy(meaning.Name, false):
		return &Token{log: l, known: true, after: func(e Ending) {
			if e.Err == nil {
				l.endRaw(false, e)
			}
		}}
	}
	return nil
}

func (l *Log) beginRaw() {
	if spare := l.raw.begin(l.Now(), l.everything()); spare != nil {
		spare(Hold{})
	}
}

// everything announces that anything may change, of which nothing is loaded again at once.
func (l *Log) everything() (finish func(Hold)) {
	announced, told, _ := l.announced([]footprint.Write{footprint.Everything()}, false)
	end, err := l.tell(context.Background(), told, "")
	l.goesOn(err)
	return func(hold Hold) {
		l.redefined()
		end(hold)
		l.Index.Finish(announced, hold.For)
		l.keepOut(told, hold)
	}
}

// endRaw ends a transaction that was begun as a statement, or all if they are overdue. e is how the
// statement returned that ended it.
func (l *Log) endRaw(overdue bool, e Ending) {
	if held := l.raw.end(overdue); held != nil {
		e.commit, e.Unseen, e.Why = true, true, RawTransaction // it may have gone to another connection
		held(l.holdAfter(e))
	}
}

// GiveUpRaw ends transactions that were begun as statements and have not ended for long.
func (l *Log) GiveUpRaw() {
	if l.raw.overdue(l.Now(), RawLimit*l.HoldOut) {
		l.Report(slog.LevelWarn, "preload: a transaction that was begun by a statement has not ended; it is not waited for any longer", "")
		l.endRaw(true, Ending{})
	}
}
