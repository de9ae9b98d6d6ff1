package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// rawQuery is a query that is given as SQL, read in one of the ways in which that is done.
func rawQuery[T any](read func(db *gorm.DB, dest any) *gorm.DB, query string, args ...any) worldtest.Query {
	return worldtest.Into[T](func(db *gorm.DB) *gorm.DB { return db.Raw(query, args...) }, read)
}

// The ways in which the rows of a query are read.
func readFind(db *gorm.DB, dest any) *gorm.DB  { return db.Find(dest) }
func readTake(db *gorm.DB, dest any) *gorm.DB  { return db.Take(dest) }
func readFirst(db *gorm.DB, dest any) *gorm.DB { return db.First(dest) }
func readScan(db *gorm.DB, dest any) *gorm.DB  { return db.Scan(dest) }
func readRow(db *gorm.DB, dest any) *gorm.DB   { return &gorm.DB{Error: db.Row().Scan(dest)} }

// readRows reads all rows, of two columns, itself.
func readRows(db *gorm.DB, dest any) *gorm.DB {
	rows, err := db.Rows()
	if err != nil {
		return &gorm.DB{Error: err}
	}
	defer rows.Close()
	all := dest.(*[]string)
	types, _ := rows.ColumnTypes()
	for _, c := range types {
		*all = append(*all, fmt.Sprint(c.Name(), c.DatabaseTypeName(), c.ScanType()))
	}
	for err == nil && rows.Next() {
		var a, b any
		err = rows.Scan(&a, &b)
		*all = append(*all, fmt.Sprintf("%v %v", a, b))
	}
	return &gorm.DB{Error: errors.Join(err, rows.Err())}
}

