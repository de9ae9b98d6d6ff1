package redis

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorm-preload/preload"
	goredis "github.com/redis/go-redis/v9"
)

// TestABoundedFeedEndsWhereABeatHasFailed: what waits to be told is sent once, and Close returns.
func TestABoundedFeedEndsWhereABeatHasFailed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		ail, heal     func(*miniredis.Miniredis)
		beats, begins int // in the stream after Close, at least
	}{
		{"gone", (*miniredis.Miniredis).Close, func(*miniredis.Miniredis) {}, 0, 0},
		{"is not ready", func(m *miniredis.Miniredis) { m.SetError("LOADING") }, func(*miniredis.Miniredis) {}, 0, 0},
		{"is back", func(m *miniredis.Miniredis) { m.SetError("LOADING") }, func(m *miniredis.Miniredis) { m.SetError("") }, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := miniredis.RunT(t)
			client := goredis.NewClient(&goredis.Options{Addr: s.Addr(), MaxRetries: -1})
			t.Cleanup(func() { _ = client.Close() })
			// Beats are so seldom that none but the failed one is sent again meanwhile.
			f, m := Bounded(client, WithBound(10*time.Minute)), &listening{id: "writer"}
			c.ail(s)
			if err := f.Open(context.Background(), m); err != nil {
				t.Fatal(err)
			}
			for tried := 0; tried == 0; time.Sleep(time.Millisecond) {
				f.mu.Lock()
				tried = len(f.beats)
				f.mu.Unlock()
			}
			for range most + 1 {
				if _, err := f.Announce(t.Context(), []byte("a"), ""); err != nil {
					t.Fatal(err)
				}
			}
			c.heal(s)
			closed := make(chan error, 1)
			go func() { closed <- f.Close() }()
			select {
			case err := <-closed:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("Close does not return")
			}
			beats, begins := 0, 0
			if c.beats > 0 {
				for _, e := range client.XRange(t.Context(), f.key, "-", "+").Val() {
					switch e.Values[fieldKind] {
					case kindBeat:
						beats++
					case kindBegin:
						begins++
					}
				}
				c.begins = most + 1
			}
			if beats < c.beats || begins != c.begins {
				t.Errorf("%d beats and %d announcements were sent, want %d and %d", beats, begins, c.beats, c.begins)
			}
		})
	}
}

// silent is a server that takes connections and never answers.
func silent(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	return l.Addr().String()
}

// TestCloseDoesNotWaitForASilentRedis: whatever the client's timeouts are.
func TestCloseDoesNotWaitForASilentRedis(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		feed func(goredis.UniversalClient) preload.Feed
	}{
		{"bounded", func(c goredis.UniversalClient) preload.Feed { return Bounded(c) }},
		{"strict", func(c goredis.UniversalClient) preload.Feed { return Strict(c, WithLease(200*time.Millisecond)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := goredis.NewClient(&goredis.Options{Addr: silent(t), ReadTimeout: time.Hour})
			t.Cleanup(func() { _ = client.Close() })
			feed := c.feed(client)
			opened := make(chan error, 1)
			go func() {
				if err := feed.Open(context.Background(), &listening{id: "a"}); err != nil {
					t.Errorf("Open: %v", err)
				}
				opened <- feed.Close()
			}()
			select {
			case err := <-opened:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("Open or Close does not return")
			}
		})
	}
}
