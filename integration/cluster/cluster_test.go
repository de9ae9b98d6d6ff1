// Package cluster tests several processes that use the plugin, one PostgreSQL and one Redis: what
// they read is checked against the real order of what they wrote, while some of them are stopped
// and killed.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	goredis "github.com/redis/go-redis/v9"
	"gorm.io/gorm"
)

var (
	long = flag.Duration("cluster.for", 4*time.Second, "how long the processes run")
	seed = flag.Uint64("cluster.seed", uint64(time.Now().UnixNano()), "draws the same faults again")
)

// TestNothingStaleInStrict: once a write has returned, or a read anywhere has shown it, no read
// that begins later, in any process, shows what was there before it; whatever befalls processes.
func TestNothingStaleInStrict(t *testing.T) {
	b := bed{kind: "strict", redis: running(t)}
	b.start(t)
	b.befall(t, *long, b.stopOrKill)
	b.right(t, 0)
}

// TestNothingStaleInStrictOverPostgreSQL: the same with no second service, while connections of the
// feed are cut, and what it keeps in the server is lost. Writes that cannot be told fail.
func TestNothingStaleInStrictOverPostgreSQL(t *testing.T) {
	for _, how := range []string{"", diesAnnounced, stopsLocked} {
		t.Run(cmp.Or(how, "faults"), func(t *testing.T) {
			b := bed{kind: strictOverPostgres, environment: []string{envSpoil + "=" + how}}
			b.start(t)
			if how == "" {
				b.serves(t, "at the start")
			}
			b.befall(t, *long, func(t *testing.T) {
				switch draw := b.faults.IntN(4); {
				case how != "":
					time.Sleep(bound / 4)
					b.revive(t)
				case draw == 0:
					b.told(t, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'preload strict'")
					b.serves(t, "after the connections were cut")
				case draw == 1:
					b.told(t, fmt.Sprintf("TRUNCATE %[1]q.strict_group, %[1]q.strict_seat, %[1]q.strict_beat, %[1]q.strict_write", b.name))
					b.serves(t, "after all was lost")
				default:
					b.stopOrKill(t)
				}
			})
			b.right(t, 0)
			if how == diesAnnounced && b.killed == 0 {
				t.Error("nobody died: the test tests nothing")
			}
		})
	}
}

// told has the server of the database do something.
func (b *bed) told(t *testing.T, sql string) {
	t.Helper()
	if err := b.plain.Exec(sql).Error; err != nil {
		t.Fatal(err)
	}
}

// TestNothingTooOldInBounded: no read shows what was there before a write that returned longer than
// the bound before the read began. The processes that write are left alone: the bound counts from
// when Redis was told.
func TestNothingTooOldInBounded(t *testing.T) {
	b := bed{kind: "bounded", redis: running(t), readers: 2}
	b.start(t)
	b.befall(t, *long, b.stopOrKill)
	b.right(t, bound+lateness)
}

// TestNothingTooOldByReplication: no read shows what was there before a write that returned longer
// than the bound before the read began, whoever wrote, one of the processes without the plugin; and
// whatever befalls processes, and the server.
func TestNothingTooOldByReplication(t *testing.T) {
	b := bed{kind: replication, server: logical(t), bare: 1}
	b.start(t)
	b.serves(t, "at the start")
	b.befall(t, *long, func(t *testing.T) {
		switch b.faults.IntN(6) {
		case 0:
			b.told(t, "SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots WHERE active")
			b.serves(t, "after the WAL senders were terminated")
		case 1:
			b.server.Stop()
			if err := b.server.Start(); err != nil {
				t.Fatal(err)
			}
			b.serves(t, "after the server was started anew")
		default:
			b.stopOrKill(t)
		}
	})
	b.right(t, bound)
}

// logical returns a PostgreSQL of the test's own.
func logical(t *testing.T) *dbtest.Server {
	t.Helper()
	s, err := dbtest.StartPostgres()
	if err != nil {
		t.Skipf("PostgreSQL: no server of the test's own: %v", err)
	}
	t.Cleanup(s.Remove)
	return s
}

// TestWritersThatDieOrStopInTheMiddle: a writer is killed between the announcement of a transaction
// and its commit, or is stopped while it has a row locked.
func TestWritersThatDieOrStopInTheMiddle(t *testing.T) {
	for _, how := range []string{diesAnnounced, stopsLocked} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b := bed{kind: "strict", redis: running(t), environment: []string{envSpoil + "=" + how}}
			b.start(t)
			// Where writes take long, few are made, and who writes may have been lucky.
			for end := time.Now().Add(time.Minute); ; {
				b.befall(t, *long/2, func(*testing.T) {
					time.Sleep(bound / 4)
					b.revive(t)
				})
				if how != diesAnnounced || b.killed > 0 || time.Now().After(end) {
					break
				}
			}
			b.right(t, 0)
			if how == diesAnnounced && b.killed == 0 {
				t.Error("nobody died: the test tests nothing")
			}
		})
	}
}

