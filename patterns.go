package preload

import (
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/own"
)

// RecordAccess counts an access to a key, and notes the keys that usually follow it: the newest 8
// different ones, the last argument being the newest. A key of more than 1 KiB is kept as its
// beginning and a sum, which is what Hot, PreloadKeys and RelatedKeys then call it; the methods
// that take a key take it in either form.
func (p *Plugin) RecordAccess(key string, related ...string) {
	if p.idle() || p.closed.Load() {
		return
	}
	now := p.config.now()
	// What is kept is no part of a text of the caller's.
	if key = own.ShortKey(key); len(related) > 0 || p.patterns.Lookup(key) == nil {
		key = strings.Clone(key)
	}
	related = own.Newest(key, related)
	p.patterns.Touch(key, now)
	if p.config.worker {
		p.learner.Declare(key, related, now)
	}
	if len(related) > 0 {
		p.patterns.Relate(key, related...)
	}
	p.stats.recorded.Add(1)
}

// ShouldPreload reports whether a key's score has reached the threshold.
func (p *Plugin) ShouldPreload(key string) bool {
	if p.idle() {
		return false
	}
	score, ok := p.patterns.Score(own.ShortKey(key), p.config.now())
	return ok && score >= p.config.threshold
}

// PreloadKeys returns at most limit keys, hottest first, none whose score is below the threshold.
func (p *Plugin) PreloadKeys(limit int) []string {
	if p.idle() {
		return nil
	}
	hottest := p.patterns.Hottest(limit, p.config.threshold, p.config.now())
	keys := make([]string, len(hottest))
	for i, h := range hottest {
		keys[i] = h.Key
	}
	return keys
}

// RelatedKeys returns the keys that usually follow a key: those that RecordAccess was told of, the
// newest first, and then those that were learned from what applications asked, the likeliest first.
// The latter are keys that may never have been asked for, where their values come from the key or
// from its answer, if that is in memory. There are none of them WithoutWorker, or after Close.
func (p *Plugin) RelatedKeys(key string) []string {
	if p.idle() {
		return nil
	}
	key = own.ShortKey(key)
	keys := p.patterns.Related(key)
	if p.ready.Load() && p.config.worker {
		for _, learned := range p.learner.Related(key) {
			if !slices.Contains(keys, learned) {
				keys = append(keys, learned)
			}
		}
	}
	return keys
}

// Hot returns the statistics of at most limit keys, hottest first.
func (p *Plugin) Hot(limit int) []Pattern {
	if p.idle() {
		return nil
	}
	hottest := p.patterns.Hottest(limit, 0, p.config.now())
	patterns := make([]Pattern, len(hottest))
	for i, h := range hottest {
		patterns[i] = Pattern{Key: h.Key, Count: h.Count, LastAccess: h.Last, Score: h.Score, Related: h.Related}
	}
	return patterns
}
