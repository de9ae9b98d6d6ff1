package preload

import (
	"context"
	"errors"
	"fmt"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/commit"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/feeds"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/gormprivate"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/loaders"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/optin"
	"github.com/gorm-preload/preload/internal/ordinary"
	"github.com/gorm-preload/preload/internal/own"
	"github.com/gorm-preload/preload/internal/processors"
	"github.com/gorm-preload/preload/internal/recognition"
	"github.com/gorm-preload/preload/internal/restart"
	"github.com/gorm-preload/preload/internal/shortcut"
	"github.com/gorm-preload/preload/internal/template"
	"github.com/gorm-preload/preload/internal/worker"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// pluginName is what GORM knows the plugin by.
const pluginName = "preload"

// Plugin is the GORM plugin. Make one with New and give it to db.Use; it serves that *gorm.DB and
// all that come from it. All methods are safe for concurrent use.
type Plugin struct {
	config *config
	host
	life
	models *optin.Models

	catalog    *catalog.Catalog
	footprints *footprint.Footprints
	log        *commit.Log
	templates  *template.Set
	cache      *cache.Cache
	ahead
	stats counters
	pipelines
}

// pipelines holds the reader, through which queries go, and the writer, through which writes go,
// with the keys, names and accesses that the reader uses, and the feeds that are told of writes.
type pipelines struct {
	feeds    connected
	keys     *recognition.Keys
	names    *ordinary.Tables
	accesses accesses
	reader   reader
	writer   writer
}

// host is the *gorm.DB that the plugin serves, as Initialize found it; it does not change after
// that.
type host struct {
	db      *gorm.DB
	pool    *commit.Pool
	dialect string         // the name of db's
	query   func(*gorm.DB) // the callback gorm:query as it was before the plugin replaced it
	rows    func(*gorm.DB) // the callback gorm:row, likewise
	source  *loading.Source
	pgx     bool // its driver may be pgx
	chain   gormprivate.QueryChain
	// shortcuts take prepared queries to answers that are in memory.
	shortcuts *shortcut.Set
	// handover hands the hot keys of this process to the next.
	handover *restart.Handover
}

// ahead is what is known of keys, by which their answers are loaded before they are asked for.
type ahead struct {
	own      *own.Data
	patterns *hotness.Table
	loaders  *loaders.Loaders
	worker   *worker.Worker
	learner  *association.Learner
	shared   shared
}

// New returns a plugin. Options are checked; what is wrong with them is reported by Initialize,
// that is by db.Use.
func New(opts ...Option) *Plugin {
	c := newConfig(opts)
	p, index := &Plugin{config: c}, coherence.New(c.holdClock())
	// Some of the functions below read fields of p that are set further down: none is called before
	// Initialize.
	p.loaders = loaders.New(max(1, c.maxLoaders))
	p.cache = cache.New(cache.Config{
		Store: c.store, Guarded: c.guarded, KeepsKeys: c.keepsKeys, MaxEntries: c.maxEntries, MaxBytes: c.maxBytes,
		Waits: c.waits, Index: index, Now: p.config.now, Gate: c.gate,
		Pushed: func(victim *cache.Entry) { p.learner.Pushed(victim) }, Invalidated: c.invalidated(),
	})
	fresh := &freshness{cache: p.cache}
	p.patterns = hotness.New(max(1, c.maxPatterns), c.scorer)
	p.own = own.New(own.Config{
		Cache: p.cache, Index: index, TTL: c.ttl, Partition: c.partition, Since: fresh.in, Report: c.report,
		Shadow: func() bool { return p.mode() == ModeShadow },
		Compared: func(ctx context.Context, e *cache.Entry, label string, c *own.Check) {
			p.reader.verifier.ComparedOwn(ctx, e, label, c)
		},
		Pattern: p.patterns.Lookup, Record: p.patterns.Touch, Hit: p.accesses.hit, Note: p.accesses.missed,
		Joined: p.accesses.joined, Missed: p.accesses.lacked,
		Register: func(key string, load cache.Loader) { p.loaders.Register(key, load, 0) },
	})
	p.stats.holdOuts = c.newHoldOuts()
	p.enter(c.mode)
	p.models = optin.New(optin.Config{
		Given: c.policies, Default: c.defaultPolicy, Settings: template.Limits{TTL: c.ttl, Negative: c.negativeTTL, MaxRows: c.maxRows},
	})
	p.catalog = catalog.New(catalog.Hooks{Dialect: func() string { return p.dialect }, Settle: p.models.Settle, Depends: p.models.Depends, Changed: func(l catalog.Learned) { p.log.Changed(l) }})
	p.models.Teach(p.catalog)
	p.footprints = footprint.New(p.catalog, len(c.feeds) > 0, c.functions...)
	p.names = ordinary.New(ordinary.Config{Settled: func() (int64, bool) { return p.log.Settled() }, Ask: p.askOfName, Now: c.now})
	p.templates = template.NewSet(template.Config{
		Catalog: p.catalog, Footprints: p.footprints, Cache: p.cache, Index: index, Salt: p.own.Prefix(),
		Report: c.report, Rule: p.models.Rule, Ordinary: p.names.Is, Collated: p.collations(c),
	})
	verifier := p.verifierOf(c)
	origin := failopen.Origin(c.origin, c.report)
	p.worker = worker.New(worker.Config{
		Cache: p.cache, Own: p.own, Patterns: p.patterns, Loaders: p.loaders, Templates: p.templates, Off: !c.worker, Away: &p.away,
		Settings: worker.Settings{
			Interval: c.interval, TTL: c.ttl, Threshold: c.threshold, MaxPatterns: c.maxPatterns, Batch: c.batch, Concurrency: c.concurrency,
			MaxIdleConns: c.maxIdleConns, LoadTimeout: c.loadTimeout, Brief: c.brief,
		},
		Now: c.now, Origin: origin, Report: c.report, Verifier: verifier, Sampler: c.sampler,
		Ended: func(l worker.Ended) {
			c.debug.Look()
			c.tell(l.Origin, Event{Kind: EventLoad, Table: l.Table, Shape: l.Shape, Why: l.Cause, Took: l.Took, Failed: l.Failed})
		},
		Ticked:     func() { p.stats.holdOuts.Look() },
		Processors: new(processors.Waits),
	})
	p.feeds.Feeds = feeds.New(feeds.Config{
		Catalog: p.catalog, Gate: c.gate, Log: func() *commit.Log { return p.log }, Seal: c.seal, Report: c.report,
	})
	fresh.feeds = p.feeds.Feeds
	p.log = commit.New(commit.Config{
		Catalog: p.catalog, Footprints: p.footprints, Cache: p.cache, Index: index, HoldOut: c.holdOut,
		Now: c.holdClock(), Report: c.report, Gate: &p.worker.Gate, Killed: p.worker.Revive, Others: p.feeds.Feeds,
		Reads: c.transactionReads, Wrote: p.wrote,
		HeldOut: func(tables []string, hold commit.Hold) {
			p.stats.holdOuts.Begin(coherence.AllTold(tables), string(hold.Why), hold.For)
		},
	})
	p.learner = association.New(association.Config{
		Context: p.worker.Context(), Cache: p.cache, Templates: p.templates, OwnPrefix: p.own.Prefix(),
		MaxEntries: c.maxEntries, GraphBytes: c.graphBytes(), RuleBytes: c.ruleBytes(),
		Now: p.config.now, Origin: origin, Report: c.report, Expect: p.worker.Expect, Moved: c.moved, Loadable: func(key string) bool { _, ok := p.worker.LoaderOf(key); return ok },
		Processors: p.worker.Processors,
	})
	p.worker.Learner = p.learner
	p.accesses = accesses{config: c, life: &p.life, cache: p.cache, own: p.own, patterns: p.patterns, learner: p.learner, worker: p.worker}
	p.keys = recognition.New(recognition.Config{
		Models: p.models, Templates: p.templates, Footprints: p.footprints, Cache: p.cache, Log: p.log,
		Partition: c.partition, KeepsKeys: c.keepsKeys, Raw: c.raw, Now: c.now, Report: c.report, Place: placeOfArg, Names: p.names,
		Confirm: func(t *template.Template, db *gorm.DB, own []byte) bool { return p.handover.Confirm(t, db, own) },
		Since:   fresh.of,
	})
	p.writer = writer{
		life: &p.life, config: c, log: p.log, footprints: p.footprints, catalog: p.catalog, models: p.models, gate: &p.worker.Gate,
	}
	p.reader = reader{
		config: c, life: &p.life, host: &p.host, keys: p.keys, accesses: &p.accesses, log: p.log, cache: p.cache,
		loaders: p.loaders, stats: &p.stats, writes: &p.writer, verifier: verifier,
	}
	return p
}

// Name implements gorm.Plugin: "preload".
func (p *Plugin) Name() string { return pluginName }

// Initialize implements gorm.Plugin; db.Use calls it. It registers the plugin's callbacks, puts a
// wrapper in front of the connection pool, and starts the worker. It fails on bad options, on a
// closed plugin, and on a second, unrelated *gorm.DB. dbresolver calls it again for each of its own
// pools: transactions of these are then seen, too.
func (p *Plugin) Initialize(db *gorm.DB) error {
	switch {
	case p == nil || p.config == nil:
		return errNoPlugin
	case p.config.err() != nil:
		return p.config.err()
	case db == nil || db.Config == nil:
		return errors.New("preload: Initialize(nil): want the *gorm.DB to serve")
	case db.Statement == nil || db.Callback() == nil || db.Dialector == nil && db.ConnPool == nil && db.Error != nil:
		return errors.New("preload: Initialize: the *gorm.DB is not one that gorm.Open returned without an error: look at the error of gorm.Open first")
	case db.Dialector == nil:
		return errors.New("preload: Initialize: the *gorm.DB has no dialect, so that it cannot ask anything: want one that gorm.Open made with a driver, such as postgres.Open(dsn)")
	}
	p.initialize.Lock()
	defer p.initialize.Unlock()
	if p.closed.Load() {
		return fmt.Errorf("preload: %w", ErrClosed)
	}
	_, hub := commit.Observable(db.ConnPool)
	direct := hub != nil // opened with Connector or Driver, so that no wrapper is needed
	for _, other := range db.Plugins {
		if err := commit.Unsuited(other); err != nil && !direct {
			return err
		}
	}
	if p.db != nil {
		if !related(p.db, db) {
			return errors.New("preload: one plugin serves one *gorm.DB, and this one has another already: make a plugin with New for each")
		}
		p.log.Wrap(db, gormprivate.Root(db.Callback().Query()))
		return nil
	}
	if err := p.registerCallbacks(db); err != nil {
		return fmt.Errorf("preload: registering callbacks: %w", err)
	}
	p.dialect = db.Name()
	p.log.Serve(db, direct)
	p.pool = p.log.Wrap(db, gormprivate.Root(db.Callback().Query()))
	switch p.dialect {
	case "sqlite", "mysql", "sqlserver":
	default:
		p.pgx = true
	}
	// A handle of the plugin's own: what the application does to db later does not change what
	// loaders run on.
	p.db = db.Session(&gorm.Session{NewDB: true, Context: context.Background()})
	p.models.Serve(p.db)
	p.keys.Serve(p.pool, p.pgx)
	p.footprints.Serve(p.db)
	p.names.Serve(p.dialect)
	p.templates.Serve(p.db, p.pool, commit.Prepares(p.db.Statement.ConnPool))
	p.source = loading.New(loading.Config{
		Log: p.log, Cache: p.cache, Templates: p.templates, Patterns: p.patterns, Pool: p.pool, Query: p.query, Rows: p.rows, Gate: &p.worker.Gate,
		Silent: func() bool { return p.mode() != ModeOn },
	}, p.db, p.config.worker)
	p.worker.Source = p.source
	p.shortcuts = shortcut.New(shortcut.Config{
		DB: p.db, Chain: &p.chain, Cache: p.cache, Partition: p.config.partition, KeepsKeys: p.config.keepsKeys, Clock: p.config.clock,
		Closed: &p.away, Report: p.config.report,
	})
	p.handover = p.newHandover()
	p.shared = shared{shelf: p.config.shelf(), within: sharedFor}
	if err := p.openFeeds(); err != nil {
		p.close() // GORM's callbacks are replaced already: another plugin is to be made
		return errors.Join(err, p.closeFeeds(p.feeds.cancel))
	}
	if p.config.transactionReads {
		p.log.AskIsolation(p.pool)
	}
	p.ready.Store(true)
	if p.config.worker {
		p.worker.Start()
		p.share()
	}
	p.greet()
	return nil
}

// related reports whether two handles share what GORM knows of models, as all do that come from one
// gorm.Open, and those that dbresolver opens with a copy of its configuration.
func related(a, b *gorm.DB) bool {
	var schemas [2]*schema.Schema
	for i, db := range []*gorm.DB{a, b} {
		stmt := &gorm.Statement{DB: db}
		if err := stmt.Parse(&struct{ ID int }{}); err != nil && !errors.Is(err, schema.ErrUnsupportedDataType) {
			return false
		}
		schemas[i] = stmt.Schema
	}
	return schemas[0] != nil && schemas[0] == schemas[1]
}

// From returns the plugin of a *gorm.DB, if it has one.
func From(db *gorm.DB) (*Plugin, bool) {
	if db == nil || db.Config == nil {
		return nil, false
	}
	p, ok := db.Plugins[pluginName].(*Plugin)
	return p, ok
}

// inUse returns an error unless db.Use was called with the plugin.
func (p *Plugin) inUse() error {
	switch {
	case p == nil || p.config == nil:
		return errNoPlugin
	case !p.ready.Load():
		return errNotInitialized
	}
	return nil
}

// idle reports whether a *Plugin is nil or was not made by New, so that it can tell and do nothing.
func (p *Plugin) idle() bool { return p == nil || p.config == nil }

var errNoPlugin = errors.New("preload: the *Plugin is nil, or not of New: want one that New made, or that From found")

var errNotInitialized = fmt.Errorf("preload: %w", ErrNotInitialized)

// Register checks the tags of models and learns their tables and relations, which otherwise happens
// at their first query. The error names every model and setting that is wrong.
func (p *Plugin) Register(models ...any) error {
	if err := p.inUse(); err != nil {
		return err
	}
	var errs []error
	for _, value := range models {
		s, err := p.models.Parse(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("preload: Register: model %T: %w", value, err))
			continue
		}
		errs = append(errs, p.models.Of(s).Err)
	}
	return errors.Join(errs...)
}

