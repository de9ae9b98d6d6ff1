package worker

import (
	"context"
	"errors"
	"slices"
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
	fetchPatience = 5 * time.Second // longer than loads pause after two that failed
)

// Fetch has the loader of keys run in the background, as soon as there is room, and waits until it
// has ended. begun is false where there is no room for a while, the worker has stopped or loads
// nothing now, or the context ended first.
func (w *Worker) Fetch(ctx context.Context, keys []string, load cache.Loader) (asked []*cache.Entry, begun bool, err error) {
	ended := make(chan error, 2) // the load may be left to itself, and return later
	late := false                // readers came first
	var found []*cache.Entry     // of the load
	j := runner.Job{
		Keys: keys, Label: template.Label(keys[0]),
		Begin: func(ctx context.Context) func() error {
			run := load(ctx)
			if late = run == nil; late {
				return nil
			}
			return func() (err error) {
				found, err = run()
				return err
			}
		},
		Dropped: func() { ended <- context.DeadlineExceeded },
		Done: func(end runner.Ending) {
			if !errors.Is(end.Err, runner.ErrNoConn) {
				w.count(keys[0], causeWarm, nil, slices.ContainsFunc(found, (*cache.Entry).Stored), end)
			}
			ended <- end.Err
		},
	}
	if t := w.Templates.Of(keys[0]); t != nil {
		j.Slow = t.Pace.Slow()
	}
	for patience := time.Now().Add(fetchPatience); time.Now().Before(patience); {
		if w.Away.Load() || ctx.Err() != nil {
			return nil, false, nil
		}
		began := w.Run(j)
		if late || !began && slices.ContainsFunc(keys, w.Runs) {
			return nil, true, nil // somebody else loads it
		}
		if began {
			select {
			case err = <-ended:
			case <-ctx.Done():
				return nil, true, ctx.Err()
			}
			switch {
			case err == nil:
				return found, true, nil
			case errors.Is(err, failopen.ErrDatabase):
				w.Pause()
			}
			if !errors.Is(err, runner.ErrNoConn) {
				return nil, true, err
			}
		}
		if !w.pauses(ctx) {
			break
		}
	}
	return nil, false, nil
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
