package preload_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// tracedPool is what another plugin puts in front of the pool: it shows GORM the *sql.DB behind,
// and nobody the field where that is.
type tracedPool struct{ inner *sql.DB }

func (p *tracedPool) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return p.inner.PrepareContext(ctx, query)
}

func (p *tracedPool) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.inner.ExecContext(ctx, query, args...)
}

func (p *tracedPool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return p.inner.QueryContext(ctx, query, args...)
}

func (p *tracedPool) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return p.inner.QueryRowContext(ctx, query, args...)
}

func (p *tracedPool) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	return p.inner.BeginTx(ctx, opts)
}

func (p *tracedPool) GetDBConn() (*sql.DB, error) { return p.inner, nil }

// What is written through the *sql.DB of a pool that was opened with Connector is seen also where
// another plugin was used first, whose wrapper shows no more of the pool than GORM asks for.
func TestAPoolIsObservedBehindAWrapperOfAnotherPlugin(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for name, config := range connConfigs() {
			t.Run(name, func(t *testing.T) {
				b := connOpen(t, d, &gorm.Config{})
				readMust(t, b.plugin.Close())
				c := *config
				c.Logger = logger.Discard
				var err error
				b.db, err = gorm.Open(d.Dialector(b.pool), &c)
				readMust(t, err)
				if prepared, ok := b.db.ConnPool.(*gorm.PreparedStmtDB); ok {
					prepared.ConnPool = &tracedPool{b.pool}
				} else {
					b.db.ConnPool = &tracedPool{b.pool}
					b.db.Statement.ConnPool = b.db.ConnPool
				}
				b.plugin = preload.New(preload.WithoutWorker(), preload.WithLogger(readQuiet()), preload.WithClock(dbtest.NewClock()))
				readMust(t, b.db.Use(b.plugin))
				t.Cleanup(func() { _ = b.plugin.Close() })
				b.now(t, false)
				_, err = b.pool.Exec("UPDATE conn_items SET name = 'past GORM' WHERE id = 1")
				readMust(t, err)
				b.now(t, false)
				readMust(t, b.db.Transaction(func(tx *gorm.DB) error { return tx.Save(&connItem{ID: 1, Name: "new"}).Error }))
				b.now(t, false)
			})
		}
	})
}
