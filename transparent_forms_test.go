package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type readSmall struct {
	ID   uint
	Name string
}

var readChannel chan int

type readCase struct {
	name   string
	reason string // "" must be served from memory
	query  readQuery
}

// one, many and pluck make the usual queries.
func readOne[T any](chain func(*gorm.DB) *gorm.DB, finish func(*gorm.DB, any) *gorm.DB) readQuery {
	return func(db *gorm.DB) (any, *gorm.DB) {
		var dest T
		return &dest, finish(chain(db), &dest)
	}
}

func readFirst[T any](chain func(*gorm.DB) *gorm.DB) readQuery {
	return readOne[T](chain, func(db *gorm.DB, dest any) *gorm.DB { return db.First(dest) })
}

func readFind[T any](chain func(*gorm.DB) *gorm.DB) readQuery {
	return readOne[T](chain, func(db *gorm.DB, dest any) *gorm.DB { return db.Find(dest) })
}

func readTake[T any](chain func(*gorm.DB) *gorm.DB) readQuery {
	return readOne[T](chain, func(db *gorm.DB, dest any) *gorm.DB { return db.Take(dest) })
}

func readSame(db *gorm.DB) *gorm.DB { return db }

func readCount(chain func(*gorm.DB) *gorm.DB) readQuery {
	return func(db *gorm.DB) (any, *gorm.DB) {
		n := int64(-1)
		tx := chain(db).Count(&n)
		return &n, tx
	}
}

func readPluck[T any](column string, chain func(*gorm.DB) *gorm.DB) readQuery {
	return func(db *gorm.DB) (any, *gorm.DB) {
		var dest []T
		return &dest, chain(db).Pluck(column, &dest)
	}
}

func readByID(db *gorm.DB) *gorm.DB { return db.Order("id") }

