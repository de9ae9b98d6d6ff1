package commit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
)

// Pool stands in front of a connection pool so that the plugin sees where transactions end; GORM
// has no hook there. All else goes through.
type Pool struct {
	gorm.ConnPool
	log *Log
}

// Wrap makes the plugin see what happens on the pool that db uses, and returns a pool that stands
// for it. One whose connections can be observed stays as it is. Otherwise the pool that is returned
// is put in front, inside a PreparedStmtDB where there is one: GORM looks for that type. It is put
// there, too, in root, the handle that db comes from, whose callbacks are the same: other handles
// come from it.
func (l *Log) Wrap(db, root *gorm.DB) *Pool {
	front := l.wrap(db)
	if root == nil || root == db || root.ConnPool == nil || db.ConnPool == nil {
		return front
	}
	same := func(a, b gorm.ConnPool) bool {
		return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
	}
	if same(root.ConnPool, front.ConnPool) && !same(db.ConnPool, front.ConnPool) {
		root.ConnPool = front
		if root.Statement != nil {
			root.Statement.ConnPool = front
		}
	}
	return front
}

func (l *Log) wrap(db *gorm.DB) *Pool {
	if conn, hub := Observable(db.ConnPool); hub != nil {
		l.observe(hub)
		return &Pool{conn, l}
	}
	if prepared, ok := db.ConnPool.(*gorm.PreparedStmtDB); ok {
		front, ok := prepared.ConnPool.(*Pool)
		if !ok || front.log != l {
			front = &Pool{prepared.ConnPool, l}
			prepared.ConnPool = front
		}
		return front
	}
	if db.ConnPool == nil {
		// A handle for dry runs only.
		return &Pool{nil, l}
	}
	if _, tx := db.ConnPool.(gorm.TxCommitter); tx {
		return &Pool{db.ConnPool, l}
	}
	front, ok := db.ConnPool.(*Pool)
	if !ok || front.log != l {
		front = &Pool{db.ConnPool, l}
		db.ConnPool = front
	}
	if db.Statement != nil {
		db.Statement.ConnPool = db.ConnPool
	}
	return front
}

// Front returns what stands for one connection of the pool that the handle of the log uses, so that
// statements are seen there as they are on the pool.
func (l *Log) Front(conn gorm.ConnPool) gorm.ConnPool {
	if l.direct {
		return conn
	}
	return &Pool{conn, l}
}

// unwrap returns what is behind GORM's prepared statements, and behind witnesses.
func unwrap(conn gorm.ConnPool) gorm.ConnPool {
	for {
		switch c := conn.(type) {
		case *Pool, *transaction, *sql.DB, *sql.Tx:
			return conn
		case *gorm.PreparedStmtDB:
			if c == nil {
				return nil
			}
			conn = c.ConnPool
		case *gorm.PreparedStmtTX:
			if c == nil {
				return nil
			}
			conn = c.Tx
		case *preparable:
			if c == nil {
				return nil
			}
			return c.transaction
		case interface{ behind() gorm.ConnPool }:
			conn = c.behind()
		default:
			return conn
		}
	}
}

// Prepares reports whether statements are prepared on a connection before they are sent.
func Prepares(conn gorm.ConnPool) bool {
	for conn != nil {
		switch c := conn.(type) {
		case *gorm.PreparedStmtDB, *gorm.PreparedStmtTX:
			return true
		case *Pool, *transaction, *preparable, *sql.DB, *sql.Tx, *sql.Conn:
			return false
		case interface{ behind() gorm.ConnPool }:
			conn = c.behind()
		default:
			conn, _ = inside(conn)
		}
	}
	return false
}

// Reach returns what is behind all that was put around a connection, by others too, and the types
// of theirs; "" if there are none. What they do with a statement is not known: to rely on it means
// to give the statement a token.
func Reach(conn gorm.ConnPool) (at gorm.ConnPool, wrapper string) {
	for at = unwrap(conn); ; at = unwrap(at) {
		switch at.(type) {
		case nil, *Pool, *transaction, *sql.DB, *sql.Tx, *sql.Conn:
			return at, wrapper
		}
		inner, name := inside(at)
		if inner == nil {
			return at, wrapper
		}
		at, wrapper = inner, wrapper+name+";"
	}
}

