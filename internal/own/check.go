package own

import (
	"context"

	"github.com/gorm-preload/preload/internal/cache"
)

// Check has the loader of a key called once more, and nothing kept of it. A loader that runs with
// the context of In gives its value to the check.
type Check struct {
	Value  any
	Loaded bool // the loader gave it
}

type checkKey struct{}

// In returns a context with which a loader that was registered only checks.
func (c *Check) In(ctx context.Context) context.Context {
	return context.WithValue(ctx, checkKey{}, c)
}

func checkIn(ctx context.Context) *Check {
	c, _ := ctx.Value(checkKey{}).(*Check)
	return c
}

// run returns what calls the loader of a value; nil where the value was made of no tables: then
// nothing but its TTL bounds how old it is, and another value is no fault.
func (c *Check) run(ctx context.Context, terms Terms, load func(context.Context) (any, error)) cache.Run {
	if len(terms.Tables) == 0 {
		return nil
	}
	return func() (_ []*cache.Entry, err error) {
		c.Value, err = load(context.WithValue(ctx, checkKey{}, nil))
		c.Loaded = err == nil
		return nil, err
	}
}

// ValueOf returns the value that an entry holds, not to be changed.
func ValueOf(e *cache.Entry) any { return *(*any)(e.Value) }
