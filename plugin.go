package preload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/hotness"
	"github.com/gorm-preload/preload/internal/recency"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// pluginName is what GORM knows the plugin by.
const pluginName = "preload"

// Plugin is the GORM plugin. Make one with New and give it to db.Use; it serves that *gorm.DB and all that come from it.
// All methods are safe for concurrent use.
type Plugin struct {
	config *config

	initialize sync.Mutex
	db         *gorm.DB // set once by Initialize
	pool       *pool
	query      func(*gorm.DB) // GORM's own, as it was before
	builders   builders
	chain      chain
	ready      atomic.Bool
	closed     atomic.Bool

	models       sync.Map // reflect.Type -> *model
	recentModels recentModels

	catalog   *catalog
	templates *templates
	index     *coherence.Index
	own       *coherence.Group // of own data, which depends on no table
	ownPrefix string           // of their keys in the store, which other plugins may use, too
	recency   *recency.Ring[*entry]
	keyLocks  keyLocks
	flights   flights
	patterns  *hotness.Table
	registry  *registry
	meanings  memo[sqltext.Statement]
	shapes    memo[*sqltext.Shape]
	raw       rawTransactions
	openRows  openRows
	gate      gate
	stats     counters
	worker    *worker
	learner   *learner
}

// New returns a plugin. Options are checked; what is wrong with them is reported by Initialize, that is by db.Use.
func New(opts ...Option) *Plugin {
	c := newConfig(opts)
	p := &Plugin{
		config:    c,
		catalog:   newCatalog(),
		templates: newTemplates(),
		flights:   flights{byKey: map[string]*flight{}},
		index:     coherence.New(c.clock.Now),
		own:       coherence.NewGroup(coherence.Reading{}),
		ownPrefix: "own:" + strconv.FormatInt(plugins.Add(1), 36) + ":",
		recency:   recency.New[*entry](max(1, c.maxEntries), max(1, c.maxBytes)),
		registry:  newRegistry(max(1, c.maxLoaders)),
	}
	p.patterns = hotness.New(max(1, c.maxPatterns), c.scorer)
	p.worker = newWorker(p)
	p.learner = newLearner(p)
	return p
}

// Name implements gorm.Plugin: "preload".
func (p *Plugin) Name() string { return pluginName }

// Initialize implements gorm.Plugin; db.Use calls it. It registers the plugin's callbacks, puts a wrapper in front of the
// connection pool, and starts the worker. It fails on bad options, on a closed plugin, and on a second, unrelated
// *gorm.DB. dbresolver calls it again for each of its own pools: transactions of these are then seen, too.
func (p *Plugin) Initialize(db *gorm.DB) error {
	if err := p.config.err(); err != nil {
		return err
	}
	if db == nil || db.Config == nil {
		return errors.New("preload: Initialize(nil): want the *gorm.DB to serve")
	}
	p.initialize.Lock()
	defer p.initialize.Unlock()
	if p.closed.Load() {
		return errors.New("preload: the plugin is closed: make another one with New")
	}
	if p.db != nil {
		if !related(p.db, db) {
			return errors.New("preload: one plugin serves one *gorm.DB, and this one has another already: make a plugin with New for each")
		}
		p.wrap(db)
		return nil
	}
	if err := p.register(db); err != nil {
		return fmt.Errorf("preload: registering callbacks: %w", err)
	}
	p.pool = p.wrap(db)
	p.builders = buildersOf(db)
	// A handle of the plugin's own: what the application does to db later does not change what loaders run on.
	p.db = db.Session(&gorm.Session{NewDB: true, Context: context.Background()})
	p.ready.Store(true)
	if p.config.worker {
		p.worker.start()
	}
	return nil
}

// related reports whether two handles share what GORM knows of models, as all do that come from one gorm.Open, and
// those that dbresolver opens with a copy of its configuration.
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

func (p *Plugin) now() time.Time { return p.config.clock.Now() }

// active reports whether the plugin takes part in statements.
func (p *Plugin) active() bool { return p.ready.Load() && !p.closed.Load() }

var errNotInitialized = errors.New("preload: the plugin is not in use yet: call db.Use with it first")

