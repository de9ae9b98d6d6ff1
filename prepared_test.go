package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// preparedQuery is a query as it is prepared, and as it is written out: arg gives what goes where
// the n-th value does.
type preparedQuery func(tx *gorm.DB, arg func(n int) any) *gorm.DB

func prepare[T any](t *testing.T, db *gorm.DB, query preparedQuery) *preload.Prepared[T] {
	t.Helper()
	p, err := preload.Prepare[T](db, func(tx *gorm.DB) *gorm.DB {
		return query(tx, func(n int) any { return preload.Arg(n) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// preparedWays are the finishers of a prepared query, each with what is written out.
func preparedWays[T any](p *preload.Prepared[T]) map[string]struct {
	prepared func(ctx context.Context, args []any) (any, error)
	written  func(tx *gorm.DB) (any, error)
} {
	return map[string]struct {
		prepared func(ctx context.Context, args []any) (any, error)
		written  func(tx *gorm.DB) (any, error)
	}{
		"First": {
			func(ctx context.Context, args []any) (any, error) { v, err := p.First(ctx, args...); return &v, err },
			func(tx *gorm.DB) (any, error) { v := new(T); err := tx.First(v).Error; return v, err },
		},
		"Find": {
			func(ctx context.Context, args []any) (any, error) { v, err := p.Find(ctx, args...); return &v, err },
			func(tx *gorm.DB) (any, error) { v := new([]T); err := tx.Find(v).Error; return v, err },
		},
		"Count": {
			func(ctx context.Context, args []any) (any, error) { v, err := p.Count(ctx, args...); return &v, err },
			func(tx *gorm.DB) (any, error) {
				if tx.Statement.Model == nil {
					tx = tx.Model(new(T))
				}
				v := new(int64)
				err := tx.Count(v).Error
				return v, err
			},
		},
	}
}

// samePrepared checks that a prepared query gives what plain GORM gives where it is written out,
// not in memory and in memory; and that, if it is kept at all, each of the two is served what the
// other one read.
func samePrepared[T any](t *testing.T, b *worldtest.World, name string, kept bool, query preparedQuery, calls ...[]any) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Helper()
		p := prepare[T](t, b.DB, query)
		for way, run := range preparedWays(p) {
			for _, args := range calls {
				what := fmt.Sprintf("%s(%v)", way, args)
				written := func(db *gorm.DB) (any, error) {
					return run.written(query(db, func(n int) any { return args[n] }))
				}
				want, wantErr := written(b.Plain)
				same := func(when string, got any, err error) {
					t.Helper()
					if !reflect.DeepEqual(want, got) {
						t.Errorf("%s, %s:\nplain    %s\nprepared %s", what, when, worldtest.Show(want), worldtest.Show(got))
					}
					if fmt.Sprint(wantErr) != fmt.Sprint(err) || errors.Is(wantErr, gorm.ErrRecordNotFound) != errors.Is(err, gorm.ErrRecordNotFound) {
						t.Errorf("%s, %s: error %v, want %v", what, when, err, wantErr)
					}
					worldtest.Scramble(reflect.ValueOf(got), 0)
				}
				worldtest.Must(t, b.Plugin.Invalidate())
				for turn := range 4 {
					n := b.Queries(func() {
						got, err := run.prepared(context.Background(), args)
						same(fmt.Sprint("turn ", turn), got, err)
					})
					if kept && (n == 0) != (turn > 0) {
						t.Errorf("%s, turn %d: %d queries", what, turn, n)
					}
				}
				if !kept {
					continue
				}
				if n := b.Queries(func() { _, _ = written(b.DB) }); n != 0 {
					t.Errorf("%s: written out it reached the database after it was prepared and read: %d queries", what, n)
				}
				worldtest.Must(t, b.Plugin.Invalidate())
				_, _ = written(b.DB)
				if n := b.Queries(func() { _, _ = run.prepared(context.Background(), args) }); n != 0 {
					t.Errorf("%s: it reached the database after it was written out and read: %d queries", what, n)
				}
			}
		}
	})
}

func TestPreparedIsTheQueryWrittenOut(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	one, two, three := [][]any{{1}, {2}, {99}}, [][]any{{1, 2}, {1, 99}}, [][]any{{"ann"}, {"bob"}, {"nobody"}, {"1' OR '1'='1"}}

	samePrepared[worldtest.ReadCompany](t, b, "a key", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("id = ?", arg(0)) },
		append(one, []any{int64(1)}, []any{uint(2)}, []any{"1"}, []any{int32(1)}, []any{1.0}, []any{true})...)
	samePrepared[worldtest.ReadLine](t, b, "two values", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("order_id = ? AND no = ?", arg(0), arg(1))
	}, two...)
	samePrepared[worldtest.ReadLine](t, b, "in another order, and twice", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("no = ? OR order_id = ?", arg(1), arg(0)).Where("no <> ?", 7).Or("no = ?", arg(1)).Order("text DESC")
	}, two...)
	samePrepared[worldtest.ReadLanguage](t, b, "texts", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("name = ?", arg(0)) },
		append(three, []any{"German"}, []any{""})...)
	samePrepared[worldtest.ReadLanguage](t, b, "a map", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where(map[string]any{"name": arg(0)})
	}, append(three, []any{"German"})...)
	samePrepared[worldtest.ReadLanguage](t, b, "not", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Not("name = ?", arg(0)).Not(map[string]any{"code": arg(0)}).Limit(2)
	}, append(three, []any{"German"})...)
	samePrepared[worldtest.ReadLanguage](t, b, "clauses", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Clauses(clause.Where{Exprs: []clause.Expression{
			clause.Gte{Column: "name", Value: arg(0)}, clause.Lt{Column: "name", Value: "Z"}, clause.Like{Column: "code", Value: "%"},
			clause.Or(clause.Neq{Column: "name", Value: arg(0)}, clause.IN{Column: "name", Values: []any{arg(0), "x"}}),
		}})
	}, append(three, []any{"German"})...)
	samePrepared[worldtest.ReadLanguage](t, b, "groups", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where(b.DB.Where("name = ?", arg(0)).Or("code = ?", arg(0))).Distinct()
	}, append(three, []any{"de"})...)
	samePrepared[worldtest.ReadLanguage](t, b, "selected", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Select("code").Where("name > ?", arg(0))
	}, three...)
	samePrepared[worldtest.ReadLanguage](t, b, "no value", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Order("code DESC") }, []any{})
	samePrepared[worldtest.ReadAddress](t, b, "of another model", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Model(&worldtest.ReadUser{}).Select("home_street AS street, home_city AS city").Where("age >= ?", arg(0)).Order("id")
	}, one...)
	samePrepared[worldtest.ReadUser](t, b, "of all fields, and soft deletes", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("age >= ?", arg(0)).Order("id")
	}, one...)
	samePrepared[worldtest.ReadUser](t, b, "unscoped", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Unscoped().Where("name = ?", arg(0))
	}, append(three, []any{"gone"})...)

	// What has to be rendered, or is not known to be told apart by its args alone.
	now := time.Now()
	samePrepared[worldtest.ReadUser](t, b, "values of all sorts", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("name <> ?", arg(0))
	}, []any{nil}, []any{&now}, []any{now}, []any{[]byte("ann")}, []any{worldtest.ReadLevel{N: 1}}, []any{sql.NullString{}}, []any{sql.NullString{String: "ann", Valid: true}},
		[]any{worldtest.Ptr("ann")}, []any{(*string)(nil)}, []any{time.Second}, []any{float32(1.5)})
	samePrepared[worldtest.ReadUser](t, b, "a map of values of all sorts", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where(map[string]any{"email": arg(0)})
	}, []any{nil}, []any{"ann@x"}, []any{(*string)(nil)}, []any{""})
	samePrepared[worldtest.ReadLanguage](t, b, "lists", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("code IN ? OR name IN (?)", arg(0), arg(0))
	}, []any{[]string{"de", "en"}}, []any{[]string{"de"}}, []any{[]string{}}, []any{[]any{"de", "fr", "x"}})
	samePrepared[worldtest.ReadLanguage](t, b, "named", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("code = @code OR name = @name", sql.Named("code", arg(0)), map[string]any{"name": arg(0)})
	}, []any{"de"}, []any{"French"})
	samePrepared[worldtest.ReadLanguage](t, b, "an @ in the text", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("name <> 'a@b' AND code = ?", arg(0))
	}, []any{"de"})
	samePrepared[worldtest.ReadUser](t, b, "a subquery", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		inner := b.Plain.Model(&worldtest.ReadCompany{}).Select("id").Where("name = ?", arg(0))
		return tx.Where("company_id IN (?)", inner).Order("name")
	}, []any{"acme"}, []any{"umbrella"}, []any{"none"})
	samePrepared[worldtest.ReadUser](t, b, "a join", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Joins("JOIN read_companies ON read_companies.id = read_users.company_id AND read_companies.name = ?", arg(0))
	}, []any{"acme"}, []any{"none"})
	samePrepared[worldtest.ReadUser](t, b, "an association that is joined", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Joins("Company").Where("Company.name = ?", arg(0))
	}, []any{"acme"}, []any{"none"})
	samePrepared[worldtest.ReadUser](t, b, "associations", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Preload("Languages").Preload("Pets", "name <> ?", arg(1)).Preload("Manager.Company").Where("name = ?", arg(0))
	}, []any{"ann", "rex"}, []any{"bob", "rex"}, []any{"none", ""})
	samePrepared[worldtest.ReadUser](t, b, "a scope", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Where("age >= ?", arg(0)) }).Order("id")
	}, one...)
	samePrepared[worldtest.ReadHooked](t, b, "hooks", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("name = ?", arg(0)) },
		[]any{"counts"}, []any{"changes"}, []any{"fails"}, []any{"queries"})
	samePrepared[map[string]any](t, b, "maps", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Model(&worldtest.ReadLanguage{}).Where("code = ?", arg(0))
	}, []any{"de"}, []any{"xx"})
	samePrepared[*worldtest.ReadLanguage](t, b, "pointers", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Model(&worldtest.ReadLanguage{}).Where("code = ?", arg(0))
	}, []any{"de"})
	samePrepared[worldtest.ReadPlain](t, b, "no policy", false, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("id = ?", arg(0)) }, one...)
	samePrepared[worldtest.ReadLanguage](t, b, "bypassed", false, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Clauses(preload.Bypass).Where("code = ?", arg(0))
	}, []any{"de"})
	samePrepared[worldtest.ReadLanguage](t, b, "a moment that moves", false, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("name < ?", arg(0))
	}, []any{"now"}, []any{"NOW"})
	samePrepared[worldtest.ReadLanguage](t, b, "locked", false, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("code = ?", arg(0)).Clauses(clause.Locking{Strength: "SHARE"})
	}, []any{"de"})
}

