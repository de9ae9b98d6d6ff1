package runner

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/failopen"
)

const (
	// restless is for how long connections are kept for loads while there is none.
	restless = time.Second
	// kept is for how long one is kept at most, so that the pool's own limits on the age of its
	// connections hold.
	kept = time.Minute
	// looks is how often the pool is looked at while connections of it are kept.
	looks = 100 * time.Millisecond
	// patient is for how long a load waits for the pool to give it a connection.
	patient = time.Second
)

// Pool is the application's pool of connections, as *sql.DB is.
type Pool interface {
	Stats() sql.DBStats
	Conn(context.Context) (*sql.Conn, error)
	SetMaxIdleConns(n int)
}

// ErrNoConn is the error of a load for which there is no connection any more, as the application
// has use for all of them.
var ErrNoConn = errors.New("the application needs all connections of its pool")

// conns are connections of the application's pool that loads have to themselves. They are taken
// when there is something to load, and kept over a burst of loads: a pool keeps two idle ones, as
// database/sql has it by default, and closes each further one that comes back.
//
// mu is a leaf: nothing is asked of the pool while it is held.
type conns struct {
	runner *Runner

	mu     sync.Mutex
	idle   []*Conn   // taken, while no load uses them
	taken  int       // with those that loads use
	peak   peak      // of the connections that the application used at a time
	waits  int64     // how often somebody had to wait for a connection of the pool
	used   time.Time // when a load last had one
	timer  *time.Timer
	closed bool
}

// look notes how busy the application keeps the pool, and returns how many connections loads may
// have: none where the pool might not be able to give the application another one.
func (c *conns) look(pool Pool) (allowed int) {
	stats, most, now := pool.Stats(), c.runner.Gate.most(), time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	most = max(most, stats.InUse-c.taken)
	if stats.WaitCount > c.waits {
		// The application had use for more than there are.
		most = max(most, stats.MaxOpenConnections)
	}
	c.waits = stats.WaitCount
	peak := c.peak.note(most, now)
	if stats.MaxOpenConnections == 0 {
		return c.runner.Concurrency
	}
	return max(0, min(c.runner.Concurrency, stats.MaxOpenConnections-peak-1))
}

// take returns a connection that is kept, or another one of the pool.
func (c *conns) take(ctx context.Context, pool Pool) (*Conn, error) {
	allowed := c.look(pool)
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		one := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return one, nil
	}
	full := c.closed || c.taken >= allowed
	if !full {
		c.taken++
	}
	c.mu.Unlock()
	if full {
		return nil, ErrNoConn
	}
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	// A connection that died while it was idle is noticed here, and the next one is fresh.
	for try := 0; ; try++ {
		conn, err := pool.Conn(ctx)
		if err == nil {
			if err = c.runner.Suits(ctx, conn); err == nil {
				return &Conn{Conn: conn, taken: time.Now()}, nil
			}
			_ = conn.Close()
		}
		if try > 0 || ctx.Err() != nil {
			c.mu.Lock()
			c.taken--
			c.mu.Unlock()
			return nil, fmt.Errorf("%w: a connection for loads in the background: %w", failopen.ErrDatabase, err)
		}
	}
}

// give gives a connection back: to be kept for the next load if that may be, or to the pool.
func (c *conns) give(one *Conn, pool Pool, failed bool) {
	allowed, now := c.look(pool), time.Now()
	c.mu.Lock()
	c.used = now
	keep := !failed && !c.closed && c.taken <= allowed && now.Sub(one.taken) < kept
	if keep {
		c.idle = append(c.idle, one)
		if c.timer == nil {
			c.timer = time.AfterFunc(looks, c.review)
		}
	} else {
		c.taken--
	}
	c.mu.Unlock()
	if !keep {
		one.release()
	}
}

// review gives the connections back that no load has used for a while, or that the application may
// have use for.
func (c *conns) review() {
	pool := c.runner.Pool()
	allowed := 0
	if pool != nil && c.runner.Alike() {
		allowed = c.look(pool)
	}
	var over []*Conn
	c.mu.Lock()
	for len(c.idle) > 0 && (c.closed || c.taken > allowed || time.Since(c.used) >= restless) {
		over = append(over, c.idle[0])
		c.idle = c.idle[1:]
		c.taken--
	}
	if len(c.idle) == 0 {
		c.timer = nil // the next one that is kept starts it anew
	} else {
		c.timer.Reset(looks)
	}
	c.mu.Unlock()
	for _, one := range over {
		one.release()
	}
}

// close gives all back that no load uses, and has none kept from then on.
func (c *conns) close() {
	c.mu.Lock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	over := c.idle
	c.idle, c.taken = nil, c.taken-len(over)
	c.mu.Unlock()
	for _, one := range over {
		one.release()
	}
}

// Conn is a connection that a load has to itself. Its methods are those of *sql.Conn.
type Conn struct {
	*sql.Conn
	taken    time.Time
	prepared map[string]*sql.Stmt
}

// maxPrepared bounds the statements that are prepared on a connection.
const maxPrepared = 64

// Prepared is a connection whose queries are prepared before they are sent. It is used by one
// goroutine at a time.
type Prepared struct{ *Conn }

// QueryContext prepares a query, unless it was before, and sends it.
func (p Prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt := p.prepared[query]
	if stmt == nil {
		var err error
		if stmt, err = p.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
		if len(p.prepared) >= maxPrepared {
			p.forget()
		}
		if p.prepared == nil {
			p.Conn.prepared = map[string]*sql.Stmt{}
		}
		p.prepared[query] = stmt
	}
	return stmt.QueryContext(ctx, args...)
}

func (c *Conn) forget() {
	for _, stmt := range c.prepared {
		_ = stmt.Close()
	}
	clear(c.prepared)
}

// release gives the connection back to the pool.
func (c *Conn) release() {
	c.forget()
	_ = c.Close()
}

// lineKey is what a context of a load has its line under.
type lineKey struct{}

// line is how one load gets to a connection of its own, which it takes when it first asks for one.
// It belongs to the goroutine of the load.
type line struct {
	runner *Runner
	pool   Pool
	conn   *Conn
}

// ConnOf returns the connection that the load with this context is to use, nil where it is to use
// the pool as the application does.
func ConnOf(ctx context.Context) (*Conn, error) {
	l, _ := ctx.Value(lineKey{}).(*line)
	if l == nil {
		return nil, nil
	}
	if l.conn == nil {
		var err error
		if l.conn, err = l.runner.conns.take(ctx, l.pool); err != nil {
			return nil, err
		}
	}
	return l.conn, nil
}

// end gives the connection back, if the load took one.
func (l *line) end(failed bool) {
	if l != nil && l.conn != nil {
		l.runner.conns.give(l.conn, l.pool, failed)
		l.conn = nil
	}
}
