package preload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/agenda"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/template"
	"go.uber.org/goleak"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

type workerUser struct {
	_    struct{} `preload:"ttl:10m"`
	ID   uint
	Name string
}

// bench is what the tests of the worker start from: ten users, a plugin whose clock stands still,
// and no noise.
type bench struct {
	db     *gorm.DB
	plugin *Plugin
	clock  *dbtest.Clock
	probe  *dbtest.Probe
}

func setup(t testing.TB, opts ...Option) *bench {
	t.Helper()
	d := dbtest.SQLite(t)
	b := &bench{db: d.Open(t), clock: dbtest.NewClock(), probe: d.Probe}
	if err := b.db.AutoMigrate(&workerUser{}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := b.db.Create(&workerUser{Name: fmt.Sprint("u", i+1)}).Error; err != nil {
			t.Fatal(err)
		}
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	b.plugin = New(append([]Option{WithClock(b.clock), WithLogger(quiet), WithBrief(time.Second)}, opts...)...)
	if err := b.db.Use(b.plugin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.plugin.Close() })
	return b
}

// read returns a user's name and how many queries that took.
func (b *bench) read(t *testing.T, id uint) (name string, queries int64) {
	t.Helper()
	before := b.probe.Queries()
	var u workerUser
	if err := b.db.First(&u, id).Error; err != nil {
		t.Fatal(err)
	}
	return u.Name, b.probe.Queries() - before
}

// writeUnseen writes in a way that the plugin does not see.
func (b *bench) writeUnseen(t *testing.T, query string) {
	t.Helper()
	pool, err := b.db.DB()
	if err == nil {
		_, err = pool.Exec(query)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// limit bounds the connections of the pool. At its limit it opens no other, whoever asks for one.
func (b *bench) limit(t *testing.T, conns int) {
	t.Helper()
	pool, err := b.db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(conns)
}

// tick runs one turn of the worker, with all loads that it starts.
func (b *bench) tick() {
	b.plugin.worker.Tick()
	b.settle()
}

// settle waits until no load runs.
func (b *bench) settle() {
	b.plugin.worker.Wait(0)
}

func TestATickLoadsWhatIsHotAndNotInMemory(t *testing.T) {
	t.Parallel()
	b := setup(t, WithThreshold(2))
	for range 3 {
		b.read(t, 1)
	}
	b.read(t, 2) // score 1: not hot
	b.writeUnseen(t, "UPDATE worker_users SET name = 'new'")
	_ = b.plugin.Invalidate(&workerUser{})
	b.tick()
	for _, want := range []struct {
		id      uint
		queries int64
	}{{1, 0}, {2, 1}} {
		if name, queries := b.read(t, want.id); name != "new" || queries != want.queries {
			t.Errorf("user %d: %q with %d queries, want %q with %d", want.id, name, queries, "new", want.queries)
		}
	}
	s := b.plugin.Stats()
	if s.PreloadCount != 1 || s.PreloadHits != 1 || s.PreloadHitRate != 1 || s.ActiveTasks != 0 {
		t.Errorf("stats: %+v", s)
	}
	before := b.probe.Queries()
	if b.tick(); b.probe.Queries() != before {
		t.Error("a tick loaded what is in memory")
	}
}

func TestATickLoadsAtMostABatch(t *testing.T) {
	t.Parallel()
	b := setup(t, WithBatch(3))
	for id := range uint(6) {
		b.read(t, id+1)
	}
	_ = b.plugin.Invalidate(&workerUser{})
	if b.tick(); b.plugin.Stats().PreloadCount != 3 {
		t.Errorf("loaded %d, want 3", b.plugin.Stats().PreloadCount)
	}
}

func TestATickDropsWhatExpired(t *testing.T) {
	t.Parallel()
	b := setup(t, WithThreshold(1e9))
	b.read(t, 1)
	b.clock.Advance(10 * time.Minute)
	b.tick()
	if s := b.plugin.Stats(); s.Entries != 0 || s.Expired != 1 || s.Bytes != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestAReadInTheLastFifthReloads(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.read(t, 1)
	b.clock.Advance(8*time.Minute - 1)
	if _, queries := b.read(t, 1); queries != 0 || b.plugin.Stats().PreloadCount != 0 {
		t.Fatal("reloaded too early")
	}
	b.clock.Advance(1)
	loaded := make(chan struct{}, 1)
	b.probe.After(func(c dbtest.Call, err error) error {
		loaded <- struct{}{}
		return err
	})
	b.read(t, 1)
	<-loaded
	b.settle()
	b.clock.Advance(5 * time.Minute) // the first answer is long gone
	before := b.probe.Queries()
	if name, _ := b.read(t, 1); name != "u1" || b.probe.Queries() != before {
		t.Errorf("%q with %d queries after the reload", name, b.probe.Queries()-before)
	}
	if s := b.plugin.Stats(); s.PreloadCount != 1 || s.PreloadHits != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestAReloadThatFailsKeepsTheOldAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.read(t, 1)
	b.clock.Advance(9 * time.Minute)
	tried := make(chan struct{}, 100)
	b.probe.Before(func(dbtest.Call) error {
		tried <- struct{}{}
		return errors.New("gone")
	})
	for range 3 {
		if name, _ := b.read(t, 1); name != "u1" {
			t.Errorf("read %q while the database is gone", name)
		}
	}
	<-tried
	b.settle()
	for range 20 {
		b.read(t, 1)
	}
	b.settle()
	if n := len(tried) + 1; n > 2 {
		t.Errorf("%d loads on a database that fails, before the next turn", n)
	}
}

func TestLoadersHoldNothingOfTheRequest(t *testing.T) {
	t.Parallel()
	type secret struct{}
	b := setup(t)
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), secret{}, "x"))
	var u workerUser
	if err := b.db.WithContext(ctx).First(&u, 1).Error; err != nil {
		t.Fatal(err)
	}
	cancel()
	u.Name = "mine"
	_ = b.plugin.Invalidate(&workerUser{})
	b.probe.Before(func(c dbtest.Call) error {
		if c.Context.Value(secret{}) != nil {
			t.Error("a background load runs in the context of a request")
		}
		if _, ok := c.Context.Deadline(); !ok {
			t.Error("a background load has no timeout")
		}
		return nil
	})
	if b.tick(); b.plugin.Stats().PreloadCount != 1 {
		t.Errorf("stats: %+v", b.plugin.Stats())
	}
	if name, _ := b.read(t, 1); u.Name != "mine" || name != "u1" {
		t.Errorf("the caller's user is %q, the next reader's %q", u.Name, name)
	}
}

