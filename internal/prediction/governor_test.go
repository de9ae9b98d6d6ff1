package prediction

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// clock is a time in nanoseconds.
type clock struct{ at int64 }

// load is one whose outcome is decided at some time.
type load struct {
	clock   *clock
	decided int64
	outcome Outcome
	busy    bool
}

func (l *load) Busy() bool { return l.busy }

func (l *load) Outcome() (Outcome, bool) { return l.outcome, l.clock == nil || l.clock.at >= l.decided }

const never = 1e6 // seconds

// flow is what is expected on one account.
type flow struct {
	Trust
	rate        int // expected a second
	probability float64
	depth       int
	busy        bool                              // the processors are
	fate        func() (o Outcome, after float64) // of its loads
	expected    int
	loaded      int
	leaves      int
}

// fate has all loads end so after some seconds.
func fate(o Outcome, after float64) func() (Outcome, float64) {
	return func() (Outcome, float64) { return o, after }
}

// some has so many of all loads read soon, and the others never.
func some(share float64) func() (Outcome, float64) {
	random := rand.New(rand.NewPCG(1, 2))
	return func() (Outcome, float64) {
		if random.Float64() < share {
			return Useful, 0.03
		}
		return Wasted, never
	}
}

// governed is a governor in a time of its own.
type governed struct {
	*Governor
	clock
}

func newGoverned() *governed { return &governed{NewGovernor(), clock{at: 1e18}} }

// run lets so many seconds pass in which shapes are expected, and counts for these seconds.
func (g *governed) run(seconds int, shapes ...*flow) {
	const steps = 200
	for _, s := range shapes {
		s.expected, s.loaded, s.leaves = 0, 0, 0
	}
	for range seconds {
		for step := range steps {
			g.at += second / steps
			for _, s := range shapes {
				for range (step+1)*s.rate/steps - step*s.rate/steps {
					g.expect(s)
				}
			}
			g.Settle(g.at)
		}
	}
}

func (g *governed) expect(s *flow) {
	s.expected++
	p := Prediction{Probability: s.probability, Depth: max(1, s.depth)}
	load := g.Allows(&p, &s.Trust, g.at)
	if p.Leaf {
		s.leaves++
	}
	if load {
		s.loaded++
		g.begin(&p, s)
	}
}

func (g *governed) begin(p *Prediction, s *flow) {
	o, after := s.fate()
	g.Begin(&load{&g.clock, g.at + int64(after*second), o, s.busy}, p, &s.Trust, g.at)
}

// off reports whether of a flow no more is loaded than to see whether it is used.
func (s *flow) off(seconds int) bool {
	return s.leaves == s.expected && s.loaded <= s.expected/triedShare+seconds
}

// on reports whether all is loaded.
func (s *flow) on() bool { return s.loaded == s.expected && s.leaves == 0 }

// TestLoadsStopSoonWhenTheyAreWastedAndComeBackSoon has associations end, and loads fail; and then
// what is expected is read again.
func TestLoadsStopSoonWhenTheyAreWastedAndComeBackSoon(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		rate      int
		bad       func() (Outcome, float64)
		off, back int // seconds
	}{
		{"associations end, 100 a second", 100, fate(Wasted, never), 2, 3},
		{"associations end, 25 a second", 25, fate(Wasted, never), 2, 3},
		{"associations end, 10 a second", 10, fate(Wasted, never), 3, 4},
		{"associations end, 5 a second", 5, fate(Wasted, never), 5, 5},
		{"associations end, 1 a second", 1, fate(Wasted, never), 15, 10},
		{"loads fail, 100 a second", 100, fate(Wasted, 0), 1, 3},
		{"loads fail, 5 a second", 5, fate(Wasted, 0.1), 4, 5},
		{"answers are killed unread", 25, fate(Wasted, 0.1), 1, 3},
		{"1 of 20 is used", 25, some(0.05), 5, 3},
	} {
		for _, probability := range []float64{0.97, 0.8, 0.6} {
			g := newGoverned()
			s := &flow{rate: c.rate, probability: probability, fate: fate(Useful, 0.03)}
			name := fmt.Sprintf("%s, expected with %v", c.name, probability)
			if g.run(30, s); !s.on() {
				t.Fatalf("%s: %d of %d are loaded while all are used", name, s.loaded, s.expected)
			}
			s.fate = c.bad
			g.run(c.off, s)
			if g.run(5, s); !s.off(5) {
				t.Errorf("%s: after %d s, %d of %d are still loaded in 5 s", name, c.off, s.loaded, s.expected)
			}
			if s.loaded == 0 {
				t.Errorf("%s: none of %d is tried in 5 s", name, s.expected)
			}
			g.run(30, s) // it makes no difference for how long it lasts
			if f := g.Figures(); f.Level != 0 {
				t.Errorf("%s: it is shown at level %d", name, f.Level)
			}
			s.fate = fate(Useful, 0.03)
			g.run(c.back, s)
			if g.run(5, s); !s.on() {
				t.Errorf("%s: %d s after it ended, %d of %d are loaded in 5 s", name, c.back, s.loaded, s.expected)
			}
		}
	}
}

