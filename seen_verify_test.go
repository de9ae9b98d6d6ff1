package preload_test

import (
	"bytes"
	"context"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// TestShadowFindsAWriteBehindThePluginsBack, without a query that the application did not ask for,
// and never gives the answer that is wrong.
func TestShadowFindsAWriteBehindThePluginsBack(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		var log bytes.Buffer
		var told []preload.MismatchInfo
		w := seenWorld(t, d, preload.WithMode(preload.ModeShadow), preload.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
			preload.WithVerify(preload.Verify{OnMismatch: func(m preload.MismatchInfo) { told = append(told, m) }}))
		list := func() (names string) {
			var all []seenItem
			worldtest.Must(t, w.DB.Where("shelf = ?", 1).Find(&all).Error)
			for _, one := range all {
				names += one.Name + " "
			}
			return names
		}
		queries := w.Queries(func() {
			for range 3 {
				seenFirst(t, w.DB, 1)
				list()
			}
		})
		if s := w.Plugin.Stats(); queries != 6 || s.Hits != 4 || s.Misses != 2 || s.Verify.Equal != 4 || s.Verify.Mismatches != 0 {
			t.Fatalf("%d queries of 6 reads, %d hits that would have been, %+v", queries, s.Hits, s.Verify)
		}
		// Seen writes are none.
		worldtest.Must(t, w.DB.Model(&seenItem{ID: 1}).Update("name", "amy").Error)
		seenFirst(t, w.DB, 1)
		list()
		if s := w.Plugin.Stats(); s.Verify.Mismatches != 0 {
			t.Fatalf("after a write that was seen: %+v", s.Verify)
		}
		worldtest.Must(t, w.Plain.Model(&seenItem{}).Where("id = ?", 1).Update("name", "secret").Error)
		worldtest.Must(t, w.Plain.Create(&seenItem{ID: 4, Shelf: 1, Name: "dan"}).Error)
		w.Clock.Advance(time.Second)
		if one := seenFirst(t, w.DB, 1); one.Name != "secret" {
			t.Errorf("served %+v", one)
		}
		if names := list(); !strings.Contains(names, "secret") || !strings.Contains(names, "dan") {
			t.Errorf("served %q", names)
		}
		s := w.Plugin.Stats()
		if s.Verify.Mismatches != 2 || s.Models["seen_items"].Verify.Mismatches != 2 || len(told) != 2 {
			t.Errorf("%+v, told %+v: want two mismatches", s.Verify, told)
		}
		if want := []string{"name"}; len(told) > 0 && (!reflect.DeepEqual(told[0].Columns, want) || told[0].Age != time.Second || told[0].Table != "seen_items") {
			t.Errorf("told %+v, want columns %q", told[0], want)
		}
		if lines := strings.Count(log.String(), "memory held another answer"); lines != 2 || strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "columns=name") {
			t.Errorf("the log: want a line for each shape, with no value\n%s", &log)
		}
		if seenFirst(t, w.DB, 1); w.Plugin.Stats().Verify.Mismatches != 2 {
			t.Error("the answer that was wrong was not dropped")
		}
	})
}

// TestShadowRaisesNoFalseAlarm: many forms of queries, between writes that are seen.
func TestShadowRaisesNoFalseAlarm(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := writeSetup(t, d, nil, preload.WithMode(preload.ModeShadow))
		for range 3 {
			for _, q := range w.Kept {
				worldtest.Equal(t, "in ModeShadow", q.Name, q.Ask(w.DB), q.Ask(w.Plain))
			}
		}
		s := w.Plugin.Stats()
		if s.Verify.Mismatches != 0 || s.Verify.Failed != 0 || s.Verify.Equal < int64(len(w.Kept)) {
			t.Errorf("%+v of %d queries", s.Verify, len(w.Kept))
		}
		t.Logf("%d queries: %+v", len(w.Kept), s.Verify)
	})
}

// TestWhatReadsTheTimeIsNoMismatch: it is kept on the terms of a call, and may be as old as they say.
func TestWhatReadsTheTimeIsNoMismatch(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := seenWorld(t, d, preload.WithMode(preload.ModeShadow))
		for range 3 {
			var at string
			worldtest.Must(t, w.DB.Clauses(preload.Cache(preload.For(time.Minute))).Raw("SELECT max(CURRENT_TIMESTAMP) FROM seen_items").Scan(&at).Error)
			time.Sleep(1100 * time.Millisecond) // the database's own clock, in seconds
		}
		if s := w.Plugin.Stats(); s.Verify.Mismatches != 0 || s.Hits != 2 {
			t.Errorf("%d hits, %+v", s.Hits, s.Verify)
		}
	})
}

