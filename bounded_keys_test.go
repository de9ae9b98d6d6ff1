package preload_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
)

// TestLongKeysAreKeysLikeOthersAndKeptShort: what was asked with a long key is found again by it,
// and no text as long is kept. It is not parallel: it looks at the whole heap.
func TestLongKeysAreKeysLikeOthersAndKeptShort(t *testing.T) {
	const length = 1 << 20
	p := preload.New(preload.WithClock(dbtest.NewClock()), preload.WithThreshold(0.5))
	if err := unwatched(t).Use(p); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	ctx := context.Background()
	// Keys that differ at their end only, after a rune that is cut in two at most lengths.
	key := func(i int) string { return strings.Repeat("\u20ac", length/3) + fmt.Sprint(i) }
	loads := 0
	load := func(key string, value int) int {
		t.Helper()
		got, err := preload.Load(ctx, p, key, func(context.Context) (int, error) { loads++; return value, nil })
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before := settledHeap()
	const keys = 200
	for i := range keys {
		p.RecordAccess(key(i), key(i+1), key(i+2))
		if got := load(key(i), i); got != i {
			t.Fatalf("key %d is loaded as %d", i, got)
		}
		if err := p.Preload(ctx, key(keys+i), func(context.Context) (any, error) { return i, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if grown := settledHeap() - before; grown > 4<<20 {
		t.Errorf("%d keys of %d bytes hold %d bytes", 3*keys, length, grown)
	}
	for i := range keys {
		if got := load(key(i), -1); got != i {
			t.Fatalf("key %d is answered with %d", i, got)
		}
		if got := load(key(keys+i), -1); got != i {
			t.Fatalf("key %d, which Preload loaded, is answered with %d", keys+i, got)
		}
		if !p.ShouldPreload(key(i)) {
			t.Fatalf("key %d is not hot", i)
		}
	}
	if loads != keys {
		t.Errorf("%d loads for %d keys", loads, keys)
	}
	hot := p.Hot(2 * keys)
	if len(hot) < keys {
		t.Fatalf("%d keys are tracked, want at least %d", len(hot), keys)
	}
	for _, one := range hot {
		if len(one.Key) > 1<<10 {
			t.Fatalf("a key of %d bytes is kept", len(one.Key))
		}
		// What a long key is called stands for it, too.
		if !p.ShouldPreload(one.Key) || !slices.Equal(p.RelatedKeys(one.Key)[:len(one.Related)], one.Related) {
			t.Fatalf("%s: not known by the name that Hot gives", one.Key)
		}
	}
	related := p.RelatedKeys(key(0))
	if len(related) < 2 || !p.ShouldPreload(related[0]) {
		t.Errorf("related to key 0 are %d keys: %.300q", len(related), related)
	}
	runtime.KeepAlive(p)
}

// TestListsOfRelatedKeysAreBounded: the newest of them are kept, however many are given and of
// whatever they are a part.
func TestListsOfRelatedKeysAreBounded(t *testing.T) {
	p := preload.New(preload.WithoutWorker(), preload.WithThreshold(0.5))
	var related []string
	for i := range 100_000 {
		related = append(related, fmt.Sprint("key", i), "again", "self")
	}
	before := settledHeap()
	for i := range 300 {
		p.RecordAccess("self", related...)
		p.RecordAccess(fmt.Sprint("other", i), related...)
	}
	if grown := settledHeap() - before; grown > 1<<20 {
		t.Errorf("lists of %d keys hold %d bytes", len(related), grown)
	}
	want := []string{"again"}
	for i := 99_999; len(want) < 8; i-- {
		want = append(want, fmt.Sprint("key", i))
	}
	if got := p.RelatedKeys("self"); !slices.Equal(got, want) {
		t.Errorf("related are %q, want %q", got, want)
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(related)
}
