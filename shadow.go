package preload

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/recognition"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/verify"
	"gorm.io/gorm"
)

// shadow has the database answer a query whose answer is in memory, and compares the two.
func (r *reader) shadow(db *gorm.DB, q *recognition.Query, next func(*gorm.DB)) {
	if q.View != nil { // which are compared with nothing
		r.unshadowed(db, q, next)
		return
	}
	f := q.Template.NewLoad(cache.NewEntry(q.Hit.Key, q.Template.Tally)) // nothing is kept of it
	general, answer := r.host.source.AskFor(f, db, q.Filled, next)
	r.log.Ran(db.Statement.ConnPool, db.Error)
	r.config.guard("comparing an answer", func() {
		r.verifier.Compared(db.Statement.Context, q.Template, q.Hit, loading.Check{Answer: answer, Recording: f.Recorded, General: general, Err: db.Error})
	})
	r.accesses.hit(db.Statement.Context, q.Hit, q.Template.Tally, q.Now)
}

// unshadowed has the database answer a query, and notes that this was not compared with the answer
// in memory.
func (r *reader) unshadowed(db *gorm.DB, q *recognition.Query, next func(*gorm.DB)) {
	q.Template.Tally.Seen.Compared(seen.Skipped)
	r.ask(db, next)
	r.accesses.hit(db.Statement.Context, q.Hit, q.Template.Tally, q.Now)
}

// verifierOf returns what compares answers, and tells of those that were wrong.
func (p *Plugin) verifierOf(c *config) *verify.Verifier {
	return &verify.Verifier{
		Cache: p.cache, Templates: p.templates, Now: c.now, Report: c.report, DisableAfter: c.verify.DisableAfter,
		Writes: &p.stats.writes,
		Told: func(ctx context.Context, m verify.Mismatch) {
			c.tell(ctx, Event{Kind: EventMismatch, Table: m.Table, Shape: m.Label, Age: m.Age})
			if told := c.verify.OnMismatch; told != nil {
				c.guard("the function of Verify.OnMismatch", func() {
					told(MismatchInfo{Table: m.Table, Shape: m.Label, Age: m.Age, Columns: m.Columns, Writes: writesOf(m.Writes, c.now())})
				})
			}
		},
	}
}

// writesOf returns writes as they are documented.
func writesOf(all []seen.Written, now time.Time) (writes []SeenWrite) {
	for _, one := range all {
		writes = append(writes, SeenWrite{Table: one.Table, Kind: one.Kind, Columns: slices.Clone(one.Columns), Ago: now.Sub(one.Last), Elsewhere: one.Elsewhere})
	}
	return writes
}

// wrote notes a write that the plugin sees. Of what tags name nothing is noted: no
// statement writes it.
func (p *Plugin) wrote(changes []coherence.Change, elsewhere bool) {
	now := p.config.now()
	for _, c := range changes {
		if coherence.Told(c.Table) != c.Table {
			continue
		}
		one := seen.Write{Table: c.Table, Kind: c.Kinds.String(), Elsewhere: elsewhere}
		if c.Kinds == coherence.Update && !c.Columns.All {
			one.Columns = c.Columns.Names
		}
		p.stats.writes.Note(one, now)
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
	// Writes are those of the tables that the answer reads, and those that may have changed
	// anything, which the plugin has seen since the answer was loaded, and by which it could not
	// have changed, as far as the plugin knows: each kind once, the last one first. If there is
	// none, somebody wrote past the plugin.
	Writes []SeenWrite
}

// SeenWrite is a kind of write that the plugin has seen.
type SeenWrite struct {
	Table     string        // "" for one that may have changed anything
	Kind      string        // "insert", "update", "delete", "write" where that is not known, "other writes" beyond 8 kinds of a table or 1,000 tables
	Columns   []string      // that an update set, 16 at most and "..."; nil where they are not known
	Ago       time.Duration // since the last one
	Elsewhere bool          // another process made it
}

// WithVerify has a share of the hits asked of the database in the background, and compared. An
// answer that is wrong is dropped, counted in Stats.Verify, and told in the log, once a minute for
// a shape of query and without values. It needs the worker. In ModeShadow all reads are compared
// anyway, and of Verify only OnMismatch and DisableAfter are heeded.
//
// Of the hits that are chosen those are compared for which there is room in the background: while
// the database is busy that is few of them, and the others count as Stats.Verify.Skipped.
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