func TestTheWorkerWaitsWhileThePoolIsBusy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.read(t, 1)
	_ = b.plugin.Invalidate(&workerUser{})
	pool, err := b.db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	busy, err := pool.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if b.tick(); b.plugin.Stats().PreloadCount != 0 {
		t.Error("loaded while the application held every connection")
	}
	_ = busy.Close()
	// Where reads are slow, as on a loaded machine, the one connection is left to the application
	// until some have been quick.
	for tries := 1; ; tries++ {
		if b.tick(); b.plugin.Stats().PreloadCount == 1 {
			return
		}
		if tries == 500 {
			t.Fatal("not loaded when the pool was free again")
		}
		b.read(t, 1)
		_ = b.plugin.Invalidate(&workerUser{})
	}
}

func TestALoaderThatPanicsHarmsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var calls atomic.Int64
	if _, err := Load(context.Background(), b.plugin, "mine", func(context.Context) (int, error) {
		if calls.Add(1) > 1 {
			panic("boom")
		}
		return 1, nil
	}); err != nil {
		t.Fatal(err)
	}
	b.read(t, 1)
	_ = b.plugin.Invalidate()
	if b.tick(); calls.Load() != 2 || b.plugin.Stats().PreloadCount != 1 {
		t.Errorf("loader called %d times; stats %+v", calls.Load(), b.plugin.Stats())
	}
	if err := b.plugin.Close(); err != nil {
		t.Error(err)
	}
}

func TestALoaderThatHangsHoldsUpNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, WithConcurrency(1), WithLoadTimeout(20*time.Millisecond))
	var calls atomic.Int64
	release := make(chan struct{})
	hangs := func(context.Context) (int, error) {
		if calls.Add(1) > 1 {
			<-release
		}
		return 1, nil
	}
	for range 5 {
		_, _ = Load(context.Background(), b.plugin, "hangs", hangs)
	}
	b.read(t, 1)
	w := b.plugin.worker
	// A busy machine may take longer for the other one than a load may, which then pauses loads.
	for deadline := time.Now().Add(time.Minute); ; {
		_ = b.plugin.Invalidate()
		w.Tick() // ends only if the one slot is given back
		w.Wait(1)
		_, queries := b.read(t, 1)
		if queries == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a loader that hangs kept another key from being loaded")
		}
	}
	err := b.plugin.Close()
	if err == nil || !strings.Contains(err.Error(), template.Label("hangs")) {
		t.Errorf("Close: %v, want an error that names the key by its label", err)
	}
	close(release)
	b.settle()
}

