package preload_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// hang makes the next query that matches hang: on a link that is silent from then on or, where
// there is no link, in the driver. It returns a channel that is closed when it does.
func hang(t *testing.T, d *dbtest.Database, text string) (b *dbtest.Database, next func() <-chan struct{}) {
	t.Helper()
	if d.Dialect == "sqlite" {
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		return d, func() <-chan struct{} {
			var once atomic.Bool
			hangs := make(chan struct{})
			d.Probe.Before(func(c dbtest.Call) error {
				if c.Op == "query" && strings.Contains(c.SQL, text) && !once.Swap(true) {
					close(hangs)
					<-release
				}
				return nil
			})
			return hangs
		}
	}
	behind, proxy := d.Behind(t)
	return behind, func() <-chan struct{} {
		var once atomic.Bool
		hangs := make(chan struct{})
		// What a statement that was prepared before sends need not hold its text, and what is still
		// on its way is not its.
		var begun atomic.Bool
		behind.Probe.Before(func(c dbtest.Call) error {
			if c.Op == "query" && strings.Contains(c.SQL, text) {
				begun.Store(true)
			}
			return nil
		})
		proxy.Rule(func(p dbtest.Packet) dbtest.Verdict {
			if p.Up && begun.Load() && !once.Swap(true) {
				close(hangs)
				return dbtest.Silence
			}
			return dbtest.Pass
		})
		return hangs
	}
}

// readersWith starts n readers of company 1 that have so long each, and returns how many were
// answered, and in what time.
func readersWith(t *testing.T, b *worldtest.World, n int, timeout time.Duration) (answered int, longest time.Duration) {
	t.Helper()
	var (
		mu  sync.Mutex
		all sync.WaitGroup
	)
	for range n {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			began := time.Now()
			var c worldtest.ReadCompany
			err := b.DB.WithContext(ctx).First(&c, 1).Error
			mu.Lock()
			defer mu.Unlock()
			if err == nil && c.Name == "acme" {
				answered++
			} else {
				t.Logf("after %v: %v, %+v", time.Since(began), err, c)
			}
			longest = max(longest, time.Since(began))
		})
	}
	worldtest.Within(t, worldtest.Patience, "readers with deadlines", all.Wait)
	return answered, longest
}

// warm has the pool of a handle hold so many connections, so that none has to be opened.
func warm(t *testing.T, db *gorm.DB, conns int) {
	t.Helper()
	pool, err := db.DB()
	worldtest.Must(t, err)
	pool.SetMaxIdleConns(conns)
	for range conns {
		conn, err := pool.Conn(context.Background())
		worldtest.Must(t, err)
		defer conn.Close()
	}
}

// A reader that hangs on a connection that is half open does not take its key out of service.
func TestAReaderThatHangsKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprintf("pace known: %v", known), func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				worldtest.SeedReads(t, d.Plain(t))
				d, next := hang(t, d, "read_companies")
				b := readOpen(t, d)
				worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
				warm(t, b.DB, 24)
				if known {
					var c worldtest.ReadCompany
					worldtest.Must(t, b.DB.First(&c, 1).Error)
					worldtest.Must(t, b.Plugin.Invalidate())
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				hangs := next()
				led := make(chan error, 1)
				go func() {
					var c worldtest.ReadCompany
					led <- b.DB.WithContext(ctx).First(&c, 1).Error
				}()
				<-hangs
				before := b.Probe.Queries()
				answered, longest := readersWith(t, b, 20, time.Minute)
				if answered != 20 {
					t.Errorf("%d of 20 readers were answered, within %v", answered, longest)
				}
				if n := b.Probe.Queries() - before; n > 20 {
					t.Errorf("%d queries for 20 readers", n)
				}
				worldtest.Must(t, b.Plugin.Invalidate())
				if n, _ := readersWith(t, b, 20, time.Minute); n != 20 {
					t.Errorf("%d of 20 later readers were answered", n)
				}
				select {
				case err := <-led:
					t.Errorf("the leader did not hang: %v", err)
				default:
				}
			})
		})
	}
}

// takenOver is a database whose queries of companies wait for a turn each, as they come.
func takenOver(t *testing.T, b *worldtest.World) (turn func(i int) (arrived <-chan struct{}, open chan<- error)) {
	t.Helper()
	const most = 1_000
	var (
		n       atomic.Int64
		arrived [most]chan struct{}
		open    [most]chan error
	)
	for i := range arrived {
		arrived[i], open[i] = make(chan struct{}), make(chan error, 1)
	}
	// What a query finds is found before it waits.
	b.Probe.After(func(c dbtest.Call, err error) error {
		if c.Op != "query" || !readIsCompany(c) {
			return err
		}
		i := n.Add(1) - 1
		close(arrived[i])
		select {
		case failed := <-open[i]:
			if failed != nil {
				return failed
			}
		case <-c.Context.Done():
			return c.Context.Err()
		}
		return err
	})
	return func(i int) (<-chan struct{}, chan<- error) { return arrived[i], open[i] }
}

