package cluster

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// server is a Redis, and the address at which processes reach it.
type server struct {
	addr  string
	proxy *proxy // nil in front of that of the machine
	ask   func(t *testing.T, args ...any)
	again func(t *testing.T) // kills it, and starts it empty
}

// running returns the Redis of the machine, or else one of the test's own.
func running(t *testing.T) server {
	t.Helper()
	const addr = "127.0.0.1:6379"
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return started(t)
	}
	_ = conn.Close()
	return server{addr: addr}
}

// started starts the installed program on a free port, and a proxy in front of it.
func started(t *testing.T) server {
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
	client := goredis.NewClient(&goredis.Options{Addr: addr.String()})
	var run *exec.Cmd
	start := func(t *testing.T) {
		t.Helper()
		run = exec.Command(program, "--port", fmt.Sprint(addr.Port), "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--appendonly", "no")
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		patiently(t, "a Redis that answers", func() bool { return client.Ping(context.Background()).Err() == nil })
	}
	kill := func() { _ = run.Process.Kill(); _ = run.Wait() }
	start(t)
	p := listen(t, addr.String())
	t.Cleanup(func() { p.close(); _ = client.Close(); kill() })
	return server{
		addr: p.addr, proxy: p,
		ask: func(t *testing.T, args ...any) {
			t.Helper()
			if err := client.Do(context.Background(), args...).Err(); err != nil {
				t.Fatal(err)
			}
		},
		again: func(t *testing.T) { t.Helper(); kill(); start(t) },
	}
}

// fault is something that befalls Redis.
type fault struct {
	name   string
	untold bool // writes that have returned are told when it is over
	befall func(t *testing.T, b *bed, when string)
}

// gone is how long Redis is out of reach: with time, ten seconds.
func gone() time.Duration { return min(10*time.Second, max(*long/2, 2*bound)) }

// faults are all that befalls a Redis of the test's own.
func (s *server) faults() []fault {
	return []fault{
		{"emptied", false, func(t *testing.T, _ *bed, _ string) { s.ask(t, "FLUSHALL") }},
		{"killed and started empty", false, func(t *testing.T, _ *bed, _ string) { s.again(t) }},
		{"out of reach", true, func(t *testing.T, b *bed, when string) {
			s.proxy.cut(true)
			time.Sleep(gone())
			// All comes from the database by now, and goes on.
			b.more(t, "read", true, "while Redis is out of reach")
			switch when {
			case "fail":
				b.more(t, "refused", false, "while Redis is out of reach")
			default:
				b.more(t, "write", false, "while Redis is out of reach")
			}
			s.proxy.cut(false)
		}},
		{"slow", false, func(t *testing.T, b *bed, _ string) {
			s.proxy.delay(20 * time.Millisecond)
			b.more(t, "write", false, "while Redis is slow")
			time.Sleep(bound)
			s.proxy.delay(0)
		}},
		{"full", true, func(t *testing.T, b *bed, _ string) {
			s.ask(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
			s.ask(t, "CONFIG", "SET", "maxmemory", "1")
			time.Sleep(2 * bound)
			b.more(t, "read", true, "while the memory of Redis is full")
			s.ask(t, "CONFIG", "SET", "maxmemory", "0")
		}},
	}
}

// proxy is what processes reach Redis by.
type proxy struct {
	addr, to string
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	gone  bool
	wait  time.Duration
	conns map[net.Conn]bool
}

func listen(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), to: to, listener: l, conns: map[net.Conn]bool{}}
	p.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if up, err := net.Dial("tcp", to); err != nil || !p.add(conn, up) {
				_ = conn.Close()
			}
		}
	})
	return p
}

// add carries what two connections say to each other, unless there is to be nothing.
func (p *proxy) add(down, up net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		_ = up.Close()
		return false
	}
	p.conns[down], p.conns[up] = true, true
	p.running.Go(func() { p.carry(down, up) })
	p.running.Go(func() { p.carry(up, down) })
	return true
}

func (p *proxy) carry(to, from net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if wait := p.slow(); wait > 0 {
			time.Sleep(wait)
		}
		if n > 0 {
			if _, wrong := to.Write(buffer[:n]); err == nil {
				err = wrong
			}
		}
		if err != nil {
			_ = to.Close()
			_ = from.Close()
			p.mu.Lock()
			delete(p.conns, to)
			delete(p.conns, from)
			p.mu.Unlock()
			return
		}
	}
}

func (p *proxy) slow() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wait
}

func (p *proxy) delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait = d
}

// cut ends all connections, and has no other one made until it is called with false.
func (p *proxy) cut(gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = gone
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.cut(true)
	p.running.Wait()
}
