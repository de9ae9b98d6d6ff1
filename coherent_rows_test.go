package preload_test

import (
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// Some databases run a raw write when its rows are read: until then it is under way, however long
// that takes.
func TestARawWriteIsUnderWayUntilItsRowsWereRead(t *testing.T) {
	t.Parallel()
	const statement = "INSERT INTO write_tags (name) VALUES ('late') RETURNING id"
	for name, begin := range map[string]func(db *gorm.DB) (end func() error){
		"Row": func(db *gorm.DB) func() error {
			row := db.Raw(statement).Row()
			return func() error { return row.Scan(new(int)) }
		},
		"Row, prepared": func(db *gorm.DB) func() error {
			row := db.Session(&gorm.Session{PrepareStmt: true}).Raw(statement).Row()
			return func() error { return row.Scan(new(int)) }
		},
		"Rows": func(db *gorm.DB) func() error {
			rows, err := db.Raw(statement).Rows()
			return func() error {
				if err != nil {
					return err
				}
				for rows.Next() {
				}
				return rows.Close()
			}
		},
		"Rows, closed early": func(db *gorm.DB) func() error {
			rows, err := db.Raw(statement).Rows()
			return func() error {
				if err != nil {
					return err
				}
				rows.Next()
				return rows.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writeEach(t, func(t *testing.T, w *worldtest.World) {
				count := func(db *gorm.DB) (n int64) {
					if err := db.Model(&worldtest.WriteTag{}).Count(&n).Error; err != nil {
						t.Fatal(err)
					}
					return n
				}
				count(w.DB)
				end := begin(w.DB)
				for range 5 {
					w.Clock.Advance(worldtest.HoldOut)
					if got, want := count(w.DB), count(w.Plain); got != want {
						t.Errorf("before the rows are read: %d, want %d", got, want)
					}
				}
				if err := end(); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if got, want := count(w.DB), count(w.Plain); got != want {
						t.Errorf("after the rows were read: %d, want %d", got, want)
					}
				}
				rowKeeps(t, w, func() { count(w.DB) })
			})
		})
	}
}

// A row that nobody scans is not waited for without an end.
func TestARawWriteWhoseRowNobodyScansIsGivenUp(t *testing.T) {
	t.Parallel()
	writeEach(t, func(t *testing.T, w *worldtest.World) {
		row := w.DB.Raw("INSERT INTO write_tags (name) VALUES ('never') RETURNING id").Row()
		t.Cleanup(func() { _ = row.Scan(new(int)) })
		w.Clock.Advance(2 * time.Minute)
		rowKeeps(t, w, func() { w.DB.Find(&[]worldtest.WriteTag{}); w.Clock.Advance(worldtest.HoldOut) })
	})
}

// A raw write whose rows were closed without an error is known to have ended: nothing is held out
// for it, and nothing piles up of writes that no read waits for.
func TestARawWriteWhoseRowsAreClosedIsNotHeldOut(t *testing.T) {
	t.Parallel()
	writeEach(t, func(t *testing.T, w *worldtest.World) {
		for i := range 150 {
			var (
				id  int
				ids []int
			)
			dest := any(&id)
			if i%2 == 0 {
				dest = &ids
			}
			if err := w.DB.Raw("INSERT INTO write_tags (name) VALUES ('one') RETURNING id").Scan(dest).Error; err != nil || len(ids) == 0 && id == 0 {
				t.Fatalf("%v, %d, %v", err, id, ids)
			}
		}
		rowKeeps(t, w, func() { w.DB.Find(&[]worldtest.WriteTag{}) })
	})
}

// rowKeeps makes sure that an answer is kept, within a while: whether rows are closed is found out
// by a goroutine.
func rowKeeps(t testing.TB, w *worldtest.World, read func()) {
	t.Helper()
	for i := 0; ; i++ {
		before := w.Probe.Queries()
		if read(); w.Probe.Queries() == before {
			return
		}
		if i == 100 {
			t.Fatal("nothing is kept any more")
		}
	}
}