// Register checks the tags of models and learns their tables and relations, which otherwise happens at their first
// query. The error names every model and setting that is wrong.
func (p *Plugin) Register(models ...any) error {
	if !p.ready.Load() {
		return errNotInitialized
	}
	var errs []error
	for _, value := range models {
		s, err := p.schemaOf(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("preload: model %T: %w", value, err))
			continue
		}
		errs = append(errs, p.model(s).err)
	}
	return errors.Join(errs...)
}

// changed kills the answers that were kept before something was learned that they depend on. The catalog is locked while it
// does, so that nobody sees a model as learned whose answers of before are still served.
func (p *Plugin) changed(l learned) {
	for _, table := range l.tables {
		p.forget(p.index.Widen(table, table))
	}
	for _, pair := range l.reached {
		p.forget(p.index.Widen(pair.from, pair.to))
	}
}

// announce says that what was written is about to become visible. The returned function is called once, after it has, or
// will not; with the error of what was to make it visible.
// lingers is how long it may take the server to end what it was doing when it was lost.
func (p *Plugin) announce(writes []written, lingers time.Duration) (done func(error)) {
	announced, dead := p.announced(writes)
	return func(err error) {
		hold := time.Duration(0)
		switch {
		case errors.Is(err, errUnknownOutcome):
			hold = p.config.holdOut
		case unknownOutcome(err):
			hold = lingers
		}
		p.index.Finish(announced, hold)
		p.revive(dead)
	}
}

// announced announces what was written, with all that the database changes on account of it. It returns what that killed.
func (p *Plugin) announced(writes []written) (announced *coherence.Announcement, dead []killed) {
	for {
		version := p.catalog.version.Load()
		var changes []coherence.Change
		for _, w := range writes {
			if w.version != version {
				w.changes = loosen(w.changes)
			}
			changes = append(changes, w.changes...)
		}
		announced, kills := p.index.Announce(p.catalog.expand(changes)...)
		dead = append(dead, p.forget(kills)...)
		// What was learned meanwhile was applied to what was under way, among which this may not have been yet.
		if p.catalog.version.Load() == version {
			return announced, dead
		}
		p.index.Finish(announced, 0)
	}
}

// invalidate kills what depends on the changes, loads in flight too.
func (p *Plugin) invalidate(changes []coherence.Change) {
	announced, _ := p.announced([]written{{changes: changes}})
	p.index.Finish(announced, 0)
}

// Invalidate forgets every answer that depends on the tables of these models, or all answers, and an application's own
// data, where none is given. A model is a struct, a pointer to one, or the name of a table. Loads in flight are
// not stored. The error names models that cannot be parsed; the others are invalidated all the same.
func (p *Plugin) Invalidate(models ...any) error {
	if len(models) == 0 {
		p.invalidate([]coherence.Change{coherence.Everything})
		return nil
	}
	var (
		changes []coherence.Change
		errs    []error
	)
	for _, value := range models {
		name, ok := value.(string)
		if !ok {
			if !p.ready.Load() {
				return errNotInitialized
			}
			s, err := p.schemaOf(value)
			if err != nil {
				errs = append(errs, fmt.Errorf("preload: Invalidate: model %T: %w", value, err))
				continue
			}
			name = s.Table
		}
		changes = append(changes, coherence.Loose(fold(name), coherence.Any))
	}
	p.invalidate(changes)
	return errors.Join(errs...)
}

// Clear forgets all answers, patterns, associations and loaders, and sets the counters to zero. Loads in flight are not stored.
func (p *Plugin) Clear() {
	p.invalidate([]coherence.Change{coherence.Everything})
	p.patterns.Clear()
	p.registry.clear()
	p.stats.clear()
	p.learner.clear()
}

// Close ends the worker, waits for what runs in the background, and forgets all answers; from then on queries go straight
// to the database. It may be called any number of times. The error says which loaders have not returned although
// their context ended long ago; they are not waited for.
func (p *Plugin) Close() error {
	p.closed.Store(true)
	err := p.worker.stop()
	p.invalidate([]coherence.Change{coherence.Everything})
	p.registry.clear()
	p.patterns.Clear()
	return err
}

