package preload_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

// seenItem is a model whose reads are looked at.
type seenItem struct {
	_     struct{} `preload:"ttl:1m"`
	ID    int
	Shelf int
	Name  string
	Price float64
}

// seenWorld is a database with three items in it.
func seenWorld(t *testing.T, d *dbtest.Database, options ...preload.Option) *worldtest.World {
	t.Helper()
	plain := d.Plain(t)
	worldtest.Must(t, plain.AutoMigrate(&seenItem{}))
	worldtest.Must(t, plain.Create(&[]seenItem{{ID: 1, Shelf: 1, Name: "ann", Price: .1}, {ID: 2, Shelf: 1, Name: "bob", Price: .2}, {ID: 3, Shelf: 2, Name: "cid", Price: .3}}).Error)
	w := worldtest.Open(t, d, plain, nil, options...)
	worldtest.Must(t, w.Plugin.Register(&seenItem{}))
	return w
}

func seenFirst(t *testing.T, db *gorm.DB, id int) seenItem {
	t.Helper()
	var one seenItem
	worldtest.Must(t, db.First(&one, id).Error)
	return one
}

// TestEveryMissHasACause: why an answer is not in memory is told apart, in all and by model.
func TestEveryMissHasACause(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := seenWorld(t, d, preload.WithMaxEntries(2))
		want := map[preload.Cause]int64{}
		ask := func(id int, cause preload.Cause) {
			t.Helper()
			if seenFirst(t, w.DB, id); cause != "" {
				want[cause]++
			}
			if got := w.Plugin.Stats(); !reflect.DeepEqual(got.MissCauses, want) || !reflect.DeepEqual(got.Models["seen_items"].MissCauses, want) {
				t.Fatalf("causes %v, of the model %v, want %v", got.MissCauses, got.Models["seen_items"].MissCauses, want)
			}
		}
		ask(1, preload.CauseCold)
		ask(1, "")
		worldtest.Must(t, w.DB.Model(&seenItem{ID: 1}).Update("name", "zoe").Error)
		ask(1, preload.CauseInvalidated)
		ask(1, "")
		w.Clock.Advance(2 * time.Minute)
		ask(1, preload.CauseExpired)
		worldtest.Must(t, w.Plugin.Invalidate(&seenItem{}))
		ask(1, preload.CauseInvalidated)
		worldtest.Must(t, w.DB.Clauses(preload.Refresh).First(new(seenItem), 1).Error)
		want[preload.CauseRefreshed]++
		ask(2, preload.CauseCold)
		ask(3, preload.CauseCold)
		for range 3 { // one of the three is always out
			for id := range 3 {
				var got seenItem
				worldtest.Must(t, w.DB.First(&got, id+1).Error)
			}
		}
		s, all := w.Plugin.Stats(), int64(0)
		for n := range maps.Values(s.MissCauses) {
			all += n
		}
		if s.MissCauses[preload.CauseEvicted] == 0 || all != s.Misses || s.MissCauses[preload.CauseCold] != 3 {
			t.Errorf("of %d misses %v: want some evicted, and a cause for each", s.Misses, s.MissCauses)
		}
		w.Plugin.Clear()
		if s := w.Plugin.Stats(); s.MissCauses != nil {
			t.Errorf("after Clear: %v", s.MissCauses)
		}
	})
}

func TestOwnDataHasCausesToo(t *testing.T) {
	t.Parallel()
	w := seenWorld(t, dbtest.SQLite(t))
	load := func() {
		_, err := preload.Load(t.Context(), w.Plugin, "k", func(context.Context) (int, error) { return 1, nil })
		worldtest.Must(t, err)
	}
	load()
	load()
	w.Clock.Advance(time.Hour)
	load()
	want := map[preload.Cause]int64{preload.CauseCold: 1, preload.CauseExpired: 1}
	if s := w.Plugin.Stats(); !reflect.DeepEqual(s.Own.MissCauses, want) || s.Own.Hits != 1 || s.Own.Misses != 2 {
		t.Errorf("%+v, want causes %v", s.Own, want)
	}
}

