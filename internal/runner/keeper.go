package runner

import (
	"database/sql"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/failopen"
)

const (
	// usualIdle is how many idle connections a pool keeps that nobody has told otherwise.
	usualIdle = 2
	// The keeper looks at the pool before one in keeperLooks statements of the application, drawn
	// at random: statements may come in a rhythm. Once the pool has closed connections it looks
	// before each, until there is proof: each connection that a server has to open meanwhile may
	// cost it as much as a hundred statements.
	keeperLooks = 16
	// keeperProof is how many looks have to find that the pool has closed connections since the one
	// before. By then it has been seen with as many idle ones as it keeps, if not at each.
	keeperProof = 8
	// keeperRest is how many looks in a row find nothing before it is as at the beginning.
	keeperRest = 1024
)

// keeper has a pool keep as many idle connections as the application uses at a time, for as long as
// it does, where the pool is as database/sql makes it: then it keeps two, and closes each further
// one that comes back. While each read asks the database, the next statement takes a connection
// before the third is idle; when reads are answered from memory, it takes none, and connections are
// closed and opened all the time.
//
// A pool does not say how many it keeps. It keeps two if it was seen with two, and never with more,
// while it closed others. Where it was seen with more than the keeper had it keep, the application
// has decided, and the keeper leaves it alone for good.
//
// mu comes before the lock of the pool, and is a leaf otherwise.
type keeper struct {
	most   int // that are kept; 0 for a keeper that does nothing
	pool   func() Pool
	report failopen.Report
	watch  atomic.Bool // whether it looks before each statement

	mu     sync.Mutex
	kept   int   // how many the pool keeps, as far as is known
	seen   int   // how many were idle at a time since then
	closed int64 // how many the pool had closed at the last look
	proof  int   // looks at which it had closed more
	idle   int   // looks since the last of these
	peak   peak  // of those that were in use at a time
	theirs bool  // it is none of the keeper's business, or not any more
	timer  *time.Timer
}

// due reports whether the keeper is to look before the next statement.
func (k *keeper) due() bool { return k.watch.Load() || rand.N(keeperLooks) == 0 }

// look is called when a statement is about to be sent, if it is due.
func (k *keeper) look(now time.Time) {
	if k.most <= usualIdle || !k.mu.TryLock() {
		return // somebody else looks
	}
	defer k.mu.Unlock()
	pool := k.pool()
	if k.theirs || pool == nil {
		return
	}
	stats := pool.Stats()
	peak := k.peak.note(stats.InUse+1, now)
	k.seen = max(k.seen, stats.Idle)
	if k.seen > k.kept {
		k.abandon()
		return
	}
	if k.idle++; stats.MaxIdleClosed > k.closed {
		k.proof, k.idle = k.proof+1, 0
	} else if k.idle >= keeperRest {
		k.proof, k.idle = 0, 0
	}
	k.closed = stats.MaxIdleClosed
	k.watch.Store(0 < k.proof && k.proof < keeperProof)
	if k.proof < keeperProof {
		return
	}
	if n := k.wanted(peak, stats); k.seen == k.kept && n > k.kept {
		if k.kept == usualIdle {
			k.report(slog.LevelInfo, "preload: the pool closed connections that the application then opened again: it keeps as many idle ones as are used at a time, instead of two; "+
				"SetMaxIdleConns before db.Use says for good how many, WithMaxIdleConns how many at most", "pool", "closed", stats.MaxIdleClosed, "idle", n)
		}
		k.keep(pool, n)
	}
}

// abandon leaves the pool alone for good. mu is held.
func (k *keeper) abandon() {
	k.theirs = true
	k.watch.Store(false)
}

// wanted returns how many connections the pool is to keep.
func (k *keeper) wanted(peak int, stats sql.DBStats) int {
	n := min(k.most, peak)
	if limit := stats.MaxOpenConnections; limit > 0 {
		n = min(n, limit)
	}
	return max(n, usualIdle)
}

// keep has the pool keep so many idle connections. mu is held.
func (k *keeper) keep(pool Pool, n int) {
	k.kept, k.seen, k.proof = n, 0, 0
	pool.SetMaxIdleConns(n)
	switch {
	case k.timer == nil:
		k.timer = time.AfterFunc(peakSpan, k.review)
	case n > usualIdle:
		k.timer.Reset(peakSpan)
	}
}

// review has the pool keep fewer connections when fewer are used.
func (k *keeper) review() { k.reviewAt(time.Now()) }

func (k *keeper) reviewAt(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pool := k.pool()
	if k.theirs || k.kept <= usualIdle || pool == nil {
		return
	}
	stats := pool.Stats()
	if stats.Idle > k.kept {
		k.abandon()
		return
	}
	k.keep(pool, min(k.kept, k.wanted(k.peak.note(stats.InUse, now), stats)))
}

// end has the pool keep two connections again, and nothing done from then on.
func (k *keeper) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
	}
	if !k.theirs && k.kept > usualIdle {
		if pool := k.pool(); pool != nil && pool.Stats().Idle <= k.kept {
			pool.SetMaxIdleConns(usualIdle)
		}
	}
	k.abandon()
}
