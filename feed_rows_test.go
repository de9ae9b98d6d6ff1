package preload_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/batch"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// streamed is a table whose rows a stream tells of.
type streamed struct {
	_       struct{} `preload:""`
	ID      int
	Name    string
	Flag    bool
	Data    []byte
	Sum     int     `gorm:"->"` // the database computes it
	Measure float64 // of which only NULL is told apart
}

// TestRowsBecomeChanges: what a stream tells of rows is read as the models say of their tables, and
// what is not understood is of more, never of less.
func TestRowsBecomeChanges(t *testing.T) {
	t.Parallel()
	f := &scripted{}
	db := dbtest.SQLite(t).Open(t)
	p := preload.New(preload.WithFeed(f), preload.WithoutWorker())
	worldtest.Must(t, db.Use(p))
	t.Cleanup(func() { _ = p.Close() })
	worldtest.Must(t, p.Register(&streamed{}))
	worldtest.Must(t, db.AutoMigrate(&streamed{}))
	for _, column := range []string{"id", "name", "flag", "data", "measure"} { // so that their values matter
		var rows []streamed
		worldtest.Must(t, db.Where(map[string]any{column: nil}).Find(&rows).Error)
	}
	columns := []string{"id", "name", "flag", "data", "measure"}
	pin := func(column string, value coherence.Value) coherence.Pin {
		return coherence.Pin{Column: column, Values: []coherence.Value{value}}
	}
	row := []any{"7", "Ann", true, []byte{1, 0}, preload.RowText("0.5")}
	pins := coherence.Pins{pin("id", "i7"), pin("name", "sann"), pin("flag", "i1"), pin("data", "b\x01"), pin("measure", "some")}
	unknown := []any{"7", preload.RowUnknown, preload.RowUnknown, preload.RowUnknown, preload.RowUnknown}
	update := func(old, now []any) preload.RowChange {
		return preload.RowChange{Table: "streameds", Kind: preload.RowUpdated, Columns: columns, Old: old, New: now}
	}
	loose := coherence.Loose("streameds", coherence.Any)
	for _, c := range []struct {
		name string
		rows []preload.RowChange
		want []coherence.Change
	}{
		{"insert", []preload.RowChange{{Table: "streameds", Kind: preload.RowInserted, Columns: columns, New: row}},
			[]coherence.Change{{Table: "streameds", Kinds: coherence.Insert, Set: pins}}},
		{"insert of NULLs", []preload.RowChange{{Table: "streameds", Kind: preload.RowInserted, Columns: columns, New: []any{nil, nil, nil, nil, nil}}},
			[]coherence.Change{{Table: "streameds", Kinds: coherence.Insert, Set: coherence.Pins{pin("id", "n"), pin("name", "n"), pin("flag", "n"), pin("data", "n"), pin("measure", "n")}}}},
		{"values of other kinds", []preload.RowChange{{Table: "streameds", Kind: preload.RowInserted, Columns: columns,
			New: []any{preload.RowText("7"), []byte("Ann"), "t", "text", "1"}}},
			[]coherence.Change{{Table: "streameds", Kinds: coherence.Insert, Set: coherence.Pins{pin("measure", "some")}}}},
		{"delete", []preload.RowChange{{Table: "streameds", Kind: preload.RowDeleted, Columns: columns, Old: row}},
			[]coherence.Change{{Table: "streameds", Kinds: coherence.Delete, Where: pins}}},
		{"delete by key", []preload.RowChange{{Table: "streameds", Kind: preload.RowDeleted, Columns: columns, Old: unknown}},
			[]coherence.Change{{Table: "streameds", Kinds: coherence.Delete, Where: pins[:1]}}},
		{"update", []preload.RowChange{update(row, []any{"7", "Bob", true, []byte{1, 0}, nil})},
			[]coherence.Change{{Table: "streameds", Kinds: coherence.Update, Where: pins, Columns: coherence.Columns{Names: []string{"name", "measure", "sum"}},
				Set: coherence.Pins{pin("name", "sbob"), pin("measure", "n")}}}},
		{"update by key", []preload.RowChange{update(unknown, []any{"7", "Bob", preload.RowUnchanged, preload.RowUnknown, preload.RowText("1")})},
			[]coherence.Change{{Table: "streameds", Kinds: coherence.Update, Where: pins[:1], Columns: coherence.Columns{Names: []string{"name", "data", "measure", "sum"}},
				Set: coherence.Pins{pin("name", "sbob"), pin("measure", "some")}}}},
		{"update of what is not told", []preload.RowChange{update(nil, nil)},
			[]coherence.Change{{Table: "streameds", Kinds: coherence.Update, Columns: coherence.Columns{All: true}}}},
		{"a column of another spelling", []preload.RowChange{{Table: "streameds", Kind: preload.RowInserted, Columns: []string{"ID", "Name"}, New: []any{"7", "Ann"}}},
			[]coherence.Change{{Table: "streameds", Kinds: coherence.Insert}}},
		{"a table of no model, within another", []preload.RowChange{{Table: "others", Within: []string{"streameds"}, Kind: preload.RowDeleted, Columns: columns[:1], Old: []any{"7"}}},
			[]coherence.Change{{Table: "others", Kinds: coherence.Delete}, {Table: "streameds", Kinds: coherence.Delete, Where: pins[:1]}}},
		{"any rows", []preload.RowChange{{Table: "streameds", Kind: preload.RowsChanged}}, []coherence.Change{loose}},
		{"no kind", []preload.RowChange{{Table: "streameds"}}, []coherence.Change{loose}},
		{"no table", []preload.RowChange{{Table: "streameds", Kind: preload.RowsChanged}, {}}, []coherence.Change{coherence.Everything}},
		{"a table with a dot", []preload.RowChange{{Table: "a.b", Kind: preload.RowInserted}}, []coherence.Change{coherence.Everything}},
		{"none", nil, []coherence.Change{coherence.Everything}},
		{"many", slices.Repeat([]preload.RowChange{update(row, row), {Table: "others", Kind: preload.RowInserted}}, 5_000),
			[]coherence.Change{coherence.Loose("streameds", coherence.Update), coherence.Loose("others", coherence.Insert)}},
		{"long", []preload.RowChange{{Table: strings.Repeat("x", 40_000), Kind: preload.RowsChanged}}, []coherence.Change{coherence.Everything}},
	} {
		told, err := batch.Read(f.member.Rows(c.rows))
		worldtest.Must(t, err)
		var got []coherence.Change
		for _, change := range told {
			got = append(got, change.Change)
		}
		if !slices.EqualFunc(got, c.want, sameChange) {
			t.Errorf("%s:\n%+v, want\n%+v", c.name, got, c.want)
		}
	}
}

// sameChange compares changes; the order of their lists does not matter.
func sameChange(a, b coherence.Change) bool {
	pins := func(a, b coherence.Pins) bool {
		return len(a) == len(b) && !slices.ContainsFunc(a, func(pin coherence.Pin) bool {
			values, ok := b.Of(pin.Column)
			return !ok || !slices.Equal(values, pin.Values)
		})
	}
	return a.Table == b.Table && a.Kinds == b.Kinds && a.Columns.All == b.Columns.All && pins(a.Where, b.Where) && pins(a.Set, b.Set) &&
		slices.Equal(slices.Sorted(slices.Values(a.Columns.Names)), slices.Sorted(slices.Values(b.Columns.Names)))
}