func TestShapesTellOfTheirReads(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := seenWorld(t, d)
		for range 3 {
			seenFirst(t, w.DB, 1)
			seenFirst(t, w.DB, 2)
		}
		var some []seenItem
		worldtest.Must(t, w.DB.Where("shelf = ? AND name <> 'secret'", 1).Find(&some).Error)
		worldtest.Must(t, w.DB.Model(&seenItem{}).Where("id = ?", 1).Update("price", 2).Error)
		shapes := w.Plugin.Shapes(10)
		if len(shapes) != 2 {
			t.Fatalf("%d shapes: %+v", len(shapes), shapes)
		}
		slices.SortFunc(shapes, func(a, b preload.ShapeStats) int { return int(b.Hits - a.Hits) })
		one, list := shapes[0], shapes[1]
		if one.Hits != 4 || one.Misses != 2 || one.MissCauses[preload.CauseCold] != 2 || one.Entries != 1 || one.Bytes <= 0 || one.DBTime <= 0 ||
			one.Saved != 2*one.DBTime || one.Table != "seen_items" || one.Invalidations["seen_items"]["row"] != 1 {
			t.Errorf("of the rows by id: %+v", one)
		}
		if !strings.Contains(one.InvalidatedBy, "row of the same id") || !strings.Contains(one.SQL, "seen_items.id = ?") {
			t.Errorf("%q is invalidated by %q", one.SQL, one.InvalidatedBy)
		}
		if list.Misses != 1 || list.Entries != 0 || list.Bytes != 0 || strings.Contains(list.SQL, "secret") || !strings.Contains(list.SQL, "shelf = ?") || !strings.Contains(list.InvalidatedBy, "shelf") {
			t.Errorf("of the list: %+v", list)
		}
		if few := w.Plugin.Shapes(1); len(few) != 2 || few[1].ID != "other" || few[0].Hits+few[1].Hits != 4 || few[0].Misses+few[1].Misses != 3 {
			t.Errorf("one, and the others: %+v", few)
		}
		worldtest.Must(t, w.Plugin.Close())
		if shapes := w.Plugin.Shapes(10); len(shapes) != 0 {
			t.Errorf("after Close: %+v", shapes)
		}
	})
}

func TestUnservedReadsTellWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := seenWorld(t, d)
		var some []seenItem
		for id := range 5 {
			worldtest.Must(t, w.DB.Raw(fmt.Sprintf("SELECT * FROM seen_items WHERE name = 'secret%d'", id)).Scan(&some).Error)
			worldtest.Must(t, w.DB.Raw("SELECT * FROM seen_items WHERE id IN ?", []int{id, 2}[:1+id%2]).Find(&some).Error)
		}
		worldtest.Must(t, w.DB.Transaction(func(tx *gorm.DB) error { return tx.First(new(seenItem), 1).Error }))
		worldtest.Must(t, w.DB.Clauses(preload.Bypass).First(new(seenItem), 1).Error)
		counts := map[preload.Reason]int64{}
		for _, u := range w.Plugin.Unserved(1_000) {
			counts[u.Reason] += u.Count
			if strings.Contains(u.SQL, "secret") || !strings.Contains(u.SQL, "seen_items") || u.DBTime <= 0 {
				t.Errorf("%+v: want the statement without its values, and its time", u)
			}
			if (u.Advice == "") != (u.Reason == preload.ReasonAsked) {
				t.Errorf("of %s: advice %q", u.Reason, u.Advice)
			}
		}
		s := w.Plugin.Stats()
		if !reflect.DeepEqual(counts, s.BypassReasons) || len(w.Plugin.Unserved(1_000)) > 5 {
			t.Errorf("counted %v in %d lines, bypassed %v", counts, len(w.Plugin.Unserved(1_000)), s.BypassReasons)
		}
		if len(w.Plugin.Unserved(1)) != 1 || len(w.Plugin.Unserved(0)) != 0 {
			t.Error("the limit is not heeded")
		}
	})
}

// seenEvents collects events.
type seenEvents struct {
	mu  sync.Mutex
	all []preload.Event
}

func (s *seenEvents) see(_ context.Context, e preload.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, e)
}

func (s *seenEvents) take() []preload.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.all = nil }()
	return s.all
}