// Invalidate invalidates every answer that depends on the tables of these models, or all answers,
// and an application's own data, where none is given. A model is a struct, a pointer to one, or the
// name of a table. Loads in flight are not stored. The error names models that cannot be parsed;
// the others are invalidated all the same.
func (p *Plugin) Invalidate(models ...any) error {
	if p.idle() {
		return errNoPlugin
	}
	if len(models) == 0 {
		p.log.InvalidateEverywhere([]coherence.Change{coherence.Everything})
		return nil
	}
	tables, err := p.tablesOf("Invalidate", models)
	p.forget(tables)
	return err
}

// Clear invalidates all answers, forgets all patterns, associations and loaders, and sets the
// counters to zero. Loads in flight are not stored.
func (p *Plugin) Clear() {
	if p.idle() {
		return
	}
	p.log.InvalidateEverywhere([]coherence.Change{coherence.Everything})
	p.patterns.Clear()
	p.loaders.Clear()
	p.templates.Clear()
	p.footprints.Clear()
	p.cache.ForgetPast()
	p.stats.clear()
	p.worker.Told.Clear()
	p.config.faults.Clear()
	p.cache.ClearCounts()
	p.learner.Clear()
	p.templates.Restore()
}

// Close ends the worker, waits for what runs in the background, and invalidates all answers; from
// when it is called, queries go straight to the database. It may be called any number of times. The
// error says which loaders have not returned although their context ended long ago; they are not
// waited for.
//
// It has no write refused that goes on without it. What was written before it was called and is
// committed while it runs is told to feeds. Writes that feeds were told of, and that have not ended
// when all else has, have 10 seconds to end, and feeds to answer, for which a strict feed takes
// about a lease where another process is silent; WhenCutOff holds for that as ever. What is written
// after Close was called, or committed after it returned, is told to nobody, as what is written
// without the plugin: others serve what was there before it until their answers expire, or another
// feed tells them.
func (p *Plugin) Close() error {
	if p.idle() {
		return errNoPlugin
	}
	if p.close() {
		p.farewell()
	}
	p.cache.Close()
	err := p.worker.Stop()
	p.endSharing()
	err = errors.Join(err, p.closeFeeds(p.disconnect()))
	p.log.Close()
	p.log.Invalidate([]coherence.Change{coherence.Everything})
	p.cache.ForgetPast()
	p.stats.unserved.Clear()
	p.stats.writes.Clear()
	p.stats.holdOuts.Close()
	p.patterns.Close()
	p.loaders.Close()
	p.templates.Close()
	p.footprints.Close()
	return err
}

