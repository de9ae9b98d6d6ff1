package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/jackc/pgx/v5"
)

// Option configures a feed. A bad value is an error of db.Use that names the option.
type Option func(*config)

type config struct {
	bound       time.Duration
	publication string
	schema      string
	lease       time.Duration
	patience    time.Duration
	fail        bool
	relay       Relay         // nil where each process reads the server's log itself
	again       time.Duration // how often a process asks which server it reads, where another one leads
	tables      []string      // of which a change table tells; nil for all
	late        time.Duration // for how long changes stay in a change table at least
	room        int64         // how long a change table may be, in bytes
	logger      *slog.Logger
	reporter    *failopen.Reporter // to the logger
	unguarded   bool               // what is told counts as visible: a fault that a test makes
	errs        []error
}

func newConfig(options []Option) config {
	c := config{
		bound: time.Second, publication: "preload", schema: "preload", lease: 2 * time.Second, patience: time.Minute,
		again: 30 * time.Second, late: 10 * time.Second, room: 256 << 20, logger: slog.Default(),
	}
	for _, option := range options {
		if option == nil {
			c.errs = append(c.errs, errors.New("postgres: an Option is nil"))
			continue
		}
		option(&c)
	}
	c.reporter = failopen.Complaints(c.logger)
	return c
}

// warn logs what is wrong, and why if that is not nil; about says where, in pairs.
func (c *config) warn(what string, err error, about ...any) {
	c.reporter.Wrong("preload: "+what, err, append([]any{"feed", "postgres"}, about...)...)
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
		if c.require(logger != nil, "WithLogger", logger, "a logger"); logger != nil {
			c.logger = logger
		}
	}
}

// WithSchema sets the schema in which a Strict or a ChangeTable feed has its tables and functions.
// Processes that tell each other of their writes take the same. Default "preload"; it must not be
// empty.
func WithSchema(name string) Option {
	return func(c *config) {
		c.require(name != "", "WithSchema", name, "a name")
		c.schema = name
	}
}

// WithLease sets how long a process with a Strict feed serves without having heard from the server,
// and so how long a write waits for one that does not answer. It is the same in all processes.
// Default 2 seconds; at least 100 milliseconds.
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

// parse reads a data source name, and returns which database the plugin's handle is connected with.
func (c *config) parse(dsn string, m preload.Member) (dial *pgx.ConnConfig, database string) {
	dial, err := pgx.ParseConfig(dsn)
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("postgres: the data source name: %w", err))
	}
	dialect, database, _ := strings.Cut(m.Namespace(), "/")
	if dialect != "postgres" {
		c.errs = append(c.errs, fmt.Errorf("postgres: the plugin's handle is one of %s: want PostgreSQL", dialect))
	}
	return dial, database
}
