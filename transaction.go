package preload

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/gorm-preload/preload/internal/coherence"
	"gorm.io/gorm"
)

// transaction holds the changes made in it until its commit.
type transaction struct {
	gorm.ConnPool
	end  gorm.TxCommitter // the same as ConnPool
	pool *pool

	mu       sync.Mutex
	segments []segment
	// unseen is set once a statement may have ended the transaction behind database/sql's back (DDL commits
	// implicitly in some databases, and so does a COMMIT sent as a statement): what follows may be visible at once.
	unseen bool
}

// segment is what was changed since a savepoint was set; the first one since the transaction began.
type segment struct {
	savepoint string
	writes    []written
}

// maxHeld bounds the changes that are held one by one: of more, only the tables count.
const maxHeld = 1_000

// preparable is a transaction whose connection can run prepared statements: what GORM asks of one with PrepareStmt.
type preparable struct {
	*transaction
	statements interface {
		StmtContext(ctx context.Context, stmt *sql.Stmt) *sql.Stmt
	}
}

// StmtContext implements gorm.Tx.
func (t *preparable) StmtContext(ctx context.Context, stmt *sql.Stmt) *sql.Stmt {
	return t.statements.StmtContext(ctx, stmt)
}

// GetDBConn implements gorm.GetDBConnector.
func (t *transaction) GetDBConn() (*sql.DB, error) { return t.pool.GetDBConn() }

// hold notes what was written until the commit.
func (t *transaction) hold(w written) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.segments) == 0 {
		t.segments = append(t.segments, segment{})
	}
	t.segments[len(t.segments)-1].add(w)
}

func (s *segment) add(writes ...written) {
	s.writes = append(s.writes, writes...)
	if len(s.writes) < maxHeld {
		return
	}
	var all []coherence.Change
	for _, w := range s.writes {
		all = append(all, w.changes...)
	}
	s.writes = []written{{changes: loosen(all)}}
}

// writes returns all that is held.
func (t *transaction) writes() (all []written) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.segments {
		all = append(all, s.writes...)
	}
	return all
}

func (t *transaction) lose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unseen = true
}

func (t *transaction) lost() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unseen
}

// savepoint starts a segment that a rollback to the savepoint drops.
func (t *transaction) savepoint(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.segments) == 0 {
		t.segments = append(t.segments, segment{})
	}
	t.segments = append(t.segments, segment{savepoint: name})
}

// rollbackTo drops the changes made after the savepoint, which stays. The latest of that name counts, as
// in every database. Names are compared folded, which finds a later savepoint at worst, and so drops too little.
func (t *transaction) rollbackTo(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unseen {
		// The savepoint may have been set, or moved, by a statement that was not understood.
		return
	}
	if i := t.find(name); i >= 0 {
		t.segments = t.segments[:i+1]
		t.segments[i].writes = nil
	}
}

// release forgets the savepoint and keeps the changes made after it.
func (t *transaction) release(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(name)
	if i < 0 {
		return
	}
	before := &t.segments[i-1]
	for _, s := range t.segments[i:] {
		before.add(s.writes...)
	}
	t.segments = t.segments[:i]
}

func (t *transaction) find(name string) int {
	for i := len(t.segments) - 1; i > 0; i-- {
		if t.segments[i].savepoint == name {
			return i
		}
	}
	return -1
}

// Commit implements gorm.TxCommitter. The database makes the changes visible somewhere inside the commit, so they are
// announced before it and finished after it.
func (t *transaction) Commit() error {
	writes := t.writes()
	if len(writes) == 0 {
		return t.end.Commit()
	}
	done := t.pool.plugin.announce(writes, t.pool.plugin.config.holdOut)
	outcome := errUnknownOutcome // of a commit that panics
	defer func() { done(outcome) }()
	if outcome = t.end.Commit(); outcome == nil {
		t.forget()
	}
	return outcome
}

// Rollback implements gorm.TxCommitter.
func (t *transaction) Rollback() error {
	err := t.end.Rollback()
	if err == nil {
		t.forget()
	}
	return err
}

// forget drops what is held: the transaction is over.
func (t *transaction) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.segments = nil
}

var errUnknownOutcome = errors.New("preload: the outcome of a write is not known")
