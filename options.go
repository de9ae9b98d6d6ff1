package preload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/batch"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/clock"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/optin"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/store"
	"github.com/gorm-preload/preload/internal/verify"
)

// Option configures a Plugin. A bad value is reported by Initialize, that is by db.Use, with the
// option's name.
type Option func(*config)

// Clock tells the time that scores, TTLs and hold-outs are measured with. It must be safe for
// concurrent use.
type Clock interface {
	Now() time.Time
}

// config is what the options set. It does not change after New.
type config struct {
	ttl, negativeTTL time.Duration
	maxEntries       int
	maxBytes         int64
	maxRows, batch   int
	interval         time.Duration
	threshold, decay float64
	maxPatterns      int
	maxLoaders       int
	concurrency      int
	loadTimeout      time.Duration
	holdOut          time.Duration
	policies         []optin.Given
	defaultPolicy    *optin.Policy
	store            Store
	guarded          *failopen.Store // the same, if it is the application's
	storeWait        time.Duration
	keepsKeys        bool // the store may keep the keys that it is asked for
	scorer           Scorer
	logger           *slog.Logger // the application's: only report writes to it
	logValues        bool         // the log may hold bind values and keys
	report           failopen.Report
	debug            failopen.Debug
	observe          func(context.Context, Event) // nil where nobody is told
	origin           func(context.Context) context.Context
	faults           *seen.Faults
	mode             Mode
	verify           Verify
	sampler          *verify.Sampler // nil where no hits are compared
	clock            Clock
	session          func(context.Context) string
	partition        func(context.Context) string
	raw              bool     // raw SQL is served
	functions        []string // of the application's own that have no side effects, folded
	worker, shareHot bool
	transactionReads bool
	waits            cache.Waits
	maxIdleConns     int
	brief            time.Duration // how long a load may take that statements of the application wait for
	feeds            []Feed
	seal             *batch.Seal // of what feeds are told; nil for none
	gate             *cache.Gate

	errs []error
}

const minInterval = 5 * time.Second

func newConfig(opts []Option) *config {
	c := &config{
		ttl:         5 * time.Minute,
		negativeTTL: 10 * time.Second,
		maxEntries:  10_000,
		maxBytes:    64 << 20,
		maxRows:     1_000,
		interval:    60 * time.Second,
		threshold:   0.5,
		decay:       0.9,
		maxPatterns: 1_000,
		maxLoaders:  1_024,
		batch:       100,
		concurrency: 2,
		loadTimeout: 5 * time.Second,
		holdOut:     time.Second,
		clock:       &clock.System{},
		worker:      true,
		storeWait:   storeWait,
		waits:       cache.UsualWaits,
		brief:       runner.BriefTime, maxIdleConns: 10,
	}
	for _, opt := range opts {
		if opt == nil {
			c.errs = append(c.errs, errors.New("preload: an Option is nil"))
			continue
		}
		opt(c)
	}
	c.modeOfEnvironment()
	c.checkVerify()
	if c.logger == nil {
		c.logger = slog.Default()
	}
	system, _ := c.clock.(*clock.System)
	if system != nil && len(c.feeds) > 0 {
		system.Step = cache.GateStep
	}
	c.gate = cache.NewGate(system)
	reporter := failopen.NewReporter(c.logger, c.clock.Now)
	reporter.Values = c.logValues
	c.faults, reporter.Noticed, c.report = &seen.Faults{}, c.noticed, reporter.Report
	c.debug.Begin(c.logger, c.clock.Now)
	if c.store == nil {
		c.store = NewStore()
	}
	if _, own := c.store.(*store.Sharded); !own {
		c.guarded = failopen.NewStore(c.store, cache.IsEntry, c.report, c.storeWait, 2*max(1, c.maxEntries))
		c.store, c.keepsKeys = c.guarded, true
	}
	if c.scorer == nil {
		c.scorer = NewCountScorer(c.decay)
	} else {
		c.scorer = failopen.NewScorer(c.scorer, c.report)
	}
	return c
}

