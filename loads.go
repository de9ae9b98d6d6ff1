package preload

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
func (w *worker) job(r agenda.Wish) (j runner.Job, ok bool) {
	load := r.Load
	if load == nil {
		if load, ok = w.p.loaders.Of(r.Key); !ok {
			return j, false
		}
	}
	if w.p.away.Load() {
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
				stored, err := run()
				kept.Store(len(stored) > 0)
				for one := range r.All {
					if one.Expected != nil {
						w.loaded(one.Expected, stored, err)
					}
				}
				return err
			}
		},
		Dropped: func() {
			for one := range r.All {
				w.p.loaders.Unregister(one.Key)
			}
		},
		Done: func(end runner.Ending) { w.done(r, kept.Load(), end) },
	}
	for one := range r.All {
		j.Keys = append(j.Keys, one.Key)
	}
	if t := w.p.templates.Of(r.Key); t != nil {
		j.Slow = t.Pace.Slow()
	}
	return j, true
}

// loaded notes what became of the load of a key that is expected.
func (w *worker) loaded(x *association.Expected, stored []*cache.Entry, err error) {
	key := w.p.own.StoreKey(x.Key)
	i := slices.IndexFunc(stored, func(e *cache.Entry) bool { return e.Key == key })
	switch {
	case i < 0 && err == nil && (w.p.cache.Loading(key) || w.p.cache.Find(key, w.p.config.now()) != nil):
		x.End(cache.Late) // a reader took it over
	case i < 0 && (err == nil || errors.Is(err, runner.ErrNoConn)):
		x.End(cache.Void)
	case i < 0:
		x.End(cache.Failed)
	default:
		if load, ok := w.p.loaderOf(x.Key); ok {
			w.p.loaders.Register(x.Key, load, 0)
		}
		w.p.learner.Loaded(x, stored[i])
	}
}

// done notes how a load ended.
func (w *worker) done(r agenda.Wish, stored bool, end runner.Ending) {
	if errors.Is(end.Err, runner.ErrNoConn) {
		for one := range r.All {
			one.End(cache.Void)
		}
		return
	}
	for one := range r.All {
		one.End(cache.Failed) // unless it is known to have ended otherwise
	}
	w.p.loadEnded(&r, stored, end)
	if end.Err == nil || w.Context().Err() != nil {
		return
	}
	if errors.Is(end.Err, failopen.ErrDatabase) {
		if t := w.p.templates.Of(r.Key); end.Brief && t != nil {
			t.Pace.Took(end.Took) // a load that was given little time says nothing of the database
			return
		}
		w.Pause()
	}
	w.p.config.report(slog.LevelWarn, "preload: a background load failed", template.Label(r.Key), "key", toldKey(r.Key), "err", failopen.TellError(end.Err))
}

// toldKey returns what the log tells of a key.
func toldKey(key string) failopen.Told { return failopen.Told{Plain: template.SumOf(key), Whole: key} }

// together takes the first key out of those that are expected, and those that can be loaded by the
// same query.
func (p *Plugin) together(expected []*association.Expected) (r agenda.Wish, rest []*association.Expected) {
	r = agenda.Wish{Key: expected[0].Key, Expected: expected[0]}
	with, rest, load := loading.Together(p.source, expected, func(x *association.Expected) string { return x.Key })
	for _, x := range with {
		r.With = append(r.With, agenda.Wish{Key: x.Key, Expected: x})
	}
	if r.Load = load; load == nil {
		r.Load, _ = p.loaderOf(r.Key)
	}
	return r, rest
}
