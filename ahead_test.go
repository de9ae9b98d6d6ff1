package preload

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

// Corners of what is loaded before it is asked for.

// hotAgain has a query asked with some args, and loads these keys after a restart.
func hotAgain(t *testing.T, d *dbtest.Database, ask func(b *bench)) *bench {
	t.Helper()
	b, _ := manySetup(t, d)
	ask(b)
	file := b.saved(t)
	b, _ = reopened(t, d, &manyItem{})
	if err := b.plugin.LoadHot(t.Context(), bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	return b
}

func takeItem(b *bench, id any) error {
	var x manyItem
	return b.db.Where("id = ?", id).Take(&x).Error
}

func TestANumberAndItsTextAreLoadedApart(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		ids := []any{5, "5", 6, int64(6), uint(6), "7", 7}
		b := hotAgain(t, d, func(b *bench) {
			for _, id := range ids {
				if err := takeItem(b, id); err != nil {
					t.Fatal(err)
				}
			}
		})
		for _, id := range ids {
			if err := takeItem(b, id); err != nil {
				t.Errorf("id %#v: %v", id, err)
			}
		}
	})
}

func TestALimitIsHeededByWhatIsLoadedTogether(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b, plain := manySetup(t, d)
		for _, limit := range []int{0, 1, 2, -1} {
			ask := func(db *gorm.DB, id int) (x []manyItem) {
				if err := db.Where("id = ?", id).Limit(limit).Find(&x).Error; err != nil {
					t.Fatal(err)
				}
				return x
			}
			b.plugin.Clear()
			ask(b.db, 1)
			ask(b.db, 2)
			keys := b.plugin.PreloadKeys(10)
			_ = b.plugin.Invalidate()
			r, _ := b.plugin.worker.Together([]*association.Expected{{Key: keys[0]}, {Key: keys[1]}})
			if together := len(r.With) == 1; together != (limit != 0) {
				t.Errorf("limit %d: loaded together: %v", limit, together)
			}
			if run := r.Load(t.Context()); run != nil {
				if _, err := run(); err != nil {
					t.Error(err)
				}
			}
			for _, id := range []int{1, 2} {
				if got, want := ask(b.db, id), ask(plain, id); len(got) != len(want) {
					t.Errorf("limit %d, id %d: %d rows, want %d", limit, id, len(got), len(want))
				}
			}
		}
	})
}

// collatedCode has a column whose collation takes texts for the same that a unique index tells
// apart.
type collatedCode struct {
	_    struct{} `preload:""`
	ID   int64
	Code string `gorm:"uniqueIndex"`
}

func TestTextsThatACollationTakesForTheSameAreLoadedApart(t *testing.T) {
	t.Parallel()
	for collation, other := range map[string]string{"NOCASE": "C5", "RTRIM": "c5 "} {
		t.Run(collation, func(t *testing.T) {
			t.Parallel()
			d := dbtest.SQLite(t)
			b := &bench{db: d.Open(t), clock: dbtest.NewClock(), probe: d.Probe, plugin: New()}
			plain := d.Open(t)
			for _, sql := range []string{
				"CREATE TABLE collated_codes (id integer PRIMARY KEY, code text COLLATE " + collation + ")",
				"CREATE UNIQUE INDEX u ON collated_codes (code COLLATE BINARY)",
				"INSERT INTO collated_codes VALUES (1, '" + other + "'), (2, 'c5'), (3, 'x')",
			} {
				if err := plain.Exec(sql).Error; err != nil {
					t.Fatal(err)
				}
			}
			if err := b.db.Use(b.plugin); err != nil {
				t.Fatal(err)
			}
			defer b.plugin.Close()
			for _, pair := range [][]string{{"c5", other}, {"c5", "x"}} {
				ask := func(db *gorm.DB, code string) (x collatedCode) {
					if err := db.Where("code = ?", code).First(&x).Error; err != nil {
						t.Fatal(err)
					}
					return x
				}
				b.plugin.Clear()
				ask(b.db, pair[0])
				ask(b.db, pair[1])
				keys := b.plugin.PreloadKeys(10)
				_ = b.plugin.Invalidate()
				r, _ := b.plugin.worker.Together([]*association.Expected{{Key: keys[0]}, {Key: keys[1]}})
				if run := r.Load(context.Background()); run != nil {
					_, _ = run()
				}
				for _, code := range pair {
					if got, want := ask(b.db, code), ask(plain, code); got != want {
						t.Errorf("%q: %+v, want %+v", code, got, want)
					}
				}
			}
		})
	}
}

