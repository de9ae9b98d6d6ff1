package preload_test

import (
	"fmt"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// TestARawWriteHasEndedOnceItsRowsWereRead: what returned rows, and whose rows were read to their end
// or closed, keeps its table out of memory no longer.
func TestARawWriteHasEndedOnceItsRowsWereRead(t *testing.T) {
	t.Parallel()
	const statement = "INSERT INTO write_tags (name) VALUES (?) RETURNING id"
	for name, write := range map[string]func(db *gorm.DB, name string) error{
		"Scan": func(db *gorm.DB, name string) error {
			var id uint
			return db.Raw(statement, name).Scan(&id).Error
		},
		"Scan into a struct": func(db *gorm.DB, name string) error {
			return db.Raw(statement, name).Scan(&struct{ ID uint }{}).Error
		},
		"Scan into a list": func(db *gorm.DB, name string) error { return db.Raw(statement, name).Scan(&[]uint{}).Error },
		"Find":             func(db *gorm.DB, name string) error { return db.Raw(statement, name).Find(&worldtest.WriteTag{}).Error },
		"Row":              func(db *gorm.DB, name string) error { return db.Raw(statement, name).Row().Scan(new(uint)) },
		"Rows": func(db *gorm.DB, name string) error {
			rows, err := db.Raw(statement, name).Rows()
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			return rows.Close()
		},
		"Scan, in a transaction": func(db *gorm.DB, name string) error {
			return db.Transaction(func(tx *gorm.DB) error { return tx.Raw(statement, name).Scan(new(uint)).Error })
		},
		"Scan, prepared": func(db *gorm.DB, name string) error {
			return db.Session(&gorm.Session{PrepareStmt: true}).Raw(statement, name).Scan(new(uint)).Error
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				w := writeSetup(t, d, nil)
				count := func(db *gorm.DB) (n int64) {
					worldtest.Must(t, db.Model(&worldtest.WriteTag{}).Count(&n).Error)
					return n
				}
				// A table that was held out would be so for a second after each write. On a busy
				// machine it takes its time to see that rows are closed, while others come and go.
				const enough, most = 5, 1_000
				hits, writes := 0, 0
				for ; hits < enough && writes < most; writes++ {
					worldtest.Must(t, write(w.DB, fmt.Sprint("drained ", writes)))
					for range 2 {
						var got int64
						if w.Queries(func() { got = count(w.DB) }) == 0 {
							hits++
						}
						if want := count(w.Plain); got != want {
							t.Fatalf("%d tags after write %d, want %d", got, writes, want)
						}
					}
				}
				t.Logf("%d hits after %d writes", hits, writes)
				if hits < enough {
					t.Errorf("%d hits after %d writes that had ended, want about one each", hits, writes)
				}
			})
		})
	}
}
