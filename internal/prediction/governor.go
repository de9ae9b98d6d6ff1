package prediction

import (
	"math"
	"unsafe"
)

// The levels of eagerness, after Srinath et al., "Feedback Directed Prefetching" (HPCA 2007):
// nothing is expected at the first.
var levels = [...]Reach{
	{},
	{Probability: 0.95, Depth: 1, Loads: 2},
	{Probability: 0.8, Depth: 2, Loads: 2},
	{Probability: 0.6, Depth: 3, Loads: 4},
	{Probability: 0.5, Depth: 4, Loads: 8},
	{Probability: 0.35, Depth: 4, Loads: 8},
}

const (
	firstLevel = 3

	// The level is looked at after so many outcomes, and at each tick that saw a few.
	outcomesAStep = 64
	outcomesATick = 4

	accurate   = 0.75 // up
	inaccurate = 0.40 // below: down
	lateMuch   = 0.25
	polluting  = 0.5

	// longestPause is the number of ticks after which it is tried again at the latest.
	longestPause = 8

	// The control group is asked whether loading helps every judgedTicks ticks.
	judgedTicks = 3
	significant = 2 // standard errors
	// The loads that were used must have been enough to show up in the control group so clearly.
	expected = 4
)

// Outcome is what became of a load.
type Outcome uint8

const (
	Useful Outcome = iota // read before it died
	Late                  // asked for before it was there
	Wasted                // neither
	Void                  // it did not begin
)

// Load is something that was loaded because it was expected.
type Load interface {
	// Outcome says what became of it, false while that is not decided.
	Outcome() (o Outcome, decided bool)
}

// trial is a load whose outcome is not known yet.
type trial struct {
	Load
	rule    *Rule
	tick    int // at which it began
	verdict int // the verdicts before
}

// maxTrials bounds the loads whose outcomes are waited for.
const maxTrials = 4096

// Figures are what the Governor goes by. Shares are 0 where there is nothing they could be of.
type Figures struct {
	Level     int
	Accuracy  float64 // the share of the loads that was useful or late
	Lateness  float64 // the share of those that was late
	Pollution float64 // the share of the misses that loads caused, by what left for their answers

	Useful, Late, Wasted int64 // of all

	// Treated and Control are the hit ratios of the keys that may be loaded and of those that never
	// are.
	Treated, Control float64
}

// Governor chooses how eager to be by how useful that turned out.
type Governor struct {
	level int
	// What it goes by; halved at every step.
	outcomes         [3]float64
	misses, polluted float64
	fresh            int // outcomes since the last step
	begun            int // loads since the last tick

	// trials are told in the order in which they began, so that those which take longest to be
	// wasted are not told in heaps.
	trials []trial
	now    int // ticks
	// verdicts counts how often it went down. Loads from before the last one do not count for the
	// next.
	verdicts int

	inaccurate bool // it was so at the last step
	paused     int  // ticks until it is tried again
	pause      int  // ticks that the next pause takes

	total [3]int64
	// The accesses since the control group was asked last, and what they found.
	hits, accesses [2]float64
	useful         float64
	ticks          int
	shown          [2]float64
}

// NewGovernor returns a governor that is neither eager nor reluctant.
func NewGovernor() *Governor { return &Governor{level: firstLevel, pause: 1} }

// Reach returns how far to go. Loads is 0 while nothing is to be loaded.
func (g *Governor) Reach() Reach { return levels[g.level] }

// Begin notes that something is loaded because it is expected, on account of a rule or, with nil,
// of the chain.
func (g *Governor) Begin(l Load, rule *Rule) {
	if len(g.trials) >= maxTrials {
		o, decided := g.trials[0].Outcome()
		g.end(o, decided)
	}
	g.begun++
	g.trials = append(g.trials, trial{l, rule, g.now, g.verdicts})
}

// Bytes returns about how much memory is held for loads whose outcomes are waited for, with that of
// the loads.
func (g *Governor) Bytes() int64 {
	return int64(cap(g.trials)) * (int64(unsafe.Sizeof(trial{})) + loadBytes)
}

// loadBytes is about what is kept of a load.
const loadBytes = 320

// Settle looks what became of the loads. What is unread for a whole interval is wasted.
func (g *Governor) Settle() {
	for len(g.trials) > 0 {
		o, decided := g.trials[0].Outcome()
		if !decided && g.trials[0].tick >= g.now-1 {
			return
		}
		g.end(o, decided)
	}
}

