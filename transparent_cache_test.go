package preload_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// TestWhatACallHasKeptIsAsPlainGORM: the clause and the context, of what GORM builds and of raw SQL.
func TestWhatACallHasKeptIsAsPlainGORM(t *testing.T) {
	t.Parallel()
	type (
		plains = []worldtest.ReadPlain
		m      = map[string]any
	)
	const minute = time.Minute
	kept := func(options ...preload.CacheOption) func(*gorm.DB) *gorm.DB {
		return func(db *gorm.DB) *gorm.DB { return db.Clauses(preload.Cache(options...)) }
	}
	within := func(options ...preload.CacheOption) func(*gorm.DB) *gorm.DB {
		return func(db *gorm.DB) *gorm.DB {
			return db.WithContext(preload.ContextWithCache(db.Statement.Context, options...))
		}
	}
	view := []preload.CacheOption{preload.For(minute), preload.Tables(&worldtest.ReadUser{}, "read_view"), preload.Tags("views")}
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d)
		worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
		worldtest.Must(t, b.Plain.Exec("CREATE VIEW read_view AS SELECT * FROM read_users WHERE age > 30").Error)
		for name, as := range map[string]func(...preload.CacheOption) func(*gorm.DB) *gorm.DB{"clause": kept, "context": within} {
			into := func(chain func(db *gorm.DB) *gorm.DB, options ...preload.CacheOption) func(*gorm.DB) *gorm.DB {
				return func(db *gorm.DB) *gorm.DB { return chain(as(options...)(db)) }
			}
			raw := func(query string) func(*gorm.DB) *gorm.DB {
				return func(db *gorm.DB) *gorm.DB { return db.Raw(query) }
			}
			for _, c := range []readCase{
				{"a model that is not opted in", "", worldtest.Into[plains](into(worldtest.ByID, preload.For(minute)), readFind)},
				{"without options", "", worldtest.Into[plains](into(worldtest.ByID), readFind)},
				{"count", "", worldtest.CountOf[worldtest.ReadPlain](into(worldtest.All))},
				{"no model", "", worldtest.Into[[]m](into(func(db *gorm.DB) *gorm.DB { return db.Table("read_plains").Order("id") }), readFind)},
				{"count of no model", "", worldtest.Count(into(func(db *gorm.DB) *gorm.DB { return db.Table("read_plains") }))},
				{"opted out", "no policy", worldtest.Into[[]worldtest.ReadOff](into(worldtest.ByID), readFind)},
				{"raw", "", worldtest.Into[plains](into(raw("SELECT * FROM read_plains ORDER BY id")), readFind)},
				{"raw with Scan", "", worldtest.Into[plains](into(raw("SELECT * FROM read_plains ORDER BY id")), readScan)},
				{"raw with First", "", worldtest.Into[worldtest.ReadPlain](into(raw("SELECT * FROM read_plains ORDER BY id")), readFirst)},
				{"raw with Row", "", worldtest.Into[int](into(raw("SELECT id FROM read_plains ORDER BY id")), readRow)},
				{"raw with Rows", "", worldtest.Into[[]string](into(raw("SELECT id, name FROM read_plains ORDER BY id")), readRows)},
				{"raw of what is opted out", "no policy", worldtest.Into[[]m](into(raw("SELECT * FROM read_offs")), readFind)},
				{"a view", "", worldtest.Into[[]worldtest.ReadUser](into(raw("SELECT * FROM read_view ORDER BY id"), view...), readFind)},
				{"a view that GORM reads", "", worldtest.Into[[]worldtest.ReadUser](into(func(db *gorm.DB) *gorm.DB {
					return db.Table("read_view").Unscoped().Order("id")
				}, view...), readFind)},
				{"a view that is not named", "unknown table", worldtest.Into[[]m](into(raw("SELECT * FROM read_view ORDER BY id"), preload.For(minute)), readFind)},
				{"a common table expression", "", worldtest.Into[[]int](into(raw("WITH x AS (SELECT id FROM read_users) SELECT id FROM x ORDER BY id"), preload.Tables("x")), readFind)},
				{"the current time", "", worldtest.Into[[]int](into(raw("SELECT id FROM read_users WHERE created_at <= CURRENT_TIMESTAMP OR 1 = 1 ORDER BY id")), readFind)},
				{"the current time, as a value", "", worldtest.Into[[]worldtest.ReadUser](into(func(db *gorm.DB) *gorm.DB {
					return db.Where("name <> ?", "now").Order("id")
				}), readFind)},
				{"the current time and chance", "volatile", worldtest.Into[[]int](into(raw("SELECT id FROM read_users WHERE created_at <= CURRENT_TIMESTAMP OR "+chance(d.Dialect)+" >= 0 OR 1 = 1 ORDER BY id")), readFind)},
				{"chance", "volatile", worldtest.Into[[]int](into(raw("SELECT id FROM read_users WHERE "+chance(d.Dialect)+" IS NOT NULL ORDER BY id")), readFind)},
				{"an unknown function", "unknown function", worldtest.Into[[]int](into(raw("SELECT my_function(id) FROM read_users")), readFind)},
				{"Bypass", "asked", worldtest.Into[plains](into(func(db *gorm.DB) *gorm.DB { return db.Clauses(preload.Bypass).Order("id") }), readFind)},
				{"in a transaction", "transaction", func(db *gorm.DB) (any, *gorm.DB) {
					var u plains
					var out *gorm.DB
					_ = db.Transaction(func(tx *gorm.DB) error { out = as()(tx).Order("id").Find(&u); return nil })
					return &u, out
				}},
				{"a clause of GORM's beside it", "", worldtest.Into[plains](into(func(db *gorm.DB) *gorm.DB {
					return db.Clauses(clause.OrderBy{Columns: []clause.OrderByColumn{{Column: clause.Column{Name: "id"}}}})
				}), readFind)},
			} {
				b.AsPlain(t, name+", "+c.name, c.reason, c.query)
				if c.reason == "unknown function" {
					b.PassHoldOut() // raw SQL of which nothing is known, and that fails
				}
			}
		}
		b.AsPlain(t, "gorm.G", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			return gorm.G[worldtest.ReadPlain](db, preload.Cache(preload.For(minute))).Order("id").Find(ctx)
		}))
	})
}

