package preload_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

type endedRow struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:50;uniqueIndex"`
	N    int
}

// endedWorld opens a database with twenty rows, whose connections are observed or not.
func endedWorld(t *testing.T, d *dbtest.Database, observed bool, config gorm.Config, options ...preload.Option) (db, plain *gorm.DB) {
	plain = d.Plain(t)
	worldtest.Must(t, plain.AutoMigrate(&endedRow{}))
	worldtest.Must(t, plain.Where("1 = 1").Delete(&endedRow{}).Error)
	var rows []endedRow
	for i := range uint(20) {
		rows = append(rows, endedRow{ID: i + 1, Name: fmt.Sprint(i)})
	}
	worldtest.Must(t, plain.Create(rows).Error)
	c := d.Connector()
	if observed {
		c = preload.Connector(c)
	}
	pool := sql.OpenDB(c)
	t.Cleanup(func() { _ = pool.Close() })
	config.Logger = logger.Discard
	db, err := gorm.Open(d.Dialector(pool), &config)
	worldtest.Must(t, err)
	p := preload.New(append([]preload.Option{preload.WithoutWorker(), preload.WithLogger(worldtest.Quiet())}, options...)...)
	worldtest.Must(t, db.Use(p))
	t.Cleanup(func() { _ = p.Close() })
	return db, plain
}

func endedN(t *testing.T, db *gorm.DB, id uint) int {
	t.Helper()
	var r endedRow
	worldtest.Must(t, db.Take(&r, id).Error)
	return r.N
}

// endedByRows are, by dialect, statements among whose rows the database tells that it has rolled the
// transaction back.
var endedByRows = map[string]map[string]func(tx *gorm.DB) error{
	"sqlite": {
		"Raw.Scan": func(tx *gorm.DB) error {
			return tx.Raw("UPDATE OR ROLLBACK ended_rows SET name = '1' WHERE id = 1 RETURNING id").Scan(new([]int)).Error
		},
		"Raw.Row": func(tx *gorm.DB) error {
			return tx.Raw("UPDATE OR ROLLBACK ended_rows SET name = '1' WHERE id = 1 RETURNING id").Row().Scan(new(int))
		},
		"Raw.Rows": func(tx *gorm.DB) error {
			return readToTheEnd(tx.Raw("UPDATE OR ROLLBACK ended_rows SET name = '1' WHERE id = 1 RETURNING id").Rows())
		},
		"Update": func(tx *gorm.DB) error {
			return tx.Model(&endedRow{}).Clauses(clause.Update{Modifier: "OR ROLLBACK"}, clause.Returning{}).Where("id = 1").Update("name", "1").Error
		},
	},
	"mysql": {
		"Scan": func(tx *gorm.DB) error {
			return tx.Model(&endedRow{}).Select("n").Clauses(clause.Locking{Strength: "UPDATE"}).Order("id").Scan(new([]int)).Error
		},
		"Find": func(tx *gorm.DB) error {
			return tx.Clauses(clause.Locking{Strength: "UPDATE"}).Order("id").Find(new([]endedRow)).Error
		},
		"Rows": func(tx *gorm.DB) error {
			return readToTheEnd(tx.Model(&endedRow{}).Clauses(clause.Locking{Strength: "UPDATE"}).Order("id").Rows())
		},
		"Raw.Scan": func(tx *gorm.DB) error {
			return tx.Raw("SELECT n FROM ended_rows ORDER BY id FOR UPDATE").Scan(new([]int)).Error
		},
	},
}

func readToTheEnd(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	_ = rows.Close()
	return rows.Err()
}

// deadlock has tx wait for another transaction that waits for it, and has written more, so that tx
// is the one that is rolled back. The function that is returned ends the other one.
func deadlock(t *testing.T, tx, plain *gorm.DB) (end func()) {
	other := plain.Begin()
	worldtest.Must(t, other.Exec("UPDATE ended_rows SET n = n + 1 WHERE id BETWEEN 10 AND 19").Error)
	worldtest.Must(t, tx.Exec("SELECT id FROM ended_rows WHERE id = 5 FOR UPDATE").Error)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = other.Exec("UPDATE ended_rows SET n = n + 1 WHERE id = 5").Error
	}()
	return func() {
		<-done
		worldtest.Must(t, other.Rollback().Error)
	}
}

// TestWhatIsWrittenAfterRowsEndedTheTransaction is visible at once, whatever the application does
// to the transaction then.
func TestWhatIsWrittenAfterRowsEndedTheTransaction(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for form, run := range endedByRows[d.Dialect] {
			for _, observed := range []bool{false, true} {
				for _, prepared := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, observed %t, prepared %t", form, observed, prepared), func(t *testing.T) {
						db, plain := endedWorld(t, d, observed, gorm.Config{PrepareStmt: prepared})
						endedN(t, db, 20)
						endedN(t, db, 20)
						tx, end := db.Begin(), func() {}
						if d.Dialect == "mysql" {
							end = deadlock(t, tx, plain)
						}
						failed := run(tx)
						if end(); failed == nil {
							t.Fatal("the database did not roll back")
						}
						_ = tx.Model(&endedRow{}).Where("id = 20").Update("n", 5)
						_ = tx.Rollback()
						want := endedN(t, plain, 20)
						if got := endedN(t, db, 20); got != want || want != 5 {
							t.Errorf("%d is read, the database has %d", got, want)
						}
					})
				}
			}
		}
	})
}

