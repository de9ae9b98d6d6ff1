package preload

import (
	"context"
	"database/sql"
	"reflect"
	"runtime"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

// witness stands in the place of a statement's connection while GORM's own callback builds and runs a write: when the
// statement comes by, it is what the database is about to get, whatever the caller's arguments, hooks and clauses made of it.
// Nothing of it stays behind when the callback returns.
type witness struct {
	gorm.ConnPool // the statement's
	stmt          *gorm.Statement
	before        func() // called once, before the statement runs
	seen          bool
}

func (w *witness) see(query string) {
	// Code of the application's that builds a part of the statement may ask something else meanwhile.
	if !w.seen && query == w.stmt.SQL.String() {
		w.seen = true
		w.before()
	}
}

// ExecContext implements gorm.ConnPool.
func (w *witness) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	w.see(query)
	return w.ConnPool.ExecContext(ctx, query, args...)
}

// QueryContext implements gorm.ConnPool.
func (w *witness) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	w.see(query)
	return w.ConnPool.QueryContext(ctx, query, args...)
}

// QueryRowContext implements gorm.ConnPool.
func (w *witness) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	w.see(query)
	return w.ConnPool.QueryRowContext(ctx, query, args...)
}

// GetDBConn implements gorm.GetDBConnector.
func (w *witness) GetDBConn() (*sql.DB, error) {
	return (&gorm.DB{Config: &gorm.Config{ConnPool: w.ConnPool}}).DB()
}

func (w *witness) behind() gorm.ConnPool { return w.ConnPool }

// poolWitness is in front of what can begin a transaction, as code that builds a part of the statement may.
type poolWitness struct{ *witness }

// BeginTx implements gorm.ConnPoolBeginner.
func (w poolWitness) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	switch beginner := w.ConnPool.(type) {
	case gorm.ConnPoolBeginner:
		return beginner.BeginTx(ctx, opts)
	case gorm.TxBeginner:
		return beginner.BeginTx(ctx, opts)
	}
	return nil, gorm.ErrInvalidTransaction
}

// txWitness is in front of a transaction.
type txWitness struct {
	*witness
	gorm.TxCommitter
}

// attend puts a witness in front of the connection of a statement.
func attend(stmt *gorm.Statement) *witness {
	w := &witness{ConnPool: stmt.ConnPool, stmt: stmt}
	switch conn := stmt.ConnPool.(type) {
	case gorm.TxCommitter:
		stmt.ConnPool = txWitness{w, conn}
	case gorm.ConnPoolBeginner, gorm.TxBeginner:
		stmt.ConnPool = poolWitness{w}
	default:
		stmt.ConnPool = w
	}
	return w
}

// leave takes the witness away.
func (w *witness) leave() {
	if conn, ok := w.stmt.ConnPool.(interface{ behind() gorm.ConnPool }); ok && conn.behind() == w.ConnPool {
		w.stmt.ConnPool = w.ConnPool
	}
}

// ownCallback reports whether a callback is GORM's own: it then runs a statement that it built, as it is, on the
// statement's connection, and nothing else.
func ownCallback(callback func(*gorm.DB)) bool {
	config := &callbacks.Config{}
	at := placeOf(callback)
	for _, own := range []func(*gorm.DB){callbacks.Create(config), callbacks.Update(config), callbacks.Delete(config)} {
		if at == placeOf(own) {
			return true
		}
	}
	return false
}

type place struct {
	file string
	line int
}

// placeOf tells functions apart by where they are written: of one that was inlined there may be several copies.
func placeOf(f func(*gorm.DB)) (p place) {
	pc := reflect.ValueOf(f).Pointer()
	if code := runtime.FuncForPC(pc); code != nil {
		p.file, p.line = code.FileLine(pc)
	}
	return p
}
