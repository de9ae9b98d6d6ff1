// Package counting counts the statements that reach a database. Its Pool stands between GORM and
// the connection pool, underneath any plugin, so that it sees what was really sent.
package counting

import (
	"context"
	"database/sql"
	"strings"
	"sync/atomic"

	"gorm.io/gorm"
)

// Pool is a gorm.ConnPool that counts. Statements prepared with it are not counted when they run,
// so it is not for sessions with PrepareStmt.
type Pool struct {
	*sql.DB
	reads, writes atomic.Int64
}

// New returns a Pool in front of conn.
func New(conn *sql.DB) *Pool { return &Pool{DB: conn} }

// Reads returns how many SELECT statements were sent since the last Reset.
func (p *Pool) Reads() int64 { return p.reads.Load() }

// Writes returns how many other statements were sent since the last Reset.
func (p *Pool) Writes() int64 { return p.writes.Load() }

// Reset sets the counters to zero.
func (p *Pool) Reset() {
	p.reads.Store(0)
	p.writes.Store(0)
}

func (p *Pool) count(query string) {
	// By the text: INSERT ... RETURNING is asked as a query, too.
	if word, _, _ := strings.Cut(strings.TrimSpace(query), " "); strings.EqualFold(word, "SELECT") {
		p.reads.Add(1)
	} else {
		p.writes.Add(1)
	}
}

// ExecContext implements gorm.ConnPool.
func (p *Pool) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	p.count(query)
	return p.DB.ExecContext(ctx, query, args...)
}

// QueryContext implements gorm.ConnPool.
func (p *Pool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	p.count(query)
	return p.DB.QueryContext(ctx, query, args...)
}

// QueryRowContext implements gorm.ConnPool.
func (p *Pool) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	p.count(query)
	return p.DB.QueryRowContext(ctx, query, args...)
}

// BeginTx implements gorm.ConnPoolBeginner.
func (p *Pool) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := p.DB.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &transaction{tx, p}, nil
}

// GetDBConn implements gorm.GetDBConnector.
func (p *Pool) GetDBConn() (*sql.DB, error) { return p.DB, nil }

type transaction struct {
	*sql.Tx
	pool *Pool
}

func (t *transaction) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	t.pool.count(query)
	return t.Tx.ExecContext(ctx, query, args...)
}

func (t *transaction) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	t.pool.count(query)
	return t.Tx.QueryContext(ctx, query, args...)
}

func (t *transaction) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	t.pool.count(query)
	return t.Tx.QueryRowContext(ctx, query, args...)
}
