package loading

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/gormprivate"
	"github.com/gorm-preload/preload/internal/runner"
	"gorm.io/gorm"
)

// Which connections loads may use depends on the database. A connection of SQLite may be a database
// of its own (in memory); and what reads a file delays, or fails, those who write to it, unless the
// file is in WAL mode: with a rollback journal a commit waits for readers, and with a cache that
// connections share writers fail at once.

// connections is what is known of the connections of the application's pool.
type connections struct {
	separate bool // another one may be another database, or delay those who write
	// The mode of the journal was found to be WAL, or another one, when so many settings were seen,
	// less one.
	wal, other atomic.Int64
}

// judged notes the mode of the journal.
func (s *Source) judged(mode string) (wal bool) {
	wal = strings.EqualFold(mode, "wal")
	if seen := s.Log.Tuned() + 1; wal {
		s.connections.wal.Store(seen)
	} else {
		s.connections.other.Store(seen)
	}
	return wal
}

// aLook is how long a look at the database may take that happens when the plugin is put to use.
const aLook = time.Second

// look finds out about the connections of the pool, on the one that the application uses.
func (s *Source) look(db *gorm.DB) {
	pool := s.pool()
	at, wrapper := commit.Reach(db.ConnPool)
	if front, ok := at.(*commit.Pool); ok && wrapper == "" {
		at, wrapper = commit.Reach(front.ConnPool)
	}
	if wrapper != "" || pool == nil || at != gorm.ConnPool(pool) {
		s.connections.separate = true // what others have put around the pool is not around a connection of it
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), aLook)
	defer cancel()
	if s.sqlite {
		for _, name := range gormprivate.DSNs(db.Dialector, pool) {
			if strings.Contains(name, "cache=shared") {
				s.connections.separate = true
				return
			}
		}
		var file, mode string
		s.connections.separate = s.Pool.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&file) != nil || file == ""
		if s.connections.separate {
			return
		}
		if s.Pool.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode) == nil {
			s.judged(mode)
		}
	}
	if stats := pool.Stats(); stats.Idle > 0 && stats.MaxOpenConnections != 1 && tied(ctx, pool, db.Name()) {
		s.Log.SetDiffer()
	}
}

// pool returns the application's pool, nil where there is none.
func (s *Source) pool() *sql.DB {
	db, err := s.Pool.GetDBConn()
	if err != nil {
		return nil
	}
	return db
}

// LoadPool returns the pool that loads use, nil where there is none.
func (s *Source) LoadPool() runner.Pool {
	if db := s.pool(); db != nil {
		return db
	}
	return nil
}

// Alike reports whether any connection of the pool is as good as another for loads.
func (s *Source) Alike() bool {
	c := &s.connections
	return !c.separate && c.other.Load() != s.Log.Tuned()+1 && !s.Log.Differ() && !s.Log.RawOpen()
}

// Quiet reports whether loads may use the connection that the application is about to use. A load
// that takes too long is cancelled, which costs the connection but in SQLite, and with it what the
// application has set there. And where nothing of the plugin's is in front of the pool, nothing
// keeps a transaction waiting that is about to begin.
func (s *Source) Quiet() bool {
	return !s.Log.Direct() && !s.Log.RawOpen() && (s.sqlite || !s.Log.Differ())
}

// Suits looks at a connection that loads take from the pool. It also finds out whether the
// connection lives.
func (s *Source) Suits(ctx context.Context, conn *sql.Conn) error {
	if !s.sqlite || s.connections.wal.Load() == s.Log.Tuned()+1 {
		return conn.PingContext(ctx)
	}
	var mode string
	if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if !s.judged(mode) {
		return fmt.Errorf("%w: the journal of the file is in mode %s, want WAL", runner.ErrNoConn, mode)
	}
	return nil
}

// onOwn has a statement of a load run on a connection that the load has to itself, if it has one.
func (s *Source) onOwn(ctx context.Context, tx *gorm.DB, prepared bool) error {
	conn, err := runner.ConnOf(ctx)
	if err != nil || conn == nil {
		return err
	}
	if prepared {
		tx.Statement.ConnPool = s.Log.Front(runner.Prepared{Conn: conn})
	} else {
		tx.Statement.ConnPool = s.Log.Front(conn.Conn)
	}
	return nil
}
