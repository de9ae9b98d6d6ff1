package preload

import (
	"math"
	"time"

	"github.com/gorm-preload/preload/internal/agenda"
	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/runner"
)

// tick is one turn: what outlived its TTL goes, and what is hot, not in memory, and likely to be
// read while its answer is kept is loaded, hottest first.
func (w *worker) tick() {
	p := w.p
	p.learner.Tick()
	now := p.config.now()
	p.cache.Expire(now)
	p.stats.holdOuts.Look()
	w.warn()
	if n := p.learner.Clears(); n != w.clears {
		w.heat, w.clears = prediction.Heat{}, n
		w.renewals.Clear()
	}
	entries, _ := p.cache.Size()
	if share, enough := w.heat.Review(entries, p.cache.Counts.Evicted.Load()); enough {
		p.stats.hotUsed.Store(math.Float64bits(share))
	}
	defer func() { p.stats.heat.Store(w.heat.Bytes() + w.renewals.Bytes()) }()
	hottest := p.patterns.Hottest(p.config.maxPatterns, p.config.threshold, now)
	uses, most := make([]float64, len(hottest)), 0.
	for i, hot := range hottest {
		uses[i] = w.heat.Uses(hot.Key, hot.Count, w.ticks(p.ttl(hot.Key)), w.ticks(now.Sub(hot.Last)))
		most = max(most, uses[i])
	}
	w.heat.Hottest(most)
	loads := 0
	for i, hot := range hottest {
		if loads >= p.config.batch {
			return
		}
		if _, ok := p.loaders.Of(hot.Key); !ok || p.cache.Find(p.own.StoreKey(hot.Key), now) != nil {
			continue
		}
		shape := p.shapeOf(hot.Key)
		if !w.heat.Takes(shape, uses[i]) {
			continue
		}
		x := &association.Expected{Key: hot.Key, Hot: true}
		x.Used = p.stats.loads.Used(causeTick)
		p.cache.Await(&x.Trial)
		if w.load(agenda.Wish{Key: hot.Key, Expected: x}) {
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
func (p *Plugin) shapeOf(key string) string {
	if t := p.templates.Of(key); t != nil {
		return t.Prefix
	}
	return ""
}

// ticks returns a time in intervals.
func (w *worker) ticks(d time.Duration) float64 { return float64(d) / float64(w.p.config.interval) }

// ttl returns how long answers of a key are kept.
func (p *Plugin) ttl(key string) time.Duration {
	if t := p.templates.Of(key); t != nil {
		return t.Limits().TTL
	}
	return p.config.ttl
}
