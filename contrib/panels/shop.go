package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/examples/shop/service"
	"github.com/gorm-preload/preload/examples/shop/traffic"
	preloadprometheus "github.com/gorm-preload/preload/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// settings say how the shop is open.
type settings struct {
	size   service.Size
	people int
	every  time.Duration // between two scrapes
	most   time.Duration
	now    func() time.Time

	// What follows is for tests: how many requests are between two scrapes, instead of a time, and
	// what is called before each scrape.
	requests int
	before   func(*preload.Plugin)
}

// mark is something that happened while the shop was open.
type mark struct {
	at   time.Time
	what string
}

// scenes are what happens in the shop, and after which share of the time.
var scenes = []struct {
	after float64
	what  string
	do    func(*preload.Plugin) error
}{
	{maintained[0], "coupons are written on a connection that is not the plugin's", nil},
	{.35, "everything is invalidated", func(p *preload.Plugin) error { return p.Invalidate() }},
	{.6, "the plugin is switched off", func(p *preload.Plugin) error { return p.SetMode(preload.ModeOff) }},
	{.75, "it is on again", func(p *preload.Plugin) error { return p.SetMode(preload.ModeOn) }},
}

// verified is the share of the hits that are compared with the database.
const verified = .01

// trade opens the shop on a database in a folder, has people ask, and scrapes what the plugin
// tells. It returns what happened meanwhile.
func trade(ctx context.Context, s settings, dir string, to *series) (marks []mark, err error) {
	file := &url.URL{Path: filepath.Join(dir, "shop.db")}
	db, err := gorm.Open(sqlite.Open("file:"+file.EscapedPath()+"?_journal_mode=WAL&_busy_timeout=10000&_synchronous=NORMAL&_txlock=immediate"),
		&gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	pool.SetMaxOpenConns(s.people + 4)
	pool.SetMaxIdleConns(s.people + 4)
	if err := service.Seed(db, s.size); err != nil {
		return nil, fmt.Errorf("filling the shop: %w", err)
	}
	p := preload.New(preload.WithVerify(preload.Verify{Rate: verified}), preload.WithLogger(slog.New(slog.DiscardHandler)))
	if err := db.Use(p); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(preloadprometheus.NewCollector(p)); err != nil {
		return nil, err
	}

	shop := service.New(db)
	var shoppers []*traffic.Shopper
	for i := range s.people {
		shoppers = append(shoppers, traffic.NewShopper(s.size, 1, uint64(i)))
	}
	if err := to.scrape(registry, s.now()); err != nil {
		return nil, err
	}
	for len(marks) < len(scenes) || to.last.Sub(to.first) < s.most {
		passed := to.last.Sub(to.first)
		if next := len(marks); next < len(scenes) && passed >= time.Duration(scenes[next].after*float64(s.most)) {
			if do := scenes[next].do; do != nil {
				if err := do(p); err != nil {
					return nil, err
				}
			}
			marks = append(marks, mark{to.last, scenes[next].what})
		}
		most := s.every
		if s.requests > 0 {
			most = 0
		}
		if _, err := traffic.Run(ctx, shop, shoppers, s.requests, most); err != nil {
			return nil, err
		}
		if share := passed.Seconds() / s.most.Seconds(); share >= maintained[0] && share < maintained[1] {
			if err := maintain(db.WithContext(ctx)); err != nil {
				return nil, err
			}
		}
		if s.before != nil {
			s.before(p)
		}
		if err := to.scrape(registry, s.now()); err != nil {
			return nil, err
		}
	}
	return marks, nil
}

// maintained is from when to when there is maintenance, as shares of the time.
var maintained = [2]float64{.15, .25}

// maintain writes as maintenance does that wants one connection for itself: the plugin cannot see
// when such a write counts, and holds its table out for a moment.
func maintain(db *gorm.DB) error {
	return db.Connection(func(one *gorm.DB) error {
		return one.Exec("UPDATE coupons SET uses = uses WHERE id = 1").Error
	})
}