func TestCloseEndsEveryGoroutine(t *testing.T) {
	// Not parallel: the goroutines of other tests would be seen.
	before := goleak.IgnoreCurrent()
	d := dbtest.SQLite(t)
	db := d.Open(t)
	p := New()
	if err := db.Use(p); err != nil {
		t.Fatal(err)
	}
	if err := db.AutoMigrate(&workerUser{}); err != nil {
		t.Fatal(err)
	}
	var users []workerUser
	for range 3 {
		db.Find(&users)
	}
	p.worker.Tick()
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	queries := d.Probe.Queries()
	if db.Find(&users); d.Probe.Queries() != queries+1 {
		t.Error("after Close a query did not go to the database")
	}
	pool, _ := db.DB()
	_ = pool.Close()
	goleak.VerifyNone(t, before)
}

// TestAPanicOfTheWorkerCostsOneTurn: the goroutine goes on with what comes next.
func TestAPanicOfTheWorkerCostsOneTurn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.plugin.worker.Add(agenda.Wish{Key: "nobody loads it, and nobody is to be told"})
	var asked atomic.Bool
	asked.Store(true)
	b.plugin.worker.Add(agenda.Wish{Key: "nobody loads it either", Asked: &asked})
	for deadline := time.Now().Add(time.Minute); asked.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the worker does nothing any more")
		}
	}
}

// What is read again and again is loaded at once when a write killed it, once however many writes
// come, and no longer when nobody reads it any more.
func TestAKilledAnswerIsLoadedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	write := func(id uint, name string) {
		t.Helper()
		if err := b.db.Model(&workerUser{}).Where("id = ?", id).Update("name", name).Error; err != nil {
			t.Fatal(err)
		}
		b.settle()
	}
	loads := func() int64 { return b.plugin.Stats().PreloadCount }
	b.read(t, 2)
	if write(2, "once"); loads() != 0 {
		t.Fatal("what was read once is loaded again")
	}
	for i := range 20 {
		b.read(t, 1)
		b.read(t, 1)
		name := fmt.Sprint("name ", i)
		write(1, name)
		if got, queries := b.read(t, 1); got != name || queries != 0 || loads() != int64(i+1) {
			t.Fatalf("after write %d: %q with %d queries, %d loads; want %q from memory, and a load a write", i, got, queries, loads(), name)
		}
	}
	before := loads()
	for i := range 20 {
		write(1, fmt.Sprint("unread ", i))
	}
	if n := loads() - before; n < 1 || n > 4 {
		t.Errorf("loaded %d times while nobody read, want a few", n)
	}
	if got, _ := b.read(t, 1); got != "unread 19" {
		t.Errorf("got %q", got)
	}
}

