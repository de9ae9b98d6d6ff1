package seen

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// HoldOut is what is told of a table that is held out: that this began, or ended.
type HoldOut struct {
	Table string // "" for all
	Why   string
	For   time.Duration // how long it is to last; once it has ended, how long it was
	Ended bool
	// Much says that the table was held out for more than half of a minute.
	Much bool
}

// HoldOutConfig is what HoldOuts are made with.
type HoldOutConfig struct {
	Now func() time.Time
	// Told is called with what begins and ends, by many goroutines at a time. It may be called
	// once more while Close runs.
	Told func(HoldOut)
	// Timely has an end told when it comes, by a goroutine that runs for that; else it is told when
	// something else begins, or by Look.
	Timely bool
}

// HoldOuts follows which tables are held out, and counts why.
type HoldOuts struct {
	HoldOutConfig

	mu     sync.Mutex
	causes map[string]int64
	tables map[string]*heldOut
	timer  *time.Timer
	closed bool
}

// heldOut is a table that is held out, or was lately.
type heldOut struct {
	why          string
	since, until time.Time // since is zero once the end was told
	window, mark time.Time // when the minute began that is looked at, and up to when that was done
	held         time.Duration
	told         bool // that it was much in this minute
}

const (
	// maxHeldOut bounds the tables that are told apart; of others only the causes are counted.
	maxHeldOut = 1_000
	// window is the time of which more than half is much.
	window = time.Minute
	// leastWait is how long a timer runs at least, since Now may be another clock than the timer's.
	leastWait = 10 * time.Millisecond
)

// NewHoldOuts returns HoldOuts of which none has begun.
func NewHoldOuts(c HoldOutConfig) *HoldOuts {
	return &HoldOuts{HoldOutConfig: c, causes: map[string]int64{}, tables: map[string]*heldOut{}}
}

// Begin notes that a write keeps tables out, from now on for so long.
func (h *HoldOuts) Begin(tables []string, why string, lasts time.Duration) {
	now := h.Now()
	h.mu.Lock()
	told := h.over(now)
	h.causes[why]++
	for _, name := range tables {
		t := h.tables[name]
		switch {
		case t == nil && len(h.tables) >= maxHeldOut:
			continue
		case t == nil:
			t = &heldOut{window: now, mark: now}
			h.tables[name] = t
		}
		if t.since.IsZero() {
			t.since, t.until, t.why = now, now, why
			told = append(told, HoldOut{Table: name, Why: why, For: lasts})
		}
		if until := now.Add(lasts); until.After(t.until) {
			t.until = until
		}
	}
	h.wait(now)
	h.mu.Unlock()
	h.tell(told)
}

// Look tells what has ended by now.
func (h *HoldOuts) Look() {
	now := h.Now()
	h.mu.Lock()
	told := h.over(now)
	h.wait(now)
	h.mu.Unlock()
	h.tell(told)
}

func (h *HoldOuts) tell(all []HoldOut) {
	for _, one := range all {
		h.Told(one)
	}
}

// over returns what has ended, and what was held out for much of a minute. mu is held.
func (h *HoldOuts) over(now time.Time) (told []HoldOut) {
	for _, name := range slices.Sorted(maps.Keys(h.tables)) {
		t := h.tables[name]
		if t.since.IsZero() {
			if now.Sub(t.window) >= window {
				delete(h.tables, name)
			}
			continue
		}
		end := now
		if t.until.Before(end) {
			end = t.until
		}
		t.held += max(0, end.Sub(t.mark))
		t.mark = now
		if t.held > window/2 && !t.told {
			t.told = true
			told = append(told, HoldOut{Table: name, Why: t.why, For: t.held, Much: true})
		}
		if now.Sub(t.window) >= window {
			t.window, t.held, t.told = now, 0, false
		}
		if !now.Before(t.until) {
			told = append(told, HoldOut{Table: name, Why: t.why, For: t.until.Sub(t.since), Ended: true})
			t.since = time.Time{}
		}
	}
	return told
}

// wait has the timer run until the next end. mu is held.
func (h *HoldOuts) wait(now time.Time) {
	if !h.Timely || h.closed {
		return
	}
	var next time.Time
	for _, t := range h.tables {
		if !t.since.IsZero() && (next.IsZero() || t.until.Before(next)) {
			next = t.until
		}
	}
	switch {
	case next.IsZero():
	case h.timer == nil:
		h.timer = time.AfterFunc(max(leastWait, next.Sub(now)), h.Look)
	default:
		h.timer.Reset(max(leastWait, next.Sub(now)))
	}
}

// Causes returns how many writes had tables held out, by why; nil where none had.
func (h *HoldOuts) Causes() map[string]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.causes) == 0 {
		return nil
	}
	return maps.Clone(h.causes)
}

// Close ends what the timer does.
func (h *HoldOuts) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.timer != nil {
		h.timer.Stop()
	}
}
