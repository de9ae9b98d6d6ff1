package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// What does not qualify goes to the database untouched, and is counted with its reason.
func TestReadBypassedAndCounted(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d)
		worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
		done, cancel := context.WithCancel(context.Background())
		cancel()
		type users = []worldtest.ReadUser
		in := func(do func(tx *gorm.DB, u *users) *gorm.DB) worldtest.Query {
			return func(db *gorm.DB) (any, *gorm.DB) {
				var (
					u   users
					out *gorm.DB
				)
				_ = db.Transaction(func(tx *gorm.DB) error { out = do(tx, &u); return nil })
				return &u, out
			}
		}
		cases := []readCase{
			{"Raw Find", "raw SQL", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Raw("SELECT * FROM read_users ORDER BY id") })},
			{"Raw First", "raw SQL", worldtest.Take[worldtest.ReadUser](func(db *gorm.DB) *gorm.DB { return db.Raw("SELECT * FROM read_users WHERE id = ?", 1) })},
			{"Raw Scan", "raw SQL", worldtest.Into[users](func(db *gorm.DB) *gorm.DB { return db.Raw("SELECT * FROM read_users ORDER BY id") },
				func(db *gorm.DB, dest any) *gorm.DB { return db.Scan(dest) })},
			{"Raw Row", "raw SQL", func(db *gorm.DB) (any, *gorm.DB) {
				var s string
				err := db.Raw("SELECT name FROM read_users ORDER BY id").Row().Scan(&s)
				return s, &gorm.DB{Error: err}
			}},
			{"Transaction", "transaction", in(func(tx *gorm.DB, u *users) *gorm.DB { return tx.Order("id").Find(u) })},
			{"nested Transaction", "transaction", in(func(tx *gorm.DB, u *users) *gorm.DB {
				var out *gorm.DB
				_ = tx.Transaction(func(tx *gorm.DB) error { out = tx.Order("id").Preload("Pets").Find(u); return nil })
				return out
			})},
			{"Transaction with PrepareStmt", "transaction", in(func(tx *gorm.DB, u *users) *gorm.DB {
				return tx.Session(&gorm.Session{PrepareStmt: true}).Order("id").Find(u)
			})},
			{"Begin", "transaction", func(db *gorm.DB) (any, *gorm.DB) {
				var u users
				tx := db.Begin(&sql.TxOptions{ReadOnly: d.Dialect != "sqlite"})
				out := tx.Order("id").Find(&u)
				tx.Rollback()
				return &u, out
			}},
			{"Connection", "other pool", func(db *gorm.DB) (any, *gorm.DB) {
				var (
					u   users
					out *gorm.DB
				)
				_ = db.Connection(func(tx *gorm.DB) error { out = tx.Order("id").Find(&u); return nil })
				return &u, out
			}},
			{"DryRun", "dry run", func(db *gorm.DB) (any, *gorm.DB) {
				var u worldtest.ReadUser
				tx := db.Session(&gorm.Session{DryRun: true}).Where("age = ?", 40).First(&u)
				return &[]any{u, tx.Statement.SQL.String(), tx.Statement.Vars}, tx
			}},
			{"ToSQL", "dry run", func(db *gorm.DB) (any, *gorm.DB) {
				return db.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Where("age = ?", 40).Find(&users{}) }), nil
			}},
			{"no policy", "no policy", worldtest.Find[[]worldtest.ReadPlain](worldtest.ByID)},
			{"opted out", "no policy", worldtest.Find[[]worldtest.ReadOff](worldtest.ByID)},
			{"no model", "no model", worldtest.Into[[]map[string]any](func(db *gorm.DB) *gorm.DB { return db.Table("read_plains").Order("id") },
				func(db *gorm.DB, dest any) *gorm.DB { return db.Find(dest) })},
			{"Bypass", "asked", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Clauses(preload.Bypass).Order("id") })},
			{"Bypass with Preload", "asked", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
				return db.Clauses(preload.Bypass).Preload(clause.Associations).Preload("Team.Pets.Toy").Order("id")
			})},
			{"Bypass through the context", "asked", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
				return db.WithContext(preload.ContextWithBypass(db.Statement.Context)).Preload("Pets").Order("id")
			})},
			{"Bypass of G", "asked", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
				u, err := gorm.G[worldtest.ReadUser](db, preload.Bypass).Order("id").Find(ctx)
				return &u, err
			})},
			{"context done", "context done", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.WithContext(done) })},
			{"unknown table", "unknown table", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Table("read_view").Unscoped().Order("id") })},
			{"unknown table in a condition", "unknown table", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
				return db.Where("id IN (SELECT id FROM read_view)").Order("id")
			})},
			{"unknown table in a join", "unknown table", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
				return db.Joins("JOIN read_view v ON v.id = read_users.id").Order("read_users.id")
			})},
			{"CURRENT_TIMESTAMP", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("created_at <= CURRENT_TIMESTAMP OR 1 = 1").Order("id") })},
			{"current_date in Select", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
				return db.Select("id, CASE WHEN current_date IS NULL THEN 'x' ELSE name END AS name").Order("id")
			})},
			{"now as a value", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("name <> ?", "now").Order("id") })},
			{"now as a value of a map", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where(map[string]any{"name": " NOW "}).Order("id") })},
			{"now as a value of a list", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Not("name IN ?", []string{"x", "today"}).Order("id") })},
			{"now by a Valuer", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("name <> ?", readSecret{"now"}).Order("id") })},
			{"now by a pointer", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("name <> ?", worldtest.Ptr("now")).Order("id") })},
			{"now by a named type", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("name <> ?", readHiddenString("now")).Order("id") })},
			{"unknown function", "unknown function", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
				return db.Where("name <> ? OR my_function(name) = 1", "x").Order("id")
			})},
			{"a list of 20,000 ids", "long statement", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
				return db.Where("id IN ?", make([]int, 20_000)).Or("id > 1").Order("id")
			})},
			{"strange value", worldtest.AnyReason, worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("name = ?", struct{ A int }{1}) })},
		}
		switch d.Dialect {
		case "sqlite":
			cases = append(cases,
				readCase{"random()", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("random() IS NOT NULL").Order("id") })},
				readCase{"date('now')", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("date('now') > ?", "2000").Order("id") })},
				readCase{"date(?)", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("date(?) > '2000'", "now").Order("id") })},
				readCase{"date of bytes", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("date(?) > '2000'", []byte("now")).Order("id") })},
				readCase{"date(name)", "volatile", worldtest.Pluck[sql.NullString]("date('now', '-1 month')", func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadUser{}) })},
				readCase{"changes()", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("changes() >= 0").Order("id") })},
			)
		case "postgres":
			cases = append(cases,
				readCase{"now()", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("now() > ?", "2000-01-01").Order("id") })},
				readCase{"random()", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("random() >= 0").Order("id") })},
				readCase{"'now'::timestamp", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("'now'::timestamp > ?", "2000-01-01").Order("id") })},
				readCase{"a time that moves", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("created_at < ?", "tomorrow").Order("id") })},
				readCase{"locking", "locking", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Clauses(clause.Locking{Strength: "UPDATE"}).Order("id") })},
				readCase{"nextval", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB {
					return db.Where("nextval('read_users_id_seq') > 0").Order("id")
				})},
			)
		case "mysql":
			cases = append(cases,
				readCase{"NOW()", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("NOW() > ?", "2000-01-01").Order("id") })},
				readCase{"RAND()", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("RAND() >= 0").Order("id") })},
				readCase{"variable", "volatile", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Where("@x IS NULL").Order("id") })},
				readCase{"locking", "locking", worldtest.Find[users](func(db *gorm.DB) *gorm.DB { return db.Clauses(clause.Locking{Strength: "SHARE"}).Order("id") })},
			)
		}
		worldtest.Must(t, b.Plain.Exec("CREATE VIEW read_view AS SELECT * FROM read_users WHERE age > 30").Error)
		for _, c := range cases {
			b.AsPlain(t, c.name, c.reason, c.query)
		}
		if s := b.Plugin.Stats(); s.Hits != 0 {
			t.Errorf("%d hits", s.Hits)
		}
	})
}