// What follows what is remembered in half of WithMaxBytes, of single keys, and an eighth, of
// statements; but not in less than this.
const (
	minGraphBytes = 4 << 20
	minRuleBytes  = 1 << 20
)

func (c *config) graphBytes() int64 { return max(minGraphBytes, c.maxBytes/2) }
func (c *config) ruleBytes() int64  { return max(minRuleBytes, c.maxBytes/8) }

func (c *config) err() error { return errors.Join(errors.Join(c.errs...), c.checkShared()) }

// require notes an error that names the option, unless ok.
func (c *config) require(ok bool, option string, got any, want string) {
	if !ok {
		c.errs = append(c.errs, fmt.Errorf("preload: %s(%v): want %s", option, got, want))
	}
}

// holdClock returns the time that hold-outs are measured with: they protect what may still be under
// way, so that they last as long as the clock says that goes forward only while the machine runs.
func (c *config) holdClock() func() time.Time {
	if _, system := c.clock.(*clock.System); system {
		return time.Now
	}
	return c.clock.Now
}

// WithTTL sets how long an answer is kept that no write has touched. It is what bounds the
// staleness that writers outside this process can cause. Default 5 minutes; it must be positive.
func WithTTL(ttl time.Duration) Option {
	return func(c *config) {
		c.require(ttl > 0, "WithTTL", ttl, "a positive duration")
		c.ttl = ttl
	}
}

// WithNegativeTTL sets how long an answer without rows ("not found") is kept; 0 does not keep such
// answers. Default 10 seconds; it must not be negative.
func WithNegativeTTL(ttl time.Duration) Option {
	return func(c *config) {
		c.require(ttl >= 0, "WithNegativeTTL", ttl, "a positive duration, or 0 to keep no empty answers")
		c.negativeTTL = ttl
		if ttl == 0 {
			c.negativeTTL = -1
		}
	}
}

// WithMaxEntries limits how many answers are kept. What was not used again leaves first: answers
// that are asked for once, however many, push out few of those that are asked for again and again.
// Default 10,000; it must be positive.
func WithMaxEntries(n int) Option {
	return func(c *config) {
		c.require(n > 0, "WithMaxEntries", n, "a positive number")
		c.maxEntries = n
	}
}

// WithMaxBytes limits the memory of the answers that are kept, in bytes, with all that is there on
// their account: the heap grows by up to 15 % more. What leaves first is as WithMaxEntries has it.
// What is learned of what follows what takes up to five eighths of it besides, and MemoryStats has
// the rest. A string counts with its own length, though one that a loader or a Scanner cut out of a
// longer one keeps all of that: give strings.Clone of a short part. Default 64 MiB; it must be
// positive.
func WithMaxBytes(n int64) Option {
	return func(c *config) {
		c.require(n > 0, "WithMaxBytes", n, "a positive number of bytes")
		c.maxBytes = n
	}
}

// WithMaxRows limits the rows of an answer that is kept; larger ones come from the database each
// time. A policy may set its own. Default 1,000; it must be positive.
func WithMaxRows(n int) Option {
	return func(c *config) {
		c.require(n > 0, "WithMaxRows", n, "a positive number of rows")
		c.maxRows = n
	}
}

// WithInterval sets the time between two turns of the background worker. Default 60 seconds; at
// least 5 seconds.
func WithInterval(d time.Duration) Option {
	return func(c *config) {
		c.require(d >= minInterval, "WithInterval", d, "at least "+minInterval.String())
		c.interval = d
	}
}

// WithThreshold sets the score from which on a key is hot. Default 0.5; it must not be negative.
func WithThreshold(score float64) Option {
	return func(c *config) {
		c.require(score >= 0 && !math.IsInf(score, 0), "WithThreshold", score, "a number that is not negative")
		c.threshold = score
	}
}

// WithDecay sets the factor by which a score falls per hour without access. Default 0.9; it must be
// in (0, 1].
func WithDecay(factor float64) Option {
	return func(c *config) {
		c.require(factor > 0 && factor <= 1, "WithDecay", factor, "a number above 0 and not above 1")
		c.decay = factor
	}
}

