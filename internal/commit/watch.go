package commit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/observed"
	"github.com/gorm-preload/preload/internal/sqltext"
)

// watch sees for the plugin what happens on one connection of the driver: which transaction a
// statement lands in, and when that ends. What a statement changes is told by its token. One
// without a token was not built by this plugin's GORM: its text tells it.
type watch struct {
	log  *Log
	open *transaction // nil outside of any
	// begunBy is the savepoint that began the transaction, as the outermost one does in SQLite; ""
	// if none did.
	begunBy string
	// reading is a write without a token whose rows may still be read, and so made; nil if there is
	// none.
	reading *openWrite
	// unclear is set for good once a statement may have made the connection begin transactions by
	// itself, as SET autocommit=0 does.
	unclear bool
}

var _ observed.Watch = (*watch)(nil)

func (w *watch) began() *transaction {
	return &transaction{pool: &Pool{nil, w.log}, held: held{log: w.log}}
}

// anything notes that a statement that is not understood was run in the transaction, as the last
// one before it is lost.
func (t *transaction) anything() {
	t.held.write(footprint.Everything(), false)(Ending{})
	t.held.lose()
}

// over notes that the transaction has ended.
func (w *watch) over() {
	w.forget()
	w.open, w.begunBy = nil, ""
	if w.unclear {
		w.open = w.began()
		w.open.held.lose()
	}
}

// forget notes that nothing is known any more of the transaction that is open.
func (w *watch) forget() {
	if w.open == nil {
		return
	}
	w.open.over()
	if tx := w.open.tx.Load(); tx != nil {
		w.log.begun.CompareAndDelete(tx, w.open)
	}
}

// Begun implements observed.Watch.
func (w *watch) Begun(ctx context.Context, opts driver.TxOptions) {
	before := w.open
	if w.begins(); before == nil {
		w.open.ctx = ctx
		w.open.isolation = w.log.isolationOf(&sql.TxOptions{Isolation: sql.IsolationLevel(opts.Isolation)})
	}
}

// begins notes that a transaction begins. If one is open already, as far as is known, MySQL has
// committed that one. Elsewhere what it holds may still become visible.
func (w *watch) begins() {
	w.used(nil)
	if w.open == nil {
		w.open = w.began()
		return
	}
	w.open.over()
	failopen.Guard(w.log.Report, "watching a transaction that begins", func() {
		if writes := w.open.held.all(); len(writes) > 0 {
			w.log.announce(writes)(Hold{})
		}
	})
}

// read takes over the end of a write that was handed on without an error, and whose rows cannot be
// seen: it is under way until the connection is used again, which its rows keep it from until they
// are closed.
func (w *watch) read(finish func(error)) {
	w.reading = &openWrite{since: w.log.Now(), done: func(e Ending) { finish(e.Err) }}
	if w.log.openRows.add(w.reading) {
		w.log.sweep()
	}
}

// used notes that the connection is used again, or was closed: whoever read from it may have been
// cut off.
func (w *watch) used(err error) {
	if r := w.reading; r != nil {
		w.reading = nil
		if w.log.openRows.remove(r) {
			failopen.Guard(w.log.Report, "watching rows", func() { r.done(Ending{Err: err}) })
		}
	}
}

// Commit implements observed.Watch. database/sql takes the transaction for ended, whatever the
// error is.
func (w *watch) Commit() (after func(error)) {
	w.used(nil)
	if w.open == nil {
		return nil
	}
	w.open.over()
	done := func(error) {}
	failopen.Guard(w.log.Report, "watching a commit", func() { done = w.open.held.committing() })
	return func(err error) {
		w.over()
		w.finish(done, err)
	}
}

// Rollback implements observed.Watch.
func (w *watch) Rollback() (after func(error)) {
	w.used(nil)
	return func(error) { w.over() }
}

// Failed implements observed.Watch. A transaction in which a statement failed may be over.
func (w *watch) Failed() {
	if w.open != nil {
		w.open.held.fail()
		w.open.over()
	}
}

// Open implements observed.Watch.
func (w *watch) Open() bool { return w.open != nil }

// Closed implements observed.Watch. The server undoes what was not committed.
func (w *watch) Closed() {
	w.forget()
	w.open = nil
	w.used(ErrUnknownOutcome)
}

// finish calls what a statement returned before it ran. The driver's panic is no answer.
func (w *watch) finish(done func(error), err error) {
	if errors.Is(err, observed.ErrPanic) {
		err = ErrUnknownOutcome
	}
	failopen.Guard(w.log.Report, "watching a statement", func() { done(err) })
}

