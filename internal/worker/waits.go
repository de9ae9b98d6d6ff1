package worker

import (
	"sync/atomic"
	"time"
)

const (
	// A load waits waitsBusy for a processor, in the mean of about the last waitsOf, where the
	// processors are busy. Where they are not it waits some ten microseconds.
	waitsBusy = 100 * time.Microsecond
	waitsOf   = 32
	// waitsMost is what one counts at most.
	waitsMost = time.Millisecond
)

// waits is how long loads waited for a processor lately. It is safe for concurrent use; of loads
// that are noted at the same time some may not count.
type waits struct{ mean atomic.Int64 }

// busy notes how long a load waited, and reports whether the processors are busy.
func (w *waits) busy(d time.Duration) bool {
	mean := time.Duration(w.mean.Load())
	mean += (min(d, waitsMost) - mean) / waitsOf
	w.mean.Store(int64(mean))
	return mean >= waitsBusy
}