// TestRedisItselfFails: whatever befalls Redis, nothing is staler than the feed allows; reads go on
// from the database, writes as the option says; and all processes serve again when it is back.
func TestRedisItselfFails(t *testing.T) {
	// Where writes go on that others cannot be told of, it counts from when Redis is back.
	back := gone() + 4*bound
	for _, c := range []struct {
		name, kind, when string
		untold           bool
		allowed          time.Duration
	}{
		{"strict that fails", "strict", "fail", true, 0},
		{"strict that commits", "strict", "commit", true, back},
		{"strict that commits, and is told", "strict", "commit", false, 0},
		{"bounded", "bounded", "", true, back},
		{"bounded that is told", "bounded", "", false, bound + lateness},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := started(t)
			b := bed{kind: c.kind, redis: s, environment: []string{envWhen + "=" + c.when}}
			b.start(t)
			b.serves(t, "at the start")
			for end := time.Now().Add(*long); ; {
				for _, f := range s.faults() {
					if f.untold && !c.untold {
						continue
					}
					f.befall(t, &b, c.when)
					b.serves(t, "after it was "+f.name)
				}
				if !time.Now().Before(end) {
					break
				}
			}
			b.right(t, c.allowed)
		})
	}
}

// TestTheJudgeFails: what is wrong with a feed shows.
func TestTheJudgeFails(t *testing.T) {
	for _, c := range []struct{ name, kind, spoil string }{
		{"bounded, judged as strict", "bounded", ""}, {tellsLate, "strict", tellsLate}, {needsNoLease, "strict", needsNoLease},
		{tellsLate + ", over PostgreSQL", strictOverPostgres, tellsLate}, {needsNoLease + ", by replication", replication, needsNoLease},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// On a machine that is busy little is read while it would show.
			for range 5 {
				if len(misjudged(t, c.kind, c.spoil)) > 0 {
					return
				}
			}
			t.Error("all is right: the judge sees nothing")
		})
	}
}

// misjudged returns what the judge sees of processes whose feed is spoiled.
func misjudged(t *testing.T, kind, spoil string) []string {
	t.Helper()
	b := bed{kind: kind, environment: []string{envWhen + "=commit", envSpoil + "=" + spoil}}
	var s server
	allowed := time.Duration(0)
	if kind == replication {
		b.server, allowed = logical(t), bound
	} else {
		s = started(t)
		b.redis = s
	}
	b.start(t)
	b.serves(t, "at the start")
	for i := range b.alive {
		if kind == replication {
			_ = b.alive[i].Process.Signal(syscall.SIGSTOP)
			time.Sleep(bound * 3 / 2)
			_ = b.alive[i].Process.Signal(syscall.SIGCONT)
		}
	}
	if kind == "bounded" {
		s.proxy.delay(bound / 50)
	}
	time.Sleep(bound / 2)
	b.more(t, "write", false, "with what is wrong")
	if spoil == needsNoLease && s.proxy != nil {
		s.proxy.cut(true)
		time.Sleep(bound * 5 / 2)
		s.proxy.cut(false)
	}
	return b.judge(t, allowed)
}

// lateness is how late Redis is told on a busy machine.
const lateness = 500 * time.Millisecond

// process is one that the test has started.
type process struct {
	*exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
	err  error         // with which it has

	looked int64            // how far the log was looked at
	lines  map[string]int64 // in that, by kind; of hits the last figure
}

