package commit

import (
	"database/sql"
	"errors"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"unsafe"
)

// What database/sql knows of rows, transactions and statements that belong to the application, and
// tells nobody else. Where a field is not as it is expected to be, the answer is the careful one.

// offset returns where a field of that name and type is in a struct, -1 where there is none.
func offset[S, F any](name string) int {
	f, ok := reflect.TypeFor[S]().FieldByName(name)
	if !ok || f.Type != reflect.TypeFor[F]() {
		return -1
	}
	return int(f.Offset)
}

func fieldOf[F, S any](of *S, offset int) *F { return (*F)(unsafe.Add(unsafe.Pointer(of), offset)) }

var (
	rowsLock   = offset[sql.Rows, sync.RWMutex]("closemu")
	rowsClosed = offset[sql.Rows, bool]("closed")
	rowsError  = offset[sql.Rows, error]("lasterr")
	rowOfRows  = offset[sql.Row, *sql.Rows]("rows")
	txPool     = offset[sql.Tx, *sql.DB]("db")
	txDone     = offset[sql.Tx, atomic.Bool]("done")
	stmtText   = offset[sql.Stmt, string]("query")
)

// endOf reports whether rows are closed, and the error that ended them. It waits for nobody:
// whoever reads the rows may keep their lock until the next one, and Err is not to be called beside
// Next.
func endOf(rows *sql.Rows) (err error, closed bool) {
	if rowsLock < 0 || rowsClosed < 0 || rowsError < 0 {
		if _, err := rows.Columns(); err == nil { // fails once they are closed
			return nil, false
		}
		return rows.Err(), true
	}
	lock := fieldOf[sync.RWMutex](rows, rowsLock)
	if !lock.TryRLock() {
		return nil, false
	}
	defer lock.RUnlock()
	if !*fieldOf[bool](rows, rowsClosed) {
		return nil, false
	}
	if err = *fieldOf[error](rows, rowsError); errors.Is(err, io.EOF) {
		err = nil
	}
	return err, true
}

// rowsOf returns the rows that a row is read from; ok is false if they cannot be seen.
func rowsOf(row *sql.Row) (rows *sql.Rows, ok bool) {
	if rowOfRows < 0 {
		return nil, false
	}
	return *fieldOf[*sql.Rows](row, rowOfRows), true
}

// poolOf returns the pool of a transaction; nil if it cannot be seen.
func poolOf(tx *sql.Tx) *sql.DB {
	if txPool < 0 {
		return nil
	}
	return *fieldOf[*sql.DB](tx, txPool)
}

// ending reports whether the end of a transaction has begun; false if that cannot be seen.
func ending(tx *sql.Tx) bool { return txDone >= 0 && fieldOf[atomic.Bool](tx, txDone).Load() }

// textOf returns the text of a prepared statement; "" if it cannot be seen.
func textOf(stmt *sql.Stmt) string {
	if stmtText < 0 || stmt == nil {
		return ""
	}
	return *fieldOf[string](stmt, stmtText)
}
