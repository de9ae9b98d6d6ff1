package seen

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// maxParts bounds the parts whose faults are told apart; the others are told as "other".
const maxParts = 100

// Faults counts faults by the part that they were in.
type Faults struct {
	mu    sync.Mutex
	parts map[string]int64
	all   int64
	part  string // of the last one
	last  time.Time
}

// Add counts a fault.
func (f *Faults) Add(part string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.parts == nil {
		f.parts = map[string]int64{}
	}
	if _, known := f.parts[part]; !known && len(f.parts) >= maxParts {
		part = "other"
	}
	f.parts[part]++
	f.all, f.part, f.last = f.all+1, part, now
}

// Since returns the part that the last fault was in, and how many there were in all; 0 where none
// was after a moment.
func (f *Faults) Since(moment time.Time) (part string, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == 0 || !f.last.After(moment) {
		return "", 0
	}
	return f.part, f.all
}

// Parts returns how many faults there were in each part.
func (f *Faults) Parts() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.parts)
}

// Clear forgets all.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts, f.all = nil, 0
}

// Loads counts the loads in the background.
type Loads struct {
	mu      sync.Mutex
	results map[string]map[string]int64 // by cause
	failed  int                         // one after the other, up to the last
	shape   string
	took    map[string]*Histogram    // by cause
	used    map[string]*atomic.Int64 // by cause
}

// Ended counts a load.
func (l *Loads) Ended(shape, cause, result string, failed bool, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.results == nil {
		l.results, l.took = map[string]map[string]int64{}, map[string]*Histogram{}
	}
	if l.took[cause] == nil {
		l.took[cause] = &Histogram{}
	}
	l.took[cause].Took(took)
	if l.results[cause] == nil {
		l.results[cause] = map[string]int64{}
	}
	l.results[cause][result]++
	if l.failed, l.shape = l.failed+1, shape; !failed {
		l.failed = 0
	}
}

// Failing returns how many loads failed one after the other, up to the last, and of which shape
// that was.
func (l *Loads) Failing() (shape string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shape, l.failed
}

// Results returns how many loads had which result, by their cause.
func (l *Loads) Results() map[string]map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := maps.Clone(l.results)
	for cause := range all {
		all[cause] = maps.Clone(all[cause])
	}
	return all
}

// Took calls do with how long the loads of each cause took.
func (l *Loads) Took(do func(cause string, sum time.Duration, buckets Buckets)) {
	l.mu.Lock()
	all := maps.Clone(l.took)
	l.mu.Unlock()
	for cause, h := range all {
		sum, buckets := h.Load()
		do(cause, sum, buckets)
	}
}

// Used returns what counts the loads of a cause whose answer was asked for. It is set to zero by
// Clear, and stays the same.
func (l *Loads) Used(cause string) *atomic.Int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used == nil {
		l.used = map[string]*atomic.Int64{}
	}
	if l.used[cause] == nil {
		l.used[cause] = new(atomic.Int64)
	}
	return l.used[cause]
}

// EachUsed calls do with how many loads of each cause were used.
func (l *Loads) EachUsed(do func(cause string, n int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for cause, n := range l.used {
		do(cause, n.Load())
	}
}

// Clear forgets all.
func (l *Loads) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results, l.took, l.failed = nil, nil, 0
	for _, n := range l.used {
		n.Store(0)
	}
}
