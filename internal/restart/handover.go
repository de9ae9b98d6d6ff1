package restart

import (
	"log/slog"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// Config is what a handover is made with.
type Config struct {
	Source    *loading.Source
	Log       *commit.Log
	Cache     *cache.Cache
	Templates *template.Set
	Catalog   *catalog.Catalog
	Patterns  *hotness.Table
	Pool      *commit.Pool
	Dialect   string
	// Partitioned says that answers are of partitions, which keys do not tell.
	Partitioned bool
	MaxPatterns int           // how many keys are saved at most
	LoadTimeout time.Duration // of one query
	Report      failopen.Report
	// Closed reports whether the plugin is closed, and has forgotten which keys are hot.
	Closed func() bool

	// Limits returns the limits that the policy of a model gives to its answers; opted is false
	// where no policy opts the model in. The error says what is wrong with the policy.
	Limits func(model *schema.Schema) (limits template.Limits, opted bool, err error)
	// LoaderOf returns the loader of a key; false if it is not known how the key is loaded.
	LoaderOf func(key string) (cache.Loader, bool)
	// Register keeps what loads a key again.
	Register func(key string, load cache.Loader)
}

// Handover hands the hot keys of one process to the next.
type Handover struct{ Config }

// New returns a handover.
func New(config Config) *Handover { return &Handover{config} }

// Confirm reports whether a template that was read from a file agrees with a statement of its
// shape, and these args of its key. If the shape stands for other SQL now, all that the template
// found is forgotten.
func (h *Handover) Confirm(t *template.Template, db *gorm.DB, own []byte) bool {
	same, refutes := t.Confirm(db, own)
	if refutes {
		h.Templates.Remove(t)
		h.Log.Invalidate([]coherence.Change{coherence.Loose(catalog.TableName(t.Table), coherence.Any)})
		h.Report(slog.LevelWarn, "preload: keys of LoadHot are forgotten: their query is another one now", template.Label(t.Prefix))
	}
	return same
}
