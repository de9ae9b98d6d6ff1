package commit

import (
	"database/sql"
	"errors"
	"time"

	"github.com/gorm-preload/preload/internal/args"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
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
func (l *Log) Begin(stmt *gorm.Statement, w footprint.Write, query string, ends, lazily bool) *Token {
	if len(w.Changes) == 0 {
		return nil
	}
	tok := &Token{log: l, query: query, lazily: lazily, ends: ends}
	tok.late = stmt.Context.Err() // database/sql sends nothing for a context that is done already
	at, wrapper := Reach(stmt.ConnPool)
	switch at := at.(type) {
	case *transaction:
		if wrapper == "" && at.pool.log == l {
			tok.known, tok.after = true, at.held.write(w, lazily)
			return tok
		}
	case *Pool:
		tok.known = wrapper == ""
	case *sql.DB:
		seen := l.sees(at)
		tok.known, tok.seen = wrapper == "" && !seen, wrapper == "" && seen && query != ""
	case *sql.Tx:
		if tok.write = w; !ends {
			return tok
		}
	}
	tok.write = w
	tok.unseen = tok.known && l.raw.open()
	tok.finish = l.announce([]footprint.Write{w})
	return tok
}

// Said stands for what the Valuers among the bind values of a write say now.
func (l *Log) Said(stmt *gorm.Statement) (said uint64) {
	l.guard("asking values", func() { said = args.Said(stmt.Vars) })
	return said
}

// Reconsider is called when a write has run. Its changes were read off its values before that. A
// value that says another thing by now may have said it to the driver, too, so that all of the
// tables counts as changed.
func (l *Log) Reconsider(stmt *gorm.Statement, tok *Token, e Ending) {
	if tok == nil || len(tok.changes) == 0 || l.Said(stmt) == tok.said {
		return
	}
	l.guard("announcing a write again", func() {
		w := footprint.Write{Changes: footprint.Loosen(tok.changes)}
		if within := tok.Within.Load(); within != nil {
			within.held.write(w, tok.lazily)(e)
			return
		}
		again := l.Begin(stmt, w, tok.query, tok.ends, tok.lazily)
		again.ran.Store(tok.ran.Load())
		again.Done(e)
	})
}

// announce says that what was written is about to become visible. The returned function is called
// once, after it has, or will not; with how long the tables stay out of the cache from then on.
func (l *Log) announce(writes []footprint.Write) (finish func(hold time.Duration)) {
	altered := l.altered(writes)
	announced, dead := l.announced(writes)
	return func(hold time.Duration) {
		if altered {
			l.altered(writes)
		}
		l.Index.Finish(announced, hold)
		l.Killed(dead)
	}
}

// announced announces what was written, with all that the database changes on account of it. It
// returns what that killed.
func (l *Log) announced(writes []footprint.Write) (announced *coherence.Announcement, dead []cache.Killed) {
	for {
		version := l.Catalog.Version()
		var changes []coherence.Change
		for _, w := range writes {
			if w.Version != version {
				w.Changes = footprint.Loosen(w.Changes)
			}
			changes = append(changes, w.Changes...)
		}
		announced, kills := l.Index.Announce(l.Catalog.Expand(changes)...)
		dead = append(dead, l.Cache.Forget(kills)...)
		// What was learned meanwhile was applied to what was under way, among which this may not
		// have been yet.
		if l.Catalog.Version() == version {
			return announced, dead
		}
		l.Index.Finish(announced, 0)
	}
}

// Invalidate kills what depends on the changes, loads in flight too.
func (l *Log) Invalidate(changes []coherence.Change) {
	announced, _ := l.announced([]footprint.Write{{Changes: changes}})
	l.Index.Finish(announced, 0)
}

// Changed kills the answers that were kept before something was learned that they depend on. The
// catalog is locked while it does, so that nobody sees a model as learned whose answers of before
// are still served.
func (l *Log) Changed(learned catalog.Learned) {
	for _, table := range learned.Tables {
		l.Cache.Forget(l.Index.Widen(table, table))
	}
	for _, pair := range learned.Reached {
		l.Cache.Forget(l.Index.Widen(pair.From, pair.To))
	}
}

// altered counts what may have altered a table. It is called before and after that.
func (l *Log) altered(writes []footprint.Write) bool {
	if l.Dialect() != "sqlite" {
		return false
	}
	for _, w := range writes {
		for _, c := range w.Changes {
			if c.Table == coherence.Everything.Table {
				l.alterations.Add(1)
				return true
			}
		}
	}
	return false
}
