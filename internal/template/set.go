package template

import (
	"crypto/sha256"
	"encoding/base64"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
)

// Set is the bounded set of templates, read without a lock.
type Set struct {
	Config
	db       *gorm.DB
	pool     gorm.ConnPool
	prepares bool // statements of db, before they are sent

	seed     maphash.Seed
	buckets  [templateBuckets]atomic.Pointer[Template]
	held     atomic.Int64 // what they hold in bytes; written under mu
	mu       sync.Mutex
	hand     int                // the bucket that is emptied next; guarded by mu
	closed   bool               // nothing is put in any more; guarded by mu
	families map[string]*family // of the templates, by their labels; guarded by mu
	// byPrefix has the templates in the buckets by the prefix of their keys.
	byPrefix sync.Map
	// withdrawn has, by table, whether the answers of its model are not served: *atomic.Bool.
	withdrawn sync.Map
}

// withdrawnOf returns whether the answers of a table's model are not served.
func (ts *Set) withdrawnOf(table string) *atomic.Bool {
	of, ok := ts.withdrawn.Load(table)
	if !ok {
		of, _ = ts.withdrawn.LoadOrStore(table, new(atomic.Bool))
	}
	return of.(*atomic.Bool)
}

// Withdraw has the answers of a table's model not be served any more; it reports whether that is
// new.
func (ts *Set) Withdraw(table string) bool { return !ts.withdrawnOf(table).Swap(true) }

// Withdrawn returns the tables whose models' answers are not served.
func (ts *Set) Withdrawn() (tables []string) {
	ts.withdrawn.Range(func(table, of any) bool {
		if of.(*atomic.Bool).Load() {
			tables = append(tables, table.(string))
		}
		return true
	})
	slices.Sort(tables)
	return tables
}

// Restore has all answers be served again that Withdraw took back.
func (ts *Set) Restore() {
	ts.withdrawn.Range(func(_, of any) bool {
		of.(*atomic.Bool).Store(false)
		return true
	})
}

// MaxTemplates bounds a set.
const MaxTemplates = templateBuckets * templatesPerBucket

const (
	templateBuckets = 1 << 10
	// A bucket that would hold more templates than this is started anew, and one bucket after the
	// other is emptied where all hold more bytes than that: their templates are met again if they
	// are in use.
	templatesPerBucket = 8
	maxTemplateBytes   = 8 << 20
	// templateOverhead is about what a template takes besides its texts and what is known of its
	// query: its places in the set, and what its answers depend on.
	templateOverhead = 15 << 7
	// prefixSum is how long a sum is in the prefix of keys; the two have prefixSums bytes with what
	// is around them.
	prefixSum  = 16
	prefixSums = len("#") + prefixSum + len(":") + prefixSum + len(":")
	// maxUntold is how many queries of a template are looked at for how it is bound.
	maxUntold = 16
)

// prefix returns what the keys of a shape begin with: the sum of its family, by which it is told,
// and its own. It is the same again when a template was dropped and is met once more, and different
// in each plugin.
func (ts *Set) prefix(table, family, shape string) string {
	prefix := append(make([]byte, 0, len(KeyPrefix)+len(table)+prefixSums), KeyPrefix+table+"#"...)
	for _, text := range []string{family, shape} {
		sum := sha256.Sum256([]byte(ts.Salt + text))
		prefix = append(base64.RawURLEncoding.AppendEncode(prefix, sum[:12]), ':')
	}
	return string(prefix)
}

// NewSet returns a set without templates.
func NewSet(config Config) *Set {
	return &Set{Config: config, seed: maphash.MakeSeed(), families: map[string]*family{}}
}

// Serve sets the handle that templates run on, the pool behind it, and whether the handle prepares
// statements before it sends them: once, and before there is any template.
func (ts *Set) Serve(db *gorm.DB, pool gorm.ConnPool, prepares bool) {
	ts.db, ts.pool, ts.prepares = db, pool, prepares
}

// Config is what a set of templates is made with.
type Config struct {
	Catalog    *catalog.Catalog
	Footprints *footprint.Footprints
	Cache      *cache.Cache
	Index      *coherence.Index
	Salt       string // of the keys
	// Rule returns how answers are treated that are read from these tables, first of all from one
	// of them, into what has limits of its own; false where they are not kept. asked says that the
	// call asks for them to be kept.
	Rule   func(from string, tables []string, own *Limits, asked bool) (Limits, bool)
	Report failopen.Report
	// Ordinary reports whether a reference to the table of no model is one to an ordinary table;
	// nil where none is.
	Ordinary func(sqltext.Reference) bool
	// Collated is called with a table of which answers are kept, where the database can be asked
	// how it compares texts; nil for nobody.
	Collated func(table string)
}

