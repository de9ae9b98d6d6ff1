package redis

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/strict"
	goredis "github.com/redis/go-redis/v9"
)

// lines are those of a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count returns how many lines have a text.
func (l *lines) count(of string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), of)
}

// until waits until a line has a text.
func (l *lines) until(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); l.count(text) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q is never said", text)
		}
	}
}

// as returns a client of a user that has some access rules.
func (s server) as(t *testing.T, user string, rules ...any) goredis.UniversalClient {
	t.Helper()
	if len(rules) > 0 {
		all := append([]any{"ACL", "SETUSER", user, "reset", "on", ">pw"}, rules...)
		if err := s.client(t).Do(t.Context(), all...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	client := goredis.NewClient(&goredis.Options{Addr: s.addr, Username: user, Password: "pw"})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// TestOpenSaysWhatRedisRefuses: with the access rules that would be right, which are enough.
func TestOpenSaysWhatRedisRefuses(t *testing.T) {
	t.Parallel()
	s := started(t)
	kinds := map[string]func(goredis.UniversalClient, string) preload.Feed{
		"bounded": func(c goredis.UniversalClient, name string) preload.Feed { return Bounded(c, WithName(name)) },
		"strict":  func(c goredis.UniversalClient, name string) preload.Feed { return Strict(c, WithName(name)) },
	}
	open := func(t *testing.T, kind, name string, client goredis.UniversalClient) (m *listening, err error) {
		m = &listening{id: "process"}
		f := kinds[kind](client, name)
		t.Cleanup(func() { _ = f.Close() })
		return m, f.Open(context.Background(), m)
	}
	for _, c := range []struct {
		name            string
		rules           []any
		bounded, strict string // what the error names; "" where there is none
	}{
		{"all", []any{"~*", "&*", "+@all"}, "", ""},
		{"channels", []any{"~*", "resetchannels", "+@all"}, "", "PUBLISH"},
		{"one-channel", []any{"~*", "resetchannels", "&*told", "+@all"}, "", "channels"},
		{"keys", []any{"&*", "+@all"}, "keys", "keys"},
		{"scripts", []any{"~*", "&*", "+@all", "-@scripting"}, "eval", "eval"},
		{"xadd", []any{"~*", "&*", "+@all", "-xadd"}, "XADD", ""},
		{"xread", []any{"~*", "&*", "+@all", "-xread"}, "xread", ""},
		{"publish", []any{"~*", "&*", "+@all", "-publish"}, "", "PUBLISH"},
		{"subscribe", []any{"~*", "&*", "+@all", "-subscribe"}, "", "subscribe"},
		{"info", []any{"~*", "&*", "+@all", "-info"}, "INFO", "info"},
		{"hset", []any{"~*", "&*", "+@all", "-hset"}, "", "HSET"},
		{"nobody", nil, "WRONGPASS", "WRONGPASS"},
	} {
		for kind, want := range map[string]string{"bounded": c.bounded, "strict": c.strict} {
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				m, err := open(t, kind, c.name, s.as(t, c.name, c.rules...))
				switch {
				case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
					t.Fatalf("Open: %v, want an error of %q", err, want)
				case want == "":
					m.until(t, "serve")
					return
				}
				_, rules, _ := strings.Cut(err.Error(), "the access rules ")
				var right []any
				for _, rule := range strings.Fields(rules) {
					right = append(right, rule)
				}
				if m, err = open(t, kind, c.name, s.as(t, c.name+kind, right...)); err != nil {
					t.Fatalf("Open with these rules: %v", err)
				}
				m.until(t, "serve")
			})
		}
	}
	for kind := range kinds {
		away := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
		t.Cleanup(func() { _ = away.Close() })
		if _, err := open(t, kind, "away", away); err != nil {
			t.Errorf("%s: a server that is away: %v", kind, err)
		}
	}
	if keys := s.client(t).Keys(t.Context(), "*check*").Val(); len(keys) > 0 {
		t.Errorf("left behind: %q", keys)
	}
}

// TestWhatIsRefusedLaterIsLogged: once, and again when a minute has passed.
func TestWhatIsRefusedLaterIsLogged(t *testing.T) {
	t.Parallel()
	s := started(t)
	var log lines
	logger := slog.New(slog.NewTextHandler(&log, nil))
	for _, c := range []struct {
		name   string
		feed   func(goredis.UniversalClient) preload.Teller
		refuse string
	}{
		{"bounded", func(c goredis.UniversalClient) preload.Teller { return Bounded(c, WithLogger(logger)) }, "-xadd"},
		{"strict", func(c goredis.UniversalClient) preload.Teller { return Strict(c, WithLogger(logger)) }, "-publish"},
	} {
		client := s.as(t, c.name, "~*", "&*", "+@all")
		f, m := c.feed(client), &listening{id: c.name}
		if err := f.Open(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		m.until(t, "serve")
		if err := s.client(t).Do(t.Context(), "ACL", "SETUSER", c.name, c.refuse).Err(); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = f.Announce(context.Background(), []byte("a"), "") }()
		log.until(t, `"redis `+c.name)
	}
}

// TestAFieldThatIsNotUnderstoodIsLogged: nothing is served while it is there, and again without it.
func TestAFieldThatIsNotUnderstoodIsLogged(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		client := s.client(t)
		for _, c := range []struct {
			hash         int
			field, value string
		}{
			{1, "foo bar", "baz"},
			{1, "7 other", "baz"},
			{2, "foo bar", "baz"},
		} {
			n := name(t, client)
			var log lines
			f, m := Strict(client, WithName(n), WithLogger(slog.New(slog.NewTextHandler(&log, nil)))), &listening{id: "process"}
			key := newBroker(client, n, m.Namespace(), slog.Default()).keys[c.hash]
			if err := f.Open(context.Background(), m); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			m.until(t, "serve")
			if err := client.HSet(t.Context(), key, c.field, c.value).Err(); err != nil {
				t.Fatal(err)
			}
			log.until(t, "not understood")
			log.until(t, key)
			log.until(t, c.field)
			client.HDel(t.Context(), key, c.field)
			m.mu.Lock()
			m.told = nil
			m.mu.Unlock()
			m.until(t, "serve")
		}
	})
}

// TestFinishNeedsNoChannel: what others cannot be told of comes with a renewal.
func TestFinishNeedsNoChannel(t *testing.T) {
	t.Parallel()
	s := started(t)
	admin := s.client(t)
	var log lines
	b := newBroker(s.as(t, "app", "~*", "resetchannels", "+@all"), name(t, admin), "test", slog.New(slog.NewTextHandler(&log, nil)))
	seat, _, err := b.Join(t.Context(), "process", strict.Seat{})
	if err != nil {
		t.Fatal(err)
	}
	a := strict.Announcement{ID: "write", Process: "process"}
	if _, err := b.Announce(t.Context(), seat.Run, a); err == nil {
		t.Error("Announce says nothing of the channel that is refused")
	}
	if err := b.Finish(t.Context(), seat.Run, a.ID, strict.EndVisible); err != nil {
		t.Error(err)
	}
	if n := admin.HLen(t.Context(), b.keys[2]).Val(); n != 0 {
		t.Errorf("%d writes are pending, want none", n)
	}
	if log.count("does not do what a feed asks of it") == 0 {
		t.Error("nothing is logged")
	}
}
