package preload_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"go.uber.org/goleak"
	"gorm.io/gorm"
)

var chaosSeed = flag.Uint64("chaos.seed", 0, "the seed of the faults of TestChaos; 0 draws one")

const (
	chaosWorkers = 8
	chaosStorm   = 2500 * time.Millisecond
	// chaosLate is for how long a lost connection stays open at the server, and a row is locked.
	chaosLate = 150 * time.Millisecond
	// chaosLateness is how much later than its client is gone a statement arrives. With all else
	// that is late it stays below a hold-out.
	chaosLateness = 400 * time.Millisecond
	// chaosHung is when a client notices by itself that its connection is half open.
	chaosHung = 2200 * time.Millisecond
	// chaosWait is how much longer than its own query a read may take with the plugin, and
	// chaosSlack what the machine may add.
	chaosWait, chaosSlack = time.Second, 500 * time.Millisecond
)

// chaosWorld is a handle and those who work through it.
type chaosWorld struct {
	db       *gorm.DB
	direct   *gorm.DB        // past the proxy, without a plugin
	plugin   *preload.Plugin // nil for plain GORM
	prepared chaosPrepared
	owners   []*chaosOwner
	writers  []*chaosWriter
	begun    time.Time

	mu        sync.Mutex
	wrong     []string
	worst     time.Duration // what a read took beyond its deadline, or at all where it has none
	worstRead string        // which read that was, when it began and how it ended
	waited    time.Duration // the longest that a read took besides its own query
	waitedFor string        // which read that was
	repeated  int           // reads that ran more than one query
	slow      int           // reads that took longer than may be waited for somebody else, or that their deadline ended
	errs      map[string]int
	reads     atomic.Int64
	failed    atomic.Int64 // reads without an answer
	expired   atomic.Int64 // of these, reads whose deadline passed
	acked     atomic.Int64
	unacked   atomic.Int64
	observed  atomic.Int64
	trouble   atomic.Pointer[chaosOwner] // the one whose write failed last
}

// chaosContext draws a context: with a deadline, one that is cancelled at some time, or one without
// an end.
func chaosContext() (ctx context.Context, end func(), deadline time.Duration) {
	switch rand.IntN(20) {
	case 0:
		ctx, cancel := context.WithCancel(context.Background())
		timer := time.AfterFunc(time.Duration(rand.IntN(20_000))*time.Microsecond, cancel)
		return ctx, func() { timer.Stop(); cancel() }, 20 * time.Millisecond
	case 1, 2, 3, 4, 5:
		return context.Background(), func() {}, 0
	}
	deadline = 400*time.Millisecond + time.Duration(rand.Int64N(int64(600*time.Millisecond)))
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	return ctx, cancel, deadline
}

// chaosQueries are the queries that one read runs itself, by its context.
type chaosQueries struct {
	took atomic.Int64
	n    atomic.Int64
}

type chaosQueriesKey struct{}

// chaosTimed has the queries of a handle timed that reach GORM's own callback. One query may wait
// for several connections that are half open, one after the other: database/sql asks some whether
// they still live, and goes on to the next.
func chaosTimed(db *gorm.DB) error {
	queries := db.Callback().Query()
	own := queries.Get("gorm:query")
	return queries.Replace("gorm:query", func(db *gorm.DB) {
		if of, ok := db.Statement.Context.Value(chaosQueriesKey{}).(*chaosQueries); ok && !db.DryRun {
			begun := time.Now()
			of.n.Add(1)
			defer func() { of.took.Add(int64(time.Since(begun))) }()
		}
		own(db)
	})
}

// read makes one read and checks it.
func (w *chaosWorld) read(db *gorm.DB, which int, o *chaosOwner, slot int, deadline time.Duration) error {
	read := chaosReads[which]
	r := newChaosRead(o)
	if read.name != "Load" {
		o.asked.Add(1)
	}
	var own chaosQueries
	db = db.WithContext(context.WithValue(db.Statement.Context, chaosQueriesKey{}, &own))
	begun := time.Now()
	err := read.ask(w, db, r, slot)
	took := time.Since(begun)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wrong := range r.wrong {
		o.mu.Lock()
		w.wrong = append(w.wrong, fmt.Sprintf("%7.3fs, after %v: %s: %s\n\t%s", time.Since(w.begun).Seconds(), took.Round(time.Millisecond),
			read.name, wrong, strings.Join(o.log, "\n\t")))
		o.mu.Unlock()
	}
	ended := errors.Is(db.Statement.Context.Err(), context.DeadlineExceeded)
	about := fmt.Sprintf("%s at %v, %v in %d queries, error %v", read.name, begun.Sub(w.begun).Round(time.Millisecond),
		time.Duration(own.took.Load()).Round(time.Millisecond), own.n.Load(), err)
	if waited := took - time.Duration(own.took.Load()); waited > w.waited {
		w.waited, w.waitedFor = waited, about
	}
	if own.n.Load() > 1 {
		w.repeated++
	}
	if took -= deadline; (ended || took > chaosWait+chaosSlack) && !read.shares {
		w.slow++
	}
	if took > w.worst {
		w.worst, w.worstRead = took, about
	}
	return err
}