func TestPreparedOnEveryDatabase(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.SeedReads(t, d.Plain(t))
		b := readOpen(t, d)
		samePrepared[worldtest.ReadLine](t, b, "two values", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
			return tx.Where("order_id = ? AND no = ?", arg(0), arg(1))
		}, []any{1, 2}, []any{1, 99})
		samePrepared[worldtest.ReadUser](t, b, "all fields", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
			return tx.Where("age >= ?", arg(0)).Order("id")
		}, []any{35}, []any{99})
	})
}

// TestPreparedTakesTheShortWay: else the other tests would say little of it.
func TestPreparedTakesTheShortWay(t *testing.T) {
	b := readSQLite(t)
	ctx := context.Background()
	p := prepare[worldtest.ReadLine](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("order_id = ? AND no = ?", arg(0), arg(1))
	})
	for range 3 {
		for _, err := range []error{second(p.First(ctx, 1, 2)), second(p.Find(ctx, 1, 2)), second(p.Count(ctx, 1, 2))} {
			worldtest.Must(t, err)
		}
	}
	whole := testing.AllocsPerRun(100, func() {
		var line worldtest.ReadLine
		if err := b.DB.Where("order_id = ? AND no = ?", 1, 2).First(&line).Error; err != nil {
			t.Error(err)
		}
	})
	for name, run := range map[string]func() error{
		"First": func() error { return second(p.First(ctx, 1, 2)) },
		"Find":  func() error { return second(p.Find(ctx, 1, 2)) },
		"Count": func() error { return second(p.Count(ctx, 1, 2)) },
	} {
		hits := b.Plugin.Stats().Hits
		short := testing.AllocsPerRun(100, func() { worldtest.Must(t, run()) })
		if short > 3 || whole < 15 {
			t.Errorf("%s allocates %.0f times, written out %.0f", name, short, whole)
		}
		if now := b.Plugin.Stats(); now.Hits-hits != 101 || now.Models["read_lines"].Hits != now.Hits {
			t.Errorf("%s: %d hits were counted of 101", name, now.Hits-hits)
		}
	}
	if s := b.Plugin.Stats(); len(s.BypassReasons) > 0 {
		t.Errorf("preparing was counted: %v", s.BypassReasons)
	}
}