// end counts the outcome of the first trial.
func (g *Governor) end(o Outcome, decided bool) {
	if !decided {
		o = Wasted
	}
	t := g.trials[0]
	g.trials[0] = trial{}
	g.trials = g.trials[1:]
	if o == Void {
		return
	}
	if t.rule != nil {
		t.rule.outcome(o != Wasted)
	}
	g.total[o]++
	if t.verdict != g.verdicts || g.level == 0 {
		return // the level that it was begun by has had its verdict
	}
	g.outcomes[o]++
	if o != Wasted {
		g.useful++
	}
	if g.fresh++; g.fresh >= outcomesAStep {
		g.step()
	}
}

// Access notes an access to a key, of the control group or not, that found its answer or did not;
// polluted says that a load had pushed it out.
func (g *Governor) Access(control, hit, polluted bool) {
	group := 0
	if control {
		group = 1
	}
	g.accesses[group]++
	if hit {
		g.hits[group]++
		return
	}
	g.misses++
	if polluted {
		g.polluted++
	}
}

// Tick notes that an interval is over; failed, that the database failed loads in it, whatever they
// were for. Such an interval counts as one that was inaccurate.
func (g *Governor) Tick(failed bool) {
	g.now++
	g.Settle()
	if g.level == 0 {
		if g.paused--; g.paused <= 0 {
			g.to(1)
		}
		return
	}
	switch {
	case failed:
		g.verdict(true)
	case g.fresh >= outcomesATick:
		g.step()
	case g.begun > 0:
	case g.inaccurate:
		g.to(0) // nothing that is this likely comes, after what came was not used
	case g.level < firstLevel:
		// What is this likely does not come: it can only be told how useful the rest is by trying.
		g.to(g.level + 1)
	}
	g.begun = 0
	if g.ticks++; g.ticks >= judgedTicks {
		g.judge()
	}
}

func (g *Governor) to(level int) {
	if level < g.level {
		g.verdicts++
		g.outcomes = [3]float64{}
	}
	if level <= 0 {
		g.level = 0
		g.paused = g.pause
		g.pause = min(2*g.pause, longestPause)
		g.outcomes, g.misses, g.polluted, g.fresh, g.inaccurate = [3]float64{}, 0, 0, 0, false
		g.start()
		return
	}
	g.level = min(level, len(levels)-1)
}

// step looks at the figures and chooses the level.
func (g *Governor) step() {
	f := g.Figures()
	switch {
	case g.verdict(f.Accuracy < inaccurate):
	case f.Accuracy >= accurate:
		g.pause = 1
		if f.Pollution < polluting {
			g.to(g.level + 1)
		}
	case f.Pollution >= polluting:
		g.to(max(1, g.level-1))
	case f.Lateness >= lateMuch && g.level+1 < len(levels) && levels[g.level+1].Depth > levels[g.level].Depth:
		g.to(g.level + 1)
	case g.level == len(levels)-1:
		g.to(g.level - 1)
	}
	if g.level == 0 {
		return
	}
	for i := range g.outcomes {
		g.outcomes[i] /= 2
	}
	g.misses, g.polluted, g.fresh = g.misses/2, g.polluted/2, 0
}

// verdict goes down where loads were inaccurate, and off where they were so twice running. It
// reports whether they were.
func (g *Governor) verdict(bad bool) bool {
	was := g.inaccurate
	g.inaccurate = bad
	switch {
	case bad && was:
		g.to(0)
	case bad:
		g.to(g.level - 1)
	}
	return bad
}

// start begins to count for the control group.
func (g *Governor) start() { g.hits, g.accesses, g.useful, g.ticks = [2]float64{}, [2]float64{}, 0, 0 }

// judge compares the keys that may be loaded with the control group. Where so many loads were used
// that it would have to show, and it does not, the answers would have been there without them.
func (g *Governor) judge() {
	defer g.start()
	treated, control := g.accesses[0], g.accesses[1]
	if treated == 0 || control == 0 {
		return
	}
	g.shown = [2]float64{g.hits[0] / treated, g.hits[1] / control}
	all := (g.hits[0] + g.hits[1]) / (treated + control)
	deviation := math.Sqrt(all * (1 - all) * (1/treated + 1/control))
	if g.useful/treated >= expected*deviation && g.shown[0]-g.shown[1] < significant*deviation {
		g.to(g.level - 1)
	}
}

// Figures returns what the Governor goes by.
func (g *Governor) Figures() Figures {
	useful, late, wasted := g.outcomes[Useful], g.outcomes[Late], g.outcomes[Wasted]
	f := Figures{
		Level: g.level, Useful: g.total[Useful], Late: g.total[Late], Wasted: g.total[Wasted],
		Treated: g.shown[0], Control: g.shown[1],
	}
	if used := useful + late; used > 0 {
		f.Accuracy, f.Lateness = used/(used+wasted), late/used
	}
	if g.misses > 0 {
		f.Pollution = g.polluted / g.misses
	}
	return f
}
