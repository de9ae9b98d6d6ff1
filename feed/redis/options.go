package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Option configures a feed. A bad value is an error of db.Use that names the option.
type Option func(*config)

type config struct {
	name     string
	bound    time.Duration
	lease    time.Duration
	patience time.Duration
	length   int64
	fail     bool
	logger   *slog.Logger
	errs     []error
}

func newConfig(options []Option) config {
	c := config{name: "preload", bound: time.Second, lease: 2 * time.Second, patience: time.Minute, length: 10_000, logger: slog.Default()}
	for _, option := range options {
		if option == nil {
			c.errs = append(c.errs, errors.New("redis: an Option is nil"))
			continue
		}
		option(&c)
	}
	return c
}

func (c *config) err() error { return errors.Join(c.errs...) }

func (c *config) require(ok bool, option string, got any, want string) {
	if !ok {
		c.errs = append(c.errs, fmt.Errorf("redis: %s(%v): want %s", option, got, want))
	}
}

// WithName sets what the keys and channels in Redis begin with; the name of the database follows.
// Processes that use one database take the same name, those of databases that have the same name
// and are not the same take different ones. Default "preload"; it must not be empty.
func WithName(name string) Option {
	return func(c *config) {
		c.require(name != "", "WithName", name, "a name")
		c.name = name
	}
}

// WithBound sets how old an answer of a Bounded feed may be. Each process sends four beats in that
// time. Default 1 second; at least 40 milliseconds.
func WithBound(d time.Duration) Option {
	return func(c *config) {
		c.require(d >= 40*time.Millisecond, "WithBound", d, "at least 40ms")
		c.bound = d
	}
}

// WithLength sets how many entries the stream of a Bounded feed keeps, about: a process that is
// further behind invalidates all. Default 10,000; at least 100.
func WithLength(entries int) Option {
	return func(c *config) {
		c.require(entries >= 100, "WithLength", entries, "at least 100")
		c.length = int64(entries)
	}
}

// WithLease sets how long a process with a Strict feed serves without having heard from Redis, and
// so how long a write waits for one that does not answer. It is the same in all processes. Default
// 2 seconds; at least 100 milliseconds.
func WithLease(d time.Duration) Option {
	return func(c *config) {
		c.require(d >= 100*time.Millisecond, "WithLease", d, "at least 100ms")
		c.lease = d
	}
}

// WithPatience sets after how long the write of a process that has died counts as over, with a
// Strict feed, where the database cannot tell whether it is: in all databases but PostgreSQL, and
// for statements outside of transactions. Default 1 minute; it must be positive.
func WithPatience(d time.Duration) Option {
	return func(c *config) {
		c.require(d > 0, "WithPatience", d, "a positive duration")
		c.patience = d
	}
}

// WithLogger sets where a feed says what Redis refuses, or has that is not understood, once a minute.
// Default slog.Default().
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) {
		if c.require(logger != nil, "WithLogger", logger, "a logger"); logger != nil {
			c.logger = logger
		}
	}
}

// CutOff says what becomes of a write that cannot be told to other processes.
type CutOff uint8

const (
	// Commit lets the write go on. It is told to the others when that is possible; until then, and
	// for as long as they keep answers if this process dies before, they may serve what was there
	// before it.
	Commit CutOff = iota
	// Fail rolls its transaction back, with an error. A statement outside of a transaction goes on.
	Fail
)

// WhenCutOff sets what becomes of a write that cannot be told to the others within a lease, with a
// Strict feed. Default Commit.
func WhenCutOff(do CutOff) Option {
	return func(c *config) {
		c.require(do <= Fail, "WhenCutOff", do, "Commit or Fail")
		c.fail = do == Fail
	}
}
