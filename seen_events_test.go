package preload_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// TestHoldOutsAreEvents: that one begins, why, and that it is over.
func TestHoldOutsAreEvents(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		var events seenEvents
		w := seenWorld(t, d, preload.WithObserver(events.see), preload.WithHoldOut(time.Second))
		worldtest.Must(t, w.DB.Connection(func(one *gorm.DB) error { return one.Exec("UPDATE seen_items SET name = 'x' WHERE id = 1").Error }))
		s := w.Plugin.Stats()
		if s.HoldOuts != 1 || s.HoldOutsBy["other pool"] != 1 || len(s.HeldOut) != 1 {
			t.Fatalf("%d hold-outs by %v, held out %q", s.HoldOuts, s.HoldOutsBy, s.HeldOut)
		}
		w.Clock.Advance(2 * time.Second)
		w.Plugin.Stats()
		var told []string
		for _, e := range events.take() {
			if e.Kind == preload.EventHoldOut {
				told = append(told, fmt.Sprint(e.Table, " ", e.Why, " ", e.Took, " ", e.Ended))
			}
		}
		if want := "seen_items other pool 1s false; seen_items other pool 1s true"; strings.Join(told, "; ") != want {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// seenLog is a log that several goroutines may write to.
type seenLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *seenLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *seenLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestTheLogSaysThatThePluginBeginsAndEnds: a line each, at Info.
func TestTheLogSaysThatThePluginBeginsAndEnds(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		var log seenLog
		w := seenWorld(t, d, preload.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), preload.WithMaxEntries(77))
		for range 3 {
			seenFirst(t, w.DB, 1)
		}
		worldtest.Must(t, w.Plugin.Close())
		worldtest.Must(t, w.Plugin.Close())
		for _, want := range []string{
			`level=INFO msg="preload: started" version=`, "database=" + w.DB.Name(), "mode=on", "max_entries=77", "feeds=",
			`level=INFO msg="preload: closed" hits=2 misses=1`, "faults=0", "mismatches=0",
		} {
			if n := strings.Count(log.String(), want); n != 1 {
				t.Errorf("%q is %d times in the log, want it once:\n%s", want, n, &log)
			}
		}
	})
}

// TestTheLogHasValuesWhereThatIsAskedFor, and only there.
func TestTheLogHasValuesWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{false, true} {
		var log seenLog
		options := []preload.Option{
			preload.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), preload.WithMode(preload.ModeShadow),
			preload.WithObserver(func(_ context.Context, e preload.Event) { panic("a secret of " + e.Table) }),
		}
		if asked {
			options = append(options, preload.WithLogValues())
		}
		w := seenWorld(t, dbtest.SQLite(t), options...)
		read := func() { worldtest.Must(t, w.DB.Where("name = ?", "secret name").Find(new([]seenItem)).Error) }
		read()
		worldtest.Must(t, w.Plain.Create(&seenItem{ID: 9, Name: "secret name"}).Error)
		read()
		if w.Plugin.Stats().Verify.Mismatches != 1 {
			t.Fatalf("%+v, want a mismatch", w.Plugin.Stats().Verify)
		}
		for _, value := range []string{"a secret of seen_items", "secret name"} {
			if strings.Contains(log.String(), value) != asked {
				t.Errorf("with values %t: %q is in the log: %t\n%s", asked, value, !asked, &log)
			}
		}
	}
}

// TestAShapeThatNeverHitsIsInTheLog, by a turn of the worker.
func TestAShapeThatNeverHitsIsInTheLog(t *testing.T) {
	t.Parallel()
	var log seenLog
	w := seenWorld(t, dbtest.SQLite(t), preload.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	for i := range 1_000 {
		worldtest.Must(t, w.DB.Where("shelf = ?", i).Find(new([]seenItem)).Error)
	}
	for range 2 {
		preload.Tick(w.Plugin)
	}
	if n := strings.Count(log.String(), "no read of this shape was answered from memory"); n != 1 || !strings.Contains(log.String(), "misses=1000") {
		t.Errorf("%d lines, want one:\n%s", n, &log)
	}
}

// TestCallbacksOfOthersSeeTheSQLOfAHit, without values, so that traces of others name it.
func TestCallbacksOfOthersSeeTheSQLOfAHit(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := seenWorld(t, d)
		var seen []string
		worldtest.Must(t, w.DB.Callback().Query().After("gorm:query").Register("others:trace", func(db *gorm.DB) {
			seen = append(seen, db.Statement.SQL.String())
		}))
		for range 3 {
			seenFirst(t, w.DB, 1)
		}
		if s := w.Plugin.Stats(); s.Hits != 2 || len(seen) != 3 || seen[0] == "" || seen[1] != seen[0] || seen[2] != seen[0] {
			t.Errorf("%d hits, and the SQL of a miss and of hits: %q", s.Hits, seen)
		}
	})
}
