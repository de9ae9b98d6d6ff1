package preload_test

import (
	"fmt"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type unstrictRow struct {
	_      struct{} `preload:""`
	ID     int64
	Bytes  []byte `gorm:"size:4"`
	Binary []byte `gorm:"type:varbinary(4)"`
	Tiny   []byte `gorm:"type:blob(4)"`
	Three  string `gorm:"type:varchar(20) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin"`
	Latin  string `gorm:"type:varchar(20) CHARACTER SET latin1 COLLATE latin1_bin"`
	Char   string `gorm:"type:char COLLATE utf8mb4_bin"`
	Short  string `gorm:"type:varchar(4) COLLATE utf8mb4_bin"`
	Filled int64  `gorm:"type:int zerofill"`
	Small  int64  `gorm:"type:tinyint"`
}

// TestWhatAnUnstrictServerStoresIsNotWhatItWasGiven: a value that MySQL changes on the way in,
// where it is not strict, does not decide what a write has changed.
func TestWhatAnUnstrictServerStoresIsNotWhatItWasGiven(t *testing.T) {
	t.Parallel()
	b := valuesOpen(t, dbtest.MySQL(t).With(t, map[string]string{"sql_mode": "''"}), &unstrictRow{})
	for i, test := range []struct {
		column        string
		given, stored any
	}{
		{"bytes", []byte("abcdef"), []byte("abcd")},
		{"binary", []byte("abcdef"), []byte("abcd")},
		{"three", "a😀b", "a?b"},
		{"three", "a😀b", "a????b"},
		{"three", "a😀b", "a"},
		{"latin", "жук", "???"},
		{"char", "abc", "a"},
		{"short", "abcdef", "abcd"},
		{"filled", -1, 0},
		{"small", 300, 127},
		{"small", -300, -128},
	} {
		query := func(tx *gorm.DB) *gorm.DB {
			return tx.Where(b.Plain.Statement.Quote(test.column)+" = ?", test.stored).Order("id")
		}
		what := fmt.Sprintf("%s given %v, asked %v", test.column, test.given, test.stored)
		id := int64(10 * (i + 1))
		worldtest.Alike[[]unstrictRow](t, b.DB, b.Plain, what+", before", query)
		worldtest.Must(t, b.DB.Model(&unstrictRow{}).Create(map[string]any{"id": id, test.column: test.given}).Error)
		worldtest.Alike[[]unstrictRow](t, b.DB, b.Plain, what+", inserted", query)
		worldtest.Must(t, b.Plain.Exec("INSERT INTO unstrict_rows (id) VALUES (?)", id+1).Error)
		b.Plugin.Clear()
		worldtest.Alike[[]unstrictRow](t, b.DB, b.Plain, what+", before the update", query)
		worldtest.Must(t, b.DB.Model(&unstrictRow{}).Where("id = ?", id+1).Update(test.column, test.given).Error)
		worldtest.Alike[[]unstrictRow](t, b.DB, b.Plain, what+", updated", query)
	}
}
