package preload_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// TestDebugLinesTellOfReadsAndInvalidations: one a minute for each outcome and shape, with how many
// were left out, and without values.
func TestDebugLinesTellOfReadsAndInvalidations(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		var log bytes.Buffer
		w := seenWorld(t, d, preload.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		for _, step := range []struct {
			name string
			do   func()
			want []string // parts of the lines, in their order; no line has any other
		}{
			{"a miss", func() { seenFirst(t, w.DB, 1) }, []string{"a read was a miss: cold outcome=miss table=seen_items rows=1"}},
			{"a hit", func() { seenFirst(t, w.DB, 1) }, []string{"a read was a hit outcome=hit table=seen_items rows=1"}},
			{"more of them", func() {
				for range 7 {
					seenFirst(t, w.DB, 2)
				}
			}, nil},
			{"a minute later", func() { w.Clock.Advance(59 * time.Second); seenFirst(t, w.DB, 1) }, nil},
			{"more than that", func() { w.Clock.Advance(time.Second); seenFirst(t, w.DB, 1) }, []string{"a read was a miss: expired outcome=miss"}},
			{"and a hit", func() { seenFirst(t, w.DB, 1) }, []string{"a read was a hit outcome=hit table=seen_items rows=1 age=0s took=0s suppressed=7"}},
			{"a bypass", func() { _ = w.DB.Clauses(preload.Bypass).First(new(seenItem), 1).Error }, []string{"a read went past memory: asked outcome=bypass table=seen_items"}},
			{"raw SQL", func() {
				worldtest.Must(t, w.DB.Raw("SELECT name FROM seen_items WHERE name = 'hidden'").Scan(new([]string)).Error)
			}, []string{"a read went past memory: raw SQL outcome=bypass"}},
			{"a write", func() { worldtest.Must(t, w.DB.Model(&seenItem{ID: 1}).Update("name", "hidden").Error) },
				[]string{"answers were invalidated by a change of seen_items, by the rule row written=seen_items rule=row answers=1"}},
			{"own data", func() {
				_, err := preload.Load(t.Context(), w.Plugin, "hidden", func(context.Context) (string, error) { return "hidden", nil })
				worldtest.Must(t, err)
			}, []string{"a read was a miss: cold outcome=miss"}},
		} {
			log.Reset()
			step.do()
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if log.Len() == 0 {
				lines = nil
			}
			for i, line := range lines {
				_, line, _ = strings.Cut(line, `msg="preload: `)
				message, attrs, _ := strings.Cut(line, `" `)
				if shape, rest, cut := strings.Cut(attrs, " "); cut && strings.HasPrefix(shape, "shape=") {
					attrs = rest
				}
				if line = message + " " + attrs; i >= len(step.want) || !strings.HasPrefix(line, step.want[i]) {
					t.Errorf("%s: %q", step.name, lines[i])
				}
			}
			if len(lines) != len(step.want) || strings.Contains(log.String(), "hidden") {
				t.Errorf("%s: want the lines %q, and no value, got\n%s", step.name, step.want, &log)
			}
		}
	})
}

// TestDebugLinesTellOfLoads in the background.
func TestDebugLinesTellOfLoads(t *testing.T) {
	t.Parallel()
	log := &seenLevels{level: slog.LevelDebug}
	d := dbtest.SQLite(t)
	plain := d.Plain(t)
	worldtest.Must(t, plain.AutoMigrate(&seenItem{}))
	worldtest.Must(t, plain.Create(&seenItem{ID: 1, Name: "ann"}).Error)
	db, p := d.Open(t), preload.New(preload.WithLogger(slog.New(log)))
	worldtest.Must(t, db.Use(p))
	t.Cleanup(func() { _ = p.Close() })
	n := 0
	seenEventually(t, "a load after a write", func() bool {
		for range 3 {
			seenFirst(t, db, 1)
		}
		n++
		worldtest.Must(t, db.Model(&seenItem{ID: 1}).Update("shelf", n).Error)
		return log.loads.Load() > 0
	})
}

// TestWhoWantsNoDebugLinesPaysForNone: a hit does not even ask the logger, and the level can change
// while the application runs, which holds from the next miss or write on.
func TestWhoWantsNoDebugLinesPaysForNone(t *testing.T) {
	t.Parallel()
	log := &seenLevels{level: slog.LevelInfo}
	w := seenWorld(t, dbtest.SQLite(t), preload.WithLogger(slog.New(log)))
	seenFirst(t, w.DB, 1)
	asked := log.asked.Load()
	for range 100 {
		seenFirst(t, w.DB, 1)
	}
	if n := log.asked.Load() - asked; n != 0 || log.debug.Load() != 0 {
		t.Errorf("100 hits asked the logger %d times, and wrote %d lines", n, log.debug.Load())
	}
	seenFirst(t, w.DB, 2) // what is to be invalidated
	log.level = slog.LevelDebug
	if seenFirst(t, w.DB, 1); log.debug.Load() != 0 {
		t.Error("a hit asked the logger")
	}
	worldtest.Must(t, w.DB.Delete(&seenItem{}, 2).Error)
	seenFirst(t, w.DB, 1)
	if n := log.debug.Load(); n != 2 {
		t.Errorf("%d lines of an invalidation and a hit", n)
	}
	log.level = slog.LevelInfo
	_ = w.DB.First(new(seenItem), 2).Error // a miss
	for range 100 {
		seenFirst(t, w.DB, 1)
	}
	if n := log.debug.Load(); n != 2 {
		t.Errorf("%d lines, of which %d since nobody wants them", n, n-2)
	}
}

// seenLevels counts what it is asked and told.
type seenLevels struct {
	level               slog.Level
	asked, debug, loads atomic.Int64
}

func (l *seenLevels) Enabled(_ context.Context, level slog.Level) bool {
	l.asked.Add(1)
	return level >= l.level
}

func (l *seenLevels) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelDebug {
		l.debug.Add(1)
	}
	if strings.Contains(r.Message, "a load in the background has ended, made for write") && strings.Contains(fmt.Sprint(r.Level), "DEBUG") {
		l.loads.Add(1)
	}
	return nil
}

func (l *seenLevels) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *seenLevels) WithGroup(string) slog.Handler      { return l }