func readFormCases() []readCase {
	type users = []readUser
	type m = map[string]any
	users1 := func(db *gorm.DB) *gorm.DB { return db.Model(&readUser{}) }
	flat := func(db *gorm.DB) *gorm.DB {
		return users1(db).Select("id", "name", "age", "email", "birthday", "active", "score", "data", "company_id", "home_city", "level")
	}
	return []readCase{
		// Finishers.
		{"First", "", readFirst[readUser](readSame)},
		{"First not found", "", readFirst[readUser](func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", "nobody") })},
		{"First with inline condition", "", func(db *gorm.DB) (any, *gorm.DB) { var u readUser; return &u, db.First(&u, 2) }},
		{"First with inline string key", "", func(db *gorm.DB) (any, *gorm.DB) { var l readLanguage; return &l, db.First(&l, "code = ?", "en") }},
		{"First with inline struct", "", func(db *gorm.DB) (any, *gorm.DB) { var u readUser; return &u, db.First(&u, &readUser{Name: "bob"}) }},
		{"Find with inline keys", "", func(db *gorm.DB) (any, *gorm.DB) { var u users; return &u, db.Find(&u, []int{1, 3}) }},
		{"Take", "", readTake[readUser](func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", "ann") })},
		{"Last", "", func(db *gorm.DB) (any, *gorm.DB) { var u readUser; return &u, db.Last(&u) }},
		{"Find", "", readFind[users](readByID)},
		{"Find pointers", "", readFind[[]*readUser](readByID)},
		{"Find pointers to pointers", readAny, readFind[[]**readUser](readByID)},
		{"Find nothing", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where("age > 1000") })},
		{"Find into a struct", "", readFind[readUser](readByID)},
		{"Find nothing into a struct", "", readFind[readUser](func(db *gorm.DB) *gorm.DB { return db.Where("age > 1000") })},
		{"Find into an array", "", readFind[[2]readUser](readByID)},
		{"Find into a long array", "", readFind[[9]*readUser](readByID)},
		{"Find nothing into an array", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := [2]readCompany{{Name: "before"}}
			return &u, db.Where("id > 1000").Find(&u)
		}},
		{"FindInBatches", "", func(db *gorm.DB) (any, *gorm.DB) {
			var (
				all  [][]readUser
				rows []int64
				page []readUser
			)
			tx := db.Where("age >= ?", 0).FindInBatches(&page, 2, func(tx *gorm.DB, batch int) error {
				all = append(all, append([]readUser(nil), page...))
				rows = append(rows, tx.RowsAffected, int64(batch))
				return nil
			})
			return &[]any{all, rows, page}, tx
		}},
		{"FindInBatches that fails", "", func(db *gorm.DB) (any, *gorm.DB) {
			var page []readUser
			return &page, db.FindInBatches(&page, 1, func(tx *gorm.DB, batch int) error { return errors.New("enough") })
		}},
		{"FindInBatches with limit", "", func(db *gorm.DB) (any, *gorm.DB) {
			var names []string
			var page []readUser
			tx := db.Limit(3).Offset(1).FindInBatches(&page, 2, func(tx *gorm.DB, batch int) error {
				for _, u := range page {
					names = append(names, u.Name)
				}
				return nil
			})
			return &names, tx
		}},
		{"Count", "", readCount(users1)},
		{"Count where", "", readCount(func(db *gorm.DB) *gorm.DB { return users1(db).Where("age = ?", 40) })},
		{"Count nothing", "", readCount(func(db *gorm.DB) *gorm.DB { return users1(db).Where("age = ?", 41) })},
		{"Count column", "", readCount(func(db *gorm.DB) *gorm.DB { return users1(db).Select("email") })},
		{"Count distinct", "", readCount(func(db *gorm.DB) *gorm.DB { return users1(db).Distinct("age") })},
		{"Count group", "", readCount(func(db *gorm.DB) *gorm.DB { return users1(db).Group("age") })},
		{"Count group of nothing", "", readCount(func(db *gorm.DB) *gorm.DB { return users1(db).Where("age > 1000").Group("age") })},
		{"Count with order and limit", "", readCount(func(db *gorm.DB) *gorm.DB { return users1(db).Order("age").Limit(1) })},
		{"Count of a join", "", readCount(func(db *gorm.DB) *gorm.DB {
			return users1(db).Joins("Company").Where(clause.Eq{Column: clause.Column{Table: "Company", Name: "name"}, Value: "acme"})
		})},
		{"Pluck", "", readPluck[string]("name", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck field name", "", readPluck[string]("Name", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck distinct", "", readPluck[int]("age", func(db *gorm.DB) *gorm.DB { return users1(db).Distinct().Order("age") })},
		{"Pluck NULLs into pointers", readAny, readPluck[*string]("email", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck NULLs into NullString", "", readPluck[sql.NullString]("email", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck NULLs into strings", readAny, readPluck[string]("email", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck pointers", "", readPluck[*string]("name", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck times", "", readPluck[time.Time]("birthday", func(db *gorm.DB) *gorm.DB { return users1(db).Where("id = 1") })},
		{"Pluck time pointers", "", readPluck[*time.Time]("birthday", func(db *gorm.DB) *gorm.DB { return users1(db).Where("id = 1") })},
		{"Pluck NullTime", "", readPluck[sql.NullTime]("birthday", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck bytes", "", readPluck[[]byte]("data", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck any", "", readPluck[any]("name", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck scanner", "", readPluck[readLevel]("level", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck expression", "", readPluck[string]("upper(name)", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck nothing", "", readPluck[string]("name", func(db *gorm.DB) *gorm.DB { return users1(db).Where("age > 1000") })},
		{"Pluck into a slice that holds values", "", func(db *gorm.DB) (any, *gorm.DB) {
			names := make([]string, 2, 50)
			names[0], names[1] = "before", "before"
			tx := users1(db).Order("id").Pluck("name", &names)
			return &[]any{names, names[:10]}, tx
		}},
		{"FirstOrInit found", "", func(db *gorm.DB) (any, *gorm.DB) {
			var u readUser
			return &u, db.Where(readUser{Name: "bob"}).Attrs(readUser{Age: 1}).FirstOrInit(&u)
		}},
		{"FirstOrInit not found", readAny, func(db *gorm.DB) (any, *gorm.DB) {
			var u readUser
			return &u, db.Where(readUser{Name: "new"}).Attrs(readUser{Age: 1}).FirstOrInit(&u)
		}},
		{"FirstOrInit assign", "", func(db *gorm.DB) (any, *gorm.DB) {
			var u readUser
			return &u, db.Where(map[string]any{"name": "bob"}).Assign(readUser{Age: 77}).FirstOrInit(&u)
		}},
		{"FirstOrCreate found", "", func(db *gorm.DB) (any, *gorm.DB) {
			var c readCompany
			return &c, db.Where(readCompany{Name: "acme"}).FirstOrCreate(&c)
		}},

		// Destinations.
		{"smaller struct", "", readFirst[readSmall](users1)},
		{"smaller structs", "", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"smaller struct pointers", "", readFind[[]*readSmall](func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"function-local struct", "", func(db *gorm.DB) (any, *gorm.DB) {
			type local struct {
				Name string
				Age  *int
			}
			var u local
			return &u, users1(db).Take(&u)
		}},
		{"map", "", func(db *gorm.DB) (any, *gorm.DB) { u := m{}; return u, flat(db).Take(&u) }},
		{"map by value", "", func(db *gorm.DB) (any, *gorm.DB) { u := m{}; return u, flat(db).Take(u) }},
		{"map of a model that maps cannot hold", readAny, func(db *gorm.DB) (any, *gorm.DB) { u := m{}; return u, users1(db).Take(u) }},
		{"nil map", readAny, func(db *gorm.DB) (any, *gorm.DB) { var u m; tx := flat(db).Take(&u); return &u, tx }},
		{"map not found", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := m{}
			return u, users1(db).Where("age > 1000").Take(&u)
		}},
		{"map that holds values", "destination", func(db *gorm.DB) (any, *gorm.DB) {
			u := m{"before": 1}
			return u, flat(db).Take(&u)
		}},
		{"maps", "", readFind[[]m](func(db *gorm.DB) *gorm.DB { return flat(db).Order("id") })},
		{"no maps", "", readFind[[]m](func(db *gorm.DB) *gorm.DB { return users1(db).Where("age > 1000") })},
		{"no maps into an empty slice", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := []m{}
			return &u, users1(db).Where("age > 1000").Find(&u)
		}},
		{"maps into a slice that holds maps", "destination", func(db *gorm.DB) (any, *gorm.DB) {
			u := []m{{"before": 1}}
			return &u, flat(db).Find(&u)
		}},
		{"pointer to pointer", "", func(db *gorm.DB) (any, *gorm.DB) { var u *readUser; tx := db.First(&u); return &u, tx }},
		{"pointer to pointer, not found", "", func(db *gorm.DB) (any, *gorm.DB) {
			var u *readUser
			tx := db.First(&u, 1000)
			return &u, tx
		}},
		{"pointer to pointer to slice", "", func(db *gorm.DB) (any, *gorm.DB) { var u *[]readUser; tx := db.Order("id").Find(&u); return &u, tx }},
		{"slice with room and other contents", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := make([]readCompany, 3, 10)
			u[0].Name, u[2].Name = "before", "before"
			tx := db.Order("id").Find(&u)
			return &[]any{u, u[:3]}, tx
		}},
		{"slice with room, nothing found", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := make([]readCompany, 3, 10)
			u[0].Name = "before"
			tx := db.Where("id > 1000").Find(&u)
			return &[]any{u, u[:3]}, tx
		}},
		{"slice of pointers with room and other contents", "", func(db *gorm.DB) (any, *gorm.DB) {
			before := &readCompany{ID: 9, Name: "before"}
			u := []*readCompany{before, before, before}
			tx := db.Order("id").Find(&u)
			return &[]any{u, u[:3], before}, tx
		}},
		{"primary key set", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := readUser{Model: gorm.Model{ID: 2}}
			return &u, db.First(&u)
		}},
		{"primary key set, not found", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := readUser{Model: gorm.Model{ID: 1000}}
			return &u, db.First(&u)
		}},
		{"primary key set and another condition", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := readUser{Model: gorm.Model{ID: 2}}
			return &u, db.First(&u, 1)
		}},
		{"primary key set, other columns selected", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := readUser{Model: gorm.Model{ID: 2}}
			return &u, db.Select("name").Take(&u)
		}},
		{"composite primary key", "", func(db *gorm.DB) (any, *gorm.DB) {
			l := readLine{OrderID: 1, No: 2}
			return &l, db.First(&l)
		}},
		{"half a composite primary key", "", func(db *gorm.DB) (any, *gorm.DB) {
			l := readLine{OrderID: 1}
			return &l, db.First(&l)
		}},
		{"composite rows", "", readFind[[]readLine](func(db *gorm.DB) *gorm.DB {
			return db.Where("(order_id, no) IN ?", [][]any{{1, 1}, {2, 1}}).Order("order_id, no")
		})},
		{"other values set", "destination", func(db *gorm.DB) (any, *gorm.DB) {
			u := readUser{Age: 5, Tags: []string{"before"}}
			return &u, db.Select("name").Take(&u)
		}},
		{"hidden value set", "destination", func(db *gorm.DB) (any, *gorm.DB) {
			u := readUser{hidden: 5}
			return &u, db.Take(&u)
		}},
		{"association set", "destination", func(db *gorm.DB) (any, *gorm.DB) {
			u := readUser{Company: &readCompany{Name: "before"}}
			return &u, db.Joins("Company").Order("read_users.id desc").Take(&u)
		}},
		{"smaller struct that holds values", "destination", func(db *gorm.DB) (any, *gorm.DB) {
			u := readSmall{ID: 5}
			return &u, users1(db).Order("id").Take(&u)
		}},
		{"scalar", "", func(db *gorm.DB) (any, *gorm.DB) { n := 3; tx := users1(db).Select("max(age)").Take(&n); return &n, tx }},
		{"scalar, not found", "", func(db *gorm.DB) (any, *gorm.DB) {
			n := 3
			tx := users1(db).Where("age > 1000").Select("age").Take(&n)
			return &n, tx
		}},
		{"scalar of NULL", readAny, func(db *gorm.DB) (any, *gorm.DB) {
			n := 3
			tx := users1(db).Where("age > 1000").Select("max(age)").Take(&n)
			return &n, tx
		}},
		{"NullInt64", "", func(db *gorm.DB) (any, *gorm.DB) {
			var n sql.NullInt64
			tx := users1(db).Where("age > 1000").Select("max(age)").Take(&n)
			return &n, tx
		}},
		{"string", "", func(db *gorm.DB) (any, *gorm.DB) {
			var s string
			tx := users1(db).Select("name").Take(&s)
			return &s, tx
		}},
		{"float", "", func(db *gorm.DB) (any, *gorm.DB) {
			var f float64
			tx := users1(db).Select("avg(age)").Take(&f)
			return &f, tx
		}},
		{"bool", "", func(db *gorm.DB) (any, *gorm.DB) {
			var f bool
			tx := users1(db).Select("active").Take(&f)
			return &f, tx
		}},
		{"time", readAny, func(db *gorm.DB) (any, *gorm.DB) {
			var f time.Time
			tx := users1(db).Select("birthday").Where("id = 1").Take(&f)
			return &f, tx
		}},
		{"non-pointer", readAny, func(db *gorm.DB) (any, *gorm.DB) { u := readUser{}; return u, db.First(u) }},
		{"non-pointer slice", readAny, func(db *gorm.DB) (any, *gorm.DB) { u := []readUser{}; return u, db.Find(u) }},
		{"nil", readAny, func(db *gorm.DB) (any, *gorm.DB) { return nil, db.First(nil) }},
		{"nil with a model", readAny, func(db *gorm.DB) (any, *gorm.DB) { return nil, users1(db).First(nil) }},
		{"nil pointer", readAny, func(db *gorm.DB) (any, *gorm.DB) { var u *readUser; return u, db.First(u) }},
		{"nil slice pointer", readAny, func(db *gorm.DB) (any, *gorm.DB) { var u *[]readUser; return u, db.Find(u) }},
		{"interface", readAny, func(db *gorm.DB) (any, *gorm.DB) { var u any = &readUser{}; tx := db.First(&u); return u, tx }},
		{"channel", readAny, func(db *gorm.DB) (any, *gorm.DB) { return nil, db.First(&readChannel) }},
		{"wrong table", readAny, readFind[users](func(db *gorm.DB) *gorm.DB { return db.Table("no_such_table") })},
		{"wrong column", readAny, readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where("no_such_column = 1") })},
		{"wrong SQL", readAny, readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where("AND AND (") })},
		{"wrong type", readAny, readPluck[int]("name", users1)},
		{"error before", "error", func(db *gorm.DB) (any, *gorm.DB) {
			var u readUser
			db = db.Session(&gorm.Session{})
			_ = db.AddError(errors.New("before"))
			return &u, db.First(&u)
		}},

		// Columns.
		{"Select", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Select("id", "name").Order("id") })},
		{"Select expression", "", readFind[[]m](func(db *gorm.DB) *gorm.DB {
			return users1(db).Select("name, age * ? AS twice", 2).Order("id")
		})},
		{"Select with coalesce", "", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return users1(db).Select("id, COALESCE(email, name) AS name").Order("id")
		})},
		{"Omit", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Omit("name", "Age").Order("id") })},
		{"Distinct", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Distinct("age").Order("age") })},
		{"MapColumns", "", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return users1(db).Select("id", "home_city").MapColumns(map[string]string{"home_city": "name"}).Order("id")
		})},
		{"QueryFields", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Session(&gorm.Session{QueryFields: true}).Order("id")
		})},
		{"Group and Having", "", readFind[[]m](func(db *gorm.DB) *gorm.DB {
			return users1(db).Select("age, count(*) AS n").Group("age").Having("count(*) > ?", 1).Order("age")
		})},

		// Conditions.
		{"struct condition", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where(&readUser{Age: 40}).Order("id") })},
		{"struct condition with zero", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where(&readUser{Age: 0}, "Age").Order("id") })},
		{"map condition", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Where(m{"age": 40, "active": true}).Order("id")
		})},
		{"map condition with a list", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Where(m{"name": []string{"ann", "cid"}}).Order("id")
		})},
		{"map condition with nil", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where(m{"email": nil}).Order("id") })},
		{"Or", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where("age = 30").Or("name = ?", "bob").Order("id") })},
		{"Or of groups", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Where(db.Session(&gorm.Session{NewDB: true}).Where("age = ?", 30).Or("age = ?", 40)).Where("active = ?", true).Order("id")
		})},
		{"Not", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Not("name = ?", "bob").Order("id") })},
		{"Not map", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Not(m{"name": []string{"bob", "cid"}}).Order("id") })},
		{"Not struct", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Not(readUser{Name: "bob", Age: 40}).Order("id") })},
		{"IN", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where("name IN ?", []string{"bob", "ann"}).Order("id") })},
		{"IN with parentheses", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where("name IN (?)", []string{"bob", "ann"}).Order("id") })},
		{"empty IN", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where("name IN ?", []string{}).Order("id") })},
		{"LIKE and BETWEEN", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Where("name LIKE ? AND age BETWEEN ? AND ?", "%n%", 10, 50).Order("id")
		})},
		{"CASE", "", readPluck[string]("CASE WHEN age > 30 THEN 'old' ELSE 'young' END", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"named argument", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Where("name = @n OR (age = @a AND name <> @n)", sql.Named("n", "ann"), sql.Named("a", 40)).Order("id")
		})},
		{"named map", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where("name = @n", m{"n": "ann"}) })},
		{"gorm.Expr", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Where("age > ?", gorm.Expr("? + 5", 30)).Order("id") })},
		{"clause expressions", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Clauses(clause.Gte{Column: "age", Value: 30}, clause.OrderBy{Columns: []clause.OrderByColumn{{Column: clause.Column{Name: "id"}, Desc: true}}})
		})},
		{"clause.IN and clause.Like", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Where(clause.And(clause.IN{Column: "id", Values: []any{1, 2, 4}}, clause.Not(clause.Like{Column: "name", Value: "dot%"}))).Order("id")
		})},
		{"expression of an unknown type", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Where(readExpr{"age = 40"}).Order("id")
		})},
		{"subquery", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&readUser{}).Select("AVG(age)")
			return db.Where("age > (?)", sub).Order("id")
		})},
		{"subquery IN", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&readPet{}).Select("read_user_id").Where("name <> ?", "kit")
			return db.Where("id IN (?)", sub).Order("id")
		})},
		{"subquery of a map", readAny, readFind[users](func(db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&readPet{}).Select("read_user_id")
			return db.Where(m{"id": sub}).Order("id")
		})},
		{"EXISTS", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Where("EXISTS (SELECT 1 FROM read_pets p WHERE p.read_user_id = read_users.id)").Order("id")
		})},
		{"Limit and Offset", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Order("id").Limit(2).Offset(1) })},
		{"Limit 0", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Order("id").Limit(0) })},
		{"Limit -1", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Order("id").Limit(2).Limit(-1) })},
		{"Order by expression", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Clauses(clause.OrderBy{Expression: clause.Expr{SQL: "CASE WHEN name = ? THEN 0 ELSE 1 END, id", Vars: []any{"cid"}}})
		})},
		{"Scopes", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Scopes(func(db *gorm.DB) *gorm.DB { return db.Where("age = ?", 40) }, func(db *gorm.DB) *gorm.DB { return db.Order("id") })
		})},
		{"Unscoped", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Unscoped().Order("id") })},
		{"deleted", "", readFirst[readUser](func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", "gone") })},
		{"deleted, Unscoped", "", readFirst[readUser](func(db *gorm.DB) *gorm.DB { return db.Unscoped().Where("name = ?", "gone") })},
		{"hint before and after", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			db = db.Order("id")
			c := clause.Clause{BeforeExpression: clause.Expr{SQL: "/* before */"}}
			c.AfterExpression = clause.Expr{SQL: "/* after */"}
			tx := db.Session(&gorm.Session{})
			tx = tx.Where("age = ?", 40)
			where := tx.Statement.Clauses["WHERE"]
			where.BeforeExpression, where.AfterExpression = c.BeforeExpression, c.AfterExpression
			tx.Statement.Clauses["WHERE"] = where
			return tx
		})},

		// Tables.
		{"Table AS", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Table("read_users AS u").Where("u.age = ?", 40).Order("u.id") })},
		{"Table with a subquery", "", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&readUser{}).Where("age = ?", 40)
			return db.Table("(?) AS t", sub).Model(&readUser{}).Select("t.id, t.name").Unscoped().Order("t.id")
		})},
		{"two tables", "", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return users1(db).Table("read_users AS u, read_companies AS c").Select("u.id, c.name").Unscoped().
				Where("u.company_id = c.id").Order("u.id")
		})},

		// Joins.
		{"Joins", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Joins("Company").Order("read_users.id") })},
		{"Joins First", "", readFirst[readUser](func(db *gorm.DB) *gorm.DB { return db.Joins("Company").Joins("Manager") })},
		{"InnerJoins", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.InnerJoins("Company").Order("read_users.id") })},
		{"Joins with condition", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Joins("Company", db.Session(&gorm.Session{NewDB: true}).Where(&readCompany{Name: "acme"})).Order("read_users.id")
		})},
		{"nested Joins", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Joins("Manager").Joins("Manager.Company").Order("read_users.id") })},
		{"nested Joins alone", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Joins("Manager.Company.HQ").Order("read_users.id") })},
		{"has one Joins", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Joins("Account").Order("read_users.id") })},
		{"raw Joins", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Joins("LEFT JOIN read_companies c ON c.id = read_users.company_id AND c.name = ?", "acme").Where("c.id IS NOT NULL").Order("read_users.id")
		})},
		{"raw Joins into another struct", "", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return users1(db).Select("read_users.id, c.name").Joins("JOIN read_companies c ON c.id = read_users.company_id").Order("read_users.id")
		})},
		{"Joins with a subquery", "", readFind[[]readSmall](func(db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&readPet{}).Select("read_user_id, count(*) AS n").Group("read_user_id")
			return users1(db).Select("read_users.id, read_users.name").Joins("JOIN (?) p ON p.read_user_id = read_users.id AND p.n > ?", sub, 1).Order("read_users.id")
		})},
		{"Joins and Preload of the joined", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Joins("Manager").Preload("Manager.Pets").Preload("Manager.Company.HQ").Order("read_users.id")
		})},
		{"Joins with Select", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Joins("Company", db.Session(&gorm.Session{NewDB: true}).Select("name")).Order("read_users.id")
		})},

		// Preload.
		{"Preload has one", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Account").Order("id") })},
		{"Preload has many", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Pets").Order("id") })},
		{"Preload belongs to", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Company").Preload("Manager").Order("id") })},
		{"Preload many2many", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Languages").Preload("Friends").Order("id") })},
		{"Preload polymorphic", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Toys").Preload("Pets.Toy").Order("id") })},
		{"Preload nested", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Team.Team.Company.HQ").Order("id") })},
		{"Preload of itself", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Preload("Manager.Manager").Preload("Friends.Friends").Order("id")
		})},
		{"Preload with condition", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Pets", "name = ?", "rex").Order("id") })},
		{"Preload with function", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Preload("Pets", func(db *gorm.DB) *gorm.DB {
				return db.Order("read_pets.name DESC").Select("id", "read_user_id", "name")
			}).Order("id")
		})},
		{"Preload Associations", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Preload(clause.Associations).Order("id") })},
		{"Preload First", "", readFirst[readUser](func(db *gorm.DB) *gorm.DB { return db.Preload("Pets").Preload("Languages") })},
		{"Preload not found", "", readFirst[readUser](func(db *gorm.DB) *gorm.DB { return db.Preload("Pets").Where("age > 1000") })},
		{"Preload unknown", readAny, readFind[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Nothing").Order("id") })},
		{"Preload Unscoped", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.Preload("Team", func(db *gorm.DB) *gorm.DB { return db.Unscoped().Order("id") }).Order("id")
		})},

		// Generics.
		{"G First", "", readG(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[readUser](db).Where("age = ?", 40).First(ctx)
			return &u, err
		})},
		{"G not found", "", readG(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[readUser](db).Where("age = ?", 41).First(ctx)
			return &u, err
		})},
		{"G Find", "", readG(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[readUser](db).Order("id").Find(ctx)
			return &u, err
		})},
		{"G Take and Last", "", readG(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[*readUser](db).Where("id = ?", 1).Take(ctx)
			l, err2 := gorm.G[readUser](db).Last(ctx)
			return &[]any{u, l}, errors.Join(err, err2)
		})},
		{"G Count", "", readG(func(ctx context.Context, db *gorm.DB) (any, error) {
			n, err := gorm.G[readUser](db).Where("age = ?", 40).Count(ctx, "*")
			return &n, err
		})},
		{"G Preload", "", readG(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[readUser](db).Preload("Pets", func(db gorm.PreloadBuilder) error { db.Order("name"); return nil }).Order("id").Find(ctx)
			return &u, err
		})},
		{"G Joins", "", readG(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[readUser](db).Joins(clause.LeftJoin.Association("Company"), func(db gorm.JoinBuilder, join clause.Table, cur clause.Table) error {
				db.Where("?.name = ?", join, "acme")
				return nil
			}).Order("read_users.id").Find(ctx)
			return &u, err
		})},
		{"G Joins with alias", "", readG(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[readUser](db).Joins(clause.InnerJoin.Association("Company").As("co"), func(db gorm.JoinBuilder, join clause.Table, cur clause.Table) error {
				return nil
			}).Order("read_users.id").Find(ctx)
			return &u, err
		})},
		{"G FindInBatches", "", readG(func(ctx context.Context, db *gorm.DB) (any, error) {
			var all []readUser
			err := gorm.G[readUser](db).FindInBatches(ctx, 2, func(data []readUser, batch int) error {
				all = append(all, data...)
				return nil
			})
			return &all, err
		})},

		// Hooks.
		{"AfterFind counts", "", readFirst[readHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 1) })},
		{"AfterFind changes", "", readFirst[readHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 2) })},
		{"AfterFind fails", "", readFirst[readHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 3) })},
		{"AfterFind queries", "", readFirst[readHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 4) })},
		{"AfterFind of rows", "", readFind[[]readHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id <> ?", 3).Order("id") })},
		{"AfterFind of pointers", "", readFind[[]*readHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id <> ?", 3).Order("id") })},
		{"AfterFind of nothing", "", readFind[[]readHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id > ?", 300) })},
		{"SkipHooks", "", readFind[[]readHooked](func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{SkipHooks: true}).Order("id") })},

		// Sessions.
		{"Session", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{NewDB: true}).Order("id") })},
		{"Debug", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{Logger: db.Logger}).Order("id") })},
		{"PrepareStmt", "", readFind[users](func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{PrepareStmt: true}).Order("id") })},
		{"WithContext", "", readFind[users](func(db *gorm.DB) *gorm.DB {
			return db.WithContext(context.WithValue(context.Background(), readSmall{}, 1)).Order("id")
		})},
		{"WithResult", "", func(db *gorm.DB) (any, *gorm.DB) {
			result := gorm.WithResult()
			var u users
			tx := db.Clauses(result).Order("id").Find(&u)
			return &[]any{u, result.RowsAffected, result.Error}, tx
		}},
		{"a statement used again", "", func(db *gorm.DB) (any, *gorm.DB) {
			var (
				a, b users
				c    readUser
				n    int64
				s    []string
			)
			tx := db.Model(&readUser{}).Where("age >= ?", 30)
			rows := []int64{tx.Count(&n).RowsAffected, tx.Pluck("name", &s).RowsAffected, tx.Find(&a).RowsAffected}
			last := tx.Find(&b)
			rows = append(rows, last.RowsAffected, tx.Count(&n).RowsAffected, tx.Find(&c).RowsAffected)
			return &[]any{a, b, c, n, s, rows}, last
		}},
		{"a statement used again, whole rows first", "", func(db *gorm.DB) (any, *gorm.DB) {
			var (
				a, b users
				n    int64
			)
			tx := db.Where("age >= ?", 30).Order("id").Limit(2)
			rows := []int64{tx.Find(&a).RowsAffected, tx.Model(&readUser{}).Count(&n).RowsAffected}
			last := tx.Find(&b)
			return &[]any{a, b, n, rows}, last
		}},
		{"a statement with a subquery used again", "", func(db *gorm.DB) (any, *gorm.DB) {
			var a, b users
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&readPet{}).Select("read_user_id")
			tx := db.Where("id IN (?)", sub).Order("id")
			tx.Find(&a)
			tx.Find(&b)
			var again users
			last := db.Session(&gorm.Session{NewDB: true}).Where("id IN (?)", sub).Order("id").Find(&again)
			return &[]any{a, b, again}, last
		}},
		{"a statement with joins used again", "", func(db *gorm.DB) (any, *gorm.DB) {
			var a, b users
			tx := db.Joins("Company").Where("age >= ?", 30).Order("read_users.id")
			tx.Find(&a)
			last := tx.Find(&b)
			return &[]any{a, b}, last
		}},
	}
}

