package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// auditPool is what a plugin puts around a statement's connection, as documented wrappers do.
type auditPool struct{ gorm.ConnPool }

// opaquePool hides the connection that it passes statements on to.
type opaquePool struct {
	to   gorm.ConnPool
	also func(ctx context.Context, to gorm.ConnPool, query string) string
}

func (o *opaquePool) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return o.to.PrepareContext(ctx, query)
}

func (o *opaquePool) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return o.to.ExecContext(ctx, o.also(ctx, o.to, query), args...)
}

func (o *opaquePool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return o.to.QueryContext(ctx, o.also(ctx, o.to, query), args...)
}

func (o *opaquePool) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return o.to.QueryRowContext(ctx, o.also(ctx, o.to, query), args...)
}

// rewriter is a wrapper that shows its connection and sends statements to another table, for some
// contexts.
type rewriter struct{ gorm.ConnPool }

type rewriteKey struct{}

func (r rewriter) rewritten(ctx context.Context, query string) string {
	if tables, ok := ctx.Value(rewriteKey{}).([2]string); ok {
		return strings.ReplaceAll(query, tables[0], tables[1])
	}
	return query
}

func (r rewriter) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return r.ConnPool.ExecContext(ctx, r.rewritten(ctx, query), args...)
}

func (r rewriter) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return r.ConnPool.QueryContext(ctx, r.rewritten(ctx, query), args...)
}

// wrapperOpen is a bench, in one way of opening or the other, whose statements all go through a
// wrapper of others'.
func wrapperOpen(t testing.TB, d *dbtest.Database, observed bool, around func(gorm.ConnPool) gorm.ConnPool) *connBench {
	t.Helper()
	b := connOpen(t, d, &gorm.Config{})
	if !observed {
		worldtest.Must(t, b.Plugin.Close())
		b.DB = d.Open(t)
		b.Plugin = preload.New(preload.WithoutWorker(), preload.WithLogger(worldtest.Quiet()), preload.WithClock(dbtest.NewClock()))
		worldtest.Must(t, b.DB.Use(b.Plugin))
		t.Cleanup(func() { _ = b.Plugin.Close() })
	}
	wrap := func(db *gorm.DB) { db.Statement.ConnPool = around(db.Statement.ConnPool) }
	cb := b.DB.Callback()
	worldtest.Must(t, errors.Join(
		cb.Create().After("gorm:begin_transaction").Before("gorm:create").Register("wrap", wrap),
		cb.Update().After("gorm:begin_transaction").Before("gorm:update").Register("wrap", wrap),
		cb.Delete().After("gorm:begin_transaction").Before("gorm:delete").Register("wrap", wrap),
		cb.Query().Before("gorm:query").Register("wrap", wrap),
		cb.Raw().Before("gorm:raw").Register("wrap", wrap),
	))
	// What the wrapper took from the statement is given back before GORM looks for the transaction
	// that it began.
	unwrap := func(db *gorm.DB) {
		switch w := db.Statement.ConnPool.(type) {
		case auditPool:
			db.Statement.ConnPool = w.ConnPool
		case rewriter:
			db.Statement.ConnPool = w.ConnPool
		case *opaquePool:
			db.Statement.ConnPool = w.to
		}
	}
	worldtest.Must(t, errors.Join(
		cb.Create().After("gorm:create").Before("gorm:commit_or_rollback_transaction").Register("unwrap", unwrap),
		cb.Update().After("gorm:update").Before("gorm:commit_or_rollback_transaction").Register("unwrap", unwrap),
		cb.Delete().After("gorm:delete").Before("gorm:commit_or_rollback_transaction").Register("unwrap", unwrap),
	))
	return b
}

func wrapperEach(t *testing.T, test func(t *testing.T, d *dbtest.Database, observed bool)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for name, observed := range map[string]bool{"wrapped": false, "observed": true} {
			t.Run(name, func(t *testing.T) { test(t, d, observed) })
		}
	})
}

