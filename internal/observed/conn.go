//lint:file-ignore SA1019 what drivers may still have is repeated exactly, old interfaces too

package observed

import (
	"context"
	"database/sql/driver"
	"errors"
)

// conn has what every connection has, and those optional interfaces whose absence database/sql
// treats in a way that can be repeated here.
type conn struct{ *session }

var (
	_ driver.Pinger             = conn{}
	_ driver.ConnPrepareContext = conn{}
	_ driver.ConnBeginTx        = conn{}
	_ driver.NamedValueChecker  = conn{}
)

func (c conn) observedConn() driver.Conn { return c.inner }
func (c conn) observedBy() *Hub          { return c.hub }

// Close implements driver.Conn.
func (c conn) Close() error { return c.close() }

// Ping implements driver.Pinger.
func (c conn) Ping(ctx context.Context) error {
	if inner, ok := c.inner.(driver.Pinger); ok {
		return inner.Ping(ctx)
	}
	return nil
}

// CheckNamedValue implements driver.NamedValueChecker.
func (c conn) CheckNamedValue(v *driver.NamedValue) error {
	if inner, ok := c.inner.(driver.NamedValueChecker); ok {
		return inner.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// Prepare implements driver.Conn.
func (c conn) Prepare(query string) (driver.Stmt, error) {
	inner, err := c.inner.Prepare(query)
	if err != nil {
		return nil, err
	}
	return newStmt(inner, c, query), nil
}

// PrepareContext implements driver.ConnPrepareContext.
func (c conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	preparer, ok := c.inner.(driver.ConnPrepareContext)
	if !ok {
		stmt, err := c.Prepare(query)
		if err == nil && ctx.Err() != nil {
			_ = stmt.Close()
			return nil, ctx.Err()
		}
		return stmt, err
	}
	inner, err := preparer.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return newStmt(inner, c, query), nil
}

// Begin implements driver.Conn.
func (c conn) Begin() (driver.Tx, error) {
	inner, err := c.inner.Begin() //nolint:staticcheck // what a driver without ConnBeginTx has
	return c.began(context.Background(), driver.TxOptions{}, inner, err)
}

// BeginTx implements driver.ConnBeginTx.
func (c conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if inner, ok := c.inner.(driver.ConnBeginTx); ok {
		begun, err := inner.BeginTx(ctx, opts)
		return c.began(ctx, opts, begun, err)
	}
	switch {
	case opts.Isolation != 0:
		return nil, errors.New("sql: driver does not support non-default isolation level")
	case opts.ReadOnly:
		return nil, errors.New("sql: driver does not support read-only transactions")
	}
	inner, err := c.inner.Begin() //nolint:staticcheck // see Begin
	if err == nil && ctx.Err() != nil {
		_ = inner.Rollback()
		return nil, ctx.Err()
	}
	return c.began(ctx, opts, inner, err)
}

func (c conn) began(ctx context.Context, opts driver.TxOptions, inner driver.Tx, err error) (driver.Tx, error) {
	if err != nil {
		return nil, err
	}
	c.begun(ctx, opts)
	return tx{c.session, inner}, nil
}

type tx struct {
	session *session
	inner   driver.Tx
}

// Commit implements driver.Tx.
func (t tx) Commit() error { return t.session.end(Watch.Commit, t.inner.Commit) }

// Rollback implements driver.Tx.
func (t tx) Rollback() error { return t.session.end(Watch.Rollback, t.inner.Rollback) }

// positional is what a driver takes that knows no names of values.
func positional(ctx context.Context, named []driver.NamedValue) ([]driver.Value, error) {
	values := make([]driver.Value, len(named))
	for i, v := range named {
		if v.Name != "" {
			return nil, errors.New("sql: driver does not support the use of Named Parameters")
		}
		values[i] = v.Value
	}
	return values, ctx.Err()
}

type execer struct{ *session }

// ExecContext implements driver.ExecerContext.
func (e execer) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	after := e.before(ctx, query, false)
	err = ErrPanic
	defer func() { e.after(after, err) }()
	if inner, ok := e.inner.(driver.ExecerContext); ok {
		result, err = inner.ExecContext(ctx, query, args)
		return result, err
	}
	values, err := positional(ctx, args)
	if err != nil {
		return nil, err
	}
	err = ErrPanic
	result, err = e.inner.(driver.Execer).Exec(query, values) //nolint:staticcheck // what older drivers have
	return result, err
}

type queryer struct{ *session }

// QueryContext implements driver.QueryerContext.
func (q queryer) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	after := q.before(ctx, query, true)
	err = ErrPanic
	defer func() { q.after(after, err) }()
	if inner, ok := q.inner.(driver.QueryerContext); ok {
		rows, err = q.read(inner.QueryContext(ctx, query, args))
		return rows, err
	}
	values, err := positional(ctx, args)
	if err != nil {
		return nil, err
	}
	err = ErrPanic
	rows, err = q.read(q.inner.(driver.Queryer).Query(query, values)) //nolint:staticcheck // what older drivers have
	return rows, err
}

// stmt is a prepared statement.
type stmt struct {
	driver.Stmt
	conn  conn
	query string
}

// newStmt returns a statement with a ColumnConverter where the driver's has one: that it is absent
// is the only absence that shows.
func newStmt(inner driver.Stmt, c conn, query string) driver.Stmt {
	s := &stmt{inner, c, query}
	if converter, ok := inner.(driver.ColumnConverter); ok { //nolint:staticcheck // what older drivers have
		return struct {
			*stmt
			driver.ColumnConverter //nolint:staticcheck // likewise
		}{s, converter}
	}
	return s
}

// CheckNamedValue implements driver.NamedValueChecker.
func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if inner, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return inner.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	after := s.conn.before(ctx, s.query, false)
	err = ErrPanic
	defer func() { s.conn.after(after, err) }()
	if inner, ok := s.Stmt.(driver.StmtExecContext); ok {
		result, err = inner.ExecContext(ctx, args)
		return result, err
	}
	values, err := positional(ctx, args)
	if err != nil {
		return nil, err
	}
	err = ErrPanic
	result, err = s.Stmt.Exec(values) //nolint:staticcheck // what older drivers have
	return result, err
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	after := s.conn.before(ctx, s.query, true)
	err = ErrPanic
	defer func() { s.conn.after(after, err) }()
	if inner, ok := s.Stmt.(driver.StmtQueryContext); ok {
		rows, err = s.conn.read(inner.QueryContext(ctx, args))
		return rows, err
	}
	values, err := positional(ctx, args)
	if err != nil {
		return nil, err
	}
	err = ErrPanic
	rows, err = s.conn.read(s.Stmt.Query(values)) //nolint:staticcheck // what older drivers have
	return rows, err
}
