package preload

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// createChanges returns what a create statement changes: its table, by inserts; by updates too if there is something
// to do on conflict, and by deletes where the statement has a modifier such as OR REPLACE.
func createChanges(stmt *gorm.Statement) []coherence.Change {
	on := coherence.Insert
	if _, ok := stmt.Clauses["ON CONFLICT"]; ok {
		on |= coherence.Update
	}
	if insert, ok := stmt.Clauses["INSERT"].Expression.(clause.Insert); ok && insert.Modifier != "" {
		on = coherence.Any
	}
	return tableChanges(stmt, on)
}

func updateChanges(stmt *gorm.Statement) []coherence.Change {
	return tableChanges(stmt, coherence.Update)
}

// deleteChanges covers soft deletes, which are updates, too: which of both it is depends on clauses that the
// delete callback has yet to add.
func deleteChanges(stmt *gorm.Statement) []coherence.Change {
	return tableChanges(stmt, coherence.Update|coherence.Delete)
}

// tableChanges returns the change of a statement's table; and of all other names that an unusual table expression or
// clause puts into the statement.
func tableChanges(stmt *gorm.Statement, on coherence.Kind) []coherence.Change {
	if len(stmt.Joins) > 0 || unusual(stmt) {
		return []coherence.Change{coherence.Everything}
	}
	names := []string{fold(stmt.Table)}
	if stmt.Schema != nil && stmt.Table == "" {
		names[0] = fold(stmt.Schema.Table)
	}
	if expr := stmt.TableExpr; expr != nil {
		if len(expr.Vars) > 0 {
			return []coherence.Change{coherence.Everything}
		}
		names = append(names, sqltext.Identifiers(stmt.Dialector.Name(), expr.SQL)...)
	}
	for _, name := range []string{"INSERT", "UPDATE", "DELETE", "FROM"} {
		c, ok := stmt.Clauses[name]
		if !ok {
			continue
		}
		if c.Builder != nil {
			return []coherence.Change{coherence.Everything}
		}
		switch e := c.Expression.(type) {
		case nil:
		case clause.Insert:
			names = append(names, sqltext.Identifiers(stmt.Dialector.Name(), e.Table.Name)...)
		case clause.Update:
			names = append(names, sqltext.Identifiers(stmt.Dialector.Name(), e.Table.Name)...)
		case clause.Delete:
		case clause.From:
			if len(e.Joins) > 0 {
				return []coherence.Change{coherence.Everything}
			}
			for _, table := range e.Tables {
				names = append(names, sqltext.Identifiers(stmt.Dialector.Name(), table.Name)...)
			}
		default:
			return []coherence.Change{coherence.Everything}
		}
	}
	return named(names, on)
}

func named(names []string, on coherence.Kind) []coherence.Change {
	changes := make([]coherence.Change, 0, len(names))
	for _, name := range names {
		if name == "" {
			continue
		}
		changes = append(changes, coherence.Change{Table: name, Kinds: on})
	}
	if len(changes) == 0 {
		return []coherence.Change{coherence.Everything}
	}
	return changes
}

// begin is called before changes are made on a connection. What it returns is called after, with the error that the
// statement ended with. unseenEnd says that the statement may go on after it returned.
func (p *Plugin) begin(conn gorm.ConnPool, changes []coherence.Change, unseenEnd bool) (done func(error)) {
	nothing := func(error) {}
	if len(changes) == 0 {
		return nothing
	}
	switch conn := unwrap(conn).(type) {
	case *transaction:
		if conn.pool.plugin == p {
			conn.hold(changes)
			if !conn.lost() {
				return nothing
			}
		}
		unseenEnd = true
	case *pool, *sql.DB:
		unseenEnd = unseenEnd || p.raw.open()
	default:
		// A transaction, or a connection that may be in one, whose end cannot be seen.
		unseenEnd = true
	}
	lingers := p.config.holdOut
	if p.db.Name() == "mysql" {
		// The server goes on with a statement whose client is gone, for as long as it waits for locks.
		lingers *= rawLimit
	}
	finish := p.announce(changes, lingers)
	return func(err error) {
		if unseenEnd {
			err = errUnknownOutcome
		}
		finish(err)
	}
}

// rawTransactions counts transactions that were begun as statements outside of any that database/sql knows of.
// While one may be open nothing is kept; but not for longer than a limit, as some never end: their connection was
// closed, or their COMMIT went to another one.
type rawTransactions struct {
	mu    sync.Mutex
	begun int
	since time.Time
}

// rawLimit is how many hold-outs a transaction that was begun as a statement is thought to be open.
const rawLimit = 60

// overdue ends all that have been open for too long, and reports whether there were any.
func (r *rawTransactions) overdue(now time.Time, limit time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun == 0 || now.Sub(r.since) < limit {
		return false
	}
	r.begun = 0
	return true
}

func (r *rawTransactions) open() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun > 0
}

// begin reports whether this is the first.
func (r *rawTransactions) begin(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
	r.since = now
	return r.begun == 1
}

// end reports whether the last one ended.
func (r *rawTransactions) end() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun == 0 {
		return false
	}
	r.begun--
	return r.begun == 0
}

// openRows are raw writes that were started through Rows and whose rows are not closed yet: some databases do the work as
// they are read. Until then they count as under way.
type openRows struct {
	mu       sync.Mutex
	open     []openWrite
	sweeping bool
}

type openWrite struct {
	rows    *sql.Rows
	since   time.Time
	changes []coherence.Change
}

