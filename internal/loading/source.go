package loading

import (
	"context"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/hotness"
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
	Gate      Gate
}

// Gate is what a statement of the package's own goes through before it takes a connection.
type Gate interface {
	// Enter lets a statement in as soon as it may run, or its context has ended.
	Enter(context.Context)
	// Leave says that a statement ended that was let in.
	Leave()
}

// Source asks the database for the answers of templates' queries.
type Source struct{ Config }

// New returns a source.
func New(config Config) *Source { return &Source{config} }
