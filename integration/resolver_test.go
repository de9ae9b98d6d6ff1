// Package integration tests the plugin together with dbresolver, and with GORM's plugin for
// OpenTelemetry.
package integration

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/plugin/dbresolver"
)

type item struct {
	_    struct{} `preload:""`
	ID   uint
	Name string
}

type order struct {
	_    struct{} `preload:""`
	ID   uint
	Name string
}

// world is a handle with both plugins, and plain handles on the files behind it.
type world struct {
	db                         *gorm.DB
	p                          *preload.Plugin
	main, replica, otherFile   *gorm.DB
	resolver                   *dbresolver.DBResolver
	mainFile, second, replica2 string
}

type setting struct {
	preloadFirst, prepare, sameFile, skipTransaction, observed bool
}

func (s setting) String() string {
	return fmt.Sprintf("preload first %v, prepare %v, same file %v, skip transaction %v, observed %v",
		s.preloadFirst, s.prepare, s.sameFile, s.skipTransaction, s.observed)
}

const observedDriver = "sqlite3+preload"

func init() { sql.Register(observedDriver, preload.Driver(&sqlite3.SQLiteDriver{})) }

func dialector(file string) gorm.Dialector { return dialectorBy("", file) }

func dialectorBy(driver, file string) gorm.Dialector {
	dsn := "file:" + (&url.URL{Path: file}).EscapedPath() + "?_busy_timeout=10000&_journal_mode=WAL&_synchronous=OFF"
	return sqlite.New(sqlite.Config{DriverName: driver, DSN: dsn})
}

func open(t *testing.T, file string, config *gorm.Config) *gorm.DB {
	t.Helper()
	return openBy(t, dialector(file), config)
}

func openBy(t *testing.T, dialector gorm.Dialector, config *gorm.Config) *gorm.DB {
	t.Helper()
	config.Logger = logger.Discard
	db, err := gorm.Open(dialector, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	})
	return db
}

// setup: items are read from a replica and written to the main file; orders live in a source of
// their own.
func setup(t *testing.T, s setting, options ...preload.Option) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{mainFile: filepath.Join(dir, "main.db"), second: filepath.Join(dir, "orders.db"), replica2: filepath.Join(dir, "replica.db")}
	if s.sameFile {
		w.replica2 = w.mainFile
	}
	w.main, w.otherFile, w.replica = open(t, w.mainFile, &gorm.Config{}), open(t, w.second, &gorm.Config{}), open(t, w.replica2, &gorm.Config{})
	for _, plain := range []*gorm.DB{w.main, w.otherFile, w.replica} {
		if err := plain.AutoMigrate(&item{}, &order{}); err != nil {
			t.Fatal(err)
		}
		plain.Save(&item{ID: 1, Name: "one"})
		plain.Save(&order{ID: 1, Name: "first"})
	}
	driver := ""
	if s.observed {
		driver = observedDriver
	}
	w.db = openBy(t, dialectorBy(driver, w.mainFile), &gorm.Config{PrepareStmt: s.prepare, SkipDefaultTransaction: s.skipTransaction})
	w.p = preload.New(append(options, preload.WithoutWorker())...)
	t.Cleanup(func() { _ = w.p.Close() })
	w.resolver = dbresolver.Register(dbresolver.Config{Replicas: []gorm.Dialector{dialectorBy(driver, w.replica2)}}, &item{}).
		Register(dbresolver.Config{Sources: []gorm.Dialector{dialectorBy(driver, w.second)}}, &order{}, "orders_too")
	plugins := []gorm.Plugin{w.resolver, w.p}
	if s.preloadFirst {
		plugins = []gorm.Plugin{w.p, w.resolver}
	}
	for _, plugin := range plugins {
		if err := w.db.Use(plugin); err != nil {
			t.Fatalf("Use(%s): %v", plugin.Name(), err)
		}
	}
	return w
}