// TestWhatIsUsedOftenEnoughIsLoaded and what is not is not, after a while.
func TestWhatIsUsedOftenEnoughIsLoaded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		used, least, most float64 // shares
		busy              bool
	}{
		{0.9, 1, 1, false},
		{0.6, 1, 1, false},
		{0.5, 0.9, 1, false},
		{0.2, 0, 0.25, false},
		{0.1, 0, 0.1, false},
		{0.95, 0.9, 1, true},
		{0.6, 0, 0.25, true},
		{0.5, 0, 0.2, true},
	} {
		g := newGoverned()
		s := &flow{rate: 25, probability: 0.7, fate: some(c.used), busy: c.busy}
		g.run(60, s)
		g.run(300, s)
		if share := float64(s.loaded) / float64(s.expected); share < c.least || share > c.most {
			t.Errorf("%v of what is used with %v is loaded, want %v to %v; the processors are busy: %v", share, c.used, c.least, c.most, c.busy)
		}
	}
}

// TestShapesDoNotSpoilEachOther has useful shapes beside useless ones.
func TestShapesDoNotSpoilEachOther(t *testing.T) {
	t.Parallel()
	g := newGoverned()
	good := &flow{rate: 5, probability: 0.8, fate: some(0.9)}
	bad := &flow{rate: 50, probability: 0.95, fate: fate(Wasted, never)}
	failing := &flow{rate: 50, probability: 0.95, fate: fate(Wasted, 0)}
	g.run(5, good, bad, failing)
	g.run(60, good, bad, failing)
	if !good.on() || !bad.off(60) || !failing.off(60) {
		t.Errorf("loaded: %d of %d that are useful, %d of %d that are wasted, %d of %d that fail", good.loaded, good.expected, bad.loaded, bad.expected, failing.loaded, failing.expected)
	}
	if f := g.Figures(); f.Level < 1 || f.Level > len(bands) {
		t.Errorf("level %d, want that some is trusted", f.Level)
	}
}

// TestWhatIsLessLikelyIsJudgedByItself: what is likely is loaded although what is not is wasted,
// and that is loaded only once it was seen to be used.
func TestWhatIsLessLikelyIsJudgedByItself(t *testing.T) {
	t.Parallel()
	g := newGoverned()
	var s Trust
	likely := &flow{rate: 20, probability: 0.9, fate: fate(Useful, 0.03)}
	unlikely := &flow{rate: 20, probability: 0.4, fate: fate(Wasted, never)}
	both := func(seconds int) {
		likely.expected, likely.loaded, unlikely.expected, unlikely.loaded = 0, 0, 0, 0
		for range seconds * 20 {
			for _, one := range []*flow{likely, unlikely} {
				one.Trust = s
				g.expectOf(one, &s)
			}
			g.at += second / 20
			g.Settle(g.at)
		}
	}
	both(10)
	both(60)
	if likely.loaded != likely.expected || unlikely.loaded > unlikely.expected/triedShare+60 {
		t.Errorf("%d of %d likely ones are loaded, %d of %d others", likely.loaded, likely.expected, unlikely.loaded, unlikely.expected)
	}
	unlikely.fate = fate(Useful, 0.03)
	both(10)
	if both(10); unlikely.loaded != unlikely.expected {
		t.Errorf("%d of %d are loaded though they are used", unlikely.loaded, unlikely.expected)
	}
}

// expectOf has a flow expected on an account that it shares.
func (g *governed) expectOf(s *flow, t *Trust) {
	s.expected++
	p := Prediction{Probability: s.probability, Depth: 1}
	if g.Allows(&p, t, g.at) {
		s.loaded++
		o, after := s.fate()
		g.Begin(&load{&g.clock, g.at + int64(after*second), o, s.busy}, &p, t, g.at)
	}
}

// TestThinkTimesAreLearned has what is loaded read when a user has read a page.
func TestThinkTimesAreLearned(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, mean := range []float64{1, 3, 7, 12} {
		g := newGoverned()
		s := &flow{rate: 10, probability: 0.9, fate: func() (Outcome, float64) { return Useful, min(60, mean*random.ExpFloat64()) }}
		g.run(120, s)
		if g.run(120, s); s.loaded < s.expected*98/100 {
			t.Errorf("read after %v s, %d of %d are loaded", mean, s.loaded, s.expected)
		}
		s.rate = 0
		g.run(70, s)
		if f := g.Figures(); f.Wasted > f.Useful/50 || g.waiting > 0 {
			t.Errorf("read after %v s: %+v, and %d are waited for; want what was read late to be useful", mean, f, g.waiting)
		}
		// A page that is left alone is still found out.
		s.rate, s.fate = 10, fate(Wasted, never)
		g.run(70, s)
		if g.run(10, s); !s.off(10) {
			t.Errorf("after pages that were read after %v s: %d of %d are loaded though none is read", mean, s.loaded, s.expected)
		}
	}
}

