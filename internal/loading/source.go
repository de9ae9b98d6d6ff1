package loading

import (
	"context"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/replay"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// Config is what a source is made with.
type Config struct {
	Log       *commit.Log
	Cache     *cache.Cache
	Templates *template.Set
	Patterns  *hotness.Table
	Pool      *commit.Pool
	Query     func(*gorm.DB) // GORM's own callback for queries
	Rows      func(*gorm.DB) // its callback for rows that the application reads itself
	Gate      Gate
	// Silent reports whether no statement may be sent that the application did not ask for; nil
	// stands for never.
	Silent func() bool
}

// Gate is what a statement of the package's own goes through before it takes a connection.
type Gate interface {
	// Enter lets a statement in as soon as it may run, or its context has ended.
	Enter(context.Context)
	// Leave says that a statement ended that was let in.
	Leave()
}

// Source asks the database for the answers of templates' queries.
type Source struct {
	Config
	// Recordings bounds what is recorded at a time.
	Recordings  *replay.Budget
	sqlite      bool
	connections connections
	unsure      atomic.Bool // names of columns were taken that nobody asked for once more
}

// recordedShare is what part of the memory for answers may be recorded at a time.
const recordedShare = 2

// New returns a source that asks the database of a handle. With background it finds out on which
// connections loads in the background may run.
func New(config Config, db *gorm.DB, background bool) *Source {
	s := &Source{Config: config, sqlite: db.Name() == "sqlite", Recordings: replay.NewBudget(config.Cache.MaxBytes / recordedShare)}
	if background {
		s.look(db)
	}
	return s
}
