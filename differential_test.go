package preload_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"pgregory.net/rapid"
)

const (
	diffHits  = 40 // percent of the reads that must have been answered from memory, at least
	diffReads = 8  // that are asked again after each step
)

// diffCounts are what the cases of a test did.
type diffCounts struct{ cases, steps, writes, failed, reads, served int }

// diffRun is one case: a database, a plugin, and what was done so far.
type diffRun struct {
	*diffDraw
	*writeWorld
	counts  *diffCounts
	asked   []writeQuery
	history []string
	// tx is the open transaction; broken says that PostgreSQL refuses all but its end, or that of a
	// savepoint, after an error.
	tx     *gorm.DB
	broken bool
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
	return x.writeWorld.db.Session(&gorm.Session{})
}

// diffSame compares answers. Where a row could not be scanned GORM leaves in it what was in memory
// that it uses again.
func diffSame(got, want writeAnswer) bool {
	if want.Error != "" && want.Error != gorm.ErrRecordNotFound.Error() {
		return got.Error == want.Error
	}
	return reflect.DeepEqual(got, want)
}

// compare asks through the plugin, outside of any transaction, and as plain GORM does.
func (x *diffRun) compare(q writeQuery) {
	before := x.d.Probe.Queries()
	got := q.ask(x.writeWorld.db)
	x.counts.reads++
	if x.d.Probe.Queries() == before {
		x.counts.served++
	}
	if want := q.ask(x.plain); !diffSame(got, want) {
		x.fail("%s\n got %v\nwant %v", q.name, got, want)
	}
}

// settle compares all that is asked, and one query more.
func (x *diffRun) settle() {
	if i := x.below("asked anew", 3*diffReads); len(x.asked) < diffReads {
		x.asked = append(x.asked, x.query())
	} else if i < diffReads {
		x.asked[i] = x.query()
	}
	for _, q := range x.asked {
		x.compare(q)
	}
	if x.tx != nil && !x.broken {
		q := x.asked[x.below("asked in the transaction", len(x.asked))]
		got := q.ask(x.fresh())
		if got.Error != "" && got.Error != gorm.ErrRecordNotFound.Error() {
			x.broken = x.d.Dialect == "postgres"
			return
		}
		if want := q.ask(x.fresh().Clauses(preload.Bypass).Session(&gorm.Session{})); !diffSame(got, want) {
			x.fail("in the transaction: %s\n got %v\nwant %v", q.name, got, want)
		}
	}
}

// racing does something while others read.
func (x *diffRun) racing(do func() error) error {
	if !x.chance("others read meanwhile", 15) {
		return do()
	}
	x.note("(others read meanwhile)")
	var wg sync.WaitGroup
	for range 2 {
		asked := x.asked
		wg.Go(func() {
			for _, q := range asked {
				q.ask(x.writeWorld.db)
			}
		})
	}
	err := do()
	wg.Wait()
	return err
}

// write does one write. It returns the error, for those who let it end their transaction.
func (x *diffRun) write() error {
	w := x.diffDraw.write()
	if x.broken {
		return nil
	}
	db, inside := x.fresh(), ""
	if x.tx != nil {
		inside = "in the transaction: "
	}
	err := x.racing(func() error { return w.do(db) })
	x.note("%s%s: %v", inside, w.name, err)
	x.counts.writes++
	if err != nil {
		x.counts.failed++
		x.broken = x.tx != nil && x.d.Dialect == "postgres"
	}
	return err
}

// step is one thing done, and everything asked after it. Depth says in how many transaction
// functions it happens.
func (x *diffRun) step(depth int) {
	x.counts.steps++
	switch kind := x.below("step", 24); kind {
	case 1, 2:
		x.end(kind == 1, depth)
	case 3:
		x.begin(depth)
	case 4, 5:
		x.savepoint(kind == 4)
	case 6, 7:
		x.function(depth)
	case 8:
		held := 2 * writeHoldOut
		if x.d.Dialect != "sqlite" {
			held = 2 * time.Minute // a server goes on with statements whose client is gone
		}
		x.clock.Advance(held)
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
	x.tx, x.broken = x.writeWorld.db.Begin(), false
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
	name, raw := diffOne(x.diffDraw, "savepoint", "a", "b", "A"), x.chance("raw savepoint", 40)
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
	x.broken = err != nil && x.d.Dialect == "postgres"
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
			for range x.below("steps in the function", 4) {
				x.step(depth + 1)
			}
			switch x.below("end of the function", 6) {
			case 4:
				return errTx
			case 5:
				panic(errDiffPanic)
			}
			return nil
		})
	}()
	x.note("} function: %v", err)
	if outer == nil || err != nil {
		// It ended, or went back to its savepoint.
		x.broken = false
	}
	x.tx = outer
}

// diffCase draws and plays one case.
func diffCase(rt *rapid.T, w *writeWorld, tables []*diffTable, counts *diffCounts) {
	counts.cases++
	x := &diffRun{diffDraw: &diffDraw{T: rt, dialect: w.d.Dialect, tables: tables}, writeWorld: w, counts: counts}
	defer func() {
		if x.tx != nil {
			x.fresh().Rollback()
		}
	}()
	for range diffReads - 1 {
		x.asked = append(x.asked, x.query())
	}
	x.settle()
	for range 1 + x.below("steps", 30) {
		x.step(0)
	}
	x.end(x.chance("commit at last", 50), 0)
	x.settle()
	x.settle()
}

// Whatever is read and written, in whatever form and order, in transactions, savepoints and
// rollbacks: every answer is plain GORM's, from the moment on at which the write returned.
func TestDifferential(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		// The handles are alike in all that decides how values are read.
		var plain [2]*gorm.DB
		for i := range plain {
			plain[i] = d.Plain(t, diffConfig(i == 1, false))
		}
		diffMigrate(t, d, plain[0])
		tables := diffDrawn(t, plain[0])
		deadline := time.Now().Add(writeLong(t, 3*time.Second))
		counts, failing := &diffCounts{}, false
		property := func(rt *rapid.T) {
			// A case that fails is played again and again, until it is as short as it gets.
			if time.Now().After(deadline) && !failing && counts.cases > 0 {
				return
			}
			defer func() { failing = failing || rt.Failed() }()
			prepare := rapid.IntRange(0, 1).Draw(rt, "prepare")
			skip := rapid.Bool().Draw(rt, "skip default transaction")
			diffSeed(t, d, plain[0])
			w := writeOpen(t, d, plain[prepare], diffConfig(prepare == 1, skip), preload.WithTTL(24*time.Hour), preload.WithNegativeTTL(24*time.Hour))
			pool, err := w.db.DB()
			if err != nil {
				rt.Fatal(err)
			}
			defer pool.Close()
			defer w.p.Close()
			diffCase(rt, w, tables, counts)
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
	})
}
