package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// connItem is a model whose answers are kept.
type connItem struct {
	_    struct{} `preload:""`
	ID   uint     `gorm:"autoIncrement:false"`
	Name string   `gorm:"size:50"`
}

// connKid refers to an item that has to be there at the commit.
type connKid struct {
	ID     uint `gorm:"autoIncrement:false"`
	ItemID uint
}

// connBench is a handle on a pool that was opened with preload.Connector, and a plain one beside
// it.
type connBench struct {
	worldtest.World
	pool *sql.DB
}

func connOpen(t testing.TB, d *dbtest.Database, config *gorm.Config, options ...preload.Option) *connBench {
	t.Helper()
	b := &connBench{World: worldtest.World{Database: d, Plain: d.Plain(t)}}
	worldtest.Must(t, b.Plain.AutoMigrate(&connItem{}, &connKid{}))
	worldtest.Must(t, b.Plain.Save([]connItem{{ID: 1, Name: "one"}, {ID: 2, Name: "two"}}).Error)
	b.pool = sql.OpenDB(preload.Connector(d.Connector()))
	t.Cleanup(func() { _ = b.pool.Close() })
	config.Logger = logger.Discard
	var err error
	b.DB, err = gorm.Open(d.Dialector(b.pool), config)
	worldtest.Must(t, err)
	b.Plugin = preload.New(append([]preload.Option{preload.WithoutWorker(), preload.WithLogger(worldtest.Quiet()), preload.WithClock(dbtest.NewClock())}, options...)...)
	worldtest.Must(t, b.DB.Use(b.Plugin))
	t.Cleanup(func() { _ = b.Plugin.Close() })
	return b
}

func (b *connBench) name(t testing.TB, id uint) string {
	t.Helper()
	var item connItem
	if err := b.DB.First(&item, id).Error; err != nil {
		return err.Error()
	}
	return item.Name
}

// warm reads both items, from the database or from memory, and checks that they are in memory then.
func (b *connBench) warm(t testing.TB) {
	t.Helper()
	for range 2 {
		b.name(t, 1)
		b.name(t, 2)
	}
	before := b.Probe.Queries()
	b.name(t, 1)
	b.name(t, 2)
	if n := b.Probe.Queries() - before; n != 0 {
		t.Fatalf("%d queries for what should be in memory; reasons %v", n, b.Plugin.Stats().BypassReasons)
	}
}

// now checks that a read gives what the database holds, and that the other row is still, or no
// longer, in memory.
func (b *connBench) now(t testing.TB, otherKept bool) {
	t.Helper()
	var item connItem
	want := ""
	if err := b.Plain.First(&item, 1).Error; err != nil {
		want = err.Error()
	} else {
		want = item.Name
	}
	before := b.Probe.Queries()
	b.name(t, 2)
	if kept := b.Probe.Queries() == before; kept != otherKept && otherKept {
		t.Errorf("the row that nobody touched is not in memory any more")
	}
	for range 2 {
		if got := b.name(t, 1); got != want {
			t.Errorf("read %q, the database holds %q", got, want)
		}
	}
}

func connConfigs() map[string]*gorm.Config {
	return map[string]*gorm.Config{
		"default":                {},
		"prepared":               {PrepareStmt: true},
		"no default transaction": {SkipDefaultTransaction: true},
		"prepared, no default":   {PrepareStmt: true, SkipDefaultTransaction: true},
	}
}

