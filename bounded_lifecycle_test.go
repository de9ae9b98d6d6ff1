package preload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/gorm-preload/preload/internal/agenda"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/clock"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/own"
	"github.com/gorm-preload/preload/internal/runner"
	"gorm.io/gorm"
)

// within fails the test if what is done takes so long that it must hang.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%s hangs", what)
	}
}

func TestLoadsLeftToThemselvesAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, WithLoadTimeout(time.Millisecond))
	w := b.plugin.worker
	w.Grace = time.Millisecond
	hang := make(chan struct{})
	var stuck atomic.Int64
	for i := range 3 * runner.MaxAbandoned {
		key := fmt.Sprint("hangs", i)
		b.plugin.loaders.Register(key, func(context.Context) cache.Run {
			return func() ([]*cache.Entry, error) {
				stuck.Add(1)
				<-hang
				return nil, nil
			}
		}, 0)
		w.Load(agenda.Wish{Key: key})
	}
	if n := stuck.Load(); n > runner.MaxAbandoned+int64(w.Concurrency) {
		t.Errorf("%d loaders hang, want at most %d", n, runner.MaxAbandoned)
	}
	close(hang)
	b.settle()
	if n := b.plugin.Stats().AbandonedTasks; n != 0 || b.plugin.Stats().ActiveTasks != 0 {
		t.Errorf("%d abandoned, %d active when all have returned", n, b.plugin.Stats().ActiveTasks)
	}
}

// lifecycleAsking asks for the row that it is part of while it is scanned, once it is told to.
type lifecycleAsking struct{ s string }

var lifecycleAsk atomic.Pointer[func()]

func (a *lifecycleAsking) Scan(v any) error {
	a.s = fmt.Sprintf("%s", v)
	if ask := lifecycleAsk.Swap(nil); ask != nil {
		(*ask)()
	}
	return nil
}

type lifecycleAsker struct {
	_    struct{} `preload:""`
	ID   uint
	Name lifecycleAsking `gorm:"type:text"`
}

func TestAReloadDoesNotWaitForItself(t *testing.T) {
	// Not parallel: the Scanner has no way to know its test.
	b := setup(t)
	if err := errors.Join(b.db.AutoMigrate(&lifecycleAsker{}),
		b.db.Exec("INSERT INTO lifecycle_askers (id, name) VALUES (1, 'x')").Error,
		b.db.First(&lifecycleAsker{}, 1).Error, b.plugin.Invalidate(&lifecycleAsker{})); err != nil {
		t.Fatal(err)
	}
	asked := errors.New("not asked")
	ask := func() { asked = b.db.First(&lifecycleAsker{}, 1).Error }
	lifecycleAsk.Store(&ask)
	within(t, "a reload whose Scanner asks for the same", b.tick)
	if asked != nil {
		t.Error(asked)
	}
}

func TestNobodyWaitsForABackgroundLoadLongerThanItMayTake(t *testing.T) {
	t.Parallel()
	b := setup(t, WithLoadTimeout(10*time.Millisecond))
	began, hang := make(chan struct{}), make(chan struct{})
	var hangs atomic.Bool
	load := func(context.Context) (int, error) {
		if hangs.CompareAndSwap(true, false) {
			close(began)
			<-hang
		}
		return 1, nil
	}
	_, _ = Load(context.Background(), b.plugin, "k", load)
	_ = b.plugin.Invalidate()
	hangs.Store(true)
	b.plugin.worker.Tick()
	<-began
	within(t, "Load", func() { _, _ = Load(context.Background(), b.plugin, "k", load) })
	close(hang)
	b.settle()
}

func TestTemplatesKeepNothingOfTheRequest(t *testing.T) {
	t.Parallel()
	type big [1 << 20]byte
	type key struct{}
	type lifecycleItem struct {
		_      struct{} `preload:""`
		ID     uint
		UserID uint
		User   *workerUser
	}
	b := setup(t)
	if err := b.db.AutoMigrate(&lifecycleItem{}); err != nil {
		t.Fatal(err)
	}
	kept := func() weak.Pointer[big] {
		value := &big{}
		db := b.db.WithContext(context.WithValue(context.Background(), key{}, value))
		if err := db.Joins("User", db.Where("1 = 1")).Find(&[]lifecycleItem{}).Error; err != nil {
			t.Fatal(err)
		}
		return weak.Make(value)
	}()
	if b.plugin.Stats().Misses == 0 {
		t.Fatal("the query does not qualify: the test tests nothing")
	}
	for deadline := time.Now().Add(time.Minute); kept.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("the context of a request is kept")
		}
	}
	runtime.KeepAlive(b)
}

