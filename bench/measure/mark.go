package measure

import "fmt"

// Mark is what a figure is to reach.
type Mark struct {
	Limit float64
	Least bool // it must be at least the limit, not at most
}

// AtLeast is the mark of what must be large enough.
func AtLeast(limit float64) Mark { return Mark{limit, true} }

// AtMost is the mark of what must be small enough.
func AtMost(limit float64) Mark { return Mark{limit, false} }

// Met reports whether a value reaches the mark.
func (m Mark) Met(value float64) bool {
	if m.Least {
		return value >= m.Limit
	}
	return value <= m.Limit
}

func (m Mark) String() string {
	if m.Least {
		return fmt.Sprintf("at least %g", m.Limit)
	}
	return fmt.Sprintf("at most %g", m.Limit)
}

// Verdict says in words whether a value reaches the mark.
func (m Mark) Verdict(value float64) string {
	if m.Met(value) {
		return "met"
	}
	return "not met"
}
