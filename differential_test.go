package preload_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"pgregory.net/rapid"
)

const (
	diffHits   = 40 // percent of the reads that must have been answered from memory, at least
	diffInside = 10 // one of so many of those in transactions, more at least
	diffReads  = 8  // that are asked again after each step
)

// diffCounts are what the cases of a test did.
type diffCounts struct{ cases, steps, writes, failed, reads, served, inside, insideServed int }

// diffRun is one case: a database, a plugin, and what was done so far.
type diffRun struct {
	*worldtest.Draw
	*worldtest.World
	counts  *diffCounts
	asked   []worldtest.Named
	history []string
	// tx is the open transaction; broken says that PostgreSQL refuses all but its end, or that of a
	// savepoint, after an error.
	tx     *gorm.DB
	broken bool
	// opts are what transactions are begun with.
	opts []*sql.TxOptions
}

func (x *diffRun) note(format string, args ...any) {
	x.history = append(x.history, fmt.Sprintf(format, args...))
}

// fail shows what happened before it.
func (x *diffRun) fail(format string, args ...any) {
	x.Fatalf("%s\nafter\n%s", fmt.Sprintf(format, args...), strings.Join(x.history, "\n"))
}

// fresh is a handle for one statement on the open transaction, or else outside of any.
func (x *diffRun) fresh() *gorm.DB {
	if x.tx != nil {
		return x.tx.Session(&gorm.Session{NewDB: true})
	}
	return x.World.DB.Session(&gorm.Session{})
}

// diffSame compares answers. Where a row could not be scanned GORM leaves in it what was in memory
// that it uses again; where it has a row of nothing the plugin says why.
func diffSame(got, want worldtest.Answer) bool {
	if want.Err != nil && want.Err.Error() != gorm.ErrRecordNotFound.Error() {
		return got.Err != nil && (got.Err.Error() == want.Err.Error() || errors.Is(want.Err, worldtest.ErrNoRow))
	}
	return want.Differs(got) == ""
}

// compare asks through the plugin, outside of any transaction, and as plain GORM does.
func (x *diffRun) compare(q worldtest.Named) {
	before := x.Probe.Queries()
	got := q.Ask(x.World.DB)
	x.counts.reads++
	if x.Probe.Queries() == before {
		x.counts.served++
	}
	if want := q.Ask(x.Plain); !diffSame(got, want) {
		x.fail("%s\n got %v\nwant %v", q.Name, got, want)
	}
}

// settle compares all that is asked, and one query more.
func (x *diffRun) settle() {
	if i := x.Below("asked anew", 3*diffReads); len(x.asked) < diffReads {
		x.asked = append(x.asked, x.Read())
	} else if i < diffReads {
		x.asked[i] = x.Read()
	}
	for _, q := range x.asked {
		x.compare(q)
	}
	if x.tx != nil && !x.broken {
		q := x.asked[x.Below("asked in the transaction", len(x.asked))]
		before := x.Probe.Queries()
		got := q.Ask(x.fresh())
		x.counts.inside++
		if x.Probe.Queries() == before {
			x.counts.insideServed++
		}
		if got.Err != nil && got.Err.Error() != gorm.ErrRecordNotFound.Error() {
			x.broken = x.Dialect == "postgres"
			return
		}
		if want := q.Ask(x.fresh().Clauses(preload.Bypass).Session(&gorm.Session{})); !diffSame(got, want) {
			x.fail("in the transaction: %s\n got %v\nwant %v", q.Name, got, want)
		}
	}
}

// racing does something while others read.
func (x *diffRun) racing(do func() error) error {
	if !x.Chance("others read meanwhile", 15) {
		return do()
	}
	x.note("(others read meanwhile)")
	var wg sync.WaitGroup
	for range 2 {
		asked := x.asked
		wg.Go(func() {
			for _, q := range asked {
				q.Ask(x.World.DB)
			}
		})
	}
	err := do()
	wg.Wait()
	return err
}

// write does one write. It returns the error, for those who let it end their transaction.
func (x *diffRun) write() error {
	w := x.Draw.Write()
	if x.broken {
		return nil
	}
	db, inside := x.fresh(), ""
	if x.tx != nil {
		inside = "in the transaction: "
	}
	err := x.racing(func() error { return w.Do(db) })
	x.note("%s%s: %v", inside, w.Name, err)
	x.counts.writes++
	if err != nil {
		x.counts.failed++
		x.broken = x.tx != nil && x.Dialect == "postgres"
	}
	return err
}

// step is one thing done, and everything asked after it. Depth says in how many transaction
// functions it happens.
func (x *diffRun) step(depth int) {
	x.counts.steps++
	switch kind := x.Below("step", 24); kind {
	case 1, 2:
		x.end(kind == 1, depth)
	case 3:
		x.begin(depth)
	case 4, 5:
		x.savepoint(kind == 4)
	case 6, 7:
		x.function(depth)
	case 8:
		x.World.PassHoldOut()
		x.note("later")
	default:
		_ = x.write()
	}
	x.settle()
}

func (x *diffRun) begin(depth int) {
	if depth > 0 || x.tx != nil {
		return
	}
	x.tx, x.broken = x.World.DB.Begin(x.opts...), false
	x.note("begin: %v", x.tx.Error)
}

// end ends the transaction that begin began.
func (x *diffRun) end(commit bool, depth int) {
	if depth > 0 || x.tx == nil {
		return
	}
	tx := x.fresh()
	if commit {
		x.note("commit: %v", x.racing(func() error { return tx.Commit().Error }))
	} else {
		x.note("rollback: %v", x.racing(func() error { return tx.Rollback().Error }))
	}
	x.tx, x.broken = nil, false
}

