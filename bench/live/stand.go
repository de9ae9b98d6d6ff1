package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/database"
	"gorm.io/gorm"
)

// variant is a way to run an application.
type variant struct {
	name    string
	options []preload.Option // nil without the plugin
}

var (
	plain = variant{"plain", nil}
	off   = variant{"off", []preload.Option{preload.WithoutWorker()}}
	on    = variant{"on", []preload.Option{}}
)

// stand is an application with a database of its own.
type stand struct {
	variant
	scene    scene
	database *database.Database
	counts   database.Counts
	db       *gorm.DB
	pool     *sql.DB
	plugin   *preload.Plugin // nil without it

	// watching is called with each statement that the application sent; nil for nobody. It is set
	// before the stand is opened.
	watching func(ctx context.Context, statement string) error
	failing  atomic.Bool  // loads fail
	loads    atomic.Int64 // queries that nobody asked for
	atFirst  int64        // and what GORM asked when it opened the database

	mu     sync.Mutex
	wrong  []string // the first answers that were not those of the database, or errors
	faults int      // of these, all
	logged []string // by the plugin, as errors
}

// open opens a stand. Close closes it, also after an error.
func (s *stand) open(server database.Server) (err error) {
	if s.database, err = server.New(); err != nil {
		return err
	}
	filling, err := s.database.Open(&database.Counts{}, gorm.Config{})
	if err != nil {
		return err
	}
	if err := s.scene.fill(filling); err != nil {
		return fmt.Errorf("filling the database: %w", err)
	}
	s.counts.Seen = s.seen
	if s.db, err = s.database.Open(&s.counts, gorm.Config{}); err != nil {
		return err
	}
	s.atFirst = s.loads.Load()
	if s.pool, err = s.db.DB(); err != nil {
		return err
	}
	if s.scene.connections > 0 {
		s.pool.SetMaxOpenConns(s.scene.connections)
	}
	if s.options == nil {
		return nil
	}
	options := append([]preload.Option{preload.WithLogger(slog.New((*journal)(s)))}, s.options...)
	s.plugin = preload.New(append(options, s.scene.options...)...)
	return s.db.Use(s.plugin)
}

func (s *stand) Close() (err error) {
	if s.plugin != nil {
		err = s.plugin.Close()
	}
	if s.database != nil {
		err = errors.Join(err, s.database.Close())
	}
	return err
}

// asked is what the context of a statement of the application holds: a background load holds
// nothing of anybody's context.
type asked struct{ reached atomic.Bool }

type askedKey struct{}

// ask marks a context as the application's. What it returns tells whether the database was asked.
func ask(ctx context.Context) (context.Context, *asked) {
	a := &asked{}
	return context.WithValue(ctx, askedKey{}, a), a
}

var errLoad = errors.New("a load that is to fail")

// seen makes statements take as long as the scene says, and loads fail.
func (s *stand) seen(ctx context.Context, statement string) error {
	if a, ok := ctx.Value(askedKey{}).(*asked); ok {
		a.reached.Store(true)
		time.Sleep(s.scene.query)
		if s.watching != nil {
			return s.watching(ctx, statement)
		}
		return nil
	}
	s.loads.Add(1)
	time.Sleep(s.scene.load)
	if s.failing.Load() {
		return errLoad
	}
	return nil
}

// fault notes an answer that is not that of the database, or an error.
func (s *stand) fault(format string, values ...any) {
	const named = 5
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults++; len(s.wrong) < named {
		s.wrong = append(s.wrong, fmt.Sprintf(format, values...))
	}
}

// journal is a stand as what the plugin logs to: faults of its own are kept.
type journal stand

func (j *journal) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	j.mu.Lock()
	defer j.mu.Unlock()
	j.logged = append(j.logged, text)
	return nil
}

func (j *journal) WithAttrs([]slog.Attr) slog.Handler { return j }
func (j *journal) WithGroup(string) slog.Handler      { return j }

// patience is how long the plugin and the pool may take to come to rest.
const patience = 20 * time.Second

// rest forgets all answers, so that what became of each load is known, and waits until nothing runs
// any more and all connections are back.
func (s *stand) rest() error {
	if s.plugin != nil {
		if err := s.plugin.Invalidate(); err != nil {
			return err
		}
	}
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		busy := s.pool.Stats().InUse
		var stats preload.Stats
		if s.plugin != nil {
			s.plugin.RelatedKeys("") // what became of loads is counted when something is asked
			stats = s.plugin.Stats()
		}
		if busy == 0 && stats.ActiveTasks == 0 && stats.Prediction.Waiting == 0 {
			return nil
		}
		if time.Since(begun) > patience {
			s.fault("%v without work: %d connections are in use, %d loads run, %d wait or are not heard of", patience, busy, stats.ActiveTasks, stats.Prediction.Waiting)
			return nil
		}
	}
}