// Whatever writes through a pool that was opened with Connector, the next read knows, and rows that
// were not written stay in memory where the write shows which ones it touches.
func TestWritesThroughAnObservedPoolAreSeen(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	update := "UPDATE conn_items SET name = 'new' WHERE id = 1"
	tests := []struct {
		name  string
		exact bool // the other row stays in memory
		write func(t *testing.T, b *connBench) error
	}{
		{"model", true, func(t *testing.T, b *connBench) error {
			return b.DB.Model(&connItem{ID: 1}).Update("name", "new").Error
		}},
		{"exec", true, func(t *testing.T, b *connBench) error {
			return b.DB.Exec("UPDATE conn_items SET name = ? WHERE id = ?", "new", 1).Error
		}},
		{"transaction", true, func(t *testing.T, b *connBench) error {
			return b.DB.Transaction(func(tx *gorm.DB) error { return tx.Save(&connItem{ID: 1, Name: "new"}).Error })
		}},
		{"nested transaction", true, func(t *testing.T, b *connBench) error {
			return b.DB.Transaction(func(tx *gorm.DB) error {
				return tx.Transaction(func(tx *gorm.DB) error { return tx.Delete(&connItem{ID: 1}).Error })
			})
		}},
		{"nested rollback", true, func(t *testing.T, b *connBench) error {
			return b.DB.Transaction(func(tx *gorm.DB) error {
				_ = tx.Transaction(func(tx *gorm.DB) error {
					_ = tx.Delete(&connItem{ID: 2}).Error
					return errors.New("no")
				})
				return tx.Save(&connItem{ID: 1, Name: "new"}).Error
			})
		}},
		{"rollback", true, func(t *testing.T, b *connBench) error {
			tx := b.DB.Begin()
			worldtest.Must(t, tx.Delete(&connItem{ID: 1}).Error)
			return tx.Rollback().Error
		}},
		{"prepared in the session", true, func(t *testing.T, b *connBench) error {
			return b.DB.Session(&gorm.Session{PrepareStmt: true}).Model(&connItem{ID: 1}).Update("name", "new").Error
		}},
		{"the pool itself", false, func(t *testing.T, b *connBench) error {
			_, err := b.pool.Exec(update)
			return err
		}},
		{"a prepared statement of the pool", false, func(t *testing.T, b *connBench) error {
			stmt, err := b.pool.Prepare(update)
			worldtest.Must(t, err)
			defer func() { _ = stmt.Close() }()
			b.warm(t)
			_, err = stmt.Exec()
			return err
		}},
		{"a transaction of the pool", false, func(t *testing.T, b *connBench) error {
			tx, err := b.pool.Begin()
			worldtest.Must(t, err)
			_, err = tx.Exec(update)
			worldtest.Must(t, err)
			if b.Dialect != "sqlite" {
				b.warm(t)
			}
			return tx.Commit()
		}},
		{"another handle on the pool", false, func(t *testing.T, b *connBench) error {
			other, err := gorm.Open(b.Dialector(b.pool), &gorm.Config{Logger: logger.Discard})
			worldtest.Must(t, err)
			return other.Save(&connItem{ID: 1, Name: "new"}).Error
		}},
		{"begin and commit on one connection of GORM", false, func(t *testing.T, b *connBench) error {
			return b.DB.Connection(func(tx *gorm.DB) error {
				tx = tx.Session(&gorm.Session{SkipDefaultTransaction: true})
				worldtest.Must(t, tx.Exec("BEGIN").Error)
				worldtest.Must(t, tx.Model(&connItem{ID: 1}).Update("name", "new").Error)
				b.name(t, 1)
				return tx.Exec("COMMIT").Error
			})
		}},
		{"begin and commit on one connection of the pool", false, func(t *testing.T, b *connBench) error {
			conn, err := b.pool.Conn(ctx)
			worldtest.Must(t, err)
			defer func() { _ = conn.Close() }()
			for _, text := range []string{"BEGIN", update, "COMMIT"} {
				_, err = conn.ExecContext(ctx, text)
				worldtest.Must(t, err)
				b.name(t, 1)
			}
			return nil
		}},
		{"begin and rollback on one connection", false, func(t *testing.T, b *connBench) error {
			return b.DB.Connection(func(tx *gorm.DB) error {
				tx = tx.Session(&gorm.Session{SkipDefaultTransaction: true})
				worldtest.Must(t, tx.Exec("BEGIN").Error)
				worldtest.Must(t, tx.Model(&connItem{ID: 1}).Update("name", "new").Error)
				b.name(t, 1)
				return tx.Exec("ROLLBACK").Error
			})
		}},
		{"a commit as a statement in a transaction", false, func(t *testing.T, b *connBench) error {
			tx := b.DB.Begin()
			worldtest.Must(t, tx.Model(&connItem{ID: 1}).Update("name", "new").Error)
			worldtest.Must(t, tx.Exec("COMMIT").Error)
			_ = tx.Rollback()
			return nil
		}},
		{"DDL", false, func(t *testing.T, b *connBench) error {
			worldtest.Must(t, b.DB.Exec("CREATE TABLE conn_more (id integer)").Error)
			_, err := b.pool.Exec("DROP TABLE conn_more")
			return err
		}},
		{"its *sql.Tx, by SQLTx", false, func(t *testing.T, b *connBench) error {
			return b.DB.Transaction(func(tx *gorm.DB) error {
				inner, ok := preload.SQLTx(tx)
				if !ok {
					return errors.New("no *sql.Tx")
				}
				_, err := inner.Exec(update)
				return err
			})
		}},
		{"its *sql.Tx, which is committed by others", false, func(t *testing.T, b *connBench) error {
			tx := b.DB.Begin()
			inner, ok := preload.SQLTx(tx)
			if !ok {
				return errors.New("no *sql.Tx")
			}
			worldtest.Must(t, tx.Save(&connItem{ID: 1, Name: "new"}).Error)
			return inner.Commit()
		}},
	}
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for name, config := range connConfigs() {
			b := connOpen(t, d, config)
			for _, test := range tests {
				t.Run(name+"/"+test.name, func(t *testing.T) {
					worldtest.Must(t, b.Plain.Save([]connItem{{ID: 1, Name: "one"}, {ID: 2, Name: "two"}}).Error)
					worldtest.Must(t, b.Plugin.Invalidate())
					b.warm(t)
					if err := test.write(t, b); err != nil {
						t.Fatal(err)
					}
					b.now(t, test.exact)
				})
			}
			worldtest.Must(t, b.Plain.Exec("DELETE FROM conn_items").Error)
		}
	})
}

