package redis

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/strict"
	goredis "github.com/redis/go-redis/v9"
)

// forget forgets what a member has noted.
func (l *listening) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = nil
}

// TestServersThatCannotBeToldApart: without INFO nobody knows whether a server was started again,
// and knows what it knew. Then nothing is done there.
func TestServersThatCannotBeToldApart(t *testing.T) {
	t.Parallel()
	s := started(t)
	var log lines
	logger := slog.New(slog.NewTextHandler(&log, nil))
	client := s.as(t, "app", "~*", "&*", "+@all", "-info")
	b := newBroker(client, "any", "test", logger)
	if _, _, err := b.Join(t.Context(), "process", strict.Seat{}); !refused(err) {
		t.Errorf("a strict process joins: %v", err)
	}
	f := Bounded(client)
	f.m, f.key = &listening{id: "process"}, "any"
	if _, err := f.beat(1, 1); !refused(err) {
		t.Errorf("a beat is taken: %v", err)
	}
	log.until(t, "redis strict")
	if n := s.client(t).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys were left behind, want none", n)
	}
}

// TestWhatLastsIsLogged: a server that is there and takes nothing, and one that is not there.
func TestWhatLastsIsLogged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		ail        []any
	}{
		{"a replica", "READONLY", []any{"REPLICAOF", "127.0.0.1", "1"}},
		{"no replicas", "NOREPLICAS", []any{"CONFIG", "SET", "min-replicas-to-write", "1"}},
		{"nobody", "refused", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
			t.Cleanup(func() { _ = client.Close() })
			if c.ail != nil {
				client = started(t).client(t).(*goredis.Client)
				if err := client.Do(t.Context(), c.ail...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			for kind, feed := range map[string]func(Option) preload.Feed{
				"bounded": func(o Option) preload.Feed { return Bounded(client, o) },
				"strict":  func(o Option) preload.Feed { return Strict(client, o) },
			} {
				var log lines
				f := feed(WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				if err := f.Open(context.Background(), &listening{id: "process"}); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = f.Close() })
				log.until(t, c.want)
				log.until(t, "redis "+kind)
			}
		})
	}
}

// TestASilentConnectionIsGivenUp: by a process whose client waits for its answer for ten seconds and
// more.
func TestASilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	const bound = time.Second
	s := started(t)
	addr, mute := muted(t, s.addr)
	client := goredis.NewClient(&goredis.Options{Addr: addr, ReadTimeout: time.Second, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	f, m := Bounded(client, WithBound(bound)), &listening{id: "process"}
	if err := f.Open(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	m.until(t, "serve")
	mute()
	time.Sleep(2 * bound) // what was asked before has been answered, or will never be
	m.forget()
	began := time.Now()
	m.until(t, "serve")
	if took := time.Since(began); took > 7*time.Second {
		t.Errorf("nothing was served for %v", took)
	}
}

// TestBeatsThatAreNotReadAreFew: of those that are sent while the stream cannot be read the last
// ones are remembered.
func TestBeatsThatAreNotReadAreFew(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		client := s.client(t)
		f := Bounded(client)
		f.m, f.key = &listening{id: "process"}, name(t, client)
		t.Cleanup(func() { client.Del(context.Background(), f.key) })
		for n := range uint64(3 * mostBeats) {
			if _, err := f.beat(n+1, n+1); err != nil && !strings.Contains(err.Error(), "deadline") {
				t.Fatal(err)
			}
		}
		if len(f.beats) != mostBeats || f.beats[3*mostBeats] == nil {
			t.Errorf("%d beats are remembered, want the last %d", len(f.beats), mostBeats)
		}
	})
}