// inside returns the connection that a wrapper of others' has in it, nil where that cannot be told,
// and the wrapper's type.
func inside(conn gorm.ConnPool) (inner gorm.ConnPool, name string) {
	w := wrapperOf(reflect.TypeOf(conn))
	if w.field == nil {
		return nil, w.name
	}
	rv := reflect.ValueOf(conn)
	if rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			return nil, w.name
		}
		rv = rv.Elem()
	}
	inner, _ = rv.FieldByIndex(w.field).Interface().(gorm.ConnPool)
	return inner, w.name
}

// wrapped is a type of others' that has one connection in it.
type wrapped struct {
	name  string
	field []int // where the connection is; nil if that cannot be told
}

var (
	wrappers     sync.Map // reflect.Type -> wrapped
	connPoolType = reflect.TypeFor[gorm.ConnPool]()
)

// wrapperOf looks for the only field of a struct that can be a connection.
func wrapperOf(t reflect.Type) wrapped {
	if known, ok := wrappers.Load(t); ok {
		return known.(wrapped)
	}
	of := t
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	w := wrapped{name: of.PkgPath() + " " + t.String()}
	if of.Kind() == reflect.Struct {
		connections := 0
		for i := range of.NumField() {
			field := of.Field(i)
			if !field.Type.Implements(connPoolType) && !reflect.PointerTo(field.Type).Implements(connPoolType) {
				continue
			}
			if connections++; field.IsExported() {
				w.field = field.Index
			}
		}
		if connections != 1 {
			w.field = nil
		}
	}
	wrappers.Store(t, w)
	return w
}

// SQLTx returns the transaction of database/sql that a transaction of GORM runs on.
func SQLTx(tx *gorm.DB) (*sql.Tx, bool) {
	if tx == nil || tx.Config == nil || tx.Statement == nil {
		return nil, false
	}
	at, _ := Reach(tx.Statement.ConnPool)
	if ours, ok := at.(*transaction); ok {
		// Nobody sees what is done with it: memory answers no read of the transaction any more, nor
		// is any answer kept.
		ours.over()
		at, _ = Reach(ours.ConnPool)
	}
	inner, ok := at.(*sql.Tx)
	return inner, ok && inner != nil
}

// ExecContext implements gorm.ConnPool.
func (c *Pool) ExecContext(ctx context.Context, query string, args ...any) (result sql.Result, err error) {
	if tok := tokenIn(ctx, c.log); tok != nil {
		if after := c.log.statement(tok, query, tok.lazily); after != nil {
			err = ErrUnknownOutcome
			defer func() { after(err) }()
		}
	}
	result, err = c.ConnPool.ExecContext(ctx, query, args...)
	return result, err
}

// QueryContext implements gorm.ConnPool.
func (c *Pool) QueryContext(ctx context.Context, query string, args ...any) (rows *sql.Rows, err error) {
	if tok := tokenIn(ctx, c.log); tok != nil {
		if after := c.log.statement(tok, query, true); after != nil {
			err = ErrUnknownOutcome
			defer func() { after(err) }()
		}
	}
	rows, err = c.ConnPool.QueryContext(ctx, query, args...)
	return rows, err
}

// QueryRowContext implements gorm.ConnPool.
func (c *Pool) QueryRowContext(ctx context.Context, query string, args ...any) (row *sql.Row) {
	if tok := tokenIn(ctx, c.log); tok != nil {
		if after := c.log.statement(tok, query, true); after != nil {
			err := ErrUnknownOutcome
			defer func() { after(err) }()
			row = c.ConnPool.QueryRowContext(ctx, query, args...)
			err = row.Err()
			return row
		}
	}
	return c.ConnPool.QueryRowContext(ctx, query, args...)
}

