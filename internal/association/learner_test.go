package association

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/processors"
	"github.com/gorm-preload/preload/internal/template"
)

const testPrefix = "own:test:"

// testStore is a store of a test's own.
type testStore struct{ sync.Map }

// originKey is the key of a value by which the origin of a load is known again.
type originKey struct{}

func (s *testStore) Get(key string) (any, bool) { return s.Load(key) }
func (s *testStore) Set(key string, value any)  { s.Store(key, value) }
func (s *testStore) Delete(key string)          { s.Map.Delete(key) }

// world is a learner of an application's own keys, and what it expects.
type world struct {
	*Learner
	end      context.CancelFunc
	mu       sync.Mutex
	expected []*Expected
	now      time.Time
}

// setup returns a learner that does not run yet. Keys that begin with "unknown" cannot be loaded.
func setup(t testing.TB) *world {
	t.Helper()
	w := &world{now: time.Unix(1_000_000, 0)}
	now := func() time.Time { return w.now }
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(end)
	w.end = end
	index := coherence.New(now)
	c := cache.New(cache.Config{Store: &testStore{}, MaxEntries: 100, MaxBytes: 1 << 20, Waits: cache.UsualWaits, Index: index, Now: now, Pushed: func(*cache.Entry) {}})
	report := func(_ slog.Level, event, shape string, attrs ...any) { t.Errorf("%s %s %v", event, shape, attrs) }
	w.Learner = New(Config{
		Context: ctx, Cache: c, Templates: template.NewSet(template.Config{Cache: c, Index: index, Report: report}), OwnPrefix: testPrefix, Origin: failopen.Origin(nil, nil),
		Processors: new(processors.Waits),
		MaxEntries: 100, GraphBytes: 1 << 20, RuleBytes: 1 << 20, Now: now, Report: report,
		Loadable: func(key string) bool { return !strings.HasPrefix(key, "unknown") },
		Expect: func(x *Expected) bool {
			c.Await(&x.Trial)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.expected = append(w.expected, x)
			return true
		},
	})
	return w
}

// run has the learner run until the test ends.
func (w *world) run(t *testing.T) {
	t.Helper()
	var ends sync.WaitGroup
	ends.Go(w.Run)
	t.Cleanup(func() {
		w.end()
		ends.Wait()
	})
}

// took returns what the learner, after it has learned from all that is there, expects since the
// last call, by key.
func (w *world) took() map[string]*Expected {
	w.Related("")
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]*Expected{}
	for _, x := range w.expected {
		all[x.Key] = x
	}
	w.expected = nil
	return all
}

// entry returns the entry of an application's own key.
func (w *world) entry(key string) *cache.Entry {
	return cache.NewEntry(testPrefix+key, w.Cache.Counts.Tally(""))
}

// testKey returns a key that is of the control group, or is not.
func testKey(name string, control bool) string {
	for n := 0; ; n++ {
		if key := fmt.Sprint(name, n); Control(cache.Hash(key)) == control {
			return key
		}
	}
}

// TestWhatIsSaidToFollowIsExpected unless it is of the control group or cannot be loaded; and what
// follows it is, once it is there.
func TestWhatIsSaidToFollowIsExpected(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.run(t)
	a, b, c := testKey("a", false), testKey("b", false), testKey("c", false)
	control, unknown := testKey("control", true), testKey("unknown", false)
	w.Declare(b, []string{c}, w.now)
	first := w.took()[c]
	if first == nil {
		t.Fatalf("%s is not expected after %s", c, b)
	}
	first.End(cache.Void)
	w.Declare(a, []string{b, control, unknown}, w.now)
	all := w.took()
	if all[b] == nil || all[control] != nil || all[unknown] != nil || all[a] != nil {
		t.Fatalf("after %s: expected %v, want %s and what follows it", a, all, b)
	}
	if x := all[c]; x != nil {
		x.End(cache.Late)
	}
	if related := w.Related(a); len(related) != 3 || !slices.Contains(related, control) {
		t.Errorf("%q follow %s, want all that were said to", related, a)
	}
	origin := context.WithValue(t.Context(), originKey{}, "of its load")
	w.Loaded(all[b], w.entry(b), origin)
	next := w.took()[c]
	if next != nil && next.Origin != origin {
		t.Errorf("%s is expected after a read with %v, want %v", c, next.Origin, origin)
	}
	if next == nil || next.Walk <= all[b].Walk || next.Prediction.Depth != 2 {
		t.Fatalf("once %s is there: expected %+v, want %s in a later walk, two steps from %s", b, next, c, a)
	}
	if n := w.Cache.Awaited(); n != 1 {
		t.Errorf("%d are awaited, want %s", n, c)
	}
	// What waits for its load is not expected again.
	w.Declare(b, nil, w.now)
	if all := w.took(); all[c] != nil {
		t.Errorf("%s is expected twice", c)
	}
}