func each(t *testing.T, test func(t *testing.T, s setting)) {
	for i := range 32 {
		s := setting{i&1 != 0, i&2 != 0, i&4 != 0, i&8 != 0, i&16 != 0}
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func name[T any](t *testing.T, db *gorm.DB) string {
	t.Helper()
	var rows []T
	if err := db.Order("id").Find(&rows).Error; err != nil {
		t.Errorf("reading: %v", err)
	}
	return fmt.Sprintf("%+v", rows)
}

// After each write through the resolver the answers are those of the databases that it reads from.
func TestResolverWrites(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s setting) {
		w := setup(t, s)
		for i, write := range []func(db *gorm.DB, name string) error{
			func(db *gorm.DB, name string) error { return db.Model(&order{ID: 1}).Update("name", name).Error },
			func(db *gorm.DB, name string) error { return db.Model(&item{ID: 1}).Update("name", name).Error },
			func(db *gorm.DB, name string) error { return db.Create(&order{Name: name}).Error },
			func(db *gorm.DB, name string) error { return db.Create(&item{Name: name}).Error },
			func(db *gorm.DB, name string) error {
				return db.Transaction(func(tx *gorm.DB) error { return tx.Create(&item{Name: name}).Error })
			},
			func(db *gorm.DB, name string) error {
				return db.Clauses(dbresolver.Use("orders_too")).Transaction(func(tx *gorm.DB) error {
					if err := tx.Create(&order{Name: name}).Error; err != nil {
						return err
					}
					return tx.Transaction(func(tx *gorm.DB) error { return tx.Model(&order{ID: 1}).Update("name", name).Error })
				})
			},
			func(db *gorm.DB, name string) error {
				return db.Clauses(dbresolver.Write).Model(&item{ID: 1}).Update("name", name).Error
			},
			func(db *gorm.DB, name string) error { return db.Exec("UPDATE items SET name = ?", name).Error },
			func(db *gorm.DB, name string) error {
				return db.Clauses(dbresolver.Use("orders_too")).Exec("UPDATE orders SET name = ?", name).Error
			},
			func(db *gorm.DB, name string) error {
				return db.Raw("UPDATE items SET name = ? RETURNING id", name).Scan(&[]int{}).Error
			},
			func(db *gorm.DB, name string) error { return db.Delete(&order{ID: 1}).Error },
			func(db *gorm.DB, name string) error { return db.Delete(&item{ID: 1}).Error },
		} {
			for range 2 {
				name[item](t, w.db)
				name[order](t, w.db)
				name[item](t, w.db.Clauses(dbresolver.Write))
			}
			if err := write(w.db, fmt.Sprint("write ", i)); err != nil {
				t.Fatalf("write %d: %v", i, err)
			}
			for range 2 {
				if got, want := name[item](t, w.db), name[item](t, w.replica); got != want {
					t.Errorf("write %d: items: got %s, want %s", i, got, want)
				}
				if got, want := name[item](t, w.db.Clauses(dbresolver.Write)), name[item](t, w.main); got != want {
					t.Errorf("write %d: items of the source: got %s, want %s", i, got, want)
				}
				if got, want := name[order](t, w.db), name[order](t, w.otherFile); got != want {
					t.Errorf("write %d: orders: got %s, want %s", i, got, want)
				}
			}
		}
	})
}

// A rollback through the resolver leaves no trace.
func TestResolverRollback(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s setting) {
		w := setup(t, s)
		want := name[order](t, w.otherFile)
		tx := w.db.Clauses(dbresolver.Use("orders_too")).Begin()
		if err := tx.Model(&order{ID: 1}).Update("name", "never").Error; err != nil {
			t.Fatal(err)
		}
		for range 2 {
			name[order](t, tx)
			if got := name[order](t, w.db); got != want {
				t.Errorf("before the rollback: got %s, want %s", got, want)
			}
		}
		if err := tx.Rollback().Error; err != nil {
			t.Fatal(err)
		}
		if got := name[order](t, w.db); got != want {
			t.Errorf("after the rollback: got %s, want %s", got, want)
		}
	})
}

