package footprint

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

type printedBook struct {
	ID    int
	Title string
	Price int
}

// footprints returns what knows of one model, and a handle that sends nothing.
func footprints(t *testing.T) (*Footprints, *gorm.DB) {
	t.Helper()
	db := dbtest.SQLite(t).Plain(t).Session(&gorm.Session{DryRun: true, SkipDefaultTransaction: true})
	c := catalog.New(catalog.Hooks{
		Dialect: db.Name, Settle: func(*schema.Schema) {}, Depends: func(*schema.Schema) []string { return nil }, Changed: func(catalog.Learned) {},
	})
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(&printedBook{}); err != nil {
		t.Fatal(err)
	}
	c.Learn(stmt.Schema)
	f := New(c, false)
	f.Serve(db)
	return f, db
}

// TestWhatAQueryReads: which columns the answer depends on, which of them choose its rows, and which
// values are pinned; all changes of the table where the query is not simple.
func TestWhatAQueryReads(t *testing.T) {
	t.Parallel()
	f, db := footprints(t)
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(&printedBook{}); err != nil {
		t.Fatal(err)
	}
	const table = "printed_books"
	for _, test := range []struct {
		sql               string
		pinned            []string
		fixed             []string
		columns, choosing []string // nil for all
		rows, loose       bool
		dest              reflect.Type // *[]printedBook where it is nil
		cutting           []string     // * for all
	}{
		{"SELECT * FROM `printed_books` WHERE id = ?", []string{"id"}, nil, nil, []string{"id"}, true, false, nil, nil},
		{"SELECT * FROM `printed_books` WHERE title = ? AND price = 5", []string{"title"}, []string{"price"}, nil, []string{"title", "price"}, true, false, nil, nil},
		{"SELECT id, title FROM `printed_books` WHERE price > ?", nil, nil, []string{"price", "id", "title"}, []string{"price"}, true, false, nil, nil},
		{"SELECT count(*) FROM `printed_books` WHERE title = ?", []string{"title"}, nil, []string{"title"}, []string{"title"}, false, false, nil, nil},
		{"SELECT * FROM `printed_books` ORDER BY price LIMIT 3", nil, nil, nil, []string{}, true, false, nil, []string{"price"}},
		{"SELECT * FROM `printed_books` LIMIT 3", nil, nil, nil, []string{}, true, false, nil, []string{"*"}},
		{"SELECT * FROM `printed_books` WHERE id IN (SELECT id FROM printed_books)", nil, nil, nil, nil, false, true, nil, nil},
		{"SELECT * FROM `printed_books` LIMIT 3 OFFSET 2", nil, nil, nil, []string{}, false, false, nil, []string{"*"}},
		// What is no slice gets the first row only: which one that is, any change may change,
		// unless it is found by its key.
		{"SELECT * FROM `printed_books` WHERE title = ?", []string{"title"}, nil, nil, []string{"title"}, true, false, reflect.TypeFor[*printedBook](), []string{"*"}},
		{"SELECT * FROM `printed_books` WHERE id = ?", []string{"id"}, nil, nil, []string{"id"}, true, false, reflect.TypeFor[*printedBook](), nil},
		{"SELECT * FROM `printed_books` WHERE id IN (?, ?) ORDER BY price LIMIT 1", []string{"id"}, nil, nil, []string{"id"}, true, false, nil, []string{"price"}},
		{"SELECT * FROM `printed_books` WHERE id IN (3, 5) ORDER BY price LIMIT 1", nil, []string{"id"}, nil, []string{"id"}, true, false, nil, []string{"price"}},
		{"SELECT * FROM `printed_books` WHERE id IN (?, ?) LIMIT 1", []string{"id"}, nil, nil, []string{"id"}, true, false, nil, []string{"*"}},
		{"SELECT id, title FROM `printed_books` WHERE id = ? ORDER BY price LIMIT 1", []string{"id"}, nil, []string{"id", "title", "price"}, []string{"id"}, true, false, nil, nil},
	} {
		if test.dest == nil {
			test.dest = reflect.TypeFor[*[]printedBook]()
		}
		r := f.Reading(Query{Shape: f.SimpleQuery(test.sql), Tables: []string{table}, Dest: test.dest, Schema: stmt.Schema}, 1, nil)
		if loose := slices.Contains(r.Loose, table); loose != test.loose || r.Group == nil {
			t.Errorf("%s: loose is %v, want %v", test.sql, loose, test.loose)
		}
		if test.loose {
			continue
		}
		if r.About.Table != table || !slices.Equal(r.About.Pinned, test.pinned) || r.About.Rows != test.rows {
			t.Errorf("%s: of table %q, pins %q, shows rows %v", test.sql, r.About.Table, r.About.Pinned, r.About.Rows)
		}
		for name, want := range map[string]struct {
			got  coherence.Columns
			want []string
		}{"columns": {r.About.Columns, test.columns}, "choosing": {r.About.Choosing, test.choosing}, "cutting": {r.About.Cutting, test.cutting}} {
			if name == "cutting" && want.want == nil {
				want.want = []string{}
			} else if slices.Equal(want.want, []string{"*"}) {
				want.want = nil
			}
			got := slices.Sorted(slices.Values(want.got.Names))
			if want.got.All != (want.want == nil) || !want.got.All && !slices.Equal(got, slices.Sorted(slices.Values(want.want))) {
				t.Errorf("%s: %s are %v, want %q", test.sql, name, want.got, want.want)
			}
		}
		for _, name := range test.fixed {
			if _, ok := r.About.Fixed.Of(name); !ok {
				t.Errorf("%s: %s is not fixed", test.sql, name)
			}
		}
	}
}

