package simulate

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

// demand marks the context of what the application asks. What comes without it is the plugin's.
type demand struct{}

func isDemand(ctx context.Context) bool { return ctx.Value(demand{}) != nil }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// world is a database, the plugin on it, and the loads that run in the background.
type world struct {
	db     *gorm.DB
	plugin *preload.Plugin
	probe  *dbtest.Probe
	pool   *sql.DB
	loads  float64
}

// newWorld opens a database with some tables in it, and as many connections as the pool may have.
func newWorld(t *testing.T, connections int, fill func(db *gorm.DB) error, opts ...preload.Option) *world {
	t.Helper()
	d := dbtest.SQLite(t)
	if err := fill(d.Plain(t)); err != nil {
		t.Fatal(err)
	}
	w := &world{probe: d.Probe, db: d.Open(t)}
	var err error
	if w.pool, err = w.db.DB(); err != nil {
		t.Fatal(err)
	}
	w.pool.SetMaxOpenConns(connections)
	w.pool.SetMaxIdleConns(connections)
	var open []*sql.Conn
	for range connections {
		conn, err := w.pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	for _, conn := range open {
		_ = conn.Close()
	}
	w.plugin = preload.New(append([]preload.Option{preload.WithLogger(quiet)}, opts...)...)
	if err := w.db.Use(w.plugin); err != nil {
		t.Fatal(err)
	}
	return w
}

// inTime runs a simulation in time of its own, and closes the plugin and the database in it.
func inTime(t *testing.T, simulation func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, simulation)
}

// progress shows how far a long simulation is.
type progress struct {
	what  string
	total int
	mu    sync.Mutex
	shown int
}

func (p *progress) at(done int) {
	const steps = 10
	p.mu.Lock()
	defer p.mu.Unlock()
	if step := done * steps / max(1, p.total); step > p.shown {
		p.shown = step
		fmt.Fprintf(os.Stderr, "%s: %d %%\n", p.what, 100*step/steps)
	}
}

// table writes rows in columns, the first of them heads.
func table(rows [][]string) string {
	var out strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&out, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(&out, "|%s\n", strings.Repeat("--|", len(row)))
		}
	}
	return out.String()
}

func share(n, of float64) float64 {
	if of == 0 {
		return 0
	}
	return n / of
}

const virtual = time.Millisecond // between two accesses of a trace
