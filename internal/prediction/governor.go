package prediction

import (
	"math"
	"unsafe"
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
	// Busy reports whether the processors were busy while it was loaded.
	Busy() bool
}

const (
	// maxTrials bounds the loads whose outcomes are waited for.
	maxTrials = 4096
	// A load is looked at when it is as old as firstLook, twice, four times as old, and so on.
	firstLook = second / 16
	looks     = 11 // the last one after 64 s
	second    = 1e9

	// walkLoads ends a walk.
	walkLoads = 8

	// Figures are of about the last figuresOf outcomes, and trustedOf loads.
	figuresOf = 128
	trustedOf = 8
	// trustedAtFirst is shown while nothing was loaded.
	trustedAtFirst = 0.6

	// All accounts are judged together after so many accesses.
	judgedAccesses = 256
	// So many misses tell how many of them are the fault of loads.
	pollutedOf = 16
	polluting  = 0.5
	// What the control group tells is of so many accesses at least, and at most.
	comparedLeast = 1 << 10
	comparedMost  = 1 << 17
	significant   = 2 // standard errors
	// The loads that were used must have been enough to show up in the control group so clearly.
	clearly = 4
	// For so long no more bands are loaded again after loads were seen not to help.
	barredFor = 5 * second
)

// Figures are what the Governor goes by. Shares are 0 where there is nothing they could be of.
type Figures struct {
	// Level tells for what the last loads were made, from 0, all of them only to see whether they
	// are used, to 5, all because such loads are.
	Level     int
	Accuracy  float64 // the share of the loads that was useful or late
	Lateness  float64 // the share of those that was late
	Pollution float64 // the share of the misses that loads caused, by what left for their answers

	Useful, Late, Wasted int64 // of all

	// Treated and Control are the hit ratios of the keys that may be loaded and of those that never
	// are.
	Treated, Control float64
}

// Governor chooses what is loaded of what is expected, by how useful that turned out: for each
// account that something is expected on (a Trust) of its own, and for all of them together by
// whether it helps at all. Time is in nanoseconds since some moment.
type Governor struct {
	// Keys is the account of keys that the chain expects and that have no template.
	Keys Trust
	// Moved is called with a load whose outcome has more or less loaded of what is expected on its
	// account: how many bands were before, and are now; nil where nobody wants to know.
	Moved func(l Load, before, now int)

	// trials are the loads whose outcome is not known for sure, by how often they were looked at.
	// Each line is in the order in which they began, and so in that in which they are due.
	trials  [looks]line
	waiting int

	most   int   // so many bands are loaded at most
	barred int64 // until when that does not rise
	tried  int64 // when something was tried only because a second had passed
	now    int64

	trusted  float64 // the share of the last loads that were made because their account is trusted
	outcomes [3]float64
	total    [3]int64
	groups
}

// trial is a load whose outcome is not known for sure.
type trial struct {
	Load
	trust  *Trust
	begun  int64
	band   int8
	wasted bool // it counts as wasted, but may still be read
	busy   bool // the processors were busy, when it counted as wasted
	next   *trial
}

// line is a list of trials.
type line struct{ first, last *trial }

func (l *line) push(t *trial) {
	t.next = nil
	if l.first == nil {
		l.first = t
	} else {
		l.last.next = t
	}
	l.last = t
}

func (l *line) pop() *trial {
	t := l.first
	l.first = t.next
	return t
}

// NewGovernor returns a governor that is neither eager nor reluctant.
func NewGovernor() *Governor { return &Governor{most: len(bands), trusted: trustedAtFirst} }

// Reach returns how far to walk: as far as the most eager account may go.
func (g *Governor) Reach() Reach {
	last := bands[len(bands)-1]
	return Reach{Probability: last.probability, Depth: last.depth, Loads: walkLoads}
}

// Allows reports whether what a walk has come by is to be loaded. What is not trusted to come is a
// Leaf, also if it is tried: what would come after it is not expected either.
func (g *Governor) Allows(p *Prediction, t *Trust, now int64) bool {
	band := bandOf(p)
	p.Leaf = band >= g.most || !t.open(band)
	return !p.Leaf || band < len(bands) && t.tries(band, now, &g.tried)
}

// Begin notes that something is loaded because it is expected, on which account.
func (g *Governor) Begin(l Load, p *Prediction, t *Trust, now int64) {
	for i := looks - 1; g.waiting >= maxTrials; i-- {
		if g.trials[i].first != nil {
			g.drop(g.trials[i].pop())
		}
	}
	if g.trusted -= g.trusted / trustedOf; !p.Leaf {
		g.trusted += 1. / trustedOf
	}
	g.waiting++
	g.trials[0].push(&trial{Load: l, trust: t, begun: now, band: int8(bandOf(p))})
}

// drop gives up waiting for an outcome.
func (g *Governor) drop(t *trial) {
	g.waiting--
	if o, decided := t.Outcome(); decided {
		g.count(t, o)
	} else if !t.wasted {
		g.count(t, Wasted)
	}
}

// Bytes returns about how much memory is held for loads whose outcomes are waited for, with that of
// the loads.
func (g *Governor) Bytes() int64 {
	return int64(g.waiting) * (int64(unsafe.Sizeof(trial{})) + loadBytes)
}

// loadBytes is about what is kept of a load.
const loadBytes = 320

