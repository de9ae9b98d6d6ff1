package preload_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// seenNames reads names with Rows, all of them or the first.
func seenNames(query *gorm.DB, all bool) error {
	rows, err := query.Select("name").Rows()
	if err != nil {
		return err
	}
	for more := rows.Next(); more && err == nil; more = all && rows.Next() {
		err = rows.Scan(new(string))
	}
	return errors.Join(err, rows.Close())
}

// TestShadowSkipsWhatSaysNothing: answers that differ although memory was not wrong, and those that
// are not known, count as skipped and as nothing else.
func TestShadowSkipsWhatSaysNothing(t *testing.T) {
	t.Parallel()
	rename := func(db *gorm.DB) error {
		return db.Model(&seenItem{}).Where("shelf = ?", 1).Update("name", "zoe").Error
	}
	shelf := func(db *gorm.DB) *gorm.DB { return db.Model(&seenItem{}).Where("shelf = ?", 1) }
	first := func(db *gorm.DB) error { return db.First(new(seenItem), 1).Error }
	limited := func(db *gorm.DB) error { return shelf(db).Limit(1).Find(new([]seenItem)).Error }
	tests := []struct {
		name string
		read func(*gorm.DB) error // nothing writes meanwhile
		// behind writes before the next read, where the plugin cannot see it, and between writes
		// once memory has the answer to that and before the database does.
		behind, between func(*gorm.DB) error
		again           func(*gorm.DB) error // the next read; nil for the same as before
		want            preload.VerifyStats
	}{
		{name: "LIMIT without ORDER BY", read: limited, behind: rename, want: preload.VerifyStats{Skipped: 1}},
		{name: "LIMIT without ORDER BY, equal", read: limited, want: preload.VerifyStats{Equal: 1}},
		{name: "LIMIT, ordered by what rows share", behind: rename, want: preload.VerifyStats{Skipped: 1},
			read: func(db *gorm.DB) error { return shelf(db).Order("shelf").Limit(1).Find(new([]seenItem)).Error }},
		{name: "LIMIT, ordered by the key", behind: rename, want: preload.VerifyStats{Mismatches: 1},
			read: func(db *gorm.DB) error { return shelf(db).Order("id").Limit(1).Find(new([]seenItem)).Error }},
		{name: "Scan of LIMIT without ORDER BY", behind: rename, want: preload.VerifyStats{Skipped: 1},
			read: func(db *gorm.DB) error { return shelf(db).Select("name").Limit(1).Scan(new([]string)).Error }},
		{name: "Rows of LIMIT without ORDER BY", behind: rename, want: preload.VerifyStats{Skipped: 1},
			read: func(db *gorm.DB) error { return seenNames(shelf(db).Limit(1), true) }},
		{name: "a write in between, First", read: first, between: rename, want: preload.VerifyStats{Skipped: 1}},
		{name: "a write in between, Find", between: rename, want: preload.VerifyStats{Skipped: 1},
			read: func(db *gorm.DB) error { return shelf(db).Find(new([]seenItem)).Error }},
		{name: "a write in between, Rows", between: rename, want: preload.VerifyStats{Skipped: 1},
			read: func(db *gorm.DB) error { return seenNames(shelf(db), true) }},
		{name: "a write of another row in between", read: first, want: preload.VerifyStats{Equal: 1},
			between: func(db *gorm.DB) error { return db.Model(&seenItem{ID: 3}).Update("name", "zoe").Error }},
		{name: "rows that are not read to their end", behind: rename, want: preload.VerifyStats{Skipped: 1},
			read:  func(db *gorm.DB) error { return seenNames(shelf(db), true) },
			again: func(db *gorm.DB) error { return seenNames(shelf(db), false) }},
		{name: "in a transaction", read: first, behind: rename, want: preload.VerifyStats{Skipped: 1},
			again: func(db *gorm.DB) error {
				return db.WithContext(preload.ContextWithTransactionReads(context.Background())).Transaction(first)
			}},
	}
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				w := seenWorld(t, dbtest.Like(t, d), preload.WithMode(preload.ModeShadow), preload.WithTransactionReads())
				for range 2 {
					worldtest.Must(t, test.read(w.DB))
				}
				before := w.Plugin.Stats()
				if v := before.Verify; before.Hits != 1 || v.Equal != 1 || v.Skipped+v.Mismatches+v.Failed != 0 {
					t.Fatalf("before anybody writes: %d hits, %+v", before.Hits, v)
				}
				if test.behind != nil {
					worldtest.Must(t, test.behind(w.Plain))
				}
				if test.between != nil {
					w.Probe.Before(func(dbtest.Call) error {
						w.Probe.Before(nil)
						return test.between(w.DB)
					})
				}
				again := test.again
				if again == nil {
					again = test.read
				}
				worldtest.Must(t, again(w.DB))
				s := w.Plugin.Stats()
				for of, v := range map[string]preload.VerifyStats{"all": s.Verify, "the model": s.Models["seen_items"].Verify} {
					v.Equal-- // the one before
					if v.Equal != test.want.Equal || v.Mismatches != test.want.Mismatches || v.Skipped != test.want.Skipped || v.Failed != test.want.Failed {
						t.Errorf("of %s: %+v, want %+v", of, v, test.want)
					}
				}
				if s.Hits != 2 {
					t.Errorf("%d hits, want 2", s.Hits)
				}
			})
		}
	})
}

