package preload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/own"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
	"github.com/gorm-preload/preload/internal/verify"
	"gorm.io/gorm"
)

// mismatchEvent is what the log says of an answer in memory that was not that of the database.
const mismatchEvent = "preload: memory held another answer than the database, so that it is dropped; who writes past the plugin?"

// shadow has the database answer a query whose answer is in memory, and compares the two.
func (r *reader) shadow(db *gorm.DB, q *read, next func(*gorm.DB)) {
	if q.view != nil { // which are compared with nothing
		r.unshadowed(db, q, next)
		return
	}
	f := q.template.NewLoad(cache.NewEntry(q.hit.Key, q.template.Tally)) // nothing is kept of it
	general, answer := r.host.source.AskFor(f, db, q.filled, next)
	r.log.Ran(db.Statement.ConnPool, db.Error)
	r.config.guard("comparing an answer", func() {
		r.compared(db.Statement.Context, q.template, q.hit, loading.Check{Answer: answer, Recording: f.Recorded, General: general}, db.Error)
	})
	r.accesses.hit(db.Statement.Context, q.hit, q.template.Tally, q.now)
}

// unshadowed has the database answer a query, and notes that this was not compared with the answer
// in memory.
func (r *reader) unshadowed(db *gorm.DB, q *read, next func(*gorm.DB)) {
	q.template.Tally.Seen.Compared(seen.Skipped)
	r.ask(db, next)
	r.accesses.hit(db.Statement.Context, q.hit, q.template.Tally, q.now)
}

// compared compares an answer that was in memory with the one that the database gave. A write that
// the plugin has seen until now, and that could have changed the answer, has killed the entry: then
// the two may differ. One that the plugin sees later is not visible in the database yet.
func (r *reader) compared(ctx context.Context, t *template.Template, e *cache.Entry, c loading.Check, err error) {
	verdict, columns := seen.Skipped, []string(nil)
	switch {
	case err != nil && !errors.Is(err, gorm.ErrRecordNotFound):
		verdict = seen.Failed
	case !c.General:
	case t.RecordsRows():
		verdict, columns = verify.CompareRows(t, e, c.Recording)
	case c.Answer != nil && template.Succeeded(c.Answer):
		verdict, columns = verify.Compare(t, e, c.Answer)
	}
	r.judge(ctx, t.Table, template.Label(t.Prefix), e, verdict, columns)
}

// judge counts what came of a comparison, unless a write has killed the entry meanwhile.
func (r *reader) judge(ctx context.Context, table, label string, e *cache.Entry, verdict seen.Verdict, columns []string) {
	if e.Guard.Dead() {
		verdict = seen.Skipped
	}
	if e.Tally.Seen.Compared(verdict); verdict == seen.Mismatch {
		r.mismatch(ctx, table, label, e, columns)
	}
}

// mismatch drops an answer that was wrong, tells of it, and has the model not be served any more if
// that is how WithVerify has it.
func (r *reader) mismatch(ctx context.Context, table, label string, e *cache.Entry, columns []string) {
	r.cache.Refute(e)
	age := e.Age(r.config.now())
	r.config.report(slog.LevelError, mismatchEvent, label, "table", table, "age", age, "key", toldKey(e.Key), "columns", strings.Join(columns, ", "))
	if r.config.observe != nil {
		r.config.tell(ctx, Event{Kind: EventMismatch, Table: table, Shape: label, Age: age})
	}
	if told := r.config.verify.OnMismatch; told != nil {
		r.config.guard("the function of Verify.OnMismatch", func() {
			told(MismatchInfo{Table: table, Shape: label, Age: age, Columns: columns})
		})
	}
	most, n := r.config.verify.DisableAfter, int64(0)
	if most <= 0 || table == own.Table {
		return
	}
	r.cache.Counts.EachTally(func(of string, tally *cache.Tally) {
		if of == table {
			var f seen.Figures
			tally.Seen.Into(&f)
			n += f.Verdicts[seen.Mismatch]
		}
	})
	if n >= int64(most) && r.keys.templates.Withdraw(table) {
		r.config.report(slog.LevelError, "preload: answers of a model were wrong so often that it is not served any more, until SetMode", label, "table", table, "mismatches", n)
	}
}