func TestAnObserverIsToldOfEachRead(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		var events seenEvents
		w := seenWorld(t, d, preload.WithObserver(events.see))
		events.take()
		expect := func(what string, kind preload.EventKind, outcome preload.Outcome, why string) {
			t.Helper()
			all := events.take()
			if len(all) != 1 || all[0].Kind != kind || all[0].Outcome != outcome || string(all[0].Cause)+string(all[0].Reason)+all[0].Rule != why || all[0].Table != "seen_items" {
				t.Errorf("%s: %+v, want one of kind %d, %v, %q", what, all, kind, outcome, why)
			}
		}
		seenFirst(t, w.DB, 1)
		expect("the first read", preload.EventRead, preload.OutcomeMiss, "cold")
		seenFirst(t, w.DB, 1)
		expect("the second read", preload.EventRead, preload.OutcomeHit, "")
		worldtest.Must(t, w.DB.Model(&seenItem{ID: 1}).Update("name", "zoe").Error)
		expect("a write", preload.EventInvalidation, preload.OutcomeHit, "row")
		worldtest.Must(t, w.DB.Clauses(preload.Bypass).First(new(seenItem), 1).Error)
		expect("Bypass", preload.EventRead, preload.OutcomeBypass, "asked")
		byID, err := preload.Prepare[seenItem](w.DB, func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", preload.Arg(0)) })
		worldtest.Must(t, err)
		for range 4 {
			_, err := byID.Find(t.Context(), 2)
			worldtest.Must(t, err)
		}
		outcomes := map[preload.Outcome]int{}
		for _, e := range events.take() {
			outcomes[e.Outcome]++
		}
		if want := (map[preload.Outcome]int{preload.OutcomeMiss: 1, preload.OutcomeHit: 3}); !maps.Equal(outcomes, want) {
			t.Errorf("of a prepared query: %v, want %v", outcomes, want)
		}
	})
}

// TestReadersThatJoinAreToldApart: ten ask at once for what is not in memory.
func TestReadersThatJoinAreToldApart(t *testing.T) {
	t.Parallel()
	var events seenEvents
	w := seenWorld(t, dbtest.SQLite(t), preload.WithObserver(events.see))
	const readers = 10
	release, begun := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.Probe.Before(func(dbtest.Call) error {
		once.Do(func() { close(begun) })
		<-release
		return nil
	})
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.DB.First(new(seenItem), 1).Error })
	<-begun
	for range readers - 1 {
		waiting := worldtest.NewWaiting(t.Context())
		wg.Go(func() { _ = w.DB.WithContext(waiting).First(new(seenItem), 1).Error })
		<-waiting.Begun
	}
	close(release)
	wg.Wait()
	s, joined := w.Plugin.Stats(), int64(0)
	for _, e := range events.take() {
		if e.Outcome == preload.OutcomeJoined {
			joined++
		}
	}
	if s.Joined != joined || s.Joined == 0 || s.Hits+s.Misses != readers || s.Models["seen_items"].Joined != joined {
		t.Errorf("%d joined by the events; %d joined, %d hits, %d misses of %d readers", joined, s.Joined, s.Hits, s.Misses, readers)
	}
}

// TestAnObserverThatPanicsCostsNoResult, and is told nothing of it.
func TestAnObserverThatPanicsCostsNoResult(t *testing.T) {
	t.Parallel()
	w := seenWorld(t, dbtest.SQLite(t), preload.WithObserver(func(context.Context, preload.Event) { panic("an observer's own fault") }))
	for range 2 {
		if one := seenFirst(t, w.DB, 1); one.Name != "ann" {
			t.Errorf("%+v", one)
		}
	}
	if s := w.Plugin.Stats(); s.Hits != 1 || s.Faults["the function of WithObserver"] != 2 {
		t.Errorf("%d hits, faults %v", s.Hits, s.Faults)
	}
}

// failingScorer panics: a fault in what is plugged in.
type failingScorer struct{ preload.Scorer }

func (failingScorer) Weigh(float64, int64, time.Time) float64 { panic("a scorer's fault") }

func TestHealthSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	if err := (*preload.Plugin)(nil).Health(); err == nil {
		t.Error("nil is healthy")
	}
	if err := preload.New().Health(); !errors.Is(err, preload.ErrNotInitialized) {
		t.Errorf("before db.Use: %v", err)
	}
	w := seenWorld(t, dbtest.SQLite(t), preload.WithScorer(failingScorer{}))
	if err := w.Plugin.Health(); err != nil {
		t.Errorf("at first: %v", err)
	}
	seenFirst(t, w.DB, 1)
	if err := w.Plugin.Health(); !errors.Is(err, preload.ErrFaulting) || !strings.Contains(err.Error(), "Scorer") {
		t.Errorf("after a fault: %v", err)
	}
	w.Clock.Advance(2 * time.Minute)
	if err := w.Plugin.Health(); err != nil {
		t.Errorf("two minutes later: %v", err)
	}
	worldtest.Must(t, w.Plugin.Close())
	if err := w.Plugin.Health(); !errors.Is(err, preload.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := w.Plugin.SetMode(preload.ModeOn); !errors.Is(err, preload.ErrClosed) {
		t.Errorf("SetMode after Close: %v", err)
	}
	if _, err := w.Plugin.Explain(func(tx *gorm.DB) *gorm.DB { return tx.First(new(seenItem)) }); !errors.Is(err, preload.ErrClosed) {
		t.Errorf("Explain after Close: %v", err)
	}
	if err := w.DB.Transaction(func(tx *gorm.DB) error {
		_, err := preload.Prepare[seenItem](tx, func(tx *gorm.DB) *gorm.DB { return tx })
		return err
	}); !errors.Is(err, preload.ErrInTransaction) {
		t.Errorf("Prepare in a transaction: %v", err)
	}
}