// A crowd waits for a reader that is cancelled: one of them runs the next query, and so on.
func TestACancelledReaderIsFollowedByOne(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"cancelled", "timed out", "cancelled together", "fails once"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			const crowd = 500
			b := readSQLite(t, preload.WithWaits(time.Hour))
			turn := takenOver(t, b)
			read := func(ctx context.Context) error {
				var c worldtest.ReadCompany
				if err := b.DB.WithContext(ctx).First(&c, 1).Error; err != nil || c.Name == "acme" {
					return err
				}
				return fmt.Errorf("read %+v", c)
			}
			first, cancel := context.WithCancel(context.Background())
			if how == "timed out" {
				first, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
			}
			defer cancel()
			led := make(chan error, 1)
			go func() { led <- read(first) }()
			arrived, open := turn(0)
			<-arrived
			var (
				all    sync.WaitGroup
				failed atomic.Int64
			)
			second, cancelSecond := context.WithCancel(context.Background())
			defer cancelSecond()
			for range crowd {
				w := worldtest.NewWaiting(second)
				all.Go(func() {
					if err := read(w); err != nil {
						failed.Add(1)
					}
				})
				<-w.Begun
			}
			want := int64(2)
			switch how {
			case "cancelled":
				cancel()
			case "fails once":
				open <- errors.New("fails")
			case "cancelled together":
				cancel()
				again, _ := turn(1)
				<-again
			}
			if err := <-led; err == nil {
				t.Error("the first reader was answered")
			}
			if how == "cancelled together" {
				// All of the crowd share a context: nobody is left to lead.
				cancelSecond()
				worldtest.Within(t, worldtest.Patience, "the crowd", all.Wait)
				if n := failed.Load(); n != crowd {
					t.Errorf("%d of %d failed, whose context ended", n, crowd)
				}
				return
			}
			next, open := turn(1)
			<-next
			open <- nil
			worldtest.Within(t, worldtest.Patience, "the crowd", all.Wait)
			if n := failed.Load(); n > 0 {
				t.Errorf("%d of %d failed", n, crowd)
			}
			if n := countCompanies(b); n != want {
				t.Errorf("%d queries for %d readers, want %d", n, crowd+1, want)
			}
		})
	}
}

func countCompanies(b *worldtest.World) (n int64) {
	for _, sql := range b.Probe.Log() {
		if strings.HasPrefix(sql, "SELECT") && strings.Contains(sql, "read_companies") {
			n++
		}
	}
	return n
}

// What fails for one reader and then for another fails for all: they do not fail one after the
// other, and share no error.
func TestReadersDoNotQueueForErrors(t *testing.T) {
	t.Parallel()
	const crowd, takes = 100, 50 * time.Millisecond
	b := readSQLite(t, preload.WithWaits(time.Hour))
	var n atomic.Int64
	started := make(chan struct{})
	b.Probe.Before(func(c dbtest.Call) error {
		i := n.Add(1)
		if i == 1 {
			<-started
		}
		time.Sleep(takes)
		return fmt.Errorf("query %d fails", i)
	})
	errs := make(chan error, crowd)
	read := func(ctx context.Context) {
		var c worldtest.ReadCompany
		errs <- b.DB.WithContext(ctx).First(&c, 1).Error
	}
	go read(context.Background())
	for n.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range crowd - 1 {
		w := worldtest.NewWaiting(context.Background())
		go read(w)
		<-w.Begun
	}
	began := time.Now()
	close(started)
	seen := map[string]bool{}
	for range crowd {
		err := <-errs
		if err == nil || seen[err.Error()] {
			t.Errorf("%v: want an error of its own", err)
			continue
		}
		seen[err.Error()] = true
	}
	if took := time.Since(began); took > crowd*takes/2 {
		t.Errorf("%d readers failed one after the other, in %v", crowd, took)
	}
}

