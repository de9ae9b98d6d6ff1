package runner

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"
)

// statements are so many statements of an application at a time, each of which has a connection,
// after which all of these are idle at once.
func statements(t *testing.T, r *Runner, pool *sql.DB, n int) {
	t.Helper()
	conns := make([]*sql.Conn, n)
	for i := range conns {
		r.Gate.Enter(t.Context())
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	for _, conn := range conns {
		_ = conn.Close()
		r.Gate.Leave()
	}
}

// TestAPoolKeepsAsManyIdleConnectionsAsAreUsed where the application left database/sql's default,
// and only there; and no longer than they are used.
func TestAPoolKeepsAsManyIdleConnectionsAsAreUsed(t *testing.T) {
	t.Parallel()
	const most = 10
	set := func(n int) func(*sql.DB) { return func(pool *sql.DB) { pool.SetMaxIdleConns(n) } }
	for name, test := range map[string]struct {
		most  int
		set   func(*sql.DB)
		used  int
		want  int // that are idle after it
		later int // and when for a while one is used
	}{
		"the default":                       {most, func(*sql.DB) {}, 6, 6, usualIdle},
		"more are used than are to be kept": {most, func(*sql.DB) {}, 14, most, usualIdle},
		"two, as by default":                {most, set(2), 6, 6, usualIdle},
		"no more than two are used":         {most, func(*sql.DB) {}, 2, 2, 2},
		"a limit":                           {most, func(pool *sql.DB) { pool.SetMaxOpenConns(4) }, 4, 4, usualIdle},
		"none are to be kept":               {0, func(*sql.DB) {}, 6, usualIdle, usualIdle},
		"none":                              {most, set(-1), 6, 0, 0},
		"one":                               {most, set(1), 6, 1, 1},
		"three":                             {most, set(3), 6, 3, 3},
		"more than are kept":                {most, set(12), 14, 12, 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := 0
			r, pool, _, _ := setupConns(t, func(c *Config) {
				c.MaxIdle = test.most
				c.Report = func(slog.Level, string, string, ...any) { told++ }
			})
			test.set(pool)
			for range 4 * keeperProof * keeperLooks {
				statements(t, r, pool, test.used)
			}
			if n := pool.Stats().Idle; n != test.want {
				t.Errorf("%d connections are idle, want %d", n, test.want)
			}
			if raised := test.later != test.want; raised != (told == 1) {
				t.Errorf("it was said %d times that the pool keeps more; it does: %t", told, raised)
			}
			closed := pool.Stats().MaxIdleClosed
			statements(t, r, pool, test.used)
			if n := pool.Stats().MaxIdleClosed - closed; n != int64(test.used-test.want) {
				t.Errorf("%d connections were closed, want %d", n, test.used-test.want)
			}
			statements(t, r, pool, 1)
			r.keeper.reviewAt(time.Now().Add(peakSpan))
			r.keeper.reviewAt(time.Now().Add(2 * peakSpan))
			if n := pool.Stats().Idle; n != test.later {
				t.Errorf("%d connections are idle when one is used, want %d", n, test.later)
			}
		})
	}
}

// TestAPoolIsNotLetChurnForLong: as soon as it was seen to have closed a connection, each statement
// looks, and a few closings are enough.
func TestAPoolIsNotLetChurnForLong(t *testing.T) {
	t.Parallel()
	r, pool, _, _ := setupConns(t, func(c *Config) { c.MaxIdle = 10 })
	for left := 100 * keeperLooks; !r.keeper.watch.Load(); left-- {
		if left == 0 {
			t.Fatal("no look has found that connections are closed")
		}
		statements(t, r, pool, 6)
	}
	for range keeperProof {
		statements(t, r, pool, 6)
	}
	if n := pool.Stats().Idle; n != 6 {
		t.Errorf("%d connections are idle after %d bursts that closed some, want 6", n, keeperProof)
	}
	if r.keeper.watch.Load() {
		t.Error("it looks before each statement although nothing is to be found out")
	}
}

// TestAPoolThatClosesNoMoreIsLookedAtSeldomAgain: a burst at the start is not paid for for ever.
func TestAPoolThatClosesNoMoreIsLookedAtSeldomAgain(t *testing.T) {
	t.Parallel()
	r, pool, _, _ := setupConns(t, func(c *Config) { c.MaxIdle = 10 })
	for left := 100 * keeperLooks; !r.keeper.watch.Load(); left-- {
		if left == 0 {
			t.Fatal("no look has found that connections are closed")
		}
		statements(t, r, pool, 3)
	}
	for range keeperRest + 1 {
		statements(t, r, pool, 1)
	}
	if r.keeper.watch.Load() {
		t.Error("it looks before each statement although nothing is closed")
	}
}

// TestWhatTheApplicationSetsLaterStays when it has more kept than the keeper did.
func TestWhatTheApplicationSetsLaterStays(t *testing.T) {
	t.Parallel()
	r, pool, _, _ := setupConns(t, func(c *Config) { c.MaxIdle = 10 })
	for range 4 * keeperProof * keeperLooks {
		statements(t, r, pool, 4)
	}
	if n := pool.Stats().Idle; n != 4 {
		t.Fatalf("%d connections are idle, want 4", n)
	}
	pool.SetMaxIdleConns(8)
	for range 4 * keeperProof * keeperLooks {
		statements(t, r, pool, 9)
	}
	r.keeper.reviewAt(time.Now().Add(3 * peakSpan))
	if n := pool.Stats().Idle; n != 8 {
		t.Errorf("%d connections are idle, want the application's 8", n)
	}
	_ = r.Stop()
	if n := pool.Stats().Idle; n != 8 {
		t.Errorf("%d connections are idle after the end, want the application's 8", n)
	}
}

// TestTheEndLeavesThePoolAsItWas, and nothing is done to it after that.
func TestTheEndLeavesThePoolAsItWas(t *testing.T) {
	t.Parallel()
	r, pool, _, _ := setupConns(t, func(c *Config) { c.MaxIdle = 10 })
	for range 4 * keeperProof * keeperLooks {
		statements(t, r, pool, 6)
	}
	_ = r.Stop()
	for range 2 {
		if n := pool.Stats().Idle; n != usualIdle {
			t.Errorf("%d connections are idle, want %d", n, usualIdle)
		}
		for range keeperLooks {
			statements(t, r, pool, 6)
		}
	}
}

// TestAKeeperHoldsNobodyUp: a statement does not wait for another one's look at the pool.
func TestAKeeperHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	r, pool, _, _ := setupConns(t, func(c *Config) { c.MaxIdle = 10 })
	r.keeper.mu.Lock()
	defer func() {
		r.keeper.mu.Unlock()
		_ = r.Stop()
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 2 * keeperLooks {
			r.Gate.Enter(context.Background())
			r.Gate.Leave()
		}
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("a statement waits for the keeper")
	}
	if pool.Stats().OpenConnections > 0 {
		t.Error("a look opens a connection")
	}
}