// A load does not take the one connection of an application that then opens another: that may be
// another database, as here.
func TestAnApplicationWithOneConnectionKeepsIt(t *testing.T) {
	t.Parallel()
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	p := New()
	defer p.Close()
	if err := db.Use(p); err != nil {
		t.Fatal(err)
	}
	if err := db.AutoMigrate(&workerUser{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Create(&workerUser{ID: 1}).Error; err != nil {
		t.Fatal(err)
	}
	round := func(i int) {
		var u workerUser
		for range 3 {
			if err := db.First(&u, 1).Error; err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Model(&u).Update("name", fmt.Sprint(i)).Error; err != nil {
			t.Fatal(err)
		}
		if n := pool.Stats().OpenConnections; n != 1 {
			t.Fatalf("the pool has %d connections after write %d", n, i)
		}
	}
	for i := range 300 {
		round(i)
	}
	// It loads what was killed once the application is quiet, unless the reads were slow of late, as
	// they are on a loaded machine: then a few that are not have to come first.
	end := time.Now().Add(3 * time.Minute)
	for i := 300; p.Stats().PreloadCount == 0; i++ {
		if time.Now().After(end) {
			t.Fatal("nothing was loaded again")
		}
		round(i)
		time.Sleep(20 * time.Millisecond)
	}
}

// idle opens connections, so that there is room for loads at once.
func (b *bench) idle(t *testing.T, conns int) {
	t.Helper()
	pool, err := b.db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxIdleConns(conns)
	for range conns {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
}

// hold stops the next query at the database, until release is called.
func (b *bench) hold(t *testing.T) (arrived <-chan struct{}, release func()) {
	t.Helper()
	came, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.probe.Before(func(c dbtest.Call) error {
		if strings.HasPrefix(c.SQL, "SELECT") {
			once.Do(func() {
				close(came)
				<-gate
			})
		}
		return nil
	})
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	return came, release
}

func (b *bench) rename(t *testing.T, id uint, name string) {
	t.Helper()
	if err := b.db.Model(&workerUser{}).Where("id = ?", id).Update("name", name).Error; err != nil {
		t.Fatal(err)
	}
}

func TestAReaderWaitsForTheLoadOfWhatAWriteKilled(t *testing.T) {
	t.Parallel()
	b := setup(t, WithWaits(time.Hour))
	b.idle(t, 6)
	b.read(t, 1)
	b.read(t, 1)
	arrived, release := b.hold(t)
	before := b.probe.Queries()
	b.rename(t, 1, "new")
	<-arrived
	misses := b.plugin.Stats().Misses
	read := make(chan string)
	go func() {
		var u workerUser
		b.db.First(&u, 1)
		read <- u.Name
	}()
	for f := b.flight(); !f.Awaited(); runtime.Gosched() {
	}
	release()
	if name := <-read; name != "new" {
		t.Errorf("got %q", name)
	}
	b.settle()
	if s := b.plugin.Stats(); b.probe.Queries()-before != 1 || s.Misses != misses || s.PreloadHits != 1 {
		t.Errorf("%d queries, %+v: want one, which the reader waited for", b.probe.Queries()-before, s)
	}
}

// flight returns the only one.
func (b *bench) flight() (only *cache.Flight) {
	b.plugin.cache.EachFlight(func(f *cache.Flight) { only = f })
	return only
}

// flightsOf returns how many keys are being loaded.
func flightsOf(b *bench) (n int) {
	b.plugin.cache.EachFlight(func(*cache.Flight) { n++ })
	return n
}

// A write that comes while the answer is being loaded makes it out of date before it is there.
func TestAWriteDuringTheLoadHasItLoadedOnceMore(t *testing.T) {
	t.Parallel()
	b := setup(t, WithWaits(time.Hour))
	b.idle(t, 6)
	for range 4 {
		b.read(t, 1)
	}
	arrived, release := b.hold(t)
	b.rename(t, 1, "first")
	<-arrived
	b.rename(t, 1, "second")
	b.rename(t, 1, "third")
	before := b.probe.Queries()
	release()
	for b.plugin.Stats().PreloadCount == 0 {
		runtime.Gosched()
	}
	b.settle()
	if name, queries := b.read(t, 1); name != "third" || queries != 0 {
		t.Errorf("got %q with %d queries, want the third name from memory", name, queries)
	}
	if n := b.probe.Queries() - before; n != 1 {
		t.Errorf("%d queries for two writes in a row, want one", n)
	}
}

type workerBlob struct {
	_    struct{} `preload:""`
	ID   uint
	Name string
	Data []byte
}

// TestAnEmptyBindValueIsLoadedAgainAsItIs has a query for empty bytes, which are not NULL.
func TestAnEmptyBindValueIsLoadedAgainAsItIs(t *testing.T) {
	t.Parallel()
	b := setup(t, WithThreshold(0))
	if err := b.db.AutoMigrate(&workerBlob{}); err != nil {
		t.Fatal(err)
	}
	if err := b.db.Create(&[]workerBlob{{Name: "empty", Data: []byte{}}, {Name: "full", Data: []byte("x")}}).Error; err != nil {
		t.Fatal(err)
	}
	read := func() (blobs []workerBlob) {
		if err := b.db.Where("data = ?", []byte{}).Find(&blobs).Error; err != nil {
			t.Fatal(err)
		}
		return blobs
	}
	if got := read(); len(got) != 1 {
		t.Fatalf("the database finds %v", got)
	}
	_ = b.plugin.Invalidate(&workerBlob{})
	b.tick()
	if n := b.plugin.Stats().PreloadCount; n != 1 {
		t.Fatalf("%d loaded, want 1", n)
	}
	if got := read(); len(got) != 1 || got[0].Name != "empty" {
		t.Errorf("found %v, want the empty one", got)
	}
}

// TestATickLoadsWhatIsHotEnoughToBeUsed has lukewarm keys that ticks load in vain, and then not.
func TestATickLoadsWhatIsHotEnoughToBeUsed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.idle(t, 8)
	const hot, all = 8, 48
	for id := range uint(all) {
		if err := b.db.Save(&workerUser{ID: id + 1, Name: "some"}).Error; err != nil {
			t.Fatal(err)
		}
	}
	for id := range uint(all) {
		b.read(t, id+1)
		for id < hot && b.plugin.Stats().Hits < int64(20*(id+1)) {
			b.read(t, id+1)
		}
	}
	// rounds returns how much ticks load, and how much of that is used, while so many keys are read
	// after each.
	rounds := func(n int, read uint) (loaded, used int64) {
		before := b.plugin.Stats()
		for range n {
			_ = b.plugin.Invalidate(&workerUser{})
			b.tick()
			for id := range read {
				b.read(t, id+1)
			}
		}
		after := b.plugin.Stats()
		return after.PreloadCount - before.PreloadCount, after.PreloadHits - before.PreloadHits
	}
	if loaded, _ := rounds(1, hot); loaded != all {
		t.Errorf("at first a tick loads %d keys, want %d", loaded, all)
	}
	rounds(40, hot)
	loaded, used := rounds(40, hot)
	if float64(used) < prediction.HotShare*float64(loaded) {
		t.Errorf("%d of %d loads were used", used, loaded)
	}
	if used < 30*hot {
		t.Errorf("%d loads were used, though %d keys are hot", used, hot)
	}
	// It is of the last few rounds, and the limit follows it.
	if share := b.plugin.Stats().HotUsed; share < 0.8*prediction.HotShare {
		t.Errorf("Stats().HotUsed is %v, want about %v", share, prediction.HotShare)
	}
	rounds(60, all)
	if loaded, used := rounds(10, all); used < 9*all || float64(used) < prediction.HotShare*float64(loaded) {
		t.Errorf("%d of %d loads were used once %d keys are hot in each of 10 rounds", used, loaded, all)
	}
}

// TestNoConnectionIsTakenWhileATransactionIsOpenOnOne that was begun as a statement: it might be the
// one that is taken.
func TestNoConnectionIsTakenWhileATransactionIsOpenOnOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 {
		if room := b.plugin.worker.Room(); room == runner.NoRoom || !b.plugin.source.Alike() {
			t.Fatalf("room %d, connections alike: %t", room, b.plugin.source.Alike())
		}
		if err := b.db.Exec("BEGIN").Error; err != nil {
			t.Fatal(err)
		}
		if room := b.plugin.worker.Room(); room != runner.NoRoom {
			t.Errorf("room %d while a transaction is open", room)
		}
		if err := b.db.Exec("COMMIT").Error; err != nil {
			t.Fatal(err)
		}
	}
}

// TestNothingIsToldOfHotKeysAfterTheEnd also where a tick looked at them.
func TestNothingIsToldOfHotKeysAfterTheEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Plugin){"Clear": (*Plugin).Clear, "Close": func(p *Plugin) { _ = p.Close() }} {
		b := setup(t, WithThreshold(0.1))
		for range 5 {
			b.read(t, 1)
		}
		_ = b.plugin.Invalidate()
		b.tick()
		if b.plugin.worker.Told.Bytes() == 0 {
			t.Fatal("a tick holds nothing of hot keys")
		}
		end(b.plugin)
		if m := b.plugin.Stats().Memory; m.Patterns > 0 {
			t.Errorf("after %s %d bytes of patterns are told", name, m.Patterns)
		}
	}
}

