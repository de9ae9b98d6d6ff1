package failopen

import (
	"log/slog"
	"time"
)

// Scorer keeps a Scorer that panics from harming the queries that are scored.
type Scorer struct {
	scorer pluggedScorer
	report Report
}

// pluggedScorer is what the application plugs in.
type pluggedScorer interface {
	Weigh(weight float64, count int64, now time.Time) float64
	Score(weight float64, count int64, last, now time.Time) float64
}

// NewScorer guards a Scorer.
func NewScorer(s pluggedScorer, report Report) Scorer { return Scorer{s, report} }

// Weigh returns the weight after one more access; the one before where the Scorer panics.
func (s Scorer) Weigh(weight float64, count int64, now time.Time) (after float64) {
	defer s.recover(&after, weight)
	return s.scorer.Weigh(weight, count, now)
}

// Score returns the score at a moment; 0 where the Scorer panics.
func (s Scorer) Score(weight float64, count int64, last, now time.Time) (score float64) {
	defer s.recover(&score, 0)
	return s.scorer.Score(weight, count, last, now)
}

func (s Scorer) recover(result *float64, instead float64) {
	if fault := recover(); fault != nil {
		s.report(slog.LevelError, "preload: the Scorer panicked", "", FaultAttrs(fault)...)
		*result = instead
	}
}
