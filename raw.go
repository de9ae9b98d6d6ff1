package preload

import (
	"database/sql"
	"slices"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
)

// classify says what a raw statement does, once per text.
func (p *Plugin) classify(stmt *gorm.Statement) sqltext.Statement {
	return p.meanings.of(stmt.SQL.String(), func(text string) sqltext.Statement {
		return sqltext.Classify(stmt.Dialector.Name(), text)
	})
}

// wrote returns what a raw write changes: where it is not simple, any of these names that is a table, in any way.
func (p *Plugin) wrote(stmt *gorm.Statement, names []string) written {
	return p.rendered(stmt, func(*gorm.Statement) written { return written{changes: named(names, coherence.Any)} })
}

// rawStatement is begin for a statement that is given as SQL; it returns nil for one that changes nothing.
func (p *Plugin) rawStatement(stmt *gorm.Statement, unseenEnd bool) (done func(error)) {
	meaning := p.classify(stmt)
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
		return p.begin(stmt.ConnPool, p.wrote(stmt, meaning.Names), unseenEnd)
	case sqltext.Savepoint, sqltext.RollbackTo, sqltext.Release:
		if tx == nil {
			return p.rawSavepoint(stmt, meaning)
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
			p.beginRaw()
			return func(err error) {
				if err != nil {
					p.endRaw(false)
				}
			}
		}
	case sqltext.Commit, sqltext.Rollback:
		if _, direct := unwrap(stmt.ConnPool).(*pool); direct && p.raw.open() {
			return func(error) { p.endRaw(false) }
		}
	}
	if _, direct := unwrap(stmt.ConnPool).(*pool); direct && meaning.Open {
		p.beginRaw() // even if it fails: the transaction may have begun before that
	}
	if tx != nil {
		// It may have ended the transaction, and so made visible all that is held, which everything covers.
		tx.lose()
	}
	return p.begin(stmt.ConnPool, everything(), unseenEnd)
}

// rawTransactions counts transactions that were begun as statements outside of any that database/sql knows of.
// While one may be open nothing is kept; but not for longer than a limit, as some never end: their connection was
// closed, or their COMMIT went to another one.
type rawTransactions struct {
	mu    sync.Mutex
	begun int
	since time.Time
	held  *coherence.Announcement // that anything changes, while one is open
	// savepoint is the one that began a transaction; "" if none did.
	savepoint string
}

// rawLimit is how many hold-outs a transaction that was begun as a statement is thought to be open.
const rawLimit = 60

func (r *rawTransactions) open() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun > 0
}

// begin counts one more. It returns the announcement if one is held already.
func (r *rawTransactions) begin(now time.Time, held *coherence.Announcement) (spare *coherence.Announcement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
	r.since = now
	if r.held != nil {
		return held
	}
	r.held = held
	return nil
}

// end counts one less, or none where all are overdue. It returns what was held for them when there is none left.
func (r *rawTransactions) end(overdue bool) (held *coherence.Announcement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun > 0 {
		r.begun--
	}
	if overdue {
		r.begun = 0
	}
	if r.begun == 0 {
		held, r.held, r.savepoint = r.held, nil, ""
	}
	return held
}

// beganBy notes, or reports, which savepoint began the transaction.
func (r *rawTransactions) beganBy(name string, note bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if note {
		r.savepoint = name
	}
	return r.begun > 0 && r.savepoint == name
}

func (r *rawTransactions) overdue(now time.Time, limit time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun > 0 && now.Sub(r.since) >= limit
}

// rawSavepoint is rawStatement for a savepoint outside of any transaction that is known. In SQLite it begins one, which its release ends.
func (p *Plugin) rawSavepoint(stmt *gorm.Statement, meaning sqltext.Statement) (done func(error)) {
	_, direct := unwrap(stmt.ConnPool).(*pool)
	switch {
	case direct && meaning.Kind == sqltext.Savepoint && stmt.Dialector.Name() == "sqlite" && !p.raw.open():
		p.beginRaw()
		p.raw.beganBy(meaning.Name, true)
		return func(err error) {
			if err != nil {
				p.endRaw(false)
			}
		}
	case direct && meaning.Kind == sqltext.Release && p.raw.beganBy(meaning.Name, false):
		return func(err error) {
			if err == nil {
				p.endRaw(false)
			}
		}
	}
	return p.begin(stmt.ConnPool, everything(), true)
}

func (p *Plugin) beginRaw() {
	held, kills := p.index.Announce(coherence.Everything)
	p.forget(kills)
	if spare := p.raw.begin(p.now(), held); spare != nil {
		p.index.Finish(spare, 0)
	}
}

func (p *Plugin) endRaw(overdue bool) {
	if held := p.raw.end(overdue); held != nil {
		p.index.Finish(held, p.config.holdOut)
	}
}

// giveUpRaw ends transactions that were begun as statements and have not ended for long.
func (p *Plugin) giveUpRaw() {
	if p.raw.overdue(p.now(), rawLimit*p.config.holdOut) {
		p.config.logger.Warn("preload: a transaction that was begun by a statement has not ended; it is not waited for any longer")
		p.endRaw(true)
	}
}

// openRows are raw writes that were started through Rows and whose rows are not closed yet: some databases do the work as
// they are read. Until then they count as under way.
type openRows struct {
	mu       sync.Mutex
	open     []openWrite
	sweeping bool
}

type openWrite struct {
	rows  *sql.Rows
	since time.Time
	held  *coherence.Announcement
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
				p.index.Finish(w.held, 0)
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