func readG(do func(context.Context, *gorm.DB) (any, error)) readQuery {
	return func(db *gorm.DB) (any, *gorm.DB) {
		dest, err := do(db.Statement.Context, db)
		return dest, &gorm.DB{Error: err}
	}
}

// TestReadFormsAnswerAsPlainGORM holds promises 1 and 6 against every form of query.
func TestReadFormsAnswerAsPlainGORM(t *testing.T) {
	t.Parallel()
	for _, config := range []struct {
		name string
		make func() *gorm.Config
	}{
		{"default", func() *gorm.Config { return &gorm.Config{} }},
		{"prepared", func() *gorm.Config { return &gorm.Config{PrepareStmt: true, TranslateError: true, QueryFields: true} }},
	} {
		t.Run(config.name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				readSeed(t, d.Plain(t))
				b := readOpenWith(t, d, config.make)
				readMust(t, b.p.Register(readModels...))
				for _, c := range readFormCases() {
					b.same(t, c.name, c.reason, c.query)
				}
			})
		})
	}
}

// Two readers at the same time get copies of their own, also the one whose query it was and those
// who waited.
func TestReadResultsAreNotSharedWithNestedMemory(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	var results [4][]readUser
	for i := range results {
		readMust(t, b.db.Preload(clause.Associations).Order("id").Find(&results[i]).Error)
	}
	want := results[0]
	for i := 1; i < len(results); i++ {
		if !reflect.DeepEqual(want, results[i]) {
			t.Fatalf("reader %d got something else", i)
		}
		if at := readShared(reflect.ValueOf(&want), reflect.ValueOf(&results[i])); at != "" {
			t.Errorf("readers 0 and %d share memory at %s", i, at)
		}
	}
}

