package commit

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/sqltext"
)

// Token goes with one statement of GORM's to whoever runs it, in its context: through whatever
// others have put around the connection pool. The one of the plugin's own that runs the statement
// (a transaction, the pool, a connection of the driver) says by it what became of the statement.
type Token struct {
	log   *Log
	query string // as GORM built it; "" where that is not known
	// changes are what it changes, and said is what its values said before the changes were read
	// off them. There are none where nothing was read off values.
	changes []coherence.Change
	said    uint64
	write   footprint.Write // the same where the token announces it; nothing of a read
	finish  func(Hold)      // ends its announcement; nil while there is none
	later   *hindsight      // by which it does; nil where what is announced is killed at once
	// reading says that GORM built a query: that changes nothing, whatever functions it calls.
	reading bool
	// known says that no one has to tell how the statement ran: outside of any transaction, or in
	// one that has been told.
	known bool
	// seen says that whoever runs the statement tells: on the connections of a pool that the plugin
	// observes.
	seen bool
	// lazily says that the statement may run after it returned, ends that it may end a transaction,
	// unseen that its end cannot be seen.
	lazily, ends, unseen bool
	late                 error        // that of the context, before the statement
	refused              error        // the same, where the statement is not to be sent for that
	held                 *held        // of the transaction that it is known to run in
	tx                   *sql.Tx      // on which it was handed on, if it was on one that is nobody's
	after                func(Ending) // called with how the statement returned, if that is not nil

	ran     atomic.Bool                 // somebody told
	changed atomic.Bool                 // the text that ran was another one, or another one ran, too
	Within  atomic.Pointer[transaction] // in which it ran
}

type tokenKey struct{}

// tokenIn returns the token of a plugin that a context holds; nil if it holds none.
func tokenIn(ctx context.Context, l *Log) *Token {
	if tok, ok := ctx.Value(tokenKey{}).(*Token); ok && tok.log == l {
		return tok
	}
	return nil
}

// Heard notes what the values of a write said before these changes were read off them.
func (tok *Token) Heard(said uint64, changes []coherence.Change) {
	if tok != nil {
		tok.said, tok.changes = said, changes
	}
}

// in puts the token into a context.
func (tok *Token) in(ctx context.Context) context.Context {
	if tok == nil || tok.known && tok.held == nil {
		return ctx
	}
	return context.WithValue(ctx, tokenKey{}, tok)
}

// announced reports whether what a statement changes was announced before it was handed on.
func (tok *Token) announced(query string) bool {
	return tok != nil && tok.finish != nil && tok.is(query)
}

func (tok *Token) is(query string) bool { return tok.query == query }

// noted reports whether what a statement of this text does to its transaction was noted before it
// was handed on.
func (tok *Token) noted(query string) bool {
	return tok != nil && tok.held != nil && (tok.query == "" || tok.is(query))
}

// reads reports whether a statement of this text is a query that GORM built.
func (tok *Token) reads(query string) bool { return tok != nil && tok.reading && tok.is(query) }

// met says that a statement of this text runs, in a transaction or outside of any.
func (tok *Token) met(query string, within *transaction) {
	if tok == nil {
		return
	}
	if !tok.is(query) {
		tok.changed.Store(true)
	}
	if within != nil {
		tok.Within.Store(within)
		tok.log.recognize(tok.tx, within)
	}
	tok.ran.Store(true)
}

// Done ends the write that the token stands for. A write that nobody ran who could tell went to a
// pool that is not known: its end cannot be seen.
func (tok *Token) Done(e Ending) {
	if tok == nil {
		return
	}
	e.commit = e.commit || tok.ends
	failed := e.Err != nil
	if tok.late != nil && errors.Is(e.Err, tok.late) {
		e.Err = nil
	}
	if tok.after != nil {
		tok.after(e)
	}
	if len(tok.write.Changes) == 0 {
		return
	}
	if tok.finish == nil {
		if tok.ran.Load() {
			return
		}
		tok.finish = tok.log.announce([]footprint.Write{tok.write})
	}
	if tok.Within.Load() != nil {
		// The transaction holds it.
		tok.finish(Hold{})
		return
	}
	if tok.seen && failed && !tok.ran.Load() {
		// No connection was to be had for it.
		tok.finish(Hold{})
		return
	}
	// Where the only statement failed, nobody can make anything of it visible.
	foreign := !tok.known && !tok.ran.Load() && (!failed || tok.ends || tok.query == "")
	if e.Unseen = e.Unseen || tok.unseen || foreign; foreign {
		e.Why = OtherPool
		if tok.tx != nil && !ending(tok.tx) {
			// What it wrote is visible once the transaction has ended.
			l, finish := tok.log, tok.finish
			if l.openRows.add(&openWrite{tx: tok.tx, since: l.Now(), done: func(e Ending) { finish(l.holdAfter(e)) }}) {
				l.sweep()
			}
			return
		}
	}
	tok.finish(tok.log.holdAfter(e))
}

// changes returns what a statement changes that is about to run: by its token, if it has one, and
// by its text, where the token is not of exactly this text.
func (l *Log) changes(tok *Token, query string, meaning sqltext.Statement) (writes []footprint.Write) {
	if tok != nil && len(tok.write.Changes) > 0 {
		writes = append(writes, tok.write)
		if tok.is(query) {
			return writes
		}
	}
	switch meaning.Kind {
	case sqltext.Write:
		// The models that GORM has met meanwhile may lead from these tables to others.
		l.Catalog.Update()
		return append(writes, footprint.Write{Changes: l.Footprints.Mentioned(query)})
	case sqltext.Read:
		return nil // something else that was asked on the way
	}
	return append(writes, footprint.Everything())
}