// rawCases are raw queries whose answers are kept with WithRaw, or that are not for a reason.
func rawCases(dialect string) []readCase {
	type (
		users = []worldtest.ReadUser
		m     = map[string]any
		stats struct {
			N      int64
			Oldest sql.NullInt64
		}
	)
	const all, one = "SELECT * FROM read_users ORDER BY id", "SELECT id, name FROM read_users WHERE id = ?"
	cases := []readCase{
		{"Find", "", rawQuery[users](readFind, all)},
		{"Scan", "", rawQuery[users](readScan, all)},
		{"Find of pointers", "", rawQuery[[]*worldtest.ReadUser](readFind, all)},
		{"Find of one", "", rawQuery[worldtest.ReadUser](readFind, all)},
		{"First", "", rawQuery[worldtest.ReadUser](readFirst, one, 2)},
		{"First, none", "", rawQuery[worldtest.ReadUser](readFirst, one, 1000)},
		{"Take of a smaller struct", "", rawQuery[readSmall](readTake, one, 2)},
		{"Scan of a smaller struct", "", rawQuery[readSmall](readScan, one, 2)},
		{"Scan of one by another column", "", rawQuery[readSmall](readScan, "SELECT id, name FROM read_users WHERE email = ?", "a@example.com")},
		{"Scan of one of many", worldtest.AnyReason, rawQuery[readSmall](readScan, all)},
		{"Scan of none", "", rawQuery[readSmall](readScan, one, 1000)},
		{"statistics", "", rawQuery[stats](readScan, "SELECT count(*) AS n, max(age) AS oldest FROM read_users WHERE age > ?", 20)},
		{"statistics with Find", "", rawQuery[*stats](readFind, "SELECT count(*) AS n, max(age) AS oldest FROM read_users")},
		{"a number", "", rawQuery[int64](readScan, "SELECT sum(age) FROM read_users")},
		{"a number with Find", "", rawQuery[int64](readFind, "SELECT sum(age) FROM read_users")},
		{"a text", "", rawQuery[string](readScan, "SELECT name FROM read_users WHERE id = ?", 1)},
		{"a time", "", rawQuery[*time.Time](readScan, "SELECT birthday FROM read_users WHERE id = ?", 1)},
		{"NULL", "", rawQuery[sql.NullInt64](readFind, "SELECT sum(age) FROM read_users WHERE id > 1000")},
		{"numbers", "", rawQuery[[]int](readScan, "SELECT age FROM read_users ORDER BY id")},
		{"a map", "", rawQuery[m](readFind, one, 1)},
		{"a map with Scan", "", rawQuery[m](readScan, one, 1)},
		{"maps", "", rawQuery[[]m](readFind, "SELECT id, name, email, birthday, data FROM read_users ORDER BY id")},
		{"an array", "", rawQuery[[2]readSmall](readFind, all)},
		{"a join", "", rawQuery[[]readSmall](readScan, "SELECT u.id, c.name FROM read_users u JOIN read_companies c ON c.id = u.company_id ORDER BY u.id")},
		{"a subquery", "", rawQuery[[]int](readFind, "SELECT id FROM read_users WHERE company_id IN (SELECT id FROM read_companies) ORDER BY id")},
		{"a union", "", rawQuery[[]string](readFind, "SELECT name FROM read_users UNION SELECT name FROM read_companies ORDER BY name")},
		{"a list", "", rawQuery[[]readSmall](readFind, "SELECT id, name FROM read_users WHERE id IN ? ORDER BY id", []int{1, 3})},
		{"named args", "", rawQuery[[]readSmall](readFind, "SELECT id, name FROM read_users WHERE id = @id", sql.Named("id", 2))},
		{"Row", "", rawQuery[string](readRow, "SELECT name FROM read_users ORDER BY id")},
		{"Row of nothing", "", rawQuery[string](readRow, "SELECT name FROM read_users WHERE id = 1000")},
		{"Row of a wrong type", worldtest.AnyReason, rawQuery[int](readRow, "SELECT name FROM read_users ORDER BY id")},
		{"Rows", "", rawQuery[[]string](readRows, "SELECT id, name FROM read_users ORDER BY id")},
		{"Rows of nothing", "", rawQuery[[]string](readRows, one, 1000)},
		{"a struct that holds values", "", func(db *gorm.DB) (any, *gorm.DB) {
			dest := readSmall{ID: 7, Name: "before"}
			return &dest, db.Raw("SELECT id FROM read_users WHERE id = ?", 1).Find(&dest)
		}},
		{"Raw of a model with Preload", "", worldtest.Into[users](func(db *gorm.DB) *gorm.DB {
			return db.Preload("Pets", func(db *gorm.DB) *gorm.DB { return db.Order("id") }).Raw(all)
		}, readFind)},
		{"gorm.G", "", worldtest.Generic(func(ctx context.Context, db *gorm.DB) (any, error) {
			return gorm.G[worldtest.ReadCompany](db).Raw("SELECT * FROM read_companies ORDER BY id").Find(ctx)
		})},
		{"a wrong type", worldtest.AnyReason, rawQuery[[]int](readFind, "SELECT name FROM read_users ORDER BY id")},
		{"a wrong column", worldtest.AnyReason, rawQuery[[]int](readFind, "SELECT nothing FROM read_users")},
		{"a wrong column with Scan", worldtest.AnyReason, rawQuery[[]int](readScan, "SELECT nothing FROM read_users")},
		{"a wrong column with Row", worldtest.AnyReason, rawQuery[int](readRow, "SELECT nothing FROM read_users")},
		{"Bypass", "asked", worldtest.Into[users](func(db *gorm.DB) *gorm.DB { return db.Clauses(preload.Bypass).Raw(all) }, readScan)},
		{"in a transaction", "transaction", func(db *gorm.DB) (any, *gorm.DB) {
			var u users
			var out *gorm.DB
			_ = db.Transaction(func(tx *gorm.DB) error { out = tx.Raw(all).Scan(&u); return nil })
			return &u, out
		}},
		{"Connection", "other pool", func(db *gorm.DB) (any, *gorm.DB) {
			var u users
			var out *gorm.DB
			_ = db.Connection(func(tx *gorm.DB) error { out = tx.Raw(all).Find(&u); return nil })
			return &u, out
		}},
		{"a view", "unknown table", rawQuery[users](readFind, "SELECT * FROM read_view ORDER BY id")},
		{"a common table expression", "unknown table", rawQuery[[]int](readFind, "WITH x AS (SELECT id FROM read_users) SELECT id FROM x ORDER BY id")},
		{"the current time", "volatile", rawQuery[[]int](readFind, "SELECT id FROM read_users WHERE created_at <= CURRENT_TIMESTAMP OR 1 = 1 ORDER BY id")},
		{"not opted in", "no policy", rawQuery[[]m](readFind, "SELECT * FROM read_plains ORDER BY id")},
		{"opted out", "no policy", rawQuery[[]m](readScan, "SELECT * FROM read_offs ORDER BY id")},
		{"joined with what is opted out", "no policy", rawQuery[[]m](readFind, "SELECT u.id FROM read_users u JOIN read_offs o ON o.id = u.id ORDER BY u.id")},
		{"without a table", worldtest.AnyReason, rawQuery[int](readScan, "SELECT 1 + 1")},
	}
	if dialect == "postgres" {
		cases = append(cases,
			readCase{"locking", "not a plain read", rawQuery[users](readFind, all+" FOR UPDATE")},
			readCase{"an attribute that is a function", "unknown function", rawQuery[[]int](readFind, "SELECT u.id FROM read_users u WHERE length(u.read_users) >= 0 OR 1 = 1")},
		)
	}
	return cases
}

