package runner

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// connector opens connections that can do nothing but be there, and counts them.
type connector struct {
	opened, closed, open atomic.Int64
	fails                atomic.Bool
}

type connection struct {
	driver.Conn
	of *connector
}

func (c *connector) Driver() driver.Driver { return nil }
func (c *connector) Connect(context.Context) (driver.Conn, error) {
	if c.fails.Load() {
		return nil, errors.New("the server is gone")
	}
	c.opened.Add(1)
	c.open.Add(1)
	return connection{of: c}, nil
}

func (c connection) Close() error {
	c.of.closed.Add(1)
	c.of.open.Add(-1)
	return nil
}

// setupConns returns a runner on a pool of its own. load runs a job that takes a connection, and
// calls do meanwhile.
func setupConns(t *testing.T, with ...func(*Config)) (r *Runner, pool *sql.DB, c *connector, load func(do func()) error) {
	t.Helper()
	c = &connector{}
	pool = sql.OpenDB(c)
	t.Cleanup(func() { pool.Close() })
	r = testRunner(&sql.DBStats{}, append([]func(*Config){func(c *Config) { c.Pool = func() Pool { return pool } }}, with...)...)
	t.Cleanup(func() { _ = r.Stop() })
	return r, pool, c, func(do func()) error {
		ended := make(chan error, 1)
		began := r.Run(Job{
			Keys: []string{"key"},
			Begin: func(ctx context.Context) func() error {
				return func() error {
					_, err := ConnOf(ctx)
					do()
					return err
				}
			},
			Done: func(e Ending) { ended <- e.Err },
		})
		if !began {
			return errNotBegun
		}
		err := <-ended
		r.Wait(0)
		return err
	}
}

var errNotBegun = errors.New("the load was not begun")

func TestABurstOfLoadsOpensOneConnection(t *testing.T) {
	t.Parallel()
	r, pool, c, load := setupConns(t)
	pool.SetMaxIdleConns(0) // each connection that comes back is closed
	for range 50 {
		if err := load(func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.opened.Load(); n != 1 {
		t.Errorf("%d connections were opened for 50 loads, want one", n)
	}
	if s := pool.Stats(); s.InUse != 1 {
		t.Errorf("%d connections are in use after the burst, want one that is kept", s.InUse)
	}
	r.conns.mu.Lock()
	r.conns.used = time.Now().Add(-restless)
	r.conns.mu.Unlock()
	r.conns.review()
	if s := pool.Stats(); s.InUse != 0 {
		t.Errorf("%d connections are in use a while after the burst, want none", s.InUse)
	}
}

// TestConnectionsComeBackByThemselves waits for the time after which nothing is kept.
func TestConnectionsComeBackByThemselves(t *testing.T) {
	t.Parallel()
	_, pool, _, load := setupConns(t)
	if err := load(func() {}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); pool.Stats().InUse > 0; time.Sleep(looks / 4) {
		if time.Now().After(deadline) {
			t.Fatal("a connection is kept though nothing is loaded")
		}
	}
}

func TestStopGivesConnectionsBack(t *testing.T) {
	before := goleak.IgnoreCurrent()
	r, pool, _, load := setupConns(t)
	if err := load(func() {}); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if s := pool.Stats(); s.InUse != 0 {
		t.Errorf("%d connections are in use after Stop", s.InUse)
	}
	if err := load(func() {}); err != errNotBegun {
		t.Errorf("a load after Stop: %v", err)
	}
	pool.Close()
	goleak.VerifyNone(t, before)
}

// TestLoadsLeaveTheApplicationItsConnections by what the pool may open, and what the application
// used of it lately.
func TestLoadsLeaveTheApplicationItsConnections(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		limit, used int
		want        int // connections for loads
	}{
		{"no limit", 0, 20, 2},
		{"no limit, nothing used", 0, 0, 2},
		{"one", 1, 0, 0},
		{"two", 2, 0, 1},
		{"two, one used", 2, 1, 0},
		{"four", 4, 0, 2},
		{"four, one used", 4, 1, 2},
		{"four, two used", 4, 2, 1},
		{"four, three used", 4, 3, 0},
		{"four, all used", 4, 4, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, pool, _, _ := setupConns(t)
			pool.SetMaxOpenConns(test.limit)
			var used []*sql.Conn
			for range test.used {
				conn, err := pool.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				used = append(used, conn)
			}
			if n := r.conns.look(pool); n != test.want {
				t.Errorf("%d connections are allowed, want %d", n, test.want)
			}
			for _, conn := range used {
				_ = conn.Close()
			}
			if n := r.conns.look(pool); n != test.want {
				t.Errorf("%d connections are allowed when the application is done, want %d as before", n, test.want)
			}
			want := roomNow
			switch {
			case test.want > 0:
			case test.limit > fewConns:
				want = NoRoom
			default:
				want = roomLater
			}
			if got := r.Room(); got != want {
				t.Errorf("room %d, want %d", got, want)
			}
			// What the application used is forgotten after a while.
			r.conns.mu.Lock()
			r.conns.peak.turned = time.Now().Add(-2 * peakSpan)
			r.conns.mu.Unlock()
			most := min(r.Concurrency, test.limit-1)
			if test.limit == 0 {
				most = r.Concurrency
			}
			if n := r.conns.look(pool); n != most {
				t.Errorf("%d connections are allowed after a while, want %d", n, most)
			}
		})
	}
}