// WithMaxPatterns limits the keys whose access statistics are kept; the coldest leave first.
// Default 1,000; it must be positive.
func WithMaxPatterns(n int) Option {
	return func(c *config) {
		c.require(n > 0, "WithMaxPatterns", n, "a positive number")
		c.maxPatterns = n
	}
}

// WithMaxLoaders limits the loaders that are kept; the least recently registered leave first.
// Default 1,024; it must be positive.
func WithMaxLoaders(n int) Option {
	return func(c *config) {
		c.require(n > 0, "WithMaxLoaders", n, "a positive number")
		c.maxLoaders = n
	}
}

// WithBatch limits the keys that one turn of the worker loads. Default 100; it must be positive.
func WithBatch(keys int) Option {
	return func(c *config) {
		c.require(keys > 0, "WithBatch", keys, "a positive number of keys")
		c.batch = keys
	}
}

// WithConcurrency limits the background loads that run at a time. Default 2; it must be positive.
func WithConcurrency(loads int) Option {
	return func(c *config) {
		c.require(loads > 0, "WithConcurrency", loads, "a positive number of loads")
		c.concurrency = loads
	}
}

// WithMaxIdleConns limits how many idle connections the plugin has the pool keep, where the
// application left database/sql's default: two, with which a pool closes connections and opens
// others all the time when several goroutines read and not each read asks the database. The pool
// then keeps as many as were in use at a time within the last minute. What the application set by
// SetMaxIdleConns before db.Use stays, unless it is two, which cannot be told from the default.
// Default 10; with 0 the pool is left as it is.
func WithMaxIdleConns(n int) Option {
	return func(c *config) {
		c.require(n >= 0, "WithMaxIdleConns", n, "a number of connections, or 0")
		c.maxIdleConns = n
	}
}

// WithLoadTimeout limits how long a background load may take. Default 5 seconds; it must be
// positive.
func WithLoadTimeout(d time.Duration) Option {
	return func(c *config) {
		c.require(d > 0, "WithLoadTimeout", d, "a positive duration")
		c.loadTimeout = d
	}
}

// WithHoldOut sets how long tables stay out of the cache after a write whose end cannot be seen: in
// a transaction of a connection pool that is not the plugin's, on a single connection, in a raw
// write through Rows. After a write or a commit whose outcome is not known, as its connection or
// context ended before the server answered, they stay out for 60 times as long: a server may go on
// with it while it waits for locks. SQLite does not, so that once is enough there. Default 1
// second; it must be positive.
func WithHoldOut(d time.Duration) Option {
	return func(c *config) {
		c.require(d > 0, "WithHoldOut", d, "a positive duration")
		c.holdOut = d
	}
}

// WithPolicy opts a model in that cannot be tagged. It takes precedence over a tag.
func WithPolicy(model any, policy Policy) Option {
	return func(c *config) {
		t := catalog.StructType(reflect.TypeOf(model))
		c.require(t != nil && t.Kind() == reflect.Struct, "WithPolicy", reflect.TypeOf(model), "a model, such as &User{}")
		given := optin.Given{Model: model, Policy: optin.Policy(policy)}
		c.errs = append(c.errs, given.Policy.Check("WithPolicy")...)
		c.policies = append(c.policies, given)
	}
}

// WithDefaultPolicy opts every model in that has no tag and no WithPolicy: opt-out instead of
// opt-in.
func WithDefaultPolicy(policy Policy) Option {
	return func(c *config) {
		given := optin.Policy(policy)
		c.errs = append(c.errs, given.Check("WithDefaultPolicy")...)
		c.defaultPolicy = &given
	}
}

// WithStore sets where answers are kept. The default is NewStore().
func WithStore(store Store) Option {
	return func(c *config) {
		c.require(store != nil, "WithStore", store, "a Store")
		c.store = store
	}
}

