package preload_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type formShelf struct {
	_     struct{} `preload:""`
	ID    int64
	Name  string
	Books []formBook `gorm:"foreignKey:ShelfID"`
}

type formBook struct {
	_       struct{} `preload:""`
	ID      int64
	ShelfID int64
	Shelf   *formShelf
	Title   string
}

type formTouch struct {
	_  struct{} `preload:""`
	ID int64
}

// formOpen returns a database in which touch, a function of shelves, and the operator === write.
func formOpen(t *testing.T) (db, plain *gorm.DB, p *preload.Plugin) {
	t.Helper()
	d := dbtest.Postgres(t)
	plain, db = d.Plain(t), d.Open(t)
	worldtest.Must(t, plain.AutoMigrate(&formShelf{}, &formBook{}, &formTouch{}))
	worldtest.Must(t, plain.Create(&[]formShelf{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}}).Error)
	worldtest.Must(t, plain.Create(&[]formBook{{ID: 1, ShelfID: 1, Title: "x"}}).Error)
	for _, ddl := range []string{
		"CREATE FUNCTION touch(s form_shelves) RETURNS bigint LANGUAGE sql AS 'INSERT INTO form_touches DEFAULT VALUES RETURNING id'",
		"CREATE FUNCTION touches(a text, b text) RETURNS boolean LANGUAGE sql AS 'INSERT INTO form_touches DEFAULT VALUES RETURNING true'",
		"CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = touches)",
		"CREATE FUNCTION touched(a text) RETURNS boolean LANGUAGE sql AS 'INSERT INTO form_touches DEFAULT VALUES RETURNING true'",
		"CREATE OPERATOR @@@@ (RIGHTARG = text, FUNCTION = touched)",
	} {
		worldtest.Must(t, plain.Exec(ddl).Error)
	}
	p = preload.New(preload.WithoutWorker())
	worldtest.Must(t, db.Use(p))
	t.Cleanup(func() { _ = p.Close() })
	worldtest.Must(t, p.Register(&formShelf{}, &formBook{}, &formTouch{}))
	return db, plain, p
}

// PostgreSQL calls functions that have no parentheses: t.f is f(t) where t has no column f, and
// operators may be of the user's own.
func TestAFunctionWithoutParenthesesCountsAsOne(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"SELECT s.touch FROM form_shelves s WHERE s.id = 1",
		`SELECT "s"."touch" FROM "form_shelves" AS "s" WHERE s.id = 1`,
		"SELECT s.touch AS touch FROM form_shelves s WHERE s.id = 1",
		"SELECT form_shelves.touch FROM form_shelves WHERE id = 1",
		"SELECT id FROM form_shelves AS s WHERE s.id = 1 AND s.touch > 0",
		"SELECT s.id FROM form_shelves s WHERE s.id = 1 ORDER BY s.touch",
		"SELECT (SELECT s.touch) FROM form_shelves s WHERE s.id = 1",
		"SELECT b.id FROM form_books b JOIN form_shelves s ON s.id = b.shelf_id AND s.touch > 0",
		"SELECT id FROM form_shelves WHERE id = 1 AND name === 'b'",
		"SELECT id FROM form_shelves WHERE id = 1 AND name==='b'",
		"SELECT id FROM form_shelves WHERE id = 1 AND @@@@ name",
		"SELECT id FROM form_shelves WHERE id = 1 AND name OPERATOR(===) 'b'",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			db, plain, _ := formOpen(t)
			// SELECT, WHERE and the rest, as GORM builds them of texts.
			built := func(db *gorm.DB) error {
				var ids []int64
				return db.Model(&formShelf{}).Where("id IN (?)", gorm.Expr(text)).Pluck("id", &ids).Error
			}
			for range 2 {
				var before, after []formTouch
				worldtest.Must(t, db.Find(&before).Error)
				worldtest.Must(t, built(db))
				worldtest.Must(t, built(db))
				worldtest.Must(t, plain.Find(&after).Error)
				if len(after) < len(before)+2 {
					t.Errorf("built: it ran %d times of 2", len(after)-len(before))
				}
				var got, want []formTouch
				var n []int64
				worldtest.Must(t, db.Find(&before, "id > 0").Error)
				worldtest.Must(t, db.Raw(text).Scan(&n).Error)
				worldtest.Must(t, db.Find(&got, "id > 0").Error)
				worldtest.Must(t, plain.Find(&want, "id > 0").Error)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("raw: got %v, want %v", got, want)
				}
			}
		})
	}
}

