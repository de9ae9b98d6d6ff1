package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// txPatience bounds what must not wait for anything.
const txPatience = time.Minute

// txAgeOf reads user 1 through a handle of its own chain.
func txAgeOf(t testing.TB, db *gorm.DB) int {
	t.Helper()
	var user worldtest.WriteUser
	if err := db.First(&user, 1).Error; err != nil {
		t.Errorf("reading: %v", err)
	}
	return user.Age
}

// txGate stops the first call of an operation, before it reaches the database or after it has.
type txGate struct {
	arrived, open chan struct{}
	once          sync.Once
}

func txNewGate() *txGate { return &txGate{arrived: make(chan struct{}), open: make(chan struct{})} }

func (g *txGate) pass() {
	first := false
	g.once.Do(func() { first = true; close(g.arrived) })
	if first {
		<-g.open
	}
}

func (g *txGate) wait(t testing.TB) {
	t.Helper()
	select {
	case <-g.arrived:
	case <-time.After(txPatience):
		t.Fatal("nothing arrived at the gate")
	}
}

// A reader that loads between the write and its commit gets the old answer, which must not survive
// the commit.
func TestTxReaderBetweenWriteAndCommit(t *testing.T) {
	t.Parallel()
	writeEach(t, func(t *testing.T, w *worldtest.World) {
		tx := w.DB.Begin()
		defer tx.Rollback()
		if err := txAge(tx, 1, 41); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if age := txAgeOf(t, w.DB); age != 10 {
				t.Errorf("before the commit: %d, want 10", age)
			}
			if age := txAgeOf(t, tx); age != 41 {
				t.Errorf("in the transaction: %d, want 41", age)
			}
		}
		before := w.Probe.Queries()
		txAgeOf(t, w.DB)
		if n := w.Probe.Queries() - before; n != 0 {
			t.Errorf("before the commit the old answer may be kept; %d queries", n)
		}
		if err := tx.Commit().Error; err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if age := txAgeOf(t, w.DB); age != 41 {
				t.Errorf("after the commit: %d, want 41", age)
			}
		}
	})
}

// While a commit is under way its tables are read from the database and nothing is stored; the
// default transaction of a single write, and a write outside any transaction, are treated alike.
func TestTxReaderDuringCommit(t *testing.T) {
	t.Parallel()
	for _, prepare := range []bool{false, true} {
		for _, gated := range []string{"before", "after"} {
			for name, write := range map[string]func(db *gorm.DB) error{
				"transaction": func(db *gorm.DB) error {
					return db.Transaction(func(tx *gorm.DB) error { return txAge(tx, 1, 41) })
				},
				"default transaction": func(db *gorm.DB) error { return txAge(db, 1, 41) },
				"without transaction": func(db *gorm.DB) error { return txAge(db.Session(&gorm.Session{SkipDefaultTransaction: true}), 1, 41) },
				"Exec":                func(db *gorm.DB) error { return db.Exec("UPDATE write_users SET age = 41 WHERE id = 1").Error },
				"prepared session, Exec": func(db *gorm.DB) error {
					return db.Session(&gorm.Session{PrepareStmt: true}).Exec("UPDATE write_users SET age = 41 WHERE id = 1").Error
				},
			} {
				title := name + ", gated " + gated
				if prepare {
					title += ", prepared"
				}
				t.Run(title, func(t *testing.T) {
					t.Parallel()
					dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
						w := writeSetup(t, d, &gorm.Config{PrepareStmt: prepare})
						txAgeOf(t, w.DB)
						gate := txNewGate()
						final := func(c dbtest.Call) bool { return c.Op == "commit" || c.Op == "exec" && !c.InTx }
						if gated == "before" {
							d.Probe.Before(func(c dbtest.Call) error {
								if final(c) {
									gate.pass()
								}
								return nil
							})
						} else {
							d.Probe.After(func(c dbtest.Call, err error) error {
								if final(c) {
									gate.pass()
								}
								return err
							})
						}
						done := make(chan error, 1)
						go func() { done <- write(w.DB) }()
						gate.wait(t)
						want := map[string]int{"before": 10, "after": 41}[gated]
						for i := range 3 {
							before := d.Probe.Queries()
							if age := txAgeOf(t, w.DB); age != want {
								t.Errorf("read %d during it: %d, want %d", i, age, want)
							}
							if n := d.Probe.Queries() - before; n != 1 {
								t.Errorf("read %d during it made %d queries, want 1", i, n)
							}
						}
						close(gate.open)
						if err := <-done; err != nil {
							t.Fatal(err)
						}
						for range 2 {
							if age := txAgeOf(t, w.DB); age != 41 {
								t.Errorf("after it: %d, want 41", age)
							}
						}
						before := d.Probe.Queries()
						txAgeOf(t, w.DB)
						if n := d.Probe.Queries() - before; n != 0 {
							t.Errorf("later it is kept again; got %d queries", n)
						}
					})
				})
			}
		}
	}
}

