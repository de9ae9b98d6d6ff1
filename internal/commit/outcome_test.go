package commit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/gorm-preload/preload/internal/dbtest/puresqlite"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/mattn/go-sqlite3"
	"gorm.io/gorm"
)

// pqError is shaped as the error of lib/pq.
type pqError struct{ Severity, code string }

func (e *pqError) Error() string    { return "pq: " + e.code }
func (e *pqError) SQLState() string { return e.code }

// mssqlError is shaped as the error of go-mssqldb.
type mssqlError struct {
	number int32
	class  uint8
}

func (e mssqlError) Error() string         { return "mssql" }
func (e mssqlError) SQLErrorNumber() int32 { return e.number }
func (e mssqlError) SQLErrorClass() uint8  { return e.class }

// httpError has a code that no database gave.
type httpError struct{}

func (httpError) Error() string { return "service unavailable" }
func (httpError) Code() int     { return 503 }

func postgresError(code, severity string) error {
	return &pgconn.PgError{Code: code, Severity: severity, SeverityUnlocalized: severity}
}

func mysqlError(number uint16, state string) error {
	e := &mysql.MySQLError{Number: number}
	copy(e.SQLState[:], state)
	return e
}

func sqliteError(code sqlite3.ErrNo, extended int) error {
	return sqlite3.Error{Code: code, ExtendedCode: code.Extend(extended)}
}

func pureSQLiteError(code puresqlite.Error) error { return &code }

// noConnection is how pgx says that it could not open one.
func noConnection() error {
	_, err := pgconn.Connect(context.Background(), "host=127.0.0.1 port=1 sslmode=disable connect_timeout=5")
	return err
}

