package hotness

import "time"

// Scorer gives weights in log space whose order time does not change, and
// scores for people. It is called by many goroutines at once and never under a
// lock, so it may call the table. A panic reaches whoever recorded the access,
// which has been counted unless it was the one that would have tracked the key.
type Scorer interface {
	// Weigh returns the weight of a key after one more access at now: weight is
	// the one before (math.Inf(-1) before the first), count the number of
	// accesses including this one. It must never be lower than weight; if it is,
	// or is NaN, the key keeps the weight it had.
	//
	// now is never before an earlier access of the same key: an access that
	// arrives late is weighed at the time of the last one. Weigh may be called
	// more than once for one access, of which at most one result is used, and
	// under concurrency count may include accesses that are yet to be weighed.
	Weigh(weight float64, count int64, now time.Time) float64

	// Score of a key at now, from its weight, its count and its last access.
	// NaN is below every threshold.
	Score(weight float64, count int64, last, now time.Time) float64
}
