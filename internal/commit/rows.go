package commit

import (
	"database/sql"
	"slices"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/failopen"
	"gorm.io/gorm"
)

// openRows are raw writes that were started through Rows or Row and whose rows are not closed yet,
// as some databases do the work as they are read, and writes in transactions that others began,
// which have not ended yet. Until then they count as under way.
type openRows struct {
	mu       sync.Mutex
	open     []*openWrite
	sweeping bool
	full     int // how many there may be before those are looked for that are closed
}

type openWrite struct {
	rows  *sql.Rows // nil if they cannot be seen: it is then open for as long as rows are thought to be read
	tx    *sql.Tx   // that it is open as long as, in place of rows
	since time.Time
	done  func(Ending)
}

const (
	// openLimit is how many hold-outs rows of a raw write are thought to be read.
	openLimit = 60
	// sweepPatience is how long a reader waits to learn whether rows are closed.
	sweepPatience = 10 * time.Millisecond
	// openAtOnce is how many rows may be open before those are looked for that are closed, although
	// no reader waits for it.
	openAtOnce = 64
)

// Watch takes the end of a raw write over if the statement has rows, to be read. It reports whether
// it did. What is held in a transaction needs none: its commit closes the rows first.
func (l *Log) Watch(stmt *gorm.Statement, done func(Ending)) (watched bool) {
	if _, held := unwrap(stmt.ConnPool).(*transaction); held {
		return false
	}
	failopen.Guard(l.Report, "watching the rows of a write", func() {
		w := &openWrite{since: l.Now(), done: done}
		switch dest := stmt.Dest.(type) {
		case *sql.Rows:
			if w.rows = dest; dest == nil {
				return
			}
		case *sql.Row:
			if dest == nil {
				return
			}
			var seen bool
			if w.rows, seen = rowsOf(dest); seen && w.rows == nil {
				return // nothing was sent
			}
		default:
			return
		}
		if watched = true; l.openRows.add(w) {
			l.sweep()
		}
	})
	return watched
}

// add reports whether there are so many that those that are closed should be looked for.
func (o *openRows) add(w *openWrite) (full bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = append(o.open, w)
	return len(o.open) > max(o.full, openAtOnce)
}

// remove takes a write out. It reports whether it was in.
func (o *openRows) remove(w *openWrite) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.open)
	o.open = slices.DeleteFunc(o.open, func(other *openWrite) bool { return other == w })
	return len(o.open) < n
}

// SweepRows looks for writes that have ended. It is called when an answer may not be kept, which is
// the only time that it matters, and reports whether that may have changed.
func (l *Log) SweepRows() bool {
	swept := l.sweep()
	if swept == nil {
		return false
	}
	select {
	case <-swept:
		return true
	case <-time.After(sweepPatience):
		return false
	}
}

// sweep finishes the writes whose rows were closed, or have been open for too long. To ask whether
// rows are closed is to wait for whoever is reading them, so that a goroutine does it; the channel
// is closed when it is done. It is nil if there is nothing to do.
func (l *Log) sweep() (swept chan struct{}) {
	o := &l.openRows
	o.mu.Lock()
	if o.sweeping || len(o.open) == 0 {
		o.mu.Unlock()
		return nil
	}
	o.sweeping = true
	open := slices.Clone(o.open)
	o.mu.Unlock()
	now := l.Now()
	swept = make(chan struct{})
	go func() {
		defer close(swept)
		for _, w := range open {
			if e, over := l.over(w, now); over && o.remove(w) {
				w.done(e)
			}
		}
		o.mu.Lock()
		o.sweeping, o.full = false, 2*len(o.open)
		o.mu.Unlock()
	}()
	return swept
}

// over reports whether a write has ended, and how.
func (l *Log) over(w *openWrite, now time.Time) (e Ending, over bool) {
	if now.Sub(w.since) >= times(l.HoldOut, openLimit) {
		e = Ending{Unseen: true, Why: RawRows}
		if w.tx != nil {
			e.Why = OtherPool
		}
		return e, true
	}
	switch {
	case w.tx != nil:
		// It says so before it sends the commit.
		return Ending{Unseen: true, Why: OtherPool}, ending(w.tx)
	case w.rows == nil:
		return e, false
	}
	// It tells of an error at closing, too, which is when a driver reads what was left.
	err, closed := endOf(w.rows)
	return Ending{Err: err}, closed
}