// writeGated is text whose Scan can be stopped: the reader then holds an answer that it has not
// finished to read.
type writeGated string

var writeGates sync.Map // string -> *txGate

func (g *writeGated) Scan(v any) error {
	s := sql.NullString{}
	if err := s.Scan(v); err != nil {
		return err
	}
	*g = writeGated(s.String)
	if gate, ok := writeGates.Load(s.String); ok {
		gate.(*txGate).pass()
	}
	return nil
}

type writeSlow struct {
	_    struct{} `preload:""`
	ID   uint
	Text writeGated `gorm:"type:varchar(100)"`
}

// A load that began before a write and ends after it is neither stored nor joined by readers that
// come after the write returned; nor does the write wait for it.
func TestTxLoadAcrossWrite(t *testing.T) {
	t.Parallel()
	var number atomic.Int64
	for name, write := range map[string]func(db *gorm.DB) error{
		"default transaction": func(db *gorm.DB) error { return db.Model(&writeSlow{ID: 1}).Update("text", "new").Error },
		"transaction": func(db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error { return tx.Model(&writeSlow{ID: 1}).Update("text", "new").Error })
		},
		"without transaction": func(db *gorm.DB) error {
			return db.Session(&gorm.Session{SkipDefaultTransaction: true}).Model(&writeSlow{ID: 1}).Update("text", "new").Error
		},
		"Exec": func(db *gorm.DB) error { return db.Exec("UPDATE write_slows SET text = 'new'").Error },
		"Invalidate": func(db *gorm.DB) error {
			p, _ := preload.From(db)
			return errors.Join(db.Exec("UPDATE write_slows SET text = 'new'").Error, p.Invalidate(&writeSlow{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				plain := d.Plain(t)
				old := time.Now().Format("150405.000000") + string(rune('a'+number.Add(1)))
				if err := errors.Join(plain.AutoMigrate(&writeSlow{}), plain.Create(&writeSlow{ID: 1, Text: writeGated(old)}).Error); err != nil {
					t.Fatal(err)
				}
				w := writeOpen(t, d, plain, nil)
				read := func() string {
					var slow writeSlow
					if err := w.DB.First(&slow, 1).Error; err != nil {
						return err.Error()
					}
					return string(slow.Text)
				}
				gate := txNewGate()
				writeGates.Store(old, gate)
				defer writeGates.Delete(old)
				first, joined := make(chan string, 1), make(chan string, 1)
				go func() { first <- read() }()
				gate.wait(t)
				go func() { joined <- read() }()
				written := make(chan error, 1)
				go func() { written <- write(w.DB) }()
				select {
				case err := <-written:
					if err != nil {
						t.Fatal(err)
					}
				case <-time.After(txPatience):
					t.Fatal("the write waits for a load")
				}
				later := make(chan string, 1)
				go func() { later <- read() }()
				select {
				case got := <-later:
					if got != "new" {
						t.Errorf("a reader after the write got %q", got)
					}
				case <-time.After(txPatience):
					t.Fatal("a reader that came after the write waits for a dead load")
				}
				close(gate.open)
				if got := <-first; got != old {
					t.Errorf("the load that began before the write got %q, want %q", got, old)
				}
				<-joined
				for range 3 {
					if got := read(); got != "new" {
						t.Errorf("afterwards: %q", got)
					}
				}
			})
		})
	}
}

var errTxProbe = errors.New("the connection is lost")