// chance is a function that gives another value each time.
func chance(dialect string) string {
	if dialect == "mysql" {
		return "rand()"
	}
	return "random()"
}

// What a call has kept is forgotten with the tables that it reads, those that it names, by its tags,
// and when its time is over; and is not taken for what another call has kept on other terms.
func TestTermsOfACall(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d, preload.WithoutWorker(), preload.WithTTL(time.Hour))
		worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
		worldtest.Must(t, b.Plain.Exec("CREATE VIEW read_view AS SELECT * FROM read_users WHERE age > 30").Error)
		ask := func(options ...preload.CacheOption) func() {
			return func() {
				var n int
				worldtest.Must(t, b.DB.Clauses(preload.Cache(options...)).Raw("SELECT count(*) FROM read_view").Scan(&n).Error)
				var plain []worldtest.ReadPlain
				worldtest.Must(t, b.DB.Clauses(preload.Cache(options...)).Where("id > 0").Find(&plain).Error)
			}
		}
		tables := preload.Tables(&worldtest.ReadUser{}, "read_view")
		served := func(when string, want int64, ask func()) {
			t.Helper()
			before := b.Probe.Queries()
			if ask(); b.Probe.Queries()-before != want {
				t.Errorf("%s: %d queries, want %d; bypassed: %v", when, b.Probe.Queries()-before, want, b.Plugin.Stats().BypassReasons)
			}
		}
		short, long := ask(tables, preload.For(time.Minute), preload.Tags("a", "b")), ask(tables, preload.For(time.Hour), preload.Tags("c"))
		served("at first", 2, short)
		served("again", 0, short)
		served("on other terms", 2, long)
		served("again on other terms", 0, long)
		worldtest.Must(t, b.Plugin.InvalidateTags("b"))
		served("after its tag", 2, short)
		served("after the tag of another", 0, long)
		b.Clock.Advance(2 * time.Minute)
		served("after its time", 2, short)
		served("before its time", 0, long)
		worldtest.Must(t, b.DB.Exec("UPDATE read_users SET age = age + 1").Error)
		served("after a write to what the view reads, which both name", 2, short)
		served("after a write, on other terms", 2, long)
		worldtest.Must(t, b.DB.Create(&worldtest.ReadPlain{ID: 99, Name: "new"}).Error)
		served("after a write to the table", 1, long)
		_ = b.DB.Exec("DELETE FROM read_view WHERE 1 = 0").Error // SQLite does not write to views
		served("after what names the view, which both name", 2, long)
		worldtest.Must(t, b.Plugin.Invalidate("read_view"))
		served("after the view", 2, long)
		served("again at last", 0, long)
		if err := preload.Check(b.Plugin); err != nil {
			t.Error(err)
		}
	})
}

