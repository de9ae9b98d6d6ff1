package database

import (
	"context"
	"database/sql/driver"
	"sync/atomic"
)

// Counts counts what reached a database. It is safe for concurrent use.
type Counts struct {
	Queries     atomic.Int64 // statements that return rows
	Execs       atomic.Int64 // others
	Connections atomic.Int64 // that were opened
	// Seen is called with each statement that the database has answered, on the goroutine that sent
	// it and before the sender gets the answer; nil for nobody. It may wait, as if the database were
	// further away, and an error that it returns is what the sender gets instead of the answer. It is
	// set before the database is opened.
	Seen func(ctx context.Context, statement string) error
}

// count counts a statement that was answered, and returns the error that its sender gets.
func (c *Counts) count(ctx context.Context, n *atomic.Int64, statement string, err error) error {
	n.Add(1)
	if c.Seen != nil {
		if seen := c.Seen(ctx, statement); err == nil {
			err = seen
		}
	}
	return err
}

// countRows counts a statement that returns rows.
func (c *Counts) countRows(ctx context.Context, statement string, rows driver.Rows, err error) (driver.Rows, error) {
	if err = c.count(ctx, &c.Queries, statement, err); err != nil {
		if rows != nil {
			_ = rows.Close()
		}
		return nil, err
	}
	return rows, nil
}

// connector opens connections of a driver, and counts.
type connector struct {
	driver driver.Driver
	dsn    string
	counts *Counts
}

func (c *connector) Driver() driver.Driver { return c.driver }

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	inner, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	c.counts.Connections.Add(1)
	return &conn{inner, c.counts}, nil
}

// conn passes all on to a connection of one of the three drivers, which have these methods or can
// do without.
type conn struct {
	driver.Conn
	counts *Counts
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	if err == driver.ErrSkip { // database/sql prepares the statement, and it comes by again
		return nil, err
	}
	return c.counts.countRows(ctx, query, rows, err)
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
	if err == driver.ErrSkip {
		return nil, err
	}
	return result, c.counts.count(ctx, &c.counts.Execs, query, err)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	inner, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &stmt{inner, c, query}, nil
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
}

func (c *conn) Ping(ctx context.Context) error { return c.Conn.(driver.Pinger).Ping(ctx) }

func (c *conn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *conn) IsValid() bool {
	v, ok := c.Conn.(driver.Validator)
	return !ok || v.IsValid()
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// stmt is a prepared statement of a conn.
type stmt struct {
	driver.Stmt
	conn  *conn
	query string
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	return s.conn.counts.countRows(ctx, s.query, rows, err)
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	result, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	return result, s.conn.counts.count(ctx, &s.conn.counts.Execs, s.query, err)
}

func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}