// TestClearForgets what was said before it, also what was not heard yet.
func TestClearForgets(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a, b, c := testKey("a", false), testKey("b", false), testKey("c", false)
	w.Declare(b, []string{c}, w.now)
	w.Clear()
	w.Declare(a, []string{b}, w.now)
	w.run(t)
	if got := w.Related(b); len(got) != 0 {
		t.Errorf("%q follow %s, which was said before Clear", got, b)
	}
	if got := w.Related(a); !slices.Equal(got, []string{b}) {
		t.Errorf("%q follow %s, want %s, which was said after Clear", got, a, b)
	}
	x := w.took()[b]
	if x == nil {
		t.Fatalf("%s is not expected", b)
	}
	w.Note(context.Background(), 0, prediction.Session{}, w.entry(a), w.now, Hit)
	w.took()
	if w.Learned() != 1 {
		t.Errorf("learned from %d accesses, want 1", w.Learned())
	}
	w.Clear()
	w.Declare(b, []string{c}, w.now)
	after := w.took()[c]
	if after == nil {
		t.Fatalf("%s is not expected", c)
	}
	after.End(cache.Void)
	w.Loaded(x, w.entry(b), nil) // it was expected before Clear
	if all := w.took(); len(all) > 0 || w.Cache.Awaited() > 0 || w.Learned() > 0 || w.Clears() != 2 {
		t.Errorf("expected %v on account of what was expected before Clear; %d are awaited, learned from %d, %d Clears", all, w.Cache.Awaited(), w.Learned(), w.Clears())
	}
}

// TestWhatIsToldIsHeard also when it is too much, and when the learner ends.
func TestWhatIsToldIsHeard(t *testing.T) {
	t.Parallel()
	w := setup(t)
	loaded := func(hot bool) {
		x := &Expected{Key: "a", Hot: hot}
		w.Cache.Await(&x.Trial)
		w.Loaded(x, w.entry("a"), nil)
	}
	loaded(true)
	if n := w.Cache.Awaited(); n != 0 {
		t.Errorf("%d are awaited, want none that is hot", n)
	}
	for range maxTold + 10 {
		loaded(false)
	}
	if n := w.Cache.Awaited(); n != maxTold || w.Rests() {
		t.Errorf("%d are awaited, want %d; or the learner rests", n, maxTold)
	}
	w.end()
	w.Run()
	if related := w.Related("a"); related != nil {
		t.Errorf("%q are told after the learner's end", related)
	}
	// Whether it hears of something or of its end first is not up to it.
	for range 20 {
		w := setup(t)
		x := &Expected{Key: "a"}
		w.Cache.Await(&x.Trial)
		w.Loaded(x, w.entry("a"), nil)
		w.end()
		w.Run()
		if n := w.Cache.Awaited(); n != 0 || w.Bytes() != 0 {
			t.Fatalf("%d are awaited after the learner's end, and it holds %d bytes", n, w.Bytes())
		}
	}
}

func TestAMissOfWhatLeftForWhatIsExpectedIsItsFault(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.run(t)
	e := w.entry("a")
	for _, want := range []float64{0, 0.5, 1. / 3} {
		if want == 0.5 {
			w.Pushed(e)
		}
		w.Note(context.Background(), 0, prediction.Session{}, e, w.now, Miss)
		w.took()
		if got := w.Figures().Pollution; got != want {
			t.Errorf("pollution %v, want %v", got, want)
		}
	}
}

