package worker

import (
	"context"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/own"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
)

// comparison is one that waits for room.
type comparison struct {
	runner.Job
	tally *cache.Tally // of the answer
}

// compareLater makes a comparison once there is room, or counts that there was none.
func (w *Worker) compareLater(c comparison) {
	if !w.Run(c.Job) {
		c.tally.Seen.Compared(seen.Skipped)
	}
}

// Compare has the database asked for an answer that was just read from memory, if it is one of
// those that are compared and no other one waits for room.
func (w *Worker) Compare(e *cache.Entry) {
	if w.Away.Load() || !w.Sampler.Takes() {
		return
	}
	w.guard("verifying an answer", func() {
		asked := false // or there is nothing to ask
		defer func() {
			if !asked {
				e.Tally.Seen.Compared(seen.Skipped)
			}
		}()
		key := w.Own.PublicKey(e)
		j := runner.Job{Keys: []string{"verify " + e.Key}, Label: template.Label(key), Dropped: func() {}, Done: func(runner.Ending) {}}
		load, loads := w.Loaders.Of(key)
		if e.Tally == w.Cache.Counts.Tally(own.Table) {
			if asked = e.Unwatched; asked || !loads {
				return // there is nothing to compare of what was made of no tables
			}
			j.Own, j.Begin = true, w.compareOwn(e, load)
		} else {
			t, check, ok := w.Source.Check(e.Key, load)
			if !ok {
				return
			}
			j.Slow = t.Pace.Slow()
			j.Begin = func(ctx context.Context) func() error {
				return func() error {
					w.Verifier.Compared(ctx, t, e, check(ctx))
					return nil
				}
			}
		}
		switch w.TryRun(j) {
		case runner.Begun:
			asked = true
		case runner.Later:
			select {
			case w.checks <- comparison{j, e.Tally}:
				asked = true
			default: // one waits already
			}
		}
	})
}

// compareOwn returns what begins to compare own data with what its loader gives, which asks the
// database alone.
func (w *Worker) compareOwn(e *cache.Entry, load cache.Loader) func(context.Context) func() error {
	return func(ctx context.Context) func() error {
		check := &own.Check{}
		run := load(check.In(mode.Bypass.In(ctx)))
		if run == nil {
			return nil
		}
		return func() error {
			_, err := run()
			w.Verifier.ComparedOwn(ctx, e, template.Label(w.Own.PublicKey(e)), check)
			return err
		}
	}
}
