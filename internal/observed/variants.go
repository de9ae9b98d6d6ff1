//lint:file-ignore SA1019 what drivers may still have is repeated exactly, old interfaces too

package observed

import "database/sql/driver"

// always is what every connection has.
type always interface {
	driver.Conn
	driver.Pinger
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.NamedValueChecker
	observedConn() driver.Conn
	observedBy() *Hub
}

// newConn returns a connection that is observed, with those four interfaces that the driver's has
// and whose absence shows: without the first two every statement is prepared; without the last two
// a connection goes back to the pool unasked, also one on which a call was cancelled.
func newConn(inner driver.Conn, hub *Hub) driver.Conn {
	s := &session{inner: inner, hub: hub}
	var c always = conn{s}
	_, executes := inner.(driver.ExecerContext)
	if !executes {
		_, executes = inner.(driver.Execer) //nolint:staticcheck // what older drivers have
	}
	_, queries := inner.(driver.QueryerContext)
	if !queries {
		_, queries = inner.(driver.Queryer) //nolint:staticcheck // likewise
	}
	resetter, resets := inner.(driver.SessionResetter)
	validator, validates := inner.(driver.Validator)
	which := 0
	for i, has := range []bool{executes, queries, resets, validates} {
		if has {
			which |= 1 << i
		}
	}
	switch which {
	case 1:
		return struct {
			always
			driver.ExecerContext
		}{c, execer{s}}
	case 2:
		return struct {
			always
			driver.QueryerContext
		}{c, queryer{s}}
	case 3:
		return struct {
			always
			driver.ExecerContext
			driver.QueryerContext
		}{c, execer{s}, queryer{s}}
	case 4:
		return struct {
			always
			driver.SessionResetter
		}{c, resetter}
	case 5:
		return struct {
			always
			driver.ExecerContext
			driver.SessionResetter
		}{c, execer{s}, resetter}
	case 6:
		return struct {
			always
			driver.QueryerContext
			driver.SessionResetter
		}{c, queryer{s}, resetter}
	case 7:
		return struct {
			always
			driver.ExecerContext
			driver.QueryerContext
			driver.SessionResetter
		}{c, execer{s}, queryer{s}, resetter}
	case 8:
		return struct {
			always
			driver.Validator
		}{c, validator}
	case 9:
		return struct {
			always
			driver.ExecerContext
			driver.Validator
		}{c, execer{s}, validator}
	case 10:
		return struct {
			always
			driver.QueryerContext
			driver.Validator
		}{c, queryer{s}, validator}
	case 11:
		return struct {
			always
			driver.ExecerContext
			driver.QueryerContext
			driver.Validator
		}{c, execer{s}, queryer{s}, validator}
	case 12:
		return struct {
			always
			driver.SessionResetter
			driver.Validator
		}{c, resetter, validator}
	case 13:
		return struct {
			always
			driver.ExecerContext
			driver.SessionResetter
			driver.Validator
		}{c, execer{s}, resetter, validator}
	case 14:
		return struct {
			always
			driver.QueryerContext
			driver.SessionResetter
			driver.Validator
		}{c, queryer{s}, resetter, validator}
	case 15:
		return struct {
			always
			driver.ExecerContext
			driver.QueryerContext
			driver.SessionResetter
			driver.Validator
		}{c, execer{s}, queryer{s}, resetter, validator}
	}
	return c
}
