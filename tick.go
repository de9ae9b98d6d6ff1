package preload

import (
	"math"
	"time"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/runner"
)

// tick is one turn: what outlived its TTL goes, and what is hot and not in memory is loaded,
// hottest first.
func (w *worker) tick() {
	p := w.p
	p.learner.Tick(w.Resume())
	now := p.config.now()
	p.cache.Expire(now)
	if n := p.learner.Clears(); n != w.clears {
		w.heat, w.clears = prediction.Heat{}, n
	}
	if share, enough := w.heat.Review(); enough {
		p.stats.hotUsed.Store(math.Float64bits(share))
	}
	loads := 0
	for i, hot := range p.patterns.Hottest(p.config.maxPatterns, p.config.threshold, now) {
		if loads >= p.config.batch {
			return
		}
		// The same score promises more uses of an answer that is kept for longer.
		uses := hot.Score * float64(p.ttl(hot.Key)) / float64(p.config.ttl)
		if i == 0 {
			w.heat.Hottest(uses)
		}
		if _, ok := p.registry.loader(hot.Key); !ok || w.heat.TooCold(uses) || p.cache.Find(p.own.StoreKey(hot.Key), now) != nil {
			continue
		}
		x := &association.Expected{Key: hot.Key, Hot: true}
		p.cache.Await(&x.Trial)
		if w.load(reload{key: hot.Key, expected: x}) {
			loads++
			w.heat.Try(x, uses)
			continue
		}
		x.End(cache.Void)
		if w.Room(0) == runner.NoRoom {
			return
		}
	}
}

// ttl returns how long answers of a key are kept.
func (p *Plugin) ttl(key string) time.Duration {
	if t := p.templates.Of(key); t != nil {
		return t.Limits.TTL
	}
	return p.config.ttl
}