// verify has the database asked for an answer that was just read from memory, if it is one of those
// that WithVerify compares and there is room for that now.
func (w *worker) verify(e *cache.Entry) {
	if w.p.away.Load() || !w.p.config.sampler.Takes() {
		return
	}
	w.p.config.guard("verifying an answer", func() {
		j := runner.Job{Keys: []string{"verify " + e.Key}, Label: template.Label(w.p.own.PublicKey(e)), Dropped: func() {}, Done: func(runner.Ending) {}}
		if e.Tally == w.p.cache.Counts.Tally(own.Table) {
			j.Own = true
			if j.Begin = w.verifyOwn(e); j.Begin == nil {
				return
			}
		} else {
			load, _ := w.p.loaders.Of(e.Key)
			t, check, ok := w.p.source.Check(e.Key, load)
			if !ok {
				return
			}
			j.Slow = t.Pace.Slow()
			j.Begin = func(ctx context.Context) func() error {
				return func() error {
					c := check(ctx)
					w.p.reader.compared(ctx, t, e, c, c.Err())
					return nil
				}
			}
		}
		if w.TryRun(j) == runner.Later {
			select {
			case w.checks <- j:
			default: // one waits already
			}
		}
	})
}

// verifyOwn returns what begins to compare own data with what its loader gives, which asks the
// database alone; nil where it has no loader.
func (w *worker) verifyOwn(e *cache.Entry) func(context.Context) func() error {
	label := template.Label(w.p.own.PublicKey(e))
	load, ok := w.p.loaders.Of(w.p.own.PublicKey(e))
	if !ok {
		return nil
	}
	return func(ctx context.Context) func() error {
		check := &own.Check{}
		run := load(check.In(ContextWithBypass(ctx)))
		if run == nil {
			return nil
		}
		return func() error {
			_, err := run()
			verdict, columns := seen.Failed, []string(nil)
			if check.Loaded {
				verdict, columns = verify.CompareValues(own.ValueOf(e), check.Value)
			}
			w.p.reader.judge(ctx, own.Table, label, e, verdict, columns)
			return err
		}
	}
}

// Verify says how answers in memory are compared with those of the database.
type Verify struct {
	// Rate is the share of the hits that are compared, from 0 to 1.
	Rate float64
	// MaxPerSecond bounds the comparisons, each of which is a query. 0 stands for 5.
	MaxPerSecond float64
	// OnMismatch is called with each answer that was wrong, nil for nobody. It must be safe for
	// concurrent use and must not use the plugin or its *gorm.DB.
	OnMismatch func(MismatchInfo)
	// DisableAfter is after how many wrong answers of a model its queries are not served from
	// memory any more, until SetMode or Clear. They are counted since New or the last Clear. 0
	// stands for never.
	DisableAfter int
}

// MismatchInfo tells of an answer in memory that was not that of the database. It holds no value.
type MismatchInfo struct {
	Table   string
	Shape   string        // ShapeStats.ID
	Age     time.Duration // since the answer was loaded
	Columns []string      // in which rows differ; "rows" where their number does, "value" where there are no columns
}

// WithVerify has a share of the hits asked of the database in the background, and compared. An
// answer that is wrong is dropped, counted in Stats.Verify, and told in the log, once a minute for
// a shape of query and without values. It needs the worker. In ModeShadow all reads are compared
// anyway, and of Verify only OnMismatch and DisableAfter are heeded.
//
// An answer is wrong, too, where another process has written: then the TTL is what bounds it.
func WithVerify(v Verify) Option {
	return func(c *config) {
		c.require(v.Rate >= 0 && v.Rate <= 1, "WithVerify: Rate", v.Rate, "a share from 0 to 1")
		c.require(v.MaxPerSecond >= 0, "WithVerify: MaxPerSecond", v.MaxPerSecond, "a number that is not negative")
		c.require(v.DisableAfter >= 0, "WithVerify: DisableAfter", v.DisableAfter, "a number that is not negative")
		c.verify = v
		if v.Rate > 0 {
			c.sampler = verify.NewSampler(v.Rate, cmp.Or(v.MaxPerSecond, 5))
		}
	}
}

// checkVerify notes where WithVerify and WithoutWorker are both given.
func (c *config) checkVerify() {
	if c.sampler != nil && !c.worker {
		c.errs = append(c.errs, fmt.Errorf("preload: WithVerify(Rate: %v) with WithoutWorker: want the worker, which makes the comparisons, or ModeShadow", c.verify.Rate))
	}
}