// storm has writers and readers work while the proxy makes connections fail.
func (w *chaosWorld) storm(p *chaosProxy, d time.Duration, observe bool) {
	var (
		stop    = make(chan struct{})
		stopped atomic.Bool
		wg      sync.WaitGroup
	)
	for _, writer := range w.writers {
		wg.Go(func() {
			for !stopped.Load() {
				ctx, end, _ := chaosContext()
				err := writer.step(w.db.WithContext(ctx))
				end()
				if err == nil {
					w.acked.Add(1)
				} else if !errors.Is(err, errTx) {
					w.unacked.Add(1)
					w.note("write", err)
				}
				time.Sleep(time.Duration(rand.IntN(15_000)) * time.Microsecond)
				if err != nil && !errors.Is(err, errTx) && rand.IntN(2) == 0 {
					w.trouble.Store(writer.owner)
					time.Sleep(chaosLateness) // so that what happens late shows
				}
			}
		})
	}
	for range chaosWorkers {
		wg.Go(func() {
			for !stopped.Load() {
				ctx, end, deadline := chaosContext()
				// Some rows are read much more than others.
				o := w.owners[min(rand.IntN(len(w.owners)), rand.IntN(len(w.owners)))]
				if trouble := w.trouble.Load(); trouble != nil && rand.IntN(2) == 0 {
					o = trouble
				}
				which, slot := rand.IntN(len(chaosReads)), rand.IntN(chaosSlots)
				if rand.IntN(2) == 0 {
					which, o, slot = 0, w.owners[0], 0 // what many ask for at once
				}
				err := w.read(w.db.WithContext(ctx), which, o, slot, deadline)
				w.reads.Add(1)
				if err != nil {
					w.failed.Add(1)
					if ctx.Err() == context.DeadlineExceeded {
						w.expired.Add(1)
					}
					w.note("read", err)
				}
				end()
				time.Sleep(time.Duration(rand.IntN(1_500)) * time.Microsecond)
			}
		})
	}
	if observe {
		wg.Go(func() {
			for !stopped.Load() {
				w.observe()
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	if p != nil {
		p.Rule(p.rule)
		wg.Go(func() { p.disturb(w, stop) })
	}
	time.Sleep(d)
	stopped.Store(true)
	close(stop)
	if p != nil {
		p.Rule(nil)
		p.CutAll()
	}
	wg.Wait()
}

// observe asks the database itself. What it shows, every later read has to show.
func (w *chaosWorld) observe() {
	for _, o := range w.owners {
		var (
			r     = newChaosRead(o)
			rows  []chaosRow
			items []chaosItem
		)
		if w.direct.Where("owner = ?", o.id).Find(&rows).Error == nil {
			r.all(rows)
		}
		if w.direct.Where("owner = ?", o.id).Find(&items).Error == nil {
			r.list(items)
		}
		w.mu.Lock()
		for _, wrong := range r.wrong {
			w.wrong = append(w.wrong, "the database itself: "+wrong)
		}
		w.mu.Unlock()
		w.observed.Add(1)
	}
}

func (w *chaosWorld) note(what string, err error) {
	text := what + ": " + err.Error()
	text, _, _ = strings.Cut(text, "\n")
	for _, digits := range "0123456789" {
		text = strings.ReplaceAll(text, string(digits), "")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs[text[:min(len(text), 90)]]++
}

// settle waits until the database has done all that it does for clients that are gone, and asks it
// what has become of it.
func (w *chaosWorld) settle() {
	time.Sleep(chaosLateness + 2*chaosLate)
	w.observe()
	for _, o := range w.owners {
		for n := o.gone.Load(); n < o.made.Load(); n++ {
			if item := &o.items[n]; item.low.Load() == 0 { // it was never made
				item.started.Store(2)
				item.low.Store(2)
			}
		}
	}
}

// calm checks that everything is as it was before once connections hold: each read shows what the
// database holds, and hits come back.
func (w *chaosWorld) calm(t *testing.T) {
	for _, o := range w.owners {
		for which, read := range chaosReads {
			var err error
			for range 20 { // connections that were cut are found out by using them
				if err = w.read(w.db, which, o, 0, 0); err == nil {
					break
				}
			}
			if err != nil {
				t.Errorf("%s: still fails when connections hold: %v", read.name, err)
			}
		}
		if w.plugin == nil {
			continue
		}
		for slot := range o.rows {
			var first, again chaosRow
			o.asked.Add(2)
			err := w.db.First(&first, o.key(slot)).Error
			before := w.plugin.Stats().Hits
			err = errors.Join(err, w.db.First(&again, o.key(slot)).Error)
			if hits := w.plugin.Stats().Hits - before; err != nil || hits < 1 {
				t.Errorf("row %d of owner %d: %d hits when connections hold, error %v", slot, o.id, hits, err)
			}
			if v := o.rows[slot].low.Load(); again.Version != v {
				t.Errorf("row %d of owner %d: version %d when all is quiet, the database has %d", slot, o.id, again.Version, v)
			}
		}
	}
}

// chaosClock is fast, so that what is held out for a minute after an unknown outcome is held out
// for two seconds: longer than anything here is late. It can be moved on besides.
type chaosClock struct {
	start time.Time
	ahead atomic.Int64
}

func (c *chaosClock) Now() time.Time {
	return c.start.Add(30*time.Since(c.start) + time.Duration(c.ahead.Load()))
}

func newChaosWorld(t *testing.T, db, direct *gorm.DB, base int, plugin *preload.Plugin) *chaosWorld {
	w := &chaosWorld{db: db, direct: direct, plugin: plugin, begun: time.Now(), errs: map[string]int{}}
	if err := chaosTimed(db); err != nil {
		t.Fatal(err)
	}
	var rows []chaosRow
	for id := base; id < base+chaosWorkers; id++ {
		o := &chaosOwner{id: id}
		w.owners = append(w.owners, o)
		w.writers = append(w.writers, &chaosWriter{world: w, owner: o})
		for slot := range chaosSlots {
			rows = append(rows, chaosRow{ID: o.key(slot), Owner: id, Name: chaosName(id, slot)})
		}
	}
	if err := direct.Create(&rows).Error; err != nil {
		t.Fatal(err)
	}
	if plugin != nil {
		if err := db.Use(plugin); err != nil {
			t.Fatal(err)
		}
		w.prepared = newChaosPrepared(t, db)
	}
	return w
}

// report fails for what was wrong, and prints what was done.
func (w *chaosWorld) report(t *testing.T, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, wrong := range w.wrong[:min(len(w.wrong), 3)] {
		t.Errorf("%s, %d of %d: %s", name, i+1, len(w.wrong), wrong)
	}
	t.Logf("%s: %d reads, %d failed, %d of them by their deadline, %d slow, the worst took %v more than its deadline, and one %v besides its own query; %d writes, and %d of unknown outcome or failed; %d looks at the database itself",
		name, w.reads.Load(), w.failed.Load(), w.expired.Load(), w.slow, w.worst.Round(time.Millisecond), w.waited.Round(time.Millisecond), w.acked.Load(), w.unacked.Load(), w.observed.Load())
	for _, err := range slices.Sorted(func(yield func(string) bool) {
		for err, n := range w.errs {
			if !yield(fmt.Sprintf("%5d %s", n, err)) {
				return
			}
		}
	}) {
		t.Log(name, err)
	}
}

// Whatever happens to connections: no answer is older than what plain GORM could give, none was
// rolled back, no reader waits long for another one, and afterwards all is as it was before.
func TestChaos(t *testing.T) { // not parallel: it looks at the time that reads take, and at all goroutines
	before := goleak.IgnoreCurrent()
	t.Run("databases", func(t *testing.T) {
		dbtest.Each(t, testChaos)
	})
	goleak.VerifyNone(t, before, goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1")) // GORM's own
}

func testChaos(t *testing.T, d *dbtest.Database) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()>>32 | 1
	}
	direct := d.Plain(t) // without the timeouts: a server may take longer than those to make a table
	timeouts := d.Dialect == "mysql" && seed/2%2 == 0
	if timeouts {
		d = d.With(t, map[string]string{"timeout": "1s", "readTimeout": "400ms", "writeTimeout": "400ms"})
	}
	t.Logf("go test -run TestChaos -v . -chaos.seed=%d (timeouts of the driver: %v)", seed, timeouts)
	behind, tcp := d.Behind(t)
	p := &chaosProxy{Proxy: tcp, rand: rand.New(rand.NewPCG(seed, 1)), counts: map[string]int{}}
	eager := 1.0
	if d.Dialect == "mysql" {
		eager = 1.5 // a new connection costs less
	}
	if err := direct.AutoMigrate(&chaosRow{}, &chaosItem{}); err != nil {
		t.Fatal(err)
	}
	clock := &chaosClock{start: time.Now()}
	plugin := preload.New(preload.WithClock(clock), preload.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	handles := [2]*gorm.DB{behind.Open(t), behind.Open(t)}
	for _, db := range handles {
		if pool, err := db.DB(); err == nil && seed/4%4 != 0 {
			pool.SetMaxIdleConns(2 * chaosWorkers)
		}
	}
	with := newChaosWorld(t, handles[0], direct, 1, plugin)
	plain := newChaosWorld(t, handles[1], direct, 1+chaosWorkers, nil)
	defer plugin.Close()
	with.calm(t)
	plain.calm(t)
	silent := map[*chaosWorld]int{}
	for end := time.Now().Add(worldtest.Budget(t, 10*time.Second)); ; {
		for _, w := range []*chaosWorld{with, plain} {
			was := p.silent
			p.eager = eager * []float64{0.2, 1, 1.5}[p.draw(3)]
			w.storm(p, chaosStorm, true)
			silent[w] += p.silent - was
			w.settle()
			clock.ahead.Add(int64(61 * time.Second)) // what is held out for unknown outcomes is over
			w.calm(t)
		}
		if t.Failed() || time.Now().After(end) || len(with.wrong)+len(plain.wrong) > 0 {
			break
		}
	}
	plain.report(t, "plain GORM")
	with.report(t, "with the plugin")
	// What plain GORM has besides is the machine's, and what packets that are held do.
	if most := silent[with] + 2*plain.slow + 5; with.slow > most {
		t.Errorf("%d reads took more than %v or ended by their deadline, and %d without plugin; %d connections were half open", with.slow, chaosWait+chaosSlack, plain.slow, silent[with])
	}
	t.Logf("the slowest read took %v with the plugin (%s), and %v without (%s)", with.worst, with.worstRead, plain.worst, plain.worstRead)
	if most := chaosWait + chaosSlack; with.waited > most || with.repeated > 0 {
		t.Errorf("a read took %v besides its own query (%s), want less than %v; %d reads ran more than one query", with.waited, with.waitedFor, most, with.repeated)
	}
	t.Logf("faults: %v, half open: %d with plugin, %d without", p.counts, silent[with], silent[plain])

	closed := make(chan struct{})
	go func() { defer close(closed); _ = plugin.Close() }()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Error("Close does not end")
	}
	stats := plugin.Stats()
	t.Logf("%d hits, %d misses, %d bypassed %v, %d killed, %d entries", stats.Hits, stats.Misses, stats.Bypassed, stats.BypassReasons, stats.Invalidated, stats.Entries)
	if !t.Failed() && (stats.Hits == 0 || with.acked.Load() == 0 || with.unacked.Load() == 0 || plain.unacked.Load() == 0) {
		t.Error("nothing was read from memory, or nothing written, or nothing went wrong: the test tests nothing")
	}
	var asked, answered int64
	for _, o := range with.owners {
		asked += o.asked.Load()
	}
	for _, table := range stats.Models {
		answered += table.Hits + table.Misses
	}
	if answered += stats.Bypassed; answered != asked {
		t.Errorf("%d hits, misses and reads that do not qualify, want one for each of %d reads", answered, asked)
	}
	if stats.ActiveTasks != 0 || stats.Entries < 0 || stats.Bytes < 0 {
		t.Errorf("after Close: %d tasks, %d entries, %d bytes", stats.ActiveTasks, stats.Entries, stats.Bytes)
	}
}

// The check reports what is stale: here, what a handle without the plugin writes.
func TestChaosIsSeenByItsCheck(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		direct := d.Plain(t)
		if err := direct.AutoMigrate(&chaosRow{}, &chaosItem{}); err != nil {
			t.Fatal(err)
		}
		plugin := preload.New(preload.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
		defer plugin.Close()
		w := newChaosWorld(t, d.Open(t), direct, 1, plugin)
		w.calm(t)
		o := w.owners[0]
		for slot := range o.rows {
			o.rows[slot].started.Store(7)
		}
		if err := direct.Model(&chaosRow{}).Where("owner = ?", o.id).Update("version", 7).Error; err != nil {
			t.Fatal(err)
		}
		o.items[0].started.Store(1)
		o.made.Store(1)
		if err := direct.Create(&chaosItem{ID: o.item(0), Owner: o.id}).Error; err != nil {
			t.Fatal(err)
		}
		if w.observe(); len(w.wrong) > 0 {
			t.Fatalf("the database itself: %v", w.wrong)
		}
		for which, read := range chaosReads {
			was := len(w.wrong)
			err := w.read(w.db, which, o, 0, 0)
			if stale := len(w.wrong) > was; stale != (read.name != "Load" && read.name != "Count of a version") || err != nil {
				t.Errorf("%s: found to be stale: %v, error %v", read.name, stale, err)
			}
		}
	})
}
