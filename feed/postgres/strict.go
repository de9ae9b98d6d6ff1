package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/strict"
	"github.com/jackc/pgx/v5"
)

// StrictFeed is a preload.Teller by which no process serves what another one has changed, over
// PostgreSQL alone. It is safe for concurrent use.
type StrictFeed struct {
	config
	dsn    string
	id     string
	names  *strict.Patient
	broker *broker
	teller *strict.Teller
	ears   *ears
}

var (
	_ preload.Teller     = (*StrictFeed)(nil)
	_ preload.Positioner = (*StrictFeed)(nil)
	_ preload.Exact      = (*StrictFeed)(nil)
)

// ErrCutOff is in the error of a Commit that was refused because other processes could not be told
// of it (WhenCutOff).
var ErrCutOff = strict.ErrCutOff

// Strict returns a feed of an application's own writes: once a write has returned, no process
// serves what was there before it. The processes tell each other through a PostgreSQL that a data
// source name names, as pgx takes it: that of the application, or another one. A write waits until
// all other processes have answered.
//
// The server keeps four unlogged tables and the functions that use them in a schema of its own
// (WithSchema), which the first process makes: its role may create schemas (GRANT CREATE ON
// DATABASE), or somebody runs what StrictSQL returns. Each process has up to five connections, made
// for LISTEN and NOTIFY, so that they lead to the server itself and not to a pooler that shares
// connections between transactions. Nothing of that waits for a disk or a standby.
//
// A server that crashed, or a standby that was promoted, has forgotten who the processes are: they
// join anew, and nothing is served until that is done. Two servers that are both taken for the
// primary are two worlds that do not hear of each other.
func Strict(dsn string, options ...Option) *StrictFeed {
	return &StrictFeed{config: newConfig(options), dsn: dsn}
}

// StrictSQL returns the SQL that makes what Strict needs in a schema, for roles that may not.
func StrictSQL(schema string) string {
	return (&broker{schema: pgx.Identifier{schema}.Sanitize()}).sql()
}

// Open implements preload.Feed. The server need not be there yet, but one that is there and refuses
// is an error.
func (f *StrictFeed) Open(ctx context.Context, m preload.Member) (err error) {
	if err := errors.Join(f.errs...); err != nil {
		return err
	}
	f.id = m.ID()
	f.names = &strict.Patient{Database: m.Arbiter(), After: f.patience}
	if f.broker, err = newBroker(f.dsn, f.schema, m.Namespace(), f.logger); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	defer func() {
		if err != nil {
			f.broker.close()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := f.broker.make(ctx); final(err) {
		return fmt.Errorf("postgres: %w", err)
	}
	if f.teller, err = strict.NewTeller(strict.Config{Lease: f.lease, Fail: f.fail}, f.id, f.broker, f.names, m); err != nil {
		return err
	}
	f.ears = f.broker.listen(f.id, f.teller, func() {})
	f.teller.Start()
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
		return "", errNotConnected
	}
	position, err := f.teller.Position(ctx)
	if err != nil {
		return "", fmt.Errorf("postgres: %w", err)
	}
	return position, nil
}

// Await implements preload.Positioner. There is nothing to wait for while answers are served.
func (f *StrictFeed) Await(_ context.Context, position string) error {
	if f.teller == nil {
		return errNotConnected
	}
	if err := f.teller.Await(position); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	return nil
}

// Close implements preload.Feed. It takes no longer than half a lease.
func (f *StrictFeed) Close() error {
	if f.teller == nil {
		return nil
	}
	err := f.teller.Close()
	f.broker.cancel()
	f.ears.close()
	f.broker.close()
	return err
}
