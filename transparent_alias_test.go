package preload_test

import (
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

type aliasRow struct {
	_     struct{} `preload:""`
	ID    uint
	Other uint
	Name  string `gorm:"size:50"`
}

// An alias can put any value into the field of the key: rows are not told apart by it then.
func TestAnAliasIsNoKey(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		db := d.Open(t)
		if err := db.AutoMigrate(&aliasRow{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Use(preload.New(preload.WithoutWorker())); err != nil {
			t.Fatal(err)
		}
		for name, query := range map[string]func(*gorm.DB) *gorm.DB{
			"swapped":  func(tx *gorm.DB) *gorm.DB { return tx.Select("id AS other, other AS id, name") },
			"added":    func(tx *gorm.DB) *gorm.DB { return tx.Select("*, other AS id") },
			"computed": func(tx *gorm.DB) *gorm.DB { return tx.Select("other + 0 AS id, id AS other, name") },
		} {
			db.Where("1 = 1").Delete(&aliasRow{})
			row := aliasRow{Other: 1_000_000, Name: "old"}
			if err := db.Create(&row).Error; err != nil {
				t.Fatal(err)
			}
			read := func() (rows []aliasRow) {
				if err := query(db).Where("name <> ?", name).Find(&rows).Error; err != nil {
					t.Fatal(err)
				}
				return rows
			}
			if rows := read(); len(rows) != 1 || rows[0].Name != "old" {
				t.Fatalf("%s: got %+v", name, rows)
			}
			if err := db.Model(&aliasRow{}).Where("id = ?", row.ID).Update("name", "new").Error; err != nil {
				t.Fatal(err)
			}
			if rows := read(); len(rows) != 1 || rows[0].Name != "new" {
				t.Errorf("%s: got %+v after the update, want the new name", name, rows)
			}
		}
	})
}