// Settle looks what became of the loads: of those that are due, and of the first of each line
// before it is.
func (g *Governor) Settle(now int64) {
	g.now = now
	for i := range g.trials {
		for line := &g.trials[i]; line.first != nil; {
			t := line.first
			o, decided := t.Outcome()
			due := now-t.begun >= firstLook<<i
			if !decided && !due {
				break
			}
			line.pop()
			age := float32(now-t.begun) / second
			switch {
			case decided:
				if g.waiting--; o == Useful || o == Late {
					t.trust.read(age)
				}
				g.count(t, o)
				continue
			case !t.wasted && age >= t.trust.patience():
				g.count(t, Wasted)
				t.wasted = true
			}
			if i+1 < looks {
				g.trials[i+1].push(t)
			} else {
				g.drop(t)
			}
		}
	}
}

// count counts the outcome of a trial, in place of the one that it had before.
func (g *Governor) count(t *trial, o Outcome) {
	if g.Moved != nil {
		before := t.trust.level()
		defer func() {
			if now := t.trust.level(); now != before {
				g.Moved(t.Load, before, now)
			}
		}()
	}
	if t.wasted {
		if o == Wasted {
			return
		}
		g.total[Wasted]--
		g.outcomes[Wasted] = max(0, g.outcomes[Wasted]-1)
		t.trust.mend(int(t.band), t.busy)
	}
	if o == Void {
		return
	}
	t.busy = t.Busy()
	t.trust.outcome(o, int(t.band), t.busy)
	g.total[o]++
	for i := range g.outcomes {
		g.outcomes[i] -= g.outcomes[i] / figuresOf
	}
	if g.outcomes[o]++; o == Useful {
		g.useful++ // who came before it was there found nothing, so it does not show
	}
}

// Groups is how many groups of keys there are, of one size. The first is the control group, which
// is never loaded. How much the others differ among themselves tells how much the first would
// differ from them by chance: a few keys may have most of the accesses of a group.
const Groups = 16

// groups compares the keys that may be loaded with the control group.
type groups struct {
	found            [Groups]group
	useful           float64 // loads since they are compared
	fresh            float64 // accesses since all were judged
	misses, polluted float64
	told             [2]float64 // hit ratios, when they were told last
}

// group is what was found in a group of keys.
type group struct{ hits, all float64 }

// Access notes an access to a key of a group that found its answer or did not; polluted says that a
// load had pushed it out. Not every access need be told: one stands for so many of its kind.
func (g *Governor) Access(group int, hit, polluted bool, of float64) {
	found := &g.found[group]
	found.all += of
	if hit {
		found.hits += of
	} else if g.misses += of; polluted {
		g.polluted += of
	}
	if g.fresh += of; g.fresh >= judgedAccesses {
		g.judge()
	}
}

// judge looks whether loads help. Where they do not, or where they push out what is missed, only
// what is likelier is loaded for a while.
func (g *Governor) judge() {
	g.fresh = 0
	polluted := g.misses >= pollutedOf && g.polluted >= polluting*g.misses
	if g.misses >= pollutedOf {
		g.misses, g.polluted = g.misses/2, g.polluted/2
	}
	switch helps, known := g.help(); {
	case known && !helps:
		g.most /= 2
		g.barred = g.now + barredFor
	case polluted:
		g.most = max(min(1, g.most), g.most-1)
		g.barred = g.now + barredFor
	case g.now >= g.barred:
		g.most = min(g.most+1, len(bands))
	}
}

// help compares the keys that may be loaded with the control group, where so many loads were used
// that it would have to show. If it does not, the answers would have been there without them.
func (g *Governor) help() (helps, known bool) {
	var all, treated group
	var n, sum, squares float64
	for i, one := range g.found {
		all.all += one.all
		if i > 0 && one.all > 0 {
			treated.hits, treated.all = treated.hits+one.hits, treated.all+one.all
			ratio := one.hits / one.all
			n, sum, squares = n+1, sum+ratio, squares+ratio*ratio
		}
	}
	control := g.found[0]
	if n < Groups/2 || control.all == 0 || all.all < comparedLeast {
		return false, false
	}
	mean := sum / n
	deviation := math.Sqrt(max(0, squares-n*mean*mean) / (n - 1) * (1 + 1/n))
	g.told = [2]float64{treated.hits / treated.all, control.hits / control.all}
	known = g.useful >= clearly*deviation*treated.all && g.useful > 0
	helps = mean-g.told[1] >= significant*deviation
	switch {
	case known:
		g.found, g.useful = [Groups]group{}, 0
	case all.all >= comparedMost:
		for i := range g.found {
			g.found[i] = group{g.found[i].hits / 2, g.found[i].all / 2}
		}
		g.useful /= 2
	}
	return helps, known
}

// Figures returns what the Governor goes by.
func (g *Governor) Figures() Figures {
	useful, late, wasted := g.outcomes[Useful], g.outcomes[Late], g.outcomes[Wasted]
	f := Figures{
		Level: int(math.Round(float64(len(bands)) * g.trusted)), Useful: g.total[Useful], Late: g.total[Late], Wasted: g.total[Wasted],
		Treated: g.told[0], Control: g.told[1],
	}
	if used := useful + late; used > 0 {
		f.Accuracy, f.Lateness = used/(used+wasted), late/used
	}
	if g.misses > 0 {
		f.Pollution = g.polluted / g.misses
	}
	return f
}