func second[T any](_ T, err error) error { return err }

// TestPreparedSeesWrites: on the short way, too, and until the entry expires.
func TestPreparedSeesWrites(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithTTL(time.Minute))
	ctx := context.Background()
	p := prepare[worldtest.ReadLanguage](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("code = ?", arg(0)) })
	warm := func(want string) {
		t.Helper()
		for range 4 {
			if got, err := p.First(ctx, "de"); err != nil || got.Name != want {
				t.Fatalf("%q, %v; want %q", got.Name, err, want)
			}
		}
	}
	warm("German")
	worldtest.Must(t, b.DB.Model(&worldtest.ReadLanguage{}).Where("code = ?", "de").Update("name", "Deutsch").Error)
	warm("Deutsch")
	worldtest.Must(t, b.DB.Exec("UPDATE read_languages SET name = 'Allemand' WHERE code = 'de'").Error)
	warm("Allemand")
	worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error {
		worldtest.Must(t, tx.Model(&worldtest.ReadLanguage{}).Where("code = ?", "de").Update("name", "Tedesco").Error)
		if got, err := p.WithTx(tx).First(ctx, "de"); err != nil || got.Name != "Tedesco" {
			t.Errorf("in the transaction: %q, %v", got.Name, err)
		}
		return nil
	}))
	warm("Tedesco")
	worldtest.Must(t, b.Plain.Exec("UPDATE read_languages SET name = 'Duits' WHERE code = 'de'").Error)
	warm("Tedesco") // nobody told the plugin
	b.Clock.Advance(time.Minute)
	warm("Duits")
	worldtest.Must(t, b.Plain.Exec("DELETE FROM read_user_languages").Error)
	worldtest.Must(t, b.DB.Delete(&worldtest.ReadLanguage{}, "code = ?", "de").Error)
	for range 3 {
		if got, err := p.First(ctx, "de"); !errors.Is(err, gorm.ErrRecordNotFound) || got != (worldtest.ReadLanguage{}) {
			t.Fatalf("deleted: %v, %v", got, err)
		}
	}
	if n, err := p.Count(ctx, "de"); n != 0 || err != nil {
		t.Errorf("deleted: %d, %v", n, err)
	}
	if all, err := p.Find(ctx, "de"); all == nil || len(all) != 0 || err != nil {
		t.Errorf("deleted: %v, %v", all, err)
	}
}

