package redis

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
)

// server is a Redis of a test's own: one in memory, or the installed program.
type server struct {
	addr           string
	restart, empty func() // nil where there is none
}

// each runs a test with a Redis in memory, with the one of the machine, and with one that the test
// starts. Those that are not there are skipped by name.
func each(t *testing.T, test func(t *testing.T, s server)) {
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		m := miniredis.RunT(t)
		test(t, server{addr: m.Addr(), empty: m.FlushAll})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, server{addr: running(t)})
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		test(t, started(t))
	})
}

// running returns the address of the Redis of the machine.
func running(t testing.TB) string {
	const addr = "127.0.0.1:6379"
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		t.Skipf("Redis: none answers on %s", addr)
	}
	_ = conn.Close()
	return addr
}

// started starts the installed program on a free port.
func started(t testing.TB) server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("Redis: redis-server is not installed")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().(*net.TCPAddr)
	_ = free.Close()
	dir := t.TempDir()
	var run *exec.Cmd
	start := func() {
		run = exec.Command(program, "--port", fmt.Sprint(addr.Port), "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes", "--appendfsync", "always", "--save", "")
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		client := goredis.NewClient(&goredis.Options{Addr: addr.String()})
		defer func() { _ = client.Close() }()
		for end := time.Now().Add(30 * time.Second); client.Ping(context.Background()).Err() != nil; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("redis-server does not answer")
			}
		}
	}
	kill := func() {
		_ = run.Process.Kill()
		_ = run.Wait()
	}
	start()
	t.Cleanup(func() { kill() })
	return server{
		addr:    addr.String(),
		restart: func() { kill(); start() },
		empty: func() {
			client := goredis.NewClient(&goredis.Options{Addr: addr.String()})
			defer func() { _ = client.Close() }()
			if err := client.FlushAll(context.Background()).Err(); err != nil {
				t.Fatal(err)
			}
		},
	}
}

var names atomic.Int64

// name returns a name that no other test has, and removes what is under it in the end.
func name(t testing.TB, client goredis.UniversalClient) string {
	name := fmt.Sprintf("preload-test-%d-%d", time.Now().UnixNano(), names.Add(1))
	t.Cleanup(func() {
		ctx := context.Background()
		for keys := client.Scan(ctx, 0, "{"+name+"/*", 1000).Iterator(); keys.Next(ctx); {
			client.Del(ctx, keys.Val())
		}
	})
	return name
}

func (s server) client(t testing.TB) goredis.UniversalClient {
	client := goredis.NewClient(&goredis.Options{Addr: s.addr, DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// alone returns the server for a test of one database, which may stop and empty it: it is that
// test's own, unless it is the one of the machine.
func (s server) alone(t testing.TB) server {
	switch {
	case s.restart != nil:
		return started(t)
	case s.empty != nil:
		m := miniredis.RunT(t)
		return server{addr: m.Addr(), empty: m.FlushAll}
	}
	return s
}