// TestModesAreSwitchedWhileItRuns: in ModeOff all comes from the database, writes are seen all the
// same, and what was kept before is forgotten.
func TestModesAreSwitchedWhileItRuns(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := seenWorld(t, d)
		byID, err := preload.Prepare[seenItem](w.DB, func(tx *gorm.DB) *gorm.DB { return tx.Where("id = ?", preload.Arg(0)) })
		worldtest.Must(t, err)
		reads := func() (queries int64) {
			return w.Queries(func() {
				seenFirst(t, w.DB, 1)
				_, err := byID.First(t.Context(), 1)
				worldtest.Must(t, err)
				rows, err := w.DB.Model(&seenItem{}).Rows()
				worldtest.Must(t, err)
				for rows.Next() {
				}
				worldtest.Must(t, rows.Close())
				n := 0
				_, err = preload.Load(t.Context(), w.Plugin, "own", func(context.Context) (int, error) { n++; return n, w.DB.Raw("SELECT 1").Scan(&n).Error })
				worldtest.Must(t, err)
			})
		}
		for range 4 {
			reads()
		}
		if n := reads(); n != 0 {
			t.Fatalf("%d queries of what is in memory", n)
		}
		worldtest.Must(t, w.Plugin.SetMode(preload.ModeOff))
		before := w.Plugin.Stats()
		if n := reads(); n != 4 || w.Plugin.Mode() != preload.ModeOff {
			t.Errorf("%d queries of 4 reads in ModeOff", n)
		}
		// The read of own data counts, and the query that its loader sends.
		if s := w.Plugin.Stats(); s.Hits != before.Hits || s.Entries != 0 || s.BypassReasons[preload.ReasonOff] != 5 || s.Mode != preload.ModeOff {
			t.Errorf("in ModeOff: %d hits before and %d now, %d entries, bypassed %v", before.Hits, s.Hits, s.Entries, s.BypassReasons)
		}
		worldtest.Must(t, w.Plugin.SetMode(preload.ModeShadow))
		reads()
		if n := reads(); n != 4 {
			t.Errorf("%d queries of 4 reads in ModeShadow", n)
		}
		worldtest.Must(t, w.Plugin.SetMode(preload.ModeOff))
		worldtest.Must(t, w.DB.Model(&seenItem{ID: 1}).Update("name", "zoe").Error)
		worldtest.Must(t, w.Plugin.SetMode(preload.ModeOn))
		if one := seenFirst(t, w.DB, 1); one.Name != "zoe" {
			t.Errorf("after a write in ModeOff: %+v", one)
		}
		reads()
		if n := reads(); n != 0 {
			t.Errorf("%d queries of what is in memory again", n)
		}
		if err := w.Plugin.SetMode(7); err == nil || !strings.Contains(err.Error(), "ModeShadow") {
			t.Errorf("SetMode(7): %v", err)
		}
	})
}

func TestTheEnvironmentSetsTheMode(t *testing.T) {
	for value, want := range map[string]preload.Mode{"off": preload.ModeOff, "SHADOW": preload.ModeShadow, "on": preload.ModeOn, "": preload.ModeShadow} {
		t.Setenv(preload.ModeVariable, value)
		if got := preload.New(preload.WithMode(preload.ModeShadow)).Mode(); got != want {
			t.Errorf("%s=%s: %v, want %v", preload.ModeVariable, value, got, want)
		}
	}
	t.Setenv(preload.ModeVariable, "of")
	if err := dbtest.SQLite(t).Open(t).Use(preload.New()); err == nil || !strings.Contains(err.Error(), `PRELOAD is "of"`) {
		t.Errorf("PRELOAD=of: %v", err)
	}
}
