package hotness

import "slices"

// MaxRelated is how many related keys are kept with a pattern. It bounds the
// memory of a table to a multiple of its limit, and is small enough for a list
// to be searched faster than a map.
const MaxRelated = 8

// Relate keeps the related keys with the pattern of key if it is tracked: the
// newest 8 different ones without key itself, the last argument being the
// newest. It takes no lock.
func (t *Table) Relate(key string, related ...string) {
	p := t.Lookup(key)
	if p == nil || len(related) == 0 {
		return
	}
	newest := slices.Clone(related)
	slices.Reverse(newest)
	p.relate(newest, nil)
}

// Related returns a copy of the keys that are kept with key, the newest first,
// or nil if there are none.
func (t *Table) Related(key string) []string {
	p := t.Lookup(key)
	if p == nil {
		return nil
	}
	return p.relatedKeys()
}

// Associations counts the related keys that are kept with all tracked patterns.
func (t *Table) Associations() int {
	n := 0
	for _, p := range t.patterns() {
		if related := p.related.Load(); related != nil {
			n += len(*related)
		}
	}
	return n
}

func (p *Pattern) relatedKeys() []string {
	if related := p.related.Load(); related != nil {
		return slices.Clone(*related)
	}
	return nil
}

// relate puts the newer keys before those that p has, and the older ones after.
// Each list has its newest first.
func (p *Pattern) relate(newer, older []string) {
	for ; p != nil; p = p.heir() {
		for {
			old := p.related.Load()
			var present []string
			if old != nil {
				present = *old
			}
			// A list that is stored is never written to again, so that it can
			// be read without a lock.
			kept := newestKeys(p.Key, newer, present, older)
			if slices.Equal(kept, present) || p.related.CompareAndSwap(old, &kept) {
				break
			}
		}
	}
}

// newestKeys returns the first MaxRelated different keys of the lists except
// self.
func newestKeys(self string, lists ...[]string) []string {
	kept := make([]string, 0, MaxRelated)
	for _, list := range lists {
		for _, key := range list {
			if len(kept) == MaxRelated {
				return kept
			}
			if key != self && !slices.Contains(kept, key) {
				kept = append(kept, key)
			}
		}
	}
	return kept
}
