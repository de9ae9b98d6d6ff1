//go:build unix

package postgres

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// named makes a database of a name that another server has, too.
func (s *server) named(t *testing.T, name string) *bed {
	t.Helper()
	b := &bed{server: s, t: t, name: name}
	b.exec(b.connect("postgres"), "CREATE DATABASE "+name)
	b.d = dbtest.PostgresAt(t, s.DSN(name))
	b.psql = b.connect(name)
	worldtest.Must(t, b.psql.QueryRow(context.Background(), "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'preload%'").Scan(&b.schema))
	b.exec(b.psql, "SET search_path = "+b.schema)
	return b
}

// TestServersOfOneRelay: two servers have a database of the same name, and their processes one
// relay. Where one server can tell nothing, its processes are not served by what the other one
// tells.
func TestServersOfOneRelay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		wait bool // the second one waits for a transaction
		want bool // its process serves
	}{{"both tell", false, true}, {"one waits", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			one := common(t).bed(t)
			two := alone(t).named(t, one.name)
			plain1, plain2, relay := one.items(), two.items(), newMemory()
			if c.wait {
				two.exec(two.connect(two.name), "BEGIN; SELECT pg_current_xact_id()")
			}
			p1 := one.open(plain1, Through(relay))
			p1.serving(t, items)
			p2 := two.open(plain2, Through(relay))
			if c.want {
				p2.serving(t, items)
			}
			two.write("UPDATE items SET name = 'changed' WHERE id = 1")
			written := time.Now()
			for n := 0; n < 50 || time.Since(written) < 2*quick; n++ {
				begun := time.Now()
				diff := items.Ask(plain2).Differs(items.Ask(p2.DB))
				if age := begun.Sub(written); diff != "" && age > quick {
					t.Fatalf("%v: %s", age, diff)
				}
				if !c.want && p2.served(items) {
					t.Fatal("served by what another server tells")
				}
			}
			if c.want {
				p2.serving(t, items)
				p2.right(t, "in the end", items)
			}
			p1.serving(t, items)
			p1.right(t, "in the end", items)
		})
	}
}

// TestAStandbyIsNotServed though its primary's processes tell.
func TestAStandbyIsNotServed(t *testing.T) {
	t.Parallel()
	one := common(t).bed(t)
	s := alone(t)
	two := s.named(t, one.name)
	plain1, plain2, relay := one.items(), two.items(), newMemory()
	var dir string
	worldtest.Must(t, two.psql.QueryRow(t.Context(), "SHOW data_directory").Scan(&dir))
	p := one.open(plain1, Through(relay))
	p.serving(t, items)
	var log journal
	other := two.open(plain2, Through(relay), log.logger())
	other.serving(t, items)
	s.Stop()
	worldtest.Must(t, os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o644))
	worldtest.Must(t, s.Start())
	until(t, "a word of the standby", func() bool { return strings.Contains(log.String(), "is a standby") })
	if other.served(items) {
		t.Error("served")
	}
}

// TestAServerThatIsStartedAnew is another one, which all processes find out.
func TestAServerThatIsStartedAnew(t *testing.T) {
	t.Parallel()
	s := alone(t)
	b := s.bed(t)
	plain := b.items()
	all := b.through(plain, 3, newMemory())
	for _, p := range all {
		p.serving(t, items)
	}
	s.Stop()
	worldtest.Must(t, s.Start())
	until(t, "a plain handle that has connected anew", func() bool { return plain.Exec("SELECT 1").Error == nil })
	b.psql = b.connect(b.name)
	b.write("UPDATE " + b.schema + ".items SET name = 'after it' WHERE id = 1")
	for _, p := range all {
		p.serving(t, items)
		p.caughtUp(t)
		p.right(t, "after the server was started anew", items)
	}
	if n := b.slots(); n != 1 {
		t.Errorf("%d slots", n)
	}
}

// TestAProcessThatIsLedToAnotherServer while what tells of the first one goes on: it finds out, and
// serves what the other one has.
func TestAProcessThatIsLedToAnotherServer(t *testing.T) {
	t.Parallel()
	one := common(t).bed(t)
	two := alone(t).named(t, one.name)
	plain1, plain2, relay := one.items(), two.items(), newMemory()
	p1 := one.open(plain1, Through(relay))
	p1.serving(t, items)
	var to atomic.Pointer[string]
	hosts := [2]string{host(one), host(two)}
	to.Store(&hosts[0])
	dsn := strings.Replace(two.DSN(two.name), hosts[1], forward(t, &to), 1)
	feed := New(dsn, WithBound(quick), WithLogger(worldtest.Quiet()), Through(relay), func(c *config) { c.again = quick })
	p2 := &process{worldtest.Open(t, two.d.Again(), plain2, nil, preload.WithFeed(feed)), feed, feed}
	p2.serving(t, items)
	first := p2.place().server
	to.Store(&hosts[1])
	until(t, "another server", func() bool { at := p2.place(); return at != nil && at.server != first })
	two.write("UPDATE items SET name = 'changed' WHERE id = 1")
	p2.serving(t, items)
	p2.caughtUp(t)
	p2.right(t, "a write on the server to which it was led", items)
	if !p1.leads() || !p2.leads() {
		t.Error("there is no leader for each server")
	}
}

// host returns where the server of a bed listens.
func host(b *bed) string {
	_, rest, _ := strings.Cut(b.DSN(b.name), "@")
	at, _, _ := strings.Cut(rest, "/")
	return at
}

// forward returns an address from which connections lead elsewhere.
func forward(t *testing.T, to *atomic.Pointer[string]) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	worldtest.Must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", *to.Load())
			if err != nil {
				_ = from.Close()
				continue
			}
			pass := func(a, b net.Conn) { _, _ = io.Copy(a, b); _, _ = a.Close(), b.Close() }
			go pass(from, server)
			go pass(server, from)
		}
	}()
	return listener.Addr().String()
}
