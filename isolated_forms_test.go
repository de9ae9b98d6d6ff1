package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// Transactions, savepoints and rollbacks in all their forms: afterwards no answer differs from
// plain GORM's, and what a rollback took back has cost nothing in memory.

var errTx = errors.New("roll back")

func txAge(tx *gorm.DB, id uint, age int) error {
	return tx.Model(&worldtest.WriteUser{ID: id}).Update("age", age).Error
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
	begin := func(w *worldtest.World, opts ...*sql.TxOptions) *gorm.DB {
		tx := w.DB.Begin(opts...)
		w.T.Cleanup(func() { _ = tx.Session(&gorm.Session{NewDB: true}).Rollback() })
		return tx
	}
	// The handle that Connection gives must not be used for a second chain.
	connection := func(db *gorm.DB, do func(tx *gorm.DB) error) error {
		return db.Connection(func(tx *gorm.DB) error { return do(tx.Session(&gorm.Session{})) })
	}
	worldtest.CheckForms(t, writeOpen, []worldtest.Form{
		{Name: "commit", Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error { return txAge(tx, 1, 41) })
		}},
		{Name: "manual commit", Do: func(w *worldtest.World) error {
			tx := begin(w)
			defer tx.Rollback()
			return errors.Join(tx.Error, txAge(tx, 1, 41), tx.Commit().Error)
		}},
		{Name: "rollback", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			return txExpect(w.DB.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 1, 41), errTx) }), errTx)
		}},
		{Name: "manual rollback", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.Error, txAge(tx, 1, 41), tx.Delete(&worldtest.WriteUser{ID: 2}).Error, tx.Exec("DELETE FROM write_comments").Error, tx.Rollback().Error)
		}},
		{Name: "rollback of raw writes", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.Error, tx.Exec("UPDATE write_users SET age = 1").Error,
				tx.Raw("INSERT INTO write_users (name) VALUES ('x') RETURNING id").Scan(new(int)).Error, tx.Rollback().Error)
		}},
		{Name: "rollback after reads of what was written", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			if err := errors.Join(tx.Error, txAge(tx, 1, 41)); err != nil {
				return err
			}
			for range 2 {
				for _, q := range worldtest.WriteQueries {
					q.Ask(tx)
				}
				var user worldtest.WriteUser
				if tx.First(&user, 1); user.Age != 41 {
					return errors.New("the transaction does not see its own write")
				}
			}
			return tx.Rollback().Error
		}},
		{Name: "commit after reads", Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				for _, q := range worldtest.WriteQueries {
					q.Ask(tx)
				}
				return errors.Join(txAge(tx, 1, 41), tx.Create(&worldtest.WritePost{UserID: 1, Title: "new", Views: 12}).Error)
			})
		}},
		{Name: "panic", NoOp: true, Survives: true, Fails: true, Do: func(w *worldtest.World) error {
			return writeRecovered(func() error {
				return w.DB.Transaction(func(tx *gorm.DB) error {
					if err := txAge(tx, 1, 41); err != nil {
						return err
					}
					panic("in the transaction")
				})
			})
		}},
		{Name: "savepoint kept", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.Commit().Error)
		}},
		{Name: "savepoint rolled back, the rest kept", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{Name: "all rolled back to a savepoint", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{Name: "written again after the rollback to a savepoint", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.RollbackTo("a").Error, txAge(tx, 3, 43), tx.Commit().Error)
		}},
		{Name: "twice to one savepoint", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.RollbackTo("a").Error,
				txAge(tx, 3, 43), tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{Name: "inner savepoint", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 1, 41), tx.SavePoint("b").Error, txAge(tx, 2, 42),
				tx.RollbackTo("b").Error, tx.Commit().Error)
		}},
		{Name: "outer savepoint", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 1, 41), tx.SavePoint("b").Error, txAge(tx, 2, 42),
				tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		// The second savepoint of a name hides the first (in MySQL it replaces it): the write
		// between them is kept.
		{Name: "same name twice", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 1, 41), tx.SavePoint("a").Error, txAge(tx, 2, 42),
				tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{Name: "same name twice, raw", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.Exec("SAVEPOINT a").Error, txAge(tx, 1, 41), tx.Exec("SAVEPOINT a").Error, txAge(tx, 2, 42),
				tx.Exec("ROLLBACK TO SAVEPOINT a").Error, tx.Commit().Error)
		}},
		{Name: "same name twice, released once", Only: "sqlite postgres", NoOp: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.Exec("SAVEPOINT a").Error, txAge(tx, 1, 41), tx.Exec("SAVEPOINT a").Error, txAge(tx, 2, 42),
				tx.Exec("RELEASE SAVEPOINT a").Error, tx.Exec("ROLLBACK TO SAVEPOINT a").Error, tx.Commit().Error)
		}},
		{Name: "released", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, txAge(tx, 1, 41), tx.Exec("RELEASE SAVEPOINT a").Error, tx.Commit().Error)
		}},
		{Name: "inner released, outer rolled back", NoOp: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(tx.SavePoint("a").Error, tx.SavePoint("b").Error, txAge(tx, 1, 41), tx.Exec("RELEASE SAVEPOINT b").Error,
				tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{Name: "raw, other case", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.Exec("savepoint Spot").Error, txAge(tx, 2, 42), tx.Exec("rollback TO SPOT").Error, tx.Commit().Error)
		}},
		// Quoted names that differ in case are two savepoints in PostgreSQL, one in the others:
		// there the second hides the first.
		{Name: "quoted names in two cases", Do: func(w *worldtest.World) error {
			q := map[string]string{"sqlite": `"`, "postgres": `"`, "mysql": "`"}[w.Dialect]
			tx := begin(w)
			return errors.Join(txAge(tx, 3, 43), tx.Exec("SAVEPOINT "+q+"A"+q).Error, txAge(tx, 1, 41), tx.Exec("SAVEPOINT "+q+"a"+q).Error, txAge(tx, 2, 42),
				tx.Exec("ROLLBACK TO SAVEPOINT "+q+"A"+q).Error, txAge(tx, 4, 44), tx.Commit().Error)
		}},
		{Name: "raw ROLLBACK TRANSACTION TO", Only: "sqlite postgres", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.Exec("SAVEPOINT a").Error, txAge(tx, 2, 42),
				tx.Exec("/* x */ ROLLBACK TRANSACTION TO SAVEPOINT a").Error, tx.Commit().Error)
		}},
		{Name: "raw ROLLBACK WORK TO", Only: "mysql postgres", Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.Exec("SAVEPOINT a").Error, txAge(tx, 2, 42),
				tx.Exec("ROLLBACK WORK TO a").Error, tx.Commit().Error)
		}},
		{Name: "rollback to no savepoint", Do: func(w *worldtest.World) error {
			if w.Dialect == "postgres" { // which gives the transaction up
				return txAge(w.DB, 1, 41)
			}
			tx := begin(w)
			err := txAge(tx, 1, 41)
			_ = tx.Session(&gorm.Session{}).RollbackTo("nowhere") // not all drivers report it
			return errors.Join(err, tx.Commit().Error)
		}},
		{Name: "raw rollback to no savepoint, write kept", Do: func(w *worldtest.World) error {
			tx := begin(w)
			err := txAge(tx, 1, 41)
			if w.Dialect != "postgres" {
				if tx.Exec("ROLLBACK TO SAVEPOINT nowhere").Error == nil {
					return errors.New("no error")
				}
			}
			return errors.Join(err, tx.Commit().Error)
		}},
		{Name: "nested, inner fails", Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				if err := txAge(tx, 1, 41); err != nil {
					return err
				}
				return txExpect(tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 2, 42), errTx) }), errTx)
			})
		}},
		{Name: "nested, inner panics", Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				_ = writeRecovered(func() error {
					return tx.Transaction(func(tx *gorm.DB) error {
						_ = txAge(tx, 2, 42)
						panic("inner")
					})
				})
				return txAge(tx, 1, 41)
			})
		}},
		{Name: "nested, only the inner writes, and fails", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				return txExpect(tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 2, 42), errTx) }), errTx)
			})
		}},
		{Name: "nested, outer fails", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			return txExpect(w.DB.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Transaction(func(tx *gorm.DB) error { return txAge(tx, 2, 42) }), errTx)
			}), errTx)
		}},
		{Name: "nested three deep", Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				return tx.Transaction(func(tx *gorm.DB) error {
					return errors.Join(txAge(tx, 1, 41), txExpect(tx.Transaction(func(tx *gorm.DB) error {
						return errors.Join(txAge(tx, 2, 42), errTx)
					}), errTx), tx.Transaction(func(tx *gorm.DB) error { return txAge(tx, 3, 43) }))
				})
			})
		}},
		{Name: "nested transactions disabled", Config: &gorm.Config{DisableNestedTransaction: true}, Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				// Without savepoints the inner error takes nothing back.
				return txExpect(tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 2, 42), errTx) }), errTx)
			})
		}},
		{Name: "nested, prepared", Config: &gorm.Config{PrepareStmt: true}, Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				return errors.Join(txAge(tx, 1, 41), txExpect(tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 2, 42), errTx) }), errTx))
			})
		}},
		{Name: "nested, prepared per session", Do: func(w *worldtest.World) error {
			return w.DB.Session(&gorm.Session{PrepareStmt: true}).Transaction(func(tx *gorm.DB) error {
				return errors.Join(txAge(tx, 1, 41), txExpect(tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 2, 42), errTx) }), errTx))
			})
		}},
		{Name: "prepared session inside the transaction", Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error { return txAge(tx.Session(&gorm.Session{PrepareStmt: true}), 1, 41) })
		}},
		{Name: "prepared session inside the transaction, rolled back", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			return txExpect(w.DB.Transaction(func(tx *gorm.DB) error {
				return errors.Join(txAge(tx.Session(&gorm.Session{PrepareStmt: true}), 1, 41), errTx)
			}), errTx)
		}},
		{Name: "prepared, rolled back", NoOp: true, Survives: true, Config: &gorm.Config{PrepareStmt: true}, Do: func(w *worldtest.World) error {
			return txExpect(w.DB.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 1, 41), errTx) }), errTx)
		}},
		{Name: "prepared, savepoint", Config: &gorm.Config{PrepareStmt: true}, Do: func(w *worldtest.World) error {
			tx := begin(w)
			return errors.Join(txAge(tx, 1, 41), tx.SavePoint("a").Error, txAge(tx, 2, 42), tx.RollbackTo("a").Error, tx.Commit().Error)
		}},
		{Name: "unique violation inside, given up", NoOp: true, Survives: true, Fails: true, Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				return tx.Create(&worldtest.WriteUser{Name: "x", Email: worldtest.Ptr("ann@x")}).Error
			})
		}},
		// What follows an error may follow a rollback by the database, so the tables may be held
		// out.
		{Name: "unique violation inside, carried on", Only: "sqlite mysql", Hold: true, Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				if tx.Create(&worldtest.WriteUser{Name: "x", Email: worldtest.Ptr("ann@x")}).Error == nil {
					return errors.New("no error")
				}
				return txAge(tx, 1, 41)
			})
		}},
		// After an error PostgreSQL answers COMMIT with ROLLBACK.
		{Name: "unique violation inside, then commit", Only: "postgres", NoOp: true, Hold: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			err := txAge(tx, 1, 41)
			if tx.Create(&worldtest.WriteUser{Name: "x", Email: worldtest.Ptr("ann@x")}).Error == nil {
				return errors.New("no error")
			}
			_ = tx.Commit()
			return err
		}},
		// In SQLite and MySQL a failing statement can have written some of its rows.
		{Name: "partial failure outside a transaction", Only: "sqlite", Hold: true, Fails: true, Config: &gorm.Config{SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return w.DB.Exec("INSERT OR FAIL INTO write_users (name, email) VALUES ('x', 'x@x'), ('y', 'ann@x')").Error
		}},
		{Name: "partial failure inside a transaction", Only: "sqlite", Hold: true, Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				if tx.Exec("INSERT OR FAIL INTO write_users (name, email) VALUES ('x', 'x@x'), ('y', 'ann@x')").Error == nil {
					return errors.New("no error")
				}
				return nil
			})
		}},
		{Name: "OR ROLLBACK, then a write", Only: "sqlite", Hold: true, Fails: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			_ = txAge(tx, 2, 42)
			if tx.Exec("INSERT OR ROLLBACK INTO write_users (name, email) VALUES ('y', 'ann@x')").Error == nil {
				return nil
			}
			// The transaction is over in the database: this commits by itself.
			_ = txAge(tx, 1, 41)
			w.Compare(w.T, "after a write behind the rollback")
			return tx.Commit().Error
		}},
		{Name: "raw ROLLBACK, then a write", Hold: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 2, 42), tx.Exec("ROLLBACK").Error, txAge(tx, 1, 41))
			w.Compare(w.T, "after a write behind the rollback")
			_ = tx.Rollback()
			return err
		}},
		{Name: "raw COMMIT, then rollback", Hold: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 1, 41), tx.Exec("COMMIT").Error)
			w.Compare(w.T, "after the raw commit")
			_ = tx.Rollback()
			return err
		}},
		{Name: "raw END, in small letters", Only: "sqlite postgres", Hold: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 1, 41), tx.Exec("-- x\n end").Error)
			w.Compare(w.T, "after the raw commit")
			_ = tx.Rollback()
			return err
		}},
		{Name: "raw COMMIT AND CHAIN", Only: "mysql postgres", Hold: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 1, 41), tx.Exec("COMMIT AND CHAIN").Error)
			w.Compare(w.T, "after the raw commit")
			return errors.Join(err, txAge(tx, 2, 42), tx.Rollback().Error)
		}},
		{Name: "raw COMMIT in the tail of a statement", Only: "sqlite", Hold: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			err := tx.Exec("UPDATE write_users SET age = 41; COMMIT").Error
			w.Compare(w.T, "after the raw commit")
			_ = tx.Rollback()
			return err
		}},
		{Name: "cancelled", NoOp: true, Hold: true, Do: func(w *worldtest.World) error {
			ctx, cancel := context.WithCancel(context.Background())
			tx := w.DB.WithContext(ctx).Begin()
			err := errors.Join(tx.Error, txAge(tx, 1, 41))
			cancel()
			if tx.Commit().Error == nil {
				return errors.New("commit: no error")
			}
			return err
		}},
		{Name: "cancelled and left alone", NoOp: true, Hold: true, Do: func(w *worldtest.World) error {
			ctx, cancel := context.WithCancel(context.Background())
			tx := w.DB.WithContext(ctx).Begin()
			err := errors.Join(tx.Error, txAge(tx, 1, 41))
			cancel()
			return err
		}},
		{Name: "hook panics in the default transaction", NoOp: true, Hold: true, Fails: true, Do: func(w *worldtest.World) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel() // plain GORM leaves the transaction open
			return writeRecovered(func() error { return w.DB.WithContext(ctx).Create(&worldtest.WriteHooked{Name: "after panics"}).Error })
		}},
		{Name: "commit twice", Do: func(w *worldtest.World) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 1, 41), tx.Commit().Error)
			if !errors.Is(tx.Session(&gorm.Session{}).Commit().Error, sql.ErrTxDone) {
				return errors.New("the second commit: want ErrTxDone")
			}
			return err
		}},
		{Name: "rollback, then commit", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			err := errors.Join(txAge(tx, 1, 41), tx.Rollback().Error)
			if !errors.Is(tx.Session(&gorm.Session{}).Commit().Error, sql.ErrTxDone) {
				return errors.New("the commit: want ErrTxDone")
			}
			return err
		}},
		{Name: "write after the commit", Fails: true, Do: func(w *worldtest.World) error {
			tx := begin(w)
			if err := errors.Join(txAge(tx, 1, 41), tx.Commit().Error); err != nil {
				return nil
			}
			return txAge(tx, 2, 42)
		}, Hold: true},
		{Name: "options", Do: func(w *worldtest.World) error {
			tx := begin(w, &sql.TxOptions{Isolation: sql.LevelSerializable})
			return errors.Join(tx.Error, txAge(tx, 1, 41), tx.Commit().Error)
		}, Only: "postgres mysql"},
		{Name: "read-only", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				var user worldtest.WriteUser
				return tx.First(&user, 1).Error
			}, &sql.TxOptions{ReadOnly: true})
		}},
		{Name: "default transaction around hooks", Do: func(w *worldtest.World) error { return w.DB.Create(&worldtest.WriteHooked{Name: "h"}).Error }},
		{Name: "hooks in a transaction that rolls back", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			return txExpect(w.DB.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Create(&worldtest.WriteHooked{Name: "h"}).Error, errTx) }), errTx)
		}},
		{Name: "two at once, one rolls back", Only: "postgres mysql", Do: func(w *worldtest.World) error {
			a, b := w.DB.Begin(), w.DB.Begin()
			return errors.Join(txAge(a, 1, 41), b.Model(&worldtest.WriteTag{ID: 1}).Update("name", "x").Error, a.Rollback().Error, b.Commit().Error)
		}},
		{Name: "Connection", Hold: true, Do: func(w *worldtest.World) error {
			return connection(w.DB, func(tx *gorm.DB) error { return txAge(tx, 1, 41) })
		}},
		{Name: "Connection, Exec", Hold: true, Do: func(w *worldtest.World) error {
			return connection(w.DB, func(tx *gorm.DB) error { return tx.Exec("UPDATE write_users SET age = 41").Error })
		}},
		{Name: "Connection with a transaction", Hold: true, Do: func(w *worldtest.World) error {
			return connection(w.DB, func(tx *gorm.DB) error {
				return tx.Transaction(func(tx *gorm.DB) error { return txAge(tx, 1, 41) })
			})
		}},
		{Name: "Connection with a transaction that rolls back", Hold: true, NoOp: true, Do: func(w *worldtest.World) error {
			return txExpect(connection(w.DB, func(tx *gorm.DB) error {
				return tx.Transaction(func(tx *gorm.DB) error { return errors.Join(txAge(tx, 1, 41), errTx) })
			}), errTx)
		}},
		{Name: "Connection with BEGIN and COMMIT", Hold: true, Do: func(w *worldtest.World) error {
			return connection(w.DB.Session(&gorm.Session{SkipDefaultTransaction: true}), func(tx *gorm.DB) error {
				err := errors.Join(tx.Exec("BEGIN").Error, txAge(tx, 1, 41))
				w.Compare(w.T, "before the commit")
				return errors.Join(err, tx.Exec("COMMIT").Error)
			})
		}},
		{Name: "Connection with BEGIN and COMMIT, long after the write", Hold: true, Do: func(w *worldtest.World) error {
			return connection(w.DB.Session(&gorm.Session{SkipDefaultTransaction: true}), func(tx *gorm.DB) error {
				err := errors.Join(tx.Exec("BEGIN").Error, txAge(tx, 1, 41))
				w.Clock.Advance(10 * worldtest.HoldOut)
				w.Compare(w.T, "before the commit")
				w.Compare(w.T, "before the commit, second time")
				return errors.Join(err, tx.Exec("COMMIT").Error)
			})
		}},
		{Name: "Connection with BEGIN and ROLLBACK", NoOp: true, Hold: true, Do: func(w *worldtest.World) error {
			return connection(w.DB.Session(&gorm.Session{SkipDefaultTransaction: true}), func(tx *gorm.DB) error {
				err := errors.Join(tx.Exec("BEGIN").Error, txAge(tx, 1, 41))
				w.Compare(w.T, "before the rollback")
				for _, q := range worldtest.WriteQueries {
					q.Ask(tx)
				}
				return errors.Join(err, tx.Exec("ROLLBACK").Error)
			})
		}},
		{Name: "*sql.DB behind GORM, then Invalidate", Do: func(w *worldtest.World) error {
			pool, err := w.DB.DB()
			if err != nil {
				return err
			}
			_, err = pool.Exec("UPDATE write_users SET age = 41")
			return errors.Join(err, w.Plugin.Invalidate(&worldtest.WriteUser{}))
		}},
		{Name: "handle on a *sql.Tx", Hold: true, Do: func(w *worldtest.World) error {
			pool, err := w.DB.DB()
			if err != nil {
				return err
			}
			sqlTx, err := pool.Begin()
			if err != nil {
				return err
			}
			tx := w.DB.Session(&gorm.Session{Context: context.Background(), SkipDefaultTransaction: true})
			tx.Statement.ConnPool = sqlTx
			err = txAge(tx, 1, 41)
			w.Compare(w.T, "before the commit")
			return errors.Join(err, sqlTx.Commit())
		}},
		{Name: "handle on the *sql.DB", Hold: true, Do: func(w *worldtest.World) error {
			pool, err := w.DB.DB()
			if err != nil {
				return err
			}
			tx := w.DB.Session(&gorm.Session{Context: context.Background()})
			tx.Statement.ConnPool = pool
			return tx.Transaction(func(tx *gorm.DB) error {
				err := txAge(tx, 1, 41)
				w.Compare(w.T, "before the commit")
				w.Compare(w.T, "before the commit, second time")
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
			writeEach(t, func(t *testing.T, w *worldtest.World) {
				pool, err := w.DB.DB()
				if err != nil {
					t.Fatal(err)
				}
				pool.SetMaxOpenConns(1)
				w.Warm(t)
				db := w.DB.Session(&gorm.Session{SkipDefaultTransaction: true})
				if err := db.Exec("BEGIN").Error; err != nil {
					t.Fatal(err)
				}
				var user worldtest.WriteUser
				if db.First(&user, 1); user.Age != 10 {
					t.Errorf("age %d before the write", user.Age)
				}
				if err := txAge(db, 1, 41); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					user = worldtest.WriteUser{}
					if db.First(&user, 1); user.Age != 41 {
						t.Errorf("the connection does not see its write: age %d", user.Age)
					}
				}
				if err := db.Exec(end).Error; err != nil {
					t.Fatal(err)
				}
				w.Compare(t, "after "+end)
				w.Compare(t, "after "+end+", second time")
				w.Clock.Advance(10 * worldtest.HoldOut)
				w.Compare(t, "after the hold-out")
				w.Cached(t, "after the hold-out, second time")
			})
		})
	}
}
