package main

import (
	"context"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/measure"
	"github.com/gorm-preload/preload/bench/trace"
)

const (
	paced        = 2_500 // accesses a second
	traceEntries = 1_000
	loading      = 2 * time.Millisecond

	hitFigure = "hit ratio"
)

// accesses are those of an object-relational mapper.
func accesses(s settings) study {
	t := study{name: "trace", about: "the accesses of an object-relational mapper, one after the other and without sessions; 1,000 answers are kept. " +
		"A load ahead takes 2 ms; what is asked for takes what the database takes."}
	for _, c := range []struct {
		name  string
		apart time.Duration
	}{
		{"2,500 accesses a second", time.Second / paced},
		{"as fast as it goes", 0},
	} {
		marks := []mark{
			{hitFigure, further, off.name, measure.AtLeast(.06)},
			{usedFigure, alone, "", measure.AtLeast(.85)},
			{queriesFigure + ", access", ratio, off.name, measure.AtMost(1)},
		}
		if c.apart == 0 {
			marks = nil
		}
		t.scenes = append(t.scenes, scene{
			name: c.name, variants: []variant{off, on}, load: loading, marks: marks,
			options: []preload.Option{preload.WithMaxEntries(traceEntries)},
			fill:    trace.Fill(s.keys),
			start: func(one *stand) play {
				return func(ctx context.Context, turn int, while time.Duration) (outcome, error) {
					n := max(1, int(while.Seconds()*paced))
					from := turn * n % len(s.keys)
					return replay(ctx, one, s.keys[from:min(len(s.keys), from+n)], c.apart)
				}
			},
		})
	}
	return t
}

// replay plays accesses, each so long after the one before, or as soon as that is answered.
func replay(ctx context.Context, s *stand, keys []trace.Key, apart time.Duration) (o outcome, err error) {
	// Accesses of a context that never ends are of one session.
	forever := context.WithoutCancel(ctx)
	before := s.plugin.Stats()
	waited := 0
	begun := time.Now()
	for i, k := range keys {
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		time.Sleep(time.Until(begun.Add(time.Duration(i) * apart)))
		one, asked := ask(forever)
		since := time.Now()
		if err := trace.Read(one, s.db, k); err != nil {
			s.fault("access %d: %v", i, err)
		}
		if !asked.reached.Load() && time.Since(since) > loading/4 {
			waited++
		}
	}
	elapsed := time.Since(begun)
	after := s.plugin.Stats()
	hits, misses := float64(after.Hits-before.Hits), float64(after.Misses-before.Misses)
	return outcome{operations: len(keys), operation: "access", elapsed: elapsed, figures: []figure{
		{hitFigure, hits / max(1, hits+misses), ""},
		{"of the accesses, hits that waited", float64(waited) / float64(max(1, len(keys))), ""},
	}}, nil
}
