// Package processors tells whether the processors have more to do than they can: then what is done
// in the background is taken from the application.
package processors

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// Who stands back gets a processor again at once where one is free. Where it takes longer than
	// busyWait, in the mean of about the last waitsOf times, the processors are busy.
	busyWait = 100 * time.Microsecond
	waitsOf  = 32
	// longest is what one wait counts at most.
	longest = time.Millisecond
)

// Waits are how long those waited for a processor lately who stood back. It is safe for concurrent
// use; of those who do so at the same time some may not count.
type Waits struct{ mean atomic.Int64 }

// Yield stands back for all others who wait for a processor of the process, and notes how long that
// takes.
func (w *Waits) Yield() {
	begun := time.Now()
	runtime.Gosched()
	w.note(time.Since(begun))
}

func (w *Waits) note(d time.Duration) {
	mean := w.mean.Load()
	w.mean.Store(mean + (int64(min(d, longest))-mean)/waitsOf)
}

// Busy reports whether the processors are busy.
func (w *Waits) Busy() bool { return w.mean.Load() >= int64(busyWait) }