// pastGORM are the ways to a connection of a transaction on which no callback of GORM's is called.
var pastGORM = map[string]func(tx *gorm.DB, query string) error{
	"ConnPool.ExecContext": func(tx *gorm.DB, query string) error {
		_, err := tx.Statement.ConnPool.ExecContext(context.Background(), query)
		return err
	},
	"ConnPool.QueryContext": func(tx *gorm.DB, query string) error {
		return readToTheEnd(tx.Statement.ConnPool.QueryContext(context.Background(), query))
	},
	"SQLTx": func(tx *gorm.DB, query string) error {
		at, _ := preload.SQLTx(tx)
		_, err := at.Exec(query)
		return err
	},
}

// TestPastGORMInATransaction: what such code writes shows to nobody before the commit, in whatever
// way the transaction reads it, and to everybody after it; what it sets is for its transaction; and
// what fails counts as a failure.
func TestPastGORMInATransaction(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for way, run := range pastGORM {
			for _, prepared := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, prepared %t", way, prepared), func(t *testing.T) {
					db, plain := endedWorld(t, d, false, gorm.Config{PrepareStmt: prepared}, preload.WithTransactionReads())
					for _, warm := range []bool{false, true} {
						if warm {
							endedN(t, db, 1)
							endedN(t, db, 1)
						}
						tx := db.Begin()
						worldtest.Must(t, run(tx, "UPDATE ended_rows SET n = 7 WHERE id = 1"))
						if n := endedN(t, tx, 1); n != 7 {
							t.Errorf("warm %t: the transaction reads %d, want what it wrote", warm, n)
						}
						worldtest.Must(t, tx.Rollback().Error)
						if n := endedN(t, db, 1); n != 0 {
							t.Errorf("warm %t: %d is read after the rollback", warm, n)
						}
					}
					if way == "SQLTx" {
						return // what is written by it, Invalidate is told of
					}
					endedN(t, db, 2)
					tx := db.Begin()
					worldtest.Must(t, run(tx, "UPDATE ended_rows SET n = 8 WHERE id = 2"))
					worldtest.Must(t, tx.Commit().Error)
					if n := endedN(t, db, 2); n != 8 {
						t.Errorf("%d is read after the commit, want 8", n)
					}
					if d.Dialect == "sqlite" {
						endedN(t, db, 20)
						tx := db.Begin()
						if run(tx, "UPDATE OR ROLLBACK ended_rows SET name = '2' WHERE id = 1") == nil {
							t.Error("the statement did not fail")
						}
						_ = tx.Model(&endedRow{}).Where("id = 20").Update("n", 5)
						_ = tx.Rollback()
						if got, want := endedN(t, db, 20), endedN(t, plain, 20); got != want {
							t.Errorf("after a failure %d is read, the database has %d", got, want)
						}
					}
				})
			}
		}
	})
}

// TestSettingsPastGORMAreOfTheirTransaction: an answer that holds under them is not kept.
func TestSettingsPastGORMAreOfTheirTransaction(t *testing.T) {
	t.Parallel()
	// The description of a prepared statement would not change with the path.
	d := dbtest.Postgres(t).With(t, map[string]string{"default_query_exec_mode": "exec"})
	plain := d.Plain(t)
	var schema string
	worldtest.Must(t, plain.Raw("SELECT current_schema()").Scan(&schema).Error)
	other := schema + "_ended"
	worldtest.Must(t, plain.Exec("CREATE SCHEMA "+other).Error)
	t.Cleanup(func() { worldtest.Must(t, plain.Exec("DROP SCHEMA "+other+" CASCADE").Error) })
	for way, run := range pastGORM {
		t.Run(way, func(t *testing.T) {
			db, plain := endedWorld(t, d, false, gorm.Config{}, preload.WithTransactionReads())
			worldtest.Must(t, plain.Exec("DROP TABLE IF EXISTS "+other+".ended_rows").Error)
			worldtest.Must(t, plain.Exec("CREATE TABLE "+other+".ended_rows AS SELECT id, name, 9::bigint AS n FROM ended_rows").Error)
			for range 2 {
				tx := db.Begin()
				worldtest.Must(t, run(tx, "SET LOCAL search_path = "+other))
				if n := endedN(t, tx, 1); n != 9 {
					t.Errorf("%d is read in the transaction, want 9", n)
				}
				worldtest.Must(t, tx.Rollback().Error)
				if n := endedN(t, db, 1); n != 0 {
					t.Errorf("%d is read after it, want 0", n)
				}
			}
		})
	}
}