// What a query with the current time gave is not older than its terms say, however long it took.
func TestTheCurrentTimeIsNoOlderThanAsked(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithoutWorker())
	now := func() (text string) {
		db := b.DB.Clauses(preload.Cache(preload.For(time.Minute)))
		worldtest.Must(t, db.Raw("SELECT strftime('%f', 'now') || random_text.name FROM read_users AS random_text WHERE id = 1").Row().Scan(&text))
		return text
	}
	first := now()
	b.Clock.Advance(50 * time.Second)
	if again := now(); again != first {
		t.Errorf("got %q after %q", again, first)
	}
	b.Clock.Advance(11 * time.Second)
	before := b.Probe.Queries()
	if now(); b.Probe.Queries() == before {
		t.Error("it is kept for longer than a minute")
	}
}

// What is wrong with terms is an error of the query, which names it, and nothing is kept or asked.
func TestBadTermsAreAnErrorOfTheQuery(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithRaw())
	for want, options := range map[string][]preload.CacheOption{
		"For(-1s)":         {preload.For(-time.Second)},
		"For(0s)":          {preload.For(0), preload.Tables("x")},
		`Tables("")`:       {preload.Tables("")},
		"model int":        {preload.Tables(7)},
		"model <nil>":      {preload.Tables(nil)},
		"a tag is empty":   {preload.Tags("")},
		"an option is nil": {nil},
	} {
		for name, db := range map[string]*gorm.DB{
			"clause":  b.DB.Clauses(preload.Cache(options...)).Session(&gorm.Session{}),
			"context": b.DB.WithContext(preload.ContextWithCache(t.Context(), options...)),
		} {
			before := b.Probe.Queries()
			var plains []worldtest.ReadPlain
			var n int
			_, rows := db.Raw("SELECT id FROM read_users").Rows()
			for form, err := range map[string]error{
				"Find": db.Find(&plains).Error, "Find of an opted-in model": db.Find(&[]worldtest.ReadUser{}).Error,
				"Raw": db.Raw("SELECT id FROM read_users").Scan(&n).Error, "Raw Row": db.Raw("SELECT id FROM read_users").Row().Scan(&n),
				"Row": db.Model(&worldtest.ReadUser{}).Select("id").Row().Scan(&n), "Rows": rows,
				"in a transaction": db.Transaction(func(tx *gorm.DB) error { return tx.Find(&plains).Error }),
			} {
				if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "preload: ") {
					t.Errorf("%s, %s: %v, want one that names %s", name, form, err, want)
				}
			}
			if b.Probe.Queries() != before {
				t.Errorf("%s, %s: the database was asked", want, name)
			}
		}
	}
}

