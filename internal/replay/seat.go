package replay

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
)

// seat is a connection to no database, which answers a query with the rows that it was given. It
// is used by one *sql.Rows at a time.
//
// Its pool is closed as soon as it has given the connection away. That ends the goroutine that each
// pool has, and leaves the connection usable, as it does a transaction that is open when its pool
// is closed. So a seat is nothing but memory: seats that are not used are left to the garbage
// collector, and no lock is shared by all readers as the one of a common pool would be.
type seat struct {
	conn *sql.Conn
	// What the next query is answered with.
	rows driver.Rows
	err  error
}

var seats = sync.Pool{New: func() any { return newSeat() }}

func newSeat() *seat {
	s := &seat{}
	db := sql.OpenDB(s)
	conn, err := db.Conn(context.Background())
	if err != nil {
		panic(err) // Connect has no error
	}
	s.conn = conn
	_ = db.Close()
	return s
}

// Connect implements driver.Connector.
func (s *seat) Connect(context.Context) (driver.Conn, error) { return s, nil }

// Driver implements driver.Connector.
func (s *seat) Driver() driver.Driver { return nil }

// Prepare implements driver.Conn.
func (s *seat) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }

// Begin implements driver.Conn.
func (s *seat) Begin() (driver.Tx, error) { return nil, driver.ErrSkip }

// Close implements driver.Conn.
func (s *seat) Close() error { return nil }

// QueryContext implements driver.QueryerContext.
func (s *seat) QueryContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.rows, s.err
	s.rows, s.err = nil, nil
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// seated are rows that take a seat, and leave it when they are closed.
type seated interface {
	driver.Rows
	sit(*seat)
}

// open has database/sql read the rows. With an error they were not closed.
func open(ctx context.Context, rows seated) (*sql.Rows, error) {
	s := seats.Get().(*seat)
	s.rows = rows
	rows.sit(s)
	opened, err := s.conn.QueryContext(ctx, "")
	if err != nil {
		s.free(err)
	}
	return opened, err
}

// openRow has database/sql read the first of the rows, unless there is an error, which is the row's
// then.
func openRow(ctx context.Context, rows seated, err error) *sql.Row {
	s := seats.Get().(*seat)
	if s.err = err; err == nil {
		s.rows = rows
		rows.sit(s)
	}
	row := s.conn.QueryRowContext(ctx, "")
	if err := row.Err(); err != nil {
		s.free(err)
	}
	return row
}

// free lets others have the seat, unless database/sql closes its connection because of the error
// that a query, or the Close of its rows, returned.
func (s *seat) free(err error) {
	if !errors.Is(err, driver.ErrBadConn) {
		seats.Put(s)
	}
}

// place is where rows sit.
type place struct{ seat *seat }

func (p *place) sit(s *seat) { p.seat = s }

// leave is called with the error of Close. Rows that database/sql reads on a connection of their
// own driver have no seat.
func (p *place) leave(err error) {
	if p.seat != nil {
		p.seat.free(err)
		p.seat = nil
	}
}