// TestEveryHitThatIsChosenIsCounted: WithVerify compares those for which there is room, and the
// others count as skipped, also where one waited for room that did not come.
func TestEveryHitThatIsChosenIsCounted(t *testing.T) {
	t.Parallel()
	// busiest is how many are neither compared nor skipped while the database does not answer: one
	// that runs, one that waits for room, and one that waits for its turn to wait.
	const hits, busiest = 50, 3
	for _, test := range []struct {
		name  string
		conns int  // of the application's pool, 0 for any number
		open  bool // a transaction is, until all are counted
	}{
		{name: "connections to spare"},
		{name: "one connection", conns: 1},
		{name: "one connection, which a transaction has", conns: 1, open: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := dbtest.SQLite(t)
			plain := d.Plain(t)
			worldtest.Must(t, plain.AutoMigrate(&seenItem{}))
			worldtest.Must(t, plain.Create(&seenItem{ID: 1, Name: "ann"}).Error)
			db := d.Open(t)
			pool, err := db.DB()
			worldtest.Must(t, err)
			pool.SetMaxOpenConns(test.conns)
			p := preload.New(preload.WithLogger(worldtest.Quiet()), preload.WithConcurrency(1), preload.WithVerify(preload.Verify{Rate: 1, MaxPerSecond: 1_000}))
			worldtest.Must(t, db.Use(p))
			t.Cleanup(func() { _ = p.Close() })
			seenFirst(t, db, 1)
			answer, end := make(chan struct{}), func() {}
			if test.open {
				tx := db.Begin()
				worldtest.Must(t, tx.Error)
				end = func() { worldtest.Must(t, tx.Rollback().Error) }
			}
			d.Probe.Before(func(dbtest.Call) error { <-answer; return nil })
			for range hits {
				seenFirst(t, db, 1)
			}
			s := p.Stats()
			if v := s.Verify; s.Hits != hits || v.Skipped < hits-busiest || v.Equal+v.Mismatches+v.Failed != 0 {
				t.Errorf("while the database is busy: %d hits, %+v, want at least %d skipped", s.Hits, v, hits-busiest)
			}
			close(answer)
			seenEventually(t, "all are counted", func() bool {
				v := p.Stats().Verify
				return v.Equal+v.Mismatches+v.Skipped+v.Failed == hits
			})
			end()
			if v := p.Stats().Verify; v.Mismatches+v.Failed != 0 {
				t.Errorf("%+v", v)
			}
		})
	}
}
