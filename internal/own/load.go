package own

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/clone"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
)

// Load returns a copy of the value of a key, if it is of the type that is wanted or of one that can
// be assigned to it; otherwise the value of load, whose error is returned as it is. load is called
// once at a time for a key, and is kept to load the key again. Those who ask for a key do so on the
// same terms.
func (d *Data) Load(ctx context.Context, key string, want reflect.Type, terms Terms, load func(context.Context) (any, error)) (any, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	key, ok := d.keyIn(ctx, key)
	if !ok {
		return load(ctx)
	}
	since := cache.Since{}
	if d.Since != nil {
		since = d.Since(ctx)
	}
	now, old := d.Cache.Now(), seen.Cause("")
	if e := d.Cache.Find(d.prefix+key, now); e != nil {
		if !since.Met(e) {
			old = seen.TooOld
		} else if v, ok := d.copyOf(e, want); ok {
			var err error
			if d.shadowed() {
				v, err = d.beside(ctx, e, load)
			}
			d.Hit(ctx, e, e.Tally, now)
			return v, err
		}
	}
	key = strings.Clone(key) // the caller's may be a part of something large
	d.Record(key, now)
	serve := func(e *cache.Entry) (v any, ok bool) {
		if e != nil && since.Met(e) {
			if v, ok = d.copyOf(e, want); ok {
				d.Joined(ctx, e, now)
			}
		}
		return v, ok
	}
	var w cache.Waiter
	began := time.Now()
	f, leader := d.board(key, terms, false, since, nil)
	shadowed := d.shadowed()
	for f != nil && !leader && !shadowed {
		became, found := w.Wait(ctx, f), f.Entry
		if ctx.Err() != nil {
			d.missed(ctx, key, cmp.Or(old, d.Cache.Past(d.prefix+key)), time.Since(began))
			return nil, ctx.Err()
		}
		if became != cache.Answered {
			found = d.Cache.Find(d.prefix+key, d.Cache.Now())
		}
		if v, ok := serve(found); ok {
			return v, nil
		}
		if became != cache.Again {
			break
		}
		f, leader = d.board(key, terms, false, since, w.Past)
	}
	if leader && !shadowed {
		// Another flight may have come and gone since the key was not in memory.
		if v, ok := serve(d.Cache.Find(d.prefix+key, d.Cache.Now())); ok {
			f.Left = true
			d.Cache.Land(f)
			return v, nil
		}
	}
	why := cmp.Or(old, d.Cache.Past(d.prefix+key))
	if !leader {
		defer func() { d.missed(ctx, key, why, time.Since(began)) }()
		return load(ctx)
	}
	defer func() {
		d.missed(ctx, key, cmp.Or(seen.Cause(f.Unkept), why), time.Since(began))
		d.Note(ctx, f.Entry, now)
	}()
	return d.lead(ctx, f, terms, load)
}

// shadowed reports whether nothing is to be answered from memory.
func (d *Data) shadowed() bool { return d.Shadow != nil && d.Shadow() }

// beside calls load although a value is in memory, and compares the two.
func (d *Data) beside(ctx context.Context, e *cache.Entry, load func(context.Context) (any, error)) (any, error) {
	v, err := load(ctx)
	if !e.Unwatched {
		failopen.Guard(d.Report, "comparing own data", func() {
			d.Compared(ctx, e, template.Label(d.PublicKey(e)), &Check{Value: v, Loaded: err == nil})
		})
	}
	return v, err
}

// missed notes that the value of a key was not in memory.
func (d *Data) missed(ctx context.Context, key string, why seen.Cause, took time.Duration) {
	tally := d.Cache.Counts.Tally(Table)
	tally.Misses.Add(1)
	d.Missed(ctx, tally, Table, template.Label(key), why, 1, took)
}

// Preload calls load now and keeps its value under a key, and load itself to load the key again. It
// returns the error of load, or one that says why the value cannot be kept.
func (d *Data) Preload(ctx context.Context, key string, load func(context.Context) (any, error)) error {
	key, ok := d.keyIn(ctx, key)
	if !ok {
		return errors.New("preload: Preload: the function of WithPartition panicked")
	}
	f, leader := d.board(key, Terms{}, true, cache.Since{}, nil)
	if !leader {
		_, err := load(ctx)
		if err == nil {
			err = errors.New("preload: Preload: all answers are being invalidated: try again")
		}
		return err
	}
	_, err := d.lead(ctx, f, Terms{}, load)
	switch {
	case err != nil:
		return err
	case f.Unkept == cache.TooLarge:
		return errors.New("preload: Preload: the value is larger than WithMaxBytes allows")
	case f.Unkept != "":
		return errors.New("preload: Preload: the value cannot be copied, so it cannot be kept")
	case !f.Entry.Stored() && d.Cache.Find(d.prefix+key, d.Cache.Now()) == nil:
		return errors.New("preload: Preload: the value was invalidated while it was loaded, or the plugin was closed")
	}
	return nil
}

