//go:build unix

package cluster

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestNothingTooOldThroughARelay: one process reads the server's log for all, and is stopped and
// killed like the others, as connections of the server are cut and Redis loses what it has: no read
// shows what was there before a write that was committed longer than the bound before.
func TestNothingTooOldThroughARelay(t *testing.T) {
	s := started(t)
	b := bed{kind: throughRelay, redis: s, server: logical(t)}
	b.start(t)
	b.serves(t, "at the start")
	if n := b.ask(t, "SELECT count(*) FROM pg_replication_slots"); n != 1 {
		t.Errorf("%d slots of %d processes", n, processes)
	}
	cut := func(what string) func() {
		return func() {
			b.told(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'preload' AND backend_type = '"+what+"'")
		}
	}
	for _, c := range []struct {
		name   string
		befall func()
	}{
		{"the leader is killed", func() {
			at := b.leader(t)
			_ = b.alive[at].end(syscall.SIGKILL)
			b.killed++
			b.alive[at] = b.run(t, at)
			b.alive[at].works(t)
		}},
		{"the leader is stopped until it has lost its place", func() {
			at := b.leader(t)
			_ = b.alive[at].Process.Signal(syscall.SIGSTOP)
			b.stopped++
			before := b.ask(t, leaders)
			patiently(t, "another leader", func() bool { n := b.ask(t, leaders); return n != before && n != 0 })
			time.Sleep(bound)
			_ = b.alive[at].Process.Signal(syscall.SIGCONT)
		}},
		{"the lock is lost", cut("client backend")},
		{"the stream is cut", cut("walsender")},
		{"Redis is emptied", func() { s.ask(t, "FLUSHALL") }},
		{"Redis is killed, and started empty", func() { s.again(t) }},
		{"somebody writes nonsense", func() {
			for _, stream := range []string{"told", "asked"} {
				s.ask(t, "XADD", fmt.Sprintf("{%s/postgres/postgres/preload/%s}", b.name, stream), "*", "e", "nonsense")
			}
		}},
		{"the stream is trimmed", func() {
			s.ask(t, "XINFO", "STREAM", fmt.Sprintf("{%s/postgres/postgres/preload/told}", b.name)) // it is there
			s.ask(t, "XTRIM", fmt.Sprintf("{%s/postgres/postgres/preload/told}", b.name), "MAXLEN", "0")
		}},
	} {
		c.befall()
		b.serves(t, "after "+c.name)
	}
	b.befall(t, *long, b.stopOrKill)
	b.right(t, bound)
}

// leaders asks which connection has the lock.
const leaders = "SELECT coalesce(min(pid), 0) FROM pg_locks WHERE locktype = 'advisory'"

// leader returns the place of the process that reads the server's log.
func (b *bed) leader(t *testing.T) int {
	t.Helper()
	at := int64(0)
	patiently(t, "a leader", func() bool {
		at = b.ask(t, "SELECT coalesce(min(right(usename, 1)::int + 1), 0) FROM pg_stat_activity WHERE pid = ("+leaders+")")
		return at > 0
	})
	return int(at - 1)
}

// ask asks the database for a number.
func (b *bed) ask(t *testing.T, sql string) (n int64) {
	t.Helper()
	if err := b.plain.Raw(sql).Scan(&n).Error; err != nil {
		t.Fatal(err)
	}
	return n
}
