package preload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"unsafe"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/clone"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/template"
)

// ownTable stands for an application's own data where there are statistics by table.
const ownTable = ""

// keepLoader registers a loader, which holds so many bytes of bind values, unless the plugin is
// closed meanwhile.
func (p *Plugin) keepLoader(key string, load cache.Loader, held int64) {
	p.registry.register(key, load, held)
	p.clearIfClosed()
}

// remember registers a loader for the query of a key that was just answered.
func (p *Plugin) remember(q *read, vars []any) {
	kept, ok := loading.Keep(vars)
	if !ok || !p.steady(q, vars) {
		return
	}
	if !q.holds {
		q.template.LearnBinding(q.key, vars)
	}
	load, held := p.source.Again(q.template, q.key, kept, q.preset)
	p.keepLoader(q.key, load, held)
}

// loaderOf returns the loader of a key: one that was kept, or one that reads off the key how its
// query is to be run.
func (p *Plugin) loaderOf(key string) (cache.Loader, bool) {
	if load, ok := p.registry.loader(key); ok {
		return load, true
	}
	return p.source.LoaderOf(key)
}

// Load returns the value of an application's own data under a key: from memory, or from load, whose
// value is then kept for WithTTL and loaded again in the background like the answer of any query.
// The caller gets a copy of its own; a value that cannot be copied (it holds a channel or a
// function) is returned but not kept.
//
// load is called once at a time for a key: other callers wait for it, each as long as its own
// context lasts. If it takes much longer than usual, or its caller's context ends, one of those who
// wait calls its own, and so do all where that does not help. Its error is returned as it is and
// not kept. load is called later too, with a context of the plugin's, so it must not hold on to a
// request or a transaction. Writes to tables do not touch own data: Invalidate() without models,
// Clear, and statements that forget everything (DDL, CALL) do. A key must not begin with "sql:"; of
// one of more than 1 KiB its beginning and a sum are kept, as RecordAccess says. A nil plugin calls
// load.
//
// In a partition that has a name (WithPartition) the value is that partition's own, and is not
// loaded in the background.
func Load[T any](ctx context.Context, p *Plugin, key string, load func(context.Context) (T, error)) (T, error) {
	var zero T
	if load == nil {
		return zero, errors.New("preload: Load: the loader is nil: want a function that gives the value")
	}
	if ctx == nil {
		return zero, fmt.Errorf("preload: Load: %w", errNilContext)
	}
	if p.idle() || p.closed.Load() {
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

// Preload calls loader now and keeps its value under a key for Load, with the loader to load it
// again. It returns the error of the loader, or one that says why the value cannot be kept.
func (p *Plugin) Preload(ctx context.Context, key string, loader Loader) error {
	if p.idle() {
		return errNoPlugin
	}
	if err := checkOwnKey(key); err != nil {
		return err
	}
	if ctx == nil {
		return fmt.Errorf("preload: Preload: %w", errNilContext)
	}
	if loader == nil {
		return errors.New("preload: Preload: the loader is nil: want a function that gives the value")
	}
	if p.closed.Load() {
		return errors.New("preload: Preload: the plugin is closed")
	}
	key, ok := p.ownKey(ctx, key)
	if !ok {
		return errors.New("preload: Preload: the function of WithPartition panicked")
	}
	f, leader := p.ownFlight(key, true, nil)
	if !leader {
		_, err := loader(ctx)
		if err == nil {
			err = errors.New("preload: Preload: all answers are being invalidated: try again")
		}
		return err
	}
	_, err := p.ownLoad(ctx, f, nil, loader)
	switch {
	case err != nil:
		return err
	case f.Unkept == cache.TooLarge:
		return errors.New("preload: Preload: the value is larger than WithMaxBytes allows")
	case f.Unkept != "":
		return errors.New("preload: Preload: the value cannot be copied, so it cannot be kept")
	case !f.Entry.Stored() && p.cache.Find(p.own.prefix+key, p.now()) == nil:
		return errors.New("preload: Preload: the value was invalidated while it was loaded, or the plugin was closed")
	}
	return nil
}

func checkOwnKey(key string) error {
	if strings.HasPrefix(key, template.KeyPrefix) {
		return fmt.Errorf("preload: a key of own data begins with %q, as those of queries do: want another beginning", template.KeyPrefix)
	}
	return nil
}

const (
	// maxKey is how long a key may be that is kept as it is.
	maxKey = 1 << 10
	// keptOfKey is how much is kept of the beginning of a longer one, so that it is told what it is
	// of.
	keptOfKey = 256
)

// shortKey returns what stands for a key wherever one is kept: the key itself or, where that is
// long, its beginning and its SHA-256. What stands for a key stands for itself, too.
func shortKey(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(key), len(key)))
	return strings.ToValidUTF8(key[:keptOfKey], "") + "...sha256:" + hex.EncodeToString(sum[:])
}

// ownKey returns the key of own data in the partition of a context; false where that cannot be
// told. A partition that has a name gives it a beginning that no key of a query has, and none that
// users can give.
func (p *Plugin) ownKey(ctx context.Context, key string) (_ string, ok bool) {
	partition, ok := "", true
	if p.config.partition != nil {
		ok = p.guard("asking for the partition", func() { partition = p.config.partition(ctx) })
	}
	if partition == "" {
		return shortKey(key), ok
	}
	return shortKey(template.NotOfTemplate + strconv.Itoa(len(partition)) + ":" + partition + ":" + key), ok
}

