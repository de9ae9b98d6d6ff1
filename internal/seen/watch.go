package seen

// Watch looks now and then at what was counted, and says what somebody should be told of. It is
// one goroutine's.
type Watch struct {
	hits, reads, evicted int64
	ratio                float64 // of the last time that enough was read; 0 before
	never                map[string]bool
}

const (
	// watchedReads is of how many reads a ratio says something, and after how many misses without a
	// hit a shape is said not to hit.
	watchedReads = 1_000
	// fallen is the part of the ratio of before below which one has fallen.
	fallen = 0.8
	// full is the share of memory above which it is full.
	full = 0.95
	// maxNever bounds the shapes that are remembered as told of.
	maxNever = 1_000
)

// Crowded reports whether memory, of which a share is used, is full and pushes out answers while
// fewer reads hit than when it was looked before. What it is given was counted since the beginning.
func (w *Watch) Crowded(hits, reads, evicted int64, share float64) (before, now float64, crowded bool) {
	if reads < w.reads {
		*w = Watch{never: w.never} // counted anew
	}
	read, pushed := reads-w.reads, evicted-w.evicted
	if read < watchedReads {
		return 0, 0, false
	}
	before, now = w.ratio, float64(hits-w.hits)/float64(read)
	w.hits, w.reads, w.evicted, w.ratio = hits, reads, evicted, now
	return before, now, share > full && pushed > 0 && now < fallen*before
}

// NeverHits reports, once for each shape, that many of its reads missed and none hit.
func (w *Watch) NeverHits(shape string, hits, misses int64) bool {
	if hits > 0 || misses < watchedReads || w.never[shape] {
		return false
	}
	if w.never == nil || len(w.never) >= maxNever {
		w.never = map[string]bool{}
	}
	w.never[shape] = true
	return true
}