const (
	// openLimit is how many hold-outs rows of a raw write are thought to be read.
	openLimit = 60
	// sweepPatience is how long a reader waits to learn whether rows are closed.
	sweepPatience = 10 * time.Millisecond
)

func (o *openRows) add(w openWrite) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = append(o.open, w)
}

// remove takes a write out. It reports whether it was in.
func (o *openRows) remove(w openWrite) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.open)
	o.open = slices.DeleteFunc(o.open, func(other openWrite) bool { return other.rows == w.rows })
	return len(o.open) < n
}

// sweepRows finishes the writes whose rows were closed, or have been open for too long. It is called when an answer may
// not be kept, which is the only time that it matters, and reports whether that may have changed. To ask whether rows are closed is
// to wait for whoever is reading them, so that a goroutine does it.
func (p *Plugin) sweepRows() bool {
	o := &p.openRows
	o.mu.Lock()
	if o.sweeping || len(o.open) == 0 {
		o.mu.Unlock()
		return false
	}
	o.sweeping = true
	open := slices.Clone(o.open)
	o.mu.Unlock()
	now, swept := p.now(), make(chan struct{})
	go func() {
		defer close(swept)
		for _, w := range open {
			over := now.Sub(w.since) >= openLimit*p.config.holdOut
			if !over {
				_, err := w.rows.Columns() // fails once they are closed
				over = err != nil
			}
			if over && o.remove(w) {
				p.index.Finish(0, w.changes...)
			}
		}
		o.mu.Lock()
		o.sweeping = false
		o.mu.Unlock()
	}()
	select {
	case <-swept:
		return true
	case <-time.After(sweepPatience):
		return false
	}
}

// endRaw gives up on transactions that were begun as statements and have not ended for long.
func (p *Plugin) endRaw() {
	if p.raw.open() && p.raw.overdue(p.now(), rawLimit*p.config.holdOut) {
		p.config.logger.Warn("preload: a transaction that was begun by a statement has not ended; it is not waited for any longer")
		p.index.Finish(p.config.holdOut, coherence.Everything)
	}
}

// Raw statements whose meaning is remembered by their text: how many, and how long.
const (
	maxStatements = 1_000
	maxText       = 4 << 10
)

// classify says what a raw statement does, once per text.
func (p *Plugin) classify(stmt *gorm.Statement) sqltext.Statement {
	text := stmt.SQL.String()
	if known, ok := p.statements.get(text); ok {
		return known
	}
	meaning := sqltext.Classify(stmt.Dialector.Name(), text)
	if len(text) <= maxText {
		p.statements.put(text, meaning)
	}
	return meaning
}

// statements remembers what raw statements do; full, it starts anew.
type statements struct {
	mu     sync.RWMutex
	byText map[string]sqltext.Statement
}

func (s *statements) get(text string) (sqltext.Statement, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	meaning, ok := s.byText[text]
	return meaning, ok
}

func (s *statements) put(text string, meaning sqltext.Statement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byText == nil || len(s.byText) >= maxStatements {
		s.byText = map[string]sqltext.Statement{}
	}
	s.byText[text] = meaning
}

// rawStatement is begin for a statement that is given as SQL; it returns nil for one that changes nothing.
func (p *Plugin) rawStatement(stmt *gorm.Statement, unseenEnd bool) (done func(error)) {
	meaning := p.classify(stmt)
	everything := []coherence.Change{coherence.Everything}
	tx, _ := unwrap(stmt.ConnPool).(*transaction)
	if tx != nil && tx.pool.plugin != p {
		tx = nil
	}
	switch meaning.Kind {
	case sqltext.Read:
		return nil
	case sqltext.Write:
		// The models that GORM has met meanwhile, in a migration say, may lead from these tables to others.
		p.catalog.update(p.catalogued())
		return p.begin(stmt.ConnPool, named(meaning.Names, coherence.Any), unseenEnd)
	case sqltext.Savepoint, sqltext.RollbackTo, sqltext.Release:
		if tx == nil {
			return nil
		}
		return func(err error) {
			switch {
			case err != nil:
			case meaning.Kind == sqltext.Savepoint:
				tx.savepoint(meaning.Name)
			case meaning.Kind == sqltext.RollbackTo:
				tx.rollbackTo(meaning.Name)
			default:
				tx.release(meaning.Name)
			}
		}
	case sqltext.Begin:
		if _, direct := unwrap(stmt.ConnPool).(*pool); direct {
			if p.raw.begin(p.now()) {
				p.forget(p.index.Announce(coherence.Everything))
			}
			return func(err error) {
				if err != nil && p.raw.end() {
					p.index.Finish(p.config.holdOut, coherence.Everything)
				}
			}
		}
	case sqltext.Commit, sqltext.Rollback:
		if _, direct := unwrap(stmt.ConnPool).(*pool); direct && p.raw.end() {
			return func(error) { p.index.Finish(p.config.holdOut, coherence.Everything) }
		}
	}
	if tx != nil {
		// It may have ended the transaction, and so made visible all that is held.
		tx.lose()
		everything = append(everything, tx.changes()...)
	}
	return p.begin(stmt.ConnPool, everything, unseenEnd)
}

// unknownOutcome reports whether a write that returned this error may yet become visible: its connection or its context
// ended before the database answered.
func unknownOutcome(err error) bool {
	if err == nil || errors.Is(err, sql.ErrTxDone) {
		return false
	}
	var network net.Error
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}
