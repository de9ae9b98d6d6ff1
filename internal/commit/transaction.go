package commit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
)

// transaction stands in front of a transaction, whose end it sees.
type transaction struct {
	gorm.ConnPool
	end  gorm.TxCommitter // the same as ConnPool
	ctx  context.Context  // with which database/sql began it; nil where others did
	pool *Pool
	held held
	standing
}

// preparable is a transaction whose connection can run prepared statements: what GORM asks of one
// with PrepareStmt.
type preparable struct {
	*transaction
	statements interface {
		StmtContext(ctx context.Context, stmt *sql.Stmt) *sql.Stmt
	}
}

// StmtContext implements gorm.Tx. The statement is about to run, with the same context.
func (t *preparable) StmtContext(ctx context.Context, stmt *sql.Stmt) *sql.Stmt {
	tok, query, lazily := tokenIn(ctx, t.pool.log), textOf(stmt), true
	if tok != nil {
		query, lazily = tok.query, tok.lazily
	}
	if after := t.statement(tok, query, lazily); after != nil {
		after(nil)
	}
	if tok == nil {
		// Its error, which else is seen by who put the token there, nobody sees.
		t.held.fail()
		t.over()
	}
	return t.statements.StmtContext(ctx, stmt)
}

// ExecContext implements gorm.ConnPool.
func (t *transaction) ExecContext(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	tok := tokenIn(ctx, t.pool.log)
	defer func() { t.returned(tok, err) }()
	if after := t.statement(tok, query, tok != nil && tok.lazily); after != nil {
		err = ErrUnknownOutcome
		defer func() { after(err) }()
	}
	result, err = t.ConnPool.ExecContext(ctx, query, args...)
	return result, err
}

// QueryContext implements gorm.ConnPool.
func (t *transaction) QueryContext(ctx context.Context, query string, args ...any) (rows *sql.Rows, err error) {
	tok := tokenIn(ctx, t.pool.log)
	defer func() {
		if t.returned(tok, err); err == nil && tok == nil {
			t.reading(rows)
		}
	}()
	if after := t.statement(tok, query, tok == nil || tok.lazily); after != nil {
		err = ErrUnknownOutcome
		defer func() { after(err) }()
	}
	rows, err = t.ConnPool.QueryContext(ctx, query, args...)
	return rows, err
}

// QueryRowContext implements gorm.ConnPool.
func (t *transaction) QueryRowContext(ctx context.Context, query string, args ...any) (row *sql.Row) {
	err := ErrUnknownOutcome
	tok := tokenIn(ctx, t.pool.log)
	defer func() {
		if t.returned(tok, err); err == nil && tok == nil {
			t.readingRow(row)
		}
	}()
	if after := t.statement(tok, query, tok == nil || tok.lazily); after != nil {
		defer func() { after(err) }()
	}
	if row = t.ConnPool.QueryRowContext(ctx, query, args...); row != nil {
		err = row.Err()
	}
	return row
}

// returned notes how a statement ended. Who gave it a token calls Ran, once what it wrote is done.
func (t *transaction) returned(tok *Token, err error) {
	switch {
	case tok == nil:
		t.failed(err)
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		t.over()
	}
}

// statement is called before a statement runs in the transaction, with its token if it has one:
// without it code that goes past GORM's callbacks has sent it, and its text tells what it does.
// What statement returns is called after it, with its error. lazily says that it may run later than
// that.
func (t *transaction) statement(tok *Token, query string, lazily bool) (after func(error)) {
	l := t.held.log
	t.heed()
	if tok.noted(query) {
		return nil
	}
	if tok.met(query, t); tok.reads(query) {
		return nil
	}
	meaning := l.Footprints.Meaning(query)
	t.does(meaning.Within)
	if l.leaves(meaning); meaning.Inside {
		return nil
	}
	switch meaning.Kind {
	case sqltext.Read:
		return nil
	case sqltext.Savepoint, sqltext.RollbackTo, sqltext.Release:
		return t.held.point(meaning.Kind, meaning.Name)
	case sqltext.Write:
	default:
		// It may have ended the transaction, and so made visible all that is held, which everything
		// covers.
		if !meaning.Stays {
			t.held.lose()
		}
	}
	var dones []func(Ending)
	for _, w := range l.changes(tok, query, meaning) {
		dones = append(dones, t.held.write(w, lazily))
	}
	return func(err error) {
		e := Ending{Err: err, commit: meaning.Kind != sqltext.Write && !meaning.Stays}
		if err == driver.ErrSkip {
			e.Err = nil // it was not sent, and comes again
		}
		for _, done := range dones {
			done(e)
		}
	}
}

// GetDBConn implements gorm.GetDBConnector.
func (t *transaction) GetDBConn() (*sql.DB, error) { return t.pool.GetDBConn() }

// Commit implements gorm.TxCommitter. For a context that is done already database/sql sends no
// COMMIT: it rolls back.
func (t *transaction) Commit() error {
	var late error
	ctx := context.Background()
	if t.ctx != nil {
		ctx, late = t.ctx, t.ctx.Err()
	}
	t.over()
	return t.held.commit(ctx, t.end.Commit, t.end.Rollback, late, func() string { return t.pool.log.nameOf(t.ConnPool) })
}

// Rollback implements gorm.TxCommitter.
func (t *transaction) Rollback() error {
	t.over()
	return t.held.rollback(t.end.Rollback)
}
