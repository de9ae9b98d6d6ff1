package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

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

// Open implements preload.Feed.
func (f *StrictFeed) Open(ctx context.Context, m preload.Member) (err error) {
	if err = f.err(); err != nil {
		return err
	}
	if f.client == nil {
		return errNoClient
	}
	if err = keepsKeys(ctx, f.client); err != nil {
		return err
	}
	f.id = m.ID()
	f.shelf = newShelf(f.client, f.name, m.Namespace(), f.id)
	f.names = &strict.Patient{Database: m.Arbiter(), After: f.patience}
	b := newBroker(f.client, f.name, m.Namespace())
	f.teller, err = strict.NewTeller(strict.Config{Lease: f.lease, Fail: f.fail}, f.id, b, f.names, m)
	if err != nil {
		return err
	}
	if f.ears, err = b.listen(ctx, f.id, f.teller); err != nil {
		return err
	}
	f.teller.Start()
	return nil
}

var errNoClient = errors.New("redis: the client is nil: want one that goredis.NewClient made, or the like")

// keepsKeys returns an error if the server may drop keys for want of memory, or does not let this
// client ask. A server that cannot be reached may be reached later.
func keepsKeys(ctx context.Context, client goredis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	info, err := client.Info(ctx, "memory").Result()
	var answer goredis.Error
	switch {
	case errors.As(err, &answer) && strings.HasPrefix(answer.Error(), "NOPERM"):
		return fmt.Errorf("redis: the user of this client may not do what a feed does: %w", err)
	case strings.Contains(info, "maxmemory_policy:allkeys"):
		return errors.New("redis: the server drops keys when its memory is full (maxmemory-policy allkeys-...), which strict feeds cannot do with: want noeviction, or a volatile-... policy")
	}
	return nil
}

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

// Close implements preload.Feed. It takes no longer than half a lease.
func (f *StrictFeed) Close() error {
	if f.teller == nil {
		return nil
	}
	err := f.teller.Close()
	if f.ears != nil {
		f.ears.close()
	}
	return err
}

// ears hear what is published.
type ears struct {
	sub  *goredis.PubSub
	done chan struct{}
	once sync.Once
	ear  sync.WaitGroup
}

func (e *ears) close() {
	e.once.Do(func() { close(e.done); _ = e.sub.Close() })
	e.ear.Wait()
}

// hear calls do with what is published, on a goroutine of its own.
func (e *ears) hear(do func(*goredis.Message)) {
	e.ear.Go(func() {
		for {
			m, err := e.sub.ReceiveMessage(context.Background())
			if err == nil {
				do(m)
				continue
			}
			select {
			case <-e.done:
				return
			case <-time.After(10 * time.Millisecond): // and it subscribes again
			}
		}
	})
}