// The same signs in queries that call nothing are no reason not to keep an answer.
func TestNamesBehindDotsAndOperatorsOfTheServerStayServed(t *testing.T) {
	t.Parallel()
	db, plain, p := formOpen(t)
	for i, q := range []func(db *gorm.DB) *gorm.DB{
		func(db *gorm.DB) *gorm.DB { return db.Model(&formBook{}).Select("form_books.title") },
		func(db *gorm.DB) *gorm.DB {
			return db.Table("form_books AS b").Model(&formBook{}).Select("b.title AS title")
		},
		func(db *gorm.DB) *gorm.DB { return db.Model(&formBook{}).Select("b.*").Table("form_books b") },
		func(db *gorm.DB) *gorm.DB {
			return db.Model(&formBook{}).Select("form_books.id, s.name").Joins("JOIN form_shelves s ON s.id=form_books.shelf_id")
		},
		func(db *gorm.DB) *gorm.DB {
			return db.Model(&formBook{}).Select("x.total").Joins("JOIN (SELECT shelf_id, count(*) AS total FROM form_books GROUP BY shelf_id) x ON x.shelf_id = form_books.shelf_id")
		},
		func(db *gorm.DB) *gorm.DB {
			return db.Model(&formBook{}).Where("EXISTS (SELECT 1 FROM form_shelves s WHERE s.id = form_books.shelf_id AND s.name ~* 'A')")
		},
		func(db *gorm.DB) *gorm.DB { return db.Model(&formBook{}).Select("(form_books).title") },
		func(db *gorm.DB) *gorm.DB {
			return db.Model(&formBook{}).Where("id=-id*-1 and id<>-5 AND id != 3 AND title||'y' LIKE 'x%' AND id%2=1 AND id>=+1")
		},
		func(db *gorm.DB) *gorm.DB {
			return db.Model(&formBook{}).Where(`'{"a": {"b": 1}}'::jsonb #>> '{a,b}' = '1' AND '{"a.b": 1}'::jsonb ? 'a.b' AND ARRAY[1] && ARRAY[1,2]`)
		},
		func(db *gorm.DB) *gorm.DB { return db.Model(&formBook{}).Where("form_books.xmin IS NOT NULL") },
		func(db *gorm.DB) *gorm.DB {
			return db.Model(&formBook{}).Where("title COLLATE pg_catalog.\"C\" >= 'a'")
		},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			var first, again, want []map[string]any
			worldtest.Must(t, q(db).Find(&first).Error)
			before := p.Stats()
			worldtest.Must(t, q(db).Find(&again).Error)
			worldtest.Must(t, q(plain).Find(&want).Error)
			if !reflect.DeepEqual(again, want) {
				t.Errorf("got %v, want %v", again, want)
			}
			if now := p.Stats(); now.Hits != before.Hits+1 {
				t.Errorf("it is not served: %v", now.BypassReasons)
			}
		})
	}
	var books []formBook
	worldtest.Must(t, db.Joins("Shelf").Preload("Shelf.Books").Find(&books).Error)
	before := p.Stats().Hits
	worldtest.Must(t, db.Joins("Shelf").Preload("Shelf.Books").Find(&books).Error)
	if p.Stats().Hits == before {
		t.Error("a join is not served")
	}
}