// TestPreparedAsksTheContext: what the context of a call says holds on the short way as well.
func TestPreparedAsksTheContext(t *testing.T) {
	t.Parallel()
	type tenantKey struct{}
	tenant := func(ctx context.Context) string { s, _ := ctx.Value(tenantKey{}).(string); return s }
	of := func(s string) context.Context { return context.WithValue(context.Background(), tenantKey{}, s) }
	byTenant := func(tx *gorm.DB) *gorm.DB { return tx.Where("name LIKE ?", tenant(tx.Statement.Context)+"%") }

	t.Run("scopes", func(t *testing.T) {
		t.Parallel()
		b := readSQLite(t)
		p := prepare[worldtest.ReadLanguage](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
			return tx.Where("code <> ?", arg(0)).Scopes(byTenant)
		})
		for range 4 {
			for _, s := range []string{"G", "E", "F"} {
				if got, err := p.First(of(s), "x"); err != nil || !strings.HasPrefix(got.Name, s) {
					t.Fatalf("tenant %s got %v, %v", s, got, err)
				}
			}
		}
	})
	t.Run("a callback that comes later", func(t *testing.T) {
		t.Parallel()
		b := readSQLite(t)
		p := prepare[worldtest.ReadLanguage](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("code <> ?", arg(0)) })
		for range 4 {
			worldtest.Must(t, second(p.First(of("G"), "x")))
		}
		worldtest.Must(t, b.DB.Callback().Query().Before("gorm:query").Register("tenant", func(tx *gorm.DB) { byTenant(tx) }))
		for range 4 {
			for _, s := range []string{"G", "E", "F"} {
				if got, err := p.First(of(s), "x"); err != nil || !strings.HasPrefix(got.Name, s) {
					t.Fatalf("tenant %s got %v, %v", s, got, err)
				}
			}
		}
		worldtest.Must(t, b.DB.Callback().Query().Remove("tenant"))
		for range 4 {
			worldtest.Must(t, second(p.First(of("G"), "x")))
		}
	})
	t.Run("a callback in place of one of GORM's", func(t *testing.T) {
		t.Parallel()
		b := readSQLite(t)
		p := prepare[worldtest.ReadLanguage](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("code = ?", arg(0)) })
		for range 4 {
			worldtest.Must(t, second(p.First(of("G"), "de")))
		}
		seen := 0
		worldtest.Must(t, b.DB.Callback().Query().Replace("gorm:after_query", func(*gorm.DB) { seen++ }))
		for range 3 {
			worldtest.Must(t, second(p.First(of("G"), "de")))
		}
		if seen < 3 {
			t.Errorf("the callback ran %d times", seen)
		}
	})
	t.Run("partitions", func(t *testing.T) {
		t.Parallel()
		b := readSQLite(t, preload.WithPartition(tenant))
		p := prepare[worldtest.ReadLanguage](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("code = ?", arg(0)) })
		for range 4 {
			worldtest.Must(t, second(p.First(of("a"), "de")))
		}
		for _, s := range []string{"b", "c"} {
			if n := b.Queries(func() { worldtest.Must(t, second(p.First(of(s), "de"))) }); n != 1 {
				t.Errorf("tenant %s: %d queries", s, n)
			}
			if n := b.Queries(func() { worldtest.Must(t, second(p.First(of(s), "de"))) }); n != 0 {
				t.Errorf("tenant %s, again: %d queries", s, n)
			}
		}
	})
	t.Run("modes and ends", func(t *testing.T) {
		t.Parallel()
		b := readSQLite(t)
		p := prepare[worldtest.ReadLanguage](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("code = ?", arg(0)) })
		ctx := context.Background()
		for range 4 {
			worldtest.Must(t, second(p.First(ctx, "de")))
		}
		worldtest.Must(t, b.Plain.Exec("UPDATE read_languages SET name = 'Duits' WHERE code = 'de'").Error)
		if got, _ := p.First(preload.ContextWithBypass(ctx), "de"); got.Name != "Duits" {
			t.Errorf("bypassed: %q", got.Name)
		}
		if got, _ := p.First(ctx, "de"); got.Name != "German" {
			t.Errorf("bypassing stored %q", got.Name)
		}
		if got, _ := p.First(preload.ContextWithRefresh(ctx), "de"); got.Name != "Duits" {
			t.Errorf("refreshed: %q", got.Name)
		}
		if got, _ := p.First(ctx, "de"); got.Name != "Duits" {
			t.Errorf("refreshing stored %q", got.Name)
		}
		done, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := p.First(done, "de"); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is done: %v", err)
		}
		worldtest.Must(t, b.Plugin.Close())
		if n := b.Queries(func() { worldtest.Must(t, second(p.First(ctx, "de"))) }); n != 1 {
			t.Errorf("after Close: %d queries", n)
		}
	})
}

func TestPrepareSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	where := func(args ...any) func(*gorm.DB) *gorm.DB {
		return func(tx *gorm.DB) *gorm.DB { return tx.Where("name = ? OR name = ?", args...) }
	}
	tx := b.DB.Begin()
	defer tx.Rollback()
	for name, test := range map[string]struct {
		db    *gorm.DB
		build func(*gorm.DB) *gorm.DB
		want  string
	}{
		"a transaction":        {tx, where(preload.Arg(0), "x"), "ask it in here with WithTx"},
		"no plugin":            {b.Plain, where(preload.Arg(0), "x"), "call db.Use(preload.New()) first"},
		"nil":                  {nil, where(preload.Arg(0), "x"), "call db.Use(preload.New()) first"},
		"no function":          {b.DB, nil, "build is nil"},
		"nothing comes back":   {b.DB, func(*gorm.DB) *gorm.DB { return nil }, "returned nil"},
		"a gap":                {b.DB, where(preload.Arg(1), preload.Arg(2)), "not preload.Arg(0)"},
		"a negative one":       {b.DB, where(preload.Arg(-1), "x"), "not preload.Arg(0)"},
		"where no value goes":  {b.DB, func(tx *gorm.DB) *gorm.DB { return tx.Raw("SELECT ?", preload.Arg(0)) }, "preload.Arg(0) is where Prepare puts no value"},
		"in a type of its own": {b.DB, func(tx *gorm.DB) *gorm.DB { return tx.Clauses(clause.Where{Exprs: []clause.Expression{ownClause{}}}) }, "preload.Arg(0) is where Prepare puts no value"},
		"an error of GORM":     {b.DB, func(tx *gorm.DB) *gorm.DB { _ = tx.AddError(worldtest.ErrReadHook); return tx }, worldtest.ErrReadHook.Error()},
	} {
		p, err := preload.Prepare[worldtest.ReadLanguage](test.db, test.build)
		if err == nil || p != nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "preload: ") {
			t.Errorf("%s: %v, want one that says %q", name, err, test.want)
		}
	}
	p := prepare[worldtest.ReadLanguage](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("code = ?", arg(0)) })
	for range 3 {
		worldtest.Must(t, second(p.First(context.Background(), "de")))
	}
	for _, args := range [][]any{{}, {"de", "en"}} {
		_, err := p.First(context.Background(), args...)
		if want := fmt.Sprintf("takes 1 args, not %d", len(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d args: %v, want one that says %q", len(args), err, want)
		}
	}
	var none *gorm.DB
	var made preload.Prepared[worldtest.ReadLanguage]
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"in no transaction": {second(p.WithTx(none).First(context.Background(), "de")), "WithTx(nil)"},
		"not prepared":      {second(made.Find(context.Background())), "a Prepared[worldtest.ReadLanguage] that Prepare did not make"},
		"nor in one":        {second(made.WithTx(b.DB).Count(context.Background())), "that Prepare did not make"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: %v, want one that says %q", name, test.err, test.want)
		}
	}
	for range 3 { // as with GORM, a context that is nil is none
		var nothing context.Context
		worldtest.Must(t, second(p.First(nothing, "de")))
	}
	dry := prepare[worldtest.ReadLanguage](t, b.DB.Session(&gorm.Session{DryRun: true}), func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("code = ?", arg(0)) })
	for range 4 {
		if all, err := dry.Find(context.Background(), "de"); len(all) > 0 || err != nil {
			t.Errorf("in a dry run: %v, %v", all, err)
		}
	}
	// Outside of Prepare an Arg is an error, not a value.
	err := b.DB.Session(&gorm.Session{Logger: logger.Discard}).First(new(worldtest.ReadLanguage), "code = ?", preload.Arg(0)).Error
	if err == nil || !strings.Contains(err.Error(), "outside of Prepare") {
		t.Errorf("outside of Prepare: %v", err)
	}
}