// The types that other code looks for are there.
func TestAnObservedPoolLeavesTheTypesOfDatabaseSQL(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := connOpen(t, d, &gorm.Config{})
		if b.DB.ConnPool != gorm.ConnPool(b.pool) {
			t.Errorf("ConnPool is %T", b.DB.ConnPool)
		}
		worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error {
			inner, is := tx.Statement.ConnPool.(*sql.Tx)
			if by, ok := preload.SQLTx(tx); !is || !ok || by != inner {
				t.Errorf("ConnPool is %T, SQLTx gives %v %v", tx.Statement.ConnPool, by, ok)
			}
			return nil
		}))
		if _, ok := preload.SQLTx(b.DB); ok {
			t.Error("SQLTx gives a transaction outside of any")
		}
		conn, err := b.pool.Conn(context.Background())
		worldtest.Must(t, err)
		defer func() { _ = conn.Close() }()
		worldtest.Must(t, conn.Raw(func(dc any) error {
			if inner := preload.Unwrap(dc); fmt.Sprintf("%T", inner) != "*dbtest.conn" {
				t.Errorf("Unwrap(%T) gives %T", dc, inner)
			}
			return nil
		}))
	})
}

// SQLTx gives the transaction also behind the plugin's own, and behind prepared statements.
func TestSQLTxOfAnOrdinaryPool(t *testing.T) {
	t.Parallel()
	for _, prepare := range []bool{false, true} {
		d := dbtest.SQLite(t)
		db := d.Open(t, &gorm.Config{PrepareStmt: prepare})
		plugin := preload.New(preload.WithoutWorker())
		worldtest.Must(t, db.Use(plugin))
		t.Cleanup(func() { _ = plugin.Close() })
		worldtest.Must(t, db.Transaction(func(tx *gorm.DB) error {
			inner, ok := preload.SQLTx(tx)
			if !ok {
				t.Fatal("no *sql.Tx")
			}
			_, err := inner.Exec("CREATE TABLE things (id integer)")
			return err
		}))
		for _, none := range []*gorm.DB{nil, {}, db} {
			if _, ok := preload.SQLTx(none); ok {
				t.Errorf("SQLTx(%v) gives a transaction", none)
			}
		}
	}
}

// A commit that fails leaves nothing behind, and what the database holds then is what is read.
func TestACommitThatFailsOnAnObservedPool(t *testing.T) {
	t.Parallel()
	for _, open := range []func(testing.TB) *dbtest.Database{dbtest.SQLite, dbtest.Postgres} {
		d := open(t)
		t.Run(d.Dialect, func(t *testing.T) {
			b := connOpen(t, d, &gorm.Config{})
			worldtest.Must(t, b.Plain.Exec("CREATE TABLE late (id integer PRIMARY KEY, item integer REFERENCES conn_items(id) DEFERRABLE INITIALLY DEFERRED)").Error)
			b.warm(t)
			tx := b.DB.Begin()
			worldtest.Must(t, tx.Save(&connItem{ID: 1, Name: "new"}).Error)
			worldtest.Must(t, tx.Exec("INSERT INTO late VALUES (1, 700)").Error)
			if err := tx.Commit().Error; err == nil {
				t.Fatal("the commit succeeded")
			}
			b.now(t, true)
		})
	}
}

// Between the write and the commit the old answer is read and kept; during the commit nothing is.
func TestReadersDuringACommitOnAnObservedPool(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := connOpen(t, d, &gorm.Config{})
		b.warm(t)
		tx := b.DB.Begin()
		worldtest.Must(t, tx.Save(&connItem{ID: 1, Name: "new"}).Error)
		before := d.Probe.Queries()
		if got := b.name(t, 1); got != "one" || d.Probe.Queries() != before {
			t.Errorf("before the commit: %q, %d queries", got, d.Probe.Queries()-before)
		}
		gate := txNewGate()
		d.Probe.After(func(c dbtest.Call, err error) error {
			if c.Op == "commit" {
				gate.pass()
			}
			return err
		})
		ended := make(chan error, 1)
		go func() { ended <- tx.Commit().Error }()
		gate.wait(t)
		if got := b.name(t, 1); got != "new" {
			t.Errorf("the database has committed, and %q is read", got)
		}
		close(gate.open)
		worldtest.Must(t, <-ended)
		d.Probe.After(nil)
		b.now(t, true)
	})
}

