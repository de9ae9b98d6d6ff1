package commit

import (
	"database/sql"
	"errors"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
)

// standing is what became of a transaction, as far as it decides whether memory may answer a read
// in it. What is noted stays: a rollback to a savepoint takes nothing of it back.
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

// failed notes how a statement ended that ran on the connection.
func (s *standing) failed(err error) {
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		s.over()
	}
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

// read forgets rows that are closed.
func (s *standing) read(rows *sql.Rows) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = slices.DeleteFunc(s.rows, func(other *sql.Rows) bool { return other == rows })
}

// stands reports whether memory may answer reads, but for what the transaction wrote, and what it
// sees of others. While rows are open some drivers answer nothing else.
func (s *standing) stands(partitioned bool) (sees level, ok bool) {
	s.mu.Lock()
	open := slices.Clone(s.rows)
	s.mu.Unlock()
	for _, rows := range open {
		// To ask whether rows are closed is to wait for whoever is reading them, as the query
		// would that is to be answered.
		if _, err := rows.Columns(); err == nil {
			return seesOther, false
		}
		s.failed(rows.Err())
		s.read(rows)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.did&sqltext.Sets != 0 && !partitioned
	return s.isolation, !s.ended && !own && s.did&sqltext.Locks == 0
}

// Opened notes that a statement gave the application rows to read itself.
func (l *Log) Opened(stmt *gorm.Statement) {
	if !l.Reads {
		return
	}
	at, _ := Reach(stmt.ConnPool)
	t := l.transactionOf(at)
	if t == nil {
		return
	}
	switch dest := stmt.Dest.(type) {
	case *sql.Rows:
		if dest != nil {
			t.reading(dest)
		}
	case *sql.Row:
		if dest == nil {
			return
		}
		if rows, seen := rowsOf(dest); !seen {
			t.over() // whether they are open cannot be told
		} else if rows != nil {
			t.reading(rows)
		}
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

// poolOf returns the pool of a transaction of database/sql; nil if it cannot be seen. The field is
// not exported.
func poolOf(tx *sql.Tx) *sql.DB {
	field := reflect.ValueOf(tx).Elem().FieldByName("db")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*sql.DB]() {
		return nil
	}
	return (*sql.DB)(field.UnsafePointer())
}
