package commit

import (
	"sync"
	"time"
)

// rawTransactions counts transactions that were begun as statements outside of any that
// database/sql knows of. While one may be open nothing is kept; but not for longer than a limit, as
// some never end: their connection was closed, or their COMMIT went to another one.
type rawTransactions struct {
	mu    sync.Mutex
	begun int
	since time.Time
	// held ends the announcement that anything changes, while one is open.
	held func(Hold)
	// savepoint is the one that began a transaction; "" if none did.
	savepoint string
}

// RawLimit is how many hold-outs a transaction that was begun as a statement is thought to be open.
const RawLimit = 60

func (r *rawTransactions) open() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun > 0
}

// begin counts one more. It returns the announcement if one is held already.
func (r *rawTransactions) begin(now time.Time, held func(Hold)) (spare func(Hold)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
	r.since = now
	if r.held != nil {
		return held
	}
	r.held = held
	return nil
}

// end counts one less, or none where all are overdue. It returns what was held for them when there
// is none left.
func (r *rawTransactions) end(overdue bool) (held func(Hold)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun > 0 {
		r.begun--
	}
	if overdue {
		r.begun = 0
	}
	if r.begun == 0 {
		held, r.held, r.savepoint = r.held, nil, ""
	}
	return held
}

// beganBy notes, or reports, which savepoint began the transaction.
func (r *rawTransactions) beganBy(name string, note bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if note {
		r.savepoint = name
	}
	return r.begun > 0 && r.savepoint == name
}

func (r *rawTransactions) overdue(now time.Time, limit time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun > 0 && now.Sub(r.since) >= limit
}