// Statement implements observed.Watch.
func (w *watch) Statement(ctx context.Context, query string, queried bool) (after func(error)) {
	w.used(nil)
	tok := tokenIn(ctx, w.log)
	if w.open != nil && w.log.Reads {
		w.open.does(w.log.Footprints.Meaning(query).Within)
	}
	if tok == nil && w.log.Footprints.Meaning(query).Kind == sqltext.Read {
		return nil
	}
	if tok.reads(query) {
		tok.met(query, w.open)
		return nil
	}
	var done func(error)
	if !failopen.Guard(w.log.Report, "watching a statement", func() { done = w.statement(tok, query, queried) }) {
		failopen.Guard(w.log.Report, "watching a statement", func() {
			finish := w.log.announce([]footprint.Write{footprint.Everything()})
			done = func(err error) { finish(w.log.holdAfter(Ending{Err: err, Unseen: true, Why: OtherPool})) }
		})
	}
	if done == nil {
		return nil
	}
	return func(err error) { w.finish(done, err) }
}

func (w *watch) statement(tok *Token, query string, queried bool) (done func(error)) {
	meaning := w.log.Footprints.Meaning(query)
	if w.log.leaves(meaning); meaning.Inside && w.open != nil {
		tok.met(query, w.open)
		return nil
	}
	if control := w.control(tok, query, meaning); control != nil {
		return control
	}
	// Some drivers do the work while the rows are read. GORM reads those of its own before it goes
	// on.
	lazily := queried && tok == nil || tok != nil && tok.lazily
	if w.open != nil {
		done = w.open.statement(tok, query, lazily)
	} else {
		done = w.log.statement(tok, query, lazily)
		if finish := done; finish != nil && queried && tok == nil {
			done = func(err error) {
				if err != nil {
					finish(err)
				} else {
					w.read(finish)
				}
			}
		}
	}
	if meaning.Kind != sqltext.Everything || meaning.Stays && w.open != nil {
		return done
	}
	finish := done
	return func(err error) {
		if finish != nil {
			finish(err)
		}
		if err == driver.ErrSkip {
			return
		}
		if w.unclear = w.unclear || unsettles(w.log.dialect, query); meaning.Open || w.unclear {
			w.begins()
			w.open.anything()
		}
	}
}

// control returns what is to be done after a statement that begins or ends a transaction; nil for
// another one.
func (w *watch) control(tok *Token, query string, meaning sqltext.Statement) (done func(error)) {
	switch meaning.Kind {
	case sqltext.Begin:
		tok.met(query, w.open)
		finish := func(Hold) {}
		if w.open != nil {
			// MySQL commits the one that is open. It is thought to be open still where the server
			// ignores the statement.
			if writes := w.open.held.all(); len(writes) > 0 {
				finish = w.log.announce(writes)
			}
		}
		return func(err error) {
			finish(w.log.holdAfter(Ending{Err: err, commit: true}))
			if err == nil {
				w.begins()
			}
		}
	case sqltext.Commit:
		tok.met(query, w.open)
		return w.ends()
	case sqltext.Rollback:
		tok.met(query, w.open)
		return func(err error) {
			if err == nil {
				w.over()
			}
		}
	case sqltext.Savepoint:
		if w.open == nil && w.log.dialect == "sqlite" {
			tok.met(query, nil)
			return func(err error) {
				if err == nil {
					w.begins()
					w.begunBy = meaning.Name
				}
			}
		}
	case sqltext.Release:
		if w.open != nil && w.begunBy == meaning.Name && w.open.held.outermost(meaning.Name) {
			tok.met(query, w.open)
			return w.ends()
		}
	}
	return nil
}

// ends is called before a statement that commits.
func (w *watch) ends() (done func(error)) {
	if w.open == nil {
		return func(error) {}
	}
	open := w.open
	finish := open.held.committing()
	return func(err error) {
		switch finish(err); {
		case err == nil:
			w.over()
		case err != driver.ErrSkip:
			open.held.lose() // it is over, or it is not: that depends on the server and on the error
		}
	}
}

// unsettles reports whether a statement that is not understood may leave the connection in a
// transaction that does not show in its text.
func unsettles(dialect, query string) bool {
	switch dialect {
	case "sqlite", "postgres":
		return false
	case "mysql":
		query = strings.ToLower(query)
		// completion_type has each COMMIT begin another one.
		return strings.Contains(query, "autocommit") || strings.Contains(query, "completion_type") || strings.HasPrefix(strings.TrimSpace(query), "xa")
	}
	return true
}
