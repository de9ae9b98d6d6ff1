package preload_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"github.com/jackc/pgx/v5/pgtype"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

func sceneOpen(t *testing.T, d *dbtest.Database, models ...any) (db, plain *gorm.DB) {
	t.Helper()
	db, plain = d.Open(t), d.Plain(t)
	p := preload.New(preload.WithoutWorker())
	worldtest.Must(t, db.Use(p))
	t.Cleanup(func() { p.Close() })
	if len(models) > 0 {
		worldtest.Must(t, plain.AutoMigrate(models...))
	}
	return
}

type sceneItem struct {
	_    struct{} `preload:""`
	ID   int64
	Name string `gorm:"size:50"`
	F    float64
}

type sceneOther struct {
	_    struct{} `preload:""`
	ID   int64
	Name string `gorm:"size:50"`
}

// A function whose name only looks like one of a database's own may read and write anything.
func TestFunctionsWithFamiliarNames(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		if d.Dialect == "sqlite" {
			t.Skip("SQLite has no stored functions")
		}
		db, plain := sceneOpen(t, d, &sceneItem{}, &sceneOther{})
		worldtest.Must(t, plain.Create(&sceneItem{ID: 1}).Error)
		id := int64(0)
		for _, name := range []string{"json_others", "array_others", "st_others", "total", "family"} {
			if d.Dialect == "postgres" {
				worldtest.Must(t, plain.Exec("CREATE FUNCTION "+name+"(x bigint) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM scene_others WHERE id >= x'").Error)
				worldtest.Must(t, plain.Exec("CREATE FUNCTION "+name+"(x text) RETURNS bigint LANGUAGE sql AS 'DELETE FROM scene_others WHERE name = x; SELECT 1::bigint'").Error)
			} else {
				worldtest.Must(t, plain.Exec("CREATE FUNCTION `"+name+"`(x bigint) RETURNS bigint READS SQL DATA RETURN (SELECT count(*) FROM scene_others WHERE id >= x)").Error)
			}
			call := func(x *gorm.DB) *gorm.DB { return x.Model(&sceneItem{}).Select(name + "(id)") }
			worldtest.Alike[[]int64](t, db, plain, name, call)
			id++
			worldtest.Must(t, db.Create(&sceneOther{ID: id, Name: "gone"}).Error)
			worldtest.Alike[[]int64](t, db, plain, name+" after a write", call)
			if d.Dialect == "postgres" {
				worldtest.Alike[[]sceneOther](t, db, plain, name, worldtest.ByID)
				var one int64
				worldtest.Must(t, db.Raw("SELECT "+name+"('gone'::text)").Scan(&one).Error)
				worldtest.Alike[[]sceneOther](t, db, plain, name+" raw, which writes", worldtest.ByID)
			}
		}
	})
}

type scenePar struct {
	ID   int64
	Kids []sceneKid `gorm:"foreignKey:ParID;constraint:OnDelete:CASCADE"`
}
type sceneKid struct {
	_     struct{} `preload:""`
	ID    int64
	ParID int64
}

// A model that GORM meets in a migration makes its cascades known.
func TestCascadeFromParentMetLater(t *testing.T) {
	t.Parallel()
	for name, del := range map[string]func(*gorm.DB) error{
		"exec": func(db *gorm.DB) error { return db.Exec("DELETE FROM scene_pars WHERE id = 1").Error },
		"table": func(db *gorm.DB) error {
			return db.Table("scene_pars").Where("id = ?", 1).Delete(map[string]any{}).Error
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, plain := sceneOpen(t, dbtest.SQLite(t), &scenePar{}, &sceneKid{})
			worldtest.Must(t, plain.Create(&scenePar{ID: 1, Kids: []sceneKid{{ID: 1}}}).Error)
			worldtest.Alike[[]sceneKid](t, db, plain, "start", worldtest.ByID)
			worldtest.Must(t, db.AutoMigrate(&scenePar{})) // GORM knows the parent now, the plugin does not
			worldtest.Alike[[]sceneKid](t, db, plain, "again", worldtest.ByID)
			worldtest.Must(t, del(db))
			worldtest.Alike[[]sceneKid](t, db, plain, "deleted", worldtest.ByID)
		})
	}
}

// A common table expression may write, in a query that GORM builds as well.
type sceneWith string

func (w sceneWith) Name() string                 { return "WITH" }
func (w sceneWith) Build(b clause.Builder)       { b.WriteString(string(w)) }
func (w sceneWith) MergeClause(c *clause.Clause) { c.Expression = w }