type printedShelf struct {
	Code  string `gorm:"primaryKey"`
	Price int
}

// TestATextMayBeInSeveralRows: the column of a key may take texts for the same that its index tells
// apart, so that what orders the rows chooses the one that is shown.
func TestATextMayBeInSeveralRows(t *testing.T) {
	t.Parallel()
	f, db := footprints(t)
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(&printedShelf{}); err != nil {
		t.Fatal(err)
	}
	f.catalog.Learn(stmt.Schema)
	for _, sql := range []string{
		"SELECT * FROM `printed_shelves` WHERE code = ? ORDER BY price LIMIT 1",
		"SELECT * FROM `printed_shelves` WHERE code = 'a' ORDER BY price LIMIT 1",
		"SELECT * FROM `printed_shelves` WHERE code IN (?, ?) ORDER BY price LIMIT 1",
	} {
		q := Query{Shape: f.SimpleQuery(sql), Tables: []string{"printed_shelves"}, Dest: reflect.TypeFor[*[]printedShelf](), Schema: stmt.Schema}
		r := f.Reading(q, 1, nil)
		if got := r.About.Cutting; got.All || !slices.Equal(got.Names, []string{"price"}) {
			t.Errorf("%s: the limit cuts by %v, want price", sql, got)
		}
	}
}