func TestOneReadThatTookLongMakesNobodyWait(t *testing.T) {
	t.Parallel()
	g := newGoverned()
	s := &flow{rate: 25, probability: 0.9, fate: fate(Useful, 0.1)}
	g.run(10, s)
	for range 2 {
		g.Begin(&load{&g.clock, g.at + 30*second, Useful, false}, &Prediction{Probability: 0.9, Depth: 1}, &s.Trust, g.at)
	}
	g.run(40, s)
	if p := s.patience(); p != leastPatience {
		t.Errorf("a load is wasted after %v s", p)
	}
}

func TestWhatIsTriedLeadsNowhere(t *testing.T) {
	t.Parallel()
	g := newGoverned()
	s := &flow{rate: 25, probability: 0.9, fate: fate(Wasted, 0)}
	g.run(5, s)
	if g.run(10, s); s.loaded == 0 || s.leaves != s.expected {
		t.Errorf("of %d that are expected %d are tried, %d are leaves", s.expected, s.loaded, s.leaves)
	}
}

// TestAllAccountsTogetherTryLittle: there are many whose loads are wasted.
func TestAllAccountsTogetherTryLittle(t *testing.T) {
	t.Parallel()
	g := newGoverned()
	var shapes []*flow
	for range 50 {
		shapes = append(shapes, &flow{rate: 2, probability: 0.9, fate: fate(Wasted, never)})
	}
	g.run(20, shapes...)
	g.run(60, shapes...)
	expected, loaded, least := 0, 0, shapes[0].loaded
	for _, s := range shapes {
		expected, loaded, least = expected+s.expected, loaded+s.loaded, min(least, s.loaded)
	}
	if most := expected/triedShare + 60*triedMost + len(shapes); loaded > most || least == 0 {
		t.Errorf("%d of %d are loaded, want %d at most; of one %d", loaded, expected, most, least)
	}
}

func TestFiguresTellOutcomes(t *testing.T) {
	t.Parallel()
	g := newGoverned()
	if f := g.Figures(); f.Level != 3 || f.Accuracy != 0 {
		t.Errorf("at first: %+v", f)
	}
	s := &flow{}
	for _, o := range []Outcome{Useful, Void, Late, Late, Wasted} {
		g.Begin(&load{&g.clock, g.at, o, false}, &Prediction{Probability: 0.9, Depth: 1}, &s.Trust, g.at)
	}
	g.at += second
	g.Settle(g.at)
	f := g.Figures()
	if f.Useful != 1 || f.Late != 2 || f.Wasted != 1 || f.Accuracy < 0.7 || f.Accuracy > 0.8 || f.Lateness < 0.6 || f.Lateness > 0.7 {
		t.Errorf("%+v", f)
	}
	// What was thought to be wasted was read, or did not begin.
	for _, o := range []Outcome{Useful, Void, Wasted} {
		g.Begin(&load{&g.clock, g.at + 10*second, o, false}, &Prediction{Probability: 0.9, Depth: 1}, &s.Trust, g.at)
	}
	g.at += 5 * second
	if g.Settle(g.at); g.Figures().Wasted != 4 {
		t.Errorf("%+v while three are unread", g.Figures())
	}
	g.at += 60 * second
	if g.Settle(g.at); g.Figures().Wasted != 2 || g.Figures().Useful != 2 || g.waiting != 0 {
		t.Errorf("%+v, and %d are waited for", g.Figures(), g.waiting)
	}
}

func TestGovernorHoldsABoundedNumberOfLoads(t *testing.T) {
	t.Parallel()
	g := newGoverned()
	var s Trust
	p := &Prediction{Probability: 0.9, Depth: 1}
	for i := range 3 * maxTrials {
		g.Begin(&load{&g.clock, g.at + never*second, Wasted, false}, p, &s, g.at)
		if i%100 == 0 {
			g.at += second
			g.Settle(g.at)
		}
	}
	held := 0
	for _, line := range g.trials {
		for one := line.first; one != nil; one = one.next {
			held++
		}
	}
	if held != g.waiting || held > maxTrials || g.Bytes() < int64(held)*loadBytes {
		t.Errorf("%d trials are held, %d counted, in %d bytes", held, g.waiting, g.Bytes())
	}
	g.at += 100 * second
	if g.Settle(g.at); g.waiting != 0 || g.Bytes() != 0 || g.Figures().Wasted != 3*maxTrials {
		t.Errorf("after all: %d are held in %d bytes, %+v", g.waiting, g.Bytes(), g.Figures())
	}
}

