package loading

import (
	"testing"

	"github.com/gorm-preload/preload/internal/args"
)

// encoded returns the args of bind values.
func encoded(t *testing.T, values ...any) []string {
	t.Helper()
	all := make([]string, len(values))
	for i, v := range values {
		var ok bool
		if all[i], ok = args.Encode(v); !ok {
			t.Fatalf("%v has no arg", v)
		}
	}
	return all
}

func TestKeysOfABatchDifferInOneArg(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		a, b []any
		want int
	}{
		"the first":      {[]any{1, "a"}, []any{2, "a"}, 0},
		"the last":       {[]any{1, "a"}, []any{1, "b"}, 1},
		"the type":       {[]any{1, "a"}, []any{"1", "a"}, 0},
		"two":            {[]any{1, "a"}, []any{2, "b"}, -1},
		"none":           {[]any{1, "a"}, []any{1, "a"}, -1},
		"one is missing": {[]any{1, "a"}, []any{1}, -1},
		"one too many":   {[]any{1}, []any{1, "a"}, -1},
		"no args":        {nil, nil, -1},
	} {
		if got := differs(encoded(t, test.a...), encoded(t, test.b...)); got != test.want {
			t.Errorf("%s: %v and %v differ at %d, want %d", name, test.a, test.b, got, test.want)
		}
	}
}

// A column may tell cases apart, or not; and what it finds by a value of another type is not known.
func TestValuesThatMayFindOneRowAreSimilar(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b any
		want bool
	}{
		{5, 6, false},
		{5, 5, true},
		{"c5", "c6", false},
		{"c5", "C5", true},
		{"é", "É", true},
		{"é", "e", true},
		{"é", "ü", true},
		{"c5", "c5 ", true},
		{"c5", "c-5", true},
		{"c5", "c55", false},
		{5, "5", true},
		{"5", 6, true},
	} {
		both := encoded(t, test.a, test.b)
		if got, back := similar(both[0], both[1]), similar(both[1], both[0]); got != test.want || back != test.want {
			t.Errorf("similar(%v, %v) = %t, %t the other way, want %t", test.a, test.b, got, back, test.want)
		}
	}
}

func TestBindValuesAreKeptAsCopies(t *testing.T) {
	t.Parallel()
	bytes := []byte("abc")
	kept, ok := Keep([]any{1, "text", bytes, nil})
	if !ok || len(kept.vars) != 4 || kept.size <= 0 {
		t.Fatalf("kept %+v, %t", kept, ok)
	}
	if bytes[0] = 'x'; string(kept.vars[2].([]byte)) != "abc" {
		t.Errorf("%q is kept, which the caller's change reached", kept.vars[2])
	}
	if _, ok := Keep(nil); !ok {
		t.Error("a query without bind values cannot be run again")
	}
	for name, v := range map[string]any{"a channel": make(chan int), "much": make([]byte, maxKept+1)} {
		if _, ok := Keep([]any{v}); ok {
			t.Errorf("%s is kept", name)
		}
	}
}