// TestWhatAJoinedQueryReads: one table as exactly as if it were alone, and of the others anything.
func TestWhatAJoinedQueryReads(t *testing.T) {
	t.Parallel()
	f, db := footprints(t)
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(&printedBook{}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		sql     string
		pins    bool // the key is pinned
		shows   bool // the rows are shown by it
		choose  []string
		cutting []string // * for all
	}{
		{"SELECT `printed_books`.`id`, s.id AS s__id FROM `printed_books` LEFT JOIN shelves s ON s.price = printed_books.price WHERE printed_books.id = ? ORDER BY printed_books.title LIMIT 1",
			true, true, []string{"price", "id"}, nil},
		{"SELECT `printed_books`.`id`, s.id AS s__id FROM `printed_books` LEFT JOIN shelves s ON s.price = printed_books.price ORDER BY printed_books.title LIMIT 1",
			false, true, []string{"price"}, []string{"title"}},
		{"SELECT `printed_books`.`id`, s.id AS s__id FROM `printed_books` LEFT JOIN shelves s ON s.price = printed_books.price ORDER BY title, s__id LIMIT 1",
			false, true, []string{"price"}, []string{"title", "id"}},
		{"SELECT printed_books.id FROM printed_books JOIN shelves s ON s.id = printed_books.price WHERE s.id = ?", false, true, []string{"price"}, nil},
		{"SELECT printed_books.id FROM printed_books JOIN shelves s ON s.id = printed_books.price WHERE printed_books.id = ? LIMIT 1", true, true, []string{"price", "id"}, nil},
		// What ends up in the field of the key may be that of the other table.
		{"SELECT printed_books.id, s.id AS id FROM printed_books JOIN shelves s ON s.id = printed_books.price", false, false, []string{"price"}, nil},
		{"SELECT printed_books.id, s.id AS ID FROM printed_books JOIN shelves s ON s.id = printed_books.price", false, false, []string{"price"}, nil},
		{"SELECT printed_books.id, s.id FROM printed_books JOIN shelves s ON s.id = printed_books.price", false, false, []string{"price"}, nil},
		{"SELECT printed_books.id AS code FROM printed_books JOIN shelves s ON s.id = printed_books.price", false, false, []string{"price"}, nil},
		{"SELECT printed_books.price AS id, printed_books.id AS price FROM printed_books JOIN shelves s ON s.id = printed_books.price", false, false, []string{"price", "id"}, nil},
		{"SELECT * FROM printed_books JOIN shelves s ON s.id = printed_books.price", false, false, []string{"price"}, nil},
	} {
		q := Query{
			Shape: f.JoinedQuery(test.sql), Tables: []string{"printed_books", "shelves"}, Dest: reflect.TypeFor[*[]printedBook](), Schema: stmt.Schema,
		}
		r := f.Reading(q, 1, nil)
		about := r.About
		if about.Table != "printed_books" || !slices.Equal(r.Loose, []string{"shelves"}) {
			t.Errorf("%s: of %q, and anything of %q", test.sql, about.Table, r.Loose)
		}
		if pins := slices.Equal(about.Pinned, []string{"id"}); pins != test.pins || (len(about.Keys) > 0 && about.Rows) != test.shows {
			t.Errorf("%s: pins %q, shows rows %t by %q", test.sql, about.Pinned, about.Rows, about.Keys)
		}
		cutting := about.Cutting.Names
		if about.Cutting.All {
			cutting = []string{"*"}
		}
		if !sameNames(about.Choosing.Names, test.choose) || about.Choosing.All || !sameNames(cutting, test.cutting) {
			t.Errorf("%s: chosen by %v, cut by %v", test.sql, about.Choosing, about.Cutting)
		}
	}
	// A table that is joined with itself is read in two ways.
	sql := "SELECT printed_books.id FROM printed_books JOIN other.printed_books o ON o.id = printed_books.price"
	if r := f.Reading(Query{Shape: f.JoinedQuery(sql), Tables: []string{"printed_books"}, Dest: reflect.TypeFor[*[]printedBook](), Schema: stmt.Schema}, 1, nil); r.About.Table != "" || len(r.Loose) != 1 {
		t.Errorf("%s: of %q, and anything of %q", sql, r.About.Table, r.Loose)
	}
}

