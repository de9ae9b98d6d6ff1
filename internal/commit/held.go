package commit

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/sqltext"
)

// held is what the statements of one transaction wrote. Until a commit begins it is only noted.
// What a commit makes visible is announced before the commit and finished after it; and what is
// written once a commit has begun, on another goroutine, is announced at once, for it may be inside
// that commit. It knows nothing of the connection.
type held struct {
	log *Log

	mu       sync.Mutex
	segments []segment
	// unseen is set once a statement may have ended the transaction behind database/sql's back (DDL
	// commits implicitly in some databases, and so does a COMMIT sent as a statement): what follows
	// may be visible at once.
	unseen bool
	// failed is set once a statement failed: the database may have ended the transaction on account
	// of that. A rollback to a savepoint that was set before shows that it has not.
	failed bool
	// How many writes, and statements about savepoints, run now. crossed is set once one about a
	// savepoint ran together with another of either kind: which of them the database saw first is
	// not known, and no savepoint drops anything.
	writing, pointing int
	crossed           bool
	// begun is set once a commit has begun; commits is how many are under way. hold is the longest
	// hold-out that one asked for.
	begun   bool
	commits int
	hold    Hold
	// late finish, with the hold of the commits, what was written while one was under way.
	late []func(Hold)
	// serial counts what changed the segments, and shown is all of them as reads look at it.
	serial uint64
	shown  shown
}

// segment is what was changed since a savepoint was set; the first one since the transaction began.
type segment struct {
	savepoint string
	writes    []footprint.Write
	loose     []coherence.Change // those of the first of writes, if it stands for many
}

// maxHeld bounds the writes that are held one by one: of more, only the tables count.
const maxHeld = 1_000

func (s *segment) add(writes ...footprint.Write) {
	for _, w := range writes {
		if !s.covers(w) {
			s.writes = append(s.writes, w)
		}
	}
	if len(s.writes) < maxHeld {
		return
	}
	var all []coherence.Change
	for _, w := range s.writes {
		all = append(all, w.Changes...)
	}
	s.loose = footprint.Loosen(all)
	s.writes = []footprint.Write{{Changes: s.loose}}
}

// covers reports whether a write changes nothing but tables of which no more counts anyway.
func (s *segment) covers(w footprint.Write) bool {
	if len(s.loose) == 0 {
		return false
	}
	for i := range w.Changes {
		known, c := false, &w.Changes[i]
		for j := range s.loose {
			known = known || s.loose[j].Table == c.Table && c.Kinds&^s.loose[j].Kinds == 0
		}
		if !known {
			return false
		}
	}
	return true
}

// write notes what a statement is about to write. The returned function is called once the
// statement returned. lazily says that the statement may run later than that, as one does whose
// rows are read: a rollback to a savepoint may come before it.
func (h *held) write(w footprint.Write, lazily bool) (done func(Ending)) {
	var finish func(Hold)
	if h.note(w, lazily) {
		finish = h.log.announce([]footprint.Write{w})
	}
	return func(e Ending) { h.wrote(w, e, finish) }
}

// note holds what a statement is about to write. It reports whether it may become visible at once,
// or may have been missed by a commit that has begun.
func (h *held) note(w footprint.Write, lazily bool) (announce bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.segments) == 0 {
		h.segments = append(h.segments, segment{})
	}
	last := len(h.segments) - 1
	if lazily {
		last = 0
	}
	h.segments[last].add(w)
	h.serial++
	h.writing++
	h.crossed = h.crossed || h.pointing > 0
	return h.unseen || h.failed || h.begun
}

// wrote ends a write. finish ends its announcement; it is nil if there was none.
func (h *held) wrote(w footprint.Write, e Ending, finish func(Hold)) {
	// What is inside a transaction becomes visible by its commit only, so that what is known of the
	// statement does not matter.
	var alone Hold
	if h.lost() {
		e.Unseen = true
		alone = h.log.holdAfter(e)
	}
	h.mu.Lock()
	h.writing--
	hold := longer(alone, h.hold)
	// It may be inside a commit that is under way, unless it was not sent any more.
	inside := finish != nil && h.commits > 0 && !errors.Is(e.Err, sql.ErrTxDone)
	if inside {
		h.late = append(h.late, func(committed Hold) { finish(longer(hold, committed)) })
	}
	h.mu.Unlock()
	switch {
	case inside:
	case finish != nil:
		finish(hold)
	case alone.For > 0:
		// The transaction ended unseen while the statement ran.
		h.log.announce([]footprint.Write{w})(alone)
	}
}

