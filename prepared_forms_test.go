package preload_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// TestPreparedCountIsGORMs: of groups and windows GORM returns how many rows there are.
func TestPreparedCountIsGORMs(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	samePrepared[worldtest.ReadUser](t, b, "groups", true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Model(&worldtest.ReadUser{}).Select("age").Where("age >= ?", arg(0)).Group("age")
	}, []any{0})
	samePrepared[worldtest.ReadUser](t, b, "a window", false, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Model(&worldtest.ReadUser{}).Select("count(*) OVER (PARTITION BY age)").Where("age >= ?", arg(0))
	}, []any{0})
}

// TestArgsOfASubqueryInASubquery: the handle of a subquery is shared by all calls.
func TestArgsOfASubqueryInASubquery(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	p := prepare[worldtest.ReadUser](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		most := b.Plain.Model(&worldtest.ReadLanguage{}).Select("code").Where("name = ?", arg(0))
		inner := b.Plain.Table("read_user_languages").Select("read_user_id").Where("read_language_code IN (?)", most)
		return tx.Where("id IN (?)", inner)
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got, err := p.Find(context.Background(), "French"); err != nil || len(got) != 1 {
					t.Error(len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

// TestAnArgThatGetsNoValueIsAnError: be it where no value can be put.
func TestAnArgThatGetsNoValueIsAnError(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	for name, inner := range map[string]func(v any) *gorm.DB{
		"a scope": func(v any) *gorm.DB {
			return b.Plain.Model(&worldtest.ReadCompany{}).Select("id").Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Where("name = ?", v) })
		},
		"raw": func(v any) *gorm.DB { return b.Plain.Raw("SELECT id FROM read_companies WHERE name = ?", v) },
		"tuples": func(v any) *gorm.DB {
			return b.Plain.Model(&worldtest.ReadCompany{}).Select("id").Where("(name, id) IN ?", [][]any{{v, 1}})
		},
		"fields": func(v any) *gorm.DB {
			return b.Plain.Model(&worldtest.ReadCompany{}).Select("id").Where("name = @Name", struct{ Name any }{v})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := preload.Prepare[worldtest.ReadUser](b.DB, func(tx *gorm.DB) *gorm.DB {
				return tx.Where("company_id IN (?) AND name <> ?", inner(preload.Arg(0)), preload.Arg(0))
			})
			if err != nil {
				return // it may say so
			}
			if got, err := p.Find(context.Background(), "acme"); err == nil && len(got) != 1 {
				t.Errorf("%d rows and no error; written out 1 row", len(got))
			}
		})
	}
}

type valueLevel uint8

// TestPreparedListsInMaps: a list that takes the place of an Arg is what it is written out.
func TestPreparedListsInMaps(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	for _, v := range []any{[]float64{30, 40}, []valueLevel{30, 40}, [2]int{30, 40}, &[]int{30, 40}, []int{30}} {
		samePrepared[worldtest.ReadUser](t, b, fmt.Sprintf("%T", v), true, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
			return tx.Where(map[string]any{"age": arg(0)}).Order("id")
		}, []any{v})
	}
}

// TestWithTxKeepsWhatTheHandleHad: conditions of the handle that was given to Prepare hold in a
// transaction, too.
func TestWithTxKeepsWhatTheHandleHad(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	p := prepare[worldtest.ReadUser](t, b.DB.Where("age = 40"), func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("name <> ?", arg(0)) })
	out, err := p.Find(context.Background(), "x")
	worldtest.Must(t, err)
	worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error {
		in, err := p.WithTx(tx).Find(context.Background(), "x")
		if len(in) != len(out) {
			t.Errorf("%d rows outside, %d in a transaction", len(out), len(in))
		}
		return err
	}))
}

// TestPreparedSeesBuildersOfLater: what an application renders differently is another query.
func TestPreparedSeesBuildersOfLater(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	p := prepare[worldtest.ReadUser](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("age >= ?", arg(0)) })
	for range 4 {
		worldtest.Must(t, second(p.Find(context.Background(), 0)))
	}
	b.DB.ClauseBuilders["WHERE"] = func(c clause.Clause, cb clause.Builder) { _, _ = cb.WriteString("WHERE age = 40") }
	var written []worldtest.ReadUser
	worldtest.Must(t, b.DB.Where("age >= ?", 0).Find(&written).Error)
	if got, _ := p.Find(context.Background(), 0); len(got) != len(written) {
		t.Errorf("written out %d rows, prepared %d", len(written), len(got))
	}
}

// TestPreparedRunsCallbacksAndScopesOnce: a call, also while a shortcut is looked for.
func TestPreparedRunsCallbacksAndScopesOnce(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	calls, scopes := 0, 0
	worldtest.Must(t, b.DB.Callback().Query().Before("gorm:query").Register("mine", func(tx *gorm.DB) { calls++ }))
	p := prepare[worldtest.ReadUser](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where("age >= ?", arg(0)).Scopes(func(tx *gorm.DB) *gorm.DB { scopes++; return tx })
	})
	for i := range 8 {
		calls, scopes = 0, 0
		worldtest.Must(t, second(p.Find(context.Background(), 0)))
		if calls != 1 || scopes != 1 {
			t.Errorf("call %d: the callback ran %d times, the scope %d", i+1, calls, scopes)
		}
	}
}

