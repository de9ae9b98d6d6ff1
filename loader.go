package preload

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/clone"
	"gorm.io/gorm"
)

// keyPrefix is what the keys of queries begin with. An application's own keys must not.
const keyPrefix = "sql:"

// ownTable stands for an application's own data where there are statistics by table.
const ownTable = ""

// maxKeptVars bounds the bind values of a query that can be run again, in bytes.
const maxKeptVars = 8 << 10

// keepLoader registers a loader, unless the plugin is closed meanwhile.
func (p *Plugin) keepLoader(key string, load load) {
	p.registry.register(key, load)
	if p.closed.Load() {
		p.registry.clear()
	}
}

// remember registers a loader for the query of a key that was just answered.
func (p *Plugin) remember(q *read, vars []any) {
	kept, size := make([]any, len(vars)), 0
	for i, v := range vars {
		var ok bool
		if kept[i], ok = keptVar(v); !ok {
			return
		}
		size += int(clone.SizeAny(kept[i]))
	}
	if size > maxKeptVars {
		return
	}
	t, key, preset := q.template, q.key, q.preset
	if t.binds.Load() == nil && !q.holds && t.untold.Add(1) <= maxUntold {
		if b := bindsOf(key[len(t.prefix):], vars); b != nil {
			t.binds.Store(b)
		}
	}
	p.keepLoader(key, func(ctx context.Context) run {
		return p.reload(ctx, t, key, kept, preset)
	})
}

// keptVar returns a bind value as a loader can keep it: no memory of the request's, asked for its driver value now.
func keptVar(v any) (any, bool) {
	if valuer, ok := v.(driver.Valuer); ok {
		inner, err := driverValue(valuer)
		if err != nil {
			return nil, false
		}
		v = inner
	}
	switch v := v.(type) {
	case string:
		return strings.Clone(v), true
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, time.Time:
		return v, true
	case []byte:
		return bytes.Clone(v), true
	}
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Pointer:
		if rv.IsNil() {
			return nil, true
		}
		return keptVar(rv.Elem().Interface())
	case reflect.String:
		own := reflect.New(rv.Type()).Elem()
		own.SetString(strings.Clone(rv.String()))
		return own.Interface(), true
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return v, true
	}
	return nil, false
}

// loaderOf returns the loader of a key: one that was kept, or one that reads off the key how its query is to be run.
func (p *Plugin) loaderOf(key string) (load, bool) {
	if load, ok := p.registry.loader(key); ok {
		return load, true
	}
	t := p.templates.of(key)
	if t == nil || t.refusal(p) != "" {
		return nil, false
	}
	b := t.binds.Load()
	if b == nil {
		return nil, false
	}
	vars, ok := b.vars(key[len(t.prefix):])
	if !ok {
		return nil, false
	}
	return func(ctx context.Context) run {
		return p.reload(ctx, t, key, vars, reflect.Value{})
	}, true
}

// aheadOf returns the entry of an answer that is about to be loaded in the background.
func (p *Plugin) aheadOf(key string, stats *modelStats) *entry {
	e := newEntry(key, stats)
	e.ahead = true
	if e.pattern = p.patterns.Lookup(e.publicKey(p)); e.pattern == nil {
		if before := p.lookup(key, p.now()); before != nil {
			e.pattern = before.pattern
		}
	}
	if e.pattern != nil {
		e.before = e.pattern.Count()
	}
	return e
}

// reload begins to run the query of a key in the background, and to store its answer in place of one that is there.
func (p *Plugin) reload(ctx context.Context, t *template, key string, vars []any, preset reflect.Value) run {
	f := &flight{entry: p.aheadOf(key, t.stats), done: make(chan struct{}), over: ctx.Done()}
	if !t.lease(p, f, vars) || p.start(f, false) != nil {
		return nil
	}
	return func() (stored []*entry, err error) {
		defer func() { p.landed(f) }()
		if t.asks {
			f.leader.Store(goroutine())
		}
		tx := t.statement(ctx, p.db, vars, preset)
		p.query(tx)
		if p.arrived(tx, t, f) {
			stored = append(stored, f.entry)
		}
		if tx.Error != nil && !errors.Is(tx.Error, gorm.ErrRecordNotFound) {
			err = fmt.Errorf("%w: %w", errDatabase, tx.Error)
		}
		return stored, err
	}
}