// Bypassed is the sum of its reasons, and a query that is served is not among them: not for a
// subquery in it either.
func TestReadSubqueriesAreNotCountedAsBypassed(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	for range 3 {
		var u []worldtest.ReadUser
		sub := b.DB.Model(&worldtest.ReadPet{}).Select("read_user_id")
		worldtest.Must(t, b.DB.Where("id IN (?)", sub).Find(&u).Error)
	}
	if s := b.Plugin.Stats(); s.Bypassed != 0 || s.Hits != 2 || s.Misses != 1 || s.TotalAccesses != 3 {
		t.Errorf("three equal reads with a subquery: %+v", s)
	}
}

// Bypass stores nothing; Refresh stores what it found.
func TestReadBypassAndRefresh(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	name := func(db *gorm.DB) string {
		var c worldtest.ReadCompany
		worldtest.Must(t, db.First(&c, 1).Error)
		return c.Name
	}
	ctx := context.Background()
	if n := b.Queries(func() { name(b.DB.Clauses(preload.Bypass)); name(b.DB) }); n != 2 {
		t.Errorf("Bypass stored its answer: %d queries, want 2", n)
	}
	set := func(to string) {
		worldtest.Must(t, b.Plain.Exec("UPDATE read_companies SET name = ? WHERE id = 1", to).Error)
	}
	for i, again := range []*gorm.DB{
		b.DB.Clauses(preload.Refresh), b.DB.WithContext(preload.ContextWithRefresh(ctx)),
		b.DB.WithContext(preload.ContextWithBypass(ctx)).Clauses(preload.Refresh),
	} {
		old, now := name(b.DB), string(rune('a'+i))
		set(now)
		if got := name(b.DB); got != old {
			t.Errorf("%d: a write around GORM was seen: %q, want %q", i, got, old)
		}
		if got := name(b.DB.WithContext(preload.ContextWithBypass(ctx))); got != now {
			t.Errorf("%d: Bypass: %q, want %q", i, got, now)
		}
		if got := name(b.DB); got != old {
			t.Errorf("%d: Bypass stored %q", i, got)
		}
		if got := name(again); got != now {
			t.Errorf("%d: Refresh: %q, want %q", i, got, now)
		}
		if n := b.Queries(func() {
			if got := name(b.DB); got != now {
				t.Errorf("%d: after Refresh: %q, want %q", i, got, now)
			}
		}); n != 0 {
			t.Errorf("%d: Refresh did not store its answer", i)
		}
	}
	// Of a row that is gone.
	var l worldtest.ReadLine
	worldtest.Must(t, b.DB.First(&l, "order_id = ? AND no = ?", 1, 1).Error)
	worldtest.Must(t, b.Plain.Exec("DELETE FROM read_lines WHERE order_id = 1 AND no = 1").Error)
	for turn, db := range []*gorm.DB{b.DB.Clauses(preload.Refresh), b.DB} {
		l = worldtest.ReadLine{}
		if err := db.First(&l, "order_id = ? AND no = ?", 1, 1).Error; !errors.Is(err, gorm.ErrRecordNotFound) {
			t.Errorf("turn %d: Refresh of a row that is gone: %v", turn, err)
		}
	}
	if s := b.Plugin.Stats(); s.Entries == 0 {
		t.Errorf("%+v", s)
	}
}