// TestALoaderOfTheApplicationIsNotBehindTheGate has it ask the database in another goroutine.
func TestALoaderOfTheApplicationIsNotBehindTheGate(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"tick", "expected"} {
		b := setup(t)
		failed := make(chan error, 10)
		loader := func(ctx context.Context) (string, error) {
			answer := make(chan error, 1)
			go func() {
				var u workerUser
				answer <- b.db.WithContext(ContextWithBypass(ctx)).First(&u, 1).Error
			}()
			err := <-answer
			failed <- err
			return "x", err
		}
		if _, err := Load(context.Background(), b.plugin, "own", loader); err != nil {
			t.Fatal(err)
		}
		<-failed
		_ = b.plugin.Invalidate()
		if way == "tick" {
			b.tick()
		} else {
			b.plugin.RecordAccess("first", "own")
		}
		if err := <-failed; err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
}

func TestAStatementAtTheGateHeedsItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.read(t, 1)
	_ = b.plugin.Invalidate()
	arrived, release := b.hold(t)
	var ticking sync.WaitGroup
	ticking.Go(b.plugin.worker.Tick)
	<-arrived
	ctx, cancel := context.WithCancel(context.Background())
	returned := make(chan error)
	go func() {
		var u workerUser
		returned <- b.db.WithContext(ContextWithBypass(ctx)).First(&u, 2).Error
	}()
	cancel()
	if err := <-returned; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	release()
	ticking.Wait()
	b.settle()
}

// heated is a Scorer that says for a while that everything is infinitely hot.
type heated struct {
	Scorer
	on *atomic.Bool
}

func (s heated) Score(weight float64, n int64, last, now time.Time) float64 {
	if s.on.Load() {
		return math.Inf(1)
	}
	return s.Scorer.Score(weight, n, last, now)
}

func TestTicksGoOnAfterScoresThatWereInfinite(t *testing.T) {
	t.Parallel()
	for _, clear := range []bool{false, true} {
		var on atomic.Bool
		b := setup(t, WithScorer(heated{NewCountScorer(0.9), &on}))
		b.idle(t, 8)
		ask := func() {
			for id := range uint(10) {
				b.read(t, id+1)
			}
		}
		ask()
		on.Store(true)
		for range 6 { // loaded, and not read
			_ = b.plugin.Invalidate()
			b.tick()
		}
		on.Store(false)
		ticks := 100
		if clear {
			b.plugin.Clear()
			ticks = 1
		}
		ask()
		before := b.plugin.Stats().PreloadCount
		for range ticks {
			_ = b.plugin.Invalidate()
			b.tick()
		}
		if b.plugin.Stats().PreloadCount == before {
			t.Errorf("cleared: %v: ticks load nothing any more", clear)
		}
	}
}

// TestWhatLeftIsNotHeld has so much loaded ahead that most of it leaves.
func TestWhatLeftIsNotHeld(t *testing.T) {
	t.Parallel()
	const size = 20 << 10
	b := setupLinked(t, WithMaxBytes(20*size))
	if err := b.plain.Exec("UPDATE linked_books SET title = ?", strings.Repeat("x", size)).Error; err != nil {
		t.Fatal(err)
	}
	_ = b.plugin.Invalidate()
	var met []weak.Pointer[cache.Entry]
	for n := range int64(200) {
		b.page(t, n+1)
		b.plugin.cache.Each(func(e *cache.Entry) { met = append(met, weak.Make(e)) })
	}
	b.quiesce(t)
	runtime.GC()
	runtime.GC()
	held := map[*cache.Entry]bool{}
	for _, w := range met {
		if e := w.Value(); e != nil && !e.Stored() {
			held[e] = true
		}
	}
	// The window of a session has the last ones only.
	if s := b.plugin.Stats(); len(held) > 2 || s.Prediction.Useful == 0 || s.Evicted < 100 {
		t.Errorf("%d answers that left are held; %+v", len(held), s)
	}
}

func TestOneBadKeyDoesNotKeepOthersFromBeingLoaded(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b, _ := manySetup(t, d)
		for _, id := range []any{4, 5, 6, 7} {
			if err := takeItem(b, id); err != nil {
				t.Fatal(err)
			}
		}
		file := b.saved(t)
		b, _ = reopened(t, d, &manyItem{})
		// The first query with more than one of them fails, and one of the others.
		var first, bad atomic.Bool
		b.probe.Before(func(c dbtest.Call) error {
			switch {
			case c.Op != "query" || !strings.Contains(c.SQL, "many_items"):
			case strings.Contains(c.SQL, " IN (") && !first.Swap(true), !strings.Contains(c.SQL, " IN (") && !bad.Swap(true):
				return errors.New("a bad key")
			}
			return nil
		})
		if err := b.plugin.LoadHot(t.Context(), bytes.NewReader(file)); err != nil {
			t.Fatal(err)
		}
		b.probe.Before(nil)
		if n := b.plugin.Stats().Entries; n != 3 || !first.Load() {
			t.Errorf("%d of 4 keys were loaded, want all but one", n)
		}
	})
}

