package preload_test

import (
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// limitedBook is found by a number, by a text, or by both of a pair.
type limitedBook struct {
	_     struct{} `preload:""`
	ID    int
	Mail  *string `gorm:"size:40;uniqueIndex"`
	Price int
}

type limitedLine struct {
	_     struct{} `preload:""`
	Org   int      `gorm:"primaryKey;autoIncrement:false"`
	Nr    int      `gorm:"primaryKey;autoIncrement:false"`
	Price int
}

// TestWhichOfSeveralRowsComesFirst: a query for one row that asks for more than one value of a key
// depends on what orders the rows, too.
func TestWhichOfSeveralRowsComesFirst(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&limitedBook{}, &limitedLine{}))
		worldtest.Must(t, plain.Create(&[]limitedBook{
			{ID: 3, Mail: worldtest.Ptr("m3"), Price: 1}, {ID: 5, Mail: worldtest.Ptr("m5"), Price: 2}, {ID: 7, Price: 3}, {ID: 8, Price: 4},
		}).Error)
		worldtest.Must(t, plain.Create(&[]limitedLine{{Org: 1, Nr: 1, Price: 1}, {Org: 1, Nr: 2, Price: 2}}).Error)
		w := worldtest.Open(t, d, plain, nil)
		books, nulls, lines := map[int]int{3: 5, 5: 3}, map[int]int{7: 8, 8: 7}, map[int]int{1: 2, 2: 1}
		for name, test := range map[string]struct {
			others map[int]int // which row is to come first instead of one
			last   bool        // it comes first whose price is the highest
			ask    func(db *gorm.DB) (int, error)
		}{
			"a list of primary keys": {books, false, func(db *gorm.DB) (int, error) {
				var b limitedBook
				err := db.Where("id IN ?", []int{3, 5}).Order("price").Limit(1).Find(&b).Error
				return b.ID, err
			}},
			"into a slice": {books, false, func(db *gorm.DB) (int, error) {
				var b []limitedBook
				err := db.Where("id IN ?", []int{3, 5}).Order("price").Limit(1).Find(&b).Error
				return b[0].ID, err
			}},
			"inline": {books, false, func(db *gorm.DB) (int, error) {
				var b limitedBook
				err := db.Order("price").Take(&b, []int{5, 3}).Error
				return b.ID, err
			}},
			"written out": {books, false, func(db *gorm.DB) (int, error) {
				var b limitedBook
				err := db.Where("id IN (3, 5)").Order("price").Take(&b).Error
				return b.ID, err
			}},
			"either": {books, false, func(db *gorm.DB) (int, error) {
				var b limitedBook
				err := db.Where("id = ? OR id = ?", 3, 5).Order("price").Take(&b).Error
				return b.ID, err
			}},
			"another unique key": {books, false, func(db *gorm.DB) (int, error) {
				var b limitedBook
				err := db.Where("mail IN ?", []string{"m3", "m5"}).Order("price").Take(&b).Error
				return b.ID, err
			}},
			"NULL, which is there more than once": {nulls, false, func(db *gorm.DB) (int, error) {
				var b limitedBook
				err := db.Where("mail IS NULL").Order("price").Take(&b).Error
				return b.ID, err
			}},
			"a part of a primary key": {lines, false, func(db *gorm.DB) (int, error) {
				var l limitedLine
				err := db.Where("org = ? AND nr IN ?", 1, []int{1, 2}).Order("price").Take(&l).Error
				return l.Nr, err
			}},
			"the last by a price": {lines, true, func(db *gorm.DB) (int, error) {
				var l limitedLine
				err := db.Where("org = ? AND nr IN ?", 1, []int{1, 2}).Order("price DESC").Limit(1).Find(&l).Error
				return l.Nr, err
			}},
		} {
			for turn := range 4 {
				var got int
				for range 2 {
					var err error
					got, err = test.ask(w.DB)
					worldtest.Must(t, err)
					want, err := test.ask(w.Plain)
					worldtest.Must(t, err)
					if got != want {
						t.Fatalf("%s, turn %d: row %d comes first, want %d", name, turn, got, want)
					}
				}
				price := -1 - turn
				if test.last {
					price = 10 + turn
				}
				other := test.others[got]
				if _, line := lines[other]; line {
					worldtest.Must(t, w.DB.Model(&limitedLine{Org: 1, Nr: other}).Update("price", price).Error)
				} else {
					worldtest.Must(t, w.DB.Model(&limitedBook{ID: other}).Update("price", price).Error)
				}
			}
		}
		if w.Plugin.Stats().Hits == 0 {
			t.Error("no read was answered from memory: the test tests nothing")
		}
	})
}

// limitedCode is found by a text or by a number, either of which is there once.
type limitedCode struct {
	_     struct{} `preload:""`
	Code  string   `gorm:"primaryKey"`
	Nr    int      `gorm:"uniqueIndex"`
	Price int
}

// TestWhichOfSeveralRowsOfOneTextComesFirst: a column may take texts for the same that the index of
// its key tells apart, so that a query for one text of a key depends on what orders the rows, too.
func TestWhichOfSeveralRowsOfOneTextComesFirst(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	plain := d.Plain(t)
	worldtest.Must(t, plain.Exec("CREATE TABLE limited_codes (code text COLLATE NOCASE, nr integer UNIQUE, price integer, PRIMARY KEY (code COLLATE BINARY))").Error)
	worldtest.Must(t, plain.Create(&[]limitedCode{{Code: "a", Nr: 1, Price: 1}, {Code: "A", Nr: 2, Price: 2}}).Error)
	w := worldtest.Open(t, d, plain, nil)
	for name, ask := range map[string]func(db *gorm.DB) (c limitedCode, err error){
		"a bind value": func(db *gorm.DB) (c limitedCode, err error) {
			err = db.Where("code = ?", "a").Order("price").Take(&c).Error
			return c, err
		},
		"written out": func(db *gorm.DB) (c limitedCode, err error) {
			err = db.Where("code = 'a'").Order("price").Take(&c).Error
			return c, err
		},
		"into a slice": func(db *gorm.DB) (limitedCode, error) {
			var all []limitedCode
			err := db.Where("code = ?", "a").Order("price").Limit(1).Find(&all).Error
			return all[0], err
		},
	} {
		for turn := range 4 {
			var got limitedCode
			for range 2 {
				var err error
				got, err = ask(w.DB)
				worldtest.Must(t, err)
				want, err := ask(w.Plain)
				worldtest.Must(t, err)
				if got != want {
					t.Fatalf("%s, turn %d: %+v comes first, want %+v", name, turn, got, want)
				}
			}
			// The other row comes first from now on. Its text is not named.
			worldtest.Must(t, w.DB.Model(&limitedCode{}).Where("nr = ?", 3-got.Nr).Update("price", got.Price-1).Error)
		}
	}
	if w.Plugin.Stats().Hits == 0 {
		t.Error("no read was answered from memory: the test tests nothing")
	}
}
