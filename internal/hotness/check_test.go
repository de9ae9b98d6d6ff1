package hotness

import (
	"fmt"
	"math"
	"time"
)

// check proves the structure of the table whole: the heap, the index and what
// is published agree with each other. Nothing else may use the table meanwhile.
func (t *Table) check() error {
	if !t.mu.TryLock() {
		return fmt.Errorf("the lock is held")
	}
	defer t.mu.Unlock()

	if len(t.heap) > t.limit {
		return fmt.Errorf("%d patterns tracked, limit %d", len(t.heap), t.limit)
	}
	if got := t.size.Load(); got != int64(len(t.heap)) {
		return fmt.Errorf("published size %d, heap has %d", got, len(t.heap))
	}
	floor := math.Inf(-1)
	if len(t.heap) > 0 {
		floor = t.heap[0].at
	}
	// A failed readmission publishes; a repair before a place is given is
	// followed by a publication too: the floor is never behind the root.
	if got := math.Float64frombits(t.floor.Load()); got != floor {
		return fmt.Errorf("published floor %v, root is placed at %v", got, floor)
	}
	for i, p := range t.heap {
		if err := t.checkPattern(p); err != nil {
			return fmt.Errorf("heap[%d] %q: %w", i, p.Key, err)
		}
		if parent := t.heap[(i-1)/2]; i > 0 && parent.at > p.at {
			return fmt.Errorf("heap[%d] %q placed at %v below its parent %q at %v", i, p.Key, p.at, parent.Key, parent.at)
		}
	}
	indexed := 0
	t.keys.Range(func(any, any) bool { indexed++; return true })
	if indexed != len(t.heap) {
		return fmt.Errorf("%d keys indexed, heap has %d", indexed, len(t.heap))
	}
	return nil
}

func (t *Table) checkPattern(p placed) error {
	weight := p.ownWeight()
	switch {
	case !p.tracked.Load():
		return fmt.Errorf("not marked as tracked")
	case p.forward.Load() != nil:
		return fmt.Errorf("tracked and forwards")
	case t.Lookup(p.Key) != p.Pattern:
		return fmt.Errorf("the index has another pattern")
	case p.epoch != t.epoch.Load():
		return fmt.Errorf("of epoch %d, table is at %d", p.epoch, t.epoch.Load())
	case math.IsNaN(weight) || math.IsNaN(p.at):
		return fmt.Errorf("weight %v placed at %v", weight, p.at)
	case p.at > weight:
		return fmt.Errorf("placed at %v above its weight %v", p.at, weight)
	case p.count.Load() < 1 || p.last.Load() == never:
		return fmt.Errorf("tracked without an access")
	}
	related := p.relatedKeys()
	if len(related) > MaxRelated {
		return fmt.Errorf("%d related keys", len(related))
	}
	seen := map[string]bool{p.Key: true}
	for _, key := range related {
		if seen[key] {
			return fmt.Errorf("related to %q twice or to itself: %q", key, related)
		}
		seen[key] = true
	}
	return nil
}

// start is the time at which the clocks of these tests start.
var start = time.Date(2024, 5, 17, 9, 0, 0, 0, time.UTC)

func at(hours float64) time.Time {
	return start.Add(time.Duration(hours * float64(time.Hour)))
}

// decayed is the score count * decay^(hours since the last access).
type decayed float64

func (d decayed) Weigh(_ float64, count int64, now time.Time) float64 {
	return math.Log(float64(count)) - math.Log(float64(d))*now.Sub(start).Hours()
}

func (d decayed) Score(_ float64, count int64, last, now time.Time) float64 {
	return float64(count) * math.Pow(float64(d), now.Sub(last).Hours())
}

// frequency is a forward-decayed frequency, whose weight accumulates. Its value
// is the rate per hour.
type frequency float64

func (f frequency) Weigh(weight float64, _ int64, now time.Time) float64 {
	x := float64(f) * now.Sub(start).Hours()
	hi, lo := max(weight, x), min(weight, x)
	return hi + math.Log1p(math.Exp(lo-hi))
}

func (f frequency) Score(weight float64, _ int64, _, now time.Time) float64 {
	return math.Exp(weight - float64(f)*now.Sub(start).Hours())
}

// wayward breaks the contract every few accesses.
type wayward struct{}

func (wayward) Weigh(weight float64, count int64, now time.Time) float64 {
	switch count % 5 {
	case 1:
		return math.NaN()
	case 3:
		return weight - 10
	case 4:
		return math.Inf(-1)
	}
	return decayed(0.5).Weigh(weight, count, now)
}

func (wayward) Score(weight float64, count int64, last, now time.Time) float64 {
	if count%7 == 3 {
		return math.NaN()
	}
	return weight
}

// scorerFuncs is a Scorer of functions, for single tests.
type scorerFuncs struct {
	weigh func(weight float64, count int64, now time.Time) float64
	score func(weight float64, count int64, last, now time.Time) float64
}

func (s scorerFuncs) Weigh(weight float64, count int64, now time.Time) float64 {
	return s.weigh(weight, count, now)
}

func (s scorerFuncs) Score(weight float64, count int64, last, now time.Time) float64 {
	return s.score(weight, count, last, now)
}