// The clause is of one query: those that preload associations are treated as their models say.
func TestTermsAreOfOneQuery(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	find := func(db *gorm.DB) int64 {
		return b.Queries(func() { worldtest.Must(t, db.Preload("Account").Order("id").Find(&[]worldtest.ReadUser{}).Error) })
	}
	find(b.DB)
	if n := find(b.DB.Clauses(preload.Cache(preload.For(time.Minute)))); n != 1 {
		t.Errorf("%d queries, want the one with the clause", n)
	}
	if n := find(b.DB.WithContext(preload.ContextWithCache(t.Context(), preload.For(time.Hour)))); n != 2 {
		t.Errorf("%d queries, want all of the context", n)
	}
}

// openWithFunctions returns a handle of a database that has SQL functions of the application's own.
func openWithFunctions(t *testing.T, options ...preload.Option) *worldtest.World {
	t.Helper()
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	name := fmt.Sprintf("functions-%p", d)
	sql.Register(name, &sqlite3.SQLiteDriver{ConnectHook: func(conn *sqlite3.SQLiteConn) error {
		return conn.RegisterFunc("slugify", strings.ToLower, true)
	}})
	plain := d.Plain(t)
	var file string
	worldtest.Must(t, plain.Raw("SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&file).Error)
	db, err := gorm.Open(sqlite.New(sqlite.Config{DriverName: name, DSN: file}), &gorm.Config{})
	worldtest.Must(t, err)
	p := preload.New(append([]preload.Option{preload.WithoutWorker()}, options...)...)
	worldtest.Must(t, db.Use(p))
	worldtest.Must(t, p.Register(worldtest.ReadModels...))
	t.Cleanup(func() {
		_ = p.Close()
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	})
	return &worldtest.World{DB: db, Plain: plain, Plugin: p}
}

// WithFunctions has queries kept that call functions of the application's own, and raw SQL that does
// so forgets nothing.
func TestFunctionsThatAreDeclared(t *testing.T) {
	t.Parallel()
	for _, declared := range []bool{true, false} {
		options := []preload.Option{preload.WithRaw()}
		if declared {
			options = append(options, preload.WithFunctions("Slugify"))
		}
		b := openWithFunctions(t, options...)
		other := func() {
			worldtest.Must(t, b.DB.Where("id = ?", 1).Find(&[]worldtest.ReadUser{}).Error)
		}
		other()
		for range 2 {
			var names []string
			worldtest.Must(t, b.DB.Model(&worldtest.ReadUser{}).Where("slugify(name) <> ?", "x").Order("id").Pluck("slugify(name)", &names).Error)
			worldtest.Must(t, b.DB.Raw("SELECT slugify(name) FROM read_users ORDER BY id").Scan(&names).Error)
			if len(names) == 0 || strings.ToLower(names[0]) != names[0] {
				t.Errorf("got %q", names)
			}
		}
		other()
		if s := b.Plugin.Stats(); (s.Hits == 3) != declared || (s.BypassReasons[preload.ReasonFunction] == 0) != declared {
			t.Errorf("declared: %v: %d hits, bypassed: %v", declared, s.Hits, s.BypassReasons)
		}
	}
}

// Per call, a function is named among the tables.
func TestAFunctionThatACallNames(t *testing.T) {
	t.Parallel()
	b := openWithFunctions(t)
	terms := preload.Cache(preload.Tables("slugify"))
	for range 2 {
		var names []string
		worldtest.Must(t, b.DB.Clauses(terms).Raw("SELECT slugify(name) FROM read_users ORDER BY id").Scan(&names).Error)
		worldtest.Must(t, b.DB.Clauses(terms).Model(&worldtest.ReadUser{}).Order("id").Pluck("slugify(name)", &names).Error)
	}
	if s := b.Plugin.Stats(); s.Hits != 2 {
		t.Errorf("%d hits, bypassed: %v", s.Hits, s.BypassReasons)
	}
}

func TestFunctionsAreNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", " ", "f()", "a b", "a.b.c", "?", "1f", "f;"} {
		err := preload.New(preload.WithFunctions("fine", "app.fine", name)).Initialize(nil)
		if err == nil || !strings.Contains(err.Error(), "WithFunctions") {
			t.Errorf("WithFunctions(%q): %v", name, err)
		}
	}
}

