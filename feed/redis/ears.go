package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload/internal/strict"
	goredis "github.com/redis/go-redis/v9"
)

// How long the ears hear nothing before they ask whether the server is there, and how long they
// wait, at least and at most, before they subscribe again.
const (
	unheard         = time.Second
	reconnect       = 10 * time.Millisecond
	reconnectAtMost = time.Second
)

// ears hear what is published.
type ears struct {
	client   goredis.UniversalClient
	channels []string
	do       func(*goredis.Message)
	denied   func(error)     // called with what Redis refuses
	ctx      context.Context // ends with close
	cancel   context.CancelFunc
	first    chan error // nil once they hear, or why the first attempt failed
	ear      sync.WaitGroup

	mu  sync.Mutex // a leaf
	sub *goredis.PubSub
}

// listen has a process told what is published, until the ears are closed. denied is called each time
// Redis does not let it hear that.
func (b *broker) listen(process string, to strict.Listener, denied func()) *ears {
	e := &ears{
		client: b.client, channels: []string{b.keys[3], b.acknowledgementsBefore + process},
		denied: func(err error) {
			b.complain("Redis does not let a process hear what the others write", err)
			denied()
		},
		do: func(m *goredis.Message) { strict.Tell(to, m.Payload) }, first: make(chan error, 1),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.ear.Go(func() {
		for pause := reconnect; e.ctx.Err() == nil; pause = min(2*pause, reconnectAtMost) {
			heard, err := e.hear()
			e.say(err)
			if refused(err) && e.ctx.Err() == nil {
				e.denied(err)
			}
			if heard {
				pause = reconnect
			}
			select {
			case <-time.After(pause):
			case <-e.ctx.Done():
			}
		}
	})
	return e
}

// say tells begun how the first attempt went.
func (e *ears) say(err error) {
	select {
	case e.first <- err:
	default:
	}
}

// begun waits for the first attempt to hear, and returns why it failed.
func (e *ears) begun(ctx context.Context) error {
	select {
	case err := <-e.first:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *ears) close() {
	e.cancel()
	e.mu.Lock()
	sub := e.sub
	e.mu.Unlock()
	if sub != nil {
		_ = sub.Close()
	}
	e.ear.Wait()
}

// hear hears as long as a connection lasts. What is told meanwhile, and not heard, comes with a
// renewal.
func (e *ears) hear() (heard bool, err error) {
	sub := e.client.Subscribe(e.ctx, e.channels...)
	defer func() { _ = sub.Close() }()
	e.mu.Lock()
	e.sub = sub
	e.mu.Unlock()
	if e.ctx.Err() != nil {
		return false, e.ctx.Err() // close may not have seen it
	}
	var messages atomic.Int64
	ended := make(chan struct{})
	defer close(ended)
	e.ear.Go(func() { e.watch(sub, &messages, ended) })
	for subscribed := 0; ; {
		m, err := sub.Receive(e.ctx)
		if err != nil {
			return subscribed >= len(e.channels), err
		}
		messages.Add(1)
		switch m := m.(type) {
		case *goredis.Subscription:
			if subscribed++; subscribed == len(e.channels) {
				e.say(nil)
			}
		case *goredis.Message:
			e.do(m)
		}
	}
}

// watch ends a subscription that has heard nothing for a while, and no answer to a ping: a
// connection may be cut without a word to either side.
func (e *ears) watch(sub *goredis.PubSub, messages *atomic.Int64, ended chan struct{}) {
	ticker := time.NewTicker(unheard)
	defer ticker.Stop()
	last, pinged := int64(0), false
	for {
		select {
		case <-ticker.C:
		case <-ended:
			return
		}
		n := messages.Load()
		switch {
		case n != last:
			last, pinged = n, false
		case pinged:
			_ = sub.Close()
			return
		default:
			pinged = sub.Ping(e.ctx) == nil
		}
	}
}
