package verify

import (
	"context"
	"database/sql/driver"
	"reflect"
	"slices"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/replay"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
)

// CompareRows compares the entry of a query whose answers are recordings with what the database
// gave for the same query; nil says that this is not known. Where one of the two knows the first
// row only, that one is compared.
func CompareRows(t *template.Template, e *cache.Entry, got *replay.Recording) (v seen.Verdict, columns []string) {
	kept := t.RowsOf(e)
	if got == nil || kept == nil {
		return seen.Skipped, nil
	}
	columns = differingRows(kept, got)
	switch {
	case columns == nil:
		return seen.Equal, nil
	case !t.Determined():
		return seen.Skipped, nil
	}
	return seen.Mismatch, columns
}

func differingRows(kept, got *replay.Recording) (columns []string) {
	names := kept.Columns()
	if !slices.Equal(names, got.Columns()) {
		return []string{"columns"}
	}
	ours, theirs := rowsOf(kept), rowsOf(got)
	if kept.First() || got.First() {
		ours, theirs = ours[:min(1, len(ours))], theirs[:min(1, len(theirs))]
	}
	if len(ours) != len(theirs) {
		return []string{"rows"}
	}
	if slices.EqualFunc(ours, theirs, sameRow) {
		return nil
	}
	ours, theirs = unlike(ours, theirs)
	for i := range ours {
		for at, name := range names {
			if !sameValue(ours[i][at], theirs[i][at]) && !slices.Contains(columns, name) {
				columns = append(columns, name)
			}
		}
	}
	return columns
}

// rowsOf returns the rows of a recording.
func rowsOf(r *replay.Recording) [][]driver.Value {
	rows := make([][]driver.Value, r.Len())
	width := len(r.Columns())
	for i := range rows {
		for at := range width {
			rows[i] = append(rows[i], r.Value(i, at))
		}
	}
	return rows
}

// unlike returns the rows of each side that have no equal on the other, as many of each.
func unlike(ours, theirs [][]driver.Value) (a, b [][]driver.Value) {
	theirs = slices.Clone(theirs)
	for _, one := range ours {
		if at := slices.IndexFunc(theirs, func(other []driver.Value) bool { return sameRow(one, other) }); at >= 0 {
			theirs = slices.Delete(theirs, at, at+1)
		} else {
			a = append(a, one)
		}
	}
	return a, theirs
}

func sameRow(a, b []driver.Value) bool { return slices.EqualFunc(a, b, sameValue) }

func sameValue(a, b driver.Value) bool {
	return same(reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem())
}

// CompareValues compares a value of an application's own data with what its loader gave, in the
// same way.
func CompareValues(kept, got any) (v seen.Verdict, columns []string) {
	a, b := reflect.ValueOf(kept), reflect.ValueOf(got)
	switch {
	case !a.IsValid() || !b.IsValid() || a.Type() != b.Type():
		if a.IsValid() || b.IsValid() {
			columns = []string{"value"}
		}
	case a.Kind() == reflect.Slice:
		columns = differing(context.Background(), nil, a, b)
	case !same(a, b):
		columns = fields(context.Background(), nil, a, b)
	}
	if columns == nil {
		return seen.Equal, nil
	}
	return seen.Mismatch, columns
}
