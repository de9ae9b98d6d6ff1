package preload

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"gorm.io/gorm"
)

// begin is called before changes are made on a connection. What it returns is called after, with the error that the
// statement ended with. unseenEnd says that the statement may go on after it returned.
func (p *Plugin) begin(conn gorm.ConnPool, w written, unseenEnd bool) (done func(error)) {
	nothing := func(error) {}
	if len(w.changes) == 0 {
		return nothing
	}
	switch conn := unwrap(conn).(type) {
	case *transaction:
		if conn.pool.plugin == p {
			conn.hold(w)
			if !conn.lost() {
				return nothing
			}
		}
		unseenEnd = true
	case *pool, *sql.DB:
		unseenEnd = unseenEnd || p.raw.open()
	default:
		// A transaction, or a connection that may be in one, whose end cannot be seen.
		unseenEnd = true
	}
	lingers := p.config.holdOut
	if p.db.Name() == "mysql" {
		// The server goes on with a statement whose client is gone, for as long as it waits for locks.
		lingers *= rawLimit
	}
	finish := p.announce([]written{w}, lingers)
	return func(err error) {
		if unseenEnd {
			err = errUnknownOutcome
		}
		finish(err)
	}
}

// unknownOutcome reports whether a write that returned this error may yet become visible: its connection or its context
// ended before the database answered.
func unknownOutcome(err error) bool {
	if err == nil || errors.Is(err, sql.ErrTxDone) {
		return false
	}
	var network net.Error
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}