func TestHotKeysOutliveAValueOfANamedType(t *testing.T) {
	t.Parallel()
	type id int
	b := hotAgain(t, dbtest.SQLite(t), func(b *bench) {
		for n := range 5 {
			if err := takeItem(b, n+4); err != nil {
				t.Fatal(err)
			}
		}
	})
	before := b.plugin.Stats().Entries
	if err := takeItem(b, id(10)); err != nil {
		t.Fatal(err)
	}
	if n := b.plugin.Stats().Entries; n != before+1 {
		t.Errorf("%d entries after LoadHot, %d after one more query", before, n)
	}
}

func TestHotKeysAreNotSavedOnceTheyAreForgotten(t *testing.T) {
	t.Parallel()
	b, _ := manySetup(t, dbtest.SQLite(t))
	if err := errors.Join(takeItem(b, 1), b.plugin.Close()); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := b.plugin.SaveHot(&file); err == nil || file.Len() > 0 {
		t.Errorf("%v, and it wrote %q", err, &file)
	}
}

func TestProgressOfLoadHotMayBeNil(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	b, _ := manySetup(t, d)
	file := b.saved(t)
	b, _ = reopened(t, d, &manyItem{})
	if err := b.plugin.LoadHot(t.Context(), bytes.NewReader(file), nil); err != nil {
		t.Error(err)
	}
}

func TestClearForgetsWhatWasLearned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 100 {
		b.plugin.RecordAccess("a", "b")
		b.plugin.Clear()
		if related := b.plugin.RelatedKeys("a"); len(related) > 0 {
			t.Fatalf("%q follows after Clear", related)
		}
		b.plugin.RecordAccess("c", "d")
		if related := b.plugin.RelatedKeys("c"); len(related) != 1 {
			t.Fatalf("%q follows, want what was declared after Clear", related)
		}
	}
	for range 20 {
		b.read(t, 1)
	}
	b.plugin.RelatedKeys("a") // once it has learned
	b.plugin.Clear()
	if s := b.plugin.Stats().Prediction; s.Learned != 0 || s.Lost != 0 || s.Level == 0 {
		t.Errorf("%+v", s)
	}
}

func TestNothingWaitsAfterClose(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.read(t, 1)
	key := b.plugin.PreloadKeys(1)[0]
	_ = b.plugin.Invalidate()
	for range 40 {
		b.plugin.worker.Expect(&association.Expected{Key: key})
	}
	_ = b.plugin.Close()
	if n := b.plugin.Stats().Prediction.Waiting; n != 0 {
		t.Errorf("%d loads wait after Close", n)
	}
}

var panickyCodes atomic.Bool

type panickyCode string

// Value implements driver.Valuer.
func (c panickyCode) Value() (driver.Value, error) {
	if panickyCodes.Load() {
		panic("value")
	}
	return string(c), nil
}

type panickyAuthor struct {
	_    struct{} `preload:""`
	ID   int64
	Code panickyCode
}

type panickyBook struct {
	_    struct{} `preload:""`
	ID   int64
	Code string
}

// TestAValuerThatPanicsWhileAssociationsAreLearned has one that does so on the goroutine that
// learns.
func TestAValuerThatPanicsWhileAssociationsAreLearned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.db.AutoMigrate(&panickyAuthor{}, &panickyBook{}); err != nil {
		t.Fatal(err)
	}
	page := func(n int64) {
		ctx := ContextWithSession(context.Background(), fmt.Sprint(n))
		var author panickyAuthor
		var book panickyBook
		if err := errors.Join(
			b.db.WithContext(ctx).Where("id = ?", n).Take(&author).Error,
			b.db.WithContext(ctx).Where("code = ?", string(author.Code)).Take(&book).Error,
		); err != nil {
			t.Fatal(err)
		}
	}
	for n := range int64(60) {
		code := fmt.Sprint("code", n+1)
		if err := errors.Join(b.db.Create(&panickyAuthor{ID: n + 1, Code: panickyCode(code)}).Error, b.db.Create(&panickyBook{ID: n + 100, Code: code}).Error); err != nil {
			t.Fatal(err)
		}
	}
	for n := range int64(20) {
		page(n + 1)
		b.plugin.RelatedKeys("") // once it has learned
	}
	var key string
	for _, k := range b.plugin.PreloadKeys(100) {
		if strings.Contains(k, "panicky_authors") {
			key = k
		}
	}
	_ = b.plugin.Invalidate()
	panickyCodes.Store(true)
	t.Cleanup(func() { panickyCodes.Store(false) })
	x := &association.Expected{Key: key}
	x.Prediction.Probability = 1
	b.plugin.worker.Expect(x)
	for deadline := time.Now().Add(time.Minute); b.plugin.Stats().Prediction.Waiting > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d loads wait for ever", b.plugin.Stats().Prediction.Waiting)
		}
	}
}
