package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Option configures a feed. A bad value is an error of db.Use that names the option.
type Option func(*config)

type config struct {
	bound       time.Duration
	publication string
	logger      *slog.Logger
	unguarded   bool // what is told counts as visible: a fault that a test makes
	errs        []error
}

func newConfig(options []Option) config {
	c := config{bound: time.Second, publication: "preload", logger: slog.Default()}
	for _, option := range options {
		if option == nil {
			c.errs = append(c.errs, errors.New("postgres: an Option is nil"))
			continue
		}
		option(&c)
	}
	return c
}

func (c *config) require(ok bool, option string, got any, want string) {
	if !ok {
		c.errs = append(c.errs, fmt.Errorf("postgres: %s(%v): want %s", option, got, want))
	}
}

// WithBound sets how old an answer may be. The server is asked four times in that time how far its
// log is. Default 1 second; at least 100 milliseconds.
func WithBound(d time.Duration) Option {
	return func(c *config) {
		c.require(d >= 100*time.Millisecond, "WithBound", d, "at least 100ms")
		c.bound = d
	}
}

// WithPublication sets the name of the publication. Default "preload"; it must not be empty.
func WithPublication(name string) Option {
	return func(c *config) {
		c.require(name != "", "WithPublication", name, "a name")
		c.publication = name
	}
}

// WithLogger sets where the feed says what is wrong. Default slog.Default().
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) {
		c.require(logger != nil, "WithLogger", logger, "a logger")
		c.logger = logger
	}
}
