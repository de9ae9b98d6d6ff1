package feeds

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/batch"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/strict"
	"gorm.io/gorm"
)

// Config is what feeds are connected with.
type Config struct {
	Catalog *catalog.Catalog
	Gate    *cache.Gate
	// Log is that of the writes of this process. It is not there yet when New is called.
	Log    func() *commit.Log
	Seal   *batch.Seal // nil where batches are not sealed
	Report failopen.Report
}

// Teller is a feed that is told of what is written here.
type Teller interface {
	// Announce is called with a batch before what is in it can be seen; tx is what the database
	// calls the transaction. finish is called once, when it is over. An error says that it should
	// not become visible.
	Announce(ctx context.Context, batch []byte, tx string) (finish func(strict.End), err error)
}

// Feeds are the feeds of one process.
type Feeds struct {
	Config
	dialect string
	db      *gorm.DB
	tellers []teller
	telling telling
	mu      sync.Mutex // a leaf
	members []*Member  // does not change but by appending to another one
	sums    atomic.Pointer[sums]
	named   atomic.Bool // transactions are asked for by name

	origin      origin
	positioners []Positioner // of all feeds in their order; nil for one that is none
}

// New returns what has no feeds yet.
func New(config Config) *Feeds { return &Feeds{Config: config, origin: newOrigin()} }

// Serve sets the handle of the database: once, before there are members.
func (f *Feeds) Serve(db *gorm.DB) { f.db, f.dialect = db, db.Name() }

// Add adds a feed that is told of what is written here: before any is.
func (f *Feeds) Add(t Teller, m *Member) { f.tellers = append(f.tellers, teller{t, m}) }

// teller is a feed that is told, with what this process is to it.
type teller struct {
	Teller
	member *Member
}

// Named reports whether a feed asks the database for transactions by name.
func (f *Feeds) Named() bool { return f.named.Load() }

// maxBatch is how long a batch may be, in bytes, that says more of a write than its tables; and
// then, than that it was one.
const maxBatch = 32 << 10

// Tell tells the feeds that a write is about to become visible. The returned function, nil where
// there is nobody to be told (any more, after Leave), is called once, when it is over. If a feed
// says that it should not become visible, the others are told that it never does.
//
// The context is that of a write that never happens if it ends meanwhile.
func (f *Feeds) Tell(ctx context.Context, w footprint.Write, tx string) (finish func(strict.End), err error) {
	if len(f.tellers) == 0 || len(w.Changes) == 0 || !f.telling.begin() {
		return nil, nil
	}
	told := false
	defer func() {
		if !told {
			f.telling.end()
		}
	}()
	b := f.Seal.Close(f.batch(w.Changes))
	var all []func(strict.End)
	finish = func(end strict.End) {
		defer f.telling.end()
		for _, one := range all {
			failopen.Guard(f.Report, "a feed, at the end of a write", func() { one(end) })
		}
	}
	for _, t := range f.tellers {
		failopen.Guard(f.Report, "a feed, before a write", func() {
			began := time.Now()
			one, wrong := t.Announce(ctx, b, tx)
			t.member.known.announces.Took(time.Since(began))
			if err = errors.Join(err, wrong); one != nil && wrong == nil {
				all = append(all, one)
			}
		})
	}
	if told = true; err != nil {
		finish(strict.EndUndone)
		return nil, err
	}
	return finish, nil
}

// batch writes changes down: of their tables only, where it would be too long otherwise.
func (f *Feeds) batch(changes []coherence.Change) []byte {
	b := f.written(changes)
	if len(b) > maxBatch {
		b = f.written(footprint.Loosen(changes))
	}
	if len(b) > maxBatch {
		b = f.written([]coherence.Change{coherence.Everything})
	}
	return b
}

func (f *Feeds) written(changes []coherence.Change) []byte {
	known := f.known()
	all := make([]batch.Change, len(changes))
	for i, c := range changes {
		all[i] = batch.Change{Change: c, Sum: known.of(f, c.Table)}
	}
	return batch.Append(nil, all)
}

// sums are those of tables, as the catalog knew them at a version.
type sums struct {
	version int64
	byTable map[string]uint64 // does not change
}

// known returns the sums that are known of the tables as they are now: a copy, which is its
// caller's.
func (f *Feeds) known() sums {
	if s := f.sums.Load(); s != nil && s.version == f.Catalog.Version() {
		return *s
	}
	return sums{version: f.Catalog.Version()}
}

// of returns the sum of a table, and remembers it, for others too.
func (s *sums) of(f *Feeds, table string) uint64 {
	if sum, ok := s.byTable[table]; ok {
		return sum
	}
	sum := f.Catalog.Table(table).Sum(f.dialect)
	more := &sums{version: s.version, byTable: make(map[string]uint64, len(s.byTable)+1)}
	for other, known := range s.byTable {
		more.byTable[other] = known
	}
	if more.byTable[table] = sum; s.version == f.Catalog.Version() {
		f.sums.Store(more)
	}
	*s = *more
	return sum
}

// read returns the changes of a batch as they are to be taken here: everything, if it cannot be
// read, and all of a table that its writer's model reads in another way.
func (f *Feeds) read(sealed []byte) footprint.Write {
	w := footprint.Write{Version: f.Catalog.Version()}
	var changes []batch.Change
	plain, err := f.Seal.Open(sealed)
	if err == nil {
		changes, err = batch.Read(plain)
	}
	if err != nil {
		w.Changes = footprint.Everything().Changes
		return w
	}
	known := f.known()
	for _, c := range changes {
		if c.Table != "" && c.Sum != known.of(f, c.Table) {
			c.Change = coherence.Loose(c.Table, c.Kinds)
		}
		w.Changes = append(w.Changes, c.Change)
	}
	return w
}

// Merge returns one batch that stands for several, of their tables only; nil, which stands for
// everything, where that would be long or one cannot be read.
func (f *Feeds) Merge(batches [][]byte) []byte {
	var all []coherence.Change
	for _, sealed := range batches {
		plain, err := f.Seal.Open(sealed)
		if err != nil {
			return nil
		}
		changes, err := batch.Read(plain)
		if err != nil {
			return nil
		}
		for _, c := range changes {
			all = append(all, c.Change)
		}
		all = footprint.Loosen(all)
	}
	if len(all) == 0 {
		return nil
	}
	b := f.written(all)
	if len(b) > maxBatch {
		return nil
	}
	return f.Seal.Close(b)
}
