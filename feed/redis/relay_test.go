package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// TestRelay: entries come in their order, once each; who reads waits for them; the end is where
// nothing is read that was there; and what is emptied goes on.
func TestRelay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		s = s.alone(t)
		client := s.client(t)
		r := Relay(client, WithName(name(t, client)))
		ctx := t.Context()
		add := func(entries ...string) {
			t.Helper()
			var all [][]byte
			for _, e := range entries {
				all = append(all, []byte(e))
			}
			if err := r.Add(ctx, "s", all); err != nil {
				t.Fatal(err)
			}
		}
		read := func(after string, wait time.Duration) (entries []string, last string) {
			t.Helper()
			all, last, err := r.Read(ctx, "s", after, wait)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range all {
				entries = append(entries, string(e))
			}
			return entries, last
		}
		want := func(got []string, want ...string) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("read %q, want %q", got, want)
			}
		}
		got, at := read("", time.Minute)
		want(got)
		add("a", "", "c\x00\xff")
		got, end := read(at, time.Minute)
		want(got, "a", "", "c\x00\xff")
		if got, at = read("", time.Minute); at != end {
			t.Errorf("the end is %q, want %q", at, end)
		}
		want(got)
		if got, at = read(at, time.Millisecond); at != end {
			t.Errorf("after nothing came the place is %q, want %q", at, end)
		}
		want(got)
		waited := make(chan []string)
		go func() {
			got, _ := read(end, 20*time.Second)
			waited <- got
		}()
		add("d")
		want(<-waited, "d")
		if got, _, err := r.Read(ctx, "other", "0-0", time.Millisecond); err != nil || len(got) > 0 {
			t.Errorf("another stream has %q, %v", got, err)
		}
		if s.empty != nil {
			s.empty()
			add("e")
			got, at = read("0-0", time.Minute)
			want(got, "e")
		}
		// What somebody else has added is an entry that says nothing.
		if err := client.XAdd(ctx, &goredis.XAddArgs{Stream: r.key("s"), Values: []any{"x", "y"}}).Err(); err != nil {
			t.Fatal(err)
		}
		got, at = read(at, time.Minute)
		want(got[max(0, len(got)-1):], "")
		for range 300 {
			add("many")
		}
		if got, _ = read(at, time.Minute); len(got) == 0 || len(got) > most {
			t.Errorf("%d entries at a time", len(got))
		}
	})
}

// TestStreamsOfOnePlace: what is told and what is asked is in one place of a cluster, and goes when
// nobody adds anything any more.
func TestStreamsOfOnePlace(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		client := s.client(t)
		r := Relay(client, WithName(name(t, client)))
		told, asked := r.key("postgres/a/told"), r.key("postgres/a/asked")
		tag := func(key string) string { return key[:strings.IndexByte(key, '}')+1] }
		if told == asked || tag(told) != tag(asked) || tag(told) == tag(r.key("postgres/b/told")) {
			t.Errorf("the keys are %q and %q", told, asked)
		}
		if err := r.Add(t.Context(), "postgres/a/told", [][]byte{{1}}); err != nil {
			t.Fatal(err)
		}
		if left := client.TTL(t.Context(), told).Val(); left <= 0 || left > streamKept {
			t.Errorf("it is kept for %v", left)
		}
	})
}

// TestARelaySaysWhatIsWrong: with how it was made, and that it cannot be reached.
func TestARelaySaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	for _, c := range []struct {
		relay *StreamRelay
		want  string
	}{
		{Relay(nil), "client"}, {Relay(client, nil), "nil"}, {Relay(client, WithName("")), "WithName"}, {Relay(client, WithLength(1)), "WithLength"},
	} {
		if err := c.relay.Add(context.Background(), "", nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error about %s, got %v", c.want, err)
		}
	}
	r := Relay(client)
	if err := r.Add(t.Context(), "", nil); err != nil {
		t.Errorf("a server that is away is no error of how it was made: %v", err)
	}
	if err := r.Add(t.Context(), "s", [][]byte{{1}}); err == nil {
		t.Error("no error of Add")
	}
	for _, after := range []string{"", "0-0"} {
		if _, last, err := r.Read(t.Context(), "s", after, time.Millisecond); err == nil || last != after {
			t.Errorf("Read(%q): %q, %v", after, last, fmt.Sprint(err))
		}
	}
}
