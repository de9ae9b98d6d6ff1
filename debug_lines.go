package preload

import (
	"cmp"

	"github.com/gorm-preload/preload/internal/failopen"
)

// write has the log say at Debug what became of a read, which answers were invalidated, or how a
// load in the background ended. Of other events it has lines at other levels. What is told apart is
// in the text, since of one text and shape there is a line a minute.
func (c *config) write(e Event) {
	shape, table := e.Shape, failopen.Clipped(e.Table)
	switch e.Kind {
	case EventRead:
		c.debug.Write("preload: "+became(e), cmp.Or(shape, table), "outcome", e.Outcome.String(), "table", table, "rows", e.Rows, "age", e.Age, "took", e.Took)
	case EventInvalidation:
		c.debug.Write("preload: answers were invalidated by a change of "+cmp.Or(table, "everything")+", by the rule "+e.Rule, shape,
			"written", table, "rule", e.Rule, "answers", e.Rows)
	case EventLoad:
		c.debug.Write("preload: a load in the background has ended, made for "+e.Why, shape, "table", table, "why", e.Why, "took", e.Took, "failed", e.Failed)
	}
}

// became returns what became of a read, in words.
func became(e Event) string {
	switch e.Outcome {
	case OutcomeHit:
		return "a read was a hit"
	case OutcomeJoined:
		return "a read was a hit, of the query of another reader"
	case OutcomeStale:
		return "a read was a hit, whose answer is loaded again"
	case OutcomeMiss:
		return "a read was a miss: " + string(e.Cause)
	}
	return "a read went past memory: " + string(e.Reason)
}
