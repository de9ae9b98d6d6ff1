package loaders

import (
	"context"
	"testing"

	"github.com/gorm-preload/preload/internal/cache"
)

func TestTheLeastRecentlyRegisteredLeaves(t *testing.T) {
	t.Parallel()
	r := New(2)
	nothing := func(context.Context) cache.Run { return nil }
	for _, key := range []string{"a", "b", "a", "c"} {
		r.Register(key, nothing, 0)
	}
	for key, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, ok := r.Of(key); ok != want {
			t.Errorf("loader of %s: %t, want %t", key, ok, want)
		}
	}
}

func TestWhatLoadersHoldIsBoundedAndCounted(t *testing.T) {
	t.Parallel()
	r := New(10)
	nothing := func(context.Context) cache.Run { return nil }
	r.Register("small", nothing, 100)
	r.Register("large", nothing, 11*loaderBytes)
	if _, ok := r.Of("small"); ok || r.Len() != 1 {
		t.Errorf("%d loaders are there, the small one among them: %t; want the last one alone", r.Len(), ok)
	}
	r.Register("large", nothing, 1)
	if n := r.Size(); n < loaderOverhead || n > 2*loaderOverhead {
		t.Errorf("%d bytes are held by a loader that holds 1", n)
	}
	r.Unregister("large")
	r.Unregister("large")
	if r.Size() != 0 || r.Len() != 0 {
		t.Errorf("%d loaders hold %d bytes after the last one has gone", r.Len(), r.Size())
	}
	r.Register("a", nothing, 0)
	r.Close()
	r.Register("b", nothing, 0)
	if r.Size() != 0 || r.Len() != 0 {
		t.Errorf("%d loaders hold %d bytes after the end", r.Len(), r.Size())
	}
}
