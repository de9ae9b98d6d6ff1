package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/examples/chat/scenario"
	"github.com/gorm-preload/preload/examples/internal/latency"
	"github.com/gorm-preload/preload/examples/internal/progress"
	"github.com/gorm-preload/preload/models"
	"gorm.io/gorm"
)

const (
	// sample is of how many events the answers of one are compared with the database.
	sample = 8
	// examples is how many wrong answers are named.
	examples = 3
	// told is how many events a worker plays before it says so.
	told = 50
	// loads is how many loads the plugin may run in the background at a time.
	loads = 8
)

// result is what a run, or one worker of it, cost.
type result struct {
	events, workers      int
	took                 []latency.Samples // by read
	working              time.Duration     // of all workers, comparing left out
	queries, writes      int64             // that reached the database
	warmed               int               // answers that were there at first
	stats                *preload.Stats    // nil without the plugin
	compared, mismatches int
	examples             []string
}

// run plays all events on a database filled anew, on a handle of its own.
func (d *database) run(ctx context.Context, s settings, events []scenario.Event, plugin *preload.Plugin, label string, stderr io.Writer) (*result, error) {
	if err := d.reset(ctx, s); err != nil {
		return nil, err
	}
	db, pool, err := d.counted()
	if err != nil {
		return nil, err
	}
	var meddle func(*gorm.DB, int)
	if plugin != nil {
		if err := db.Use(plugin); err != nil {
			return nil, err
		}
		if err := plugin.Register(models.All()...); err != nil {
			return nil, err
		}
		meddle = s.meddle
	}
	pool.Reset()
	warmed := 0
	if plugin != nil && s.warm != "" {
		if warmed, err = loadHot(ctx, plugin, s.warm, stderr); err != nil {
			return nil, err
		}
	}

	r := &result{warmed: warmed, events: len(events), workers: s.workers, took: make([]latency.Samples, len(scenario.Reads))}
	shown := progress.Start(stderr, label, len(events))
	defer shown.End()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		loops   sync.WaitGroup
		writing sync.RWMutex
		workers = make([]*worker, s.workers)
	)
	for n := range workers {
		w := &worker{
			db: db, plain: d.plain, meddle: meddle, writing: &writing, shown: shown,
			result: result{took: make([]latency.Samples, len(scenario.Reads))},
		}
		loops.Go(func() {
			if err := w.loop(ctx, events, n, s.workers); err != nil {
				cancel(err)
			}
		})
		workers[n] = w
	}
	loops.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, w := range workers {
		r.merge(&w.result)
	}
	r.queries, r.writes = pool.Reads(), pool.Writes()
	if plugin != nil {
		stats := plugin.Stats()
		r.stats = &stats
	}
	return r, nil
}

func (r *result) merge(of *result) {
	for i := range r.took {
		r.took[i].Merge(&of.took[i])
	}
	r.working += of.working
	r.compared += of.compared
	r.mismatches += of.mismatches
	r.examples = append(r.examples, of.examples...)
	r.examples = r.examples[:min(len(r.examples), examples)]
}

// worker is one scenario.Event loop.
type worker struct {
	db, plain *gorm.DB
	meddle    func(*gorm.DB, int)
	shown     *progress.Progress
	result    result

	// writing is held shared by all who write, and alone by the one who compares: between an answer
	// and what it is compared with nobody writes.
	writing *sync.RWMutex
}

// loop plays every workers-th event, beginning with the first-th.
func (w *worker) loop(ctx context.Context, events []scenario.Event, first, workers int) error {
	since := time.Now()
	var comparing time.Duration
	played := 0
	for i := first; i < len(events); i += workers {
		if err := ctx.Err(); err != nil {
			return err
		}
		if w.meddle != nil {
			w.meddle(w.plain, i)
		}
		spent, err := w.play(ctx, events[i])
		if err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		comparing += spent
		if played++; played%told == 0 {
			w.shown.Add(told)
		}
	}
	w.shown.Add(played % told)
	w.result.working = time.Since(since) - comparing
	return nil
}

// play asks for what an event needs and writes what it brings. It returns how much time went into
// comparing.
func (w *worker) play(ctx context.Context, e scenario.Event) (comparing time.Duration, err error) {
	compare := e.Number%sample == 0
	// What one scenario.Event asks for belongs together.
	ctx = preload.ContextWithSession(ctx, e.ID())
	db, plain := w.db.WithContext(ctx), w.plain.WithContext(ctx)
	for i, r := range scenario.Reads {
		waited := time.Now()
		if compare {
			w.writing.Lock()
		}
		begun := time.Now()
		got, err := r.Ask(db, e)
		ended := time.Now()
		w.result.took[i].Add(ended.Sub(begun))
		if compare {
			want, wantErr := r.Ask(plain, e)
			w.writing.Unlock()
			w.compare(e, r, got, err, want, wantErr)
			comparing += time.Since(waited) - ended.Sub(begun)
		}
		if err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
			return comparing, fmt.Errorf("reading %s: %w", r.Table, err)
		}
	}
	w.writing.RLock()
	defer w.writing.RUnlock()
	return comparing, e.Write(db)
}

func (w *worker) compare(e scenario.Event, r scenario.Read, got any, err error, want any, wantErr error) {
	w.result.compared++
	same := reflect.DeepEqual(got, want) && (err == nil) == (wantErr == nil) && (err == nil || errors.Is(err, wantErr))
	if same {
		return
	}
	w.result.mismatches++
	if len(w.result.examples) < examples {
		a, b := differ(describe(got, err), describe(want, wantErr))
		w.result.examples = append(w.result.examples,
			fmt.Sprintf("event %d, %s: got %s, the database has %s", e.Number, r.Table, a, b))
	}
}

func describe(answer any, err error) string {
	if err != nil {
		return err.Error()
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return fmt.Sprintf("%+v", answer)
	}
	return string(text)
}

// differ cuts two texts down to where they begin to differ.
func differ(a, b string) (string, string) {
	const before, length = 40, 120
	from := 0
	for from < min(len(a), len(b)) && a[from] == b[from] {
		from++
	}
	cut := func(s string) string {
		begin, end := max(0, from-before), min(len(s), from-before+length)
		if begin > 0 || end < len(s) {
			return fmt.Sprintf("...%s...", s[begin:max(begin, end)])
		}
		return s
	}
	return cut(a), cut(b)
}