func TestAnOutcomeIsKnownOnlyIfTheDatabaseAnswered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name              string
		err               error
		statement, commit outcome
	}{
		{"no error", nil, ended, ended},
		{"transaction done", sql.ErrTxDone, ended, ended},
		{"not found", gorm.ErrRecordNotFound, ended, ended},
		{"translated: duplicated key", gorm.ErrDuplicatedKey, ended, ended},
		{"translated: foreign key", gorm.ErrForeignKeyViolated, ended, ended},
		{"translated: check", gorm.ErrCheckConstraintViolated, ended, ended},
		{"translated: field", gorm.ErrInvalidField, ended, ended},
		{"argument of database/sql", errors.New("sql: converting argument $1 type: bad"), ended, ended},
		{"argument of pgx", fmt.Errorf("failed to encode args[%d]: %w", 0, io.EOF), ended, ended},
		{"number of arguments, database/sql", errors.New("sql: expected 2 arguments, got 1"), ended, ended},
		{"number of arguments, pgx", errors.New("mismatched param and argument count"), ended, ended},
		{"too many arguments", errors.New("extended protocol limited to 65535 parameters"), ended, ended},
		{"too long a packet", mysql.ErrPktTooLarge, ended, ended},
		{"GORM: no conditions", gorm.ErrMissingWhereClause, ended, ended},
		{"scan of RETURNING", errors.New("sql: expected 2 destination arguments in Scan, not 1"), unknown, unknown},

		{"any error", errors.New("lost"), unknown, unknown},
		{"unknown outcome", ErrUnknownOutcome, unknown, unknown},
		{"cancelled", context.Canceled, unknown, unknown},
		{"deadline", fmt.Errorf("timeout: %w", context.DeadlineExceeded), unknown, unknown},
		{"bad connection", driver.ErrBadConn, unknown, unknown},
		{"connection done", sql.ErrConnDone, unknown, unknown},
		{"EOF", io.EOF, unknown, unknown},
		{"unexpected EOF", fmt.Errorf("failed to receive message: %w", io.ErrUnexpectedEOF), unknown, unknown},
		{"no connection", &net.OpError{Op: "dial", Err: errors.New("refused")}, ended, unknown},
		{"network", &net.OpError{Op: "read", Err: errors.New("reset")}, unknown, unknown},
		{"a code of no database", httpError{}, unknown, unknown},
		{"an error without a value", (*pgconn.PgError)(nil), unknown, unknown},

		{"wrapped answer", fmt.Errorf("saving: %w", mysqlError(1062, "23000")), ended, unknown},
		{"two answers", errors.Join(postgresError("23505", "ERROR"), gorm.ErrDuplicatedKey), ended, ended},
		{"an answer and a lost connection", errors.Join(postgresError("23505", "ERROR"), io.EOF), unknown, unknown},
		{"wraps nothing", fmt.Errorf("%w", error(nil)), unknown, unknown},

		{"pgx: unique", postgresError("23505", "ERROR"), ended, ended},
		{"pgx: deferred constraint", postgresError("23503", "ERROR"), ended, ended},
		{"pgx: serialization", postgresError("40001", "ERROR"), ended, ended},
		{"pgx: cancelled by a timeout", postgresError("57014", "ERROR"), ended, ended},
		{"pgx: lock timeout", postgresError("55P03", "ERROR"), ended, ended},
		{"pgx: completion unknown", postgresError("40003", "ERROR"), unknown, unknown},
		{"pgx: shutdown", postgresError("57P01", "FATAL"), unknown, unknown},
		{"pgx: crash", postgresError("57P02", "FATAL"), unknown, unknown},
		{"pgx: connection", postgresError("08006", "ERROR"), unknown, unknown},
		{"pgx: system", postgresError("58030", "ERROR"), unknown, unknown},
		{"pgx: internal", postgresError("XX000", "ERROR"), unknown, unknown},
		{"pgx: panic", postgresError("53100", "PANIC"), unknown, unknown},
		{"pgx: idle in transaction", postgresError("25P03", "FATAL"), unknown, unknown},
		{"pgx: no code", postgresError("", "ERROR"), unknown, unknown},
		{"pgx: rolled back", pgx.ErrTxCommitRollback, ended, ended},
		{"pgx: no connection", noConnection(), ended, unknown},
		{"pgx: an error without a value", &pgconn.ConnectError{}, unknown, unknown},
		{"lib/pq: unique", &pqError{"ERROR", "23505"}, ended, ended},
		{"lib/pq: in another language", &pqError{"FEHLER", "23505"}, ended, ended},
		{"lib/pq: fatal", &pqError{"FATAL", "25P03"}, unknown, unknown},
		{"lib/pq: rolled back", errors.New("pq: Could not complete operation in a failed transaction"), ended, ended},

		{"mysql: duplicate", mysqlError(1062, "23000"), ended, unknown},
		{"mysql: duplicate, without state", mysqlError(1062, ""), ended, unknown},
		{"mysql: lock wait", mysqlError(1205, "HY000"), ended, unknown},
		{"mysql: deadlock", mysqlError(1213, "40001"), ended, ended},
		{"mysql: deadlock, without state", mysqlError(1213, ""), ended, ended},
		{"mysql: rolled back by the group", mysqlError(3101, "40000"), ended, ended},
		{"mysql: interrupted", mysqlError(1317, "70100"), ended, unknown},
		{"mysql: read only", mysqlError(1290, "HY000"), ended, unknown},
		{"mysql: shutdown", mysqlError(1053, "08S01"), unknown, unknown},
		{"mysql: shutdown, without state", mysqlError(1053, ""), unknown, unknown},
		{"mysql: during commit", mysqlError(1180, "HY000"), unknown, unknown},
		{"mysql: network", mysqlError(1158, ""), unknown, unknown},
		{"mysql: killed", mysqlError(1927, "70100"), unknown, unknown},
		{"mysql: lost behind a proxy", mysqlError(2013, "HY000"), unknown, unknown},
		{"mysql: a proxy's own", mysqlError(9001, "HY000"), unknown, unknown},
		{"mysql: without a number", mysqlError(0, ""), unknown, unknown},
		{"mysql: invalid connection", mysql.ErrInvalidConn, unknown, unknown},

		{"sqlite: unique", sqliteError(sqlite3.ErrConstraint, 8), ended, ended},
		{"sqlite: busy", sqliteError(sqlite3.ErrBusy, 0), ended, ended},
		{"sqlite: interrupted", sqliteError(sqlite3.ErrInterrupt, 0), ended, ended},
		{"sqlite: input and output", sqliteError(sqlite3.ErrIoErr, 4), unknown, unknown},
		{"sqlite: full", sqliteError(sqlite3.ErrFull, 0), unknown, unknown},
		{"sqlite: corrupt", sqliteError(sqlite3.ErrCorrupt, 0), unknown, unknown},
		{"sqlite: pointer", &sqlite3.Error{Code: sqlite3.ErrConstraint}, ended, ended},
		{"sqlite: without a code", sqlite3.Error{}, unknown, unknown},

		{"sqlite in Go: unique", pureSQLiteError(19 | 8<<8), ended, unknown},
		{"sqlite in Go: busy", pureSQLiteError(5), ended, unknown},
		{"sqlite in Go: input and output", pureSQLiteError(10 | 4<<8), unknown, unknown},

		{"sqlserver: unique", mssqlError{2627, 14}, ended, ended},
		{"sqlserver: deadlock", mssqlError{1205, 13}, ended, ended},
		{"sqlserver: fatal", mssqlError{596, 21}, unknown, unknown},
	} {
		for commit, want := range map[bool]outcome{false: c.statement, true: c.commit} {
			if got := outcomeOf(c.err, commit); got != want {
				t.Errorf("%s, commit %v: %v: got %d, want %d (0 is unknown)", c.name, commit, c.err, got, want)
			}
		}
	}
}

func TestALongHoldOutDoesNotOverflow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ d, want time.Duration }{
		{time.Second, time.Minute}, {math.MaxInt64, math.MaxInt64}, {math.MaxInt64/60 + 1, math.MaxInt64}, {math.MaxInt64 / 60, math.MaxInt64 / 60 * 60},
	} {
		if got := times(c.d, 60); got != c.want {
			t.Errorf("%v: got %v, want %v", c.d, got, c.want)
		}
	}
}
