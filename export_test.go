package preload

import (
	"errors"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
)

// WithWaits has readers wait so long for what others load, however long that usually takes: for
// tests that hold up a load.
func WithWaits(d time.Duration) Option {
	return func(c *config) { c.waits = cache.Waits{Least: d, Most: d, First: d} }
}

// WithBrief gives loads so long that statements of the application wait for: for machines that are
// busy with other tests.
func WithBrief(d time.Duration) Option {
	return func(c *config) { c.brief = d }
}

// WithStoreWait has calls of a Store waited for so long.
func WithStoreWait(d time.Duration) Option {
	return func(c *config) { c.storeWait = d }
}

// Check ends what a plugin does in the background, and returns what does not agree in its cache.
func Check(p *Plugin) error {
	return errors.Join(p.worker.Stop(), p.cache.Check())
}

// Tick does what one turn of the worker does, for tests in which none runs.
func Tick(p *Plugin) { p.worker.Tick() }
