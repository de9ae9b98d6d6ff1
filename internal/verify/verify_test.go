package verify

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"time"
)

type item struct {
	ID    int
	Name  *string
	At    time.Time
	Price float64
	inner []byte
}

func TestWhatIsTheSame(t *testing.T) {
	t.Parallel()
	at, a, b := time.Now(), "a", "a"
	base := item{1, &a, at, 1, nil}
	for _, c := range []struct {
		a, b any
		want bool
	}{
		{base, item{1, &b, at.UTC(), 1 + 1e-12, []byte{}}, true},
		{base, item{2, &a, at, 1, nil}, false},
		{base, item{1, nil, at, 1, nil}, false},
		{base, item{1, &a, at.Add(1), 1, nil}, false},
		{base, item{1, &a, at, 1.001, nil}, false},
		{base, item{1, &a, at, 1, []byte{1}}, false},
		{math.NaN(), math.NaN(), true},
		{map[string]any{"a": 1, "b": nil}, map[string]any{"a": 1, "b": nil}, true},
		{map[string]any{"a": 1}, map[string]any{"b": 1}, false},
		{map[string]any{"a": 1}, map[string]any{"a": int64(1)}, false},
		{[]any{1, "x", nil}, []any{1, "x", nil}, true},
		{1, "1", false},
	} {
		if got := same(reflect.ValueOf(c.a), reflect.ValueOf(c.b)); got != c.want {
			t.Errorf("%+v and %+v: %t, want %t", c.a, c.b, got, c.want)
		}
	}
}

// TestWhatLeadsBackIsComparedOnce: without that, what is below takes years.
func TestWhatLeadsBackIsComparedOnce(t *testing.T) {
	t.Parallel()
	type node struct {
		Name   string
		Parent *node
		Below  []*node
	}
	tree := func(last string) *node {
		root := &node{Name: "root"}
		for i := range 50 {
			below := &node{Parent: root}
			if i == 49 {
				below.Name = last
			}
			root.Below = append(root.Below, below)
		}
		return root
	}
	if !same(reflect.ValueOf(tree("a")), reflect.ValueOf(tree("a"))) || same(reflect.ValueOf(tree("a")), reflect.ValueOf(tree("b"))) {
		t.Error("equal ones differ, or others do not")
	}
}

func TestRowsAreASet(t *testing.T) {
	t.Parallel()
	row := func(ids ...int) reflect.Value {
		var all []item
		for _, id := range ids {
			all = append(all, item{ID: id})
		}
		return reflect.ValueOf(all)
	}
	for _, c := range []struct {
		a, b reflect.Value
		want []string
	}{
		{row(1, 2, 3), row(3, 1, 2), nil},
		{row(1, 1, 2), row(1, 2, 2), []string{"ID"}},
		{row(1), row(1, 2), []string{"rows"}},
		{row(), row(), nil},
	} {
		if got := differing(t.Context(), nil, c.a, c.b); !slices.Equal(got, c.want) {
			t.Errorf("%v and %v differ in %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

func TestASamplerIsBounded(t *testing.T) {
	t.Parallel()
	if s := (*Sampler)(nil); s.Takes() {
		t.Error("nil chooses")
	}
	s, now, n := NewSampler(1, 5), time.Now(), 0
	for i := range 1_000 {
		if s.allowed(now.Add(time.Duration(i) * time.Millisecond)) {
			n++
		}
	}
	if n < 8 || n > 10 {
		t.Errorf("%d within a second that begins with all five: want 9 or 10", n)
	}
	s, n = NewSampler(0.25, 1e9), 0
	for range 10_000 {
		if s.Takes() {
			n++
		}
	}
	if n < 2_000 || n > 3_000 {
		t.Errorf("%d of 10000, want a quarter", n)
	}
}
