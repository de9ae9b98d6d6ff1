package seen

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestWritesAreToldByKind: each kind once, with when the last one was, and the last kind first.
func TestWritesAreToldByKind(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	var w Writes
	w.Note(Write{Table: "items", Kind: "update", Columns: []string{"name"}}, at(1))
	w.Note(Write{Table: "items", Kind: "update", Columns: []string{"shelf"}}, at(2))
	w.Note(Write{Table: "items", Kind: "update", Columns: []string{"name"}}, at(3))
	w.Note(Write{Table: "items", Kind: "update", Columns: []string{"name"}, Elsewhere: true}, at(4))
	w.Note(Write{Table: "others", Kind: "delete"}, at(5))
	w.Note(Write{Kind: "write"}, at(6))
	for _, c := range []struct {
		tables []string
		since  int
		want   []string
	}{
		{[]string{"items"}, 0, []string{"write any 6 false", "update items name 4 true", "update items name 3 false", "update items shelf 2 false"}},
		{[]string{"items"}, 3, []string{"write any 6 false", "update items name 4 true", "update items name 3 false"}},
		{[]string{"items", "others", "others"}, 4, []string{"write any 6 false", "delete others 5 false", "update items name 4 true"}},
		{[]string{"unwritten"}, 0, []string{"write any 6 false"}},
		{[]string{"items"}, 7, nil},
	} {
		var got []string
		for _, one := range w.Since(at(c.since), c.tables...) {
			table := one.Table
			if table == "" {
				table = "any"
			}
			text := one.Kind + " " + table
			for _, column := range one.Columns {
				text += " " + column
			}
			got = append(got, fmt.Sprint(text, " ", one.Last.Unix()-1_000, " ", one.Elsewhere))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("since second %d of %q: %q, want %q", c.since, c.tables, got, c.want)
		}
	}
	w.Clear()
	if got := w.Since(start, "items", "others"); len(got) != 0 || w.Bytes() != 0 {
		t.Errorf("cleared: %+v, %d bytes", got, w.Bytes())
	}
}

// TestWritesAreBounded: kinds, tables and columns without end; and that something was left out is
// told.
func TestWritesAreBounded(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_000, 0)
	var columns []string
	for i := range 1_000 {
		columns = append(columns, fmt.Sprint("column", i))
	}
	var w Writes
	for i := range 3 * maxWriteKinds {
		w.Note(Write{Table: "items", Kind: "update", Columns: columns[:1+i]}, start.Add(time.Duration(i)*time.Second))
	}
	got := w.Since(start, "items")
	if len(got) != maxWriteKinds+1 || got[maxWriteKinds].Kind != OtherWrites || len(got[0].Columns) > maxWriteColumns+1 {
		t.Errorf("%d kinds, the last %+v, of %d columns", len(got), got[len(got)-1], len(got[0].Columns))
	}
	if got := w.Since(start.Add(time.Duration(3*maxWriteKinds-1)*time.Second), "items"); len(got) != 1 {
		t.Errorf("since the last one: %+v", got)
	}
	for i := range 3 * maxWritten {
		w.Note(Write{Table: fmt.Sprint("table", i), Kind: "insert"}, start)
	}
	if len(w.tables) > maxWritten+1 || w.Bytes() > 2<<20 {
		t.Errorf("%d tables, %d bytes", len(w.tables), w.Bytes())
	}
	if got := w.Since(start, fmt.Sprint("table", 3*maxWritten-1)); len(got) != 1 || got[0].Kind != OtherWrites {
		t.Errorf("of a table that is not told apart: %+v", got)
	}
	if got := w.Since(start.Add(time.Second), fmt.Sprint("table", 3*maxWritten-1)); len(got) != 0 {
		t.Errorf("of a table that is not told apart, later: %+v", got)
	}
}

func BenchmarkWriteNote(b *testing.B) {
	var w Writes
	b.ReportAllocs()
	for b.Loop() {
		w.Note(Write{Table: "items", Kind: "update", Columns: []string{"name", "shelf", "updated_at"}}, time.Time{})
	}
}