// TestARowThatFailedAtOnce: PostgreSQL answers nothing more in the transaction, nor does memory.
func TestARowThatFailedAtOnce(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	for _, prepared := range []bool{false, true} {
		db, _ := endedWorld(t, d, false, gorm.Config{PrepareStmt: prepared}, preload.WithTransactionReads())
		endedN(t, db, 1)
		tx := db.Begin()
		if tx.Raw("SELECT 1/(n-n) FROM ended_rows WHERE id = 3").Row().Scan(new(int)) == nil {
			t.Error("the row did not fail")
		}
		if tx.Take(&endedRow{}, 1).Error == nil {
			t.Errorf("prepared %t: an answer in a transaction that has failed", prepared)
		}
		tx.Rollback()
	}
}

// TestWhatTheDatabaseDoesInATransactionIsNotKept: once it has written something, other rows may be
// changed too where nobody knows of it, and a rollback would not tell.
func TestWhatTheDatabaseDoesInATransactionIsNotKept(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	db, plain := endedWorld(t, d, false, gorm.Config{}, preload.WithTransactionReads())
	worldtest.Must(t, plain.Exec("CREATE TABLE ended_cases (id bigint PRIMARY KEY, row_id bigint REFERENCES ended_rows (id) ON DELETE CASCADE)").Error)
	worldtest.Must(t, plain.Exec("INSERT INTO ended_cases VALUES (1, 1)").Error)
	type endedCase struct {
		_     struct{} `preload:""`
		ID    uint
		RowID uint
	}
	cases := func(db *gorm.DB) int {
		var all []endedCase
		worldtest.Must(t, db.Find(&all).Error)
		return len(all)
	}
	tx := db.Begin()
	worldtest.Must(t, tx.Delete(&endedRow{ID: 1}).Error)
	inside := cases(tx)
	worldtest.Must(t, tx.Rollback().Error)
	if n := cases(db); inside != 0 || n != 1 {
		t.Errorf("%d are found inside, and %d after the rollback, want 0 and 1", inside, n)
	}
}

// TestATransactionOnAConnection: what is written in it is visible when it ends, which may be long
// after the statement.
func TestATransactionOnAConnection(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for _, prepared := range []bool{false, true} {
			clock := dbtest.NewClock()
			db, plain := endedWorld(t, d, false, gorm.Config{PrepareStmt: prepared}, preload.WithClock(clock))
			endedN(t, db, 1)
			worldtest.Must(t, db.Connection(func(c *gorm.DB) error {
				return c.Transaction(func(tx *gorm.DB) error {
					worldtest.Must(t, tx.Model(&endedRow{}).Where("id = 1").Update("n", 1).Error)
					clock.Advance(20 * time.Second)
					endedN(t, db, 1)
					return nil
				})
			}))
			if got, want := endedN(t, db, 1), endedN(t, plain, 1); got != want || want != 1 {
				t.Errorf("prepared %t: %d is read, the database has %d", prepared, got, want)
			}
			for range 3 {
				clock.Advance(2 * time.Second) // a hold-out, from when on a reader has asked for its end
				endedN(t, db, 1)
			}
			if n := db.Plugins["preload"].(*preload.Plugin).Stats().Hits; n == 0 {
				t.Error("the table is held out for longer than need be")
			}
		}
	})
}

// TestUseOnASession sees what is written by the handle that the session came from.
func TestUseOnASession(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	_, plain := endedWorld(t, d, false, gorm.Config{})
	for name, of := range map[string]func(*gorm.DB) *gorm.DB{
		"WithContext": func(db *gorm.DB) *gorm.DB { return db.WithContext(context.Background()) },
		"Debug":       func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{Logger: logger.Discard}) },
	} {
		for _, session := range []gorm.Session{{NewDB: true}, {NewDB: true, PrepareStmt: true}} {
			db := d.Open(t)
			used := of(db)
			clock := dbtest.NewClock()
			p := preload.New(preload.WithoutWorker(), preload.WithLogger(worldtest.Quiet()), preload.WithClock(clock))
			worldtest.Must(t, used.Use(p))
			for _, reader := range []*gorm.DB{db, used.Session(&gorm.Session{NewDB: true})} {
				for _, writer := range []*gorm.DB{db.Session(&session), used.Session(&session)} {
					endedN(t, reader, 1)
					was := endedN(t, reader, 1)
					worldtest.Must(t, writer.Transaction(func(tx *gorm.DB) error {
						worldtest.Must(t, tx.Model(&endedRow{}).Where("id = 1").Update("n", was+1).Error)
						clock.Advance(time.Minute)
						endedN(t, reader, 1)
						return nil
					}))
					if got, want := endedN(t, reader, 1), endedN(t, plain, 1); got != want {
						t.Errorf("%s, %+v: %d is read, the database has %d; bypassed: %v", name, session, got, want, p.Stats().BypassReasons)
					}
				}
			}
			worldtest.Must(t, p.Close())
		}
	}
}
