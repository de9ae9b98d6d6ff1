package own

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/seen"
)

// Table stands for own data where there are statistics by table.
const Table = ""

// Config is what Data is made with.
type Config struct {
	Cache *cache.Cache
	Index *coherence.Index
	TTL   time.Duration // of the values
	// Partition returns whose values are asked for, "" where they are everybody's; nil if there is
	// but one partition.
	Partition func(context.Context) string
	// Since returns what a context demands of a value in memory, after it has waited for that where
	// it has to; nil if contexts demand nothing.
	Since  func(context.Context) cache.Since
	Report failopen.Report
	// Shadow reports whether each caller's value is to come from its own loader, whatever is in
	// memory; nil stands for never.
	Shadow func() bool
	// Compared is called with a value in memory that a caller would have got, and with what its
	// loader gave instead. It is called of those only that were made of tables.
	Compared func(ctx context.Context, e *cache.Entry, label string, c *Check)

	// Pattern returns the statistics of a key, nil if there are none.
	Pattern func(key string) *hotness.Pattern
	// Record counts an access to a key, and returns its statistics.
	Record func(key string, now time.Time) *hotness.Pattern
	// Hit notes that an entry was in memory, and read. tally is the entry's.
	Hit func(ctx context.Context, e *cache.Entry, tally *cache.Tally, now time.Time)
	// Note notes an access to an entry that was not in memory, for what is learned from accesses.
	Note func(ctx context.Context, e *cache.Entry, now time.Time)
	// Joined notes that a caller got the value that another one loaded.
	Joined func(ctx context.Context, e *cache.Entry, now time.Time)
	// Missed notes that a value was not in memory, why, and how long its loader took.
	Missed func(ctx context.Context, tally *cache.Tally, table, label string, why seen.Cause, rows int64, took time.Duration)
	// Register keeps what loads a key again.
	Register func(key string, load cache.Loader)
}

// Terms say how a value is kept.
type Terms struct {
	TTL time.Duration // 0 for that of the config
	// Tables are those that the value was made of: what writes to one of them forgets it.
	Tables []string
}

// Data has the values of an application's own data.
type Data struct {
	Config
	prefix string // of the keys in the store
	paces  cache.OwnPaces

	mu     sync.Mutex                  // a leaf
	groups map[string]*coherence.Group // by the tables that their values were made of
}

// maxGroups bounds the sets of tables for which a group is remembered. Where there are more, equal
// sets may have several.
const maxGroups = 1 << 10

// New returns data of which nothing is loaded yet.
func New(config Config) *Data {
	return &Data{Config: config, prefix: newPrefix()}
}

// groupOf returns the group of the values that were made of these tables.
func (d *Data) groupOf(tables []string) *coherence.Group {
	set := strings.Join(tables, "\x00")
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.groups[set]
	if g == nil {
		if d.groups == nil || len(d.groups) >= maxGroups {
			d.groups = map[string]*coherence.Group{}
		}
		g = coherence.NewGroup(coherence.Reading{}, slices.Clone(tables)...)
		d.groups[set] = g
	}
	return g
}