type sceneBefore struct{ name, sql string }

func (b sceneBefore) Build(clause.Builder) {}
func (b sceneBefore) ModifyStatement(stmt *gorm.Statement) {
	c := stmt.Clauses[b.name]
	c.BeforeExpression = clause.Expr{SQL: b.sql}
	stmt.Clauses[b.name] = c
}

func TestWritingCTE(t *testing.T) {
	t.Parallel()
	db, plain := sceneOpen(t, dbtest.Postgres(t), &sceneItem{}, &sceneOther{})
	db.Callback().Query().Clauses = append([]string{"WITH"}, db.Callback().Query().Clauses...)
	db.Callback().Update().Clauses = append([]string{"WITH"}, db.Callback().Update().Clauses...)
	for i := range int64(6) { // IDs 1 to 6
		worldtest.Must(t, db.Create(&sceneOther{ID: i + 1}).Error)
	}
	n := 0
	cte := func() string {
		n++
		return fmt.Sprintf("d AS (DELETE FROM scene_others WHERE id = %d RETURNING *)", n)
	}
	step := func(what string, do func() error) {
		t.Helper()
		worldtest.Alike[[]sceneOther](t, db, plain, "before "+what, worldtest.ByID)
		worldtest.Must(t, do())
		worldtest.Alike[[]sceneOther](t, db, plain, what, worldtest.ByID)
	}
	var items []sceneItem
	step("WITH of a query", func() error { return db.Clauses(sceneWith(cte())).Find(&items).Error })
	step("WITH of an update", func() error {
		return db.Model(&sceneItem{}).Clauses(sceneWith(cte())).Where("id = 5").Update("name", "x").Error
	})
	step("before SELECT", func() error { return db.Clauses(sceneBefore{"SELECT", "WITH " + cte()}).Find(&items).Error })
	step("before INSERT", func() error {
		return db.Clauses(sceneBefore{"INSERT", "WITH " + cte()}).Create(&sceneItem{ID: 7}).Error
	})
	step("in a transaction", func() error {
		return db.Transaction(func(tx *gorm.DB) error { return tx.Clauses(sceneWith(cte())).Find(&items).Error })
	})
}

type sceneCtxKey struct{}
type sceneTenant string

func (sceneTenant) QueryClauses(*schema.Field) []clause.Interface {
	return []clause.Interface{sceneTenantClause{}}
}

type sceneTenantClause struct{}

func (sceneTenantClause) Name() string               { return "" }
func (sceneTenantClause) Build(clause.Builder)       {}
func (sceneTenantClause) MergeClause(*clause.Clause) {}
func (sceneTenantClause) ModifyStatement(stmt *gorm.Statement) {
	if stmt.SQL.Len() == 0 {
		stmt.SQL.WriteString("SELECT * FROM scene_tens WHERE tenant = ")
		stmt.AddVar(stmt, stmt.Context.Value(sceneCtxKey{}))
	}
}

type sceneTen struct {
	_      struct{} `preload:""`
	ID     uint
	Tenant sceneTenant
}

// A clause of the model may write the whole SQL, by the context.
func TestQueryClauseThatWritesTheSQL(t *testing.T) {
	t.Parallel()
	db, plain := sceneOpen(t, dbtest.SQLite(t), &sceneTen{})
	worldtest.Must(t, plain.Create(&[]sceneTen{{ID: 1, Tenant: "a"}, {ID: 2, Tenant: "b"}}).Error)
	for _, tenant := range []string{"a", "b"} {
		ctx := context.WithValue(context.Background(), sceneCtxKey{}, tenant)
		worldtest.Alike[[]sceneTen](t, db.WithContext(ctx), plain.WithContext(ctx), tenant, func(x *gorm.DB) *gorm.DB { return x })
	}
}

// A Valuer that answers differently each time: the answer to one arg must not be kept under
// another's key.
type sceneCounter struct{ n *int64 }

func (c sceneCounter) Value() (driver.Value, error) { *c.n++; return *c.n, nil }

func TestValuerAskedTwice(t *testing.T) {
	t.Parallel()
	db, plain := sceneOpen(t, dbtest.SQLite(t), &sceneItem{})
	worldtest.Must(t, plain.Create(&[]sceneItem{{ID: 1, Name: "one"}, {ID: 2, Name: "two"}}).Error)
	var n int64
	var first []sceneItem
	worldtest.Must(t, db.Where("id = ?", sceneCounter{&n}).Find(&first).Error) // keyed as 1, asked as 2
	worldtest.Alike[[]sceneItem](t, db, plain, "1", func(x *gorm.DB) *gorm.DB { return x.Where("id = ?", 1) })
}