// board gets a reader onto the flight of a key: as its leader, always with force; as one who waits;
// or onto none where the value could not be kept. since is what the reader demands, past the flight
// that it waited for long enough.
func (d *Data) board(key string, terms Terms, force bool, since cache.Since, past *cache.Flight) (f *cache.Flight, leader bool) {
	stored, self := d.prefix+key, cache.Goroutine()
	if !force {
		f = d.Cache.Join(stored, since, past)
	}
	if f == nil {
		mine := d.begin(stored, terms)
		if mine == nil {
			return nil, false
		}
		mine.Leader.Store(self)
		if f = d.Cache.Start(mine, force, since, past); f == nil {
			return mine, true
		}
	}
	if f.Leader.Load() == self {
		return nil, false // a load of the key in the load of the key
	}
	return f, false
}

// begin returns a flight with its lease; nil if the value could not be kept.
func (d *Data) begin(stored string, terms Terms) *cache.Flight {
	f := d.Cache.NewFlight(cache.NewEntry(stored, d.Cache.Counts.Tally(Table)), d.paces.Of(stored))
	f.Entry.Unwatched = len(terms.Tables) == 0
	if !d.Index.Lease(d.groupOf(terms.Tables), &f.Entry.Guard, nil) {
		return nil
	}
	if !d.Cache.Open() { // after the lease: who shuts the gate to forget all kills those that there are
		d.Index.Release(&f.Entry.Guard)
		return nil
	}
	return f
}

// lead calls load for a flight, and keeps its value and load itself if the lease still lives.
func (d *Data) lead(ctx context.Context, f *cache.Flight, terms Terms, load func(context.Context) (any, error)) (value any, err error) {
	defer d.Cache.Land(f)
	key := d.PublicKey(f.Entry)
	value, err = load(ctx)
	if f.Ran(ctx, err); err != nil {
		return value, err
	}
	failopen.Guard(d.Report, "keeping own data", func() {
		e := f.Entry
		if f.Unkept = d.Cache.ObstacleOf([]byte(e.Key), d.Cache.Now()); f.Unkept == "" {
			d.Cache.Weigh(f, clone.SizeAny(value)+int64(unsafe.Sizeof(value)), 0)
		}
		if f.Unkept == cache.NotKeepable || f.Unkept != "" && !f.Awaited() {
			return
		}
		image, err := clone.Any(value)
		if err != nil {
			d.Cache.Refuse(f, cache.NotKeepable)
			d.Report(slog.LevelWarn, "preload: a value that cannot be copied is not kept", template.Label(key), "err", err)
			return
		}
		if e.Pattern = d.Pattern(key); e.Pattern != nil {
			e.Before = e.Pattern.Count()
		}
		d.Cache.Fill(f, cache.Content{Value: unsafe.Pointer(&image), Rows: 1, Weighs: clone.SizeAny(image) + int64(unsafe.Sizeof(image)), TTL: cmp.Or(terms.TTL, d.TTL)})
		if f.Unkept != "" || !d.Cache.Keep(f) {
			return
		}
		if partitioned(key) || ctx.Err() != nil {
			return // the former is known in a request only; the latter may be what was dropped because it took so long
		}
		d.Register(key, func(ctx context.Context) cache.Run {
			if c := checkIn(ctx); c != nil {
				return c.run(ctx, terms, load)
			}
			f := d.begin(d.prefix+key, terms)
			if f == nil || !d.Cache.StartAhead(f) {
				return nil
			}
			return func() ([]*cache.Entry, error) {
				if !d.Cache.Send(f) {
					d.Cache.Land(f)
					return nil, nil
				}
				f.Leader.Store(cache.Goroutine())
				f.Ahead()
				_, err := d.lead(ctx, f, terms, load)
				return []*cache.Entry{f.Entry}, err
			}
		})
	})
	if !f.Entry.Stored() {
		d.Cache.Outdate(f)
	}
	return value, nil
}

// copyOf returns a copy of what an entry holds; false where that is not of the type that is wanted.
func (d *Data) copyOf(e *cache.Entry, want reflect.Type) (value any, ok bool) {
	failopen.Guard(d.Report, "copying own data", func() {
		var err error
		if value, err = clone.Any(ValueOf(e)); err != nil {
			return
		}
		if value == nil {
			ok = want.Kind() == reflect.Interface
			return
		}
		ok = reflect.TypeOf(value).AssignableTo(want)
	})
	return value, ok
}
