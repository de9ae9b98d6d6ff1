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
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

type readSmall struct {
	ID   uint
	Name string
}

// readExpr is an expression of a type that the plugin does not know.
type readExpr struct{ sql string }

func (e readExpr) Build(b clause.Builder) { _, _ = b.WriteString(e.sql) }

var readChannel chan int

type readCase struct {
	name   string
	reason string // "" must be served from memory
	query  worldtest.Query
}

func readFormCases() []readCase {
	type users = []worldtest.ReadUser
	type m = map[string]any
	users1 := func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadUser{}) }
	flat := func(db *gorm.DB) *gorm.DB {
		return users1(db).Select("id", "name", "age", "email", "birthday", "active", "score", "data", "company_id", "home_city", "level")
	}
	return []readCase{
		// Finishers.
		{"First", "", worldtest.First[worldtest.ReadUser](worldtest.All)},
		{"First not found", "", worldtest.First[worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", "nobody") })},
		{"First with inline condition", "", func(db *gorm.DB) (any, *gorm.DB) { var u worldtest.ReadUser; return &u, db.First(&u, 2) }},
		{"First with inline string key", "", func(db *gorm.DB) (any, *gorm.DB) {
			var l worldtest.ReadLanguage
			return &l, db.First(&l, "code = ?", "en")
		}},
		{"First with inline struct", "", func(db *gorm.DB) (any, *gorm.DB) {
			var u worldtest.ReadUser
			return &u, db.First(&u, &worldtest.ReadUser{Name: "bob"})
		}},
		{"Find with inline keys", "", func(db *gorm.DB) (any, *gorm.DB) { var u users; return &u, db.Find(&u, []int{1, 3}) }},
		{"Take", "", worldtest.Take[worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", "ann") })},
		{"Last", "", func(db *gorm.DB) (any, *gorm.DB) { var u worldtest.ReadUser; return &u, db.Last(&u) }},
		{"Find", "", worldtest.Find[users](worldtest.ByID)},
		{"Find pointers", "", worldtest.Find[[]*worldtest.ReadUser](worldtest.ByID)},
		{"Find pointers to pointers", worldtest.AnyReason, worldtest.Find[[]**worldtest.ReadUser](worldtest.ByID)},
		{"Find nothing", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("age > 1000") })},
		{"Find into a struct", "", worldtest.Find[worldtest.ReadUser](worldtest.ByID)},
		{"Find nothing into a struct", "", worldtest.Find[worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Where("age > 1000") })},
		{"Find into an array", "", worldtest.Find[[2]worldtest.ReadUser](worldtest.ByID)},
		{"Find into a long array", "", worldtest.Find[[9]*worldtest.ReadUser](worldtest.ByID)},
		{"Find nothing into an array", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := [2]worldtest.ReadCompany{{Name: "before"}}
			return &u, db.Where("id > 1000").Find(&u)
		}},
		{"FindInBatches", "", func(db *gorm.DB) (any, *gorm.DB) {
			var (
				all  [][]worldtest.ReadUser
				rows []int64
				page []worldtest.ReadUser
			)
			tx := db.Where("age >= ?", 0).FindInBatches(&page, 2, func(tx *gorm.DB, batch int) error {
				all = append(all, append([]worldtest.ReadUser(nil), page...))
				rows = append(rows, tx.RowsAffected, int64(batch))
				return nil
			})
			return &[]any{all, rows, page}, tx
		}},
		{"FindInBatches that fails", "", func(db *gorm.DB) (any, *gorm.DB) {
			var page []worldtest.ReadUser
			return &page, db.FindInBatches(&page, 1, func(tx *gorm.DB, batch int) error { return errors.New("enough") })
		}},
		{"FindInBatches with limit", "", func(db *gorm.DB) (any, *gorm.DB) {
			var names []string
			var page []worldtest.ReadUser
			tx := db.Limit(3).Offset(1).FindInBatches(&page, 2, func(tx *gorm.DB, batch int) error {
				for _, u := range page {
					names = append(names, u.Name)
				}
				return nil
			})
			return &names, tx
		}},
		{"Count", "", worldtest.Count(users1)},
		{"Count where", "", worldtest.Count(func(db *gorm.DB) *gorm.DB { return users1(db).Where("age = ?", 40) })},
		{"Count nothing", "", worldtest.Count(func(db *gorm.DB) *gorm.DB { return users1(db).Where("age = ?", 41) })},
		{"Count column", "", worldtest.Count(func(db *gorm.DB) *gorm.DB { return users1(db).Select("email") })},
		{"Count distinct", "", worldtest.Count(func(db *gorm.DB) *gorm.DB { return users1(db).Distinct("age") })},
		{"Count group", "", worldtest.Count(func(db *gorm.DB) *gorm.DB { return users1(db).Group("age") })},
		{"Count group of nothing", "", worldtest.Count(func(db *gorm.DB) *gorm.DB { return users1(db).Where("age > 1000").Group("age") })},
		{"Count with order and limit", "", worldtest.Count(func(db *gorm.DB) *gorm.DB { return users1(db).Order("age").Limit(1) })},
		{"Count of a join", "", worldtest.Count(func(db *gorm.DB) *gorm.DB {
			return users1(db).Joins("Company").Where(clause.Eq{Column: clause.Column{Table: "Company", Name: "name"}, Value: "acme"})
		})},
		{"Pluck", "", worldtest.Pluck[string]("name", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck field name", "", worldtest.Pluck[string]("Name", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck distinct", "", worldtest.Pluck[int]("age", func(db *gorm.DB) *gorm.DB { return users1(db).Distinct().Order("age") })},
		{"Pluck NULLs into pointers", worldtest.AnyReason, worldtest.Pluck[*string]("email", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck NULLs into NullString", "", worldtest.Pluck[sql.NullString]("email", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck NULLs into strings", worldtest.AnyReason, worldtest.Pluck[string]("email", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck pointers", "", worldtest.Pluck[*string]("name", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck times", "", worldtest.Pluck[time.Time]("birthday", func(db *gorm.DB) *gorm.DB { return users1(db).Where("id = 1") })},
		{"Pluck time pointers", "", worldtest.Pluck[*time.Time]("birthday", func(db *gorm.DB) *gorm.DB { return users1(db).Where("id = 1") })},
		{"Pluck NullTime", "", worldtest.Pluck[sql.NullTime]("birthday", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck bytes", "", worldtest.Pluck[[]byte]("data", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck any", "", worldtest.Pluck[any]("name", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck scanner", "", worldtest.Pluck[worldtest.ReadLevel]("level", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck expression", "", worldtest.Pluck[string]("upper(name)", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"Pluck nothing", "", worldtest.Pluck[string]("name", func(db *gorm.DB) *gorm.DB { return users1(db).Where("age > 1000") })},
		{"Pluck into a slice that holds values", "", func(db *gorm.DB) (any, *gorm.DB) {
			names := make([]string, 2, 50)
			names[0], names[1] = "before", "before"
			tx := users1(db).Order("id").Pluck("name", &names)
			return &[]any{names, names[:10]}, tx
		}},
		{"FirstOrInit found", "", func(db *gorm.DB) (any, *gorm.DB) {
			var u worldtest.ReadUser
			return &u, db.Where(worldtest.ReadUser{Name: "bob"}).Attrs(worldtest.ReadUser{Age: 1}).FirstOrInit(&u)
		}},
		{"FirstOrInit not found", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) {
			var u worldtest.ReadUser
			return &u, db.Where(worldtest.ReadUser{Name: "new"}).Attrs(worldtest.ReadUser{Age: 1}).FirstOrInit(&u)
		}},
		{"FirstOrInit assign", "", func(db *gorm.DB) (any, *gorm.DB) {
			var u worldtest.ReadUser
			return &u, db.Where(map[string]any{"name": "bob"}).Assign(worldtest.ReadUser{Age: 77}).FirstOrInit(&u)
		}},
		{"FirstOrCreate found", "", func(db *gorm.DB) (any, *gorm.DB) {
			var c worldtest.ReadCompany
			return &c, db.Where(worldtest.ReadCompany{Name: "acme"}).FirstOrCreate(&c)
		}},

		// Destinations.
		{"smaller struct", "", worldtest.First[readSmall](users1)},
		{"smaller structs", "", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"smaller struct pointers", "", worldtest.Find[[]*readSmall](func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
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
		{"map of a model that maps cannot hold", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { u := m{}; return u, users1(db).Take(u) }},
		{"nil map", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { var u m; tx := flat(db).Take(&u); return &u, tx }},
		{"map not found", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := m{}
			return u, users1(db).Where("age > 1000").Take(&u)
		}},
		{"map that holds values", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := m{"before": 1}
			return u, flat(db).Take(&u)
		}},
		{"maps", "", worldtest.Find[[]m](func(db *gorm.DB) *gorm.DB { return flat(db).Order("id") })},
		{"no maps", "", worldtest.Find[[]m](func(db *gorm.DB) *gorm.DB { return users1(db).Where("age > 1000") })},
		{"no maps into an empty slice", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := []m{}
			return &u, users1(db).Where("age > 1000").Find(&u)
		}},
		{"maps into a slice that holds maps", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := []m{{"before": 1}}
			return &u, flat(db).Find(&u)
		}},
		{"pointer to pointer", "", func(db *gorm.DB) (any, *gorm.DB) { var u *worldtest.ReadUser; tx := db.First(&u); return &u, tx }},
		{"pointer to pointer, not found", "", func(db *gorm.DB) (any, *gorm.DB) {
			var u *worldtest.ReadUser
			tx := db.First(&u, 1000)
			return &u, tx
		}},
		{"pointer to pointer to slice", "", func(db *gorm.DB) (any, *gorm.DB) {
			var u *[]worldtest.ReadUser
			tx := db.Order("id").Find(&u)
			return &u, tx
		}},
		{"slice with room and other contents", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := make([]worldtest.ReadCompany, 3, 10)
			u[0].Name, u[2].Name = "before", "before"
			tx := db.Order("id").Find(&u)
			return &[]any{u, u[:3]}, tx
		}},
		{"slice with room, nothing found", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := make([]worldtest.ReadCompany, 3, 10)
			u[0].Name = "before"
			tx := db.Where("id > 1000").Find(&u)
			return &[]any{u, u[:3]}, tx
		}},
		{"slice of pointers with room and other contents", "", func(db *gorm.DB) (any, *gorm.DB) {
			before := &worldtest.ReadCompany{ID: 9, Name: "before"}
			u := []*worldtest.ReadCompany{before, before, before}
			tx := db.Order("id").Find(&u)
			return &[]any{u, u[:3], before}, tx
		}},
		{"primary key set", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := worldtest.ReadUser{Model: gorm.Model{ID: 2}}
			return &u, db.First(&u)
		}},
		{"primary key set, not found", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := worldtest.ReadUser{Model: gorm.Model{ID: 1000}}
			return &u, db.First(&u)
		}},
		{"primary key set and another condition", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := worldtest.ReadUser{Model: gorm.Model{ID: 2}}
			return &u, db.First(&u, 1)
		}},
		{"primary key set, other columns selected", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := worldtest.ReadUser{Model: gorm.Model{ID: 2}}
			return &u, db.Select("name").Take(&u)
		}},
		{"composite primary key", "", func(db *gorm.DB) (any, *gorm.DB) {
			l := worldtest.ReadLine{OrderID: 1, No: 2}
			return &l, db.First(&l)
		}},
		{"half a composite primary key", "", func(db *gorm.DB) (any, *gorm.DB) {
			l := worldtest.ReadLine{OrderID: 1}
			return &l, db.First(&l)
		}},
		{"composite rows", "", worldtest.Find[[]worldtest.ReadLine](func(db *gorm.DB) *gorm.DB {
			return db.Where("(order_id, no) IN ?", [][]any{{1, 1}, {2, 1}}).Order("order_id, no")
		})},
		{"other values set", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := worldtest.ReadUser{Age: 5, Tags: []string{"before"}}
			return &u, db.Select("name").Take(&u)
		}},
		{"hidden value set", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := worldtest.ReadHiding(5)
			return &u, db.Take(&u)
		}},
		{"association set", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := worldtest.ReadUser{Company: &worldtest.ReadCompany{Name: "before"}}
			return &u, db.Joins("Company").Order("read_users.id desc").Take(&u)
		}},
		{"smaller struct that holds values", "", func(db *gorm.DB) (any, *gorm.DB) {
			u := readSmall{ID: 5}
			return &u, users1(db).Order("id").Take(&u)
		}},
		{"scalar", "", func(db *gorm.DB) (any, *gorm.DB) { n := 3; tx := users1(db).Select("max(age)").Take(&n); return &n, tx }},
		{"scalar, not found", "", func(db *gorm.DB) (any, *gorm.DB) {
			n := 3
			tx := users1(db).Where("age > 1000").Select("age").Take(&n)
			return &n, tx
		}},
		{"scalar of NULL", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) {
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
		{"time", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) {
			var f time.Time
			tx := users1(db).Select("birthday").Where("id = 1").Take(&f)
			return &f, tx
		}},
		{"non-pointer", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { u := worldtest.ReadUser{}; return u, db.First(u) }},
		{"non-pointer slice", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { u := []worldtest.ReadUser{}; return u, db.Find(u) }},
		{"nil", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { return nil, db.First(nil) }},
		{"nil with a model", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { return nil, users1(db).First(nil) }},
		{"nil pointer", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { var u *worldtest.ReadUser; return u, db.First(u) }},
		{"nil slice pointer", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { var u *[]worldtest.ReadUser; return u, db.Find(u) }},
		{"interface", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { var u any = &worldtest.ReadUser{}; tx := db.First(&u); return u, tx }},
		{"channel", worldtest.AnyReason, func(db *gorm.DB) (any, *gorm.DB) { return nil, db.First(&readChannel) }},
		{"wrong table", worldtest.AnyReason, worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Table("no_such_table") })},
		{"wrong column", worldtest.AnyReason, worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("no_such_column = 1") })},
		{"wrong SQL", worldtest.AnyReason, worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("AND AND (") })},
		{"wrong type", worldtest.AnyReason, worldtest.Pluck[int]("name", users1)},
		{"error before", "error", func(db *gorm.DB) (any, *gorm.DB) {
			var u worldtest.ReadUser
			db = db.Session(&gorm.Session{})
			_ = db.AddError(errors.New("before"))
			return &u, db.First(&u)
		}},

		// Columns.
		{"Select", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Select("id", "name").Order("id") })},
		{"Select expression", "", worldtest.Find[[]m](func(db *gorm.DB) *gorm.DB {
			return users1(db).Select("name, age * ? AS twice", 2).Order("id")
		})},
		{"Select with coalesce", "", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return users1(db).Select("id, COALESCE(email, name) AS name").Order("id")
		})},
		{"Omit", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Omit("name", "Age").Order("id") })},
		{"Distinct", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Distinct("age").Order("age") })},
		{"MapColumns", "", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return users1(db).Select("id", "home_city").MapColumns(map[string]string{"home_city": "name"}).Order("id")
		})},
		{"QueryFields", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Session(&gorm.Session{QueryFields: true}).Order("id")
		})},
		{"Group and Having", "", worldtest.Find[[]m](func(db *gorm.DB) *gorm.DB {
			return users1(db).Select("age, count(*) AS n").Group("age").Having("count(*) > ?", 1).Order("age")
		})},

		// Conditions.
		{"struct condition", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where(&worldtest.ReadUser{Age: 40}).Order("id") })},
		{"struct condition with zero", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where(&worldtest.ReadUser{Age: 0}, "Age").Order("id") })},
		{"map condition", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Where(m{"age": 40, "active": true}).Order("id")
		})},
		{"map condition with a list", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Where(m{"name": []string{"ann", "cid"}}).Order("id")
		})},
		{"map condition with nil", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where(m{"email": nil}).Order("id") })},
		{"Or", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("age = 30").Or("name = ?", "bob").Order("id") })},
		{"Or of groups", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Where(db.Session(&gorm.Session{NewDB: true}).Where("age = ?", 30).Or("age = ?", 40)).Where("active = ?", true).Order("id")
		})},
		{"Not", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Not("name = ?", "bob").Order("id") })},
		{"Not map", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Not(m{"name": []string{"bob", "cid"}}).Order("id") })},
		{"Not struct", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Not(worldtest.ReadUser{Name: "bob", Age: 40}).Order("id") })},
		{"IN", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("name IN ?", []string{"bob", "ann"}).Order("id") })},
		{"IN with parentheses", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("name IN (?)", []string{"bob", "ann"}).Order("id") })},
		{"empty IN", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("name IN ?", []string{}).Order("id") })},
		{"LIKE and BETWEEN", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Where("name LIKE ? AND age BETWEEN ? AND ?", "%n%", 10, 50).Order("id")
		})},
		{"CASE", "", worldtest.Pluck[string]("CASE WHEN age > 30 THEN 'old' ELSE 'young' END", func(db *gorm.DB) *gorm.DB { return users1(db).Order("id") })},
		{"named argument", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Where("name = @n OR (age = @a AND name <> @n)", sql.Named("n", "ann"), sql.Named("a", 40)).Order("id")
		})},
		{"named map", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("name = @n", m{"n": "ann"}) })},
		{"gorm.Expr", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("age > ?", gorm.Expr("? + 5", 30)).Order("id") })},
		{"clause expressions", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Clauses(clause.Gte{Column: "age", Value: 30}, clause.OrderBy{Columns: []clause.OrderByColumn{{Column: clause.Column{Name: "id"}, Desc: true}}})
		})},
		{"clause.IN and clause.Like", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Where(clause.And(clause.IN{Column: "id", Values: []any{1, 2, 4}}, clause.Not(clause.Like{Column: "name", Value: "dot%"}))).Order("id")
		})},
		{"expression of an unknown type", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Where(readExpr{"age = 40"}).Order("id")
		})},
		{"subquery", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&worldtest.ReadUser{}).Select("AVG(age)")
			return db.Where("age > (?)", sub).Order("id")
		})},
		{"subquery IN", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&worldtest.ReadPet{}).Select("read_user_id").Where("name <> ?", "kit")
			return db.Where("id IN (?)", sub).Order("id")
		})},
		{"subquery of a map", worldtest.AnyReason, worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&worldtest.ReadPet{}).Select("read_user_id")
			return db.Where(m{"id": sub}).Order("id")
		})},
		{"EXISTS", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Where("EXISTS (SELECT 1 FROM read_pets p WHERE p.read_user_id = read_users.id)").Order("id")
		})},
		{"Limit and Offset", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Order("id").Limit(2).Offset(1) })},
		{"Limit 0", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Order("id").Limit(0) })},
		{"Limit -1", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Order("id").Limit(2).Limit(-1) })},
		{"Order by expression", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Clauses(clause.OrderBy{Expression: clause.Expr{SQL: "CASE WHEN name = ? THEN 0 ELSE 1 END, id", Vars: []any{"cid"}}})
		})},
		{"Scopes", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Scopes(func(db *gorm.DB) *gorm.DB { return db.Where("age = ?", 40) }, func(db *gorm.DB) *gorm.DB { return db.Order("id") })
		})},
		{"Unscoped", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Unscoped().Order("id") })},
		{"deleted", "", worldtest.First[worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", "gone") })},
		{"deleted, Unscoped", "", worldtest.First[worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Unscoped().Where("name = ?", "gone") })},
		{"hint before and after", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
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
		{"Table AS", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Table("read_users AS u").Where("u.age = ?", 40).Order("u.id") })},
		{"Table with a subquery", "", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&worldtest.ReadUser{}).Where("age = ?", 40)
			return db.Table("(?) AS t", sub).Model(&worldtest.ReadUser{}).Select("t.id, t.name").Unscoped().Order("t.id")
		})},
		{"two tables", "", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return users1(db).Table("read_users AS u, read_companies AS c").Select("u.id, c.name").Unscoped().
				Where("u.company_id = c.id").Order("u.id")
		})},

		// Joins.
		{"Joins", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Joins("Company").Order("read_users.id") })},
		{"Joins First", "", worldtest.First[worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Joins("Company").Joins("Manager") })},
		{"InnerJoins", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.InnerJoins("Company").Order("read_users.id") })},
		{"Joins with condition", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Joins("Company", db.Session(&gorm.Session{NewDB: true}).Where(&worldtest.ReadCompany{Name: "acme"})).Order("read_users.id")
		})},
		{"nested Joins", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Joins("Manager").Joins("Manager.Company").Order("read_users.id") })},
		{"nested Joins alone", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Joins("Manager.Company.HQ").Order("read_users.id") })},
		{"has one Joins", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Joins("Account").Order("read_users.id") })},
		{"raw Joins", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Joins("LEFT JOIN read_companies c ON c.id = read_users.company_id AND c.name = ?", "acme").Where("c.id IS NOT NULL").Order("read_users.id")
		})},
		{"raw Joins into another struct", "", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB {
			return users1(db).Select("read_users.id, c.name").Joins("JOIN read_companies c ON c.id = read_users.company_id").Order("read_users.id")
		})},
		{"Joins with a subquery", "", worldtest.Find[[]readSmall](func(db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&worldtest.ReadPet{}).Select("read_user_id, count(*) AS n").Group("read_user_id")
			return users1(db).Select("read_users.id, read_users.name").Joins("JOIN (?) p ON p.read_user_id = read_users.id AND p.n > ?", sub, 1).Order("read_users.id")
		})},
		{"Joins and Preload of the joined", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Joins("Manager").Preload("Manager.Pets").Preload("Manager.Company.HQ").Order("read_users.id")
		})},
		{"Joins with Select", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Joins("Company", db.Session(&gorm.Session{NewDB: true}).Select("name")).Order("read_users.id")
		})},

		// Preload.
		{"Preload has one", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Account").Order("id") })},
		{"Preload has many", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Pets").Order("id") })},
		{"Preload belongs to", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Company").Preload("Manager").Order("id") })},
		{"Preload many2many", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Languages").Preload("Friends").Order("id") })},
		{"Preload polymorphic", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Toys").Preload("Pets.Toy").Order("id") })},
		{"Preload nested", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Team.Team.Company.HQ").Order("id") })},
		{"Preload of itself", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Preload("Manager.Manager").Preload("Friends.Friends").Order("id")
		})},
		{"Preload with condition", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Pets", "name = ?", "rex").Order("id") })},
		{"Preload with function", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Preload("Pets", func(db *gorm.DB) *gorm.DB {
				return db.Order("read_pets.name DESC").Select("id", "read_user_id", "name")
			}).Order("id")
		})},
		{"Preload Associations", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Preload(clause.Associations).Order("id") })},
		{"Preload First", "", worldtest.First[worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Preload("Pets").Preload("Languages") })},
		{"Preload not found", "", worldtest.First[worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Preload("Pets").Where("age > 1000") })},
		{"Preload unknown", worldtest.AnyReason, worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Preload("Nothing").Order("id") })},
		{"Preload Unscoped", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
			return db.Preload("Team", func(db *gorm.DB) *gorm.DB { return db.Unscoped().Order("id") }).Order("id")
		})},

		// Generics.
		{"G First", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[worldtest.ReadUser](db).Where("age = ?", 40).First(ctx)
			return &u, err
		})},
		{"G not found", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[worldtest.ReadUser](db).Where("age = ?", 41).First(ctx)
			return &u, err
		})},
		{"G Find", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[worldtest.ReadUser](db).Order("id").Find(ctx)
			return &u, err
		})},
		{"G Take and Last", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[*worldtest.ReadUser](db).Where("id = ?", 1).Take(ctx)
			l, err2 := gorm.G[worldtest.ReadUser](db).Last(ctx)
			return &[]any{u, l}, errors.Join(err, err2)
		})},
		{"G Count", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			n, err := gorm.G[worldtest.ReadUser](db).Where("age = ?", 40).Count(ctx, "*")
			return &n, err
		})},
		{"G Preload", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[worldtest.ReadUser](db).Preload("Pets", func(db gorm.PreloadBuilder) error { db.Order("name"); return nil }).Order("id").Find(ctx)
			return &u, err
		})},
		{"G Joins", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[worldtest.ReadUser](db).Joins(clause.LeftJoin.Association("Company"), func(db gorm.JoinBuilder, join clause.Table, cur clause.Table) error {
				db.Where("?.name = ?", join, "acme")
				return nil
			}).Order("read_users.id").Find(ctx)
			return &u, err
		})},
		{"G Joins with alias", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			u, err := gorm.G[worldtest.ReadUser](db).Joins(clause.InnerJoin.Association("Company").As("co"), func(db gorm.JoinBuilder, join clause.Table, cur clause.Table) error {
				return nil
			}).Order("read_users.id").Find(ctx)
			return &u, err
		})},
		{"G FindInBatches", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			var all []worldtest.ReadUser
			err := gorm.G[worldtest.ReadUser](db).FindInBatches(ctx, 2, func(data []worldtest.ReadUser, batch int) error {
				all = append(all, data...)
				return nil
			})
			return &all, err
		})},

		// Hooks.
		{"AfterFind counts", "", worldtest.First[worldtest.ReadHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 1) })},
		{"AfterFind changes", "", worldtest.First[worldtest.ReadHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 2) })},
		{"AfterFind fails", "", worldtest.First[worldtest.ReadHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 3) })},
		{"AfterFind queries", "", worldtest.First[worldtest.ReadHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 4) })},
		{"AfterFind of rows", "", worldtest.Find[[]worldtest.ReadHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id <> ?", 3).Order("id") })},
		{"AfterFind of pointers", "", worldtest.Find[[]*worldtest.ReadHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id <> ?", 3).Order("id") })},
		{"AfterFind of nothing", "", worldtest.Find[[]worldtest.ReadHooked](func(db *gorm.DB) *gorm.DB { return db.Where("id > ?", 300) })},
		{"SkipHooks", "", worldtest.Find[[]worldtest.ReadHooked](func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{SkipHooks: true}).Order("id") })},

		// Sessions.
		{"Session", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{NewDB: true}).Order("id") })},
		{"Debug", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{Logger: db.Logger}).Order("id") })},
		{"PrepareStmt", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{PrepareStmt: true}).Order("id") })},
		{"WithContext", "", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
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
				c    worldtest.ReadUser
				n    int64
				s    []string
			)
			tx := db.Model(&worldtest.ReadUser{}).Where("age >= ?", 30)
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
			rows := []int64{tx.Find(&a).RowsAffected, tx.Model(&worldtest.ReadUser{}).Count(&n).RowsAffected}
			last := tx.Find(&b)
			return &[]any{a, b, n, rows}, last
		}},
		{"a statement with a subquery used again", "", func(db *gorm.DB) (any, *gorm.DB) {
			var a, b users
			sub := db.Session(&gorm.Session{NewDB: true}).Model(&worldtest.ReadPet{}).Select("read_user_id")
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
				worldtest.SeedReads(t, d.Plain(t))
				b := readOpenWith(t, d, config.make)
				worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
				for _, c := range readFormCases() {
					b.AsPlain(t, c.name, c.reason, c.query)
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
	var results [4][]worldtest.ReadUser
	for i := range results {
		worldtest.Must(t, b.DB.Preload(clause.Associations).Order("id").Find(&results[i]).Error)
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
	for _, db := range []*gorm.DB{b.Plain, b.DB} {
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
			var got, want []worldtest.ReadUser
			ctx := context.WithValue(context.Background(), tenant{}, age)
			worldtest.Must(t, b.Plain.WithContext(ctx).Where("active = ?", true).Find(&want).Error)
			worldtest.Must(t, b.DB.WithContext(ctx).Where("active = ?", true).Find(&got).Error)
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
	worldtest.SeedReads(t, d.Plain(t))
	b := readOpen(t, d)
	query := func() {
		var lines []worldtest.ReadLine
		worldtest.Must(t, b.DB.Where("text IN (SELECT name FROM read_companies)").Find(&lines).Error)
	}
	query()
	if n := b.Queries(query); n != 1 {
		t.Fatalf("a table of no model in use: %d queries, want 1", n)
	}
	worldtest.Must(t, b.Plugin.Register(&worldtest.ReadCompany{}))
	query()
	if n := b.Queries(query); n != 0 {
		t.Errorf("after its model was registered: %d queries, want 0; %v", n, b.Plugin.Stats().BypassReasons)
	}
}

// A view has the name of a model's table in another schema: what is written to the tables that it
// reads cannot be known, so it is no known table.
func TestReadViewInAnotherSchemaIsNoKnownTable(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	plain := d.Plain(t)
	worldtest.SeedReads(t, plain)
	worldtest.Must(t, plain.Exec(`CREATE VIEW "Read_Companies" AS SELECT id, name FROM read_plains`).Error)
	b := readOpen(t, d)
	worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
	var got []worldtest.ReadCompany
	for range 2 {
		worldtest.Must(t, b.DB.Table("Read_Companies").Find(&got).Error)
	}
	worldtest.Must(t, b.DB.Create(&worldtest.ReadPlain{ID: 7, Name: "seventh"}).Error)
	worldtest.Must(t, b.DB.Table("Read_Companies").Find(&got).Error)
	if len(got) != 2 {
		t.Errorf("a view with quoted capitals: %d rows after a write to what it reads, want 2", len(got))
	}

	other := fmt.Sprintf("preload_view_%d", time.Now().UnixNano())
	worldtest.Must(t, plain.Exec("CREATE SCHEMA "+other).Error)
	t.Cleanup(func() { _ = plain.Exec("DROP SCHEMA " + other + " CASCADE") })
	worldtest.Must(t, plain.Exec("CREATE VIEW "+other+".read_companies AS SELECT id, name FROM read_plains").Error)
	for range 2 {
		worldtest.Must(t, b.DB.Table(other+".read_companies").Find(&got).Error)
	}
	worldtest.Must(t, b.DB.Create(&worldtest.ReadPlain{ID: 8, Name: "eighth"}).Error)
	worldtest.Must(t, b.DB.Table(other+".read_companies").Find(&got).Error)
	if len(got) != 3 {
		t.Errorf("a view in another schema: %d rows after a write to what it reads, want 3", len(got))
	}
}

// FirstOrCreate writes what it did not find; the "not found" must not be remembered.
func TestReadFirstOrCreate(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d)
		for turn := range 3 {
			var c worldtest.ReadCompany
			tx := b.DB.Where(worldtest.ReadCompany{Name: "new"}).FirstOrCreate(&c)
			worldtest.Must(t, tx.Error)
			if want := int64(0); turn == 0 && tx.RowsAffected != 1 || turn > 0 && tx.RowsAffected != want || c.ID == 0 || c.Name != "new" {
				t.Errorf("turn %d: %d rows, %+v", turn, tx.RowsAffected, c)
			}
		}
		var n int64
		worldtest.Must(t, b.Plain.Model(&worldtest.ReadCompany{}).Where("name = ?", "new").Count(&n).Error)
		if n != 1 {
			t.Errorf("created %d times", n)
		}
	})
}

// The plugin in gorm.Config works as with Use.
func TestReadPluginInConfig(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	for _, prepare := range []bool{false, true} {
		p := preload.New(preload.WithoutWorker(), preload.WithLogger(worldtest.Quiet()))
		defer p.Close()
		db := d.Open(t, &gorm.Config{PrepareStmt: prepare, Plugins: map[string]gorm.Plugin{p.Name(): p}})
		if got, ok := preload.From(db); !ok || got != p {
			t.Fatalf("From: %v %v", got, ok)
		}
		before := d.Probe.Queries()
		for range 3 {
			var c worldtest.ReadCompany
			worldtest.Must(t, db.First(&c).Error)
		}
		if n := d.Probe.Queries() - before; n != 1 {
			t.Errorf("prepare %v: %d queries for three equal reads", prepare, n)
		}
	}
}