// loads runs Load of a key with a loader that waits to be told its value. It returns what the
// loader is told by, and what Load returns.
func loads(ctx context.Context, p *preload.Plugin, key string) (called chan struct{}, tell chan int, got chan int) {
	called, tell, got = make(chan struct{}), make(chan int, 1), make(chan int, 1)
	go func() {
		v, err := preload.Load(ctx, p, key, func(ctx context.Context) (int, error) {
			close(called)
			select {
			case v := <-tell:
				return v, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
		if err != nil {
			v = -1
		}
		got <- v
	}()
	return called, tell, got
}

// A load that was taken over may still come: its value is kept while there is no newer one, and
// nothing changed.
func TestALoadThatWasTakenOverComesLate(t *testing.T) {
	t.Parallel()
	inMemory := func(t *testing.T, p *preload.Plugin, want int) {
		t.Helper()
		v, err := preload.Load(context.Background(), p, "k", func(context.Context) (int, error) { return -2, nil })
		if err != nil || v != want {
			t.Errorf("in memory is %d (%v), want %d", v, err, want)
		}
	}
	for _, c := range []struct {
		name string
		then func(t *testing.T, p *preload.Plugin, old, newer chan int, oldGot, newGot chan int)
	}{
		{"before the newer", func(t *testing.T, p *preload.Plugin, old, newer, oldGot, newGot chan int) {
			old <- 1
			<-oldGot
			inMemory(t, p, 1)
			newer <- 2
			<-newGot
			inMemory(t, p, 2)
		}},
		{"after the newer", func(t *testing.T, p *preload.Plugin, old, newer, oldGot, newGot chan int) {
			newer <- 2
			<-newGot
			old <- 1
			if v := <-oldGot; v != 1 {
				t.Errorf("the older load returned %d to its caller, want 1", v)
			}
			inMemory(t, p, 2)
		}},
		{"after a change", func(t *testing.T, p *preload.Plugin, old, newer, oldGot, newGot chan int) {
			worldtest.Must(t, p.Invalidate())
			newer <- 2
			old <- 1
			<-oldGot
			<-newGot
			inMemory(t, p, -2)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := preload.New(preload.WithoutWorker(), preload.WithWaits(20*time.Millisecond))
			defer p.Close()
			oldCalled, old, oldGot := loads(context.Background(), p, "k")
			<-oldCalled
			newCalled, newer, newGot := loads(context.Background(), p, "k")
			worldtest.Within(t, worldtest.Patience, "a load that takes another one over", func() { <-newCalled })
			c.then(t, p, old, newer, oldGot, newGot)
		})
	}
}

// Who asks for what is newest has nothing kept that began to be loaded before, also by a load that
// was taken over long ago.
func TestALoadThatWasTakenOverGivesWayToForce(t *testing.T) {
	t.Parallel()
	p := preload.New(preload.WithoutWorker(), preload.WithWaits(20*time.Millisecond), preload.WithLogger(worldtest.Quiet()))
	defer p.Close()
	called, old, oldGot := loads(context.Background(), p, "k")
	<-called
	ctx, cancel := context.WithCancel(context.Background())
	called, _, got := loads(ctx, p, "k")
	<-called
	cancel()
	<-got
	if err := p.Preload(context.Background(), "k", func(context.Context) (any, error) { return make(chan int), nil }); err == nil {
		t.Error("a channel is kept")
	}
	old <- 1
	<-oldGot
	v, _ := preload.Load(context.Background(), p, "k", func(context.Context) (int, error) { return 2, nil })
	if v != 2 {
		t.Errorf("got %d, which began to be loaded before Preload", v)
	}
}

// Own data is loaded like queries: a caller who hangs or is cancelled is followed by one.
func TestACallerOfLoadIsFollowedByOne(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"hangs", "cancelled"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			const crowd = 200
			p := preload.New(preload.WithoutWorker())
			if how == "cancelled" {
				p = preload.New(preload.WithoutWorker(), preload.WithWaits(time.Hour))
			}
			defer p.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			called, _, _ := loads(ctx, p, "k")
			<-called
			var (
				all   sync.WaitGroup
				calls atomic.Int64
			)
			for range crowd {
				w := worldtest.NewWaiting(context.Background())
				returned := make(chan struct{})
				all.Go(func() {
					defer close(returned)
					v, err := preload.Load(w, p, "k", func(context.Context) (int, error) { return int(calls.Add(1)), nil })
					if v != 1 || err != nil {
						t.Errorf("%d, %v", v, err)
					}
				})
				select {
				case <-w.Begun:
				case <-returned: // the one that hangs was taken over already
				}
			}
			if how == "cancelled" {
				cancel()
			}
			worldtest.Within(t, worldtest.Patience, "the crowd", all.Wait)
			if n := calls.Load(); n != 1 {
				t.Errorf("%d calls for %d callers, want 1", n, crowd)
			}
		})
	}
}