// Explain tells of raw SQL what it tells of other queries.
func TestExplainOfRawSQL(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithRaw())
	for query, want := range map[string]preload.Reason{
		"SELECT name FROM read_users WHERE id = ?": "", "SELECT name FROM nowhere WHERE id = ?": preload.ReasonTable,
		"SELECT name FROM read_offs WHERE id = ?": preload.ReasonNoPolicy, "SELECT random() FROM read_users WHERE id = ?": preload.ReasonVolatile,
	} {
		for range 2 {
			e, err := b.Plugin.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Raw(query, 1).Find(&[]string{}) })
			if err != nil || e.Cacheable != (want == "") || e.Reason != want || len(e.Changes) != 0 {
				t.Errorf("%s: cacheable %v, reason %q, changes %v, %v", query, e.Cacheable, e.Reason, e.Changes, err)
			}
		}
	}
	e, err := b.Plugin.Explain(func(tx *gorm.DB) *gorm.DB { return tx.Raw("UPDATE read_users SET age = 1").Find(&[]string{}) })
	if err != nil || e.Cacheable || len(e.Changes) != 1 {
		t.Errorf("%v, %v", e, err)
	}
}

// A prepared query takes terms like the one that is written out.
func TestPreparedQueriesTakeTerms(t *testing.T) {
	t.Parallel()
	for _, tags := range [][]string{nil, {"people"}} {
		b := readSQLite(t, preload.WithoutWorker())
		byName, err := preload.Prepare[worldtest.ReadPlain](b.DB, func(tx *gorm.DB) *gorm.DB {
			return tx.Clauses(preload.Cache(preload.For(time.Minute), preload.Tags(tags...))).Where("name = ?", preload.Arg(0)).Order("id")
		})
		worldtest.Must(t, err)
		ask := func() int64 {
			return b.Queries(func() {
				found, err := byName.Find(t.Context(), "p")
				if err != nil || len(found) != 1 {
					t.Errorf("%v, %v", found, err)
				}
			})
		}
		for i := range 4 {
			if n := ask(); (n == 1) != (i == 0) {
				t.Errorf("tags %q, call %d: %d queries", tags, i, n)
			}
		}
		if len(tags) > 0 {
			worldtest.Must(t, b.Plugin.InvalidateTags(tags...))
			if ask() != 1 {
				t.Error("its tag does not forget it")
			}
		}
		b.Clock.Advance(2 * time.Minute)
		if ask() != 1 {
			t.Error("it is kept for longer than asked")
		}
	}
}

// A clause that has a part of its own on a statement without a model is no fault of the plugin's.
func TestUnusualClausesOfNoModel(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	unusual := func(db *gorm.DB) *gorm.DB {
		tx := db.Table("read_companies").Session(&gorm.Session{})
		tx = tx.Order("id")
		tx.Statement.Clauses["FROM"] = clause.Clause{Name: "FROM", Expression: clause.From{}, AfterExpression: clause.Expr{SQL: "NOT INDEXED"}}
		return tx
	}
	b.AsPlain(t, "Find", worldtest.AnyReason, worldtest.Find[[]map[string]any](unusual))
	b.AsPlain(t, "Scan", worldtest.AnyReason, worldtest.Into[[]map[string]any](unusual, readScan))
	b.AsPlain(t, "Row", worldtest.AnyReason, worldtest.Into[int](func(db *gorm.DB) *gorm.DB { return unusual(db).Select("id") }, readRow))
}
