package preload

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gorm.io/gorm"
)

// pool stands in front of a connection pool so that the plugin sees where transactions end; GORM has no hook there.
// All else goes through.
type pool struct {
	gorm.ConnPool
	plugin *Plugin
}

// wrap puts a pool in front of the one that db uses, inside a PreparedStmtDB where there is one: GORM
// looks for that type. It returns the pool that is in front then.
func (p *Plugin) wrap(db *gorm.DB) *pool {
	if prepared, ok := db.ConnPool.(*gorm.PreparedStmtDB); ok {
		front, ok := prepared.ConnPool.(*pool)
		if !ok || front.plugin != p {
			front = &pool{prepared.ConnPool, p}
			prepared.ConnPool = front
		}
		return front
	}
	if db.ConnPool == nil {
		// A handle for dry runs only.
		return &pool{nil, p}
	}
	if _, tx := db.ConnPool.(gorm.TxCommitter); tx {
		return &pool{db.ConnPool, p}
	}
	front, ok := db.ConnPool.(*pool)
	if !ok || front.plugin != p {
		front = &pool{db.ConnPool, p}
		db.ConnPool = front
	}
	if db.Statement != nil {
		db.Statement.ConnPool = db.ConnPool
	}
	return front
}

// unwrap returns what is behind GORM's prepared statements, and behind witnesses.
func unwrap(conn gorm.ConnPool) gorm.ConnPool {
	for {
		switch c := conn.(type) {
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

// BeginTx implements gorm.ConnPoolBeginner.
func (c *pool) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	c.plugin.gate.enter(ctx)
	defer c.plugin.gate.leave()
	var inner gorm.ConnPool
	switch beginner := c.ConnPool.(type) {
	case gorm.TxBeginner:
		tx, err := beginner.BeginTx(ctx, opts)
		if err != nil {
			// As from *sql.DB: a nil transaction that GORM knows how to commit and roll back.
			return (*preparable)(nil), err
		}
		inner = tx
	case gorm.ConnPoolBeginner:
		tx, err := beginner.BeginTx(ctx, opts)
		if err != nil {
			return tx, err
		}
		inner = tx
	default:
		return nil, gorm.ErrInvalidTransaction
	}
	t := &transaction{ConnPool: inner, pool: c}
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
func (c *pool) GetDBConn() (*sql.DB, error) {
	switch inner := c.ConnPool.(type) {
	case *sql.DB:
		return inner, nil
	case gorm.GetDBConnector:
		return inner.GetDBConn()
	}
	return nil, gorm.ErrInvalidDB
}

// Ping is what gorm.Open calls.
func (c *pool) Ping() error {
	if pinger, ok := c.ConnPool.(interface{ Ping() error }); ok {
		return pinger.Ping()
	}
	return nil
}

// Close closes the pool behind, where it can be closed.
func (c *pool) Close() error {
	if closer, ok := c.ConnPool.(interface{ Close() error }); ok {
		return closer.Close()
	}
	return errors.ErrUnsupported
}

// The limits that dbresolver passes on to each of its pools.

func (c *pool) SetMaxIdleConns(n int) {
	if inner, ok := c.ConnPool.(interface{ SetMaxIdleConns(int) }); ok {
		inner.SetMaxIdleConns(n)
	}
}

func (c *pool) SetMaxOpenConns(n int) {
	if inner, ok := c.ConnPool.(interface{ SetMaxOpenConns(int) }); ok {
		inner.SetMaxOpenConns(n)
	}
}

func (c *pool) SetConnMaxLifetime(d time.Duration) {
	if inner, ok := c.ConnPool.(interface{ SetConnMaxLifetime(time.Duration) }); ok {
		inner.SetConnMaxLifetime(d)
	}
}

func (c *pool) SetConnMaxIdleTime(d time.Duration) {
	if inner, ok := c.ConnPool.(interface{ SetConnMaxIdleTime(time.Duration) }); ok {
		inner.SetConnMaxIdleTime(d)
	}
}
