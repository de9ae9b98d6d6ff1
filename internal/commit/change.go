package commit

import (
	"context"
	"database/sql"
	"errors"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/footprint"
	"gorm.io/gorm"
)

// ErrUnknownOutcome is how a call ended that did not return.
var ErrUnknownOutcome = errors.New("preload: the outcome of a write is not known")

// Begin is called before a statement makes changes. The token goes with the statement, and is told
// of its end. lazily says that the statement may run after it returned, ends that it may end a
// transaction.
//
// What is written in a transaction of database/sql is not visible yet when its statement returns.
// So it is announced after that, if nobody said that it is held; unless the statement may end the
// transaction itself.
//
// A statement that neither runs later nor may end a transaction goes by way of a Witness or of
// Accompanied, which do not send it if its context ended before others were told.
func (l *Log) Begin(stmt *gorm.Statement, w footprint.Write, query string, ends, lazily bool) *Token {
	return l.begin(stmt, w, query, ends, lazily, !ends && !lazily)
}

// begin is Begin. unsent says that the statement is not sent if its token is refused.
func (l *Log) begin(stmt *gorm.Statement, w footprint.Write, query string, ends, lazily, unsent bool) *Token {
	if len(w.Changes) == 0 {
		return nil
	}
	tok := &Token{log: l, query: query, lazily: lazily, ends: ends}
	tok.late = stmt.Context.Err() // database/sql sends nothing for a context that is done already
	at, wrapper := Reach(stmt.ConnPool)
	pool := at
	switch at := at.(type) {
	case *transaction:
		if wrapper == "" && at.pool.log == l {
			tok.known, tok.held, tok.after = true, &at.held, at.held.write(w, lazily)
			return tok
		}
	case *Pool:
		pool, tok.known = at.ConnPool, wrapper == ""
	case *sql.DB:
		seen := l.sees(at)
		tok.known, tok.seen = wrapper == "" && !seen, wrapper == "" && seen && query != ""
	case *sql.Tx:
		if tok.tx = at; wrapper != "" {
			tok.tx = nil
		}
		if tok.write = w; !ends {
			return tok
		}
	}
	tok.write = w
	tok.unseen = tok.known && l.raw.open()
	ctx := context.Background()
	if _, heeds := pool.(*sql.DB); heeds && unsent {
		ctx = stmt.Context // without which it would send nothing either
		if (tok.known && !tok.unseen || tok.seen) && l.Footprints.Returns(stmt, w.Changes) {
			tok.later = &hindsight{}
		}
	}
	if tok.finish, tok.refused = l.announceBy(ctx, []footprint.Write{w}, tok.later); tok.refused != nil {
		tok.late = tok.refused
	}
	return tok
}

// Said stands for what the Valuers among the bind values of a write say now.
func (l *Log) Said(stmt *gorm.Statement) (said uint64) {
	failopen.Guard(l.Report, "asking values", func() { said = args.Said(stmt.Vars) })
	return said
}

// Reconsider is called when a write has run. Its changes were read off its values before that. A
// value that says another thing by now may have said it to the driver, too, so that all of the
// tables counts as changed.
func (l *Log) Reconsider(stmt *gorm.Statement, tok *Token, e Ending) {
	if tok == nil || len(tok.changes) == 0 || l.Said(stmt) == tok.said {
		return
	}
	failopen.Guard(l.Report, "announcing a write again", func() {
		w := footprint.Write{Changes: footprint.Loosen(tok.changes)}
		if within := tok.Within.Load(); within != nil {
			within.held.write(w, tok.lazily)(e)
			return
		}
		again := l.begin(stmt, w, tok.query, tok.ends, tok.lazily, false)
		again.ran.Store(tok.ran.Load())
		again.Done(e)
	})
}
