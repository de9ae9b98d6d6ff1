package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/measure"
	"github.com/gorm-preload/preload/bench/tpcw"
	"gorm.io/gorm"
)

const (
	pageFigure = "a page, p95"
	// faster is by what people look at pages and stay in the shop for a shorter time than those of
	// TPC-W, whose mean is 7 seconds.
	faster = 100

	hurried, unhurried = 8, 30 // how many people there are
)

// pages are those of a shop.
func pages(s settings) study {
	p := study{name: "pages", about: "the pages of the shop of TPC-W, 2 ms a query"}
	for _, c := range []struct {
		name           string
		people, faster int
	}{
		{fmt.Sprintf("%d people who look at a page for 70 ms, a hundredth of TPC-W's time", hurried), hurried, faster},
		{fmt.Sprintf("%d people who look at a page for 7 s", unhurried), unhurried, 1},
	} {
		p.scenes = append(p.scenes, scene{
			name: c.name, dialects: []string{"sqlite", "postgres"}, variants: []variant{off, on}, query: querying, load: querying,
			fill: func(db *gorm.DB) error { return tpcw.Fill(db, s.shop) },
			start: func(on *stand) play {
				shop := &shop{stand: on, settings: s, faster: time.Duration(c.faster)}
				return func(ctx context.Context, turn int, while time.Duration) (outcome, error) {
					return shop.open(ctx, c.people, turn, while), nil
				}
			},
			marks: []mark{
				{pageFigure, ratio, off.name, measure.AtMost(.8)},
				{usedFigure, alone, "", measure.AtLeast(.7)},
				{queriesFigure + ", page", ratio, off.name, measure.AtMost(1.1)},
			},
		})
	}
	return p
}

// shop is a shop on a stand.
type shop struct {
	*stand
	settings
	faster time.Duration
	hurry  bool // nobody looks at a page, and a page takes no time but that of its queries
	visits atomic.Int64
	// writing is held by who writes: two purchases of the same books could end each other.
	writing sync.Mutex
}

// open has people go from page to page for a while.
func (s *shop) open(ctx context.Context, people, turn int, while time.Duration) outcome {
	var (
		all  []time.Duration
		mu   sync.Mutex
		come sync.WaitGroup
	)
	begun := time.Now()
	for i := range people {
		r := rand.New(rand.NewPCG(uint64(turn), uint64(i)))
		come.Go(func() {
			s.sleep(ctx, time.Duration(r.Float64()*float64(s.think(r))), begun.Add(while))
			_ = s.walkFor(ctx, r, begun.Add(while), func(took time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, took)
			})
		})
	}
	come.Wait()
	return outcome{operations: len(all), operation: "page", elapsed: time.Since(begun), figures: []figure{
		{pageFigure, milliseconds(all, .95), "ms"},
		{"a page, p50", milliseconds(all, .5), "ms"},
	}}
}

// think draws how long someone looks at a page.
func (s *shop) think(r *rand.Rand) time.Duration {
	if s.hurry {
		return 0
	}
	return tpcw.Think(r) / s.faster
}

// sleep waits, but no longer than until the shop closes.
func (s *shop) sleep(ctx context.Context, d time.Duration, closes time.Time) {
	select {
	case <-time.After(min(d, time.Until(closes))):
	case <-ctx.Done():
	}
}

// walkFor goes from page to page until the shop closes, as one visitor after the other.
func (s *shop) walkFor(ctx context.Context, r *rand.Rand, closes time.Time, saw func(took time.Duration)) (reads int) {
	var db *gorm.DB
	one := &tpcw.Shopper{Size: s.settings.shop, R: r}
	one.Ask = func(what string, query func(db *gorm.DB, keep bool) error) {
		if !s.hurry {
			time.Sleep(tpcw.Rendering)
		}
		reads++
		if err := query(db, true); err != nil {
			s.fault("%s: %v", what, err)
		}
	}
	one.Write = func(do func(db *gorm.DB) error) {
		s.writing.Lock()
		defer s.writing.Unlock()
		if err := do(db); err != nil {
			s.fault("writing: %v", err)
		}
	}
	open := func() bool { return time.Now().Before(closes) && ctx.Err() == nil }
	for open() {
		mine, _ := ask(preload.ContextWithSession(ctx, fmt.Sprint("visit ", one.Enter(), " ", s.visits.Add(1))))
		db = s.db.WithContext(mine)
		leaves := time.Now().Add(tpcw.Stay(r) / s.faster)
		for page := tpcw.Entrance; open() && time.Now().Before(leaves); s.sleep(ctx, s.think(r), closes) {
			page = s.walk.Next(page, r)
			begun := time.Now()
			if !one.Page(page) {
				s.fault("there is no page %q", page)
				return reads
			}
			saw(time.Since(begun))
		}
	}
	return reads
}