// identifies reports whether each reference is to the table of a model in use, or to an ordinary
// one.
func (ts *Set) identifies(references []sqltext.Reference) bool {
	if ts.Catalog.Identifies(ts.db.Dialector.Name(), references) {
		return true
	}
	return ts.Ordinary != nil && !slices.ContainsFunc(references, func(ref sqltext.Reference) bool {
		return !ts.Catalog.Identifies(ts.db.Dialector.Name(), []sqltext.Reference{ref}) && !ts.Ordinary(ref)
	})
}

// Find returns the template of a shape, nil if it is not known.
func (ts *Set) Find(shape []byte) *Template {
	for t := ts.bucket(shape).Load(); t != nil; t = t.next {
		if t.Shape == string(shape) {
			return t
		}
	}
	return nil
}

func (ts *Set) bucket(shape []byte) *atomic.Pointer[Template] {
	return &ts.buckets[maphash.Bytes(ts.seed, shape)%templateBuckets]
}

// Add puts a template in, or returns the one of the same shape that is in already. A set that is
// closed takes none.
func (ts *Set) Add(t *Template) *Template {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	bucket := ts.bucket([]byte(t.Shape))
	n := 0
	for known := bucket.Load(); known != nil; known = known.next {
		if known.Shape == t.Shape {
			return known
		}
		n++
	}
	if ts.closed {
		t.Tally = ts.Cache.Counts.Tally(t.Table)
		return t
	}
	if n >= templatesPerBucket {
		ts.empty(bucket)
	}
	for emptied := 0; ts.held.Load()+t.weight > maxTemplateBytes && emptied < templateBuckets; emptied++ {
		ts.empty(&ts.buckets[ts.hand])
		ts.hand = (ts.hand + 1) % templateBuckets
	}
	t.family = ts.join(t)
	t.next = bucket.Load()
	bucket.Store(t)
	ts.held.Add(t.weight)
	ts.byPrefix.Store(t.Prefix, t)
	return t
}

// Remove takes a template out, and with it those of its bucket.
func (ts *Set) Remove(t *Template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.empty(ts.bucket([]byte(t.Shape)))
}

// Close takes all templates out, and none in from then on.
func (ts *Set) Close() {
	ts.mu.Lock()
	ts.closed = true
	ts.mu.Unlock()
	ts.Clear()
}

// Clear takes all templates out.
func (ts *Set) Clear() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for i := range ts.buckets {
		ts.empty(&ts.buckets[i])
	}
}

// empty takes the templates of a bucket out. mu is held.
func (ts *Set) empty(bucket *atomic.Pointer[Template]) {
	for gone := bucket.Swap(nil); gone != nil; gone = gone.next {
		ts.byPrefix.CompareAndDelete(gone.Prefix, gone)
		ts.held.Add(-gone.weight)
		ts.leave(gone)
	}
}

// Of returns the template of the query of a key, if it is known.
func (ts *Set) Of(key string) *Template {
	if !strings.HasPrefix(key, KeyPrefix) {
		return nil
	}
	// The name of the table may be anything; what follows it is of one length.
	for i := len(KeyPrefix); i < len(key); i++ {
		if end := i + prefixSums; key[i] == '#' && end <= len(key) && key[end-1] == ':' {
			if t, ok := ts.Named(key[:end]); ok {
				return t
			}
		}
	}
	return nil
}

// PrefixOf returns the length of what the keys of a template begin with, in one of them. It is 0
// for keys of no template, and it may be too little for those of tables with a '#' in their names.
func PrefixOf(key string) int {
	if !strings.HasPrefix(key, KeyPrefix) {
		return 0
	}
	for i := len(KeyPrefix); i < len(key); i++ {
		if end := i + prefixSums; key[i] == '#' && end <= len(key) && key[end-1] == ':' {
			return end
		}
	}
	return 0
}

// Named returns the template whose keys have a prefix.
func (ts *Set) Named(prefix string) (*Template, bool) {
	t, ok := ts.byPrefix.Load(prefix)
	if !ok {
		return nil, false
	}
	return t.(*Template), true
}

// Each calls do with each template.
func (ts *Set) Each(do func(*Template)) {
	ts.byPrefix.Range(func(_, t any) bool {
		do(t.(*Template))
		return true
	})
}

// Size returns how many bytes the templates hold.
func (ts *Set) Size() int64 { return ts.held.Load() }