// TestNotingAllocatesNothing also where there is no room, and nothing is noted of what is not
// sampled.
func TestNotingAllocatesNothing(t *testing.T) { //nolint:paralleltest // AllocsPerRun does not allow it
	w := setup(t)
	e := w.entry("a")
	for _, kind := range []Kind{Hit, First, Miss} {
		if n := testing.AllocsPerRun(1_000, func() { w.Note(context.Background(), 0, prediction.Session{}, e, w.now, kind) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		if lost := w.Lost() > 0; lost != (kind != Hit) {
			t.Errorf("kind %d: lost is %v, though hits may be left out, and nobody learns", kind, lost)
		}
	}
	w = setup(t)
	w.rare.Store(64)
	for range 1_000 {
		w.Note(context.Background(), 0, prediction.Session{}, e, w.now, Hit)
	}
	if _, some := w.buffer.Wait(); some || w.Lost() > 0 {
		t.Errorf("hits are noted that are not sampled: some %v, lost %d", some, w.Lost())
	}
}

// TestWhatIsLoadedAfterTheEndIsNotAwaited has loads end before, while and after the learner does.
func TestWhatIsLoadedAfterTheEndIsNotAwaited(t *testing.T) {
	t.Parallel()
	w := setup(t)
	load := func(key string) {
		x := &Expected{Key: key}
		w.Expect(x)
		w.Loaded(x, w.entry(key), nil)
	}
	load("before")
	if n := w.Cache.Awaited(); n != 1 {
		t.Fatalf("%d are awaited before the learner runs, want 1", n)
	}
	w.end()
	w.Run()
	load("after")
	if n := w.Cache.Awaited(); n != 0 {
		t.Errorf("%d are awaited after the end, want none", n)
	}
}

// TestHitsAreNotedWhereTheyLeadToLoads has hits of one table lead to loads, until they do not.
func TestHitsAreNotedWhereTheyLeadToLoads(t *testing.T) {
	t.Parallel()
	w := setup(t)
	table := w.Cache.Counts.Tally("t")
	for n := range int64(enoughHits) {
		w.led(table, n%leadsFrom/(leadsFrom-1))
		if leads := table.Leads.Load(); leads != (n+1 >= enoughHits) {
			t.Fatalf("after %d hits: %v", n+1, leads)
		}
	}
	for n := 0; table.Leads.Load(); n++ {
		if w.led(table, 0); n > lastHits {
			t.Fatal("they lead to nothing for long, and are still noted")
		}
	}
	for range enoughHits {
		w.led(table, 1)
	}
	if !table.Leads.Load() {
		t.Error("they lead to loads again, and are not noted")
	}
	w.forgetAll()
	if table.Leads.Load() {
		t.Error("it is still said that they lead to loads")
	}
}

// TestWhatIsNotedDependsOnWhatIsKnown notes accesses of each kind in a session that is not sampled.
func TestWhatIsNotedDependsOnWhatIsKnown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		patient bool
		want    []Kind
	}{{"eager", false, []Kind{Leading, First, Miss}}, {"nothing is loaded", true, []Kind{First, Miss}}} {
		w := setup(t)
		w.rare.Store(64)
		w.patient.Store(c.patient)
		for _, kind := range []Kind{Hit, Leading, First, Miss} {
			w.Note(context.Background(), 0, prediction.Session{}, w.entry("a"), w.now, kind)
		}
		if hurries := w.buffer.Hurries(); hurries == c.patient {
			t.Errorf("%s: hurries is %v", c.name, hurries)
		}
		var got []Kind
		w.buffer.Take(10, func(a *noted) { got = append(got, a.kind) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: kinds %v are noted, want %v", c.name, got, c.want)
		}
	}
}

// BenchmarkNote notes hits that are not sampled.
func BenchmarkNote(b *testing.B) {
	w := setup(b)
	w.rare.Store(64)
	e := w.entry("a")
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		w.Note(context.Background(), i, prediction.Session{ID: i}, e, w.now, Hit)
	}
}
