package preload_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
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
	// On a busy machine it may take a while until others notice that the rows are closed.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		before := w.Probe.Queries()
		if read(); w.Probe.Queries() == before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is kept any more")
		}
	}
}

// TestRowsThatShowTheirKeysSurviveWritesOfOthers: what Scan and Rows read is killed by writes of its
// rows, and not by writes of others, as what Find reads is.
func TestRowsThatShowTheirKeysSurviveWritesOfOthers(t *testing.T) {
	t.Parallel()
	type row struct {
		ID   uint
		Name string
	}
	users := func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadUser{}) }
	for _, c := range []struct {
		name  string
		chain func(*gorm.DB) *gorm.DB
		keys  bool // are shown
	}{
		{"with its key", func(db *gorm.DB) *gorm.DB { return users(db).Select("id", "name").Where("age > ?", 30).Order("id") }, true},
		{"without bind values", func(db *gorm.DB) *gorm.DB { return users(db).Select("id", "name").Where("age > 30").Order("id") }, true},
		{"whole rows", func(db *gorm.DB) *gorm.DB { return users(db).Where("age > ?", 30).Order("id") }, true},
		{"limited", func(db *gorm.DB) *gorm.DB {
			return users(db).Select("id", "name").Where("age > ?", 30).Order("id").Limit(10)
		}, true},
		{"joined", func(db *gorm.DB) *gorm.DB {
			return users(db).Select("read_users.id", "read_users.name").Joins("LEFT JOIN read_companies c ON c.id = read_users.company_id").Where("read_users.age > ?", 30).Order("read_users.id")
		}, true},
		{"without its key", func(db *gorm.DB) *gorm.DB { return users(db).Select("name").Where("age > ?", 30).Order("id") }, false},
		{"another column as its key", func(db *gorm.DB) *gorm.DB {
			return users(db).Select("age AS id", "name").Where("age > ?", 30).Order("name")
		}, false},
		{"a sum", func(db *gorm.DB) *gorm.DB {
			return users(db).Select("max(id) AS id, max(name) AS name").Where("age > ?", 30)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				worldtest.SeedReads(t, d.Plain(t))
				b := readOpen(t, d)
				worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
				var all []worldtest.ReadUser
				worldtest.Must(t, b.Plain.Order("age").Find(&all).Error)
				young, old := all[0], all[len(all)-1]
				if young.Age > 30 || old.Age <= 30 {
					t.Fatal("the users are of one age")
				}
				read := func(db *gorm.DB) (rows []row) {
					worldtest.Must(t, c.chain(db).Scan(&rows).Error)
					return rows
				}
				for turn := range 3 {
					read(b.DB)
					for _, u := range []worldtest.ReadUser{young, old} {
						worldtest.Must(t, b.DB.Model(&worldtest.ReadUser{}).Where("id = ?", u.ID).Update("name", fmt.Sprint(u.Name, turn)).Error)
						var got []row
						n := b.Queries(func() { got = read(b.DB) })
						if want := read(b.Plain); !reflect.DeepEqual(got, want) {
							t.Errorf("after a write of user %d: got %v, want %v", u.ID, got, want)
						}
						if survives := u.ID == young.ID && c.keys; survives != (n == 0) {
							t.Errorf("after a write of user %d of age %d: %d queries", u.ID, u.Age, n)
						}
					}
				}
			})
		})
	}
}
