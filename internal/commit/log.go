package commit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/observed"
	"gorm.io/gorm"
)

// Log says when changes count: what a statement writes is announced before anybody can see it, and
// finished when everybody does, or nobody ever will.
type Log struct {
	Config
	db      *gorm.DB
	dialect string // the name of db's
	direct  bool   // nothing stands in front of the pool: its connections are observed

	observed   atomic.Pointer[[]*observed.Hub] // of the pools that were opened with Connector or Driver; nil if there are none
	neighbours neighbours
	raw        rawTransactions
	openRows   openRows
	// alterations counts what may have altered a table, where connections may be late to notice it.
	alterations atomic.Int64
	// definitions counts what may have made another thing of a name.
	definitions atomic.Int64
	// unsettled is until when one may become another thing, in nanoseconds since 1970 by Now.
	unsettled atomic.Int64
	settings  settings
	isolation isolation
	begun     sync.Map // *sql.Tx -> *transaction, of pools that are observed
	closed    atomic.Bool
}

// Config is what a log of changes is made with.
type Config struct {
	Catalog    *catalog.Catalog
	Footprints *footprint.Footprints
	Cache      *cache.Cache
	Index      *coherence.Index
	HoldOut    time.Duration
	// Now is the time by which hold-outs are measured.
	Now    func() time.Time
	Report failopen.Report
	Gate   passage
	// Killed is called with the answers that a write killed, when it is over.
	Killed func([]cache.Killed)
	// HeldOut is called with the tables that a write keeps out of the cache, "" for all, and how
	// long it does; nil for nobody. No lock is held.
	HeldOut func(tables []string, hold Hold)
	// Wrote is called with the changes of a write, and whether another process made it: where it is
	// about to become visible, and where that is over. nil is for nobody. No lock is held.
	Wrote func(changes []coherence.Change, elsewhere bool)
	// Reads says that memory may answer reads in transactions.
	Reads bool
	// Others are the other processes; nil if there are none.
	Others others
}

// passage is what a transaction goes through before it takes a connection.
type passage interface {
	Enter(context.Context)
	Leave()
}

// New returns a log in which nothing is under way.
func New(config Config) *Log { return &Log{Config: config} }

// Serve sets the handle whose changes are looked at: once, and before its pool is wrapped, from
// when on connections may tell of changes. With direct nothing is put in front of its pool.
func (l *Log) Serve(db *gorm.DB, direct bool) { l.db, l.dialect, l.direct = db, db.Name(), direct }

// Close ends what the log is told by connections.
func (l *Log) Close() {
	l.closed.Store(true)
	l.unobserve()
}

// watches reports whether connections of some pool are observed.
func (l *Log) watches() bool { return l.observed.Load() != nil }

// Direct reports whether nothing stands in front of the pool: its connections are observed.
func (l *Log) Direct() bool { return l.direct }

// CountAlteration notes that a table was altered where nobody saw it.
func (l *Log) CountAlteration() { l.alterations.Add(1) }

// AlteredSoFar returns how often a table may have been altered.
func (l *Log) AlteredSoFar() int64 { return l.alterations.Load() }

// Settled returns how often a name may have become that of another thing, such as a view in place
// of a table; false where names may mean different things on different connections, or soon another
// one.
func (l *Log) Settled() (moment int64, ok bool) {
	moment = l.definitions.Load()
	return moment, !l.settings.differ.Load() && l.Now().UnixNano() >= l.unsettled.Load()
}
