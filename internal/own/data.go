package own

import (
	"context"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotness"
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
	Report    failopen.Report

	// Pattern returns the statistics of a key, nil if there are none.
	Pattern func(key string) *hotness.Pattern
	// Record counts an access to a key, and returns its statistics.
	Record func(key string, now time.Time) *hotness.Pattern
	// Hit notes that an entry was in memory, and read. tally is the entry's.
	Hit func(ctx context.Context, e *cache.Entry, tally *cache.Tally, now time.Time)
	// Note notes an access to an entry for what is learned from accesses.
	Note func(ctx context.Context, e *cache.Entry, now time.Time, hit bool)
	// Missed counts why a value that was loaded could not be kept, "" if it could.
	Missed func(cause string)
	// Register keeps what loads a key again.
	Register func(key string, load cache.Loader)
}

// Data has the values of an application's own data.
type Data struct {
	Config
	group  *coherence.Group // which depends on no table
	prefix string           // of the keys in the store
	paces  cache.OwnPaces
}

// New returns data of which nothing is loaded yet.
func New(config Config) *Data {
	return &Data{Config: config, group: coherence.NewGroup(coherence.Reading{}), prefix: newPrefix()}
}