// What a replica says is not kept: it may say something else at any time.
func TestResolverReplicaIsNotCached(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s setting) {
		w := setup(t, s)
		for i := range 3 {
			if err := w.replica.Model(&item{ID: 1}).Update("name", fmt.Sprint("replicated ", i)).Error; err != nil {
				t.Fatal(err)
			}
			if got, want := name[item](t, w.db), name[item](t, w.replica); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if err := w.otherFile.Model(&order{ID: 1}).Update("name", "elsewhere").Error; err != nil {
			t.Fatal(err)
		}
		if got, want := name[order](t, w.db), name[order](t, w.otherFile); got != want {
			t.Errorf("a source that is not the plugin's pool: got %s, want %s", got, want)
		}
	})
}

type account struct {
	_    struct{} `preload:""`
	ID   uint
	Name string
}

// Models that the resolver knows nothing about are served from memory as without it, and so are its
// limits passed on.
func TestResolverLeavesOthersCached(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s setting) {
		w := setup(t, s)
		if err := w.main.AutoMigrate(&account{}); err != nil {
			t.Fatal(err)
		}
		w.main.Create(&account{ID: 1, Name: "one"})
		for range 3 {
			name[account](t, w.db)
		}
		if hits := w.p.Stats().Hits; hits != 2 {
			t.Errorf("%d hits, want 2; bypassed: %v", hits, w.p.Stats().BypassReasons)
		}
		if err := w.db.Model(&account{ID: 1}).Update("name", "two").Error; err != nil {
			t.Fatal(err)
		}
		if got, want := name[account](t, w.db), name[account](t, w.main); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestResolverLimits(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s setting) {
		w := setup(t, s)
		w.resolver.SetMaxOpenConns(7).SetMaxIdleConns(3).SetConnMaxLifetime(time.Hour).SetConnMaxIdleTime(time.Minute)
		pool, err := w.db.DB()
		if err != nil {
			t.Fatalf("DB: %v", err)
		}
		seen := 0
		err = w.resolver.Call(func(conn gorm.ConnPool) error {
			seen++
			limited, ok := conn.(interface{ SetMaxOpenConns(int) })
			if !ok {
				return fmt.Errorf("%T takes no limits", conn)
			}
			limited.SetMaxOpenConns(5)
			return nil
		})
		if err != nil || seen < 3 {
			t.Errorf("Call: %v, %d pools", err, seen)
		}
		if n := pool.Stats().MaxOpenConnections; n != 5 {
			t.Errorf("MaxOpenConnections %d, want 5", n)
		}
		if err := pool.Ping(); err != nil {
			t.Errorf("Ping: %v", err)
		}
	})
}

// In transactions of any pool, the answers are those of the database that the transaction is in,
// whatever memory has of others.
func TestResolverTransactionReads(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s setting) {
		w := setup(t, s, preload.WithTransactionReads())
		ctx := preload.ContextWithTransactionReads(context.Background())
		w.main.Save(&order{ID: 1, Name: "of the main file"})
		for _, handle := range []*gorm.DB{w.db, w.db.Clauses(dbresolver.Use("orders_too")), w.db.Clauses(dbresolver.Write)} {
			name[item](t, w.db)
			name[order](t, w.db)
			err := handle.Session(&gorm.Session{}).Transaction(func(tx *gorm.DB) error {
				tx = tx.WithContext(ctx)
				plain := tx.Session(&gorm.Session{}).Clauses(preload.Bypass)
				for range 3 {
					if got, want := name[item](t, tx), name[item](t, plain.Session(&gorm.Session{})); got != want {
						t.Errorf("items: %s, want %s", got, want)
					}
					if got, want := name[order](t, tx), name[order](t, plain.Session(&gorm.Session{})); got != want {
						t.Errorf("orders: %s, want %s", got, want)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
}
