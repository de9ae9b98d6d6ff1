package template

import (
	"context"
	"database/sql"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
)

const (
	// For so many more answers than were read from memory the database is asked when the first row
	// may come in. Where these answers do not serve later moments, because rows come in or writers
	// write all the time, it is not asked for more.
	triedFirsts = 16
	// The database has this long to say when the first row may come in, and at least twice as long
	// as the query of the answer took. Where it takes longer, as where the column has no index,
	// queries of the shape do not ask again.
	firstTime = 100 * time.Millisecond
)

// trial judges whether it pays to ask when the first row may come in.
type trial struct {
	asked atomic.Int64 // how often that was done
	slow  atomic.Bool  // it took too long once
	hits  atomic.Int64 // of the tally, at that time
}

func (r *trial) pays(hits int64) bool {
	if r.asked.Load() >= triedFirsts+hits && hits < r.hits.Load() { // the counters were set to zero
		r.hits.Store(hits)
		r.asked.Store(0)
	}
	return !r.slow.Load() && r.asked.Load() < triedFirsts+hits
}

// AskFirst finds out when the first row may come into the answer of a load whose query gave a
// moment with which it gains rows, and was asked before: nothing is asked for one that may never be
// asked again. took is how long the query of the answer took, and ask runs a statement as that was
// run.
//
// Both are asked under the lease of the load, so that it does not matter which is first: a write
// between them that can make a difference kills the answer. This one is second because only then it
// is known that the answer may be kept, and how long this one may take. The reader waits for it,
// because an answer does not change once it is in memory.
func (f *Load) AskFirst(ctx context.Context, took time.Duration, ask func(*gorm.DB) (general bool)) {
	t := f.template
	if f.Moments.Rising.IsZero() || f.Entry.Before < 1 || f.Entry.Guard.Dead() {
		return
	}
	r := &t.trial
	r.asked.Add(1)
	r.hits.Store(t.Tally.Hits.Load())
	limited, cancel := context.WithTimeout(ctx, max(firstTime, 2*took))
	defer cancel()
	var first sql.NullTime
	tx := t.set.Session(limited, t.Prepared)
	tx.Statement.SQL.WriteString(t.moment.first)
	tx.Statement.Vars = []any{f.Moments.Rising}
	tx.Statement.Dest = &first
	switch general := ask(tx); {
	case limited.Err() != nil && ctx.Err() == nil:
		r.slow.Store(true)
	case general && tx.Error == nil:
		f.first = &first
	}
}
