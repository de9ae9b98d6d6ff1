package preload_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/jackc/pgx/v5/pgtype"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

func cornerOpen(t *testing.T, d *dbtest.Database, models ...any) (db, plain *gorm.DB) {
	t.Helper()
	db, plain = d.Open(t), d.Plain(t)
	p := preload.New(preload.WithoutWorker())
	cornerMust(t, db.Use(p))
	t.Cleanup(func() { p.Close() })
	if len(models) > 0 {
		cornerMust(t, plain.AutoMigrate(models...))
	}
	return
}

func cornerMust(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func cornerSame[T any](t *testing.T, what string, db, plain *gorm.DB, q func(*gorm.DB) *gorm.DB) {
	t.Helper()
	for i := range 3 {
		var a, b T
		x, y := q(db).Find(&a), q(plain).Find(&b)
		if fmt.Sprint(x.Error) != fmt.Sprint(y.Error) || x.RowsAffected != y.RowsAffected || !reflect.DeepEqual(a, b) {
			t.Errorf("%s, read %d: got %+v %v, want %+v %v", what, i, a, x.Error, b, y.Error)
		}
	}
}

func cornerAll(x *gorm.DB) *gorm.DB { return x.Order("id") }

type cornerItem struct {
	_    struct{} `preload:""`
	ID   int64
	Name string `gorm:"size:50"`
	F    float64
}

type cornerOther struct {
	_    struct{} `preload:""`
	ID   int64
	Name string `gorm:"size:50"`
}

// A function whose name only looks like one of a database's own may read and write anything.
func TestCornerFunctionsWithFamiliarNames(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		if d.Dialect == "sqlite" {
			t.Skip("no stored functions")
		}
		db, plain := cornerOpen(t, d, &cornerItem{}, &cornerOther{})
		cornerMust(t, plain.Create(&cornerItem{ID: 1}).Error)
		id := int64(0)
		for _, name := range []string{"json_others", "array_others", "st_others", "total", "family"} {
			if d.Dialect == "postgres" {
				cornerMust(t, plain.Exec("CREATE FUNCTION "+name+"(x bigint) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM corner_others WHERE id >= x'").Error)
				cornerMust(t, plain.Exec("CREATE FUNCTION "+name+"(x text) RETURNS bigint LANGUAGE sql AS 'DELETE FROM corner_others WHERE name = x; SELECT 1::bigint'").Error)
			} else {
				cornerMust(t, plain.Exec("CREATE FUNCTION `"+name+"`(x bigint) RETURNS bigint READS SQL DATA RETURN (SELECT count(*) FROM corner_others WHERE id >= x)").Error)
			}
			call := func(x *gorm.DB) *gorm.DB { return x.Model(&cornerItem{}).Select(name + "(id)") }
			cornerSame[[]int64](t, name, db, plain, call)
			id++
			cornerMust(t, db.Create(&cornerOther{ID: id, Name: "gone"}).Error)
			cornerSame[[]int64](t, name+" after a write", db, plain, call)
			if d.Dialect == "postgres" {
				cornerSame[[]cornerOther](t, name, db, plain, cornerAll)
				var one int64
				cornerMust(t, db.Raw("SELECT "+name+"('gone'::text)").Scan(&one).Error)
				cornerSame[[]cornerOther](t, name+" raw, which writes", db, plain, cornerAll)
			}
		}
	})
}

type cornerPar struct {
	ID   int64
	Kids []cornerKid `gorm:"foreignKey:ParID;constraint:OnDelete:CASCADE"`
}
type cornerKid struct {
	_     struct{} `preload:""`
	ID    int64
	ParID int64
}

// A model that GORM meets in a migration makes its cascades known.
func TestCornerCascadeFromParentMetLater(t *testing.T) {
	t.Parallel()
	for name, del := range map[string]func(*gorm.DB) error{
		"exec": func(db *gorm.DB) error { return db.Exec("DELETE FROM corner_pars WHERE id = 1").Error },
		"table": func(db *gorm.DB) error {
			return db.Table("corner_pars").Where("id = ?", 1).Delete(map[string]any{}).Error
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, plain := cornerOpen(t, dbtest.SQLite(t), &cornerPar{}, &cornerKid{})
			cornerMust(t, plain.Create(&cornerPar{ID: 1, Kids: []cornerKid{{ID: 1}}}).Error)
			cornerSame[[]cornerKid](t, "start", db, plain, cornerAll)
			cornerMust(t, db.AutoMigrate(&cornerPar{})) // GORM knows the parent now, the plugin does not
			cornerSame[[]cornerKid](t, "again", db, plain, cornerAll)
			cornerMust(t, del(db))
			cornerSame[[]cornerKid](t, "deleted", db, plain, cornerAll)
		})
	}
}

