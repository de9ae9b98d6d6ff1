package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/measure"
	"github.com/gorm-preload/preload/examples/chat/scenario"
	"github.com/gorm-preload/preload/models"
	"gorm.io/gorm"
)

// chatSize is that of examples/chat.
var chatSize = scenario.Size{Users: 2_000, Streams: 200, Seed: 1}

// chat is what happens in examples/chat.
func chat(s settings) study {
	c := study{name: "chat", about: "the chat events of examples/chat: 5 reads and 2 writes each, without a pause"}
	size := chatSize
	if s.shop.Customers < size.Users { // all is to be small
		size.Users = s.shop.Customers
	}
	events := size.Events(min(400_000, s.amount(5_000)))
	for _, loops := range []int{1, 4} {
		name := "1 loop"
		if loops > 1 {
			name = "4 loops"
		}
		c.scenes = append(c.scenes, scene{
			name: name, dialects: []string{"sqlite", "postgres"}, variants: []variant{plain, off, on},
			fill: func(db *gorm.DB) error {
				if err := db.AutoMigrate(models.All()...); err != nil {
					return err
				}
				return db.Transaction(size.Fill)
			},
			start: func(one *stand) play {
				next := &atomic.Int64{}
				return func(ctx context.Context, _ int, while time.Duration) (outcome, error) {
					return converse(ctx, one, events, next, loops, while)
				}
			},
			marks: []mark{
				{perSecond("event"), ratio, plain.name, measure.AtLeast(1.3)},
				{perSecond("event"), ratio, off.name, measure.AtLeast(.97)},
			},
		})
	}
	return c
}

// converse has loops play events for a while, from the next one on.
func converse(ctx context.Context, s *stand, events []scenario.Event, next *atomic.Int64, loops int, while time.Duration) (outcome, error) {
	var (
		played  atomic.Int64
		players sync.WaitGroup
	)
	begun := time.Now()
	for range loops {
		players.Go(func() {
			for time.Since(begun) < while && ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= len(events) {
					return
				}
				s.event(ctx, events[n])
				played.Add(1)
			}
		})
	}
	players.Wait()
	if played.Load() == 0 {
		return outcome{}, errors.New("all events are played: take a shorter time")
	}
	return outcome{operations: int(played.Load()), operation: "event", elapsed: time.Since(begun)}, nil
}

// event asks for what an event needs, and writes what it brings.
func (s *stand) event(ctx context.Context, e scenario.Event) {
	ctx, _ = ask(preload.ContextWithSession(ctx, e.ID()))
	db := s.db.WithContext(ctx)
	for _, r := range scenario.Reads {
		if _, err := r.Ask(db, e); err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
			s.fault("%s, reading %s: %v", e.ID(), r.Table, err)
		}
	}
	if err := e.Write(db); err != nil {
		s.fault("%s: %v", e.ID(), err)
	}
}