// WithScorer sets how hot keys are found. The default is NewCountScorer with the factor of
// WithDecay.
func WithScorer(scorer Scorer) Option {
	return func(c *config) {
		c.require(scorer != nil, "WithScorer", scorer, "a Scorer")
		c.scorer = scorer
	}
}

// WithLogger sets where the log goes: what begins, ends and goes wrong, each once a minute at most,
// and what is read, invalidated and loaded at Debug. The default is slog.Default() at the time of
// New. Its handler must not use the plugin or its *gorm.DB.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) {
		c.require(logger != nil, "WithLogger", logger, "a *slog.Logger")
		c.logger = logger
	}
}

// WithLogValues has keys, with the bind values in them, and the texts of errors and panics, which
// may quote values, written to the log. By default it has sums of keys and the types and codes of
// errors.
func WithLogValues() Option {
	return func(c *config) { c.logValues = true }
}

// WithClock sets the clock. The default is the system's.
func WithClock(clock Clock) Option {
	return func(c *config) {
		c.require(clock != nil, "WithClock", clock, "a Clock")
		if clock != nil {
			c.clock = failopen.NewClock(clock)
		}
	}
}

// WithPartition makes the returned string part of every key: who asks, where answers depend on that
// (a tenant, an identity of row-level security, a key in the context that a serializer decrypts
// with). It is called for every query, and must be fast and must not panic. Background loads run
// without a request, so in a context of their own; keys of a partition other than "" are therefore
// not loaded in the background.
func WithPartition(partition func(context.Context) string) Option {
	return func(c *config) {
		c.require(partition != nil, "WithPartition", partition == nil, "a function")
		c.partition = partition
	}
}

// WithRaw has the answers of raw SQL kept as those of queries that GORM builds are:
// db.Raw("SELECT ...") with Find, First, Scan, Row or Rows, where the SQL is a plain read of tables
// of models that are opted in. What is kept is what the database gave, which each reader scans into
// what it has. Raw SQL with preload.Cache is kept without this option.
func WithRaw() Option {
	return func(c *config) { c.raw = true }
}

// WithFunctions says that these SQL functions of the application's own, in queries and in raw SQL,
// do nothing but work out their result from their arguments. Others count as functions that may
// write: queries that call one are not kept, and raw SQL that does so invalidates all answers. A
// name is as statements have it, with its schema if they name that: WithFunctions("slugify",
// "app.distance"). Case does not matter. A function that has the name of one of the database's own
// counts as that.
func WithFunctions(names ...string) Option {
	return func(c *config) {
		for _, name := range names {
			folded := strings.ToLower(name)
			c.require(functionName.MatchString(folded), "WithFunctions", strconv.Quote(name), `the name of a function, such as "slugify"`)
			c.functions = append(c.functions, folded)
		}
	}
}

// functionName is what a function may be called, with its schema before it.
var functionName = regexp.MustCompile(`^[\pL_][\pL\pN_$]*(\.[\pL_][\pL\pN_$]*)?$`)

// WithSession says which queries belong together where ContextWithSession does not: those for which
// the function returns the same string, such as the id of their trace (of OpenTelemetry:
// trace.SpanContextFromContext(ctx).TraceID().String()). What follows what is learned within such a
// session. Where it returns "", and by default, the session is that of the context's Done channel,
// which is another one for each query if each has a timeout of its own. It is called for every
// query of a model that is opted in, and must be fast and must not panic.
func WithSession(session func(context.Context) string) Option {
	return func(c *config) {
		c.require(session != nil, "WithSession", session == nil, "a function")
		c.session = session
	}
}

// WithoutWorker runs nothing in the background: no goroutine is started, nothing is preloaded or
// reloaded.
func WithoutWorker() Option {
	return func(c *config) { c.worker = false }
}

// now is the time by the clock of the application.
func (c *config) now() time.Time { return c.clock.Now() }

// guard runs a part of the plugin; a panic in it is logged and costs no more than that the part did
// not finish.
func (c *config) guard(part string, do func()) (ok bool) {
	return failopen.Guard(c.report, part, do)
}