// commit runs a commit between the announcement of all that is held and its finish. late is the
// error with which the commit returns where it sent nothing; nil if there is no such error.
//
// name returns the name that the database has for the transaction. Where other processes cannot be
// told, and for that reason nothing is to become visible, undo is run in place of the commit. So it
// is where they were not told before the context ended.
func (h *held) commit(ctx context.Context, do, undo func() error, late error, name func() string) error {
	done, refused := h.committingAs(ctx, name)
	if refused != nil {
		// What the rollback says matters to nobody: without a commit nothing becomes visible.
		_ = undo()
		done(sql.ErrTxDone)
		return refused
	}
	err := ErrUnknownOutcome // of a commit that panics
	defer func() {
		if late != nil && errors.Is(err, late) {
			err = sql.ErrTxDone
		}
		done(err)
	}()
	err = do()
	return err
}

// committing is called before a commit, what it returns after it, with its error. The database
// makes the changes visible somewhere inside.
func (h *held) committing() (done func(error)) {
	done, err := h.committingAs(context.Background(), func() string { return "" })
	h.log.goesOn(err)
	return done
}

// committingAs does what committing does for a transaction with a name. An error says that it is
// not to be committed.
func (h *held) committingAs(ctx context.Context, name func() string) (done func(error), refused error) {
	writes := h.begin()
	finish := func(Hold) {}
	if len(writes) > 0 {
		finish, refused = h.log.announceAs(ctx, writes, name(), nil)
	}
	return func(err error) {
		hold := h.log.holdAfter(Ending{Err: err, commit: true})
		finish(hold)
		committed, late := h.committed(err == nil, hold)
		for _, finish := range late {
			finish(committed)
		}
	}, refused
}

// all returns all that is held.
func (h *held) all() (all []footprint.Write) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.segments {
		all = append(all, s.writes...)
	}
	return all
}

// begin says that a commit begins, and returns all that is held.
func (h *held) begin() (all []footprint.Write) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun = true
	h.commits++
	for _, s := range h.segments {
		all = append(all, s.writes...)
	}
	return all
}

// committed says that a commit ended. When none is under way any more it returns what waited for
// that.
func (h *held) committed(over bool, hold Hold) (committed Hold, late []func(Hold)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commits--
	h.hold = longer(h.hold, hold)
	if over {
		h.segments = nil
	}
	if h.commits == 0 {
		late, h.late = h.late, nil
	}
	return h.hold, late
}

// rollback runs a rollback, and drops what is held if it succeeded. If the database refuses it, the
// transaction may have ended before some of what was written.
func (h *held) rollback(do func() error) error {
	err := do()
	if err != nil {
		if writes := h.all(); len(writes) > 0 && !errors.Is(err, sql.ErrTxDone) {
			h.log.announce(writes)(Hold{})
		}
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.segments = nil
	return nil
}

func (h *held) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unseen = true
}

// fail notes that a statement failed.
func (h *held) fail() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = true
}

func (h *held) lost() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unseen || h.failed
}

// point is called before a statement about a savepoint runs, what it returns after.
func (h *held) point(kind sqltext.Kind, name string) (done func(err error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.crossed = h.crossed || h.writing > 0 || h.pointing > 0
	h.pointing++
	// Where the transaction has ended, SQLite begins another one for a savepoint.
	h.unseen = h.unseen || h.failed && kind == sqltext.Savepoint
	return func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.pointing--
		switch {
		case err != nil:
		case kind == sqltext.Savepoint:
			h.savepoint(name)
		case kind == sqltext.RollbackTo:
			h.rollbackTo(name)
		case kind == sqltext.Release:
			h.release(name)
		}
	}
}

// savepoint starts a segment that a rollback to the savepoint drops.
func (h *held) savepoint(name string) {
	if len(h.segments) == 0 {
		h.segments = append(h.segments, segment{})
	}
	h.segments = append(h.segments, segment{savepoint: name})
}

// rollbackTo drops the changes made after the savepoint, which stays. The latest of that name
// counts, as in every database. Names are compared folded, which finds a later savepoint at worst,
// and so drops too little.
func (h *held) rollbackTo(name string) {
	if h.unseen || h.crossed {
		// The savepoint may have been set, or moved, by a statement that was not understood; or a
		// write came after it in the database that came before it here.
		return
	}
	if i := h.find(name); i >= 0 {
		h.failed = false // the savepoint would have ended with the transaction
		h.serial++
		h.segments = h.segments[:i+1]
		h.segments[i] = segment{savepoint: h.segments[i].savepoint}
	}
}

// release forgets the savepoint and keeps the changes made after it.
func (h *held) release(name string) {
	i := h.find(name)
	if i < 0 {
		return
	}
	before := &h.segments[i-1]
	for _, s := range h.segments[i:] {
		before.add(s.writes...)
	}
	h.segments = h.segments[:i]
}

// outermost reports whether no savepoint of that name was set since the transaction began.
func (h *held) outermost(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.find(name) < 0
}

func (h *held) find(name string) int {
	for i := len(h.segments) - 1; i > 0; i-- {
		if h.segments[i].savepoint == name {
			return i
		}
	}
	return -1
}
