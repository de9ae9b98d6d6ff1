package hotness

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Snapshot is what was known of a key when it was asked for.
type Snapshot struct {
	Key     string
	Count   int64
	Last    time.Time
	Score   float64
	Related []string // newest first
}

// candidate is a pattern with what its score was made of.
type candidate struct {
	pattern *Pattern
	count   int64
	last    int64
	score   float64
}

// hotter orders by falling score, and keys of the same score by name.
func hotter(a, b candidate) int {
	if c := cmp.Compare(b.score, a.score); c != 0 {
		return c
	}
	return strings.Compare(a.pattern.Key, b.pattern.Key)
}

// Hottest returns at most limit tracked patterns by falling score at now (ties:
// by key), none whose score is below threshold; limit <= 0 means none. The lock
// is held only to list the patterns, each of which is then read as it is.
func (t *Table) Hottest(limit int, threshold float64, now time.Time) []Snapshot {
	if limit <= 0 {
		return nil
	}
	patterns := t.patterns()
	limit = min(limit, len(patterns))
	// Room for twice the limit: the colder half is cut whenever it is full, so
	// all of them are never sorted to find a few.
	hottest := make([]candidate, 0, min(2*limit, len(patterns)))
	cut := false
	// A heap has the coldest in front. From its end, the hottest are likely to
	// be met early and the rest not to be kept at all.
	for _, p := range slices.Backward(patterns) {
		c, ok := t.candidate(p, now)
		// Written so that a score or a threshold of NaN excludes.
		if !ok || !(c.score >= threshold) {
			continue
		}
		if cut && hotter(hottest[limit-1], c) < 0 {
			continue
		}
		if len(hottest) == cap(hottest) {
			slices.SortFunc(hottest, hotter)
			hottest = hottest[:limit]
			cut = true
		}
		hottest = append(hottest, c)
	}
	slices.SortFunc(hottest, hotter)
	hottest = hottest[:min(limit, len(hottest))]

	snapshots := make([]Snapshot, len(hottest))
	for i, c := range hottest {
		snapshots[i] = Snapshot{
			Key:     c.pattern.Key,
			Count:   c.count,
			Last:    timeOf(c.last),
			Score:   c.score,
			Related: c.pattern.relatedKeys(),
		}
	}
	return snapshots
}

// Score returns the score of key at now, and whether key is tracked. It takes
// no lock.
func (t *Table) Score(key string, now time.Time) (float64, bool) {
	p := t.Lookup(key)
	if p == nil {
		return 0, false
	}
	c, ok := t.candidate(p, now)
	return c.score, ok
}

// candidate scores p. It is not ok if p has lost its place since it was looked
// up, and its count to another pattern.
func (t *Table) candidate(p *Pattern, now time.Time) (candidate, bool) {
	c := candidate{pattern: p, count: p.count.Load(), last: p.last.Load()}
	if c.count == 0 {
		return candidate{}, false
	}
	c.score = t.scorer.Score(p.ownWeight(), c.count, timeOf(c.last), now)
	return c, true
}