// statement is called before a statement runs outside of any transaction, with its token if it has
// one; what it returns is called after the statement, with its error. lazily says that it may go on
// after that.
func (l *Log) statement(tok *Token, query string, lazily bool) (after func(error)) {
	tok.met(query, nil)
	if tok.reads(query) {
		return nil
	}
	meaning := l.Footprints.Meaning(query)
	l.leaves(meaning)
	if meaning.Kind == sqltext.Read || tok.announced(query) {
		return nil
	}
	switch meaning.Kind {
	case sqltext.Savepoint, sqltext.RollbackTo, sqltext.Release, sqltext.Rollback:
		return nil // there is nothing that they could make visible
	}
	finish := l.announce(l.changes(tok, query, meaning))
	return func(err error) {
		if err == driver.ErrSkip {
			finish(Hold{})
			return
		}
		finish(l.holdAfter(Ending{Err: err, commit: meaning.Kind != sqltext.Write, Unseen: lazily, Why: RawRows}))
	}
}

// BeginTx implements gorm.ConnPoolBeginner.
func (c *Pool) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	if err := c.log.refusal(); err != nil {
		return (*preparable)(nil), err
	}
	c.log.Gate.Enter(ctx)
	defer c.log.Gate.Leave()
	t := &transaction{pool: c, held: held{log: c.log}}
	var inner gorm.ConnPool
	switch beginner := c.ConnPool.(type) {
	case gorm.TxBeginner:
		tx, err := beginner.BeginTx(ctx, opts)
		if err != nil {
			// As from *sql.DB: a nil transaction that GORM knows how to commit and roll back.
			return (*preparable)(nil), err
		}
		switch inner = tx; c.ConnPool.(type) {
		case *sql.DB, *sql.Conn:
			t.ctx, t.isolation = ctx, c.log.isolationOf(opts)
		}
	case gorm.ConnPoolBeginner:
		tx, err := beginner.BeginTx(ctx, opts)
		if err != nil {
			return tx, err
		}
		inner = tx
	default:
		return nil, gorm.ErrInvalidTransaction
	}
	t.ConnPool = inner
	switch inner := inner.(type) {
	case gorm.Tx:
		t.end = inner
		return &preparable{t, inner}, nil
	case gorm.TxCommitter:
		t.end = inner
		return t, nil
	}
	return inner, nil
}

// GetDBConn implements gorm.GetDBConnector.
func (c *Pool) GetDBConn() (*sql.DB, error) {
	switch inner := c.ConnPool.(type) {
	case *sql.DB:
		return inner, nil
	case gorm.GetDBConnector:
		return inner.GetDBConn()
	}
	return nil, gorm.ErrInvalidDB
}

// Ping is what gorm.Open calls.
func (c *Pool) Ping() error {
	if pinger, ok := c.ConnPool.(interface{ Ping() error }); ok {
		return pinger.Ping()
	}
	return nil
}

// Close closes the pool behind, where it can be closed.
func (c *Pool) Close() error {
	if closer, ok := c.ConnPool.(interface{ Close() error }); ok {
		return closer.Close()
	}
	return errors.ErrUnsupported
}

// The limits that dbresolver passes on to each of its pools.

func (c *Pool) SetMaxIdleConns(n int) {
	if inner, ok := c.ConnPool.(interface{ SetMaxIdleConns(int) }); ok {
		inner.SetMaxIdleConns(n)
	}
}

func (c *Pool) SetMaxOpenConns(n int) {
	if inner, ok := c.ConnPool.(interface{ SetMaxOpenConns(int) }); ok {
		inner.SetMaxOpenConns(n)
	}
}

func (c *Pool) SetConnMaxLifetime(d time.Duration) {
	if inner, ok := c.ConnPool.(interface{ SetConnMaxLifetime(time.Duration) }); ok {
		inner.SetConnMaxLifetime(d)
	}
}

func (c *Pool) SetConnMaxIdleTime(d time.Duration) {
	if inner, ok := c.ConnPool.(interface{ SetConnMaxIdleTime(time.Duration) }); ok {
		inner.SetConnMaxIdleTime(d)
	}
}
