package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/database"
	"github.com/gorm-preload/preload/bench/measure"
	"gorm.io/gorm"
)

// study is a question, with the scenes that answer it.
type study struct {
	name, about string
	scenes      []scene
}

func studies(s settings) []study {
	return []study{chains(s), pages(s), accesses(s), chat(s), saturated(s), ending(s)}
}

// scene is what an application does.
type scene struct {
	name     string
	dialects []string  // that it plays on; nil for all
	variants []variant // the first is what the others are compared with
	fill     func(*gorm.DB) error
	options  []preload.Option // where it takes others than the defaults
	// query and load are how long a statement of the application takes, and one that nobody asked
	// for, besides what it takes anyhow.
	query, load time.Duration
	connections int  // that the pool may open; 0 for its default
	once        bool // it takes one turn, of another length than the others
	marks       []mark
	// start returns what plays on a stand for a while, as the turn of a number.
	start func(*stand) play
}

type play func(ctx context.Context, turn int, while time.Duration) (outcome, error)

func (s scene) playsOn(dialect string) bool {
	return s.dialects == nil || slices.Contains(s.dialects, dialect)
}

// mark is what a figure is to reach with the worker.
type mark struct {
	figure string
	how    comparison
	to     string // the variant that it is compared with
	measure.Mark
}

// comparison is how the figure of a variant is compared with that of another.
type comparison int

const (
	alone   comparison = iota // it is not
	ratio                     // divided by it
	further                   // less it
)

// figure is what was measured in a turn.
type figure struct {
	name  string
	value float64
	unit  string
}

// outcome is what came of a turn.
type outcome struct {
	operations int
	operation  string // what they are called, one of them
	elapsed    time.Duration
	figures    []figure
}

// The names of the figures that all scenes have, and that marks ask for.
const (
	// A load by association counts as used, too, where its reader came while it ran, or before it
	// had begun; what loads of all kinds stored counts as read only where its reader came later.
	usedFigure    = "of the loads by association, used"
	storedFigure  = "of what loads of all kinds stored, read later"
	queriesFigure = "queries" // an operation
)

// measured is what was measured of a scene.
type measured struct {
	busy   float64 // the share of the processors' time that was used before
	known  bool
	stands []*stand
	names  []string                        // of the figures
	units  map[string]string               // by figure
	turns  map[string]map[string][]float64 // by variant and figure
}

func (m *measured) add(variant string, figures []figure) {
	if m.turns[variant] == nil {
		m.turns[variant] = map[string][]float64{}
	}
	for _, f := range figures {
		if !slices.Contains(m.names, f.name) {
			m.names = append(m.names, f.name)
			m.units[f.name] = f.unit
		}
		m.turns[variant][f.name] = append(m.turns[variant][f.name], f.value)
	}
}

// median returns the median of the turns of a variant.
func (m *measured) median(variant, figure string) (value float64, ok bool) {
	all := slices.Sorted(slices.Values(m.turns[variant][figure]))
	if len(all) == 0 {
		return 0, false
	}
	return measure.Quantile(all, .5), true
}

// compared returns the median of the turns of how the figure with the worker compares.
func (m *measured) compared(k mark) (value float64, ok bool) {
	var all []float64
	to := m.turns[k.to][k.figure]
	for i, with := range m.turns[on.name][k.figure] {
		switch {
		case k.how == alone:
		case i >= len(to):
			continue
		case k.how == further:
			with -= to[i]
		case to[i] == 0:
			continue
		default:
			with /= to[i]
		}
		all = append(all, with)
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return measure.Quantile(all, .5), true
}

// measureScene has the variants of a scene take turns. In the first one they warm up, and it does
// not count.
func measureScene(ctx context.Context, s settings, server database.Server, name string, c scene) (m *measured, err error) {
	m = &measured{units: map[string]string{}, turns: map[string]map[string][]float64{}}
	defer func() {
		for _, one := range m.stands {
			err = errors.Join(err, one.Close())
		}
	}()
	var plays []play
	for _, v := range c.variants {
		one := &stand{variant: v, scene: c}
		m.stands = append(m.stands, one)
		if err := one.open(server); err != nil {
			return m, err
		}
		plays = append(plays, c.start(one))
	}
	runtime.GC()
	m.busy, m.known = measure.Busy(ctx, min(time.Second, s.slice()))
	turns, while, first := s.turns, s.slice(), 0
	if c.once {
		turns, while, first = 1, s.length, 1
	}
	before := make([]preload.Stats, len(m.stands))
	for turn := first; turn <= turns; turn++ {
		for i := range m.stands {
			n := (i + turn) % len(m.stands)
			one := m.stands[n]
			if turn == max(1, first) && one.plugin != nil {
				before[n] = one.plugin.Stats()
			}
			figures, err := one.turn(ctx, plays[n], turn, while)
			if err != nil {
				return m, fmt.Errorf("%s: %w", one.name, err)
			}
			said := "warming up"
			if turn > 0 {
				m.add(one.name, figures)
				said = fmt.Sprintf("%s %.4g %s", figures[0].name, figures[0].value, figures[0].unit)
			}
			s.say("%s, %s, %s: turn %d of %d, %s: %s", name, c.name, server.Dialect, turn, turns, one.name, said)
		}
	}
	for n, one := range m.stands {
		if err := one.rest(); err != nil {
			return m, err
		}
		if one.plugin != nil {
			m.add(one.name, fates(before[n], one.plugin.Stats()))
		}
		m.add(one.name, []figure{{"wrong answers", float64(one.faults), ""}})
	}
	return m, nil
}

// turn plays for a while, and adds the figures that all scenes have to those of this one.
func (s *stand) turn(ctx context.Context, p play, number int, while time.Duration) ([]figure, error) {
	queries, loads, connections := s.counts.Queries.Load(), s.loads.Load(), s.counts.Connections.Load()
	before, err := measure.ProcessorTime()
	if err != nil {
		return nil, err
	}
	o, err := p(ctx, number, while)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	after, err := measure.ProcessorTime()
	if err != nil {
		return nil, err
	}
	each := func(n float64) float64 { return n / float64(max(1, o.operations)) }
	return append(o.figures,
		figure{perSecond(o.operation), float64(o.operations) / o.elapsed.Seconds(), ""},
		figure{"CPU, " + o.operation, each(float64((after - before).Microseconds())), "µs"},
		figure{queriesFigure + ", " + o.operation, each(float64(s.counts.Queries.Load() - queries)), ""},
		figure{"loads ahead, " + o.operation, each(float64(s.loads.Load() - loads)), ""},
		figure{"connections opened", float64(s.counts.Connections.Load() - connections), ""},
	), nil
}

// perSecond is the name of the figure of how many operations there were a second.
func perSecond(operation string) string {
	if strings.HasSuffix(operation, "s") {
		operation += "e"
	}
	return operation + "s a second"
}

// fates are what became of the loads between two moments.
func fates(before, after preload.Stats) (all []figure) {
	b, a := before.Prediction, after.Prediction
	useful, late, wasted := float64(a.Useful-b.Useful), float64(a.Late-b.Late), float64(a.Wasted-b.Wasted)
	stored, read := float64(after.PreloadCount-before.PreloadCount), float64(after.PreloadHits-before.PreloadHits)
	if n := useful + late + wasted; n > 0 {
		all = append(all, figure{usedFigure, (useful + late) / n, ""}, figure{"of these, asked for before they were there, or had begun", late / n, ""})
	}
	if stored > 0 {
		all = append(all, figure{storedFigure, read / stored, ""})
	}
	return all
}