func TestTextsAndArgsAreBoundedByTheirSize(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("x", 1<<18)
	for i := range 20 {
		b.db.Exec(fmt.Sprintf("UPDATE worker_users SET name = '%s' WHERE id = %d", long, i+100))
		b.db.Where("name = ?", fmt.Sprint(i, long)).Find(&[]workerUser{})
		b.db.Where(fmt.Sprintf("name = '%s' AND id = %d", long, i)).Find(&[]workerUser{})
	}
	memory := b.plugin.Stats().Memory
	if n := b.plugin.loaders.Len(); memory.Statements > 4<<20 || memory.Templates > 8<<20 || n > 20 {
		t.Errorf("statements of %d bytes, templates of %d bytes, %d loaders with long args", memory.Statements, memory.Templates, n)
	}
}

type (
	lifecycleParent struct {
		_        struct{} `preload:""`
		ID       uint
		Children []lifecycleChild `gorm:"foreignKey:ParentID;constraint:OnDelete:CASCADE"`
	}
	lifecycleChild struct {
		_        struct{} `preload:""`
		ID       uint
		ParentID uint
	}
)

// gatedStore lets a test hold up Delete.
type gatedStore struct {
	Store
	gate atomic.Pointer[func()]
}

func (s *gatedStore) Delete(key string) {
	if gate := s.gate.Swap(nil); gate != nil {
		(*gate)()
	}
	s.Store.Delete(key)
}

// TestNobodyWritesBeforeWhatWasLearnedCounts: one goroutine has just learned that deletes of
// parents reach children, and has yet to kill the answers that do not depend on parents; another
// one deletes a parent meanwhile.
func TestNobodyWritesBeforeWhatWasLearnedCounts(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	plain := d.Plain(t)
	if err := errors.Join(plain.AutoMigrate(&lifecycleParent{}, &lifecycleChild{}),
		plain.Create(&lifecycleParent{ID: 1, Children: []lifecycleChild{{ID: 1}}}).Error); err != nil {
		t.Fatal(err)
	}
	store := &gatedStore{Store: NewStore()}
	db, p := d.Open(t), New(WithoutWorker(), WithStore(store))
	if err := db.Use(p); err != nil {
		t.Fatal(err)
	}
	children := func() (found []lifecycleChild) {
		db.Find(&found)
		return found
	}
	for range 2 {
		children()
	}
	if len(children()) != 1 || p.Stats().Hits != 2 {
		t.Fatal("not in memory: the test tests nothing")
	}
	learning, goOn := make(chan struct{}), make(chan struct{})
	gate := func() {
		close(learning)
		<-goOn
	}
	store.gate.Store(&gate)
	var all sync.WaitGroup
	all.Go(func() { db.Find(&[]lifecycleParent{}) })
	<-learning
	deleted := make(chan struct{})
	all.Go(func() {
		defer close(deleted)
		if err := db.Delete(&lifecycleParent{}, 1).Error; err != nil {
			t.Error(err)
		}
		if n := len(children()); n != 0 {
			t.Errorf("%d children after the delete returned", n)
		}
	})
	select {
	case <-deleted:
	case <-time.After(20 * time.Millisecond):
	}
	close(goOn)
	all.Wait()
}

func TestATransactionThatABareBeginBeganIsGivenUp(t *testing.T) {
	t.Parallel()
	if os.Getenv(dbtest.ObservedEnv) != "" {
		t.Skip("it is seen that the connection is in a transaction still, whose answers are never kept")
	}
	b := setup(t)
	if err := b.db.Exec("BEGIN").Error; err != nil { // on whichever connection; it never ends
		t.Fatal(err)
	}
	for range 2 {
		if _, queries := b.read(t, 1); queries != 1 {
			t.Error("served from memory while a transaction may be open")
		}
	}
	b.clock.Advance(commit.RawLimit*time.Second + time.Second)
	b.read(t, 1)
	b.clock.Advance(2 * time.Second)
	b.read(t, 1)
	if _, queries := b.read(t, 1); queries != 0 {
		t.Error("a transaction that never ends keeps answers out of memory for ever")
	}
}

func TestTransactionsOfAnotherPluginsPoolAreForeign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := dbtest.SQLite(t)
	other := d.Open(t)
	if err := errors.Join(other.AutoMigrate(&workerUser{}), other.Create(&workerUser{Name: "old"}).Error, other.Use(New(WithoutWorker()))); err != nil {
		t.Fatal(err)
	}
	tx := other.Begin()
	shared := b.db.Session(&gorm.Session{NewDB: true, Context: context.Background()})
	shared.Statement.ConnPool = tx.Statement.ConnPool
	if err := shared.Model(&workerUser{}).Where("id = 1").Update("name", "new").Error; err != nil {
		t.Fatal(err)
	}
	b.read(t, 1)
	if b.plugin.Stats().Entries != 0 {
		t.Error("kept while the transaction of another plugin's pool may be open")
	}
	tx.Rollback()
}

// panickyClock panics while it is armed.
type panickyClock struct{ armed atomic.Bool }

