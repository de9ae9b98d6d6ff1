package own

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
)

// memory is a store without a bound.
type memory map[string]any

func (m memory) Get(key string) (any, bool) { v, ok := m[key]; return v, ok }
func (m memory) Set(key string, value any)  { m[key] = value }
func (m memory) Delete(key string)          { delete(m, key) }

// setup returns data of which one goroutine asks, and the loaders that it registers. Partitions are
// named by the context.
func setup() (d *Data, registered map[string]cache.Loader) {
	registered = map[string]cache.Loader{}
	now := func() time.Time { return time.Unix(1e9, 0) }
	index := coherence.New(now)
	d = New(Config{
		Cache: cache.New(cache.Config{
			Store: memory{}, MaxEntries: 100, MaxBytes: 1 << 20, Waits: cache.UsualWaits, Index: index, Now: now,
		}),
		Index: index, TTL: time.Minute,
		Partition: func(ctx context.Context) string { name, _ := ctx.Value(partition{}).(string); return name },
		Report:    func(slog.Level, string, string, ...any) {},
		Pattern:   func(string) *hotness.Pattern { return nil },
		Record:    func(string, time.Time) *hotness.Pattern { return nil },
		Hit:       func(context.Context, *cache.Entry, *cache.Tally, time.Time) {},
		Note:      func(context.Context, *cache.Entry, time.Time) {},
		Missed:    func(context.Context, *cache.Tally, string, string, seen.Cause, int64, time.Duration) {}, Joined: func(_ context.Context, e *cache.Entry, _ time.Time) { e.Tally.Hits.Add(1) },
		Register: func(key string, load cache.Loader) { registered[key] = load },
	})
	return d, registered
}

type partition struct{}

func TestAKeyInTheStoreIsOneDatasAlone(t *testing.T) {
	t.Parallel()
	a, _ := setup()
	b, _ := setup()
	const query = template.KeyPrefix + "users#Prt6Bo1Jd2J6Zl5h:i1;"
	for _, key := range []string{"", "k", "own:", "own:1:k", query} {
		stored := a.StoreKey(key)
		if public := a.PublicKey(&cache.Entry{Key: stored}); public != key {
			t.Errorf("%q is %q in the store, and %q for users", key, stored, public)
		}
		if same := stored == b.StoreKey(key); same != (key == query) {
			t.Errorf("%q is %q in the store of either: %t", key, stored, same)
		}
	}
	if a.Prefix() == b.Prefix() {
		t.Errorf("both have the prefix %q", a.Prefix())
	}
}

func TestALongKeyIsKeptShort(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", maxKey)
	for _, key := range []string{"", "k", strings.Repeat("k", maxKey)} {
		if ShortKey(key) != key {
			t.Errorf("%q is kept as %q", key, ShortKey(key))
		}
	}
	short := ShortKey(long)
	if len(short) > maxKey || !strings.HasPrefix(short, "é") || !utf8.ValidString(short) || ShortKey(short) != short {
		t.Errorf("a long key is kept as %q", short)
	}
	if other := ShortKey(long + "x"); other == short {
		t.Error("two long keys are kept as one")
	}
	if odd := ShortKey("a" + long); !utf8.ValidString(odd) {
		t.Errorf("a letter is cut in two: %q", odd)
	}
}

func TestAValueOfAPartitionIsNotLoadedInTheBackground(t *testing.T) {
	t.Parallel()
	d, registered := setup()
	of := func(name string) func(context.Context) (any, error) {
		return func(context.Context) (any, error) { return name, nil }
	}
	ask := func(ctx context.Context, want string) {
		t.Helper()
		if err := d.Preload(ctx, "k", of(want)); err != nil {
			t.Fatal(err)
		}
	}
	a, b := context.WithValue(t.Context(), partition{}, "a"), context.WithValue(t.Context(), partition{}, "a:k")
	ask(t.Context(), "everybody's")
	ask(a, "a's")
	ask(b, "b's")
	if len(registered) != 1 || registered["k"] == nil {
		t.Errorf("%d loaders, want the one of everybody's", len(registered))
	}
	for want, ctx := range map[string]context.Context{"everybody's": t.Context(), "a's": a, "b's": b} {
		if got, ok := d.find(t, ctx, "k").(string); !ok || got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// find returns what is in memory.
func (d *Data) find(t *testing.T, ctx context.Context, key string) any {
	t.Helper()
	key, _ = d.keyIn(ctx, key)
	e := d.Cache.Find(d.prefix+key, d.Cache.Now())
	if e == nil {
		t.Fatalf("%q is not in memory", key)
	}
	return *(*any)(e.Value)
}

func TestALoaderLoadsAgainOnceAtATime(t *testing.T) {
	t.Parallel()
	d, registered := setup()
	n := 0
	if err := d.Preload(t.Context(), "k", func(context.Context) (any, error) { n++; return n, nil }); err != nil {
		t.Fatal(err)
	}
	load := registered["k"]
	run := load(t.Context())
	if run == nil {
		t.Fatal("it is not loaded again")
	}
	if load(t.Context()) != nil {
		t.Error("it is loaded twice at a time")
	}
	stored, err := run()
	if err != nil || len(stored) != 1 || d.PublicKey(stored[0]) != "k" || d.find(t, t.Context(), "k") != 2 {
		t.Errorf("%d stored, %v", len(stored), err)
	}
	if err := d.Cache.Check(); err != nil {
		t.Error(err)
	}
}

func TestAKeyOfAQueryIsNoneOfOwnData(t *testing.T) {
	t.Parallel()
	d, _ := setup()
	for _, key := range []string{template.KeyPrefix, template.KeyPrefix + "x", template.NotOfTemplate + "1:a:k"} {
		_, err := d.Load(t.Context(), key, nil, Terms{}, func(context.Context) (any, error) { t.Error("it is loaded"); return nil, nil })
		if err == nil || CheckKey(key) == nil {
			t.Errorf("%q: no error", key)
		}
	}
	if err := CheckKey("sql"); err != nil {
		t.Error(err)
	}
}

// A partition that cannot be told is nobody's: nothing is kept for it.
func TestAFunctionOfThePartitionThatPanicsCostsNoResult(t *testing.T) {
	t.Parallel()
	d, _ := setup()
	var faults int
	d.Partition = func(context.Context) string { panic("partition") }
	d.Report = failopen.Report(func(slog.Level, string, string, ...any) { faults++ })
	load := func(context.Context) (any, error) { return 1, nil }
	for range 2 {
		if v, err := d.Load(t.Context(), "k", nil, Terms{}, load); err != nil || v != 1 {
			t.Errorf("got %v, %v", v, err)
		}
	}
	if err := d.Preload(t.Context(), "k", load); err == nil || faults != 3 {
		t.Errorf("Preload: %v, %d faults", err, faults)
	}
	if n, _ := d.Cache.Size(); n != 0 {
		t.Errorf("%d are kept", n)
	}
}
