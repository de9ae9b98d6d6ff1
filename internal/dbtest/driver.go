package dbtest

import (
	"context"
	"database/sql/driver"
	"sync/atomic"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// connector opens connections of a driver and shows their calls to a Probe.
type connector struct {
	driver driver.Driver
	dsn    string
	probe  *Probe
}

func (c *connector) Driver() driver.Driver { return c.driver }

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner, probe: c.probe}, nil
}

// open opens a connection as database/sql does by itself: the context ends the attempt.
func (c *connector) open(ctx context.Context) (driver.Conn, error) {
	with, ok := c.driver.(driver.DriverContext)
	if !ok {
		return c.driver.Open(c.dsn)
	}
	inner, err := with.OpenConnector(c.dsn)
	if err != nil {
		return nil, err
	}
	return inner.Connect(ctx)
}

// quietMySQL is the driver without its own lines about connections that were lost.
type quietMySQL struct{ mysqldriver.MySQLDriver }

// OpenConnector implements driver.DriverContext.
func (quietMySQL) OpenConnector(dsn string) (driver.Connector, error) {
	config, err := mysqldriver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	config.Logger = &mysqldriver.NopLogger{}
	return mysqldriver.NewConnector(config)
}

// conn passes everything on to a connection of one of the drivers that are used here, which all
// have these methods.
type conn struct {
	driver.Conn
	probe *Probe
	inTx  atomic.Bool
}

func (c *conn) call(ctx context.Context, op, sql string, args []driver.NamedValue) Call {
	return Call{Context: ctx, Op: op, SQL: sql, Args: args, InTx: c.inTx.Load()}
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	inner, ok := c.Conn.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	call := c.call(ctx, "query", query, args)
	if err := c.probe.enter(call); err != nil {
		return nil, err
	}
	rows, err := inner.QueryContext(ctx, query, args)
	if err == driver.ErrSkip {
		// database/sql prepares it and comes again.
		c.probe.count(query, -1)
		return nil, err
	}
	if failed := c.probe.leave(call, err); failed != nil {
		if rows != nil {
			_ = rows.Close()
		}
		return nil, failed
	}
	return rows, err
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	inner, ok := c.Conn.(driver.ExecerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	call := c.call(ctx, "exec", query, args)
	if err := c.probe.enter(call); err != nil {
		return nil, err
	}
	result, err := inner.ExecContext(ctx, query, args)
	if err == driver.ErrSkip {
		c.probe.execs.Add(-1)
		return nil, err
	}
	return result, c.probe.leave(call, err)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	var (
		inner driver.Stmt
		err   error
	)
	if p, ok := c.Conn.(driver.ConnPrepareContext); ok {
		inner, err = p.PrepareContext(ctx, query)
	} else {
		inner, err = c.Conn.Prepare(query)
	}
	if err != nil {
		return nil, err
	}
	return &stmt{Stmt: inner, conn: c, query: query}, nil
}

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	call := c.call(ctx, "begin", "", nil)
	if err := c.probe.enter(call); err != nil {
		return nil, err
	}
	inner, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts) // the drivers here all have it
	if err = c.probe.leave(call, err); err != nil {
		return nil, err
	}
	c.inTx.Store(true)
	return &tx{inner, c, ctx}, nil
}

func (c *conn) Ping(ctx context.Context) error {
	if p, ok := c.Conn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

func (c *conn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *conn) IsValid() bool {
	if v, ok := c.Conn.(driver.Validator); ok {
		return v.IsValid()
	}
	return true
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type tx struct {
	driver.Tx
	conn *conn
	ctx  context.Context
}

func (t *tx) Commit() error { return t.end("commit", t.Tx.Commit) }

func (t *tx) Rollback() error { return t.end("rollback", t.Tx.Rollback) }

func (t *tx) end(op string, do func() error) error {
	call := t.conn.call(t.ctx, op, "", nil)
	if err := t.conn.probe.enter(call); err != nil {
		// database/sql takes the transaction for ended, so it must not stay open on the connection.
		_ = t.Tx.Rollback()
		t.conn.inTx.Store(false)
		return err
	}
	err := do()
	t.conn.inTx.Store(false)
	return t.conn.probe.leave(call, err)
}

type stmt struct {
	driver.Stmt
	conn  *conn
	query string
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	call := s.conn.call(ctx, "query", s.query, args)
	if err := s.conn.probe.enter(call); err != nil {
		return nil, err
	}
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if failed := s.conn.probe.leave(call, err); failed != nil {
		if rows != nil {
			_ = rows.Close()
		}
		return nil, failed
	}
	return rows, err
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	call := s.conn.call(ctx, "exec", s.query, args)
	if err := s.conn.probe.enter(call); err != nil {
		return nil, err
	}
	result, err := s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
	return result, s.conn.probe.leave(call, err)
}

func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}
