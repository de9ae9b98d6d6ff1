package preload

import (
	"math"
	"slices"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/prediction"
	"github.com/gorm-preload/preload/internal/runner"
)

const (
	// The limit of a tick is looked at after so many outcomes.
	hotOutcomes = 16
	// hotUsed is the share of what a tick loads that is to be used.
	hotUsed = 0.75
	// hotCooling is what the limit falls by at a tick while nothing speaks against it, to see
	// whether what is less hot is used, too.
	hotCooling = 0.93
	// maxHot bounds the loads whose outcome is waited for.
	maxHot = 1 << 10
)

// heat is by what a tick chooses what to load: how hot was hot enough to be used.
type heat struct {
	cleared      int32 // the number of Clears that it knows of
	limit        float64
	used, wasted float64 // outcomes; halved each time that the limit is looked at
	uses         float64 // the sum of what was expected of those that were wasted
	tried        []*expected
}

// tick is one turn: what outlived its TTL goes, and what is hot and not in memory is loaded,
// hottest first.
func (w *worker) tick() {
	p := w.p
	p.learner.tick(w.Resume())
	now := p.now()
	p.cache.Expire(now)
	if n := p.learner.cleared.Load(); n != w.heat.cleared {
		w.heat = heat{cleared: n}
	}
	w.heat.settle(&p.stats)
	loads := 0
	for i, hot := range p.patterns.Hottest(p.config.maxPatterns, p.config.threshold, now) {
		if loads >= p.config.batch {
			return
		}
		// The same score promises more uses of an answer that is kept for longer.
		uses := hot.Score * float64(p.ttl(hot.Key)) / float64(p.config.ttl)
		if i == 0 {
			w.heat.limit = min(w.heat.limit, 2*uses)
		}
		if _, ok := p.registry.loader(hot.Key); !ok || uses < w.heat.limit || p.cache.Find(p.storeKey(hot.Key), now) != nil {
			continue
		}
		x := &expected{key: hot.Key, hot: true, uses: uses}
		p.cache.Await(&x.Trial)
		if w.load(reload{key: hot.Key, expected: x}) {
			loads++
			w.heat.tried = append(w.heat.tried, x)
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

// settle sees what became of what earlier ticks loaded, and sets the limit.
func (h *heat) settle(c *counters) {
	news := false
	late := len(h.tried) - maxHot
	h.tried = slices.DeleteFunc(h.tried, func(x *expected) bool {
		o, decided := x.Outcome()
		if late--; late >= 0 && !decided {
			o, decided = prediction.Wasted, true
		}
		switch {
		case !decided || o == prediction.Void:
			return decided
		case o == prediction.Wasted:
			h.wasted++
			h.uses += x.uses
		default:
			h.used++
		}
		news = true
		return true
	})
	all := h.used + h.wasted
	share := h.used / max(1, all)
	if all >= hotOutcomes && share < hotUsed {
		h.limit = max(2*h.limit, h.uses/h.wasted)
	} else if all < 1 || share >= hotUsed {
		h.limit *= hotCooling
	}
	if all >= hotOutcomes {
		c.hotUsed.Store(math.Float64bits(share))
	}
	if all >= hotOutcomes || !news {
		h.used, h.wasted, h.uses = h.used/2, h.wasted/2, h.uses/2
	}
}