// RecordAccess counts an access to a key, and notes the keys that usually follow it.
func (p *Plugin) RecordAccess(key string, related ...string) {
	if p.closed.Load() {
		return
	}
	now := p.now()
	// What is kept is no part of a text of the caller's.
	if len(related) > 0 || p.patterns.Lookup(key) == nil {
		key = strings.Clone(key)
	}
	related = slices.Clone(related)
	for i := range related {
		related[i] = strings.Clone(related[i])
	}
	p.record(key, now)
	p.learner.declare(key, related, now)
	if len(related) > 0 {
		p.patterns.Relate(key, related...)
	}
	p.stats.recorded.Add(1)
}

// record notes an access to a key, and returns its pattern.
func (p *Plugin) record(key string, now time.Time) *hotness.Pattern {
	pattern := p.patterns.Touch(key, now)
	p.clearIfClosed()
	return pattern
}

// recordAgain notes an access to a key whose pattern is known.
func (p *Plugin) recordAgain(pattern *hotness.Pattern, now time.Time) {
	p.patterns.Record(pattern, now)
	p.clearIfClosed()
}

// clearIfClosed clears the patterns again if Close may have done so before the last access came.
func (p *Plugin) clearIfClosed() {
	if p.closed.Load() {
		p.patterns.Clear()
	}
}

// ShouldPreload reports whether a key's score has reached the threshold.
func (p *Plugin) ShouldPreload(key string) bool {
	score, ok := p.patterns.Score(key, p.now())
	return ok && score >= p.config.threshold
}

// PreloadKeys returns at most limit keys, hottest first, none whose score is below the threshold.
func (p *Plugin) PreloadKeys(limit int) []string {
	hottest := p.patterns.Hottest(limit, p.config.threshold, p.now())
	keys := make([]string, len(hottest))
	for i, h := range hottest {
		keys[i] = h.Key
	}
	return keys
}

// RelatedKeys returns the keys that usually follow a key: those that RecordAccess was told of, the newest first, and then those that were
// learned from what applications asked, the likeliest first. The latter are keys that may never have been asked for, where their values
// come from the key or from its answer, if that is in memory. There are none of them WithoutWorker, or after Close.
func (p *Plugin) RelatedKeys(key string) []string {
	keys := p.patterns.Related(key)
	if p.ready.Load() && p.config.worker {
		for _, learned := range p.learner.related(key) {
			if !slices.Contains(keys, learned) {
				keys = append(keys, learned)
			}
		}
	}
	return keys
}

// Hot returns the statistics of at most limit keys, hottest first.
func (p *Plugin) Hot(limit int) []Pattern {
	hottest := p.patterns.Hottest(limit, 0, p.now())
	patterns := make([]Pattern, len(hottest))
	for i, h := range hottest {
		patterns[i] = Pattern{Key: h.Key, Count: h.Count, LastAccess: h.Last, Score: h.Score, Related: h.Related}
	}
	return patterns
}

// Warm runs queries and keeps their answers: each function gets a *gorm.DB and returns what its query, such as
// tx.Where(...).First(&person), returned. Rows that do not exist are no error. The error joins those of the queries.
func (p *Plugin) Warm(ctx context.Context, queries ...func(*gorm.DB) *gorm.DB) error {
	if !p.ready.Load() {
		return errNotInitialized
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
		tx := query(p.db.WithContext(ctx))
		if tx != nil && tx.Error != nil && !errors.Is(tx.Error, gorm.ErrRecordNotFound) {
			errs = append(errs, fmt.Errorf("preload: Warm: query %d: %w", i, tx.Error))
		}
	}
	return errors.Join(errs...)
}

// guard runs a part of the plugin; a panic in it is logged and costs no more than that the part did not finish.
func (p *Plugin) guard(part string, do func()) (ok bool) {
	defer func() {
		if fault := recover(); fault != nil {
			p.fault(part, fault)
			ok = false
		}
	}()
	do()
	return true
}

// fault logs what was recovered from.
func (p *Plugin) fault(part string, fault any) {
	p.config.logger.Error("preload: a fault in the plugin; the database answers instead", "part", part, "fault", fault)
}