// arrived stores the answer to a query that was run in the background.
func (p *Plugin) arrived(tx *gorm.DB, t *template, f *flight) (stored bool) {
	if !p.fill(tx, t, f) {
		return false
	}
	f.entry.preloaded.Store(true)
	f.entry.awaited = f.waiters.Load() > 0
	return p.store(f)
}

// landed ends a flight of the background, also one whose load panicked.
func (p *Plugin) landed(f *flight) {
	if !f.entry.counted.Load() {
		p.index.Release(&f.entry.guard)
	}
	p.flights.end(f)
}

// Load returns the value of an application's own data under a key: from memory, or from load, whose value is then kept
// for WithTTL and loaded again in the background like the answer of any query. The caller gets a copy of its own;
// a value that cannot be copied (it holds a channel or a function) is returned but not kept.
//
// load is called at most once at a time for a key: other callers wait for it, each as long as its own context lasts,
// and call their own if it fails. Its error is returned as it is and not kept. load is called later too, with a
// context of the plugin's, so it must not hold on to a request or a transaction. Writes to tables do not touch own data:
// Invalidate() without models, Clear, and statements that forget everything (DDL, CALL) do. A key must not begin with "sql:". A nil plugin calls load.
//
// In a partition that has a name (WithPartition) the value is that partition's own, and is not loaded in the background.
func Load[T any](ctx context.Context, p *Plugin, key string, load func(context.Context) (T, error)) (T, error) {
	var zero T
	if load == nil {
		return zero, fmt.Errorf("preload: Load(%q): the loader is nil", key)
	}
	if p == nil || p.closed.Load() {
		return load(ctx)
	}
	value, err := p.ownData(ctx, key, reflect.TypeFor[T](), func(ctx context.Context) (any, error) { return load(ctx) })
	if err != nil {
		if v, ok := value.(T); ok {
			return v, err
		}
		return zero, err
	}
	v, _ := value.(T) // an interface type T may hold nil
	return v, nil
}

// Preload calls loader now and keeps its value under a key for Load, with the loader to load it again. It returns the error of the
// loader, or one that says why the value cannot be kept.
func (p *Plugin) Preload(ctx context.Context, key string, loader Loader) error {
	if err := checkOwnKey(key); err != nil {
		return err
	}
	if loader == nil {
		return fmt.Errorf("preload: Preload(%q): the loader is nil", key)
	}
	if p.closed.Load() {
		return fmt.Errorf("preload: Preload(%q): the plugin is closed", key)
	}
	given := key
	key, ok := p.ownKey(ctx, key)
	if !ok {
		return fmt.Errorf("preload: Preload(%q): the function of WithPartition panicked", given)
	}
	f, leader := p.ownFlight(nil, key, true)
	if !leader {
		_, err := loader(ctx)
		if err == nil {
			err = fmt.Errorf("preload: Preload(%q): all answers are being invalidated: try again", given)
		}
		return err
	}
	_, err := p.ownLoad(ctx, f, nil, loader)
	switch {
	case err != nil:
		return err
	case !f.filled:
		return fmt.Errorf("preload: Preload(%q): the value cannot be copied, so it cannot be kept", given)
	case !f.entry.counted.Load() && p.lookup(p.ownPrefix+key, p.now()) == nil:
		return fmt.Errorf("preload: Preload(%q): the value is larger than WithMaxBytes allows, or was invalidated while it was loaded", given)
	}
	return nil
}

func checkOwnKey(key string) error {
	if strings.HasPrefix(key, keyPrefix) {
		return fmt.Errorf("preload: key %q: keys that begin with %q are those of queries", key, keyPrefix)
	}
	return nil
}

// ownKey returns the key of own data in the partition of a context; false where that cannot be told. A partition that has a name gives
// it a beginning that no key of a query has, and none that users can give.
func (p *Plugin) ownKey(ctx context.Context, key string) (_ string, ok bool) {
	partition, ok := "", true
	if p.config.partition != nil {
		ok = p.guard("asking for the partition", func() { partition = p.config.partition(ctx) })
	}
	if partition == "" {
		return key, ok
	}
	return ownInPartition + strconv.Itoa(len(partition)) + ":" + partition + ":" + key, ok
}

