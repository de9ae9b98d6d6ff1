package prediction

import "testing"

// load is one whose outcome the test decides.
type load struct {
	outcome Outcome
	open    bool
}

func (l *load) Outcome() (Outcome, bool) { return l.outcome, !l.open }

// governed is a governor and the loads that it has seen.
func feed(g *Governor, n int, o Outcome) {
	for range n {
		g.Begin(&load{outcome: o}, nil)
		g.Settle()
	}
}

func level(t *testing.T, g *Governor, want int, when string) {
	t.Helper()
	if got := g.Figures().Level; got != want {
		t.Fatalf("%s: level %d, want %d", when, got, want)
	}
}

func TestGovernorGoesUpWhileLoadsAreUsed(t *testing.T) {
	t.Parallel()
	g := NewGovernor()
	level(t, g, firstLevel, "at first")
	feed(g, outcomesAStep, Useful)
	level(t, g, firstLevel+1, "after useful loads")
	feed(g, 10*outcomesAStep, Useful)
	level(t, g, len(levels)-1, "after many useful loads")
	if reach := g.Reach(); reach.Loads == 0 || reach.Probability >= 0.5 {
		t.Errorf("the reach is %+v", reach)
	}
}

func TestGovernorStopsWhenLoadsAreWastedAndTriesAgain(t *testing.T) {
	t.Parallel()
	g := NewGovernor()
	feed(g, outcomesAStep, Wasted)
	level(t, g, firstLevel-1, "after wasted loads")
	feed(g, outcomesAStep, Wasted)
	level(t, g, 0, "after more wasted loads")
	if reach := g.Reach(); reach.Loads != 0 {
		t.Errorf("the reach is %+v while it is off", reach)
	}
	for _, pause := range []int{1, 2, 4, 8, 8} {
		for range pause - 1 {
			g.Tick(false)
			level(t, g, 0, "in the pause")
		}
		g.Tick(false)
		level(t, g, 1, "after the pause")
		feed(g, 2*outcomesAStep, Wasted)
		level(t, g, 0, "after wasted loads of the trial")
	}
	for range longestPause {
		g.Tick(false)
	}
	feed(g, outcomesAStep, Useful)
	level(t, g, 2, "after useful loads of the trial")
	feed(g, 3*outcomesAStep, Wasted)
	level(t, g, 0, "after wasted loads")
	g.Tick(false)
	level(t, g, 1, "after a pause that is short again")
}

func TestGovernorStopsWhileLoadsFail(t *testing.T) {
	t.Parallel()
	g := NewGovernor()
	g.Tick(true)
	level(t, g, firstLevel-1, "after an interval with failures")
	g.Tick(true)
	level(t, g, 0, "after another")
	g.Tick(true)
	level(t, g, 1, "after the pause")
	g.Tick(true)
	level(t, g, 0, "after failures of the trial")
	g.Tick(false)
	g.Tick(false)
	g.Tick(false)
	g.Tick(false)
	level(t, g, firstLevel, "once nothing failed")
	g.Tick(true)
	feed(g, outcomesATick, Useful)
	g.Tick(false)
	level(t, g, firstLevel, "after a failure, and useful loads")
	g.Tick(true)
	level(t, g, firstLevel-1, "after another failure that is not the second running")
}

func TestGovernorStopsWhereNothingFollowsWhatWasWasted(t *testing.T) {
	t.Parallel()
	g := NewGovernor()
	feed(g, outcomesATick, Wasted)
	g.Tick(false)
	level(t, g, firstLevel-1, "after an interval with few loads, all wasted")
	g.Begin(&load{open: true}, nil)
	g.Tick(false)
	level(t, g, firstLevel-1, "after one in which a load began")
	g.Tick(false)
	level(t, g, 0, "after one without any")
	g = NewGovernor()
	g.Tick(false)
	level(t, g, firstLevel, "where nothing was loaded at all")
}

func TestGovernorWeighs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                 string
		useful, late, wasted int // of eight
		polluted             bool
		from, to             int
	}{
		{"so accurate that more is tried", 6, 0, 2, false, 3, 4},
		{"not so accurate", 5, 0, 3, false, 3, 3},
		{"not so accurate and late", 2, 3, 3, false, 3, 4},
		{"late where it cannot be earlier", 2, 3, 3, false, 4, 4},
		{"accurate, but what it pushes out is missed", 8, 0, 0, true, 3, 3},
		{"not so accurate, and what it pushes out is missed", 5, 0, 3, true, 3, 2},
		{"not so accurate, and what it pushes out is missed, at the first level", 5, 0, 3, true, 1, 1},
		{"not so accurate at the last level", 5, 0, 3, false, 5, 4},
		{"inaccurate", 3, 0, 5, false, 3, 2},
	} {
		g := NewGovernor()
		g.level = c.from
		for range 10 {
			g.Access(false, false, c.polluted)
		}
		for range outcomesAStep / 8 {
			feed(g, c.useful, Useful)
			feed(g, c.late, Late)
			feed(g, c.wasted, Wasted)
		}
		level(t, g, c.to, c.name)
	}
}

func TestGovernorTellsOutcomesInOrder(t *testing.T) {
	t.Parallel()
	g := NewGovernor()
	first := &load{open: true}
	g.Begin(first, nil)
	feed(g, outcomesAStep, Useful)
	level(t, g, firstLevel, "while the first is not decided")
	g.Tick(false)
	level(t, g, firstLevel, "while it may still be read")
	g.Tick(false)
	if f := g.Figures(); f.Wasted != 1 || f.Useful != outcomesAStep || f.Level != firstLevel+1 {
		t.Errorf("%+v: what is unread for an interval is wasted, and the others follow", f)
	}
	for range 3 * maxTrials {
		g.Begin(&load{open: true}, nil)
	}
	if len(g.trials) > maxTrials {
		t.Errorf("%d trials are waited for", len(g.trials))
	}
}

func TestGovernorTellsRules(t *testing.T) {
	t.Parallel()
	g, rule := NewGovernor(), &Rule{}
	for _, o := range []Outcome{Useful, Void, Late, Wasted} {
		g.Begin(&load{outcome: o}, rule)
	}
	if g.Settle(); rule.used != 2 || rule.wasted != 1 {
		t.Errorf("used %d, wasted %d", rule.used, rule.wasted)
	}
}

func TestGovernorHeedsTheControlGroup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		treated, control int // hits of 100
		want             int
	}{
		{"hits more with loads", 90, 60, len(levels) - 1},
		{"hits as much without loads", 90, 90, len(levels) - 2},
	} {
		g := NewGovernor()
		feed(g, 1_000, Useful)
		for i := range 3_200 {
			g.Access(i%16 == 0, i%100 < c.treated && i%16 != 0 || i/16%100 < c.control && i%16 == 0, false)
		}
		for range judgedTicks {
			g.Tick(false)
		}
		level(t, g, c.want, c.name)
		if f := g.Figures(); f.Treated < 0.8 || f.Control < 0.5 {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}
