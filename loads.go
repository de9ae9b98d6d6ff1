package preload

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/template"
)

// reload asks for a key to be loaded again.
type reload struct {
	key   string
	asked *atomic.Bool // set by the request; cleared where no load began
	// outdated says that a load of the key that runs already may have read what was there before a
	// write, so that the key is loaded once more after it; and that nothing is to be done where a
	// reader has loaded the key meanwhile.
	outdated bool
	// expected is set where the key is expected to be asked for.
	expected *association.Expected
	// load is the loader; that of the registry where it is nil.
	load cache.Loader
	// with are more keys that the loader loads, by the same query.
	with []reload
}

// end notes the fate of an expected key whose load stored nothing.
func (r *reload) end(o cache.Fate) {
	if r.expected != nil {
		r.expected.Trial.End(o)
	}
}

// all calls yield with the reload itself and with each one in with.
func (r *reload) all(yield func(*reload) bool) {
	if !yield(r) {
		return
	}
	for i := range r.with {
		if !yield(&r.with[i]) {
			return
		}
	}
}

// job returns a reload as the runner runs it; false where there is no loader.
func (w *worker) job(r reload) (j runner.Job, ok bool) {
	load := r.load
	if load == nil {
		if load, ok = w.p.registry.loader(r.key); !ok {
			return j, false
		}
	}
	j = runner.Job{
		Label:    template.Label(r.key),
		Own:      !strings.HasPrefix(r.key, template.KeyPrefix),
		Outdated: r.outdated,
		Begin: func(ctx context.Context) func() error {
			run := load(ctx)
			if run == nil {
				return nil
			}
			return func() error {
				stored, err := run()
				for one := range r.all {
					if one.expected != nil {
						w.loaded(one.expected, stored, err)
					}
				}
				return err
			}
		},
		Dropped: func() {
			for one := range r.all {
				w.p.registry.unregister(one.key)
			}
		},
		Done: func(end runner.Ending) { w.done(r, end) },
	}
	for one := range r.all {
		j.Keys = append(j.Keys, one.key)
	}
	if t := w.p.templates.Of(r.key); t != nil {
		j.Usual = t.Pace.Known()
	}
	return j, true
}

// loaded notes what became of the load of a key that is expected.
func (w *worker) loaded(x *association.Expected, stored []*cache.Entry, err error) {
	key := w.p.own.StoreKey(x.Key)
	i := slices.IndexFunc(stored, func(e *cache.Entry) bool { return e.Key == key })
	switch {
	case i < 0 && err == nil:
		x.End(cache.Void)
	case i < 0:
		x.End(cache.Failed)
	default:
		if load, ok := w.p.loaderOf(x.Key); ok {
			w.p.registry.register(x.Key, load, 0)
		}
		w.p.learner.Loaded(x, stored[i])
	}
}

// done notes how a load ended.
func (w *worker) done(r reload, end runner.Ending) {
	for one := range r.all {
		one.end(cache.Failed) // unless it is known to have ended otherwise
	}
	if end.Err == nil || w.Context().Err() != nil {
		return
	}
	if errors.Is(end.Err, failopen.ErrDatabase) {
		if t := w.p.templates.Of(r.key); end.Brief && t != nil {
			t.Pace.Took(end.Took) // a load that was given little time says nothing of the database
			return
		}
		w.Pause()
	}
	w.p.config.report(slog.LevelWarn, "preload: a background load failed", template.Label(r.key), "err", failopen.Plain(end.Err))
}
