package preload

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/gorm-preload/preload/internal/own"
)

// Loader loads a value again, outside any request. It is called with a context of the plugin's own
// that ends after WithLoadTimeout or with Close, and should return soon after that.
type Loader func(ctx context.Context) (any, error)

// Load returns the value of an application's own data under a key: from memory, or from load, whose
// value is then kept for WithTTL and loaded again in the background like the answer of any query.
// The caller gets a copy of its own; a value that cannot be copied (it holds a channel or a
// function) is returned but not kept.
//
// load is called once at a time for a key: other callers wait for it, each as long as its own
// context lasts. If it takes much longer than usual, or its caller's context ends, one of those who
// wait calls its own, and so do all where that does not help. Its error is returned as it is and
// not kept. load is called later too, with a context of the plugin's, so it must not hold on to a
// request or a transaction. Writes to tables do not touch own data: Invalidate() without models,
// Clear, and statements that invalidate everything (DDL, CALL) do. A key must not begin with
// "sql:"; of one of more than 1 KiB its beginning and a sum are kept, as RecordAccess says. A nil
// plugin calls load.
//
// In a partition that has a name (WithPartition) the value is that partition's own, and is not
// loaded in the background.
func Load[T any](ctx context.Context, p *Plugin, key string, load func(context.Context) (T, error)) (T, error) {
	return loadAs(ctx, p, "Load", key, load, nil)
}

// LoadWith is Load with options: For sets how long the value is kept, and Tables names what it was
// made of, so that what writes to one of these tables invalidates it, as it does the answers of
// queries, and Tags gives it names for InvalidateTags. Calls for one key are to give
// the same options. load is not to be called in a transaction that has written: its value would be
// kept as everybody's. The error is that of load, or says which option is wrong.
func LoadWith[T any](ctx context.Context, p *Plugin, key string, load func(context.Context) (T, error), options ...CacheOption) (T, error) {
	return loadAs(ctx, p, "LoadWith", key, load, options)
}

func loadAs[T any](ctx context.Context, p *Plugin, who, key string, load func(context.Context) (T, error), options []CacheOption) (T, error) {
	var zero T
	if load == nil {
		return zero, fmt.Errorf("preload: %s: the loader is nil: want a function that gives the value", who)
	}
	if ctx == nil {
		return zero, fmt.Errorf("preload: %s: %w", who, errNilContext)
	}
	if p.idle() || p.closed.Load() {
		return load(ctx)
	}
	if p.mode() == ModeOff {
		began := time.Now()
		value, err := load(ctx)
		p.stats.bypass(ReasonOff)
		p.config.tell(ctx, Event{Outcome: OutcomeBypass, Reason: ReasonOff, Took: time.Since(began)})
		return value, err
	}
	terms, err := p.termsOf(who, options)
	if err != nil {
		return zero, err
	}
	value, err := p.own.Load(ctx, key, reflect.TypeFor[T](), terms, func(ctx context.Context) (any, error) { return load(ctx) })
	v, _ := value.(T) // an interface type T may hold nil
	return v, err
}

// Preload calls loader now and keeps its value under a key for Load, with the loader to load it
// again. It returns the error of the loader, or one that says why the value cannot be kept.
func (p *Plugin) Preload(ctx context.Context, key string, loader Loader) error {
	if p.idle() {
		return errNoPlugin
	}
	if err := own.CheckKey(key); err != nil {
		return err
	}
	if ctx == nil {
		return fmt.Errorf("preload: Preload: %w", errNilContext)
	}
	if loader == nil {
		return errors.New("preload: Preload: the loader is nil: want a function that gives the value")
	}
	if p.closed.Load() {
		return fmt.Errorf("preload: Preload: %w", ErrClosed)
	}
	if p.mode() == ModeOff {
		_, err := loader(ctx)
		return err
	}
	return p.own.Preload(ctx, key, loader)
}
