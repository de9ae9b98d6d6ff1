package preload

import (
	"cmp"
	"context"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/recognition"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// WithTransactionReads has reads inside of transactions answered from memory, too, where the
// isolation is READ COMMITTED, so that each statement sees what is committed by then: PostgreSQL's
// default, and MySQL's where it is set. The server is asked for its default by db.Use;
// sql.TxOptions and SET TRANSACTION are heeded. Once a statement has set the isolation for
// transactions to come, only those count that say it themselves, by sql.TxOptions.
//
// The database answers a read in which something that the transaction wrote could show
// (ReasonOwnWrites), and all reads (ReasonTransaction) of one in which a statement has failed, that
// took a lock (FOR UPDATE, LOCK TABLE, an advisory lock), that has a setting of its own (SET LOCAL,
// set_config) unless there is WithPartition, whose rows the application is reading, or that was not
// begun through the *gorm.DB; with Connector the first statement of each transaction as well. What
// it answers is kept while the transaction has written nothing. In other isolations,
// and with SQLite, each read goes to the database, unless ContextWithTransactionReads says
// otherwise. Without this option all reads in transactions go to the database.
func WithTransactionReads() Option {
	return func(c *config) { c.transactionReads = true }
}

// ContextWithTransactionReads says that each read in a transaction that runs with the context may
// be as of its own moment, whatever the isolation is: a snapshot is not missed. It is then answered
// from memory as WithTransactionReads has it, without which the context does nothing; what the
// database answers is kept at READ COMMITTED only. It is safe for concurrent use.
func ContextWithTransactionReads(ctx context.Context) context.Context {
	return mode.WithOwnMoments(orBackground(ctx))
}

// within answers a query in a transaction whose answer is not in memory. It neither waits for the
// load of another reader nor has others wait: that one could need the connection which this
// transaction has.
func (r *reader) within(db *gorm.DB, q *recognition.Query, next func(*gorm.DB)) {
	began, cause, why := time.Now(), seen.Cause(CauseTransaction), r.miss(q)
	defer func() { r.lacked(db, q, cmp.Or(cause, q.Cause, why), time.Since(began)) }()
	vars, load := q.Template.VarsOf(db.Statement), (*template.Load)(nil)
	r.config.guard("leasing an answer", func() {
		if !q.View.Keeps || q.Filled || q.Template.RecordsRows() || !r.steady(q, vars) || !r.keeps(db.Statement.Context, q) {
			return
		}
		load = q.Template.NewLoad(cache.NewEntry(q.Key, q.Template.Tally))
		load.Tags = q.Tags
		if load.Moments = q.Moments; !load.Lease(vars) {
			r.cache.Land(&load.Flight)
			load = nil
		} else if q.Refresh {
			r.cache.Outdate(&load.Flight)
		}
	})
	if load == nil {
		r.ask(db, next)
		return
	}
	defer r.cache.Land(&load.Flight)
	general := q.View.Ask(db, next)
	r.log.Ran(db.Statement.ConnPool, db.Error)
	load.Ran(db.Statement.Context, db.Error)
	r.config.guard("keeping an answer", func() {
		load.Entry.Pattern = r.accesses.patterns.Touch(q.Key, q.Now)
		load.Entry.Before = load.Entry.Pattern.Count() - 1
		if general && r.steady(q, vars) && !q.MayAnswer(r.cache.Find(q.Key, r.config.now()), db.Statement) && load.Fill(db) && r.cache.Keep(&load.Flight) && q.Reloadable {
			r.remember(q, vars)
		}
		r.accesses.missed(db.Statement.Context, load.Entry, q.Now)
	})
	cause = seen.Cause(load.Unkept)
}