// A write through a wrapper of others' lands in the transaction that it is made in, whenever that
// commits: until then the old answer is kept, and from then on the new one. Hold-outs would show,
// as the clock stands still.
func TestAWriteThroughAWrapperOfOthersBelongsToItsTransaction(t *testing.T) {
	t.Parallel()
	pass := func(_ context.Context, _ gorm.ConnPool, query string) string { return query }
	wrapperEach(t, func(t *testing.T, d *dbtest.Database, observed bool) {
		for name, around := range map[string]func(gorm.ConnPool) gorm.ConnPool{
			"shows its connection": func(c gorm.ConnPool) gorm.ConnPool { return auditPool{c} },
			"hides its connection": func(c gorm.ConnPool) gorm.ConnPool { return &opaquePool{c, pass} },
		} {
			b := wrapperOpen(t, d, observed, around)
			shows := name == "shows its connection"
			t.Run(name, func(t *testing.T) {
				writes := map[string]func(tx *gorm.DB) error{
					"update": func(tx *gorm.DB) error { return tx.Model(&connItem{ID: 1}).Update("name", "new").Error },
					"delete": func(tx *gorm.DB) error { return tx.Delete(&connItem{ID: 1}).Error },
					"exec": func(tx *gorm.DB) error {
						return tx.Exec("UPDATE conn_items SET name = ? WHERE id = ?", "new", 1).Error
					},
				}
				for what, write := range writes {
					for _, end := range []string{"commit", "rollback", "by itself"} {
						t.Run(what+" "+end, func(t *testing.T) {
							worldtest.Must(t, b.Plain.Save([]connItem{{ID: 1, Name: "one"}, {ID: 2, Name: "two"}}).Error)
							worldtest.Must(t, b.Plugin.Invalidate())
							if shows {
								b.warm(t)
							}
							if end == "by itself" {
								worldtest.Must(t, write(b.DB))
							} else {
								tx := b.DB.Begin()
								worldtest.Must(t, write(tx))
								b.name(t, 1) // which loads the old answer
								if end == "commit" {
									worldtest.Must(t, tx.Commit().Error)
								} else {
									worldtest.Must(t, tx.Rollback().Error)
								}
							}
							b.now(t, shows)
							before := d.Probe.Queries()
							b.name(t, 1)
							if n := d.Probe.Queries() - before; shows && n != 0 {
								t.Errorf("%d queries for what should be in memory again", n)
							}
						})
					}
				}
			})
			worldtest.Must(t, b.Plain.Exec("DELETE FROM conn_items").Error)
		}
	})
}

// An answer of another statement than the one that GORM built is nobody else's, and what such a
// statement writes is seen by its text.
func TestStatementsThatAWrapperRewrites(t *testing.T) {
	t.Parallel()
	wrapperEach(t, func(t *testing.T, d *dbtest.Database, observed bool) {
		b := wrapperOpen(t, d, observed, func(c gorm.ConnPool) gorm.ConnPool { return rewriter{c} })
		worldtest.Must(t, b.Plain.Exec("CREATE TABLE elsewhere AS SELECT * FROM conn_items WHERE id = 1").Error)
		worldtest.Must(t, b.Plain.Exec("UPDATE elsewhere SET name = 'other'").Error)
		ctx := context.WithValue(context.Background(), rewriteKey{}, [2]string{"conn_items", "elsewhere"})
		for range 3 {
			var item connItem
			worldtest.Must(t, b.DB.WithContext(ctx).Take(&item, 1).Error)
			if item.Name != "other" {
				t.Fatalf("read %q from the other table", item.Name)
			}
			if worldtest.Must(t, b.Plugin.Invalidate()); b.name(t, 1) != "one" {
				t.Fatal("read the answer of the other table")
			}
		}
		b.warm(t)
		ctx = context.WithValue(context.Background(), rewriteKey{}, [2]string{"elsewhere", "conn_items"})
		worldtest.Must(t, b.DB.WithContext(ctx).Table("elsewhere").Where("id = ?", 1).Update("name", "new").Error)
		b.now(t, false)
		worldtest.Must(t, b.Plain.Exec("DROP TABLE elsewhere").Error)
		worldtest.Must(t, b.Plain.Exec("DELETE FROM conn_items").Error)
	})
}

// shardingPlugin goes by the name of gorm.io/sharding.
type shardingPlugin struct{}

func (shardingPlugin) Name() string              { return "gorm:sharding" }
func (shardingPlugin) Initialize(*gorm.DB) error { return nil }

// A plugin that would lose rollbacks behind the plugin's own wrapper is refused, whichever of both
// comes first.
func TestAPluginThatNeedsSQLTxIsRefusedBehindAWrapper(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	wants := func(t *testing.T, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "preload.Connector") || !strings.Contains(err.Error(), "gorm:sharding") {
			t.Errorf("the error is %v", err)
		}
	}
	t.Run("before", func(t *testing.T) {
		db := d.Open(t)
		worldtest.Must(t, db.Use(shardingPlugin{}))
		wants(t, db.Use(preload.New(preload.WithoutWorker())))
	})
	t.Run("after", func(t *testing.T) {
		db := d.Open(t)
		worldtest.Must(t, db.AutoMigrate(&connItem{}))
		plugin := preload.New(preload.WithoutWorker())
		worldtest.Must(t, db.Use(plugin))
		t.Cleanup(func() { _ = plugin.Close() })
		worldtest.Must(t, db.Create(&connItem{ID: 1}).Error)
		worldtest.Must(t, db.Use(shardingPlugin{}))
		wants(t, db.Create(&connItem{ID: 2}).Error)
		wants(t, db.Begin().Error)
		wants(t, db.Exec("DELETE FROM conn_items").Error)
		wants(t, db.First(&connItem{}, 1).Error)
		wants(t, db.Transaction(func(*gorm.DB) error { return nil }))
	})
	t.Run("observed", func(t *testing.T) {
		b := connOpen(t, dbtest.SQLite(t), &gorm.Config{})
		worldtest.Must(t, b.DB.Use(shardingPlugin{}))
		b.warm(t)
		worldtest.Must(t, b.DB.Save(&connItem{ID: 1, Name: "new"}).Error)
		b.now(t, true)
	})
}