// ownClause holds an Arg where nobody looks.
type ownClause struct{}

func (ownClause) Build(builder clause.Builder) {
	_, _ = builder.WriteString("code = ")
	builder.AddVar(builder, preload.Arg(0))
}

// TestPreparedManyArgs: more answers than are found by their args have their keys made.
func TestPreparedManyArgs(t *testing.T) {
	t.Parallel()
	b := readSQLite(t, preload.WithMaxEntries(3_000))
	ctx := context.Background()
	p := prepare[worldtest.ReadLanguage](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("? <> ? AND code = ?", arg(0), arg(1), arg(2))
	})
	for range 3 {
		for i := range 2_000 {
			code := []string{"de", "en", "fr"}[i%3]
			got, err := p.First(ctx, i, "x", code)
			if err != nil || got.Code != code {
				t.Fatalf("%d: %v, %v", i, got, err)
			}
		}
	}
	if s := b.Plugin.Stats(); s.Misses != 2_000 || s.Hits != 4_000 {
		t.Errorf("%d misses, %d hits", s.Misses, s.Hits)
	}
	worldtest.Must(t, b.DB.Model(&worldtest.ReadLanguage{}).Where("1 = 1").Update("name", "new").Error)
	for i := range 2_000 {
		if got, err := p.First(ctx, i, "x", "de"); err != nil || got.Name != "new" {
			t.Fatalf("%d: %v, %v", i, got, err)
		}
	}
}

// TestPreparedConcurrently: no reader sees a value older than one that a write had returned from,
// and nobody shares memory.
func TestPreparedConcurrently(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	ctx := context.Background()
	p := prepare[worldtest.ReadUser](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("name = ?", arg(0)) })
	var written atomic.Int64
	written.Store(30)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := written.Load()
				u, err := p.First(ctx, "ann")
				if err != nil || int64(u.Age) < least {
					t.Errorf("age %d, %v after %d was written", u.Age, err, least)
					return
				}
				*u.Email, u.Data[0], u.Tags[0] = "changed", 9, "changed"
			}
		})
	}
	for age := int64(31); age < 131; age++ {
		if err := b.DB.Model(&worldtest.ReadUser{}).Where("name = ?", "ann").Update("age", age).Error; err != nil {
			t.Error(err)
			break
		}
		written.Store(age)
	}
	close(stop)
	wg.Wait()
	if u, err := p.First(ctx, "ann"); err != nil || *u.Email != "ann@x" || u.Data[0] != 0 || u.Tags[0] != "x" {
		t.Errorf("%v, %v", u, err)
	}
}
