package worker

import (
	"context"
	"errors"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/runner"
	"github.com/gorm-preload/preload/internal/template"
)

const (
	// fetchAgain is how long Fetch waits before it asks for room again, and fetchPatience is for
	// how long it does.
	fetchAgain    = 20 * time.Millisecond
	fetchPatience = 3 * time.Second
)

// Fetch has the loader of keys run in the background, as soon as there is room, and waits until it
// has ended. begun is false where there is no room for a while, the worker has stopped or loads
// nothing now, or the context ended first.
func (w *Worker) Fetch(ctx context.Context, keys []string, load cache.Loader) (stored []*cache.Entry, begun bool, err error) {
	ended := make(chan error, 2) // the load may be left to itself, and return later
	late := false                // readers came first
	var kept []*cache.Entry
	j := runner.Job{
		Keys: keys, Label: template.Label(keys[0]),
		Begin: func(ctx context.Context) func() error {
			run := load(ctx)
			if late = run == nil; late {
				return nil
			}
			return func() (err error) {
				kept, err = run()
				return err
			}
		},
		Dropped: func() { ended <- context.DeadlineExceeded },
		Done:    func(end runner.Ending) { ended <- end.Err },
	}
	if t := w.Templates.Of(keys[0]); t != nil {
		j.Slow = t.Pace.Slow()
	}
	for patience := time.Now().Add(fetchPatience); ; {
		if w.Away.Load() || ctx.Err() != nil {
			return nil, false, nil
		}
		if w.Run(j) {
			break
		}
		if late {
			return nil, true, nil
		}
		if time.Now().After(patience) || !w.pauses(ctx) {
			return nil, false, nil
		}
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		return nil, true, ctx.Err()
	}
	switch {
	case err == nil:
		return kept, true, nil
	case errors.Is(err, runner.ErrNoConn):
		return nil, false, nil
	case errors.Is(err, failopen.ErrDatabase):
		w.Pause()
	}
	return nil, true, err
}

// pauses waits a little; false where the context or the worker ended.
func (w *Worker) pauses(ctx context.Context) bool {
	timer := time.NewTimer(fetchAgain)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-w.Context().Done():
	}
	return false
}