// readShared returns where two values share memory that can be changed.
func readShared(a, b reflect.Value) string {
	places := map[uintptr]string{}
	readPlaces(a, "", 0, places)
	other := map[uintptr]string{}
	readPlaces(b, "", 0, other)
	for at, path := range other {
		if _, ok := places[at]; ok {
			return path
		}
	}
	return ""
}

func readPlaces(v reflect.Value, path string, depth int, to map[uintptr]string) {
	if depth > 20 || v.IsValid() && v.Type() == reflect.TypeFor[*time.Location]() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			to[v.Pointer()] = path
			readPlaces(v.Elem(), path, depth+1, to)
		}
	case reflect.Interface:
		readPlaces(v.Elem(), path, depth+1, to)
	case reflect.Struct:
		for i := range v.NumField() {
			readPlaces(v.Field(i), path+"."+v.Type().Field(i).Name, depth+1, to)
		}
	case reflect.Slice:
		if v.Len() > 0 {
			to[v.Pointer()] = path
		}
		for i := range v.Len() {
			readPlaces(v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1, to)
		}
	case reflect.Map:
		if !v.IsNil() {
			to[v.Pointer()] = path
		}
		for _, key := range v.MapKeys() {
			readPlaces(v.MapIndex(key), fmt.Sprintf("%s[%v]", path, key), depth+1, to)
		}
	}
}

