package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"gorm.io/gorm"
)

// Transactions, savepoints and rollbacks in all their forms: afterwards no answer differs from
// plain GORM's, and what a rollback took back has cost nothing in memory.

var errTx = errors.New("roll back")

func txAge(tx *gorm.DB, id uint, age int) error {
	return tx.Model(&writeUser{ID: id}).Update("age", age).Error
}

// txExpect returns nil if err is the one wanted.
func txExpect(err, want error) error {
	if !errors.Is(err, want) {
		return errors.Join(errors.New("not the error that was wanted"), err)
	}
	return nil
}

func TestTxForms(t *testing.T) {
	t.Parallel()
	begin := func(w *writeWorld, opts ...*sql.TxOptions) *gorm.DB {
		tx := w.db.Begin(opts...)
		w.t.Cleanup(func() { _ = tx.Session(&gorm.Session{NewDB: true}).Rollback() })
		return tx
	}
	// The handle that Connection gives must not be used for a second chain.
	connection := func(db *gorm.DB, do func(tx *gorm.DB) error) error {
		return db.Connection(func(tx *gorm.DB) error { return do(tx.Session(&gorm.Session{})) })
	}
	writeCheck(t, []writeForm{
		{name: "commit", do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error { return txAge(tx, 1, 41) })
		}},
		{name: "manual commit", do: func(w *writeWorld) error {
			tx := begin(w)
			defer tx.Rollback()
			return errors.Join(tx.Error, txAge(tx, 1, 41), tx.Commit().Error)
		}},
		{name: "rollback", noop: true, survives: true, do: func(w *writeWorld) error {
			return txExpect(w.db.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 1, 41), errTx) }), errTx)
		}},
		{name: "manual rollback", noop: true, survives: true, do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.Error, txAge(tx, 1, 41), tx.Delete(&writeUser{ID: 2}).Error, tx.Exec("DELETE FROM write_comments").Error, tx.Rollback().Error)
		}},
		{name: "rollback of raw writes", noop: true, survives: true, do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.Error, tx.Exec("UPDATE write_users SET age = 1").Error,
				tx.Raw("INSERT INTO write_users (name) VALUES ('x') RETURNING id").Scan(new(int)).Error, tx.Rollback().Error)
		}},
		{name: "rollback after reads of what was written", noop: true, survives: true, do: func(w *writeWorld) error {
			tx := begin(w)
			if err := errors.Join(tx.Error, txAge(tx, 1, 41)); err != nil {
				return err
			}
			for range 2 {
				for _, q := range writeQueries {
					q.ask(tx)
				}
				var user writeUser
				if tx.First(&user, 1); user.Age != 41 {
					return errors.New("the transaction does not see its own write")
				}
			}
			return tx.Rollback().Error
		}},
		{name: "commit after reads", do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				for _, q := range writeQueries {
					q.ask(tx)
				}
				return errors.Join(txAge(tx, 1, 41), tx.Create(&writePost{UserID: 1, Title: "new", Views: 12}).Error)
			})
		}},
		{name: "panic", noop: true, survives: true, fails: true, do: func(w *writeWorld) error {
			return writeRecovered(func() error {
				return w.db.Transaction(func(tx *gorm.DB) error {
					if err := txAge(tx, 1, 41); err != nil {
						return err
					}
					panic("in the transaction")
				})
			})
		}},
		{name: "savepoint kept", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.Commit().Error)
		}},
		{name: "savepoint rolled back, the rest kept", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{name: "all rolled back to a savepoint", noop: true, survives: true, do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{name: "written again after the rollback to a savepoint", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.RollbackTo("a").Error, txAge(tx, 3, 43), tx.Commit().Error)
		}},
		{name: "twice to one savepoint", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.RollbackTo("a").Error,
				txAge(tx, 3, 43), tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{name: "inner savepoint", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 1, 41), tx.SavePoint("b").Error, txAge(tx, 2, 42),
				tx.RollbackTo("b").Error, tx.Commit().Error)
		}},
		{name: "outer savepoint", noop: true, survives: true, do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 1, 41), tx.SavePoint("b").Error, txAge(tx, 2, 42),
				tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		// The second savepoint of a name hides the first (in MySQL it replaces it): the write
		// between them is kept.
		{name: "same name twice", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 1, 41), tx.SavePoint("a").Error, txAge(tx, 2, 42),
				tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{name: "same name twice, raw", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.Exec("SAVEPOINT a").Error, txAge(tx, 1, 41), tx.Exec("SAVEPOINT a").Error, txAge(tx, 2, 42),
				tx.Exec("ROLLBACK TO SAVEPOINT a").Error, tx.Commit().Error)
		}},
		{name: "same name twice, released once", only: "sqlite postgres", noop: true, do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.Exec("SAVEPOINT a").Error, txAge(tx, 1, 41), tx.Exec("SAVEPOINT a").Error, txAge(tx, 2, 42),
				tx.Exec("RELEASE SAVEPOINT a").Error, tx.Exec("ROLLBACK TO SAVEPOINT a").Error, tx.Commit().Error)
		}},
		{name: "released", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 1, 41), tx.Exec("RELEASE SAVEPOINT a").Error, tx.Commit().Error)
		}},
		{name: "inner released, outer rolled back", noop: true, do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, tx.SavePoint("b").Error, txAge(tx, 1, 41), tx.Exec("RELEASE SAVEPOINT b").Error,
				tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{name: "raw, other case", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.Exec("savepoint Spot").Error, txAge(tx, 2, 42), tx.Exec("rollback TO SPOT").Error, tx.Commit().Error)
		}},
		// Quoted names that differ in case are two savepoints in PostgreSQL, one in the others:
		// there the second hides the first.
		{name: "quoted names in two cases", do: func(w *writeWorld) error {
			q := map[string]string{"sqlite": `"`, "postgres": `"`, "mysql": "`"}[w.d.Dialect]
			tx := begin(w)
			return errors.Join(txAge(tx, 3, 43), tx.Exec("SAVEPOINT "+q+"A"+q).Error, txAge(tx, 1, 41), tx.Exec("SAVEPOINT "+q+"a"+q).Error, txAge(tx, 2, 42),
				tx.Exec("ROLLBACK TO SAVEPOINT "+q+"A"+q).Error, txAge(tx, 4, 44), tx.Commit().Error)
		}},
		{name: "raw ROLLBACK TRANSACTION TO", only: "sqlite postgres", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.Exec("SAVEPOINT a").Error, txAge(tx, 2, 42),
				tx.Exec("/* x */ ROLLBACK TRANSACTION TO SAVEPOINT a").Error, tx.Commit().Error)
		}},
		{name: "raw ROLLBACK WORK TO", only: "mysql postgres", do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.Exec("SAVEPOINT a").Error, txAge(tx, 2, 42),
				tx.Exec("ROLLBACK WORK TO a").Error, tx.Commit().Error)
		}},
		{name: "rollback to no savepoint", do: func(w *writeWorld) error {
			if w.d.Dialect == "postgres" { // which gives the transaction up
				return txAge(w.db, 1, 41)
			}
			tx := begin(w)
			err := txAge(tx, 1, 41)
			_ = tx.Session(&gorm.Session{}).RollbackTo("nowhere") // not all drivers report it
			return errors.Join(err, tx.Commit().Error)
		}},
		{name: "raw rollback to no savepoint, write kept", do: func(w *writeWorld) error {
			tx := begin(w)
			err := txAge(tx, 1, 41)
			if w.d.Dialect != "postgres" {
				if tx.Exec("ROLLBACK TO SAVEPOINT nowhere").Error == nil {
					return errors.New("no error")
				}
			}
			return errors.Join(err, tx.Commit().Error)
		}},
		{name: "nested, inner fails", do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				if err := txAge(tx, 1, 41); err != nil {
					return err
				}
				return txExpect(tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 2, 42), errTx) }), errTx)
			})
		}},
		{name: "nested, inner panics", do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				_ = writeRecovered(func() error {
					return tx.Transaction(func(tx *gorm.DB) error {
						_ = txAge(tx, 2, 42)
						panic("inner")
					})
				})
				return txAge(tx, 1, 41)
			})
		}},
		{name: "nested, only the inner writes, and fails", noop: true, survives: true, do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				return txExpect(tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 2, 42), errTx) }), errTx)
			})
		}},
		{name: "nested, outer fails", noop: true, survives: true, do: func(w *writeWorld) error {
			return txExpect(w.db.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Transaction(func(tx *gorm.DB) error { return txAge(tx, 2, 42) }), errTx)
			}), errTx)
		}},
		{name: "nested three deep", do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				return tx.Transaction(func(tx *gorm.DB) error {
					return errors.Join(txAge(tx, 1, 41), txExpect(tx.Transaction(func(tx *gorm.DB) error {
						return errors.Join(txAge(tx, 2, 42), errTx)
					}), errTx), tx.Transaction(func(tx *gorm.DB) error { return txAge(tx, 3, 43) }))
				})
			})
		}},
		{name: "nested transactions disabled", config: &gorm.Config{DisableNestedTransaction: true}, do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				// Without savepoints the inner error takes nothing back.
				return txExpect(tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 2, 42), errTx) }), errTx)
			})
		}},
		{name: "nested, prepared", config: &gorm.Config{PrepareStmt: true}, do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				return errors.Join(txAge(tx, 1, 41), txExpect(tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 2, 42), errTx) }), errTx))
			})
		}},
		{name: "nested, prepared per session", do: func(w *writeWorld) error {
			return w.db.Session(&gorm.Session{PrepareStmt: true}).Transaction(func(tx *gorm.DB) error {
				return errors.Join(txAge(tx, 1, 41), txExpect(tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 2, 42), errTx) }), errTx))
			})
		}},
		{name: "prepared session inside the transaction", do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error { return txAge(tx.Session(&gorm.Session{PrepareStmt: true}), 1, 41) })
		}},
		{name: "prepared session inside the transaction, rolled back", noop: true, survives: true, do: func(w *writeWorld) error {
			return txExpect(w.db.Transaction(func(tx *gorm.DB) error {
				return errors.Join(txAge(tx.Session(&gorm.Session{PrepareStmt: true}), 1, 41), errTx)
			}), errTx)
		}},
		{name: "prepared, rolled back", noop: true, survives: true, config: &gorm.Config{PrepareStmt: true}, do: func(w *writeWorld) error {
			return txExpect(w.db.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 1, 41), errTx) }), errTx)
		}},
		{name: "prepared, savepoint", config: &gorm.Config{PrepareStmt: true}, do: func(w *writeWorld) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{name: "unique violation inside, given up", noop: true, survives: true, fails: true, do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error { return tx.Create(&writeUser{Name: "x", Email: writePtr("ann@x")}).Error })
		}},
		// What follows an error may follow a rollback by the database, so the tables may be held
		// out.
		{name: "unique violation inside, carried on", only: "sqlite mysql", hold: true, do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				if tx.Create(&writeUser{Name: "x", Email: writePtr("ann@x")}).Error == nil {
					return errors.New("no error")
				}
				return txAge(tx, 1, 41)
			})
		}},
		// After an error PostgreSQL answers COMMIT with ROLLBACK.
		{name: "unique violation inside, then commit", only: "postgres", noop: true, hold: true, do: func(w *writeWorld) error {
			tx := begin(w)
			err := txAge(tx, 1, 41)
			if tx.Create(&writeUser{Name: "x", Email: writePtr("ann@x")}).Error == nil {
				return errors.New("no error")
			}
			_ = tx.Commit()
			return err
		}},
		// In SQLite and MySQL a failing statement can have written some of its rows.
		{name: "partial failure outside a transaction", only: "sqlite", hold: true, fails: true, config: &gorm.Config{SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return w.db.Exec("INSERT OR FAIL INTO write_users (name, email) VALUES ('x', 'x@x'), ('y', 'ann@x')").Error
		}},
		{name: "partial failure inside a transaction", only: "sqlite", hold: true, do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				if tx.Exec("INSERT OR FAIL INTO write_users (name, email) VALUES ('x', 'x@x'), ('y', 'ann@x')").Error == nil {
					return errors.New("no error")
				}
				return nil
			})
		}},
		{name: "OR ROLLBACK, then a write", only: "sqlite", hold: true, fails: true, do: func(w *writeWorld) error {
			tx := begin(w)
			_ = txAge(tx, 2, 42)
			if tx.Exec("INSERT OR ROLLBACK INTO write_users (name, email) VALUES ('y', 'ann@x')").Error == nil {
				return nil
			}
			// The transaction is over in the database: this commits by itself.
			_ = txAge(tx, 1, 41)
			w.equal(w.t, "after a write behind the rollback")
			return tx.Commit().Error
		}},
		{name: "raw ROLLBACK, then a write", hold: true, do: func(w *writeWorld) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 2, 42), tx.Exec("ROLLBACK").Error, txAge(tx, 1, 41))
			w.equal(w.t, "after a write behind the rollback")
			_ = tx.Rollback()
			return err
		}},
		{name: "raw COMMIT, then rollback", hold: true, do: func(w *writeWorld) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 1, 41), tx.Exec("COMMIT").Error)
			w.equal(w.t, "after the raw commit")
			_ = tx.Rollback()
			return err
		}},
		{name: "raw END, in small letters", only: "sqlite postgres", hold: true, do: func(w *writeWorld) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 1, 41), tx.Exec("-- x\n end").Error)
			w.equal(w.t, "after the raw commit")
			_ = tx.Rollback()
			return err
		}},
		{name: "raw COMMIT AND CHAIN", only: "mysql postgres", hold: true, do: func(w *writeWorld) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 1, 41), tx.Exec("COMMIT AND CHAIN").Error)
			w.equal(w.t, "after the raw commit")
			return errors.Join(err, txAge(tx, 2, 42), tx.Rollback().Error)
		}},
		{name: "raw COMMIT in the tail of a statement", only: "sqlite", hold: true, do: func(w *writeWorld) error {
			tx := begin(w)
			err := tx.Exec("UPDATE write_users SET age = 41; COMMIT").Error
			w.equal(w.t, "after the raw commit")
			_ = tx.Rollback()
			return err
		}},
		{name: "cancelled", noop: true, hold: true, do: func(w *writeWorld) error {
			ctx, cancel := context.WithCancel(context.Background())
			tx := w.db.WithContext(ctx).Begin()
			err := errors.Join(tx.Error, txAge(tx, 1, 41))
			cancel()
			if tx.Commit().Error == nil {
				return errors.New("commit: no error")
			}
			return err
		}},
		{name: "cancelled and left alone", noop: true, hold: true, do: func(w *writeWorld) error {
			ctx, cancel := context.WithCancel(context.Background())
			tx := w.db.WithContext(ctx).Begin()
			err := errors.Join(tx.Error, txAge(tx, 1, 41))
			cancel()
			return err
		}},
		{name: "hook panics in the default transaction", noop: true, hold: true, fails: true, do: func(w *writeWorld) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel() // plain GORM leaves the transaction open
			return writeRecovered(func() error { return w.db.WithContext(ctx).Create(&writeHooked{Name: "after panics"}).Error })
		}},
		{name: "commit twice", do: func(w *writeWorld) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 1, 41), tx.Commit().Error)
			if !errors.Is(tx.Session(&gorm.Session{}).Commit().Error, sql.ErrTxDone) {
				return errors.New("the second commit: want ErrTxDone")
			}
			return err
		}},
		{name: "rollback, then commit", noop: true, survives: true, do: func(w *writeWorld) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 1, 41), tx.Rollback().Error)
			if !errors.Is(tx.Session(&gorm.Session{}).Commit().Error, sql.ErrTxDone) {
				return errors.New("the commit: want ErrTxDone")
			}
			return err
		}},
		{name: "write after the commit", fails: true, do: func(w *writeWorld) error {
			tx := begin(w)
			if err := errors.Join(txAge(tx, 1, 41), tx.Commit().Error); err != nil {
				return nil
			}
			return txAge(tx, 2, 42)
		}, hold: true},
		{name: "options", do: func(w *writeWorld) error {
			tx := begin(w, &sql.TxOptions{Isolation: sql.LevelSerializable})
			return errors.Join(tx.Error, txAge(tx, 1, 41), tx.Commit().Error)
		}, only: "postgres mysql"},
		{name: "read-only", noop: true, survives: true, do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				var user writeUser
				return tx.First(&user, 1).Error
			}, &sql.TxOptions{ReadOnly: true})
		}},
		{name: "default transaction around hooks", do: func(w *writeWorld) error { return w.db.Create(&writeHooked{Name: "h"}).Error }},
		{name: "hooks in a transaction that rolls back", noop: true, survives: true, do: func(w *writeWorld) error {
			return txExpect(w.db.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Create(&writeHooked{Name: "h"}).Error, errTx) }), errTx)
		}},
		{name: "two at once, one rolls back", only: "postgres mysql", do: func(w *writeWorld) error {
			a, b := w.db.Begin(), w.db.Begin()
			return errors.Join(txAge(a, 1, 41), b.Model(&writeTag{ID: 1}).Update("name", "x").Error, a.Rollback().Error, b.Commit().Error)
		}},
		{name: "Connection", hold: true, do: func(w *writeWorld) error {
			return connection(w.db, func(tx *gorm.DB) error { return txAge(tx, 1, 41) })
		}},
		{name: "Connection, Exec", hold: true, do: func(w *writeWorld) error {
			return connection(w.db, func(tx *gorm.DB) error { return tx.Exec("UPDATE write_users SET age = 41").Error })
		}},
		{name: "Connection with a transaction", hold: true, do: func(w *writeWorld) error {
			return connection(w.db, func(tx *gorm.DB) error {
				return tx.Transaction(func(tx *gorm.DB) error { return txAge(tx, 1, 41) })
			})
		}},
		{name: "Connection with a transaction that rolls back", hold: true, noop: true, do: func(w *writeWorld) error {
			return txExpect(connection(w.db, func(tx *gorm.DB) error {
				return tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 1, 41), errTx) })
			}), errTx)
		}},
		{name: "Connection with BEGIN and COMMIT", hold: true, do: func(w *writeWorld) error {
			return connection(w.db.Session(&gorm.Session{SkipDefaultTransaction: true}), func(tx *gorm.DB) error {
				err := errors.Join(tx.Exec("BEGIN").Error, txAge(tx, 1, 41))
				w.equal(w.t, "before the commit")
				return errors.Join(err, tx.Exec("COMMIT").Error)
			})
		}},
		{name: "Connection with BEGIN and COMMIT, long after the write", hold: true, do: func(w *writeWorld) error {
			return connection(w.db.Session(&gorm.Session{SkipDefaultTransaction: true}), func(tx *gorm.DB) error {
				err := errors.Join(tx.Exec("BEGIN").Error, txAge(tx, 1, 41))
				w.clock.Advance(10 * writeHoldOut)
				w.equal(w.t, "before the commit")
				w.equal(w.t, "before the commit, second time")
				return errors.Join(err, tx.Exec("COMMIT").Error)
			})
		}},
		{name: "Connection with BEGIN and ROLLBACK", noop: true, hold: true, do: func(w *writeWorld) error {
			return connection(w.db.Session(&gorm.Session{SkipDefaultTransaction: true}), func(tx *gorm.DB) error {
				err := errors.Join(tx.Exec("BEGIN").Error, txAge(tx, 1, 41))
				w.equal(w.t, "before the rollback")
				for _, q := range writeQueries {
					q.ask(tx)
				}
				return errors.Join(err, tx.Exec("ROLLBACK").Error)
			})
		}},
		{name: "*sql.DB behind GORM, then Invalidate", do: func(w *writeWorld) error {
			pool, err := w.db.DB()
			if err != nil {
				return err
			}
			_, err = pool.Exec("UPDATE write_users SET age = 41")
			return errors.Join(err, w.p.Invalidate(&writeUser{}))
		}},
		{name: "handle on a *sql.Tx", hold: true, do: func(w *writeWorld) error {
			pool, err := w.db.DB()
			if err != nil {
				return err
			}
			sqlTx, err := pool.Begin()
			if err != nil {
				return err
			}
			tx := w.db.Session(&gorm.Session{Context: context.Background(), SkipDefaultTransaction: true})
			tx.Statement.ConnPool = sqlTx
			err = txAge(tx, 1, 41)
			w.equal(w.t, "before the commit")
			return errors.Join(err, sqlTx.Commit())
		}},
		{name: "handle on the *sql.DB", hold: true, do: func(w *writeWorld) error {
			pool, err := w.db.DB()
			if err != nil {
				return err
			}
			tx := w.db.Session(&gorm.Session{Context: context.Background()})
			tx.Statement.ConnPool = pool
			return tx.Transaction(func(tx *gorm.DB) error {
				err := txAge(tx, 1, 41)
				w.equal(w.t, "before the commit")
				w.equal(w.t, "before the commit, second time")
				return err
			})
		}},
	})
}