type sceneJS struct {
	_    struct{} `preload:""`
	ID   int64
	Name string
	JS   string    `gorm:"type:jsonb"`
	At   time.Time `gorm:"type:timestamptz"`
}
type sceneText struct{ value, text string }

func (d sceneText) Value() (driver.Value, error) { return d.value, nil }
func (d sceneText) TextValue() (pgtype.Text, error) {
	return pgtype.Text{String: d.text, Valid: true}, nil
}

// pgx takes some args as they are, before it asks for their driver value.
func TestArgsAsPgxSeesThem(t *testing.T) {
	t.Parallel()
	db, plain := sceneOpen(t, dbtest.Postgres(t), &sceneJS{})
	worldtest.Must(t, plain.Create(&[]sceneJS{
		{ID: 1, Name: "a", JS: `0.1`, At: time.Now().Add(700 * time.Millisecond)},
		{ID: 2, Name: "b", JS: `0.10000000149011612`, At: time.Now().Add(time.Hour)},
	}).Error)
	for _, v := range []any{float32(0.1), float64(float32(0.1))} {
		worldtest.Alike[[]sceneJS](t, db, plain, fmt.Sprintf("%T", v), func(x *gorm.DB) *gorm.DB { return x.Where("js = ?", v) })
	}
	for _, v := range []sceneText{{"a", "a"}, {"a", "b"}} {
		worldtest.Alike[[]sceneJS](t, db, plain, fmt.Sprint(v), func(x *gorm.DB) *gorm.DB { return x.Where("name = ?", v) })
	}
	now := func(x *gorm.DB) *gorm.DB { return x.Where("at <= ?", []byte("now")) }
	worldtest.Alike[[]sceneJS](t, db, plain, "now", now)
	time.Sleep(900 * time.Millisecond)
	worldtest.Alike[[]sceneJS](t, db, plain, "now, later", now)
}

type sceneFold string

func (f sceneFold) Value() (driver.Value, error) { return strings.ToLower(string(f)), nil }

type sceneFolded struct {
	_    struct{}  `preload:""`
	ID   sceneFold `gorm:"primaryKey;type:varchar(20)"`
	Name string
}

// A primary key that its Valuer folds stays in the destination as it was.
func TestPresetKeyBehindValuer(t *testing.T) {
	t.Parallel()
	db, plain := sceneOpen(t, dbtest.SQLite(t), &sceneFolded{})
	worldtest.Must(t, plain.Create(&sceneFolded{ID: "abc", Name: "x"}).Error)
	for _, id := range []sceneFold{"ABC", "abc"} {
		got, want := sceneFolded{ID: id}, sceneFolded{ID: id}
		db.Select("name").First(&got)
		plain.Select("name").First(&want)
		if got != want {
			t.Errorf("%s: got %v, want %v", id, got, want)
		}
	}
}

// Rows of a raw write that are read later than the hold-out: some databases do the work only then.
func TestRowsReadLate(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.SQLite(t), dbtest.NewClock()
	db, plain := d.Open(t), d.Plain(t)
	p := preload.New(preload.WithoutWorker(), preload.WithClock(clock))
	worldtest.Must(t, db.Use(p))
	worldtest.Must(t, plain.AutoMigrate(&sceneItem{}))
	worldtest.Must(t, plain.Create(&sceneItem{ID: 1, Name: "old"}).Error)
	rows, err := db.Raw("UPDATE scene_items SET name = 'new' RETURNING id").Rows()
	worldtest.Must(t, err)
	clock.Advance(5 * time.Second)
	worldtest.Alike[[]sceneItem](t, db, plain, "before the rows are read", worldtest.ByID)
	for rows.Next() {
	}
	worldtest.Must(t, rows.Close())
	worldtest.Alike[[]sceneItem](t, db, plain, "after", worldtest.ByID)
	before := d.Probe.Queries()
	worldtest.Alike[[]sceneItem](t, db, plain, "at last", worldtest.ByID)
	if n := d.Probe.Queries() - before; n != 0 {
		t.Errorf("%d queries for what is in memory", n)
	}
	worldtest.Must(t, p.Close())
}
