package strict

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// End says what became of a write.
type End uint8

const (
	// EndVisible: it was committed, and every statement that begins now sees it.
	EndVisible End = iota
	// EndUndone: it never happens.
	EndUndone
	// EndUnknown: nobody knows. It may still be committed at any time.
	EndUnknown
)

var (
	// ErrGone is the answer of a broker to a step of another run, or of a seat that was given up.
	ErrGone = errors.New("strict: the run has ended, or the seat was given up")
	// ErrCutOff is the answer to a write that could not be announced, where Config.Fail says so.
	ErrCutOff = errors.New("strict: other processes could not be told of the write in time")
	// ErrDenied is the answer of a broker that does not let a process tell others what they wait
	// for.
	ErrDenied = errors.New("strict: the process may not tell others that it has taken a write in")
	// ErrClosed is the answer to a write that is announced after Close.
	ErrClosed = errors.New("strict: closed")

	errLeft = fmt.Errorf("%w: %w", ErrCutOff, ErrClosed)
)

// Seat is the place of a process among the members. No two that a broker gives are equal.
type Seat struct {
	Run     string // of the broker
	Process string
	Number  int64
}

// Standing is a seat, and a counter that each renewal moves up.
type Standing struct {
	Seat
	Counter int64
}

// Announcement says that a process is about to make changes visible.
type Announcement struct {
	ID      string // no other write has it
	Process string // whose write it is
	Tx      string // the transaction by the name that the database knows it by; "" where it has none
	Batch   []byte // what changes
}

// Acknowledgement says that the holder of a seat serves nothing that a write changes, and keeps
// nothing of it until it has ended.
type Acknowledgement struct {
	Write string
	Seat  Seat
}

// State is what a broker knows at the moment of a step.
type State struct {
	Run string
	// Ready says that nobody serves on a lease of an earlier run any more.
	Ready   bool
	Members []Standing
	Pending []Announcement
}

// Broker is what the processes share: a Redis, or a PostgreSQL. Each method is one atomic step of
// it. Every step may be carried out twice, late, and after its process has ended.
//
// The run names the state of a broker: no two states that were begun apart have the same name, even
// where one server begins both, or where a server reads an old state back. LocalBroker says what
// each step has to do.
type Broker interface {
	// Join seats a process, and takes a seat away that it has left: none where that is the zero
	// Seat. It takes no other one away, because the request may come when the process holds that.
	// It begins a run where there is none.
	Join(ctx context.Context, process string, left Seat) (Seat, State, error)
	// Renew moves the counter of a seat, if the seat is still held.
	Renew(ctx context.Context, seat Seat) (State, error)
	// Announce makes a write pending, if the run is still the same, and tells all processes of it,
	// again where it is pending already. Pending is left out of the State.
	Announce(ctx context.Context, run string, a Announcement) (State, error)
	// Acknowledge tells a process that a seat has taken its write in. The error is ErrDenied where
	// trying again would not change it.
	Acknowledge(ctx context.Context, process string, a Acknowledgement) error
	// Finish makes a write pending no longer, if the run is still the same, and tells all.
	Finish(ctx context.Context, run, write string, end End) error
	// Fence takes a seat away if its counter has not moved, and returns the counter where it has.
	Fence(ctx context.Context, s Standing) (gone bool, counter int64, err error)
	// Ready notes that nobody serves on a lease of an earlier run.
	Ready(ctx context.Context, run string) error
	// Leave takes a seat away.
	Leave(ctx context.Context, seat Seat) error
}

// Listener is told what a broker tells processes. Notices may be lost, late, doubled and in any
// order.
type Listener interface {
	Announced(Announcement)
	Finished(write string, end End)
	Acknowledged(Acknowledgement)
	Gone(Seat)
}

// Database knows which transactions are over.
type Database interface {
	// Over reports whether a transaction has ended, and every statement that begins after the
	// answer sees what it did. That time has passed is no reason, unless the database ends
	// transactions itself after that time.
	Over(ctx context.Context, tx string) (bool, error)
	// Mark names the transactions that are open, Passed reports whether all of them are over.
	Mark(ctx context.Context) (mark string, err error)
	Passed(ctx context.Context, mark string) (bool, error)
}

// Memory holds the answers that are served without the database. It is called by one goroutine at a
// time.
type Memory interface {
	// Serve allows to serve and keep until so long after asked.
	Serve(asked time.Time, n time.Duration)
	// Stop forbids it. What is being loaded is not kept either.
	Stop()
	// Reset forgets all, of loads in flight too.
	Reset(reason string)
	// Begin forgets what a batch changes, of loads in flight too, and keeps nothing of it until end
	// is called. A batch that cannot be read changes everything; so does an empty one.
	Begin(batch []byte) (end func(End))
}

// Clock is the monotonic clock of the process.
type Clock interface{ Now() time.Time }

// Scheduler carries out what a member asks of others. Both methods return at once. The step runs
// apart from the member, and what it returns is run where the member is. Either may be dropped: the
// member asks again.
type Scheduler interface {
	Broker(step func(context.Context) (then func()))
	Database(step func(context.Context) (then func()))
}

// Config says how long a member waits for others. Lease, Margin and Repeat are the same in all
// processes.
type Config struct {
	// Lease is how long a member may serve without asking, 2 s by default.
	Lease time.Duration
	// Margin is the share by which a clock may run fast or slow, 0.02 by default.
	Margin float64
	// Repeat is after how long an unanswered request is repeated, a tenth of a lease by default.
	Repeat time.Duration
	// Fail has a write fail, before its commit, that cannot be announced within a lease. Otherwise
	// it is announced once that is possible; until then others may serve what it outdates.
	Fail bool
}

// Default values of Config, and what is derived from it.
const (
	defaultLease  = 2 * time.Second
	defaultMargin = 0.02
	repeats       = 10 // in a lease
	renewals      = 4  // in a lease
	polls         = 4  // of the database in the time after which requests are repeated
	// idleLeases is after how many leases without a sign a member is given up for which no write
	// waits.
	idleLeases = 4
	// longest is how many leases a caller waits at most.
	longest = 4
	// maxOwed bounds the writes that go on after their callers were told.
	maxOwed = 1024
)

func (c *Config) complete() error {
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	if c.Margin == 0 {
		c.Margin = defaultMargin
	}
	if c.Repeat == 0 {
		c.Repeat = c.Lease / repeats
	}
	switch {
	case c.Lease < renewals, c.Repeat < polls, c.Repeat > c.Lease:
		return errors.New("strict: Lease and Repeat must be positive, and Repeat no longer than Lease")
	case c.Margin < 0 || c.Margin >= 0.5:
		return errors.New("strict: Margin must be between 0 and 0.5")
	}
	return nil
}

// serves is how long a member may serve after it asked for a renewal, by its own clock.
func (c *Config) serves() time.Duration {
	return time.Duration(float64(c.Lease) * (1 - c.Margin))
}

// outlives is how long a process waits, by its own clock, until a lease has ended of which it knows
// that it was asked for before.
func (c *Config) outlives() time.Duration {
	return time.Duration(float64(c.Lease)*(1+c.Margin)) + 1
}