// A clause builder of the application's may render the same clause differently from call to call:
// by the context, say.
func TestReadClauseBuildersOfTheApplicationCount(t *testing.T) {
	t.Parallel()
	type tenant struct{}
	b := readSQLite(t)
	for _, db := range []*gorm.DB{b.plain, b.db} {
		db.ClauseBuilders["WHERE"] = func(c clause.Clause, builder clause.Builder) {
			stmt := builder.(*gorm.Statement)
			c.Build(builder)
			if age, ok := stmt.Context.Value(tenant{}).(string); ok {
				_, _ = builder.WriteString(" AND age = " + age)
			}
		}
	}
	for range 2 {
		for _, age := range []string{"30", "40"} {
			var got, want []readUser
			ctx := context.WithValue(context.Background(), tenant{}, age)
			readMust(t, b.plain.WithContext(ctx).Where("active = ?", true).Find(&want).Error)
			readMust(t, b.db.WithContext(ctx).Where("active = ?", true).Find(&got).Error)
			if !reflect.DeepEqual(want, got) {
				t.Errorf("age %s: plain %d rows (first %q), plugin %d rows (first %q)", age, len(want), want[0].Name, len(got), got[0].Name)
			}
		}
	}
}

// A query that names a table before its model was used must come from the database, and from memory
// once the model is known.
func TestReadTableThatBecomesKnown(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	readSeed(t, d.Plain(t))
	b := readOpen(t, d)
	query := func() {
		var lines []readLine
		readMust(t, b.db.Where("text IN (SELECT name FROM read_companies)").Find(&lines).Error)
	}
	query()
	if n := b.queries(query); n != 1 {
		t.Fatalf("a table of no model in use: %d queries, want 1", n)
	}
	readMust(t, b.p.Register(&readCompany{}))
	query()
	if n := b.queries(query); n != 0 {
		t.Errorf("after its model was registered: %d queries, want 0; %v", n, b.p.Stats().BypassReasons)
	}
}