// savepoint sets one, or rolls back to one.
func (x *diffRun) savepoint(set bool) {
	name, raw := worldtest.OneOf(x.Draw, "savepoint", "a", "b", "A"), x.Chance("raw savepoint", 40)
	if x.tx == nil || set && x.broken {
		return
	}
	tx := x.fresh()
	var err error
	switch {
	case set && raw:
		err = tx.Exec("SAVEPOINT " + name).Error
	case set:
		err = tx.SavePoint(name).Error
	case raw:
		err = tx.Exec("ROLLBACK TO SAVEPOINT " + name).Error
	default:
		err = tx.RollbackTo(name).Error
	}
	x.note("savepoint %s, set %v, raw %v: %v", name, set, raw, err)
	x.broken = err != nil && x.Dialect == "postgres"
}

var errDiffPanic = errors.New("the function panics")

// function runs a function in a transaction, or in one nested in the open one; it commits, fails or
// panics.
func (x *diffRun) function(depth int) {
	if depth > 1 || x.broken {
		return
	}
	outer := x.tx
	x.note("function {")
	err := func() (err error) {
		defer func() {
			if fault := recover(); fault == any(errDiffPanic) {
				err = errDiffPanic
			} else if fault != nil {
				panic(fault)
			}
		}()
		return x.fresh().Transaction(func(tx *gorm.DB) error {
			x.tx = tx
			for range x.Below("steps in the function", 4) {
				x.step(depth + 1)
			}
			switch x.Below("end of the function", 6) {
			case 4:
				return errTx
			case 5:
				panic(errDiffPanic)
			}
			return nil
		}, x.opts...)
	}()
	x.note("} function: %v", err)
	if outer == nil || err != nil {
		// It ended, or went back to its savepoint.
		x.broken = false
	}
	x.tx = outer
}

// diffCase draws and plays one case.
func diffCase(rt *rapid.T, w *worldtest.World, tables []*worldtest.Table, counts *diffCounts, opts ...*sql.TxOptions) {
	counts.cases++
	x := &diffRun{Draw: worldtest.NewDraw(rt, w.Dialect, tables), World: w, counts: counts, opts: opts}
	defer func() {
		if x.tx != nil {
			x.fresh().Rollback()
		}
	}()
	for range diffReads - 1 {
		x.asked = append(x.asked, x.Read())
	}
	x.settle()
	for range 1 + x.Below("steps", 30) {
		x.step(0)
	}
	x.end(x.Chance("commit at last", 50), 0)
	x.settle()
	x.settle()
}

// Whatever is read and written, in whatever form and order, in transactions, savepoints and
// rollbacks: every answer is plain GORM's, from the moment on at which the write returned.
func TestDifferential(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) { differential(t, d, false) })
}

// The same with transactions whose reads memory may answer.
func TestDifferentialInTransactions(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) { differential(t, d, true) })
}

func differential(t *testing.T, d *dbtest.Database, inside bool) {
	options := []preload.Option{preload.WithTTL(24 * time.Hour), preload.WithNegativeTTL(24 * time.Hour), preload.WithRaw()}
	var opts []*sql.TxOptions
	if inside {
		options = append(options, preload.WithTransactionReads())
		if d.Dialect == "mysql" {
			opts = append(opts, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		}
	}
	// The handles are alike in all that decides how values are read.
	var plain [2]*gorm.DB
	for i := range plain {
		plain[i] = d.Plain(t, worldtest.DiffConfig(i == 1, false))
	}
	worldtest.MigrateDiffs(t, d, plain[0])
	tables := worldtest.DiffTables(t, plain[0])
	deadline := time.Now().Add(worldtest.Budget(t, 3*time.Second))
	counts, failing := &diffCounts{}, false
	property := func(rt *rapid.T) {
		// A case that fails is played again and again, until it is as short as it gets.
		if time.Now().After(deadline) && !failing && counts.cases > 0 {
			return
		}
		defer func() { failing = failing || rt.Failed() }()
		prepare := rapid.IntRange(0, 1).Draw(rt, "prepare")
		skip := rapid.Bool().Draw(rt, "skip default transaction")
		worldtest.SeedDiffs(t, d, plain[0])
		w := writeOpen(t, d, plain[prepare], worldtest.DiffConfig(prepare == 1, skip), options...)
		if inside && d.Dialect == "sqlite" {
			w.DB = w.DB.WithContext(preload.ContextWithTransactionReads(context.Background()))
		}
		pool, err := w.DB.DB()
		if err != nil {
			rt.Fatal(err)
		}
		defer pool.Close()
		defer w.Plugin.Close()
		diffCase(rt, w, tables, counts, opts...)
	}
	for time.Now().Before(deadline) {
		rapid.Check(t, property)
	}
	served := 100 * counts.served / max(counts.reads, 1)
	t.Logf("%d cases, %d steps, %d writes of which %d failed, %d reads of which %d (%d %%) from memory",
		counts.cases, counts.steps, counts.writes, counts.failed, counts.reads, counts.served, served)
	if served < diffHits {
		t.Errorf("%d %% of the reads were answered from memory, want at least %d %%", served, diffHits)
	}
	t.Logf("%d reads in transactions, of which %d from memory", counts.inside, counts.insideServed)
	if most := counts.inside / diffInside; counts.inside >= 50 && inside != (counts.insideServed > most) {
		t.Errorf("%d of %d reads in transactions were answered from memory, want more than %d: %t", counts.insideServed, counts.inside, most, inside)
	}
}
