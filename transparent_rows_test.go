package preload_test

import (
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// repeatedKey is a model of rows whose key repeats, as that of a view or of a history may.
type repeatedKey struct {
	_    struct{} `preload:""`
	ID   int
	Name string `gorm:"size:50"`
}

// TestOneRowThatWasReadIsNotAllThereIs: a reader of one row says nothing of how many there are, also
// where the model's key is asked for.
func TestOneRowThatWasReadIsNotAllThereIs(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.Must(t, plain.Exec("CREATE TABLE repeated_keys (id INTEGER, name VARCHAR(50))").Error)
		worldtest.Must(t, plain.Exec("INSERT INTO repeated_keys VALUES (7, 'a'), (7, 'b'), (8, 'c')").Error)
		b := readOpen(t, d, preload.WithoutWorker())
		for id, rows := range map[int]int{7: 2, 8: 1, 9: 0} {
			query := func() *gorm.DB { return b.DB.Model(&repeatedKey{}).Select("name").Where("id = ?", id) }
			for range 2 {
				var one struct{ Name string }
				worldtest.Must(t, query().Scan(&one).Error)
				var list []string
				if worldtest.Must(t, query().Scan(&list).Error); len(list) != rows {
					t.Errorf("id %d: %q, want %d rows", id, list, rows)
				}
			}
		}
		if s := b.Plugin.Stats(); s.Hits == 0 {
			t.Error("nothing was served from memory")
		}
	})
}

// TestRowsThatAreReadSlowlyReplaceNothingNewer: what was asked later, and read to its end before, is
// what stays in memory.
func TestRowsThatAreReadSlowlyReplaceNothingNewer(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithoutWorker())
	query := func(db *gorm.DB) *gorm.DB {
		return db.Model(&worldtest.ReadCompany{}).Select("name").Where("id = ?", 1)
	}
	name := func(db *gorm.DB) (name string) {
		worldtest.Must(t, query(db).Scan(&name).Error)
		return name
	}
	slow, err := query(b.DB).Rows()
	worldtest.Must(t, err)
	if !slow.Next() {
		t.Fatal("there is no row")
	}
	worldtest.Must(t, b.Plain.Exec("UPDATE read_companies SET name = 'newer' WHERE id = 1").Error)
	if got := name(b.DB.Clauses(preload.Refresh)); got != "newer" {
		t.Fatalf("a refresh gives %q", got)
	}
	for slow.Next() {
	}
	worldtest.Must(t, slow.Close())
	if got := name(b.DB); got != "newer" {
		t.Errorf("got %q after a refresh that gave \"newer\"", got)
	}
}
