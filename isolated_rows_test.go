package preload_test

import (
	"context"
	"database/sql"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// TestRowsWhoseLockIsHeld: database/sql keeps the lock of rows that were scanned into RawBytes, and
// whoever waits for it after their context ended waits for the application, which waits for nobody.
func TestRowsWhoseLockIsHeld(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		db, _ := endedWorld(t, d, false, gorm.Config{}, preload.WithTransactionReads())
		for _, next := range []func(tx *gorm.DB) error{
			func(tx *gorm.DB) error { return tx.Take(&endedRow{}, 1).Error },
			func(tx *gorm.DB) error { return tx.Model(&endedRow{}).Where("id = 2").Update("n", 1).Error },
			func(tx *gorm.DB) error { return db.Take(&endedRow{}, 1).Error },
		} {
			worldtest.Within(t, time.Minute, "a statement beside rows", func() {
				tx := db.Begin()
				defer tx.Rollback()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				rows, err := tx.WithContext(ctx).Model(&endedRow{}).Select("n").Order("id").Rows()
				worldtest.Must(t, err)
				defer func() { _ = rows.Close() }()
				var raw sql.RawBytes
				if !rows.Next() || rows.Scan(&raw) != nil {
					t.Error("there is no row")
				}
				cancel()
				time.Sleep(20 * time.Millisecond) // until database/sql waits for the lock
				_ = next(tx)                      // some drivers answer nothing beside open rows
			})
		}
	})
}

// TestRowsAreReadByTheirReaderOnly has writes whose rows are read beside reads that ask whether they
// are closed. It is a test for the race detector.
func TestRowsAreReadByTheirReaderOnly(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	db, _ := endedWorld(t, d, false, gorm.Config{}, preload.WithTransactionReads())
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for range 200 {
			worldtest.Must(t, db.Raw("UPDATE ended_rows SET n = n + 1 WHERE id = ? RETURNING n", 1).Scan(new(int)).Error)
		}
	})
	wg.Go(func() {
		for reads := true; reads; {
			worldtest.Must(t, db.Take(&endedRow{}, 1).Error)
			select {
			case <-done:
				reads = false
			default:
			}
		}
	})
	wg.Wait()
}

// TestRowsOnAnObservedConnection tell as much of their columns as on another one.
func TestRowsOnAnObservedConnection(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		db, plain := endedWorld(t, d, true, gorm.Config{})
		told := func(db *gorm.DB) (all [][]any) {
			tx := db.Begin()
			defer tx.Rollback()
			rows, err := tx.Raw("SELECT id, name, n, n * 1.5 AS x, NULL AS y FROM ended_rows ORDER BY id").Rows()
			worldtest.Must(t, err)
			defer func() { _ = rows.Close() }()
			columns, err := rows.ColumnTypes()
			worldtest.Must(t, err)
			for _, c := range columns {
				length, long := c.Length()
				precision, scale, decimal := c.DecimalSize()
				nullable, known := c.Nullable()
				all = append(all, []any{c.Name(), c.DatabaseTypeName(), c.ScanType(), length, long, precision, scale, decimal, nullable, known})
			}
			n := 0
			for rows.Next() {
				n++
			}
			return append(all, []any{n, rows.NextResultSet(), rows.Err()})
		}
		if got, want := told(db), told(plain); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
