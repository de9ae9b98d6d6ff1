package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// Feed is a preload.Feed by which no process serves an answer that is older than a bound, whoever
// wrote. It is safe for concurrent use.
//
// A session is one connection with the server, from joining to its loss. What a session promises:
// every transaction whose commit becomes visible after the session began to serve is told by its
// stream, and is taken in, in the order of commits, before anything is served that was asked for
// after the commit.
type Feed struct {
	config
	dsn      string
	dial     *pgx.ConnConfig
	m        preload.Member
	database string // which one the plugin's handle is connected with

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	worker sync.WaitGroup

	session  atomic.Pointer[session] // the one whose stream is read; nil if there is none
	said     string                  // which tables were last said not to be told; the worker's
	follower *follower               // nil where this process reads the server's log itself
}

var _ preload.Positioner = (*Feed)(nil)

// New returns a feed that connects with a server by a data source name, as pgx takes it.
func New(dsn string, options ...Option) *Feed { return &Feed{config: newConfig(options), dsn: dsn} }

// Open implements preload.Feed. The server need not be there yet.
func (f *Feed) Open(_ context.Context, m preload.Member) error {
	dial, database := f.parse(f.dsn, m)
	if f.relay != nil {
		if err := f.relay.Add(context.Background(), "", nil); err != nil {
			f.errs = append(f.errs, fmt.Errorf("postgres: the relay: %w", err))
		}
	}
	if err := errors.Join(f.errs...); err != nil {
		return err
	}
	f.dial, f.m, f.database = dial, m, database
	f.ctx, f.cancel = context.WithCancel(context.Background())
	if f.relay != nil {
		f.follower = newFollower(f)
		f.worker.Go(func() { f.follower.keepUp(f.ctx) })
	}
	f.worker.Go(f.run)
	return nil
}

// Close implements preload.Feed. It takes some milliseconds, a quarter of a second with a relay,
// and seconds where the server or the relay does not answer.
func (f *Feed) Close() error {
	if f.cancel != nil {
		f.cancel()
		f.worker.Wait()
	}
	return nil
}

// How long it takes at least, and at most, until the server is tried again.
const (
	shortestPause = 50 * time.Millisecond
	longestPause  = 5 * time.Second
)

// run has one session after the other, until Close.
func (f *Feed) run() {
	pause := shortestPause
	for f.ctx.Err() == nil {
		if f.follower != nil {
			f.follower.awaitVacancy(f.ctx)
		}
		served, err := f.once()
		if f.ctx.Err() != nil {
			return
		}
		if served {
			pause = shortestPause
		}
		taken := errors.Is(err, errTaken)
		if !taken || f.follower.deaf() {
			f.complain("nothing is served from memory: the changes of the database are not told", err)
		}
		if taken {
			pause = min(pause, f.bound) // the place may be vacant soon
		}
		if errors.Is(err, errNoRelay) {
			sleep(f.ctx, 2*f.bound) // others come first, who ask at least once in the bound
		}
		sleep(f.ctx, pause)
		pause = min(2*pause, longestPause)
	}
}

// once has one session. served reports whether anything was served in it.
func (f *Feed) once() (served bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("postgres: a panic: %v", r)
		}
	}()
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	s, err := f.join(ctx)
	if s == nil {
		return false, err
	}
	defer s.close()
	if err == nil {
		err = s.follow(ctx)
	}
	return s.served, err
}

// errAgain is how a session ends that is to begin anew with nothing wrong.
var errAgain = errors.New("postgres: the publication has other tables now")

// complain logs what is wrong.
func (f *Feed) complain(what string, err error) {
	if !errors.Is(err, errAgain) && !errors.Is(err, errMoved) {
		f.warn(what, err, "publication", f.publication)
	}
}

// errNotConnected is that of Position and Await while the server's log is not read.
var errNotConnected = errors.New("postgres: the feed is not connected with the server")

// Position names all that is committed by now, in this process or elsewhere, for Await of any
// process that is connected with the same server, by way of the same relay if there is one.
func (f *Feed) Position(ctx context.Context) (string, error) {
	if f.follower != nil {
		return f.follower.position(ctx)
	}
	s := f.session.Load()
	if s == nil {
		return "", errNotConnected
	}
	lsn, err := s.end(ctx)
	if err != nil {
		return "", fmt.Errorf("postgres: asking how far the log is: %w", err)
	}
	return lsn.String(), nil
}

// Await returns nil once all is taken in that was committed when a position was named: what was
// there before it is not served any more. It returns an error when the context is done, or the
// connection with the server is lost.
func (f *Feed) Await(ctx context.Context, position string) error {
	if f.follower != nil {
		return f.follower.await(ctx, position)
	}
	lsn, err := pglogrepl.ParseLSN(position)
	if err != nil {
		return fmt.Errorf("postgres: the position %q: %w", position, err)
	}
	s := f.session.Load()
	if s == nil {
		return errNotConnected
	}
	return s.await(ctx, lsn)
}