func (p *Plugin) ownData(ctx context.Context, key string, want reflect.Type, load Loader) (any, error) {
	if err := checkOwnKey(key); err != nil {
		return nil, err
	}
	key, ok := p.ownKey(ctx, key)
	if !ok {
		return load(ctx)
	}
	now := p.now()
	if e := p.cache.Find(p.own.prefix+key, now); e != nil {
		if v, ok := p.ownCopy(e, want); ok {
			p.hit(ctx, e, e.Tally, now)
			return v, nil
		}
	}
	key = strings.Clone(key) // the caller's may be a part of something large
	p.record(key, now)
	serve := func(e *cache.Entry) (v any, ok bool) {
		if e != nil {
			if v, ok = p.ownCopy(e, want); ok {
				e.Tally.Hits.Add(1)
				p.note(ctx, e, now, false)
			}
		}
		return v, ok
	}
	var w cache.Waiter
	f, leader := p.ownFlight(key, false, nil)
	for f != nil && !leader {
		became, found := w.Wait(ctx, f), f.Entry
		if ctx.Err() != nil {
			p.cache.Counts.Tally(ownTable).Misses.Add(1)
			return nil, ctx.Err()
		}
		if became != cache.Answered {
			found = p.cache.Find(p.own.prefix+key, p.now())
		}
		if v, ok := serve(found); ok {
			return v, nil
		}
		if became != cache.Again {
			break
		}
		f, leader = p.ownFlight(key, false, w.Past)
	}
	if leader {
		// Another flight may have come and gone since the key was not in memory.
		if v, ok := serve(p.cache.Find(p.own.prefix+key, p.now())); ok {
			f.Left = true
			p.cache.Land(f)
			return v, nil
		}
	}
	p.cache.Counts.Tally(ownTable).Misses.Add(1)
	if !leader {
		return load(ctx)
	}
	defer func() {
		p.stats.cause(Cause(f.Unkept))
		p.note(ctx, f.Entry, now, false)
	}()
	return p.ownLoad(ctx, f, want, load)
}

// ownFlight gets the reader of own data onto a flight: as its leader, always with force; as one who
// waits; or onto none where the value could not be kept. past is the flight that the reader waited
// for long enough.
func (p *Plugin) ownFlight(key string, force bool, past *cache.Flight) (f *cache.Flight, leader bool) {
	stored, self := p.own.prefix+key, cache.Goroutine()
	if !force {
		f = p.cache.Join(stored, past)
	}
	if f == nil {
		mine := p.cache.NewFlight(cache.NewEntry(stored, p.cache.Counts.Tally(ownTable)), p.own.paces.Of(stored))
		mine.Leader.Store(self)
		if !p.index.Lease(p.own.group, &mine.Entry.Guard, nil) {
			return nil, false
		}
		if f = p.cache.Start(mine, force, past); f == nil {
			return mine, true
		}
	}
	if f.Leader.Load() == self {
		return nil, false // a load of the key in the load of the key
	}
	return f, false
}

// ownLoad leads a flight of own data.
func (p *Plugin) ownLoad(ctx context.Context, f *cache.Flight, want reflect.Type, load Loader) (value any, err error) {
	defer p.cache.Land(f)
	key := p.publicKey(f.Entry)
	value, err = load(ctx)
	if f.Ran(ctx, err); err != nil {
		return value, err
	}
	p.guard("keeping own data", func() {
		e := f.Entry
		if f.Unkept = p.cache.ObstacleOf([]byte(e.Key), p.now()); f.Unkept == "" {
			p.cache.Weigh(f, clone.SizeAny(value)+int64(unsafe.Sizeof(value)), 0)
		}
		if f.Unkept == cache.NotKeepable || f.Unkept != "" && !f.Awaited() {
			return
		}
		image, err := clone.Any(value)
		if err != nil {
			p.cache.Refuse(f, cache.NotKeepable)
			p.config.report(slog.LevelWarn, "preload: a value that cannot be copied is not kept", template.Label(key), "err", err)
			return
		}
		if e.Pattern = p.patterns.Lookup(key); e.Pattern != nil {
			e.Before = e.Pattern.Count()
		}
		p.cache.Fill(f, cache.Content{Value: unsafe.Pointer(&image), Rows: 1, Weighs: clone.SizeAny(image) + int64(unsafe.Sizeof(image)), TTL: p.config.ttl})
		if f.Unkept != "" || !p.cache.Keep(f) {
			return
		}
		if strings.HasPrefix(key, template.NotOfTemplate) || ctx.Err() != nil {
			return // the former is known in a request only; the latter may be what was dropped because it took so long
		}
		p.keepLoader(key, func(ctx context.Context) cache.Run {
			f, leader := p.ownFlight(key, false, nil)
			if !leader {
				return nil
			}
			return func() (stored []*cache.Entry, err error) {
				f.Leader.Store(cache.Goroutine())
				f.Ahead()
				_, err = p.ownLoad(ctx, f, want, load)
				if f.Entry.Stored() {
					stored = append(stored, f.Entry)
				}
				return stored, err
			}
		}, 0)
	})
	if !f.Entry.Stored() {
		p.cache.Outdate(f)
	}
	return value, nil
}

func (p *Plugin) ownCopy(e *cache.Entry, want reflect.Type) (value any, ok bool) {
	p.guard("copying own data", func() {
		var err error
		if value, err = clone.Any(*(*any)(e.Value)); err != nil {
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
