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
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	goredis "github.com/redis/go-redis/v9"
)

var (
	long = flag.Duration("cluster.for", 4*time.Second, "how long the processes run")
	seed = flag.Uint64("cluster.seed", uint64(time.Now().UnixNano()), "draws the same faults again")
)

const redisAddr = "127.0.0.1:6379"

// TestNothingStaleInStrict: once a write has returned, or a read anywhere has shown it, no read
// that begins later, in any process, shows what was there before it.
func TestNothingStaleInStrict(t *testing.T) {
	run(t, "strict", func(int) bool { return false }, 0)
}

// TestNothingTooOldInBounded: no read shows what was there before a write that returned longer than
// the bound before the read began. The processes that write are left alone: the bound counts from
// when Redis was told.
func TestNothingTooOldInBounded(t *testing.T) {
	// How late Redis is told on a busy machine.
	const late = 500 * time.Millisecond
	run(t, "bounded", func(process int) bool { return process >= 2 }, bound+late)
}

// process is one that the test has started.
type process struct {
	*exec.Cmd
	log string
}

func start(t *testing.T, number int, environment ...string) *process {
	t.Helper()
	p := &process{exec.Command(os.Args[0]), filepath.Join(t.TempDir(), fmt.Sprint("process", number))}
	p.Env = append(os.Environ(), append(environment, envLog+"="+p.log)...)
	p.Stderr = os.Stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// works waits until a process has read something.
func (p *process) works(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if info, err := os.Stat(p.log); err == nil && info.Size() > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a process does nothing")
		}
	}
}

// end ends a process, and waits for it.
func (p *process) end(how syscall.Signal) error {
	_ = p.Process.Signal(how)
	return p.Wait()
}

func run(t *testing.T, kind string, readsOnly func(process int) bool, allowed time.Duration) {
	conn, err := net.DialTimeout("tcp", redisAddr, time.Second)
	if err != nil {
		t.Skipf("Redis: none answers on %s", redisAddr)
	}
	_ = conn.Close()
	d := dbtest.Postgres(t)
	plain := d.Plain(t)
	if err := plain.AutoMigrate(&counter{}); err != nil {
		t.Fatal(err)
	}
	for id := range counters {
		if err := plain.Create(&counter{ID: id + 1}).Error; err != nil {
			t.Fatal(err)
		}
	}
	name := "preload-test-" + fmt.Sprint(os.Getpid(), "-", kind)
	environment := func(number int) []string {
		all := []string{envKind + "=" + kind, envDSN + "=" + d.DSN(), envRedis + "=" + redisAddr, envName + "=" + name}
		if readsOnly(number) {
			all = append(all, envReads+"=yes")
		}
		return all
	}
	var logs []string
	alive := make([]*process, 4)
	for i := range alive {
		alive[i] = start(t, i, environment(i)...)
		logs = append(logs, alive[i].log)
	}
	t.Cleanup(func() {
		for _, p := range alive {
			if p.ProcessState == nil {
				_ = p.end(syscall.SIGKILL)
			}
		}
		client := goredis.NewClient(&goredis.Options{Addr: redisAddr})
		defer func() { _ = client.Close() }()
		ctx := context.Background()
		for keys := client.Scan(ctx, 0, "{"+name+"/*", 1000).Iterator(); keys.Next(ctx); {
			client.Del(ctx, keys.Val())
		}
	})
	for _, p := range alive {
		p.works(t)
	}
	faults := rand.New(rand.NewPCG(*seed, 1))
	stopped, killed := 0, 0
	for until := time.Now().Add(*long); time.Now().Before(until); {
		time.Sleep(time.Duration(100+faults.IntN(300)) * time.Millisecond)
		i := faults.IntN(len(alive))
		if kind == "bounded" && !readsOnly(i) {
			continue
		}
		p := alive[i]
		switch faults.IntN(4) {
		case 0:
			_ = p.end(syscall.SIGKILL)
			killed++
			alive[i] = start(t, i+killed*len(alive), environment(i)...)
			logs = append(logs, alive[i].log)
		default:
			_ = p.Process.Signal(syscall.SIGSTOP)
			stopped++
			time.Sleep([]time.Duration{bound / 20, bound / 2, bound * 3 / 2}[faults.IntN(3)])
			_ = p.Process.Signal(syscall.SIGCONT)
		}
	}
	for _, p := range alive {
		var exit *exec.ExitError
		if err := p.end(syscall.SIGTERM); errors.As(err, &exit) {
			t.Errorf("a process: %v", err)
		}
	}
	var all []event
	for i, path := range logs {
		if _, err := os.Stat(path); err == nil { // one that was killed at once has none
			all = append(all, events(t, path, i)...)
		}
	}
	check(t, all, allowed)
	t.Logf("seed %d: %d stopped, %d killed", *seed, stopped, killed)
}

// check looks at all reads in the order in which they began, with what was known by then.
func check(t *testing.T, all []event, allowed time.Duration) {
	t.Helper()
	known := slices.Clone(all)
	slices.SortFunc(known, func(a, b event) int { return cmp.Compare(a.ended, b.ended) })
	slices.SortFunc(all, func(a, b event) int { return cmp.Compare(a.begun, b.begun) })
	var newest [counters + 1]event
	var reads, writes, hits, misses int64
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
			hits += e.version
		case "misses":
			misses += e.version
		case "write":
			writes++
		case "read":
			reads++
			if than := newest[e.id]; e.version < than.version {
				t.Errorf("process %d read version %d of row %d, %v after process %d had ended its %s of version %d",
					e.process, e.version, e.id, time.Duration(e.begun-than.ended), than.process, than.kind, than.version)
			}
		}
	}
	t.Logf("%d writes, %d reads; of those that were alive in the end %d from memory, %d from the database", writes, reads, hits, misses)
	if writes == 0 || hits == 0 {
		t.Error("nothing was written, or read from memory: the test tests nothing")
	}
}