// Warm runs queries and keeps their answers: each function gets a *gorm.DB and returns what its
// query, such as tx.Where(...).First(&person), returned. Rows that do not exist are no error. The
// error joins those of the queries; its text says of what type and code they are, and errors.As
// finds them with their own texts, which may quote values.
func (p *Plugin) Warm(ctx context.Context, queries ...func(*gorm.DB) *gorm.DB) error {
	if err := p.inUse(); err != nil {
		return err
	}
	if ctx == nil {
		return fmt.Errorf("preload: Warm: %w", errNilContext)
	}
	var errs []error
	for i, query := range queries {
		if query == nil {
			errs = append(errs, fmt.Errorf("preload: Warm: query %d is nil", i))
			continue
		}
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("preload: Warm: query %d and those after it were not run: %w", i, err))
			break
		}
		tx := query(p.db.WithContext(context.WithValue(ctx, warmKey{}, true)))
		if tx != nil && tx.Error != nil && !errors.Is(tx.Error, gorm.ErrRecordNotFound) {
			errs = append(errs, fmt.Errorf("preload: Warm: query %d: %w", i, failopen.PlainError(tx.Error)))
		}
	}
	return errors.Join(errs...)
}

// errNilContext is about an argument that must not be nil.
var errNilContext = errors.New("the context is nil: want context.Background(), or the one at hand")
