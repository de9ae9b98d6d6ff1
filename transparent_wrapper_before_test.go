package preload_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
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
				worldtest.Must(t, b.Plugin.Close())
				c := *config
				c.Logger = logger.Discard
				var err error
				b.DB, err = gorm.Open(d.Dialector(b.pool), &c)
				worldtest.Must(t, err)
				if prepared, ok := b.DB.ConnPool.(*gorm.PreparedStmtDB); ok {
					prepared.ConnPool = &tracedPool{b.pool}
				} else {
					b.DB.ConnPool = &tracedPool{b.pool}
					b.DB.Statement.ConnPool = b.DB.ConnPool
				}
				b.Plugin = preload.New(preload.WithoutWorker(), preload.WithLogger(worldtest.Quiet()), preload.WithClock(dbtest.NewClock()))
				worldtest.Must(t, b.DB.Use(b.Plugin))
				t.Cleanup(func() { _ = b.Plugin.Close() })
				b.now(t, false)
				_, err = b.pool.Exec("UPDATE conn_items SET name = 'past GORM' WHERE id = 1")
				worldtest.Must(t, err)
				b.now(t, false)
				worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error { return tx.Save(&connItem{ID: 1, Name: "new"}).Error }))
				b.now(t, false)
			})
		}
	})
}
