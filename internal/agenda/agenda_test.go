package agenda

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/coherence"
)

func TestWishesAreBoundedAndInOrder(t *testing.T) {
	t.Parallel()
	w := New()
	if _, ok := w.Next(); ok || w.AnyForeseen() {
		t.Fatal("there is something at first")
	}
	for n := range MaxRead + 1 {
		if fits := w.Add(Wish{Key: fmt.Sprint(n), Asked: new(atomic.Bool)}); fits != (n < MaxRead) {
			t.Fatalf("wish %d fits: %t", n, fits)
		}
	}
	for n := range MaxRead {
		if r, ok := w.Next(); !ok || r.Key != fmt.Sprint(n) {
			t.Fatalf("wish %d is %q, %t", n, r.Key, ok)
		}
	}
	c := cache.New(cache.Config{Waits: cache.UsualWaits, Index: coherence.New(nil), MaxEntries: 1, MaxBytes: 1})
	var all []*association.Expected
	for n := range 2 * association.MaxExpected {
		x := &association.Expected{Key: fmt.Sprint(n), Walk: int64(n)}
		c.Await(&x.Trial)
		all = append(all, x)
	}
	w.Foresee(all[1:]...)
	w.Foresee(all[0]) // expected before all others
	got := w.Foreseen()
	for n, x := range all {
		stays := n >= association.MaxExpected
		if x.Over() == stays {
			t.Errorf("the key that was expected as number %d stays: %t", n, !x.Over())
		}
		if i := len(all) - 1 - n; stays && (i >= len(got) || got[i] != x) {
			t.Errorf("the key that was expected as number %d is not number %d of those that are loaded", n, i)
		}
	}
	if len(got) != association.MaxExpected || w.AnyForeseen() || c.Awaited() != association.MaxExpected {
		t.Errorf("%d keys are expected, %d are awaited, want %d", len(got), c.Awaited(), association.MaxExpected)
	}
	if len(w.More) != 1 {
		t.Error("the worker was not told")
	}
}
