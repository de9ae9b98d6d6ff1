package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/gorm-preload/preload/bench/measure"
	"gorm.io/gorm"
)

const (
	several = 4 // sessions at a time
	beside  = 2 // goroutines of traffic beside them

	thereFigure    = "of the reads that follow, there"
	freshFigure    = "of those of new keys"
	repeatedFigure = "of those of repeated keys"
)

// chains are sessions of reads that follow each other.
func chains(s settings) study {
	c := study{name: "chains", about: "sessions of 4 to 6 reads that follow each other, 2 ms a query, 3 ms between two reads. Half of them ask for keys that nobody has asked for before; " +
		"half repeat keys whose answers are kept for a second. A read was there if it did not reach the database and took less than half a query."}
	for _, at := range []int{1, several} {
		for _, byID := range []bool{true, false} {
			for _, connections := range []int{0, 8} {
				c.scenes = append(c.scenes, chainsScene(s, at, byID, connections))
			}
		}
	}
	return c
}

func chainsScene(s settings, at int, byID bool, connections int) scene {
	name, there, used := "one session at a time", .8, .75
	if at > 1 {
		name, there, used = "several sessions, and others", .7, .7
	}
	if byID {
		name += ", session ids"
	} else {
		name += ", request contexts"
	}
	if connections > 0 {
		name += ", 8 connections at most"
	}
	const second = 40 // so many sessions a second has one at a time
	who := newPeople(s.amount(at*second), 40*at)
	return scene{
		name: name, variants: []variant{off, on}, query: querying, load: querying, connections: connections,
		fill: who.fillWithNotes,
		start: func(on *stand) play {
			one := &sessions{stand: on, people: who, byID: byID, think: thinking}
			others := &notes{stand: on}
			return func(ctx context.Context, turn int, while time.Duration) (outcome, error) {
				return chain(ctx, one, others, at, turn, while), nil
			}
		},
		marks: []mark{
			{thereFigure, alone, "", measure.AtLeast(there)},
			{usedFigure, alone, "", measure.AtLeast(used)},
		},
	}
}

func (p *people) fillWithNotes(db *gorm.DB) error {
	if err := p.fill(db); err != nil {
		return err
	}
	return fillNotes(db)
}

// chain plays sessions for a while, with traffic beside them if there are several.
func chain(ctx context.Context, s *sessions, others *notes, at, turn int, while time.Duration) outcome {
	var (
		players sync.WaitGroup
		mu      sync.Mutex
		all     [kinds]answered
		reads   int
		visits  int
		took    []time.Duration
	)
	loads := s.loads.Load()
	begun := time.Now()
	open := func() bool { return time.Since(begun) < while && ctx.Err() == nil }
	for i := range at {
		r := rand.New(rand.NewPCG(uint64(turn), uint64(i)))
		players.Go(func() {
			for open() {
				kind, a, spent := s.next(ctx, r)
				mu.Lock()
				all[kind].add(a)
				reads += len(spent)
				visits++
				took = append(took, spent...)
				mu.Unlock()
			}
		})
	}
	if at > 1 {
		for i := range beside {
			r := rand.New(rand.NewPCG(uint64(turn), uint64(1_000+i)))
			players.Go(func() {
				for open() {
					others.request(ctx, r)
					time.Sleep(busied)
				}
			})
		}
	}
	players.Wait()
	sum := all[fresh]
	sum.add(all[repeated])
	return outcome{operations: reads, operation: "read", elapsed: time.Since(begun), figures: []figure{
		{thereFigure, sum.share(), ""},
		{freshFigure, all[fresh].share(), ""},
		{repeatedFigure, all[repeated].share(), ""},
		{"loads ahead, session", float64(s.loads.Load()-loads) / float64(max(1, visits)), ""},
		{"a read, p50", milliseconds(took, .5), "ms"},
		{"a read, p99", milliseconds(took, .99), "ms"},
	}}
}

// milliseconds is the time that a share of what was measured stays below.
func milliseconds(took []time.Duration, share float64) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(share*float64(len(took))))].Seconds() * 1e3
}
