package preload

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/agenda"
	"github.com/gorm-preload/preload/internal/dbtest"
)

// failedLoads counts the lines of the log that tell of loads that failed, by their level.
type failedLoads struct {
	mu    sync.Mutex
	lines map[slog.Level]int
}

func (*failedLoads) Enabled(context.Context, slog.Level) bool { return true }
func (l *failedLoads) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *failedLoads) WithGroup(string) slog.Handler          { return l }

func (l *failedLoads) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "preload: a background load failed" {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines[r.Level]++
	}
	return nil
}

func (l *failedLoads) told(level slog.Level) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[level]
}

// TestAnOutageIsOneLineOfTheLog: of all loads that the database fails, of whatever shape, until it
// answers one again.
func TestAnOutageIsOneLineOfTheLog(t *testing.T) {
	t.Parallel()
	log := &failedLoads{lines: map[slog.Level]int{}}
	b := setup(t, WithLogger(slog.New(log)), WithConcurrency(3))
	b.read(t, 1)
	var n int64
	for _, err := range []error{
		b.db.Where("name = ?", "u2").Find(&[]workerUser{}).Error, b.db.Model(&workerUser{}).Where("id > ?", 3).Count(&n).Error,
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	for _, hot := range b.plugin.Hot(10) {
		keys = append(keys, hot.Key)
	}
	load := func() {
		for _, key := range keys {
			if !b.plugin.worker.Load(agenda.Wish{Key: key, Asked: new(atomic.Bool)}) {
				t.Fatal("a load did not begin")
			}
		}
	}
	for outage := 1; outage <= 2; outage++ {
		arrived, gone := make(chan struct{}, len(keys)), make(chan struct{})
		b.probe.Before(func(c dbtest.Call) error {
			if c.Op == "query" {
				arrived <- struct{}{}
				<-gone // the loads begin while nobody knows of the outage
				return errors.New("gone")
			}
			return nil
		})
		load()
		for range keys {
			<-arrived
		}
		close(gone)
		b.settle()
		if warn, debug := log.told(slog.LevelWarn), log.told(slog.LevelDebug); len(keys) != 3 || warn != outage || debug != 2*outage {
			t.Errorf("outage %d, %d loads failed: %d lines at Warn and %d at Debug in all, want %d and %d", outage, len(keys), warn, debug, outage, 2*outage)
		}
		b.probe.Before(nil)
		b.plugin.worker.Resume()
		load()
		b.settle()
		b.clock.Advance(2 * time.Minute) // no line is told twice within a minute
	}
}