func (c *panickyClock) Now() time.Time {
	if c.armed.Load() {
		panic("clock")
	}
	return time.Now()
}

func TestAClockThatPanicsHarmsNothing(t *testing.T) {
	t.Parallel()
	clock := &panickyClock{}
	b := setup(t, WithClock(clock))
	b.read(t, 1)
	clock.armed.Store(true)
	for range 2 {
		if name, _ := b.read(t, 1); name != "u1" {
			t.Errorf("read %q", name)
		}
		if err := b.db.Model(&workerUser{ID: 2}).Update("name", "x").Error; err != nil {
			t.Error(err)
		}
	}
	b.tick()
}

func TestATemplateThatWasDroppedComesBackAsItWas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.read(t, 1)
	b.plugin.templates.Clear() // as when there are too many
	if _, queries := b.read(t, 1); queries != 0 {
		t.Error("the answer is lost with the template")
	}
	if err := b.db.Model(&workerUser{ID: 1}).Update("name", "new").Error; err != nil {
		t.Fatal(err)
	}
	if name, _ := b.read(t, 1); name != "new" {
		t.Errorf("stale: %q", name)
	}
}

func TestALoaderThatFailsIsNotAskedByEveryRead(t *testing.T) {
	t.Parallel()
	b := setup(t, WithTTL(time.Minute))
	var calls, fails atomic.Int64
	load := func(context.Context) (int, error) {
		if calls.Add(1) > 1 {
			fails.Add(1)
			return 0, errors.New("down")
		}
		return 1, nil
	}
	_, _ = Load(context.Background(), b.plugin, "k", load)
	b.clock.Advance(50 * time.Second)
	for range 50 {
		if v, err := Load(context.Background(), b.plugin, "k", load); v != 1 || err != nil {
			t.Fatalf("%d, %v while the loader fails", v, err)
		}
		b.settle()
	}
	if n := fails.Load(); n > 1 {
		t.Errorf("%d calls of a loader that fails", n)
	}
}

func TestPreloadsOfOneKeyAtOnceAreNoError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	started, goOn := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		first <- b.plugin.Preload(context.Background(), "k", func(context.Context) (any, error) {
			close(started)
			<-goOn
			return 1, nil
		})
	}()
	<-started
	second := b.plugin.Preload(context.Background(), "k", func(context.Context) (any, error) { return 2, nil })
	close(goOn)
	if err := errors.Join(second, <-first); err != nil {
		t.Error(err)
	}
	if v, _ := Load(context.Background(), b.plugin, "k", func(context.Context) (int, error) { return 3, nil }); v != 2 {
		t.Errorf("%d is kept, want what was loaded last", v)
	}
}

// TestEverythingAtOnce ends with nothing left. Run it with -race.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, WithTTL(20*time.Millisecond), WithClock(&clock.System{}), WithMaxEntries(5), WithMaxPatterns(6), WithMaxLoaders(5))
	ctx := context.Background()
	var all sync.WaitGroup
	for _, do := range []func(i int){
		func(i int) { b.db.Find(&workerUser{}, i%10+1) },
		func(i int) { b.db.Find(&workerUser{}, i%10+1) },
		func(i int) { b.db.Clauses(Refresh).Find(&workerUser{}, i%10+1) },
		func(i int) { b.db.Model(&workerUser{}).Where("id = ?", i%10+1).Update("name", fmt.Sprint(i)) },
		func(i int) {
			_, _ = Load(ctx, b.plugin, fmt.Sprint("k", i%4), func(context.Context) (map[string]int, error) { return map[string]int{"a": i}, nil })
		},
		func(i int) {
			_ = b.plugin.Preload(ctx, fmt.Sprint("k", i%4), func(context.Context) (any, error) { return map[string]int{}, nil })
		},
		func(i int) { b.plugin.Stats(); b.plugin.Hot(3); b.plugin.RecordAccess(fmt.Sprint("k", i%9), "a", "b") },
		func(i int) {
			if i%50 == 0 {
				b.plugin.Clear()
			}
			_ = b.plugin.Invalidate(&workerUser{})
		},
		func(i int) {
			if i == 200 {
				_ = b.plugin.Close()
			}
		},
	} {
		all.Go(func() {
			for i := range 300 {
				do(i)
			}
		})
	}
	all.Wait()
	s := b.plugin.Stats()
	if s.Entries != 0 || s.Bytes != 0 || s.ActiveTasks != 0 || s.TrackedPatterns != 0 || s.Models["worker_users"].Entries != 0 ||
		b.plugin.cache.Counts.Tally(own.Table).Entries.Load() != 0 || b.plugin.cache.Index.Size() != 0 || b.plugin.loaders.Len() != 0 || flightsOf(b) != 0 {
		t.Errorf("left: %+v, %d guards, %d loaders, %d flights", s, b.plugin.cache.Index.Size(), b.plugin.loaders.Len(), flightsOf(b))
	}
}
