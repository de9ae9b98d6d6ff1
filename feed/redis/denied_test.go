package redis

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	goredis "github.com/redis/go-redis/v9"
)

// TestWritesDoNotWaitForAProcessThatLosesItsChannels: its user loses them at run time. It leaves the
// others, and is back once it has them again.
func TestWritesDoNotWaitForAProcessThatLosesItsChannels(t *testing.T) {
	t.Parallel()
	s := started(t)
	admin := s.client(t)
	for name, rules := range map[string][]any{
		"all of them":                  {"resetchannels"},
		"that of what is written":      {"resetchannels", "&*acknowledged*"},
		"those of the acknowledgement": {"resetchannels", "&*told"},
	} {
		user := "user-of-" + name[:3]
		client := s.as(t, user, "~*", "&*", "+@all")
		option := WithName(name)
		writer, reader := &listening{id: "writer"}, &listening{id: "reader"}
		feeds := map[*listening]*StrictFeed{}
		for m, c := range map[*listening]goredis.UniversalClient{writer: admin, reader: client} {
			feeds[m] = Strict(c, option, WithLease(time.Second), WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
			if err := feeds[m].Open(context.Background(), m); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = feeds[m].Close() })
			m.until(t, "serve")
		}
		// Those who hear what they may not are cut off by the server.
		if err := admin.Do(t.Context(), append([]any{"ACL", "SETUSER", user}, rules...)...).Err(); err != nil {
			t.Fatal(err)
		}
		finish, err := feeds[writer].Announce(t.Context(), []byte("a"), "")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		finish(preload.EndVisible)
		reader.until(t, "reset")
		if n := feeds[writer].teller.Counters().CutOff.Load(); n != 0 {
			t.Errorf("%s: the write waited in vain for the process", name)
		}
		if err := admin.Do(t.Context(), "ACL", "SETUSER", user, "&*").Err(); err != nil {
			t.Fatal(err)
		}
		reader.mu.Lock()
		reader.told = nil
		reader.mu.Unlock()
		reader.until(t, "serve")
	}
}