// TestRawSQLAnswersAsPlainGORM holds promises 1 and 6 against raw SQL.
func TestRawSQLAnswersAsPlainGORM(t *testing.T) {
	t.Parallel()
	for _, config := range []struct {
		name string
		make func() *gorm.Config
	}{
		{"default", func() *gorm.Config { return &gorm.Config{} }},
		{"prepared", func() *gorm.Config { return &gorm.Config{PrepareStmt: true, TranslateError: true} }},
	} {
		t.Run(config.name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				worldtest.SeedReads(t, d.Plain(t))
				b := readOpenWith(t, d, config.make, preload.WithRaw())
				worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
				worldtest.Must(t, b.Plain.Exec("CREATE VIEW read_view AS SELECT * FROM read_users WHERE age > 30").Error)
				for _, c := range rawCases(d.Dialect) {
					if config.name == "prepared" && c.name == "a wrong column with Row" {
						continue // GORM returns a row that panics
					}
					b.AsPlain(t, c.name, c.reason, c.query)
				}
				if err := preload.Check(b.Plugin); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What Row reads of a query that GORM builds is served, too, and is not taken for all rows.
func TestRowAnswersAsPlainGORM(t *testing.T) {
	t.Parallel()
	model := func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadUser{}).Order("id") }
	names := func(db *gorm.DB) *gorm.DB { return model(db).Select("name") }
	cases := []readCase{
		{"Row", "", worldtest.Into[string](names, readRow)},
		{"Rows after Row", "", worldtest.Into[[]string](func(db *gorm.DB) *gorm.DB { return model(db).Select("id", "name") }, readRows)},
		{"Row after Rows", "", worldtest.Into[string](names, readRow)},
		{"Row of nothing", "", worldtest.Into[string](func(db *gorm.DB) *gorm.DB { return names(db).Where("id = 1000") }, readRow)},
		{"Row of no model", "", worldtest.Into[string](func(db *gorm.DB) *gorm.DB { return db.Table("read_users").Select("name").Order("id") }, readRow)},
		{"Row of a wrong type", worldtest.AnyReason, worldtest.Into[int](names, readRow)},
		{"Row of what is not opted in", "no policy", worldtest.Into[string](func(db *gorm.DB) *gorm.DB { return db.Model(&worldtest.ReadPlain{}).Select("name").Order("id") }, readRow)},
		{"Row in a transaction", "transaction", func(db *gorm.DB) (any, *gorm.DB) {
			var name string
			err := db.Transaction(func(tx *gorm.DB) error { return names(tx).Row().Scan(&name) })
			return &name, &gorm.DB{Error: err}
		}},
	}
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d)
		worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
		for _, c := range cases {
			b.AsPlain(t, c.name, c.reason, c.query)
		}
	})
}

// A row that a writer changes is read anew; other rows stay.
func TestWritesForgetWhatRawSQLRead(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d, preload.WithRaw(), preload.WithoutWorker())
		worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
		name := func(id int) (name string) {
			worldtest.Must(t, b.DB.Raw("SELECT name FROM read_users WHERE id = ?", id).Scan(&name).Error)
			return name
		}
		count := func() (n int) {
			worldtest.Must(t, b.DB.Raw("SELECT count(*) FROM read_users WHERE name LIKE 'new%'").Row().Scan(&n))
			return n
		}
		for i, write := range []func(to string) error{
			func(to string) error {
				return b.DB.Model(&worldtest.ReadUser{}).Where("id = ?", 1).Update("name", to).Error
			},
			func(to string) error { return b.DB.Exec("UPDATE read_users SET name = ? WHERE id = 1", to).Error },
			func(to string) error {
				return b.DB.Transaction(func(tx *gorm.DB) error {
					if err := tx.Model(&worldtest.ReadUser{}).Where("id = ?", 1).Update("name", to).Error; err != nil {
						return err
					}
					if count() != 1 && to != "new 0" {
						t.Error("what is not committed is read")
					}
					return nil
				})
			},
		} {
			if d.Dialect == "sqlite" && i == 2 {
				continue // it locks the file
			}
			to := fmt.Sprint("new ", i)
			_, two := name(1), name(2)
			count()
			before := b.Probe.Queries()
			if name(1); count() < 0 || b.Probe.Queries() != before {
				t.Fatalf("write %d: not served before: %v", i, b.Plugin.Stats().BypassReasons)
			}
			worldtest.Must(t, write(to))
			before = b.Probe.Queries()
			if got := name(2); got != two || b.Probe.Queries() != before {
				t.Errorf("write %d: another row was forgotten", i)
			}
			if got := name(1); got != to || count() != 1 {
				t.Errorf("write %d: got %q, %d", i, got, count())
			}
		}
	})
}

// Readers of the same raw SQL wait for one query.
func TestReadersOfRawSQLShareAQuery(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithRaw(), preload.WithoutWorker())
	gate := b.Gate(func(c dbtest.Call) bool { return strings.Contains(c.SQL, "sum(age)") })
	before := b.Probe.Queries()
	done := make(chan int64)
	ask := func(ctx context.Context) {
		var n int64
		if err := b.DB.WithContext(ctx).Raw("SELECT sum(age) FROM read_users").Find(&n).Error; err != nil {
			t.Error(err)
		}
		done <- n
	}
	go ask(t.Context())
	<-gate.Arrived
	for range 3 {
		waiting := worldtest.NewWaiting(t.Context())
		go ask(waiting)
		<-waiting.Begun
	}
	gate.Release()
	want := <-done
	for range 3 {
		if got := <-done; got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	if n := b.Probe.Queries() - before; n != 1 {
		t.Errorf("%d queries", n)
	}
}