const ownInPartition = keyPrefix + "#"

func (p *Plugin) ownData(ctx context.Context, key string, want reflect.Type, load Loader) (any, error) {
	if err := checkOwnKey(key); err != nil {
		return nil, err
	}
	key, ok := p.ownKey(ctx, key)
	if !ok {
		return load(ctx)
	}
	now := p.now()
	if e := p.lookup(p.ownPrefix+key, now); e != nil {
		if v, ok := p.ownCopy(e, want); ok {
			p.hit(ctx, e, e.stats, now)
			return v, nil
		}
	}
	key = strings.Clone(key) // the caller's may be a part of something large
	p.record(key, now)
	f, leader := p.ownFlight(nil, key, false)
	if f != nil && !leader {
		if f.wait(ctx) {
			if v, ok := p.ownCopy(f.entry, want); ok {
				f.entry.stats.hits.Add(1)
				p.note(ctx, f.entry, now, false)
				return v, nil
			}
		} else if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	p.stats.model(ownTable).misses.Add(1)
	if !leader {
		return load(ctx)
	}
	defer func() { p.note(ctx, f.entry, now, false) }()
	return p.ownLoad(ctx, f, want, load)
}

// ownFlight gets the reader of own data onto a flight: as its leader, always with force; as one who waits; or onto none
// where the value could not be kept. over ends the waiting for a background load.
func (p *Plugin) ownFlight(over <-chan struct{}, key string, force bool) (f *flight, leader bool) {
	stored, self := p.ownPrefix+key, goroutine()
	if !force {
		f = p.flights.join(stored)
	}
	if f == nil {
		mine := &flight{entry: newEntry(stored, p.stats.model(ownTable)), done: make(chan struct{}), over: over}
		mine.leader.Store(self)
		if !p.index.Lease(p.own, &mine.entry.guard, nil) {
			return nil, false
		}
		if f = p.start(mine, force); f == nil {
			return mine, true
		}
	}
	if f.leader.Load() == self {
		return nil, false // a load of the key in the load of the key
	}
	return f, false
}

// ownLoad leads a flight of own data.
func (p *Plugin) ownLoad(ctx context.Context, f *flight, want reflect.Type, load Loader) (value any, err error) {
	defer func() {
		if !f.filled {
			p.index.Release(&f.entry.guard)
		}
		p.flights.end(f)
	}()
	key := f.entry.publicKey(p)
	if value, err = load(ctx); err != nil {
		return value, err
	}
	p.guard("keeping own data", func() {
		image, err := clone.Any(value)
		if err != nil {
			p.config.logger.Warn("preload: a value that cannot be copied is not kept", "key", key, "err", err)
			return
		}
		e := f.entry
		e.value = unsafe.Pointer(&image)
		e.rows = 1
		f.weight = clone.SizeAny(image) + int64(len(e.key)) + entryOverhead
		if e.pattern = p.patterns.Lookup(key); e.pattern != nil {
			e.before = e.pattern.Count()
		}
		e.live(p.now(), p.config.ttl)
		f.filled = true
		if !p.store(f) {
			return
		}
		if strings.HasPrefix(key, ownInPartition) {
			return // which is known in a request only
		}
		p.keepLoader(key, func(ctx context.Context) run {
			again, leader := p.ownFlight(ctx.Done(), key, false)
			if !leader {
				return nil
			}
			return func() (stored []*entry, err error) {
				again.leader.Store(goroutine())
				again.entry.preloaded.Store(true)
				_, err = p.ownLoad(ctx, again, want, load)
				if again.entry.counted.Load() {
					stored = append(stored, again.entry)
				}
				return stored, err
			}
		})
	})
	return value, nil
}

func (p *Plugin) ownCopy(e *entry, want reflect.Type) (value any, ok bool) {
	p.guard("copying own data", func() {
		var err error
		if value, err = clone.Any(*(*any)(e.value)); err != nil {
			return
		}
		if value == nil {
			ok = want == nil || want.Kind() == reflect.Interface
			return
		}
		ok = want == nil || reflect.TypeOf(value).AssignableTo(want)
	})
	return value, ok
}