// Refresh and Bypass hold for the associations too.
func TestReadRefreshOfAssociations(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	pets := func(db *gorm.DB) (names string) {
		var u worldtest.ReadUser
		worldtest.Must(t, db.Preload("Pets").First(&u, 1).Error)
		for _, p := range u.Pets {
			names += p.Name + " "
		}
		return names
	}
	if got := pets(b.DB); got != "rex tom " {
		t.Fatal(got)
	}
	worldtest.Must(t, b.Plain.Exec("UPDATE read_pets SET name = 'max' WHERE name = 'rex'").Error)
	if got := pets(b.DB); got != "rex tom " {
		t.Errorf("not from memory: %q", got)
	}
	if got := pets(b.DB.Clauses(preload.Refresh)); got != "max tom " {
		t.Errorf("Refresh: %q", got)
	}
	if n := b.Queries(func() {
		if got := pets(b.DB); got != "max tom " {
			t.Errorf("after Refresh: %q", got)
		}
	}); n != 0 {
		t.Errorf("after Refresh: %d queries", n)
	}
}

// A handle made before the plugin was used, and a pool that is not its own, are served by the
// database.
func TestReadOtherPools(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	db := d.Open(t)
	before := db.Where("id > ?", 0)
	prepared := db.Session(&gorm.Session{PrepareStmt: true})
	p := preload.New(preload.WithoutWorker(), preload.WithLogger(worldtest.Quiet()))
	worldtest.Must(t, db.Use(p))
	defer p.Close()
	other := db.Session(&gorm.Session{NewDB: true, Initialized: true})
	other.Statement.ConnPool = d.Pool(t)
	for _, h := range []*gorm.DB{before, prepared, other} {
		var all []worldtest.ReadCompany
		if err := h.Find(&all).Error; err != nil || len(all) != 2 {
			t.Errorf("%d rows, %v", len(all), err)
		}
	}
	if s := p.Stats(); s.Hits != 0 {
		t.Errorf("hits: %+v", s)
	}
}

// A context that ends only after the query began has no part in the answer.
func TestReadTimeoutOfTheConfiguration(t *testing.T) {
	t.Parallel()
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	b := readOpenWith(t, d, func() *gorm.Config { return &gorm.Config{DefaultContextTimeout: time.Minute} })
	for turn, want := range []int64{1, 0} {
		if n := b.Queries(func() { var c worldtest.ReadCompany; worldtest.Must(t, b.DB.First(&c).Error) }); n != want {
			t.Errorf("turn %d: %d queries, want %d", turn, n, want)
		}
	}
}