// BEGIN as a plain statement works on a pool of one connection, and reads in it are not stored
// before its COMMIT.
func TestTxBeginByExecOnOneConnection(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"COMMIT", "ROLLBACK"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			writeEach(t, func(t *testing.T, w *writeWorld) {
				pool, err := w.db.DB()
				if err != nil {
					t.Fatal(err)
				}
				pool.SetMaxOpenConns(1)
				w.warm(t)
				db := w.db.Session(&gorm.Session{SkipDefaultTransaction: true})
				if err := db.Exec("BEGIN").Error; err != nil {
					t.Fatal(err)
				}
				var user writeUser
				if db.First(&user, 1); user.Age != 10 {
					t.Errorf("age %d before the write", user.Age)
				}
				if err := txAge(db, 1, 41); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					user = writeUser{}
					if db.First(&user, 1); user.Age != 41 {
						t.Errorf("the connection does not see its write: age %d", user.Age)
					}
				}
				if err := db.Exec(end).Error; err != nil {
					t.Fatal(err)
				}
				w.equal(t, "after "+end)
				w.equal(t, "after "+end+", second time")
				w.clock.Advance(10 * writeHoldOut)
				w.equal(t, "after the hold-out")
				w.cached(t, "after the hold-out, second time")
			})
		})
	}
}
