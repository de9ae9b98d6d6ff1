package commit

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/gorm-preload/preload/internal/replay"
	"gorm.io/gorm"
)

// Witness stands in the place of a statement's connection while GORM's own callback builds and runs
// it: when the statement comes by, it is what the database is about to get, whatever the caller's
// arguments, hooks and clauses made of it. Nothing of it stays behind when the callback returns.
type Witness struct {
	gorm.ConnPool // the statement's
	stmt          *gorm.Statement
	Before        func() *Token // called once, before the statement runs; what it returns goes with the statement
	seen          bool
	// Answered says that the statement returned without rows, and with err: what GORM makes of it
	// may be another error.
	Answered bool
	Err      error
	// Names are those of the columns of the rows, where they are wanted: then it has those that are
	// expected, which are kept if they are the same.
	Names  []string
	naming bool
	named  bool // they were seen
	// Recorder records the rows, where there is one.
	Recorder *replay.Recorder
}

// Named reports whether the names of the columns were seen.
func (w *Witness) Named() bool { return w.named }

// WantNames has the names of the columns taken that the statement answers with.
func (w *Witness) WantNames(expected []string) { w.Names, w.naming = expected, true }

// see reports whether this is the statement, which then gets the context. An error is one with
// which it returns without being sent.
func (w *Witness) see(ctx context.Context, query string) (in context.Context, seen bool, err error) {
	// Code of the application's that builds a part of the statement may ask something else
	// meanwhile.
	if w.seen || query != w.stmt.SQL.String() {
		return ctx, false, nil
	}
	w.seen = true
	tok := w.Before()
	if tok != nil {
		err = tok.refused
	}
	w.Answered, w.Err = err != nil, err
	return tok.in(ctx), true, err
}

// ExecContext implements gorm.ConnPool.
func (w *Witness) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx, seen, err := w.see(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := w.ConnPool.ExecContext(ctx, query, args...)
	if seen {
		w.Answered, w.Err = true, err
	}
	return result, err
}

// QueryContext implements gorm.ConnPool.
func (w *Witness) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx, seen, err := w.see(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := w.ConnPool.QueryContext(ctx, query, args...)
	if seen && err != nil {
		w.Answered, w.Err = true, err
	}
	if seen && err == nil && w.naming {
		names, _ := rows.Columns()
		if w.named = true; !slices.Equal(names, w.Names) {
			w.Names = slices.Clone(names) // GORM changes them where there is a ColumnMapping
		}
	}
	if seen && err == nil && w.Recorder != nil {
		rows = w.Recorder.Rows(ctx, rows)
	}
	return rows, err
}

// QueryRowContext implements gorm.ConnPool.
func (w *Witness) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	ctx, _, _ = w.see(ctx, query) // database/sql sends nothing for a context that has ended
	return w.ConnPool.QueryRowContext(ctx, query, args...)
}

// GetDBConn implements gorm.GetDBConnector.
func (w *Witness) GetDBConn() (*sql.DB, error) {
	return (&gorm.DB{Config: &gorm.Config{ConnPool: w.ConnPool}}).DB()
}

func (w *Witness) behind() gorm.ConnPool { return w.ConnPool }

// poolWitness is in front of what can begin a transaction, as code that builds a part of the
// statement may.
type poolWitness struct{ *Witness }

// BeginTx implements gorm.ConnPoolBeginner.
func (w poolWitness) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	switch beginner := w.ConnPool.(type) {
	case gorm.ConnPoolBeginner:
		return beginner.BeginTx(ctx, opts)
	case gorm.TxBeginner:
		return beginner.BeginTx(ctx, opts)
	}
	return nil, gorm.ErrInvalidTransaction
}

// txWitness is in front of a transaction.
type txWitness struct {
	*Witness
	gorm.TxCommitter
}

// Attend puts a witness in front of the connection of a statement.
func Attend(stmt *gorm.Statement) *Witness {
	w := &Witness{ConnPool: stmt.ConnPool, stmt: stmt}
	switch conn := stmt.ConnPool.(type) {
	case gorm.TxCommitter:
		stmt.ConnPool = txWitness{w, conn}
	case gorm.ConnPoolBeginner, gorm.TxBeginner:
		stmt.ConnPool = poolWitness{w}
	default:
		stmt.ConnPool = w
	}
	return w
}

// Leave takes the witness away.
func (w *Witness) Leave() {
	if conn, ok := w.stmt.ConnPool.(interface{ behind() gorm.ConnPool }); ok && conn.behind() == w.ConnPool {
		w.stmt.ConnPool = w.ConnPool
	}
}

// Ask runs a query that GORM builds, and reports whether its answer is one that anybody may have.
// That of another statement than the one that GORM built, or of one in a transaction that was begun
// by a statement, is not.
func (l *Log) Ask(db *gorm.DB, next func(*gorm.DB)) (general bool) {
	at, wrapper := Reach(db.Statement.ConnPool)
	_, ours := at.(*transaction)
	if _, direct := at.(*Pool); direct && wrapper == "" || wrapper == "" && !ours && !l.watches() || db.DryRun {
		next(db)
		return true
	}
	w := Attend(db.Statement)
	defer w.Leave()
	tok := &Token{log: l, reading: true, tx: sqlTx(at)}
	w.Before = func() *Token {
		tok.query = db.Statement.SQL.String()
		return tok
	}
	next(db)
	return tok.ran.Load() && !tok.changed.Load() && tok.Within.Load() == nil
}

// Accompanied runs a callback whose statements get the token; none, where they are not to be sent.
func Accompanied(db *gorm.DB, tok *Token, next func(*gorm.DB)) {
	if tok != nil && tok.refused != nil {
		_ = db.AddError(tok.refused)
		return
	}
	stmt := db.Statement
	before := stmt.Context
	if stmt.Context = tok.in(before); stmt.Context != before {
		defer func() { stmt.Context = before }()
	}
	next(db)
}

// Ran notes that a statement ended with this error on a connection.
func (l *Log) Ran(conn gorm.ConnPool, err error) {
	if err == nil || errors.Is(err, gorm.ErrRecordNotFound) {
		return
	}
	if at, _ := Reach(conn); at != nil {
		if tx := l.transactionOf(at); tx != nil {
			tx.failed(err)
		}
	}
}
