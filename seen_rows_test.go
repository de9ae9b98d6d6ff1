package preload_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// seenRows are forms of queries whose answers are recordings; each returns what it read.
func seenRows(t *testing.T) map[string]func(*gorm.DB) string {
	return map[string]func(*gorm.DB) string{
		"Rows": func(db *gorm.DB) (names string) {
			rows, err := db.Model(&seenItem{}).Where("shelf = ?", 1).Select("name").Rows()
			worldtest.Must(t, err)
			for rows.Next() {
				var name string
				worldtest.Must(t, rows.Scan(&name))
				names += name + " "
			}
			worldtest.Must(t, rows.Close())
			return names
		},
		"Row": func(db *gorm.DB) (name string) {
			worldtest.Must(t, db.Model(&seenItem{}).Where("id = ?", 1).Select("name").Row().Scan(&name))
			return name
		},
		"Scan": func(db *gorm.DB) string {
			var names []string
			worldtest.Must(t, db.Model(&seenItem{}).Where("shelf = ?", 1).Select("name").Scan(&names).Error)
			return strings.Join(names, " ")
		},
		"raw": func(db *gorm.DB) (names string) {
			var all []seenItem
			worldtest.Must(t, db.Raw("SELECT * FROM seen_items WHERE shelf = ?", 1).Find(&all).Error)
			for _, one := range all {
				names += one.Name + " "
			}
			return names
		},
	}
}

// TestShadowComparesRows: those that the application reads itself, and those of raw SQL.
func TestShadowComparesRows(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for name, read := range seenRows(t) {
			var told []preload.MismatchInfo
			w := seenWorld(t, d, preload.WithMode(preload.ModeShadow), preload.WithRaw(),
				preload.WithVerify(preload.Verify{OnMismatch: func(m preload.MismatchInfo) { told = append(told, m) }}))
			queries := w.Queries(func() {
				for range 3 {
					if got := read(w.DB); !strings.Contains(got, "ann") {
						t.Errorf("%s: read %q", name, got)
					}
				}
			})
			if s := w.Plugin.Stats(); queries != 3 || s.Hits != 2 || s.Verify.Equal != 2 || s.Verify.Skipped+s.Verify.Failed+s.Verify.Mismatches != 0 {
				t.Errorf("%s: %d queries of 3 reads, %d hits that would have been, %+v", name, queries, s.Hits, s.Verify)
			}
			worldtest.Must(t, w.DB.Model(&seenItem{ID: 1}).Update("name", "amy").Error)
			read(w.DB)
			read(w.DB)
			if s := w.Plugin.Stats(); s.Verify.Mismatches != 0 || s.Verify.Equal != 3 {
				t.Errorf("%s: after a write that was seen: %+v", name, s.Verify)
			}
			worldtest.Must(t, w.Plain.Model(&seenItem{}).Where("id = ?", 1).Update("name", "secret").Error)
			if got := read(w.DB); !strings.Contains(got, "secret") {
				t.Errorf("%s: served %q", name, got)
			}
			if s := w.Plugin.Stats(); s.Verify.Mismatches != 1 || len(told) != 1 || !reflect.DeepEqual(told[0].Columns, []string{"name"}) {
				t.Errorf("%s: %+v, told %+v: want a mismatch in the name", name, s.Verify, told)
			}
			worldtest.Must(t, w.Plugin.Close())
			worldtest.Must(t, w.Plain.Where("1 = 1").Delete(&seenItem{}).Error)
		}
	})
}

// TestVerifyComparesRowsAndOwnData, in the background.
func TestVerifyComparesRowsAndOwnData(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&seenItem{}))
		worldtest.Must(t, plain.Create(&[]seenItem{{ID: 1, Shelf: 1, Name: "ann"}, {ID: 2, Shelf: 1, Name: "bob"}}).Error)
		reads := seenRows(t)
		reads["equal args"] = func(db *gorm.DB) string { return seenFirst(t, db, 1).Name } // the id, and LIMIT
		reads["own data"] = func(db *gorm.DB) string {
			p, _ := preload.From(db)
			names, err := preload.LoadWith(t.Context(), p, "names", func(ctx context.Context) (names []string, err error) {
				return names, db.WithContext(ctx).Model(&seenItem{}).Order("id").Pluck("name", &names).Error
			}, preload.Tables(&seenItem{}))
			worldtest.Must(t, err)
			return strings.Join(names, " ")
		}
		for name, read := range reads {
			var mu sync.Mutex
			var columns [][]string
			db := d.Open(t)
			p := preload.New(preload.WithLogger(worldtest.Quiet()), preload.WithRaw(), preload.WithVerify(preload.Verify{
				Rate: 1, MaxPerSecond: 1_000, DisableAfter: 100, OnMismatch: func(m preload.MismatchInfo) {
					mu.Lock()
					defer mu.Unlock()
					columns = append(columns, m.Columns)
				},
			}))
			worldtest.Must(t, db.Use(p))
			worldtest.Must(t, p.Register(&seenItem{}))
			seenEventually(t, name+": a comparison", func() bool { read(db); return p.Stats().Verify.Equal > 0 })
			if s := p.Stats(); s.Verify.Mismatches+s.Verify.Failed != 0 {
				t.Errorf("%s: %+v", name, s.Verify)
			}
			worldtest.Must(t, plain.Model(&seenItem{}).Where("id = ?", 1).Update("name", "zoe").Error)
			seenEventually(t, name+": a mismatch", func() bool { read(db); return p.Stats().Verify.Mismatches > 0 })
			seenEventually(t, name+": what the database has", func() bool { return strings.Contains(read(db), "zoe") })
			told := func() [][]string { mu.Lock(); defer mu.Unlock(); return slices.Clone(columns) }
			seenEventually(t, name+": the mismatch is told of", func() bool { return len(told()) > 0 })
			if want := map[bool]string{true: "value", false: "name"}[name == "own data"]; !reflect.DeepEqual(told()[0], []string{want}) {
				t.Errorf("%s: differs in %q, want %q", name, told(), want)
			}
			worldtest.Must(t, p.Close())
			worldtest.Must(t, plain.Model(&seenItem{}).Where("id = ?", 1).Update("name", "ann").Error)
		}
	})
}

// TestOwnDataThatIsMadeOfNoTablesIsNotCompared: nothing but its TTL bounds how old it is.
func TestOwnDataThatIsMadeOfNoTablesIsNotCompared(t *testing.T) {
	t.Parallel()
	db := dbtest.SQLite(t).Open(t)
	p := preload.New(preload.WithLogger(worldtest.Quiet()), preload.WithVerify(preload.Verify{Rate: 1, MaxPerSecond: 1_000}))
	worldtest.Must(t, db.Use(p))
	calls := 0
	for range 50 {
		_, err := preload.Load(t.Context(), p, "time", func(context.Context) (time.Time, error) { calls++; return time.Now(), nil })
		worldtest.Must(t, err)
	}
	worldtest.Must(t, p.Close())
	s := p.Stats()
	if v := s.Own.Verify; calls != 1 || s.Own.Hits != 49 || v.Equal+v.Mismatches+v.Skipped+v.Failed != 0 {
		t.Errorf("%d calls, %d hits, %+v", calls, s.Own.Hits, v)
	}
}