// TestPreparedNeverPanics: whatever it is given.
func TestPreparedNeverPanics(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	ok := func(tx *gorm.DB) *gorm.DB { return tx.Where("age = ?", preload.Arg(0)) }
	p := prepare[worldtest.ReadUser](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return ok(tx) })
	for name, do := range map[string]func(){
		"an empty DB from build": func() {
			_, _ = preload.Prepare[worldtest.ReadUser](b.DB, func(*gorm.DB) *gorm.DB { return &gorm.DB{} })
		},
		"WithTx of an empty DB": func() { _, _ = p.WithTx(&gorm.DB{Config: &gorm.Config{}}).First(context.Background(), 1) },
		"nil, First":            func() { _, _ = (*preload.Prepared[worldtest.ReadUser])(nil).First(context.Background(), 1) },
		"nil, WithTx":           func() { (*preload.Prepared[worldtest.ReadUser])(nil).WithTx(b.DB) },
		"nil from build, later": func() {
			n := 0
			p, err := preload.Prepare[worldtest.ReadUser](b.DB, func(tx *gorm.DB) *gorm.DB {
				if n++; n > 1 {
					return nil
				}
				return tx
			})
			worldtest.Must(t, err)
			tx := b.DB.Begin()
			defer tx.Rollback()
			_, _ = p.WithTx(tx).Find(context.Background())
		},
	} {
		func() {
			defer func() {
				if fault := recover(); fault != nil {
					t.Errorf("%s: %v", name, fault)
				}
			}()
			do()
		}()
	}
}

// TestWithTxTakesClauses: those of the transaction's handle hold, where the query has none of the
// kind.
func TestWithTxTakesClauses(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	p := prepare[worldtest.ReadUser](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("age >= ?", arg(0)).Order("id") })
	worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error {
		if users, err := p.WithTx(tx.Limit(1)).Find(context.Background(), 0); err != nil || len(users) != 1 {
			t.Errorf("%d users, %v, want the limit of the transaction to hold", len(users), err)
		}
		for name, own := range map[string]*gorm.DB{"conditions": tx.Where("id = 1"), "joins": tx.Joins("Company"), "columns": tx.Select("id")} {
			if _, err := p.WithTx(own).Find(context.Background(), 0); err == nil || !strings.Contains(err.Error(), "WithTx") {
				t.Errorf("%s: %v, want an error of WithTx", name, err)
			}
		}
		return nil
	}))
}

// TestWithTxRefusesWhatItWouldDrop: scopes may say whose rows are asked for.
func TestWithTxRefusesWhatItWouldDrop(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	p := prepare[worldtest.ReadUser](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("age >= ?", arg(0)) })
	worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error {
		for name, own := range map[string]*gorm.DB{
			"scopes":   tx.Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Where("id = 1") }),
			"distinct": tx.Distinct(),
			"mapping":  tx.MapColumns(map[string]string{"name": "code"}),
			"dry run":  tx.Session(&gorm.Session{DryRun: true}),
		} {
			if _, err := p.WithTx(own).Find(context.Background(), 0); err == nil || !strings.Contains(err.Error(), "WithTx") {
				t.Errorf("%s: %v, want an error of WithTx", name, err)
			}
		}
		return nil
	}))
}

// TestPreparedSeesTheOrderOfClauses: what an application builds no more is another query.
func TestPreparedSeesTheOrderOfClauses(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	p := prepare[worldtest.ReadUser](t, b.DB, func(tx *gorm.DB, arg func(int) any) *gorm.DB { return tx.Where("age >= ?", arg(0)) })
	for range 4 {
		worldtest.Must(t, second(p.Find(context.Background(), 40)))
	}
	b.DB.Callback().Query().Clauses = []string{"SELECT", "FROM"}
	var written []worldtest.ReadUser
	worldtest.Must(t, b.DB.Where("age >= ?", 40).Find(&written).Error)
	if got, _ := p.Find(context.Background(), 40); len(got) != len(written) {
		t.Errorf("written out %d rows, prepared %d", len(written), len(got))
	}
}

// TestPreparedBytesInAnEq: only a map of conditions takes a list apart.
func TestPreparedBytesInAnEq(t *testing.T) {
	t.Parallel()
	b := readSQLite(t)
	samePrepared[worldtest.ReadUser](t, b, "eq", false, func(tx *gorm.DB, arg func(int) any) *gorm.DB {
		return tx.Where(clause.Eq{Column: clause.Column{Name: "data"}, Value: arg(0)})
	}, []any{[]byte{0, 1, 255}})
}