// What raw SQL gave is loaded in the background like any other answer.
func TestATickLoadsRawSQLThatIsHot(t *testing.T) {
	t.Parallel()
	b := setup(t, WithThreshold(2), WithRaw())
	if err := b.plugin.Register(&workerUser{}); err != nil {
		t.Fatal(err)
	}
	reads := map[string]func() (string, error){
		"Find": func() (name string, err error) {
			err = b.db.Raw("SELECT name FROM worker_users WHERE id = ?", 1).Find(&name).Error
			return name, err
		},
		"Scan": func() (name string, err error) {
			err = b.db.Raw("SELECT name FROM worker_users WHERE id = ?", 2).Scan(&name).Error
			return name, err
		},
		"Take": func() (string, error) {
			var user workerUser
			err := b.db.Raw("SELECT * FROM worker_users WHERE id = ?", 3).Take(&user).Error
			return user.Name, err
		},
	}
	for form, read := range reads {
		for range 3 {
			if _, err := read(); err != nil {
				t.Fatalf("%s: %v", form, err)
			}
		}
	}
	b.writeUnseen(t, "UPDATE worker_users SET name = 'new'")
	_ = b.plugin.Invalidate(&workerUser{})
	b.tick()
	before := b.probe.Queries()
	for form, read := range reads {
		if name, err := read(); name != "new" || err != nil || b.probe.Queries() != before {
			t.Errorf("%s: %q, %v, with %d queries; want it from memory", form, name, err, b.probe.Queries()-before)
		}
	}
}
