package seen

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestACounterLosesNothing(t *testing.T) {
	t.Parallel()
	var c Counter
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20_000 {
				c.Add(1)
			}
		})
	}
	wg.Wait()
	c.more.CompareAndSwap(nil, new([stripes]stripe)) // as where they met
	for range 8 {
		wg.Go(func() { c.Add(2) })
	}
	wg.Wait()
	if n := c.Load(); n != 160_016 {
		t.Errorf("%d were counted, want 160016", n)
	}
	if c.Bytes() != StripeBytes {
		t.Errorf("%d bytes are told, want %d", c.Bytes(), StripeBytes)
	}
	if c.Clear(); c.Load() != 0 {
		t.Errorf("%d after Clear", c.Load())
	}
}

func TestThePastOfAKey(t *testing.T) {
	t.Parallel()
	p := NewPast(10_000)
	for i, why := range []Cause{Invalidated, Expired, Evicted} {
		hash := rand.Uint64() | 1<<40
		if got := p.Of(hash); got != Cold {
			t.Errorf("a key that was never there: %q", got)
		}
		p.Left(hash, why)
		if got := p.Of(hash); got != why {
			t.Errorf("key %d: %q, want %q", i, got, why)
		}
		if got := p.Of(hash + uint64(p.most)<<causeBits); got != Cold {
			t.Errorf("another key of the same place: %q", got)
		}
	}
	for n, want := range map[int]int{-1: minPlaces, 1: minPlaces, 10_000: 1 << 14, 1 << 40: maxPlaces} {
		got := NewPast(n)
		if got.Bytes() != 0 {
			t.Errorf("for %d answers: %d bytes before any left", n, got.Bytes())
		}
		if got.Left(1<<40, Expired); got.most != want || got.Bytes() != 8*int64(want) {
			t.Errorf("for %d answers: %d places, want %d", n, got.most, want)
		}
		if got.Clear(); got.Bytes() != 0 || got.Of(1<<40) != Cold {
			t.Errorf("for %d answers: something is left after Clear", n)
		}
	}
}

func TestAShapeTellsWhatItCounted(t *testing.T) {
	t.Parallel()
	var one, all Shape
	for _, why := range append(Causes[:], "") {
		one.Missed(why)
	}
	for _, v := range Verdicts {
		one.Compared(v)
	}
	for i := range 100 {
		one.Invalidate(By{fmt.Sprint("table", i), "row"})
	}
	one.Queries.Took(3 * time.Millisecond)
	one.Queries.Took(time.Hour)
	one.Joined.Add(1)
	one.Stale.Add(2)
	one.Bytes.Add(3)
	all.Add(&one)
	all.Add(&one)
	var f Figures
	all.Into(&f)
	if f.Causes[Cold] != 4 || f.Causes[NotRepeated] != 2 || f.Verdicts[Mismatch] != 2 || f.Joined != 2 || f.Stale != 4 || f.Bytes != 0 {
		t.Errorf("%+v", f)
	}
	if f.Queries[3] != 2 || f.Queries[len(Bounds)] != 2 || f.DBTime != 2*(time.Hour+3*time.Millisecond) {
		t.Errorf("queries %v took %v", f.Queries, f.DBTime)
	}
	total := int64(0)
	for _, n := range f.Invalidated {
		total += n
	}
	if len(f.Invalidated) > maxWriters+1 || total != 200 || f.Invalidated[By{"other", "row"}] < 2*(100-maxWriters) {
		t.Errorf("%d were invalidated, by %v", total, f.Invalidated)
	}
	all.Clear()
	f = Figures{}
	if all.Into(&f); f.Causes != nil || f.DBTime != 0 || f.Invalidated != nil || f.Joined != 0 {
		t.Errorf("after Clear: %+v", f)
	}
}
