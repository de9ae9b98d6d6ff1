package template

import (
	"context"
	"reflect"
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
	// that counts as many questions: twice as many each time, up to triedFirsts << mostSlow.
	firstTime = 100 * time.Millisecond
	mostSlow  = 16
)

// trial judges whether it pays to ask when the first row may come in.
type trial struct {
	asked atomic.Int64 // how often that was done
	slow  atomic.Int64 // how often in a row it took too long
	hits  atomic.Int64 // of the tally, at that time
}

func (r *trial) pays(hits int64) bool {
	if r.asked.Load() >= triedFirsts+hits && hits < r.hits.Load() { // the counters were set to zero
		r.hits.Store(hits)
		r.asked.Store(0)
	}
	return r.asked.Load() < triedFirsts+hits
}

// tookLong notes that a question took too long.
func (r *trial) tookLong() { r.asked.Add(triedFirsts << min(r.slow.Add(1), mostSlow)) }

// AskFirst finds out when the first row may come into the answer of a load, or leave it, whose
// query gave moments for which that is asked, and was asked before: nothing is asked for one that
// may never be asked again. vars are its bind values, took is how long it took, and ask runs a
// statement as it was run.
//
// Both are asked under the lease of the load, so that it does not matter which is first: a write
// between them that can make a difference kills the answer. This one is second because only then it
// is known that the answer may be kept, and how long this one may take. The reader waits for it,
// because an answer does not change once it is in memory.
func (f *Load) AskFirst(ctx context.Context, vars []any, took time.Duration, ask func(*gorm.DB) (general bool)) {
	t := f.template
	if f.Moments.None() || f.Entry.Before < 1 || f.Entry.Guard.Dead() {
		return
	}
	text, bound := t.moment.question(f.Moments, vars)
	if text == "" {
		return
	}
	r := &t.trial
	r.asked.Add(1)
	r.hits.Store(t.Tally.Hits.Load())
	limited, cancel := context.WithTimeout(ctx, max(firstTime, 2*took))
	defer cancel()
	var all saids
	tx := t.set.Session(limited, t.Prepared)
	stmt := tx.Statement
	if tx.AddError(stmt.Parse(&all)) != nil {
		return
	}
	stmt.SQL.WriteString(text)
	stmt.Vars = bound
	stmt.Dest, stmt.ReflectValue = &all, reflect.ValueOf(&all).Elem()
	switch general := ask(tx); {
	case limited.Err() != nil && ctx.Err() == nil:
		r.tookLong()
	case general && tx.Error == nil:
		r.slow.Store(0)
		f.saids = &all
	}
}

// question returns the statement that asks for the first moments of the places of which a query
// gives one, "" where there is nothing to ask, and its bind values. vars are those of the query.
func (m *moment) question(given Moments, vars []any) (text string, bound []any) {
	if q := m.falling.asks; q != nil && !given.Falling.IsZero() && q.vars <= len(vars) {
		text, bound = q.sql("falling"), q.bound(given.Falling, vars)
	}
	q := m.rising.asks
	if q == nil || given.Rising.IsZero() {
		return text, bound
	}
	bound = append(bound, q.bound(given.Rising, vars)...)
	if text == "" {
		return q.sql("rising"), bound
	}
	return "SELECT * FROM (" + text + ") AS falling, (" + q.sql("rising") + ") AS rising", bound
}
