package template

import "sync"

const (
	// The queries of a template repeat too seldom where, of so many answers that were kept, fewer
	// than one in seldom was read from memory, while others had to leave.
	judgedAnswers = 1_024
	seldom        = 64
	// stillKept: of the queries of such a template, the answer of one in so many is kept, to see
	// whether they repeat by now.
	stillKept = 16
)

// repeats judges whether the queries of a template are asked again with the same args: those with
// the time of day or a random number among them are not. To keep their answers costs memory, and
// those that have to leave for them.
//
// mu is a leaf.
type repeats struct {
	mu      sync.Mutex
	hits    int64 // of the tally, when it was looked at last
	evicted int64 // of all templates, likewise
	kept    int   // answers since then
	vain    bool  // they repeat too seldom
	left    int   // answers that were not kept since then
}

// Keep reports whether the answer of a query that is about to be asked is to be kept, by what
// became of those that were; news says that it is known only now that most are not.
func (t *Template) Keep() (keep, news bool) {
	r, hits, evicted := &t.repeats, t.Tally.Hits.Load(), t.set.Cache.Counts.Evicted.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	since := hits - r.hits
	if since < 0 || evicted < r.evicted { // the counters were set to zero
		since, r.hits, r.evicted = 0, hits, evicted
	}
	if r.vain {
		if since > 0 { // one of those few that were kept
			r.vain, r.kept, r.hits = false, 0, hits
			return true, false
		}
		r.left++
		return r.left%stillKept == 0, false
	}
	if r.kept++; r.kept < judgedAnswers {
		return true, false
	}
	r.vain = since < judgedAnswers/seldom && evicted > r.evicted
	r.kept, r.hits, r.evicted, r.left = 0, hits, evicted, 0
	return !r.vain, r.vain
}