// TestStatementsCountAsConnections that came through the gate.
func TestStatementsCountAsConnections(t *testing.T) {
	t.Parallel()
	r, pool, _, _ := setupConns(t)
	pool.SetMaxOpenConns(4)
	for range 3 {
		r.Gate.Enter(t.Context())
	}
	for range 3 {
		r.Gate.Leave()
	}
	if n := r.conns.look(pool); n != 0 {
		t.Errorf("%d connections are allowed, want none: three statements ran at a time", n)
	}
}

// TestAStarvingPoolGetsItsConnectionsBack has the application wait for a connection while loads
// keep one.
func TestAStarvingPoolGetsItsConnectionsBack(t *testing.T) {
	t.Parallel()
	r, pool, _, load := setupConns(t)
	pool.SetMaxOpenConns(3)
	if err := load(func() {}); err != nil {
		t.Fatal(err)
	}
	var got sync.WaitGroup
	conns := make(chan *sql.Conn, 3)
	for range 3 {
		got.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			conn, err := pool.Conn(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			conns <- conn
		})
	}
	got.Wait() // the third one gets what loads kept
	if r.Room() != NoRoom {
		t.Errorf("room %d for loads while the application uses all connections", r.Room())
	}
	if err := load(func() {}); err != errNotBegun {
		t.Errorf("a load was begun: %v", err)
	}
	close(conns)
	for conn := range conns {
		_ = conn.Close()
	}
}

// TestALoadThatFindsNoConnectionSaysSo has the application take them between the look and the load.
func TestALoadThatFindsNoConnectionSaysSo(t *testing.T) {
	t.Parallel()
	r, pool, c, _ := setupConns(t)
	pool.SetMaxOpenConns(2)
	place, ok := r.Acquire()
	if !ok {
		t.Fatal("no place")
	}
	var used []*sql.Conn
	for range 2 {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		used = append(used, conn)
	}
	ended := make(chan error, 1)
	begin := func(ctx context.Context) func() error {
		return func() error { _, err := ConnOf(ctx); return err }
	}
	if !place.Start(Job{Keys: []string{"key"}, Begin: begin, Done: func(e Ending) { ended <- e.Err }}) {
		t.Fatal("not begun")
	}
	if err := <-ended; !errors.Is(err, ErrNoConn) {
		t.Errorf("error %v, want %v", err, ErrNoConn)
	}
	r.Wait(0)
	for _, conn := range used {
		_ = conn.Close()
	}
	if c.opened.Load() != 2 {
		t.Errorf("%d connections were opened, want the application's two", c.opened.Load())
	}
}

