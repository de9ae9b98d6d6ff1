package preload_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/worldtest"
)

type readOwn struct {
	Names []string
	Next  *readOwn
	m     map[string]int
}

// Load calls its loader once, keeps what it returned, and gives each caller a copy.
func TestReadLoadOwnData(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := readSQLite(t, preload.WithTTL(time.Minute))
	calls := 0
	load := func(context.Context) (*readOwn, error) {
		calls++
		return &readOwn{Names: []string{"a"}, Next: &readOwn{m: map[string]int{"x": calls}}, m: map[string]int{}}, nil
	}
	want := &readOwn{Names: []string{"a"}, Next: &readOwn{m: map[string]int{"x": 1}}, m: map[string]int{}}
	for turn := range 4 {
		got, err := preload.Load(ctx, b.Plugin, "own", load)
		if err != nil || !reflect.DeepEqual(got, want) || calls != 1 {
			t.Fatalf("turn %d: %+v %v, %d calls", turn, got, err, calls)
		}
		got.Names[0], got.Next.m["x"] = "changed", 99
	}
	s := b.Plugin.Stats()
	if s.Hits != 3 || s.Misses != 1 || s.TotalAccesses != 4 || s.Entries != 1 || len(s.Models) != 0 {
		t.Errorf("%+v", s)
	}
	if hot := b.Plugin.Hot(5); len(hot) != 1 || hot[0].Key != "own" || hot[0].Count != 4 {
		t.Errorf("%+v", hot)
	}
	b.Clock.Advance(time.Minute)
	if got, err := preload.Load(ctx, b.Plugin, "own", load); err != nil || calls != 2 || got.Next.m["x"] != 2 {
		t.Errorf("after the TTL: %+v %v, %d calls", got, err, calls)
	}
	// Writes do not touch it; Invalidate() and Clear do.
	worldtest.Must(t, b.DB.Create(&worldtest.ReadCompany{Name: "x"}).Error)
	worldtest.Must(t, b.Plugin.Invalidate(&worldtest.ReadCompany{}))
	if _, err := preload.Load(ctx, b.Plugin, "own", load); err != nil || calls != 2 {
		t.Errorf("after a write: %d calls", calls)
	}
	worldtest.Must(t, b.Plugin.Invalidate())
	if _, err := preload.Load(ctx, b.Plugin, "own", load); err != nil || calls != 3 {
		t.Errorf("after Invalidate: %d calls", calls)
	}
	b.Plugin.Clear()
	if _, err := preload.Load(ctx, b.Plugin, "own", load); err != nil || calls != 4 {
		t.Errorf("after Clear: %d calls", calls)
	}
}

// Errors and panics are the caller's and are not kept.
func TestReadLoadErrors(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := readSQLite(t)
	failed := errors.New("failed")
	if v, err := preload.Load(ctx, b.Plugin, "k", func(context.Context) (int, error) { return 7, failed }); err != failed || v != 7 {
		t.Errorf("%d %v", v, err)
	}
	func() {
		defer func() {
			if fault := recover(); fault != "loader" {
				t.Errorf("recovered %v", fault)
			}
		}()
		_, _ = preload.Load(ctx, b.Plugin, "k", func(context.Context) (int, error) { panic("loader") })
	}()
	worldtest.Within(t, worldtest.Patience, "Load after a panic", func() {
		if v, err := preload.Load(ctx, b.Plugin, "k", func(context.Context) (int, error) { return 8, nil }); err != nil || v != 8 {
			t.Errorf("%d %v", v, err)
		}
	})
	for _, key := range []string{"sql:", "sql:x"} {
		called := false
		if _, err := preload.Load(ctx, b.Plugin, key, func(context.Context) (int, error) { called = true; return 1, nil }); err == nil || called {
			t.Errorf("Load(%q): %v", key, err)
		}
		if err := b.Plugin.Preload(ctx, key, func(context.Context) (any, error) { return 1, nil }); err == nil || !strings.Contains(err.Error(), `begins with "sql:"`) {
			t.Errorf("Preload(%q): %v", key, err)
		}
	}
	if err := b.Plugin.Preload(ctx, "p", func(context.Context) (any, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("Preload: %v", err)
	}
	if err := b.Plugin.Preload(ctx, "chan", func(context.Context) (any, error) { return make(chan int), nil }); err == nil {
		t.Error("Preload of a channel: no error")
	}
	for range 2 {
		c, err := preload.Load(ctx, b.Plugin, "chan", func(context.Context) (chan int, error) { return make(chan int, 4), nil })
		if err != nil || cap(c) != 4 {
			t.Errorf("Load of a channel: %v %v", c, err)
		}
	}
}

// Values of other types than asked for are loaded anew; nil values of interface types are values.
func TestReadLoadTypes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := readSQLite(t)
	worldtest.Must(t, b.Plugin.Preload(ctx, "k", func(context.Context) (any, error) { return "text", nil }))
	if v, err := preload.Load(ctx, b.Plugin, "k", func(context.Context) (int, error) { return 3, nil }); v != 3 || err != nil {
		t.Errorf("int after string: %v %v", v, err)
	}
	if v, err := preload.Load(ctx, b.Plugin, "k", func(context.Context) (int, error) { return 4, nil }); v != 3 || err != nil {
		t.Errorf("int again: %v %v", v, err)
	}
	if v, err := preload.Load(ctx, b.Plugin, "k", func(context.Context) (any, error) { return 4, nil }); v != any(3) || err != nil {
		t.Errorf("any: %v %v", v, err)
	}
	if v, err := preload.Load(ctx, b.Plugin, "k", func(context.Context) (fmt.Stringer, error) { return time.Second, nil }); v != time.Second || err != nil {
		t.Errorf("Stringer: %v %v", v, err)
	}
	for turn := range 2 {
		v, err := preload.Load(ctx, b.Plugin, "nil", func(context.Context) (fmt.Stringer, error) {
			if turn > 0 {
				t.Error("a nil value was not kept")
			}
			return nil, nil
		})
		if v != nil || err != nil {
			t.Errorf("nil Stringer: %v %v", v, err)
		}
		p, err := preload.Load(ctx, b.Plugin, "nil pointer", func(context.Context) (*readOwn, error) { return nil, nil })
		if p != nil || err != nil {
			t.Errorf("nil pointer: %v %v", p, err)
		}
	}
	// nil is no int.
	worldtest.Must(t, b.Plugin.Preload(ctx, "nothing", func(context.Context) (any, error) { return nil, nil }))
	if v, err := preload.Load(ctx, b.Plugin, "nothing", func(context.Context) (int, error) { return 5, nil }); v != 5 || err != nil {
		t.Errorf("an int where nil is kept: %v %v, want what the loader returns", v, err)
	}
}