// What a reader gets on a connection on which somebody left a transaction open is nobody else's.
func TestReadsInATransactionThatWasLeftOpenAreNotKept(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := connOpen(t, d, &gorm.Config{SkipDefaultTransaction: true})
		b.pool.SetMaxOpenConns(1)
		for _, text := range []string{"BEGIN", "UPDATE conn_items SET name = 'undone' WHERE id = 1"} {
			_, err := b.pool.Exec(text)
			worldtest.Must(t, err)
		}
		if got := b.name(t, 1); got != "undone" {
			t.Skipf("the driver does not leave it open: %q is read", got)
		}
		_, err := b.pool.Exec("ROLLBACK")
		worldtest.Must(t, err)
		b.now(t, false)
	})
}

// Every change reaches the commit of its own transaction, and of no other.
func TestTransactionsAtOnceOnAnObservedPool(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := connOpen(t, d, &gorm.Config{PrepareStmt: true})
		b.pool.SetMaxOpenConns(4)
		if d.Dialect == "sqlite" {
			b.pool.SetMaxOpenConns(1)
		}
		var wg sync.WaitGroup
		var failed atomic.Int64
		for i := range 8 {
			id := uint(10 + i)
			worldtest.Must(t, b.Plain.Create(&connItem{ID: id, Name: "0"}).Error)
			wg.Add(1)
			go func() {
				defer wg.Done()
				for j := range 10 {
					want := fmt.Sprint(j)
					before := b.name(t, id)
					err := b.DB.Transaction(func(tx *gorm.DB) error {
						if err := tx.Model(&connItem{ID: id}).Update("name", want).Error; err != nil {
							return err
						}
						if j%3 == 2 {
							want = before
							return errTxNo
						}
						return nil
					})
					if err != nil && err != errTxNo {
						t.Error(err)
					}
					if got := b.name(t, id); got != want {
						failed.Add(1)
						t.Errorf("item %d: read %q after %q was committed", id, got, want)
					}
				}
			}()
		}
		wg.Wait()
	})
}

var errTxNo = errors.New("no")

// A driver of preload.Driver is registered under a name, and each data source has observers of its
// own.
func TestARegisteredDriverIsObserved(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		name := "preload-test-" + d.Dialect
		sql.Register(name, preload.Driver(d.Connector().Driver()))
		pool, err := sql.Open(name, d.DSN())
		worldtest.Must(t, err)
		t.Cleanup(func() { _ = pool.Close() })
		plain := d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&connItem{}, &connKid{}))
		worldtest.Must(t, plain.Create(&connItem{ID: 1, Name: "one"}).Error)
		db, err := gorm.Open(d.Dialector(pool), &gorm.Config{Logger: logger.Discard})
		worldtest.Must(t, err)
		plugin := preload.New(preload.WithoutWorker())
		worldtest.Must(t, db.Use(plugin))
		t.Cleanup(func() { _ = plugin.Close() })
		for i, want := range []string{"one", "new"} {
			if i > 0 {
				_, err := pool.Exec("UPDATE conn_items SET name = 'new'")
				worldtest.Must(t, err)
			}
			for range 2 {
				var item connItem
				if worldtest.Must(t, db.First(&item).Error); item.Name != want {
					t.Errorf("read %q, want %q", item.Name, want)
				}
			}
		}
		if hits := plugin.Stats().Hits; hits < 1 {
			t.Errorf("%d hits", hits)
		}
		if _, is := preload.Unwrap(pool.Driver()).(interface{ OpenConnector(string) }); is {
			t.Error("not unwrapped")
		}
	})
}

// A plugin that is closed is not told any more, and costs a shared pool nothing.
func TestTwoPluginsOnOneObservedPool(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	b := connOpen(t, d, &gorm.Config{})
	other, err := gorm.Open(d.Dialector(b.pool), &gorm.Config{Logger: logger.Discard})
	worldtest.Must(t, err)
	second := preload.New(preload.WithoutWorker())
	worldtest.Must(t, other.Use(second))
	b.warm(t)
	worldtest.Must(t, other.Clauses(clause.OnConflict{UpdateAll: true}).Create(&connItem{ID: 1, Name: "upserted"}).Error)
	b.now(t, false)
	worldtest.Must(t, second.Close())
	b.warm(t)
	worldtest.Must(t, other.Save(&connItem{ID: 1, Name: "after"}).Error)
	b.now(t, false)
}