// A view has the name of a model's table in another schema: what is written to the tables that it
// reads cannot be known, so it is no known table.
func TestReadViewInAnotherSchemaIsNoKnownTable(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	plain := d.Plain(t)
	readSeed(t, plain)
	readMust(t, plain.Exec(`CREATE VIEW "Read_Companies" AS SELECT id, name FROM read_plains`).Error)
	b := readOpen(t, d)
	readMust(t, b.p.Register(readModels...))
	var got []readCompany
	for range 2 {
		readMust(t, b.db.Table("Read_Companies").Find(&got).Error)
	}
	readMust(t, b.db.Create(&readPlain{ID: 7, Name: "seventh"}).Error)
	readMust(t, b.db.Table("Read_Companies").Find(&got).Error)
	if len(got) != 2 {
		t.Errorf("a view with quoted capitals: %d rows after a write to what it reads, want 2", len(got))
	}

	other := fmt.Sprintf("preload_view_%d", time.Now().UnixNano())
	readMust(t, plain.Exec("CREATE SCHEMA "+other).Error)
	t.Cleanup(func() { _ = plain.Exec("DROP SCHEMA " + other + " CASCADE") })
	readMust(t, plain.Exec("CREATE VIEW "+other+".read_companies AS SELECT id, name FROM read_plains").Error)
	for range 2 {
		readMust(t, b.db.Table(other+".read_companies").Find(&got).Error)
	}
	readMust(t, b.db.Create(&readPlain{ID: 8, Name: "eighth"}).Error)
	readMust(t, b.db.Table(other+".read_companies").Find(&got).Error)
	if len(got) != 3 {
		t.Errorf("a view in another schema: %d rows after a write to what it reads, want 3", len(got))
	}
}

