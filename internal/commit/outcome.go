package commit

import (
	"cmp"
	"database/sql"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// outcome is what is known of a write, or of a commit, that returned.
type outcome uint8

const (
	// unknown says that the write may become visible later, or for the first time: nobody who could
	// know said that it ended.
	unknown outcome = iota
	// ended says that the write will not change anything any more. It is visible, or never will be.
	ended
)

// outcomeOf says what is known of a statement that returned this error, or of a commit. An outcome
// is known only if the database answered: an error counts as unknown unless it is known to be an
// answer. Of several errors in one, all must be.
//
// The drivers are not imported. Their errors are recognized by their methods and fields.
func outcomeOf(err error, commit bool) (o outcome) {
	defer func() {
		if recover() != nil { // a method of an error that cannot be called
			o = unknown
		}
	}()
	for err != nil {
		for _, answer := range answers {
			if o, ok := answer(err, commit); ok {
				return o
			}
		}
		switch wrapped := err.(type) {
		case interface{ Unwrap() error }:
			if err = wrapped.Unwrap(); err == nil {
				return unknown
			}
		case interface{ Unwrap() []error }:
			all := wrapped.Unwrap()
			if len(all) == 0 || slices.ContainsFunc(all, func(one error) bool { return outcomeOf(one, commit) == unknown }) {
				return unknown
			}
			return ended
		default:
			return unknown
		}
	}
	return ended
}

// answers recognize, each for one source of errors, whether an error is of that source, and what it
// then says.
var answers = []func(err error, commit bool) (o outcome, ok bool){unsent, unconnected, rolledBack, ofPostgres, ofMySQL, ofSQLite, ofSQLServer}

func endedIf(is bool) outcome {
	if is {
		return ended
	}
	return unknown
}

// unsent recognizes what database/sql, GORM and drivers say of a statement that they did not send,
// and GORM's names of answers (with TranslateError, which may hide the answer).
func unsent(err error, _ bool) (outcome, bool) {
	switch err {
	case sql.ErrTxDone,
		gorm.ErrRecordNotFound, gorm.ErrDuplicatedKey, gorm.ErrForeignKeyViolated, gorm.ErrCheckConstraintViolated, gorm.ErrInvalidField,
		gorm.ErrInvalidTransaction, gorm.ErrMissingWhereClause, gorm.ErrPrimaryKeyRequired, gorm.ErrModelValueRequired,
		gorm.ErrUnsupportedDriver, gorm.ErrEmptySlice, gorm.ErrInvalidDB:
		return ended, true
	}
	return ended, unsentText.MatchString(err.Error())
}

// unsentText is how errors begin that say that the arguments of a statement could not be sent:
// those of database/sql, of pgx and of github.com/go-sql-driver/mysql.
var unsentText = regexp.MustCompile(`^(sql: converting argument |sql: expected \d+ arguments, got |` +
	`failed to encode args\[|expected \d+ arguments, got |mismatched param and argument count|insufficient arguments|extra arguments provided|` +
	`extended protocol limited to \d+ parameters|packet for query is too large)`)

// unconnected recognizes that no connection could be opened to send a statement on: the network's
// error, and that of pgx, which also has the answer of a server that let nobody in. A statement
// that may have been sent before is not tried again.
func unconnected(err error, commit bool) (outcome, bool) {
	if network, ok := err.(*net.OpError); ok {
		return endedIf(!commit), network.Op == "dial"
	}
	t := typeOf(err)
	return endedIf(!commit), t.Name() == "ConnectError" && strings.HasSuffix(t.PkgPath(), "/pgconn")
}

// rolledBack recognizes a commit that rolled back because a statement before it had failed. pgx and
// lib/pq have no more than a text for it.
func rolledBack(err error, _ bool) (outcome, bool) {
	switch err.Error() {
	case "commit unexpectedly resulted in rollback", "pq: Could not complete operation in a failed transaction":
		return ended, true
	}
	return unknown, false
}

// ofPostgres recognizes the errors of pgx and of lib/pq, and of all that have an SQLSTATE. One ends
// the transaction that it meets, unless it ends the session: a COMMIT that waits for a standby is
// then done although an error was sent.
func ofPostgres(err error, _ bool) (outcome, bool) {
	coded, ok := err.(interface{ SQLState() string })
	if !ok {
		return unknown, false
	}
	state := coded.SQLState()
	switch {
	case len(state) != 5,
		strings.HasPrefix(state, "08"),  // connection exceptions
		strings.HasPrefix(state, "57P"), // the server or the session is shut down
		strings.HasPrefix(state, "58"),  // errors of the system, or of a pooler on the way
		strings.HasPrefix(state, "XX"),  // internal errors
		state == "40003":                // completion unknown
		return unknown, true
	}
	for _, name := range []string{"Severity", "SeverityUnlocalized"} {
		switch field(err, name).String() {
		case "FATAL", "PANIC":
			return unknown, true
		}
	}
	return ended, true
}

// ofMySQL recognizes the errors of github.com/go-sql-driver/mysql. A statement that failed has
// ended. A COMMIT that failed may leave its transaction open on a connection that is used again,
// unless the error says that it was rolled back.
func ofMySQL(err error, commit bool) (outcome, bool) {
	number := field(err, "Number")
	if !number.IsValid() || !number.CanUint() || typeOf(err).Name() != "MySQLError" {
		return unknown, false
	}
	var state string
	if bytes := field(err, "SQLState"); bytes.IsValid() && bytes.Kind() == reflect.Array && bytes.Type().Elem().Kind() == reflect.Uint8 {
		for i := range bytes.Len() {
			state += string(rune(bytes.Index(i).Uint()))
		}
	}
	switch n := number.Uint(); {
	case n == 0, strings.HasPrefix(state, "08"), state == "40003",
		n == 1053,              // shutdown in progress
		n == 1080,              // the connection is closed by force
		n >= 1152 && n <= 1161, // the network failed
		n == 1180,              // error during COMMIT
		n == 1105,              // unknown error; Vitess says so of connections that it lost
		n == 1184,              // new aborting connection
		n == 1927, n == 3169,   // the session was killed
		n == 4031,              // the session was idle for too long
		n == 8501,              // TiDB does not know the outcome
		n >= 2000 && n < 3000,  // a client's own, which a proxy passes on
		n >= 9000 && n < 10000: // a proxy's own, or TiDB's of its store
		return unknown, true
	case commit:
		return endedIf(n == 1213 || strings.HasPrefix(state, "40")), true
	}
	return ended, true
}

// ofSQLite recognizes the errors of github.com/mattn/go-sqlite3, modernc.org/sqlite and
// github.com/glebarez/go-sqlite. SQLite works within the call: a statement has ended when it
// returns. A COMMIT that failed leaves its transaction open; mattn's driver then rolls it back.
func ofSQLite(err error, commit bool) (outcome, bool) {
	mattn := true
	var code int64
	switch primary, extended := field(err, "Code"), field(err, "ExtendedCode"); {
	case primary.IsValid() && extended.IsValid() && primary.CanInt() && extended.CanInt():
		code = primary.Int()
	default:
		coded, ok := err.(interface{ Code() int })
		if !ok || !strings.Contains(typeOf(err).PkgPath(), "sqlite") {
			return unknown, false
		}
		mattn, code = false, int64(coded.Code())
	}
	switch code & 0xff {
	case 0, 2, 7, 10, 11, 13, 15, 21: // none; internal, no memory, I/O, corrupt, full, protocol, misuse
		return unknown, true
	}
	return endedIf(mattn || !commit), true
}

// ofSQLServer recognizes the errors of github.com/microsoft/go-mssqldb. From class 20 on they end
// the connection.
func ofSQLServer(err error, _ bool) (outcome, bool) {
	coded, ok := err.(interface {
		SQLErrorNumber() int32
		SQLErrorClass() uint8
	})
	if !ok {
		return unknown, false
	}
	return endedIf(coded.SQLErrorNumber() != 0 && coded.SQLErrorClass() < 20), true
}

// field returns a field of an error that is a struct, or points to one; else the zero Value.
func field(err error, name string) reflect.Value {
	if v := reflect.Indirect(reflect.ValueOf(err)); v.Kind() == reflect.Struct {
		return v.FieldByName(name)
	}
	return reflect.Value{}
}

func typeOf(err error) reflect.Type {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// Ending is how a statement, or a commit, returned.
type Ending struct {
	Err error
	// commit says that the statement was, or may have been, a COMMIT.
	commit bool
	// Unseen says that it may go on after it returned, whatever it returned.
	Unseen bool
	// Why says why it does; "" stands for OtherPool.
	Why Why
}

// lingers is how many hold-outs a server is thought to go on with what it was doing when its client
// was lost. It does so for as long as it waits for locks, and a COMMIT may still be on its way to
// it.
const lingers = 60

// holdAfter returns how long the tables of a write stay out of the cache after it returned.
func (l *Log) holdAfter(e Ending) Hold {
	switch {
	case outcomeOf(e.Err, e.commit) == unknown && !l.inCall():
		return Hold{times(l.HoldOut, lingers), Unanswered}
	case outcomeOf(e.Err, e.commit) == unknown:
		return Hold{l.HoldOut, Unanswered}
	case e.Unseen:
		return Hold{l.HoldOut, cmp.Or(e.Why, OtherPool)}
	}
	return Hold{}
}

// inCall reports whether the database does all of its work within the calls of its driver.
func (l *Log) inCall() bool { return l.dialect == "sqlite" }

// times returns d*n, or the longest duration there is.
func times(d time.Duration, n int64) time.Duration {
	if long := time.Duration(1<<63 - 1); d > long/time.Duration(n) {
		return long
	}
	return d * time.Duration(n)
}