// An error from the commit, before or after it happened, leaves no stale answer.
func TestTxCommitErrors(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before it happened": false, "after it happened": true} {
		for form, write := range map[string]func(db *gorm.DB) error{
			"default transaction": func(db *gorm.DB) error { return txAge(db, 1, 41) },
			"manual": func(db *gorm.DB) error {
				tx := db.Begin()
				if err := txAge(tx, 1, 41); err != nil {
					return nil
				}
				return tx.Commit().Error
			},
			"prepared": func(db *gorm.DB) error { return txAge(db.Session(&gorm.Session{PrepareStmt: true}), 1, 41) },
			"without transaction": func(db *gorm.DB) error {
				return txAge(db.Session(&gorm.Session{SkipDefaultTransaction: true}), 1, 41)
			},
			"Exec": func(db *gorm.DB) error { return db.Exec("UPDATE write_users SET age = 41").Error },
		} {
			for _, fault := range []error{errTxProbe, context.DeadlineExceeded, sql.ErrConnDone} {
				t.Run(form+", "+name+", "+fault.Error(), func(t *testing.T) {
					t.Parallel()
					writeEach(t, func(t *testing.T, w *worldtest.World) {
						w.Warm(t)
						final := func(c dbtest.Call) bool { return c.Op == "commit" || c.Op == "exec" && !c.InTx }
						if after {
							w.Probe.After(func(c dbtest.Call, err error) error {
								if final(c) {
									return fault
								}
								return err
							})
						} else {
							w.Probe.Before(func(c dbtest.Call) error {
								if final(c) {
									return fault
								}
								return nil
							})
						}
						if err := write(w.DB); !errors.Is(err, fault) {
							t.Fatalf("got %v, want %v", err, fault)
						}
						w.Probe.Before(nil)
						w.Probe.After(nil)
						if changed := w.Settled(t, true); (changed > 0) != after {
							t.Errorf("%d answers changed", changed)
						}
					})
				})
			}
		}
	}
}

// A table whose write ended unseen is held out of the cache for that long, and no longer.
func TestTxHoldOut(t *testing.T) {
	t.Parallel()
	if os.Getenv(dbtest.ObservedEnv) != "" {
		t.Skip("the end of such a write is seen")
	}
	for name, write := range map[string]func(db *gorm.DB) error{
		"Connection": func(db *gorm.DB) error {
			return db.Connection(func(tx *gorm.DB) error { return tx.Model(&worldtest.WriteTag{ID: 1}).Update("name", "x").Error })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writeEach(t, func(t *testing.T, w *worldtest.World) {
				ask := func() (queries int64) {
					before := w.Probe.Queries()
					w.DB.Order("id").Find(&[]worldtest.WriteTag{})
					return w.Probe.Queries() - before
				}
				ask()
				txAgeOf(t, w.DB)
				if err := write(w.DB); err != nil {
					t.Fatal(err)
				}
				for i := range 3 {
					if ask() != 1 {
						t.Errorf("read %d within the hold-out did not ask the database", i)
					}
					w.Clock.Advance(worldtest.HoldOut / 4)
				}
				before := w.Probe.Queries()
				if txAgeOf(t, w.DB); w.Probe.Queries() != before {
					t.Errorf("another table was held out, too")
				}
				w.Clock.Advance(worldtest.HoldOut)
				if first := ask(); first != 1 {
					t.Errorf("after the hold-out: %d queries, want 1", first)
				}
				// Whether rows are closed is found out by a goroutine, which is not waited for for
				// long.
				for i := 0; ask() != 0; i++ {
					if i == 100 {
						t.Fatal("after the hold-out nothing is kept")
					}
				}
			})
		})
	}
}

// Transactions on other tables do not disturb each other, nor each other's answers.
func TestTxOtherTables(t *testing.T) {
	t.Parallel()
	writeEach(t, func(t *testing.T, w *worldtest.World) {
		txAgeOf(t, w.DB)
		for _, end := range []func(tx *gorm.DB) *gorm.DB{(*gorm.DB).Commit, (*gorm.DB).Rollback} {
			tx := w.DB.Begin()
			if err := tx.Model(&worldtest.WriteTag{ID: 1}).Update("name", "other").Error; err != nil {
				t.Fatal(err)
			}
			before := w.Probe.Queries()
			txAgeOf(t, w.DB)
			if err := end(tx).Error; err != nil {
				t.Fatal(err)
			}
			txAgeOf(t, w.DB)
			if n := w.Probe.Queries() - before; n != 0 {
				t.Errorf("%d queries for users because of a transaction on tags", n)
			}
		}
	})
}

