package preload

import (
	"context"
	"log/slog"
	"time"

	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/template"
)

// Outcome says how a read was answered.
type Outcome uint8

// The outcomes.
const (
	OutcomeHit    Outcome = iota // from memory
	OutcomeJoined                // by the query of another reader, which was under way
	OutcomeStale                 // from memory, while the answer is loaded again before it expires
	OutcomeMiss                  // by the database; its answer may be kept
	OutcomeBypass                // by the database; it does not qualify
)

// String returns "hit", "joined", "stale", "miss" or "bypass".
func (o Outcome) String() string {
	return [...]string{"hit", "joined", "stale", "miss", "bypass"}[min(o, OutcomeBypass)]
}

// EventKind says what an Event is about, and which of its fields are set.
type EventKind uint8

// The kinds of events.
const (
	// EventRead is a read: Outcome, Table, Shape; Cause of a miss, Reason of a bypass; Rows; Age of
	// what was in memory; Took, the time that the database or the wait took. Of the application's
	// own data Table is "". What the database answers to Scan, Rows, Row and raw SQL with these is
	// told before its rows are read: Rows is 0 then.
	EventRead EventKind = iota
	// EventLoad is a load in the background that has ended: Table, Shape, Why, Took, Failed.
	EventLoad
	// EventInvalidation is a write that invalidated answers: Table that was written, "" for all and
	// "tag" for what InvalidateTags was given, Rule, and Shape of the answers, of which there were
	// Rows.
	EventInvalidation
	// EventFault is a fault in the plugin, or in what is plugged in: Part.
	EventFault
	// EventMismatch is an answer in memory that was not that of the database: Table, Shape, Age.
	EventMismatch
	// EventHoldOut says that answers of Table, "" for all, are not kept from now on, since the end
	// of a write cannot be seen: Why, and Took, for how long; or, with Ended, that this is over,
	// and how long it took. Writes that come meanwhile make it longer without an event.
	EventHoldOut
	// EventLevel says how eagerly is loaded what is expected after queries of Shape, "" for all:
	// Level, from 0 to 5, and Before.
	EventLevel
)

// Event is something that happened. It holds no value of the application's.
type Event struct {
	Kind    EventKind
	Outcome Outcome
	Table   string
	Shape   string // ShapeStats.ID
	Reason  Reason
	Cause   Cause
	Rule    string // "row", "value", "column", "table" or "everything"
	Part    string // of the plugin
	Rows    int64
	Age     time.Duration // since the answer was loaded
	Took    time.Duration // 0 for what was in memory
	Failed  bool

	Why           string // of a hold-out, one of the keys of Stats.HoldOutsBy; of a load, one of those of LoadStats
	Ended         bool
	Level, Before int
}

// WithObserver has a function called with what happens: on the goroutine of the read or write that
// it is about, which waits for it, so that it must be fast; with what happens in the background on
// one of the plugin's. The end of a hold-out is told when it comes, but WithoutWorker when the next
// one begins, or by Stats. ctx is that of the read; a Background for what has none, and of a load
// what WithOrigin keeps. It must be safe for concurrent use, and must not use the plugin or its
// *gorm.DB. A panic in it is logged.
func WithObserver(observe func(ctx context.Context, event Event)) Option {
	return func(c *config) {
		c.require(observe != nil, "WithObserver", observe == nil, "a function")
		c.observe = observe
	}
}

// WithOrigin has a function say what is kept of the context of a read for the loads in the
// background that the read has made, to tell WithObserver of: those of what is expected after it,
// and of an answer that it found shortly before its end. By default that is a Background, since a
// context holds on to all that is in it. The function must be fast and safe for concurrent use, and
// return a context that it made itself.
func WithOrigin(keep func(read context.Context) context.Context) Option {
	return func(c *config) {
		c.require(keep != nil, "WithOrigin", keep == nil, "a function")
		c.origin = keep
	}
}

// invalidated returns what gives the cache what it tells of answers that a write invalidated, nil
// where nobody wants to know.
func (c *config) invalidated() func() func(by seen.By, key string, n int64) {
	tell := func(by seen.By, key string, n int64) {
		c.tell(context.Background(), Event{Kind: EventInvalidation, Table: by.Table, Rule: by.Rule, Shape: template.Label(key), Rows: n})
	}
	return func() func(by seen.By, key string, n int64) {
		if !c.listens() {
			return nil
		}
		return tell
	}
}

// newHoldOuts returns what follows which tables are held out, and tells of it.
func (c *config) newHoldOuts() *seen.HoldOuts {
	return seen.NewHoldOuts(seen.HoldOutConfig{
		Now: c.holdClock(), Timely: c.worker && c.observe != nil,
		Told: func(h seen.HoldOut) {
			if h.Much {
				c.report(slog.LevelWarn, "preload: a table was held out of memory for more than half of a minute, since the end of writes cannot be seen", h.Table,
					"why", h.Why, "held_out", h.For)
				return
			}
			if c.observe != nil {
				c.tell(context.Background(), Event{Kind: EventHoldOut, Table: h.Table, Why: h.Why, Took: h.For, Ended: h.Ended})
			}
		},
	})
}

// moved tells of a level of eagerness: that of what is expected after a key, "" for all.
func (c *config) moved(key string, before, now int) {
	shape := ""
	if key != "" {
		shape = template.Label(key)
	}
	if key == "" && (before == 0 || now == 0) {
		event := "preload: what is expected is loaded again"
		if now == 0 {
			event = "preload: what was loaded because it was expected is hardly used, so that little of it is loaded, to see whether that changes"
		}
		c.report(slog.LevelInfo, event, "", "level", now, "before", before)
	}
	if c.observe != nil {
		c.tell(context.Background(), Event{Kind: EventLevel, Shape: shape, Level: now, Before: before})
	}
}

// observerPart names the function of WithObserver in the log. Its faults are no events, which it
// would be told.
const observerPart = "the function of WithObserver"

// listens reports whether anybody is told of what happens to reads, answers and loads.
func (c *config) listens() bool { return c.debug.Look() || c.observe != nil }

// listened is listens for a hit, which does not ask the log: that was asked lately.
func (c *config) listened() bool { return c.observe != nil || c.debug.On() }

// tell hands an event on, and has the log say it at Debug. Those for whom it is dear to make look
// first whether anybody is told.
func (c *config) tell(ctx context.Context, e Event) {
	if c.debug.On() {
		c.write(e)
	}
	if c.observe == nil {
		return
	}
	defer func() {
		if fault := recover(); fault != nil {
			c.fault(observerPart, fault)
		}
	}()
	c.observe(ctx, e)
}
