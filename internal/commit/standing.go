package commit

import (
	"cmp"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
)

// standing is what became of a transaction, as far as it decides whether memory may answer a read
// in it, and the rows by which it may yet fail. What is noted stays: a rollback to a savepoint
// takes nothing of it back.
type standing struct {
	tx atomic.Pointer[sql.Tx] // by which the log finds the transaction; nil if it needs none

	mu        sync.Mutex
	isolation level
	ended     bool // it is over, or a statement of it failed
	did       sqltext.Within
	rows      []*sql.Rows // that the application reads itself, and that may be open still
}

// level is what a transaction sees of others.
type level uint8

const (
	byDefault   level = iota // what the server has by default
	seesCommits              // each statement sees what is committed by then
	seesOther                // anything else
)

// over notes that the transaction has ended, or that a statement of it failed.
func (s *standing) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// does notes what a statement is about to do to the transaction.
func (s *standing) does(within sqltext.Within) {
	if within == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did |= within
	switch {
	case within&sqltext.SeesCommits != 0:
		s.isolation = seesCommits
	case within&sqltext.Isolates != 0:
		s.isolation = seesOther
	}
}

// reading notes that the application reads rows on the connection.
func (s *standing) reading(rows *sql.Rows) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, rows)
}

// unread looks at the rows that the application reads: it reports whether some are open, and what
// ended one of the others.
func (s *standing) unread() (open bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = slices.DeleteFunc(s.rows, func(rows *sql.Rows) bool {
		ended, closed := endOf(rows)
		open = open || !closed
		err = cmp.Or(err, ended)
		return closed
	})
	return open, err
}

// stands reports whether memory may answer reads, but for what the transaction wrote, and what it
// sees of others. While rows are open some drivers answer nothing else.
func (t *transaction) stands(partitioned bool) (sees level, ok bool) {
	if t.heed() {
		return seesOther, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.did&sqltext.Sets != 0 && !partitioned
	return t.isolation, !t.ended && !own && t.did&sqltext.Locks == 0
}

// heed notes what became of the rows that the application reads, and reports whether some are open.
// An error among the rows tells as much of the transaction as one of a statement.
func (t *transaction) heed() (open bool) {
	open, err := t.unread()
	t.failed(err)
	return open
}

// failed notes how a statement ended that ran in the transaction, which may be over if one failed:
// databases roll back at deadlocks, and where a conflict clause says so.
func (t *transaction) failed(err error) {
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.held.fail()
		t.over()
	}
}

// Opened notes that a statement gave the application rows to read itself.
func (l *Log) Opened(stmt *gorm.Statement) {
	at, _ := Reach(stmt.ConnPool)
	t := l.transactionOf(at)
	if t == nil {
		return
	}
	t.heed()
	switch dest := stmt.Dest.(type) {
	case *sql.Rows:
		if dest != nil {
			t.reading(dest)
		}
	case *sql.Row:
		t.readingRow(dest)
	}
}

// readingRow notes that the application reads a row on the connection.
func (t *transaction) readingRow(row *sql.Row) {
	if row == nil {
		return
	}
	if rows, seen := rowsOf(row); !seen {
		t.over() // whether they are open cannot be told
	} else if rows != nil {
		t.reading(rows)
	} else {
		t.failed(row.Err())
	}
}

// transactionOf returns the transaction that a connection is, if it is known; else nil.
func (l *Log) transactionOf(at gorm.ConnPool) *transaction {
	switch at := at.(type) {
	case *transaction:
		if at.held.log == l {
			return at
		}
	case *sql.Tx:
		if known, ok := l.begun.Load(at); ok {
			return known.(*transaction)
		}
	}
	return nil
}

// recognize notes in which transaction the statements of one of database/sql run. It is called on
// the connection, so that the transaction is open.
func (l *Log) recognize(tx *sql.Tx, within *transaction) {
	if tx != nil && l.Reads && within.tx.CompareAndSwap(nil, tx) {
		l.begun.Store(tx, within)
	}
}

// sqlTx returns the transaction of database/sql that a connection is; nil if it is none.
func sqlTx(at gorm.ConnPool) *sql.Tx {
	tx, _ := at.(*sql.Tx)
	return tx
}
