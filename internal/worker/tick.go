package worker

import (
	"math"
	"time"

	"github.com/gorm-preload/preload/internal/agenda"
	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/runner"
)

// Tick is one turn: what outlived its TTL goes, and what is hot, not in memory, and likely to be
// read while its answer is kept is loaded, hottest first.
func (w *Worker) Tick() {
	w.Learner.Tick()
	now := w.Now()
	w.Cache.Expire(now)
	w.Ticked()
	w.warn()
	if n := w.Learner.Clears(); n != w.clears {
		w.heat, w.clears = prediction.Heat{}, n
		w.renewals.Clear()
	}
	entries, _ := w.Cache.Size()
	if share, enough := w.heat.Review(entries, w.Cache.Counts.Evicted.Load()); enough {
		w.Told.hotUsed.Store(math.Float64bits(share))
	}
	defer func() { w.Told.heat.Store(w.heat.Bytes() + w.renewals.Bytes()) }()
	hottest := w.Patterns.Hottest(w.Settings.MaxPatterns, w.Settings.Threshold, now)
	uses, most := make([]float64, len(hottest)), 0.
	for i, hot := range hottest {
		uses[i] = w.heat.Uses(hot.Key, hot.Count, w.ticks(w.ttl(hot.Key)), w.ticks(now.Sub(hot.Last)))
		most = max(most, uses[i])
	}
	w.heat.Hottest(most)
	loads := 0
	for i, hot := range hottest {
		if loads >= w.Settings.Batch {
			return
		}
		if _, ok := w.Loaders.Of(hot.Key); !ok || w.Cache.Find(w.Own.StoreKey(hot.Key), now) != nil {
			continue
		}
		shape := w.shapeOf(hot.Key)
		if !w.heat.Takes(shape, uses[i]) {
			continue
		}
		x := &association.Expected{Key: hot.Key, Hot: true}
		x.Used = w.Told.Loads.Used(causeTick)
		w.Cache.Await(&x.Trial)
		if w.Load(agenda.Wish{Key: hot.Key, Expected: x}) {
			loads++
			w.heat.Try(x, shape, uses[i])
			continue
		}
		x.End(cache.Void)
		if w.Room() == runner.NoRoom {
			return
		}
	}
}

// shapeOf returns the shape that a key is of: "" for own data.
func (w *Worker) shapeOf(key string) string {
	if t := w.Templates.Of(key); t != nil {
		return t.Prefix
	}
	return ""
}

// ticks returns a time in intervals.
func (w *Worker) ticks(d time.Duration) float64 { return float64(d) / float64(w.Settings.Interval) }

// ttl returns how long answers of a key are kept.
func (w *Worker) ttl(key string) time.Duration {
	if t := w.Templates.Of(key); t != nil {
		return t.Limits().TTL
	}
	return w.Settings.TTL
}