// Preload loads now, in place of what is there; it says when the value is not kept.
func TestReadPreloadOwnData(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := readSQLite(t, preload.WithMaxBytes(10_000))
	for i := range 3 {
		worldtest.Must(t, b.Plugin.Preload(ctx, "k", func(context.Context) (any, error) { return i, nil }))
		if v, err := preload.Load(ctx, b.Plugin, "k", func(context.Context) (int, error) { return -1, nil }); v != i || err != nil {
			t.Errorf("%d: %v %v", i, v, err)
		}
	}
	large := func(context.Context) (any, error) { return strings.Repeat("x", 20_000), nil }
	err := b.Plugin.Preload(ctx, "large", large)
	called := false
	_, _ = preload.Load(ctx, b.Plugin, "large", func(context.Context) (string, error) { called = true; return "", nil })
	if called && err == nil {
		t.Error("Preload returned no error for a value that it did not keep")
	}
}

// One loader runs at a time; those who wait get copies, and call their own if it fails.
func TestReadLoadConcurrently(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"ok", "fails", "panics", "gives up"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b := readSQLite(t, preload.WithWaits(time.Hour))
			var calls atomic.Int64
			at, open := make(chan struct{}), make(chan struct{})
			var all sync.WaitGroup
			all.Go(func() {
				defer func() { _ = recover() }()
				_, _ = preload.Load(context.Background(), b.Plugin, "k", func(context.Context) ([]int, error) {
					calls.Add(1)
					close(at)
					<-open
					switch how {
					case "fails":
						return nil, errors.New("fails")
					case "panics":
						panic("panics")
					}
					return []int{1}, nil
				})
			})
			<-at
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var waiters sync.WaitGroup
			results := make([][]int, 10)
			for i := range results {
				w := worldtest.NewWaiting(ctx)
				waiters.Go(func() {
					v, err := preload.Load(w, b.Plugin, "k", func(context.Context) ([]int, error) { calls.Add(1); return []int{1}, nil })
					if how == "gives up" && !errors.Is(err, context.Canceled) || how != "gives up" && (err != nil || len(v) != 1) {
						t.Errorf("%v %v", v, err)
					}
					results[i] = v
				})
				<-w.Begun
			}
			if how == "gives up" {
				cancel()
				worldtest.Within(t, worldtest.Patience, "waiters whose context ended", waiters.Wait)
			}
			close(open)
			worldtest.Within(t, worldtest.Patience, "waiters", func() { waiters.Wait(); all.Wait() })
			if n := calls.Load(); (how == "ok" || how == "gives up") && n != 1 {
				t.Errorf("%d calls", n)
			}
			for i := range results {
				for j := range i {
					if len(results[i]) > 0 && &results[i][0] == &results[j][0] {
						t.Fatal("two callers share memory")
					}
				}
			}
		})
	}
}

// A loader that loads the same key gets an answer, or at least an error when its context ends.
func TestReadLoadWithinLoad(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	worldtest.Within(t, worldtest.Patience, "a loader that loads other keys", func() {
		v, err := preload.Load(context.Background(), b.Plugin, "outer", func(ctx context.Context) (int, error) {
			return preload.Load(ctx, b.Plugin, "inner", func(context.Context) (int, error) { return 2, nil })
		})
		if v != 2 || err != nil {
			t.Errorf("%d %v", v, err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	worldtest.Within(t, worldtest.Patience, "a loader that loads its own key", func() {
		_, _ = preload.Load(ctx, b.Plugin, "k", func(ctx context.Context) (int, error) {
			return preload.Load(ctx, b.Plugin, "k", func(context.Context) (int, error) { return 2, nil })
		})
	})
}
