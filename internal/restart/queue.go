package restart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/failopen"
	"github.com/gorm-preload/preload/internal/hotfile"
	"github.com/gorm-preload/preload/internal/loading"
	"github.com/gorm-preload/preload/internal/template"
)

const (
	// maxFailed is how many loads of one query may fail before it is left out.
	maxFailed = 3
	// window is among how many keys those are looked for that one query loads.
	window = 1_024
)

// queue has the keys of a file that are still to be loaded.
type queue struct {
	*Handover
	ctx      context.Context
	keys     []string                   // hottest first
	total    int                        // how many there are in the file
	failed   map[*template.Template]int // how many of their loads failed
	heaviest int64                      // the weight of what was loaded: as much may be that of the next
	progress []func(done, total int)
	// background runs a loader where loads in the background run; nil where they run at once.
	background Background
}

// fill queues the keys that can be loaded and are not in memory. It is an error if the context
// ended first.
func (q *queue) fill(file *hotfile.File) error {
	templates := make([]*template.Template, len(file.Queries))
	for i, of := range file.Queries {
		if of.Damaged {
			continue
		}
		if err := q.ctx.Err(); err != nil {
			return fmt.Errorf("%d of %d keys were not loaded: %w", q.total, q.total, err)
		}
		var err error
		if templates[i], err = q.restore(of); err != nil {
			q.Report(slog.LevelWarn, "preload: LoadHot: a query is left out", label(&of), "model", failopen.Clipped(of.Model), "err", err)
		}
	}
	seen := map[string]bool{}
	for _, key := range file.Keys {
		t := templates[key.Query]
		if t == nil {
			continue
		}
		whole := t.Prefix + string(key.Args)
		if seen[whole] {
			continue
		}
		seen[whole] = true
		if _, ok := q.LoaderOf(whole); ok && q.Cache.Find(whole, q.Cache.Now()) == nil {
			q.keys = append(q.keys, whole)
		}
	}
	return nil
}

// run loads what is queued.
func (q *queue) run() error {
	for len(q.keys) > 0 {
		q.show(q.total - len(q.keys))
		if err := q.ctx.Err(); err != nil {
			return q.interrupted(0, err)
		}
		if q.Closed() {
			return q.interrupted(0, errors.New("the plugin is closed"))
		}
		room := q.room()
		if room <= 0 {
			q.Report(slog.LevelInfo, "preload: LoadHot: memory is full, the colder keys are left out", "", "keys", len(q.keys))
			break
		}
		if err := q.next(room); err != nil {
			return err
		}
	}
	q.show(q.total)
	return nil
}

func (q *queue) show(done int) {
	for _, show := range q.progress {
		if show != nil {
			show(done, q.total)
		}
	}
}

// interrupted returns the error that says that what is queued is not loaded, and so many more keys.
func (q *queue) interrupted(more int, err error) error {
	return fmt.Errorf("%d of %d keys were not loaded: %w", len(q.keys)+more, q.total, err)
}

// room is how many answers there is still room for in memory, as far as can be told.
func (q *queue) room() int {
	entries, bytes := q.Cache.Size()
	room := q.Cache.MaxEntries - entries
	if q.heaviest == 0 {
		return min(room, loading.MaxBatch) // the first ones tell
	}
	return int(min(int64(room), (q.Cache.MaxBytes-bytes)/q.heaviest))
}

// next loads the first of the queue, and with it those that one query can load, at most as many as
// there is room for.
func (q *queue) next(room int) error {
	keys, loader := q.take(room)
	t := q.Templates.Of(keys[0])
	if loader == nil || q.failed[t] > maxFailed {
		return nil
	}
	_, before := q.Cache.Size()
	err := q.load(keys, loader)
	_, after := q.Cache.Size()
	q.heaviest = max(q.heaviest, (after-before)/int64(len(keys)))
	switch {
	case err == nil:
		return nil
	case q.ctx.Err() != nil:
		return q.interrupted(len(keys), q.ctx.Err())
	case errors.Is(err, errNoPlace):
		return q.interrupted(len(keys), err)
	}
	if gone := q.ping(); gone != nil {
		return q.interrupted(len(keys), fmt.Errorf("%w: %w", failopen.ErrDatabase, failopen.PlainError(gone)))
	}
	q.failed[t]++
	if len(keys) > 1 {
		q.keys = append(q.keys, keys...)
		return nil
	}
	q.Report(slog.LevelWarn, "preload: LoadHot: a key is left out", template.Label(keys[0]), "err", failopen.TellError(err))
	if q.failed[t] > maxFailed {
		q.Report(slog.LevelWarn, "preload: LoadHot: a query is left out", template.Label(keys[0]))
	}
	return nil
}

// take takes the keys that one query loads out of the queue. loader is nil where it is not known
// any more how that is done.
func (q *queue) take(room int) (keys []string, loader cache.Loader) {
	first := q.keys[0]
	if q.failed[q.Templates.Of(first)] > 0 { // one of them may be to blame
		q.keys = q.keys[1:]
		loader, _ = q.LoaderOf(first)
		return []string{first}, loader
	}
	ahead := q.keys[:min(len(q.keys), window, room)]
	with, rest, loader := loading.Together(q.Source, ahead, func(key string) string { return key })
	if loader == nil {
		loader, _ = q.LoaderOf(first)
	}
	taken := len(ahead) - len(rest)
	copy(ahead[taken:], rest)
	q.keys = q.keys[taken:]
	return append([]string{first}, with...), loader
}

// errNoPlace says that nothing can be loaded in the background.
var errNoPlace = errors.New("nothing is loaded in the background now")

// load runs the loader of keys, and keeps for each that was stored what loads it again.
func (q *queue) load(keys []string, loader cache.Loader) (err error) {
	failopen.Guard(q.Report, "loading hot keys", func() {
		var asked []*cache.Entry
		asked, err = q.fetch(keys, loader)
		for _, e := range asked {
			if again, ok := q.LoaderOf(e.Key); ok && e.Stored() {
				q.Register(e.Key, again)
			}
		}
	})
	return err
}

// fetch runs a loader, and returns what it asked for: nothing where readers came first.
func (q *queue) fetch(keys []string, loader cache.Loader) (asked []*cache.Entry, err error) {
	if q.background != nil {
		asked, begun, err := q.background(q.ctx, keys, loader)
		if !begun {
			return nil, errNoPlace
		}
		return asked, err
	}
	ctx, cancel := context.WithTimeout(q.ctx, q.LoadTimeout)
	defer cancel()
	if run := loader(ctx); run != nil {
		return run()
	}
	return nil, nil
}

// ping returns an error where the database does not answer.
func (q *queue) ping() error {
	ctx, cancel := context.WithTimeout(q.ctx, q.LoadTimeout)
	defer cancel()
	db, err := q.Pool.GetDBConn()
	if err != nil || db == nil {
		return nil // it cannot be asked
	}
	return db.PingContext(ctx)
}
