package cache

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// TestARecentIsFoundByItsArgsOnly compares how args are told apart with how Go does.
func TestARecentIsFoundByItsArgsOnly(t *testing.T) {
	t.Parallel()
	texts := rapid.OneOf(rapid.StringOfN(rapid.SampledFrom([]rune("ab\x00")), 0, 20, -1), rapid.StringN(0, 40, -1))
	arg := rapid.OneOf(
		rapid.Map(texts, func(v string) any { return v }),
		rapid.Map(rapid.IntRange(-1, 2), func(v int) any { return v }),
		rapid.Map(rapid.Int64Range(-1, 2), func(v int64) any { return v }),
		rapid.Map(rapid.Int32Range(-1, 2), func(v int32) any { return v }),
		rapid.Map(rapid.UintRange(0, 2), func(v uint) any { return v }),
		rapid.Map(rapid.Uint64(), func(v uint64) any { return v }),
		rapid.Map(rapid.Uint32Range(0, 2), func(v uint32) any { return v }),
	)
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.SliceOfN(arg, 0, maxGiven), 1, 30).Draw(t, "args")
		for _, args := range all {
			g := Given{Args: args}
			if !g.Take() {
				t.Fatalf("%#v cannot be told apart", args)
			}
			var at places
			r := g.recent(&Entry{}, &at[0])
			at[0].Store(r)
			for _, others := range all {
				o := Given{Args: others}
				o.Take()
				same := reflect.DeepEqual(args, others)
				if found := at.Find(&o) != nil; found != same {
					t.Fatalf("%#v: found by %#v: %t", args, others, found)
				}
				if same && o.hash != g.hash {
					t.Fatalf("%#v has two hashes", args)
				}
			}
		}
	})
}

func TestArgsThatCannotBeToldApartAreNotRecent(t *testing.T) {
	t.Parallel()
	type id int
	for _, args := range [][]any{{1.5}, {true}, {nil}, {id(1)}, {[]byte("a")}, {1, 2, 3, 4, 5}} {
		if g := (Given{Args: args}); g.Take() {
			t.Errorf("%#v", args)
		}
	}
}

// TestTextsOfARecentAreItsOwn: what an arg is a part of must not be kept.
func TestTextsOfARecentAreItsOwn(t *testing.T) {
	t.Parallel()
	long := fmt.Sprintf("%040d", 1)
	g := Given{Args: []any{long}}
	g.Take()
	r := g.recent(&Entry{}, nil)
	if kept := r.rest.texts[0]; kept != long || unsafe.StringData(kept) == unsafe.StringData(long) {
		t.Errorf("%q is kept", kept)
	}
}

// TestWhatAHitLooksAtLiesTogether: in one cache line of 64 bytes, each.
func TestWhatAHitLooksAtLiesTogether(t *testing.T) {
	t.Parallel()
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("laid out for 64 bits")
	}
	var e Entry
	first, last := unsafe.Offsetof(e.Value)-8, unsafe.Offsetof(e.Guard)
	if first != 64 || last >= 128 || unsafe.Sizeof(e) != 192 {
		t.Errorf("an entry of %d bytes has it from %d to %d", unsafe.Sizeof(e), first, last)
	}
	if size := unsafe.Sizeof(recent{}); size != 64 {
		t.Errorf("a recent has %d bytes", size)
	}
}

// TestWhatIsTakenOverHoldsNothing: two queries find one entry at once, which then leaves.
func TestWhatIsTakenOverHoldsNothing(t *testing.T) {
	t.Parallel()
	for range 20_000 {
		e := NewEntry("key", &Tally{})
		e.counted.Store(true)
		var a, b places
		one, two := Given{Args: []any{1}}, Given{Args: []any{2}}
		one.Take()
		two.Take()
		var wg sync.WaitGroup
		var start atomic.Bool
		for _, come := range []func(){func() { e.come(&a[0], nil, &one) }, func() { e.come(&b[0], nil, &two) }} {
			wg.Go(func() {
				for !start.Load() {
				}
				come()
			})
		}
		start.Store(true)
		wg.Wait()
		e.counted.Store(false)
		e.leave()
		if a[0].Load() != nil || b[0].Load() != nil {
			t.Fatal("an entry that left is still held")
		}
		if n := e.Tally.Found.Load(); n != 0 {
			t.Fatalf("%d bytes are told although nothing is held", n)
		}
	}
}
