package main

import (
	"context"
	"math"
	"time"

	"github.com/gorm-preload/preload/bench/measure"
)

const (
	goneFigure = "until loads are next to none"
	backFigure = "until they are back"

	bins = 200 * time.Millisecond // in which loads are counted
)

// ending is what happens when loading ahead stops being of use.
func ending(s settings) study {
	e := study{name: "ending", about: "several sessions as in chains, whose associations hold, then do not, and hold again; or whose loads succeed, fail, and succeed again. " +
		"Loads are next to none once what is left of them is a twentieth of what they were, and back once a second, and all that follows, has half as many."}
	for _, c := range []struct {
		name string
		turn func(s *sessions, bad bool)
	}{
		{"associations end", func(s *sessions, bad bool) { s.scattered.Store(bad) }},
		{"loads fail", func(s *sessions, bad bool) { s.failing.Store(bad) }},
	} {
		// There is no handbook: its leaves would be loaded again when they expire, whatever is
		// learned.
		who := newPeople(3*int(s.length.Seconds()+1)*80*several, 0)
		e.scenes = append(e.scenes, scene{
			name: c.name, variants: []variant{on}, once: true, query: querying, load: querying,
			fill: who.fillWithNotes,
			start: func(on *stand) play {
				one := &sessions{stand: on, people: who, byID: true, think: thinking}
				others := &notes{stand: on}
				return func(ctx context.Context, turn int, while time.Duration) (outcome, error) {
					return end(ctx, one, others, while, func(bad bool) { c.turn(one, bad) }), nil
				}
			},
			marks: []mark{
				{goneFigure, alone, "", measure.AtMost(5)},
				{backFigure, alone, "", measure.AtMost(10)},
			},
		})
	}
	return e
}

// end plays three phases, of which the second is bad.
func end(ctx context.Context, s *sessions, others *notes, while time.Duration, turn func(bad bool)) outcome {
	const good, bad, again = 0, 1, 2
	var (
		phases [3]*counted
		all    outcome
	)
	for phase := range phases {
		turn(phase == bad)
		phases[phase] = startCounting(&s.loads)
		o := chain(ctx, s, others, several, phase, while)
		phases[phase].stop()
		all.operations += o.operations
		all.operation = o.operation
		all.elapsed += o.elapsed
	}
	rate := phases[good].rate(phases[good].half())
	all.figures = []figure{
		{"loads ahead a second, at first", rate, ""},
		{"then", phases[bad].rate(phases[bad].half()), ""},
		{"again", phases[again].rate(phases[again].half()), ""},
		{goneFigure, phases[bad].gone(rate), "s"},
		{backFigure, phases[again].back(rate), "s"},
	}
	if rate == 0 {
		// What never was there can neither go nor come back.
		all.figures[3].value, all.figures[4].value = math.Inf(1), math.Inf(1)
	}
	return all
}

// counter is what is counted.
type counter interface{ Load() int64 }

// counted is how much was counted in each of the bins of a phase.
type counted struct {
	bins  []int64
	end   chan struct{}
	ended chan struct{}
}

func startCounting(n counter) *counted {
	c := &counted{end: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		ticks := time.NewTicker(bins)
		defer ticks.Stop()
		last := n.Load()
		for {
			select {
			case <-c.end:
				return
			case <-ticks.C:
				now := n.Load()
				c.bins = append(c.bins, now-last)
				last = now
			}
		}
	}()
	return c
}

func (c *counted) stop() {
	close(c.end)
	<-c.ended
}

// half is the bin that begins the second half.
func (c *counted) half() int { return len(c.bins) / 2 }

// rate is how many there were a second, from a bin on.
func (c *counted) rate(from int) float64 { return rateOf(c.bins[from:]) }

func rateOf(some []int64) float64 {
	if len(some) == 0 {
		return 0
	}
	sum := int64(0)
	for _, n := range some {
		sum += n
	}
	return float64(sum) / (float64(len(some)) * bins.Seconds())
}

// gone returns after how many seconds all that is left is a twentieth of a rate; infinity for
// never.
func (c *counted) gone(rate float64) float64 {
	for i := range c.bins {
		if c.rate(i) <= rate/20 {
			return float64(i) * bins.Seconds()
		}
	}
	return math.Inf(1)
}

// back returns after how many seconds there is one that has half of a rate, as has all that comes
// after it; infinity for never.
func (c *counted) back(rate float64) float64 {
	const second = int(time.Second / bins)
	for i := range c.bins {
		if some := c.bins[i:min(len(c.bins), i+second)]; rateOf(some) >= rate/2 && c.rate(i) >= rate/2 {
			return float64(i+len(some)) * bins.Seconds()
		}
	}
	return math.Inf(1)
}
