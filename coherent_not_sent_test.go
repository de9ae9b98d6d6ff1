package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// notHeldOut checks that reads of the model are answered from memory again.
func notHeldOut(t *testing.T, d *dbtest.Database, db *gorm.DB, clock *dbtest.Clock) {
	t.Helper()
	clock.Advance(2 * worldtest.HoldOut) // what may be unseen is held out so long
	for range 5 {
		before := d.Probe.Queries()
		if lostRows(t, db); d.Probe.Queries() == before {
			return
		}
	}
	t.Errorf("the table is held out")
}

// What was never sent has ended, and so has what the database refused: no table is held out for
// long for it, in whatever way GORM sends it.
func TestAWriteThatWasNotSentIsNotHeldOutForLong(t *testing.T) {
	t.Parallel()
	write := func(db *gorm.DB) error { return db.Model(&lostRow{ID: 1}).Update("name", "x").Error }
	for name, do := range map[string]func(t *testing.T, d *dbtest.Database, db *gorm.DB) error{
		"commit of a transaction whose context is done": func(t *testing.T, _ *dbtest.Database, db *gorm.DB) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				defer cancel()
				return write(tx)
			})
		},
		"a transaction whose context ends between two writes": func(t *testing.T, _ *dbtest.Database, db *gorm.DB) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				_ = write(tx)
				cancel()
				_ = write(tx)
				_ = write(tx)
				return write(tx)
			})
		},
		"a write after another one failed, whose context is done": func(t *testing.T, _ *dbtest.Database, db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error {
				_ = tx.Create(&lostRow{ID: 1}).Error
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				return write(tx.WithContext(ctx))
			})
		},
		"more parameters than there may be": func(_ *testing.T, _ *dbtest.Database, db *gorm.DB) error {
			ids := make([]int, 70_000)
			return db.Where("id IN ?", ids).Delete(&lostRow{}).Error
		},
		"too few values": func(t *testing.T, d *dbtest.Database, db *gorm.DB) error {
			return db.Exec("UPDATE lost_rows SET name = 'x' WHERE id = 1 AND name = " + map[string]string{"postgres": "$1", "mysql": "?", "sqlite": "?"}[d.Dialect]).Error
		},
		"serialization failure": func(t *testing.T, d *dbtest.Database, db *gorm.DB) error {
			if d.Dialect != "postgres" {
				t.Skip("only PostgreSQL refuses the write at once; the others wait for a lock, or let it through")
			}
			return db.Transaction(func(tx *gorm.DB) error {
				var n int64
				tx.Model(&lostRow{}).Count(&n)
				worldtest.Must(t, d.Plain(t).Model(&lostRow{ID: 1}).Update("name", "one").Error)
				return write(tx)
			}, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		},
		"waiting for a connection of an observed pool": func(t *testing.T, d *dbtest.Database, db *gorm.DB) error {
			conn, err := db.DB()
			worldtest.Must(t, err)
			if _, ok := conn.Driver().(interface{ Unwrap() any }); !ok {
				t.Skip("only an observed pool tells that no connection was to be had, so that nothing was sent")
			}
			conn.SetMaxOpenConns(1)
			defer conn.SetMaxOpenConns(0)
			only, err := conn.Conn(t.Context())
			worldtest.Must(t, err)
			defer func() { _ = only.Close() }()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			return write(db.WithContext(ctx))
		},
		"a context that is done in db.Connection": func(t *testing.T, d *dbtest.Database, db *gorm.DB) error {
			if d.Dialect != "mysql" {
				t.Skip("SQLite's driver runs the statement, that of PostgreSQL calls it a bad connection")
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			return db.WithContext(ctx).Connection(func(tx *gorm.DB) error {
				cancel()
				return write(tx)
			})
		},
		"without conditions": func(t *testing.T, d *dbtest.Database, db *gorm.DB) error {
			return errors.Join(db.Model(&lostRow{}).Update("name", "x").Error, db.Delete(&lostRow{}).Error)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, observed := range []bool{false, true} {
				for configured, config := range connConfigs() {
					t.Run(configured+map[bool]string{true: ", observed"}[observed], func(t *testing.T) {
						dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
							plain := d.Plain(t)
							worldtest.Must(t, plain.AutoMigrate(&lostRow{}))
							lostReset(t, plain)
							c := *config
							c.Logger = logger.Discard
							var db *gorm.DB
							clock := dbtest.NewClock()
							if observed {
								pool := sql.OpenDB(preload.Connector(d.Connector()))
								t.Cleanup(func() { _ = pool.Close() })
								var err error
								db, err = gorm.Open(d.Dialector(pool), &c)
								worldtest.Must(t, err)
								p := preload.New(preload.WithoutWorker(), preload.WithLogger(worldtest.Quiet()), preload.WithClock(clock), preload.WithHoldOut(worldtest.HoldOut))
								worldtest.Must(t, db.Use(p))
								t.Cleanup(func() { _ = p.Close() })
							} else {
								w := writeOpen(t, d, plain, &c)
								db, clock = w.DB, w.Clock
							}
							lostRows(t, db)
							err := do(t, d, db)
							if err == nil {
								t.Fatal("succeeded")
							}
							t.Logf("%T %.100s", err, err)
							notHeldOut(t, d, db, clock)
						})
					})
				}
			}
		})
	}
}
