package main

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/gorm-preload/preload/bench/measure"
	"github.com/gorm-preload/preload/bench/tpcw"
	"gorm.io/gorm"
)

const (
	saturatedFigure = "of the processors' time, used by anybody"
	sessionFigure   = "a read of a session, p99"
	slowestFigure   = "a page, p99"
)

// saturated is as many clients as it takes to use up the processors.
func saturated(s settings) study {
	clients := 4 * runtime.NumCPU()
	who := newPeople(s.amount(1_000), 40*clients)
	return study{name: "saturated", about: "the processors are used up by sessions, people in a shop, and others, none of whom ever pauses; a query takes what the database takes", scenes: []scene{{
		name: "sessions and pages", variants: []variant{off, on},
		fill: func(db *gorm.DB) error {
			if err := who.fillWithNotes(db); err != nil {
				return err
			}
			return tpcw.Fill(db, s.shop)
		},
		start: func(one *stand) play {
			asking := &sessions{stand: one, people: who, byID: true}
			others := &notes{stand: one}
			buying := &shop{stand: one, settings: s, faster: faster, hurry: true}
			return func(ctx context.Context, turn int, while time.Duration) (outcome, error) {
				return saturate(ctx, asking, others, buying, clients, turn, while), nil
			}
		},
		marks: []mark{
			{perSecond("read"), ratio, off.name, measure.AtLeast(.97)},
			{sessionFigure, ratio, off.name, measure.AtMost(1.03)},
			{slowestFigure, ratio, off.name, measure.AtMost(1.03)},
		},
	}}}
}

// saturate has half of the clients play sessions, and the others walk through the shop.
func saturate(ctx context.Context, asking *sessions, others *notes, buying *shop, clients, turn int, while time.Duration) outcome {
	var (
		players     sync.WaitGroup
		mu          sync.Mutex
		took, pages []time.Duration
		reads       int
	)
	stop := measure.StartBusy()
	begun := time.Now()
	open := func() bool { return time.Since(begun) < while && ctx.Err() == nil }
	for i := range clients {
		r := rand.New(rand.NewPCG(uint64(turn), uint64(i)))
		players.Go(func() {
			if i%2 == 0 {
				asked := buying.walkFor(ctx, r, begun.Add(while), func(took time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					pages = append(pages, took)
				})
				mu.Lock()
				defer mu.Unlock()
				reads += asked
				return
			}
			for open() {
				_, _, spent := asking.next(ctx, r)
				others.request(ctx, r)
				mu.Lock()
				took = append(took, spent...)
				reads += len(spent) + 1
				mu.Unlock()
			}
		})
	}
	players.Wait()
	o := outcome{operations: reads, operation: "read", elapsed: time.Since(begun), figures: []figure{
		{sessionFigure, milliseconds(took, .99), "ms"},
		{"a read of a session, p50", milliseconds(took, .5), "ms"},
		{slowestFigure, milliseconds(pages, .99), "ms"},
	}}
	if share, known := stop(); known {
		o.figures = append(o.figures, figure{saturatedFigure, share, ""})
	}
	return o
}