func sameNames(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// TestHowManyRowsAnAnswerCanHave: an answer with fewer was not cut off, whatever is at work.
func TestHowManyRowsAnAnswerCanHave(t *testing.T) {
	t.Parallel()
	f, db := footprints(t)
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(&printedBook{}); err != nil {
		t.Fatal(err)
	}
	many, one := reflect.TypeFor[*[]printedBook](), reflect.TypeFor[*printedBook]()
	for _, test := range []struct {
		tail string
		dest reflect.Type
		vars []any
		want int64
	}{
		{"", many, nil, math.MaxInt64},
		{"", one, nil, 1},
		{"LIMIT 5", many, nil, 5},
		{"LIMIT 5", one, nil, 1},
		{"LIMIT -1", many, nil, 0},
		{"LIMIT 1.5", many, nil, 0},
		{"LIMIT 2, 5", many, nil, 5},
		{"LIMIT 5 OFFSET 2", many, nil, 5},
		{"LIMIT ?", many, []any{7}, 7},
		{"LIMIT ?", many, []any{-7}, 0},
		{"LIMIT ?", many, []any{"7"}, 0},
		{"LIMIT ?", many, nil, 0},
		{"LIMIT ?, ?", many, []any{7, 3}, 3},
		{"LIMIT ? OFFSET ?", many, []any{7, 3}, 7},
	} {
		sql := "SELECT * FROM `printed_books` ORDER BY id " + test.tail
		q := Query{Shape: f.SimpleQuery(sql), Tables: []string{"printed_books"}, Dest: test.dest, Schema: stmt.Schema}
		if got := f.Reading(q, 1, nil).Limit(test.vars); q.Shape == nil || got != test.want {
			t.Errorf("%s, %v into %v: at most %d rows, want %d", sql, test.vars, test.dest, got, test.want)
		}
	}
}

// TestWhichRowsAnAnswerShows: their keys, unless there are too many to keep, or GORM scanned another
// number of them.
func TestWhichRowsAnAnswerShows(t *testing.T) {
	t.Parallel()
	f, db := footprints(t)
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(&printedBook{}); err != nil {
		t.Fatal(err)
	}
	of := func(sql string, dest reflect.Type) *Reading {
		return f.Reading(Query{Shape: f.SimpleQuery(sql), Tables: []string{"printed_books"}, Dest: dest, Schema: stmt.Schema}, 1, nil)
	}
	books := of("SELECT * FROM `printed_books` WHERE price > ?", reflect.TypeFor[*[]printedBook]())
	book := of("SELECT * FROM `printed_books` WHERE id = ?", reflect.TypeFor[*printedBook]())
	for name, test := range map[string]struct {
		r      *Reading
		answer any
		rows   int64
		known  bool
		keys   []coherence.Value
	}{
		"two":                  {books, []printedBook{{ID: 3}, {ID: 0}}, 2, true, []coherence.Value{"i3", "i0"}},
		"one":                  {book, printedBook{ID: 3}, 1, true, []coherence.Value{"i3"}},
		"none":                 {book, printedBook{}, 0, true, []coherence.Value{}},
		"fewer than there are": {books, []printedBook{{ID: 3}}, 2, true, nil},
		"the last of two":      {book, printedBook{ID: 3}, 2, true, nil},
		"too many":             {books, make([]printedBook, maxShown+1), maxShown + 1, true, nil},
		"of no rows":           {of("SELECT count(*) FROM `printed_books`", reflect.TypeFor[*int64]()), int64(3), 1, false, nil},
	} {
		n, keys, ok := test.r.Keys(t.Context(), reflect.ValueOf(test.answer), test.rows)
		switch {
		case ok != test.known, ok && int64(n) != test.rows:
			t.Errorf("%s: shows %d rows, %v", name, n, ok)
		case ok && (len(keys) != 1 || !slices.Equal(keys[0], test.keys) || (keys[0] == nil) != (test.keys == nil)):
			t.Errorf("%s: keys %q, want %q", name, keys, test.keys)
		}
	}
}

// TestWhatAWriteChanges: by its text, and by the clauses that GORM builds it of.
func TestWhatAWriteChanges(t *testing.T) {
	t.Parallel()
	f, db := footprints(t)
	raw := func(sql string, vars ...any) Write {
		stmt := db.Exec(sql, vars...).Statement
		return f.Raw(stmt, true)
	}
	for name, test := range map[string]struct {
		got  Write
		want string
	}{
		"a row":           {raw("UPDATE printed_books SET price = ? WHERE id = ?", 5, 1), "update price where id"},
		"all rows":        {raw("UPDATE printed_books SET price = price + 1"), "update price"},
		"no known column": {raw("UPDATE printed_books SET rowid = 7 WHERE id = ?", 1), "update * where id"},
		"deleted":         {raw("DELETE FROM printed_books WHERE title = ?", "a"), "delete where title"},
		"inserted":        {raw("INSERT INTO printed_books (id, title) VALUES (?, ?)", 1, "a"), "insert set id title"},
		"created":         {f.Created(db.Create(&printedBook{ID: 1, Title: "a"}).Statement, true), "insert set title price id"},
		"saved":           {f.Updated(db.Model(&printedBook{ID: 1}).Update("title", "b").Statement, true), "update title where id"},
		"removed":         {f.Deleted(db.Delete(&printedBook{ID: 1}).Statement, true), "delete where id"},
	} {
		if len(test.got.Changes) != 1 || test.got.Changes[0].Table != "printed_books" {
			t.Errorf("%s: changes %+v, want one of the table", name, test.got.Changes)
			continue
		}
		if got := spelled(test.got.Changes[0]); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestANumberInATextIsAValue: a write with numbers in its text changes what the same does with bind
// values, also where another one of its form was looked at before.
func TestANumberInATextIsAValue(t *testing.T) {
	t.Parallel()
	f, db := footprints(t)
	raw := func(sql string, vars ...any) Write {
		stmt := db.Exec(sql, vars...).Statement
		return f.Raw(stmt, true)
	}
	for _, form := range []string{
		"UPDATE printed_books SET price = %v WHERE id = %v",
		"UPDATE printed_books SET price = %v WHERE id IN (%v, 7)",
		"UPDATE printed_books SET price = %v WHERE id = 100001 OR id = %v",
		"DELETE FROM printed_books WHERE price = %v AND id = %v",
		"INSERT INTO printed_books (price, id) VALUES (%v, %v)",
		"INSERT INTO printed_books (price, id) VALUES (%v, %v), (4, 100000)",
		"INSERT INTO printed_books (price, id) VALUES (%v, 3) ON CONFLICT (id) DO UPDATE SET price = %v",
	} {
		for n := range 3 {
			got, want := raw(fmt.Sprintf(form, 5+n, 11*n)), raw(fmt.Sprintf(form, "?", "?"), 5+n, 11*n)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s with %d and %d: changes %+v, want %+v", form, 5+n, 11*n, got, want)
			}
		}
	}
}

// spelled writes a change out: its kind, and the columns that it sets, that choose its rows, and whose
// new values are known.
func spelled(c coherence.Change) string {
	words := []string{map[coherence.Kind]string{
		coherence.Insert: "insert", coherence.Update: "update", coherence.Delete: "delete", coherence.Any: "any",
	}[c.Kinds]}
	if c.Kinds == coherence.Any {
		return words[0]
	}
	if c.Columns.All {
		words = append(words, "*")
	}
	words = append(words, c.Columns.Names...)
	for i, pin := range c.Where {
		if i == 0 {
			words = append(words, "where")
		}
		words = append(words, pin.Column)
	}
	if c.Kinds == coherence.Insert {
		words = append(words, "set")
		for _, pin := range c.Set {
			words = append(words, pin.Column)
		}
	}
	return strings.Join(words, " ")
}

// TestEverythingIsWhatNobodyUnderstands keeps a statement that is not understood from changing nothing.
func TestEverythingIsWhatNobodyUnderstands(t *testing.T) {
	t.Parallel()
	f, _ := footprints(t)
	for sql, want := range map[string]sqltext.Kind{
		"SELECT 1":                               sqltext.Read,
		"UPDATE printed_books SET price = 1":     sqltext.Write,
		"CALL something()":                       sqltext.Everything,
		"ALTER TABLE printed_books ADD COLUMN x": sqltext.Everything,
		"no SQL at all":                          sqltext.Everything,
	} {
		if got := f.Meaning(sql).Kind; got != want {
			t.Errorf("%s: %v, want %v", sql, got, want)
		}
	}
	if w := Everything(); len(w.Changes) != 1 || w.Changes[0].Table != coherence.Everything.Table {
		t.Errorf("everything is %+v", w)
	}
}

// TestAReadingServesOtherLengths: what is made of the reading of a list of another length is what
// is found out about the query alone, also where one has one value and the other several.
func TestAReadingServesOtherLengths(t *testing.T) {
	t.Parallel()
	f, db := footprints(t)
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(&printedBook{}); err != nil {
		t.Fatal(err)
	}
	f.catalog.Learn(stmt.Schema)
	vars := []any{5, 6, 7, 8, 9, 10, 11}
	for _, form := range []string{
		"SELECT * FROM `printed_books` WHERE id IN (%s)",
		"SELECT * FROM `printed_books` WHERE id NOT IN (%s) AND price = ?",
		"SELECT * FROM `printed_books` WHERE price = ? AND id IN (%s) AND price IN (?,?) LIMIT ?",
		"SELECT * FROM `printed_books` WHERE id IN (%s) LIMIT 1",
		"SELECT * FROM `printed_books` WHERE id IN (%s) AND title = 5 ORDER BY price LIMIT 3",
		"SELECT id, title FROM `printed_books` WHERE title IN (%s) LIMIT 2",
	} {
		var all []Query
		for n := range 4 {
			_, shape, _, _ := f.Text(fmt.Sprintf(form, strings.Repeat("?,", n)+"?"))
			if shape == nil {
				t.Fatalf("%s is not simple", form)
			}
			all = append(all, Query{Shape: shape, Tables: []string{"printed_books"}, Dest: reflect.TypeFor[*[]printedBook](), Schema: stmt.Schema})
		}
		for _, q := range all {
			want := f.Reading(q, 1)
			for _, other := range all {
				got := f.Reading(q, 1, f.Reading(other, 1))
				if !reflect.DeepEqual(got.About, want.About) || !slices.Equal(got.Loose, want.Loose) || !reflect.DeepEqual(got.Shown, want.Shown) || got.Unique != want.Unique ||
					!reflect.DeepEqual(got.Facts(vars), want.Facts(vars)) || got.Limit(vars) != want.Limit(vars) {
					t.Errorf("%s, of %d pins: %+v with %v, want %+v with %v", form, len(q.Shape.Pins), got, got.Facts(vars), want, want.Facts(vars))
				}
			}
		}
		if one, other := f.Reading(all[2], 1), f.Reading(all[3], 1); f.Reading(all[2], 1, other).Group != other.Group || one.Group == other.Group {
			t.Errorf("%s: the answers of lists of 3 and of 4 do not stand in one group", form)
		}
	}
}