// FirstOrCreate writes what it did not find; the "not found" must not be remembered.
func TestReadFirstOrCreate(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		readSeed(t, d.Plain(t))
		b := readOpen(t, d)
		for turn := range 3 {
			var c readCompany
			tx := b.db.Where(readCompany{Name: "new"}).FirstOrCreate(&c)
			readMust(t, tx.Error)
			if want := int64(0); turn == 0 && tx.RowsAffected != 1 || turn > 0 && tx.RowsAffected != want || c.ID == 0 || c.Name != "new" {
				t.Errorf("turn %d: %d rows, %+v", turn, tx.RowsAffected, c)
			}
		}
		var n int64
		readMust(t, b.plain.Model(&readCompany{}).Where("name = ?", "new").Count(&n).Error)
		if n != 1 {
			t.Errorf("created %d times", n)
		}
	})
}

// The plugin in gorm.Config works as with Use.
func TestReadPluginInConfig(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	readSeed(t, d.Plain(t))
	for _, prepare := range []bool{false, true} {
		p := preload.New(preload.WithoutWorker(), preload.WithLogger(readQuiet()))
		defer p.Close()
		db := d.Open(t, &gorm.Config{PrepareStmt: prepare, Plugins: map[string]gorm.Plugin{p.Name(): p}})
		if got, ok := preload.From(db); !ok || got != p {
			t.Fatalf("From: %v %v", got, ok)
		}
		before := d.Probe.Queries()
		for range 3 {
			var c readCompany
			readMust(t, db.First(&c).Error)
		}
		if n := d.Probe.Queries() - before; n != 1 {
			t.Errorf("prepare %v: %d queries for three equal reads", prepare, n)
		}
	}
}
