package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/agenda"
	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/template"
)

// job returns a wish as the runner runs it; false where there is no loader.
func (w *Worker) job(r agenda.Wish) (j runner.Job, ok bool) {
	load := r.Load
	if load == nil {
		if load, ok = w.Loaders.Of(r.Key); !ok {
			return j, false
		}
	}
	if w.Away.Load() {
		return j, false
	}
	kept := new(atomic.Bool) // an answer was stored
	j = runner.Job{
		Label:  template.Label(r.Key),
		Own:    !strings.HasPrefix(r.Key, template.KeyPrefix),
		Afresh: r.Killed,
		Begin: func(ctx context.Context) func() error {
			run := load(ctx)
			if run == nil {
				return nil
			}
			return func() error {
				w.Processors.Yield()
				busy := w.Processors.Busy()
				asked, err := run()
				kept.Store(slices.ContainsFunc(asked, (*cache.Entry).Stored))
				for one := range r.All {
					if one.Expected != nil {
						if busy {
							one.Expected.Crowded()
						}
						w.loaded(one, asked, err)
					}
				}
				return err
			}
		},
		Dropped: func() {
			for one := range r.All {
				w.Loaders.Unregister(one.Key)
			}
		},
		Done: func(end runner.Ending) { w.done(r, kept.Load(), end) },
	}
	for one := range r.All {
		j.Keys = append(j.Keys, one.Key)
	}
	if t := w.Templates.Of(r.Key); t != nil {
		j.Slow = t.Pace.Slow()
	}
	return j, true
}

// loaded notes what became of the load of a key that is expected.
func (w *Worker) loaded(r *agenda.Wish, asked []*cache.Entry, err error) {
	x := r.Expected
	key := w.Own.StoreKey(x.Key)
	i := slices.IndexFunc(asked, func(e *cache.Entry) bool { return e.Key == key })
	switch {
	case i < 0 && err == nil && (w.Cache.Loading(key) || w.Cache.Find(key, w.Now()) != nil):
		x.End(cache.Late) // a reader took it over
	case i < 0 && err == nil, errors.Is(err, runner.ErrNoConn):
		x.End(cache.Void)
	case i < 0, !asked[i].Stored():
		x.End(cache.Failed) // also where a write overtook it
	default:
		if load, ok := w.LoaderOf(x.Key); ok {
			w.Loaders.Register(x.Key, load, 0)
		}
		w.Learner.Loaded(x, asked[i], r.Origin)
	}
}

// done notes how a load ended.
func (w *Worker) done(r agenda.Wish, stored bool, end runner.Ending) {
	if errors.Is(end.Err, runner.ErrNoConn) {
		for one := range r.All {
			one.End(cache.Void)
		}
		return
	}
	for one := range r.All {
		one.End(cache.Failed) // unless it is known to have ended otherwise
	}
	w.count(r.Key, causeOf(&r), r.Origin, stored, end)
	if end.Err == nil || w.Context().Err() != nil {
		return
	}
	level := slog.LevelWarn
	if errors.Is(end.Err, failopen.ErrDatabase) {
		if t := w.Templates.Of(r.Key); end.Brief && t != nil {
			t.Pace.Took(end.Took) // a load that was given little time says nothing of the database
			return
		}
		if !w.Pause() {
			level = slog.LevelDebug // an outage is told once
		}
	}
	w.Report(level, "preload: a background load failed", template.Label(r.Key), "key", template.Told(r.Key), "err", failopen.TellError(end.Err))
}

// causeOf returns why a wish is loaded.
func causeOf(r *agenda.Wish) string {
	switch {
	case r.Killed:
		return causeWrite
	case r.Asked != nil:
		return causeExpiry
	case r.Expected != nil && r.Expected.Hot:
		return causeTick
	}
	return causeAssociation
}

// count counts a load that has ended: by why it was made, and by what came of it. origin is what is
// kept of the context of the read that had it made; nil for nothing.
func (w *Worker) count(key, cause string, origin context.Context, stored bool, end runner.Ending) {
	shape, result, failed := template.Label(key), "stored", end.Err != nil
	switch {
	case !failed && !stored:
		result = "dead"
	case errors.Is(end.Err, context.DeadlineExceeded):
		result = "timeout"
	case errors.Is(end.Err, context.Canceled):
		result, failed = "cancelled", false
	case failed:
		result = "error"
	}
	w.Told.Loads.Ended(shape, cause, result, failed && !end.Brief, end.Took)
	if origin == nil {
		origin = context.Background()
	}
	w.Ended(Ended{Origin: origin, Table: template.Table(key), Shape: shape, Cause: cause, Took: end.Took, Failed: failed})
}

// LoaderOf returns the loader of a key: one that was kept, or one that reads off the key how its
// query is to be run.
func (w *Worker) LoaderOf(key string) (cache.Loader, bool) {
	if load, ok := w.Loaders.Of(key); ok {
		return load, true
	}
	return w.Source.LoaderOf(key)
}

// Together takes the first key out of those that are expected, and those that can be loaded by the
// same query.
func (w *Worker) Together(expected []*association.Expected) (r agenda.Wish, rest []*association.Expected) {
	wish := func(x *association.Expected) agenda.Wish {
		origin := x.Origin
		x.Origin = nil
		return agenda.Wish{Key: x.Key, Expected: x, Origin: origin}
	}
	r = wish(expected[0])
	with, rest, load := loading.Together(w.Source, expected, func(x *association.Expected) string { return x.Key })
	for _, x := range with {
		r.With = append(r.With, wish(x))
	}
	if r.Load = load; load == nil {
		r.Load, _ = w.LoaderOf(r.Key)
	}
	return r, rest
}

func (w *Worker) guard(part string, do func()) { failopen.Guard(w.Report, part, do) }