// A common table expression may write, in a query that GORM builds as well.
type cornerWith string

func (w cornerWith) Name() string                 { return "WITH" }
func (w cornerWith) Build(b clause.Builder)       { b.WriteString(string(w)) }
func (w cornerWith) MergeClause(c *clause.Clause) { c.Expression = w }

type cornerBefore struct{ name, sql string }

func (b cornerBefore) Build(clause.Builder) {}
func (b cornerBefore) ModifyStatement(stmt *gorm.Statement) {
	c := stmt.Clauses[b.name]
	c.BeforeExpression = clause.Expr{SQL: b.sql}
	stmt.Clauses[b.name] = c
}

func TestCornerWritingCTE(t *testing.T) {
	t.Parallel()
	db, plain := cornerOpen(t, dbtest.Postgres(t), &cornerItem{}, &cornerOther{})
	db.Callback().Query().Clauses = append([]string{"WITH"}, db.Callback().Query().Clauses...)
	db.Callback().Update().Clauses = append([]string{"WITH"}, db.Callback().Update().Clauses...)
	for i := range int64(6) { // IDs 1 to 6
		cornerMust(t, db.Create(&cornerOther{ID: i + 1}).Error)
	}
	n := 0
	cte := func() string {
		n++
		return fmt.Sprintf("d AS (DELETE FROM corner_others WHERE id = %d RETURNING *)", n)
	}
	step := func(what string, do func() error) {
		t.Helper()
		cornerSame[[]cornerOther](t, "before "+what, db, plain, cornerAll)
		cornerMust(t, do())
		cornerSame[[]cornerOther](t, what, db, plain, cornerAll)
	}
	var items []cornerItem
	step("WITH of a query", func() error { return db.Clauses(cornerWith(cte())).Find(&items).Error })
	step("WITH of an update", func() error {
		return db.Model(&cornerItem{}).Clauses(cornerWith(cte())).Where("id = 5").Update("name", "x").Error
	})
	step("before SELECT", func() error { return db.Clauses(cornerBefore{"SELECT", "WITH " + cte()}).Find(&items).Error })
	step("before INSERT", func() error {
		return db.Clauses(cornerBefore{"INSERT", "WITH " + cte()}).Create(&cornerItem{ID: 7}).Error
	})
	step("in a transaction", func() error {
		return db.Transaction(func(tx *gorm.DB) error { return tx.Clauses(cornerWith(cte())).Find(&items).Error })
	})
}

type cornerCtxKey struct{}
type cornerTenant string

func (cornerTenant) QueryClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{cornerTenantClause{}}
}

type cornerTenantClause struct{}

func (cornerTenantClause) Name() string               { return "" }
func (cornerTenantClause) Build(clause.Builder)       {}
func (cornerTenantClause) MergeClause(*clause.Clause) {}
func (cornerTenantClause) ModifyStatement(stmt *gorm.Statement) {
	if stmt.SQL.Len() == 0 {
		stmt.SQL.WriteString("SELECT * FROM corner_tens WHERE tenant = ")
		stmt.AddVar(stmt, stmt.Context.Value(cornerCtxKey{}))
	}
}

type cornerTen struct {
	_      struct{} `preload:""`
	ID     uint
	Tenant cornerTenant
}

// A clause of the model may write the whole SQL, by the context.
func TestCornerQueryClauseThatWritesTheSQL(t *testing.T) {
	t.Parallel()
	db, plain := cornerOpen(t, dbtest.SQLite(t), &cornerTen{})
	cornerMust(t, plain.Create(&[]cornerTen{{ID: 1, Tenant: "a"}, {ID: 2, Tenant: "b"}}).Error)
	for _, tenant := range []string{"a", "b"} {
		ctx := context.WithValue(context.Background(), cornerCtxKey{}, tenant)
		cornerSame[[]cornerTen](t, tenant, db.WithContext(ctx), plain.WithContext(ctx), func(x *gorm.DB) *gorm.DB { return x })
	}
}

// A Valuer that answers differently each time: the answer to one arg must not be kept under another's key.
type cornerCounter struct{ n *int64 }

func (c cornerCounter) Value() (driver.Value, error) { *c.n++; return *c.n, nil }

