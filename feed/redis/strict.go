package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/strict"
	goredis "github.com/redis/go-redis/v9"
)

// StrictFeed is a preload.Teller by which no process serves what another one has changed.
type StrictFeed struct {
	config
	client goredis.UniversalClient
	id     string
	names  *strict.Patient
	teller *strict.Teller
	ears   *ears
	shelf  *shelf // nil before Open
}

var (
	_ preload.Teller     = (*StrictFeed)(nil)
	_ preload.Positioner = (*StrictFeed)(nil)
	_ preload.Exact      = (*StrictFeed)(nil)
	_ preload.Shelf      = (*StrictFeed)(nil)
)

// ErrCutOff is in the error of a Commit that was refused because other processes could not be told
// of it (WhenCutOff).
var ErrCutOff = strict.ErrCutOff

// Strict returns a feed. The client stays the caller's, who closes it after the plugin.
func Strict(client goredis.UniversalClient, options ...Option) *StrictFeed {
	return &StrictFeed{config: newConfig(options), client: client}
}

// Open implements preload.Feed. Redis need not be there yet, but one that is there and refuses what
// the feed does is an error.
func (f *StrictFeed) Open(ctx context.Context, m preload.Member) (err error) {
	if err = f.err(); err != nil {
		return err
	}
	if f.client == nil {
		return errNoClient
	}
	f.id = m.ID()
	b := newBroker(f.client, f.name, m.Namespace(), f.logger)
	f.shelf = newShelf(f.client, f.name, m.Namespace(), f.id)
	f.names = &strict.Patient{Database: m.Arbiter(), After: f.patience}
	f.teller, err = strict.NewTeller(strict.Config{Lease: f.lease, Fail: f.fail}, f.id, b, f.names, m)
	if err != nil {
		return err
	}
	f.ears = b.listen(f.id, f.teller, f.teller.Denied)
	err = atOpen(ctx, func(ctx context.Context) error {
		if err := b.check(ctx, f.id); err != nil {
			return err
		}
		return f.ears.begun(ctx)
	})
	if err != nil {
		return f.mayNot(err, m.Namespace(), "&")
	}
	f.teller.Start()
	return nil
}

var errNoClient = errors.New("redis: the client is nil: want one that goredis.NewClient made, or the like")

// Announce implements preload.Teller.
func (f *StrictFeed) Announce(ctx context.Context, batch []byte, tx string) (finish func(preload.End), err error) {
	return f.teller.Announce(ctx, batch, f.names.Name(f.id, tx))
}

// Exact implements preload.Exact.
func (f *StrictFeed) Exact() {}

// Position implements preload.Positioner. The error says that there is a write that could not be
// told to the others in time, and has not been since.
func (f *StrictFeed) Position(ctx context.Context) (string, error) {
	if f.teller == nil {
		return "", errNotOpen
	}
	position, err := f.teller.Position(ctx)
	if err != nil {
		return "", fmt.Errorf("redis: %w", err)
	}
	return position, nil
}

// Await implements preload.Positioner. There is nothing to wait for while answers are served.
func (f *StrictFeed) Await(_ context.Context, position string) error {
	if f.teller == nil {
		return errNotOpen
	}
	if err := f.teller.Await(position); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Close implements preload.Feed. It takes no longer than half a lease: where Redis does not answer
// it leaves up to a few hundred calls behind, which end when the client gives up, or is closed.
func (f *StrictFeed) Close() error {
	if f.teller == nil {
		return nil
	}
	within(f.lease/2, func() {
		_ = f.teller.Close() // never an error
		if f.ears != nil {
			f.ears.close()
		}
	})
	return nil
}