func TestALateOneThatIsUsedCountsForMore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		used Outcome
		on   bool
	}{{Useful, false}, {Late, true}} {
		g := newGoverned()
		n := 0
		s := &flow{rate: 25, probability: 0.7, fate: func() (Outcome, float64) {
			if n++; n%10 < 3 {
				return c.used, 0
			}
			return Wasted, 0
		}}
		g.run(30, s)
		if g.run(60, s); (s.loaded == s.expected) != c.on {
			t.Errorf("outcome %d: %d of %d are loaded", c.used, s.loaded, s.expected)
		}
	}
}

// TestAllGoDownWherePollutionIsTheCause of misses, and come back when it is not.
func TestAllGoDownWherePollutionIsTheCauseOfMisses(t *testing.T) {
	t.Parallel()
	g := newGoverned()
	likely, unlikely := &flow{rate: 10, probability: 0.96, fate: fate(Useful, 0.03)}, &flow{rate: 10, probability: 0.7, fate: fate(Useful, 0.03)}
	use := func(seconds int, polluted bool) {
		for range seconds {
			for i := range 100 {
				if i%16 == 0 {
					g.Access(0, i%48 == 0, polluted, 1)
				} else {
					g.Access(i%16, i%5 > 0, polluted && i%25 > 0, 1)
				}
			}
			g.run(1, likely, unlikely)
		}
	}
	if use(10, false); !likely.on() || !unlikely.on() {
		t.Fatal("not all is loaded at first")
	}
	use(30, true)
	if f := g.Figures(); f.Pollution < 0.4 || !likely.on() || !unlikely.off(1) {
		t.Errorf("%+v: %d of %d likely ones are loaded, %d of %d others", f, likely.loaded, likely.expected, unlikely.loaded, unlikely.expected)
	}
	if use(20, false); !unlikely.on() {
		t.Errorf("%d of %d are loaded once nothing is polluted", unlikely.loaded, unlikely.expected)
	}
}

// TestAllGoDownWhereTheControlGroupDoesAsWell and come back when it does not.
func TestAllGoDownWhereTheControlGroupDoesAsWell(t *testing.T) {
	t.Parallel()
	for _, sample := range []int{1, 16} { // of the hits that are no first ones, one in so many is told
		g := newGoverned()
		s := &flow{rate: 30, probability: 0.6, fate: fate(Useful, 0.03)}
		random := rand.New(rand.NewPCG(1, 2))
		use := func(seconds int, treated, control float64) {
			for range seconds {
				for i := range 100 {
					key, hits := i%Groups, treated
					if key == 0 {
						hits = control
					}
					first := key > 0 && i%3 == 0
					switch hit := random.Float64() < hits; {
					case !hit || first:
						g.Access(key, hit, false, 1)
					case random.IntN(sample) == 0:
						g.Access(key, hit, false, float64(sample))
					}
				}
				g.run(1, s)
			}
		}
		if use(60, 0.9, 0.55); !s.on() {
			t.Errorf("1 in %d: %d of %d are loaded though that helps", sample, s.loaded, s.expected)
		}
		if f := g.Figures(); f.Treated < 0.8 || f.Control > 0.7 || f.Control < 0.4 {
			t.Errorf("1 in %d: %+v", sample, f)
		}
		low, seconds := 0, 50*(sample+1)
		for range seconds {
			if use(1, 0.8, 0.8); !s.on() {
				low++
			}
		}
		if low < seconds/8 {
			t.Errorf("1 in %d: it is down in %d of %d s though it does not help", sample, low, seconds)
		}
		use(40, 0.9, 0.55)
		if use(1, 0.9, 0.55); !s.on() {
			t.Errorf("1 in %d: %d of %d are loaded though that helps again", sample, s.loaded, s.expected)
		}
	}
}

// TestLevelsAreTold: what is wasted goes down to nothing, and comes back up when it is used, by one
// step after the other.
func TestLevelsAreTold(t *testing.T) {
	t.Parallel()
	g := newGoverned()
	at, moves := len(bands), 0
	g.Moved = func(l Load, before, now int) {
		if _, ok := l.(*load); !ok || before != at || now == before || now < 0 || now > len(bands) {
			t.Errorf("%T: from %d, which was %d, to %d", l, before, at, now)
		}
		at, moves = now, moves+1
	}
	s := &flow{rate: 20, probability: 0.97, depth: 1, fate: fate(Wasted, 0.03)}
	if g.run(30, s); at != 0 {
		t.Errorf("at level %d after %d moves, though all is wasted", at, moves)
	}
	s.fate = fate(Useful, 0.03)
	if g.run(60, s); at == 0 || moves < 2 {
		t.Errorf("at level %d after %d moves, though all is used", at, moves)
	}
}
