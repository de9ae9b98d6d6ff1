package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/examples/internal/command"
	"github.com/gorm-preload/preload/examples/internal/counting"
	"github.com/gorm-preload/preload/examples/internal/latency"
	"github.com/gorm-preload/preload/examples/internal/progress"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

const (
	// examples is how many wrong answers are named.
	examples = 3
	// told is how many accesses are played before it is said.
	told = 500
	// batch is how many objects are created at a time.
	batch = 200
)

// database has the objects, in a SQLite file in a temporary folder.
type database struct {
	folder string
	conn   *sql.DB
}

func newDatabase(ctx context.Context, keys []key, stderr io.Writer) (_ *database, err error) {
	folder, err := os.MkdirTemp("", "preload-replay-")
	if err != nil {
		return nil, command.Refuse("cannot make a temporary folder: %w", err)
	}
	d := &database{folder: folder}
	defer func() {
		if err != nil {
			_ = d.close()
		}
	}()
	d.conn, err = sql.Open("sqlite3", "file:"+(&url.URL{Path: filepath.Join(folder, "objects.db")}).EscapedPath()+"?_journal_mode=WAL&_busy_timeout=10000&_synchronous=NORMAL")
	if err != nil {
		return nil, err
	}
	d.conn.SetMaxOpenConns(4)
	d.conn.SetMaxIdleConns(4)
	db, err := d.handle(d.conn)
	if err != nil {
		return nil, err
	}
	if err := d.fill(db.WithContext(ctx), keys, stderr); err != nil {
		return nil, fmt.Errorf("making the objects: %w", err)
	}
	return d, nil
}

func (d *database) close() error {
	var err error
	if d.conn != nil {
		err = d.conn.Close()
	}
	return errors.Join(err, os.RemoveAll(d.folder))
}

func (d *database) handle(pool gorm.ConnPool) (*gorm.DB, error) {
	return gorm.Open(sqlite.Dialector{Conn: pool}, &gorm.Config{Logger: logger.Discard})
}

// fill makes the tables and the objects of the keys.
func (d *database) fill(db *gorm.DB, keys []key, stderr io.Writer) error {
	shown := progress.Start(stderr, "making objects", len(keys))
	defer shown.End()
	return db.Transaction(func(tx *gorm.DB) error {
		var byType [types][]key
		for _, k := range keys {
			byType[k.kind()] = append(byType[k.kind()], k)
		}
		for i, of := range byType {
			if err := tx.AutoMigrate(objectTypes[i].model); err != nil {
				return err
			}
			for len(of) > 0 {
				n := min(batch, len(of))
				if err := objectTypes[i].insert(tx, of[:n]); err != nil {
					return err
				}
				of = of[n:]
				shown.Add(n)
			}
		}
		return nil
	})
}

// result is what came of a run.
type result struct {
	stats      preload.Stats
	queries    int64 // that reached the database
	took       latency.Samples
	mismatches int
	examples   []string
}

// ratio is the hit ratio, but for the accesses to objects that are asked for once, which all miss.
func (r *result) ratio(once int) float64 {
	return float64(r.stats.Hits) / float64(max(1, r.stats.Hits+r.stats.Misses-int64(once)))
}

// run plays a trace through a plugin of its own.
func (d *database) run(ctx context.Context, s settings, t trace, entries int, stderr io.Writer) (*result, error) {
	pool := counting.New(d.conn)
	db, err := d.handle(pool)
	if err != nil {
		return nil, err
	}
	// Only the number of entries is to limit what is kept.
	options := []preload.Option{preload.WithMaxEntries(entries), preload.WithMaxBytes(math.MaxInt64)}
	if s.worker {
		// A run takes seconds: by default the worker would hardly have a turn.
		options = append(options, preload.WithInterval(5*time.Second))
	} else {
		options = append(options, preload.WithoutWorker())
	}
	plugin := preload.New(options...)
	if err := db.Use(plugin); err != nil {
		return nil, err
	}
	defer plugin.Close()
	db = db.WithContext(ctx)
	pool.Reset()

	r := &result{}
	shown := progress.Start(stderr, fmt.Sprintf("%d entries", entries), len(t))
	defer shown.End()
	for i, k := range t {
		if s.meddle != nil {
			s.meddle(d, i)
		}
		begun := time.Now()
		got, err := objectTypes[k.kind()].find(db, k)
		r.took.Add(time.Since(begun))
		if done := ctx.Err(); done != nil {
			return nil, done
		}
		if err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
			return nil, fmt.Errorf("access %d, to %v: %w", i, k, err)
		}
		if want := objectOf(k); err != nil || got != want {
			if r.mismatches++; len(r.examples) < examples {
				r.examples = append(r.examples, fmt.Sprintf("access %d, to %v: got %+v and error %v, want %+v", i, k, got, err, want))
			}
		}
		if (i+1)%told == 0 {
			shown.Add(told)
		}
	}
	shown.Add(len(t) % told)
	r.queries, r.stats = pool.Reads(), plugin.Stats()
	return r, nil
}