// With the wrapper in front the handle behaves as plain GORM does.
func TestTxPool(t *testing.T) {
	t.Parallel()
	for _, prepare := range []bool{false, true} {
		dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
			w := writeSetup(t, d, &gorm.Config{PrepareStmt: prepare})
			plain := d.Plain(t, &gorm.Config{PrepareStmt: prepare})
			preparedSession := &gorm.Session{PrepareStmt: true}
			for name, pair := range map[string][2]*gorm.DB{
				"with the plugin": {w.DB, plain}, "early": {w.Early, plain}, "prepared session": {w.DB.Session(preparedSession), plain.Session(preparedSession)},
			} {
				db, plain := pair[0], pair[1]
				pool, err := db.DB()
				if err != nil {
					t.Fatalf("%s: DB: %v", name, err)
				}
				if err := pool.Ping(); err != nil {
					t.Errorf("%s: Ping: %v", name, err)
				}
				pool.SetMaxOpenConns(3)
				if n := pool.Stats().MaxOpenConnections; n != 3 {
					t.Errorf("%s: MaxOpenConnections %d", name, n)
				}
				pool.SetMaxOpenConns(0)
				same := func(what string, do func(db *gorm.DB) error) {
					t.Helper()
					got, want := do(db), do(plain)
					if (got == nil) != (want == nil) || want != nil && got.Error() != want.Error() {
						t.Errorf("%s: %s: got %v, plain %v", name, what, got, want)
					}
				}
				session := func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{}) }
				same("Commit outside a transaction", func(db *gorm.DB) error { return session(db).Commit().Error })
				same("Rollback outside a transaction", func(db *gorm.DB) error { return session(db).Rollback().Error })
				same("SavePoint outside a transaction", func(db *gorm.DB) error { return session(db).SavePoint("x").Error })
				same("Begin with a done context", func(db *gorm.DB) error {
					ctx, cancel := context.WithCancel(context.Background())
					cancel()
					tx := db.WithContext(ctx).Begin()
					return errors.Join(tx.Error, session(tx).Commit().Error, session(tx).Rollback().Error)
				})
				same("Commit twice", func(db *gorm.DB) error {
					tx := db.Begin()
					return errors.Join(tx.Commit().Error, session(tx).Commit().Error)
				})
				same("Rollback after Commit", func(db *gorm.DB) error {
					tx := db.Begin()
					return errors.Join(tx.Commit().Error, session(tx).Rollback().Error)
				})
				same("DB in a transaction", func(db *gorm.DB) error {
					return db.Transaction(func(tx *gorm.DB) error { _, err := tx.DB(); return err })
				})
				same("Begin in a transaction", func(db *gorm.DB) error {
					return db.Transaction(func(tx *gorm.DB) error { return tx.Begin().Error })
				})
				same("write in a read-only transaction", func(db *gorm.DB) error {
					if d.Dialect == "sqlite" {
						return nil
					}
					return db.Transaction(func(tx *gorm.DB) error { return txAge(tx, 1, 41) }, &sql.TxOptions{ReadOnly: true})
				})
				same("isolation that there is not", func(db *gorm.DB) error {
					return db.Transaction(func(tx *gorm.DB) error { return nil }, &sql.TxOptions{Isolation: sql.LevelLinearizable})
				})
				same("bad query in a transaction", func(db *gorm.DB) error {
					return db.Transaction(func(tx *gorm.DB) error { return tx.Where("no_such = 1").First(&worldtest.WriteUser{}).Error })
				})
				same("Rows in a transaction", func(db *gorm.DB) error {
					return db.Transaction(func(tx *gorm.DB) error {
						rows, err := tx.Model(&worldtest.WriteUser{}).Rows()
						if err != nil {
							return err
						}
						return rows.Close()
					})
				})
			}
		})
	}
}

// A deadlock makes MySQL roll the victim back: what it writes afterwards commits by itself.
func TestTxWriteAfterDeadlock(t *testing.T) {
	t.Parallel()
	w := writeSetup(t, dbtest.MySQL(t), nil)
	w.Warm(t)
	a, b := w.DB.Begin(), w.DB.Begin()
	defer a.Rollback()
	defer b.Rollback()
	if err := errors.Join(txAge(a, 1, 41), txAge(b, 2, 42)); err != nil {
		t.Fatal(err)
	}
	first := make(chan error, 1)
	go func() { first <- txAge(a, 2, 43) }()
	errB := txAge(b, 1, 44)
	errA := <-first
	victim := a
	switch {
	case errA != nil && errB == nil:
	case errB != nil && errA == nil:
		victim = b
	default:
		t.Fatalf("no deadlock: %v, %v", errA, errB)
	}
	if err := victim.Session(&gorm.Session{NewDB: true}).Model(&worldtest.WriteTag{ID: 1}).Update("name", "by the victim").Error; err != nil {
		t.Fatal(err)
	}
	var tag, want worldtest.WriteTag
	w.DB.First(&tag, 1)
	if w.Plain.First(&want, 1); tag != want {
		t.Errorf("got %+v, want %+v", tag, want)
	}
}
