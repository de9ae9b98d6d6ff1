package preload_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type outdatedRow struct {
	_    struct{} `preload:"rows:2;negative:0"`
	ID   uint
	Kind int
	Name string
}

// TestWhatRefreshFoundOutdatesWhatIsInMemory: another process writes. Whether or not the answer
// that Refresh finds can be kept, later reads do not go back to the one before it.
func TestWhatRefreshFoundOutdatesWhatIsInMemory(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		query func(*gorm.DB, *[]outdatedRow) *gorm.DB
		write string
	}{
		{"an answer without rows, which is not kept", func(tx *gorm.DB, rows *[]outdatedRow) *gorm.DB { return tx.Find(rows, "kind = ?", 1) }, "DELETE FROM outdated_rows"},
		{"not found, which is not kept", func(tx *gorm.DB, rows *[]outdatedRow) *gorm.DB {
			*rows = make([]outdatedRow, 1)
			return tx.First(&(*rows)[0], "kind = ?", 1)
		}, "DELETE FROM outdated_rows"},
		{"an answer of too many rows", func(tx *gorm.DB, rows *[]outdatedRow) *gorm.DB { return tx.Find(rows, "kind = ?", 1) }, "UPDATE outdated_rows SET kind = 1"},
		{"an answer that is too large", func(tx *gorm.DB, rows *[]outdatedRow) *gorm.DB { return tx.Find(rows, "kind = ?", 1) }, "UPDATE outdated_rows SET name = '" + strings.Repeat("x", 200<<10) + "' WHERE id = 1"},
		{"an answer that is kept", func(tx *gorm.DB, rows *[]outdatedRow) *gorm.DB { return tx.Find(rows, "kind = ?", 1) }, "UPDATE outdated_rows SET name = 'new'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := valuesOpen(t, dbtest.SQLite(t), &outdatedRow{})
			b.Plugin, b.DB = preload.New(preload.WithoutWorker(), preload.WithMaxBytes(100<<10)), b.Database.Open(t)
			worldtest.Must(t, b.DB.Use(b.Plugin))
			worldtest.Must(t, b.Plain.Create(&[]outdatedRow{{ID: 1, Kind: 1}, {ID: 2}, {ID: 3}}).Error)
			ask := func(tx *gorm.DB) int {
				var rows []outdatedRow
				if tx = test.query(tx, &rows); errors.Is(tx.Error, gorm.ErrRecordNotFound) {
					return -1
				}
				worldtest.Must(t, tx.Error)
				n := len(rows)
				for _, row := range rows {
					n += len(row.Name)
				}
				return n
			}
			before := ask(b.DB)
			worldtest.Must(t, b.Plain.Exec(test.write).Error)
			if got := ask(b.DB); got != before {
				t.Fatalf("the answer was not kept: got %d, want %d", got, before)
			}
			want := ask(b.Plain)
			if got := ask(b.DB.Clauses(preload.Refresh)); got != want {
				t.Fatalf("Refresh: got %d, want %d", got, want)
			}
			if got := ask(b.DB); got != want {
				t.Errorf("after Refresh: got %d, want %d", got, want)
			}
		})
	}
}

// TestWhatPreloadFoundOutdatesWhatIsInMemory: the same for own data.
func TestWhatPreloadFoundOutdatesWhatIsInMemory(t *testing.T) {
	t.Parallel()
	b := valuesOpen(t, dbtest.SQLite(t))
	ctx, value := context.Background(), any("old")
	load := func(context.Context) (any, error) { return value, nil }
	ask := func() any {
		v, err := preload.Load(ctx, b.Plugin, "key", load)
		worldtest.Must(t, err)
		return v
	}
	ask()
	c := make(chan int)
	value = c
	if ask() != any("old") {
		t.Fatal("the value was not kept")
	}
	if b.Plugin.Preload(ctx, "key", load) == nil {
		t.Fatal("a channel was kept")
	}
	if got := ask(); got != any(c) {
		t.Errorf("after Preload: got %v, want the value that it found", got)
	}
}