func TestCornerValuerAskedTwice(t *testing.T) {
	t.Parallel()
	db, plain := cornerOpen(t, dbtest.SQLite(t), &cornerItem{})
	cornerMust(t, plain.Create(&[]cornerItem{{ID: 1, Name: "one"}, {ID: 2, Name: "two"}}).Error)
	var n int64
	var first []cornerItem
	cornerMust(t, db.Where("id = ?", cornerCounter{&n}).Find(&first).Error) // keyed as 1, asked as 2
	cornerSame[[]cornerItem](t, "1", db, plain, func(x *gorm.DB) *gorm.DB { return x.Where("id = ?", 1) })
}

type cornerJS struct {
	_    struct{} `preload:""`
	ID   int64
	Name string
	JS   string    `gorm:"type:jsonb"`
	At   time.Time `gorm:"type:timestamptz"`
}
type cornerText struct{ value, text string }

func (d cornerText) Value() (driver.Value, error) { return d.value, nil }
func (d cornerText) TextValue() (pgtype.Text, error) {
	return pgtype.Text{String: d.text, Valid: true}, nil
}

// pgx takes some args as they are, before it asks for their driver value.
func TestCornerArgsAsPgxSeesThem(t *testing.T) {
	t.Parallel()
	db, plain := cornerOpen(t, dbtest.Postgres(t), &cornerJS{})
	cornerMust(t, plain.Create(&[]cornerJS{
		{ID: 1, Name: "a", JS: `0.1`, At: time.Now().Add(700 * time.Millisecond)},
		{ID: 2, Name: "b", JS: `0.10000000149011612`, At: time.Now().Add(time.Hour)},
	}).Error)
	for _, v := range []any{float32(0.1), float64(float32(0.1))} {
		cornerSame[[]cornerJS](t, fmt.Sprintf("%T", v), db, plain, func(x *gorm.DB) *gorm.DB { return x.Where("js = ?", v) })
	}
	for _, v := range []cornerText{{"a", "a"}, {"a", "b"}} {
		cornerSame[[]cornerJS](t, fmt.Sprint(v), db, plain, func(x *gorm.DB) *gorm.DB { return x.Where("name = ?", v) })
	}
	now := func(x *gorm.DB) *gorm.DB { return x.Where("at <= ?", []byte("now")) }
	cornerSame[[]cornerJS](t, "now", db, plain, now)
	time.Sleep(900 * time.Millisecond)
	cornerSame[[]cornerJS](t, "now, later", db, plain, now)
}

type cornerFold string

func (f cornerFold) Value() (driver.Value, error) { return strings.ToLower(string(f)), nil }

type cornerFolded struct {
	_    struct{}   `preload:""`
	ID   cornerFold `gorm:"primaryKey;type:varchar(20)"`
	Name string
}

// A primary key that its Valuer folds stays in the destination as it was.
func TestCornerPresetKeyBehindValuer(t *testing.T) {
	t.Parallel()
	db, plain := cornerOpen(t, dbtest.SQLite(t), &cornerFolded{})
	cornerMust(t, plain.Create(&cornerFolded{ID: "abc", Name: "x"}).Error)
	for _, id := range []cornerFold{"ABC", "abc"} {
		got, want := cornerFolded{ID: id}, cornerFolded{ID: id}
		db.Select("name").First(&got)
		plain.Select("name").First(&want)
		if got != want {
			t.Errorf("%s: got %v, want %v", id, got, want)
		}
	}
}

// Rows of a raw write that are read later than the hold-out: some databases do the work only then.
func TestCornerRowsReadLate(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.SQLite(t), dbtest.NewClock()
	db, plain := d.Open(t), d.Plain(t)
	p := preload.New(preload.WithoutWorker(), preload.WithClock(clock))
	cornerMust(t, db.Use(p))
	cornerMust(t, plain.AutoMigrate(&cornerItem{}))
	cornerMust(t, plain.Create(&cornerItem{ID: 1, Name: "old"}).Error)
	rows, err := db.Raw("UPDATE corner_items SET name = 'new' RETURNING id").Rows()
	cornerMust(t, err)
	clock.Advance(5 * time.Second)
	cornerSame[[]cornerItem](t, "before the rows are read", db, plain, cornerAll)
	for rows.Next() {
	}
	cornerMust(t, rows.Close())
	cornerSame[[]cornerItem](t, "after", db, plain, cornerAll)
	before := d.Probe.Queries()
	cornerSame[[]cornerItem](t, "at last", db, plain, cornerAll)
	if n := d.Probe.Queries() - before; n != 0 {
		t.Errorf("%d queries for what is in memory", n)
	}
	cornerMust(t, p.Close())
}
