package hotfile

import (
	"fmt"
	"math"
	"testing"
)

// TestMergedKeysAreThoseOfAllFiles: hottest first by what they score together, each once.
func TestMergedKeysAreThoseOfAllFiles(t *testing.T) {
	t.Parallel()
	of := func(sql ...string) (queries []Query) {
		for _, text := range sql {
			queries = append(queries, Query{SQL: text, Args: 1})
		}
		return queries
	}
	key := func(query int, args string, score float64) Key { return Key{query, []byte(args), score} }
	files := []File{
		{Version: Version, Dialect: "d", Queries: of("a", "b"), Keys: []Key{key(0, "1", 5), key(1, "1", 4), key(0, "2", 1)}},
		{Version: Version, Dialect: "d", Queries: of("c", "a"), Keys: []Key{key(1, "2", 7), key(0, "1", 3), key(0, "2", -9), key(0, "3", math.MaxFloat64)}},
		{Version: Version, Dialect: "d"},
		{Version: Version, Dialect: "d", Queries: of("c"), Keys: []Key{key(0, "2", 2), key(0, "3", math.MaxFloat64), key(0, "4", 0)}},
	}
	want := []string{"c 3", "a 2", "a 1", "b 1", "c 1", "c 2", "c 4"}
	for most := range len(want) + 2 {
		file := Merge(files, most)
		var got []string
		for _, key := range file.Keys {
			got = append(got, file.Queries[key.Query].SQL+" "+string(key.Args))
		}
		if fmt.Sprint(got) != fmt.Sprint(want[:min(most, len(want))]) || len(file.Queries) != 3 || file.Version != Version || file.Dialect != "d" {
			t.Errorf("at most %d: %q of %d queries, want %q", most, got, len(file.Queries), want)
		}
	}
	if file := Merge(nil, 10); len(file.Keys) > 0 {
		t.Errorf("nothing merged is %+v", file)
	}
}