// TestShadowUnderConcurrentWrites: readers and writers of the same rows, all of them seen.
func TestShadowUnderConcurrentWrites(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := seenWorld(t, d, preload.WithMode(preload.ModeShadow))
		var wg sync.WaitGroup
		for writer := range 2 {
			wg.Go(func() {
				for i := range 60 {
					_ = w.DB.Model(&seenItem{}).Where("id = ?", 1+i%3).Update("shelf", i*(writer+1)).Error
				}
			})
		}
		for range 4 {
			wg.Go(func() {
				for i := range 150 {
					_ = w.DB.First(new(seenItem), 1+i%3).Error
					_ = w.DB.Where("shelf > ?", 10).Order("id").Find(new([]seenItem)).Error
				}
			})
		}
		wg.Wait()
		if s := w.Plugin.Stats(); s.Verify.Mismatches != 0 || s.Verify.Equal == 0 {
			t.Errorf("%+v", s.Verify)
		}
	})
}

// TestVerifyFindsAWrongAnswerAndWithdrawsTheModel: in ModeOn, in the background.
func TestVerifyFindsAWrongAnswerAndWithdrawsTheModel(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&seenItem{}))
		worldtest.Must(t, plain.Create(&[]seenItem{{ID: 1, Name: "ann"}, {ID: 2, Name: "bob"}}).Error)
		db := d.Open(t)
		p := preload.New(preload.WithLogger(worldtest.Quiet()), preload.WithVerify(preload.Verify{Rate: 1, MaxPerSecond: 1_000, DisableAfter: 2}))
		worldtest.Must(t, db.Use(p))
		t.Cleanup(func() { _ = p.Close() })
		read := func(id int) { seenFirst(t, db, id) }
		read(1)
		read(2)
		seenEventually(t, "a comparison", func() bool { read(1); return p.Stats().Verify.Equal > 0 })
		for i, id := range []int{1, 2} {
			worldtest.Must(t, plain.Model(&seenItem{}).Where("id = ?", id).Update("name", "zoe").Error)
			seenEventually(t, "a mismatch", func() bool { read(id); return p.Stats().Verify.Mismatches == int64(i+1) })
		}
		seenEventually(t, "the model's withdrawal", func() bool { return len(p.Stats().Verify.Withdrawn) == 1 })
		hits := p.Stats().Hits
		read(1)
		if s := p.Stats(); s.Hits != hits || s.BypassReasons[preload.ReasonWithdrawn] == 0 {
			t.Errorf("withdrawn: %d hits before, %d now, bypassed %v", hits, s.Hits, s.BypassReasons)
		}
		worldtest.Must(t, p.SetMode(preload.ModeOn))
		read(1)
		read(1)
		if s := p.Stats(); s.Hits == hits || len(s.Verify.Withdrawn) != 0 {
			t.Errorf("after SetMode: %d hits, withdrawn %q", s.Hits, s.Verify.Withdrawn)
		}
	})
}

func TestVerifyIsChecked(t *testing.T) {
	t.Parallel()
	for text, options := range map[string][]preload.Option{
		"Rate":          {preload.WithVerify(preload.Verify{Rate: 2})},
		"MaxPerSecond":  {preload.WithVerify(preload.Verify{MaxPerSecond: -1})},
		"DisableAfter":  {preload.WithVerify(preload.Verify{DisableAfter: -1})},
		"WithoutWorker": {preload.WithVerify(preload.Verify{Rate: 1}), preload.WithoutWorker()},
		"WithMode":      {preload.WithMode(9)},
		"WithObserver":  {preload.WithObserver(nil)},
	} {
		if err := dbtest.SQLite(t).Open(t).Use(preload.New(options...)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// seenEventually waits for what is done in the background.
func seenEventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// TestAModelThatIsSwitchedOffIsNoFault: that somebody writes past the plugin is no fault in a part
// of it.
func TestAModelThatIsSwitchedOffIsNoFault(t *testing.T) {
	t.Parallel()
	faults := 0
	w := seenWorld(t, dbtest.SQLite(t), preload.WithMode(preload.ModeShadow), preload.WithVerify(preload.Verify{DisableAfter: 1}),
		preload.WithObserver(func(_ context.Context, e preload.Event) {
			if e.Kind == preload.EventFault {
				faults++
			}
		}))
	seenFirst(t, w.DB, 1)
	worldtest.Must(t, w.Plain.Model(&seenItem{}).Where("id = 1").Update("name", "behind").Error)
	seenFirst(t, w.DB, 1)
	if s := w.Plugin.Stats(); len(s.Verify.Withdrawn) != 1 || len(s.Faults) != 0 || faults != 0 || w.Plugin.Health() != nil {
		t.Errorf("withdrawn %v, faults %v, %d events, health: %v", s.Verify.Withdrawn, s.Faults, faults, w.Plugin.Health())
	}
}