// look looks at what has come to the log.
func (p *process) look(t *testing.T) map[string]int64 {
	t.Helper()
	file, err := os.Open(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(p.looked, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	if p.lines == nil {
		p.lines = map[string]int64{}
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		p.looked += int64(len(line))
		parts := strings.Fields(line)
		if p.lines[parts[0]]++; parts[0] == "hits" {
			p.lines["hits"], _ = strconv.ParseInt(parts[2], 10, 64)
		}
	}
	return p.lines
}

// bed is a few processes on one database.
type bed struct {
	kind        string
	redis       server
	readers     int // so many of the processes only read, and they alone are stopped and killed
	bare        int // so many of the processes have no plugin
	environment []string

	server          *dbtest.Server // nil where it is the one of the machine
	dsn, name       string
	plain           *gorm.DB
	alive           []*process
	logs            []string
	faults          *rand.Rand
	stopped, killed int
}

const processes = 4

func (b *bed) start(t *testing.T) {
	t.Helper()
	d := b.database(t)
	plain := d.Plain(t)
	if err := plain.AutoMigrate(&counter{}); err != nil {
		t.Fatal(err)
	}
	for place := range processes {
		if b.server != nil {
			if err := plain.Exec("CREATE ROLE " + role(place) + " SUPERUSER LOGIN").Error; err != nil {
				t.Fatal(err)
			}
		}
	}
	for id := range counters {
		if err := plain.Create(&counter{ID: id + 1}).Error; err != nil {
			t.Fatal(err)
		}
	}
	b.plain, b.dsn, b.name = plain, d.DSN(), fmt.Sprint("preload-test-", os.Getpid(), "-", names.Add(1))
	b.faults = rand.New(rand.NewPCG(*seed, 1))
	for i := range processes {
		b.alive = append(b.alive, b.run(t, i))
	}
	t.Cleanup(func() {
		for _, p := range b.alive {
			_ = p.end(syscall.SIGKILL)
		}
		switch b.kind {
		case strictOverPostgres:
			b.told(t, fmt.Sprintf("DROP SCHEMA IF EXISTS %q CASCADE", b.name))
			return
		case replication:
			return
		}
		client := goredis.NewClient(&goredis.Options{Addr: b.redis.addr})
		defer func() { _ = client.Close() }()
		ctx := context.Background()
		for keys := client.Scan(ctx, 0, "{"+b.name+"/*", 1000).Iterator(); keys.Next(ctx); {
			client.Del(ctx, keys.Val())
		}
	})
	for _, p := range b.alive {
		p.works(t)
	}
}

func (b *bed) database(t *testing.T) *dbtest.Database {
	t.Helper()
	if b.server != nil {
		return dbtest.PostgresAt(t, b.server.DSN("postgres"))
	}
	return dbtest.Postgres(t)
}

var names atomic.Int64

// run starts a process in the place of another one.
func (b *bed) run(t *testing.T, place int) *process {
	t.Helper()
	dsn := b.dsn
	if b.server != nil {
		dsn = strings.Replace(dsn, "postgres@", role(place)+"@", 1)
	}
	p := &process{Cmd: exec.Command(os.Args[0]), log: filepath.Join(t.TempDir(), fmt.Sprint("process", len(b.logs))), done: make(chan struct{})}
	p.Env = append(os.Environ(), envKind+"="+b.kind, envDSN+"="+dsn, envRedis+"="+b.redis.addr, envName+"="+b.name, envLog+"="+p.log)
	if p.Env = append(p.Env, b.environment...); b.readsOnly(place) {
		p.Env = append(p.Env, envReads+"=yes")
	}
	if place < b.bare {
		p.Env = append(p.Env, envBare+"=yes")
	}
	p.Stderr = os.Stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.Wait(); close(p.done) }()
	b.logs = append(b.logs, p.log)
	return p
}

// role is that of a process, on a server of the test's own: so the server tells processes apart.
func role(place int) string { return fmt.Sprint("process", place) }

func (b *bed) readsOnly(place int) bool { return place >= processes-b.readers }

// works waits until a process has read something.
func (p *process) works(t *testing.T) {
	t.Helper()
	patiently(t, "a process that does something", func() bool {
		info, err := os.Stat(p.log)
		return err == nil && info.Size() > 0
	})
}

// patiently waits until something is so.
func patiently(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// end ends a process, and waits for it. One that has stopped itself since is woken again.
func (p *process) end(how syscall.Signal) error {
	_ = p.Process.Signal(how)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for range 600 {
		_ = p.Process.Signal(syscall.SIGCONT)
		select {
		case <-p.done:
			return p.err
		case <-again.C:
		}
	}
	_ = p.Process.Kill()
	<-p.done
	return errors.Join(errors.New("it did not end within a minute"), p.err)
}

// befall has something befall the processes, again and again.
func (b *bed) befall(t *testing.T, long time.Duration, do func(*testing.T)) {
	t.Helper()
	for until := time.Now().Add(long); time.Now().Before(until); {
		do(t)
	}
}

// stopOrKill stops or kills one of the processes.
func (b *bed) stopOrKill(t *testing.T) {
	t.Helper()
	time.Sleep(time.Duration(100+b.faults.IntN(300)) * time.Millisecond)
	i := b.faults.IntN(processes)
	if b.readers > 0 && !b.readsOnly(i) {
		return
	}
	switch b.faults.IntN(4) {
	case 0:
		_ = b.alive[i].end(syscall.SIGKILL)
		b.killed++
		b.alive[i] = b.run(t, i)
		b.alive[i].works(t)
	default:
		_ = b.alive[i].Process.Signal(syscall.SIGSTOP)
		b.stopped++
		time.Sleep([]time.Duration{bound / 20, bound / 2, bound * 3 / 2}[b.faults.IntN(3)])
		_ = b.alive[i].Process.Signal(syscall.SIGCONT)
	}
}

// revive wakes all processes, and starts others for those that have died.
func (b *bed) revive(t *testing.T) {
	t.Helper()
	for i, p := range b.alive {
		select {
		case <-p.done:
			b.killed++
			b.alive[i] = b.run(t, i)
		default:
			_ = p.Process.Signal(syscall.SIGCONT)
		}
	}
}

// count returns the last figure of a kind in the log of each process, or how many lines there are.
func (b *bed) count(t *testing.T, kind string) (all []int64) {
	t.Helper()
	for _, p := range b.alive {
		all = append(all, p.look(t)[kind])
	}
	return all
}

// more waits until all processes have done more of something, or one of them has.
func (b *bed) more(t *testing.T, kind string, all bool, when string) {
	t.Helper()
	before := b.count(t, kind)
	patiently(t, fmt.Sprintf("more %s of the processes, %s", kind, when), func() bool {
		grown := 0
		for i, n := range b.count(t, kind) {
			if n > before[i] || kind == "hits" && i < b.bare {
				grown++
			}
		}
		time.Sleep(20 * time.Millisecond)
		return grown == processes || grown > 0 && !all
	})
}

// serves waits until all processes serve from memory, and one of them writes.
func (b *bed) serves(t *testing.T, when string) {
	t.Helper()
	begun := time.Now()
	b.more(t, "hits", true, when)
	b.more(t, "write", false, when)
	t.Logf("%s: all serve from memory after %v", when, time.Since(begun).Round(time.Millisecond))
}

// right ends all processes, and checks what they have read.
func (b *bed) right(t *testing.T, allowed time.Duration) {
	t.Helper()
	for i, wrong := range b.judge(t, allowed) {
		if t.Error(wrong); i == 10 {
			break
		}
	}
	t.Logf("seed %d: %d stopped, %d killed", *seed, b.stopped, b.killed)
}

// judge ends all processes, and returns what was wrong in what they have read.
func (b *bed) judge(t *testing.T, allowed time.Duration) (wrong []string) {
	t.Helper()
	// All at once: one may wait for a row that another one has locked, which has stopped itself.
	var ending sync.WaitGroup
	for _, p := range b.alive {
		ending.Go(func() {
			var exit *exec.ExitError
			if err := p.end(syscall.SIGTERM); err != nil && !(errors.As(err, &exit) && b.mayDie()) {
				t.Errorf("a process: %v", err)
			}
		})
	}
	ending.Wait()
	var all []event
	for i, path := range b.logs {
		if _, err := os.Stat(path); err == nil { // one that was killed at once has none
			all = append(all, events(t, path, i)...)
		}
	}
	return check(t, all, allowed)
}

// mayDie reports whether processes kill themselves.
func (b *bed) mayDie() bool { return slices.Contains(b.environment, envSpoil+"="+diesAnnounced) }

// check looks at all reads in the order in which they began, with what was known by then.
func check(t *testing.T, all []event, allowed time.Duration) (wrong []string) {
	t.Helper()
	known := slices.Clone(all)
	slices.SortFunc(known, func(a, b event) int { return cmp.Compare(a.ended, b.ended) })
	slices.SortFunc(all, func(a, b event) int { return cmp.Compare(a.begun, b.begun) })
	var newest [counters + 1]event
	var reads, writes, refused, misses int64
	hits := map[int]int64{}
	next := 0
	for _, e := range all {
		for ; next < len(known) && known[next].ended < e.begun-int64(allowed); next++ {
			k := known[next]
			// What somebody has read counts in strict only: elsewhere a reader may be ahead of
			// others.
			if counts := k.kind == "write" || k.kind == "read" && allowed == 0; counts && k.version > newest[k.id].version {
				newest[k.id] = k
			}
		}
		switch e.kind {
		case "hits":
			hits[e.process] = max(hits[e.process], e.version)
		case "misses":
			misses += e.version
		case "write":
			writes++
		case "refused":
			refused++
		case "read":
			reads++
			if than := newest[e.id]; e.version < than.version {
				wrong = append(wrong, fmt.Sprintf("process %d read version %d of row %d, %v after process %d had ended its %s of version %d",
					e.process, e.version, e.id, time.Duration(e.begun-than.ended), than.process, than.kind, than.version))
			}
		}
	}
	served := int64(0)
	for _, n := range hits {
		served += n
	}
	t.Logf("%d writes, %d refused, %d reads, %d from memory; of those that were alive in the end %d from the database; %d wrong", writes, refused, reads, served, misses, len(wrong))
	if writes == 0 || served == 0 {
		t.Error("nothing was written, or read from memory: the test tests nothing")
	}
	return wrong
}