// TestAConnectionThatDoesNotSuitIsGivenBack as one that died in the pool, and is asked for again.
func TestAConnectionThatDoesNotSuitIsGivenBack(t *testing.T) {
	t.Parallel()
	var bad atomic.Int64
	r, pool, _, load := setupConns(t, func(c *Config) {
		c.Suits = func(context.Context, *sql.Conn) error {
			if bad.Add(-1) >= 0 {
				return driver.ErrBadConn
			}
			return nil
		}
	})
	bad.Store(1)
	if err := load(func() {}); err != nil {
		t.Errorf("the second connection is good: %v", err)
	}
	r.conns.mu.Lock()
	r.conns.used = time.Time{}
	r.conns.mu.Unlock()
	r.conns.review()
	bad.Store(2)
	if err := load(func() {}); !errors.Is(err, driver.ErrBadConn) {
		t.Errorf("error %v, want that of the second connection", err)
	}
	if s := pool.Stats(); s.InUse != 0 || r.conns.taken != 0 {
		t.Errorf("%d connections are in use, %d taken, want none", s.InUse, r.conns.taken)
	}
}

// TestAConnectionOnWhichALoadFailedIsNotKept: it may be broken.
func TestAConnectionOnWhichALoadFailedIsNotKept(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"an error": func() error { return errors.New("broken") },
		"a panic":  func() error { panic("broken") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, pool, _, _ := setupConns(t)
			job := Job{
				Keys: []string{"key"},
				Begin: func(ctx context.Context) func() error {
					return func() error {
						if _, err := ConnOf(ctx); err != nil {
							t.Error(err)
						}
						return fail()
					}
				},
				Done: func(Ending) {},
			}
			if !r.Run(job) {
				t.Fatal("not begun")
			}
			r.Wait(0)
			if s := pool.Stats(); s.InUse != 0 {
				t.Errorf("%d connections are in use", s.InUse)
			}
		})
	}
}

// TestAFailingDatabaseIsLeftAloneForLonger each time, until a load is answered.
func TestAFailingDatabaseIsLeftAloneForLonger(t *testing.T) {
	t.Parallel()
	r, _, _, load := setupConns(t)
	var last time.Duration
	for i := range 8 {
		if first, second := r.Pause(), r.Pause(); first != (i == 0) || second { // another load failed at the same time
			t.Errorf("pause %d is the first one: %t, %t", i, first, second)
		}
		if r.Room() != NoRoom {
			t.Fatalf("pause %d: there is room", i)
		}
		if r.pause < last || r.pause > lastPause || r.pause == last && last < lastPause {
			t.Errorf("pause %d takes %v after %v", i, r.pause, last)
		}
		last = r.pause
		r.mu.Lock()
		r.resumes = time.Now()
		r.mu.Unlock()
	}
	if err := load(func() {}); err != nil || r.pause != 0 {
		t.Errorf("a load: %v, and the next pause follows one of %v", err, r.pause)
	}
}

// TestNoLoadBeginsThatWouldFindNoConnection: a reader would wait for it in vain.
func TestNoLoadBeginsThatWouldFindNoConnection(t *testing.T) {
	t.Parallel()
	r, pool, _, load := setupConns(t)
	pool.SetMaxOpenConns(3)
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = load(func() {
		if n := r.conns.look(pool); n != 1 {
			t.Errorf("%d connections are allowed, want one", n)
		}
		other := Job{Keys: []string{"other"}, Begin: func(context.Context) func() error { return func() error { return nil } }, Done: func(Ending) {}}
		if room, tried := r.Room(), r.TryRun(other); room != NoRoom || tried != Refused || r.Run(other) {
			t.Errorf("room %d for another load, tried: %d; want none, and the load refused", room, tried)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if room := r.Room(); room != roomNow {
		t.Errorf("room %d after the load", room)
	}
}
