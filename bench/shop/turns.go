package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/database"
	"github.com/gorm-preload/preload/bench/measure"
	"github.com/gorm-preload/preload/bench/shop/oracle"
	"github.com/gorm-preload/preload/bench/shop/survival"
	"github.com/gorm-preload/preload/examples/shop/service"
	"github.com/gorm-preload/preload/examples/shop/traffic"
	"gorm.io/gorm"
)

// variant is a way to run the shop.
type variant struct {
	name    string
	options []preload.Option // nil without the plugin
}

var variants = map[string]variant{
	"off":        {"plain", nil},
	"worker-off": {"WithoutWorker", []preload.Option{preload.WithoutWorker()}},
	"all":        {"WithRaw, WithTransactionReads", []preload.Option{preload.WithRaw(), preload.WithTransactionReads()}},
	"on":         {"plugin", []preload.Option{}},
}

// stand is a shop that is open, with a database of its own.
type stand struct {
	variant
	database *database.Database
	counts   database.Counts
	db       *gorm.DB
	plugin   *preload.Plugin // nil without it
	shop     http.Handler
}

// open opens a shop. Close closes it, also after an error.
func (s *stand) open(server database.Server, size service.Size, config gorm.Config) (err error) {
	if s.database, err = server.New(); err != nil {
		return err
	}
	filling, err := s.database.Open(&database.Counts{}, config)
	if err != nil {
		return err
	}
	if err := service.Seed(filling, size); err != nil {
		return fmt.Errorf("filling the shop: %w", err)
	}
	if s.db, err = s.database.Open(&s.counts, config); err != nil {
		return err
	}
	if s.options != nil {
		s.plugin = preload.New(s.options...)
		if err := s.db.Use(s.plugin); err != nil {
			return err
		}
	}
	s.shop = service.New(s.db)
	return nil
}

func (s *stand) Close() (err error) {
	if s.plugin != nil {
		err = s.plugin.Close()
	}
	if s.database != nil {
		err = errors.Join(err, s.database.Close())
	}
	return err
}

// turn is what one variant did in one round.
type turn struct {
	traffic.Load
	cpu                         time.Duration
	queries, execs, connections int64
}

// course is what one variant did in all rounds.
type course struct {
	variant
	turns []turn
	turn  // all together
	stats preload.Stats
}

// takeTurns has the variants take turns, and counts neither what it takes to fill the shops nor the
// first turn.
func takeTurns(ctx context.Context, server database.Server, s settings) (courses []*course, err error) {
	var stands []*stand
	for _, v := range s.variants {
		s.say("%s: filling a shop for %s", server.Dialect, v.name)
		one := &stand{variant: v}
		defer func() { err = errors.Join(err, one.Close()) }()
		if err := one.open(server, s.size, gorm.Config{}); err != nil {
			return nil, err
		}
		stands = append(stands, one)
		courses = append(courses, &course{variant: v})
	}
	for round := range s.rounds + 1 {
		for i := range stands {
			n := (i + round) % len(stands)
			s.say("%s: turn %d of %d, %s", server.Dialect, round, s.rounds, stands[n].name)
			t, err := stands[n].turn(ctx, s, uint64(round))
			if err != nil {
				return nil, err
			}
			if round > 0 {
				courses[n].add(t)
			}
		}
	}
	for n, one := range stands {
		if one.plugin != nil {
			courses[n].stats = one.plugin.Stats()
		}
	}
	return courses, nil
}

// turn measures a variant once. Each round has people of its own, who are the same for all
// variants.
func (s *stand) turn(ctx context.Context, c settings, round uint64) (t turn, err error) {
	people := make([]*traffic.Shopper, c.clients)
	for i := range people {
		people[i] = traffic.NewShopper(c.size, c.seed, round<<32|uint64(i))
	}
	requests, most := c.requests/c.rounds, time.Duration(c.seconds/float64(c.rounds)*float64(time.Second))
	if c.requests > 0 {
		requests, most = max(1, requests), 0
	}
	runtime.GC()
	queries, execs, connections := s.counts.Queries.Load(), s.counts.Execs.Load(), s.counts.Connections.Load()
	before, err := measure.ProcessorTime()
	if err != nil {
		return t, err
	}
	if t.Load, err = traffic.Run(ctx, s.shop, people, requests, most); err != nil {
		return t, fmt.Errorf("%s: %w", s.name, err)
	}
	after, err := measure.ProcessorTime()
	t.cpu = after - before
	t.queries = s.counts.Queries.Load() - queries
	t.execs = s.counts.Execs.Load() - execs
	t.connections = s.counts.Connections.Load() - connections
	return t, err
}

func (c *course) add(t turn) {
	c.turns = append(c.turns, t)
	c.Load.Add(t.Load)
	c.cpu += t.cpu
	c.queries += t.queries
	c.execs += t.execs
	c.connections += t.connections
}

// view is what an oracle saw.
type view struct {
	*oracle.Oracle
	stats preload.Stats
}

// watch has an oracle watch a variant, from nothing in memory on.
func watch(ctx context.Context, server database.Server, s settings, v variant) (w view, err error) {
	s.say("%s: an oracle watches %d requests of %s", server.Dialect, s.watched, v.name)
	one := &stand{variant: v}
	one.counts.Seen = oracle.Asked
	defer func() { err = errors.Join(err, one.Close()) }()
	if err := one.open(server, s.size, gorm.Config{}); err != nil {
		return w, err
	}
	plain, err := one.database.Open(&database.Counts{}, gorm.Config{})
	if err != nil {
		return w, err
	}
	if w.Oracle, err = oracle.Watch(one.db, plain); err != nil {
		return w, err
	}
	one.shop = w.Alone(one.shop, service.New(plain))
	s.requests, s.rounds = s.watched, 1
	_, err = one.turn(ctx, s, 0)
	w.stats = one.plugin.Stats()
	return w, err
}

// survive measures what writes leave in memory.
func survive(ctx context.Context, server database.Server, s settings) (rows []survival.Row, err error) {
	d, err := server.New()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return survival.Measure(ctx, d, survival.Size, func(kind string) { s.say("%s: what is left after %s", server.Dialect, kind) })
}
