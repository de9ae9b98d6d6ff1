package redis

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorm-preload/preload"
	goredis "github.com/redis/go-redis/v9"
)

// listsOn returns what is on a shelf, in order.
func listsOn(t *testing.T, s preload.Shelf) (texts []string) {
	t.Helper()
	lists, err := s.HotLists(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		texts = append(texts, string(list))
	}
	slices.Sort(texts)
	return texts
}

// TestProcessesLeaveListsForEachOther: each the last one of its own, the newest are kept, and those
// of another database are not there.
func TestProcessesLeaveListsForEachOther(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		client := s.client(t)
		n := name(t, client)
		put := func(process, list string) *shelf {
			of := newShelf(client, n, "none", process)
			if err := of.put(t.Context(), []byte(list)); err != nil {
				t.Fatal(err)
			}
			return of
		}
		put("a", "first")
		put("b", "of b\x00\xff")
		of := &BoundedFeed{shelf: put("a", "second")}
		if got := listsOn(t, of); !slices.Equal(got, []string{"of b\x00\xff", "second"}) {
			t.Errorf("there are %q", got)
		}
		if got := listsOn(t, &StrictFeed{shelf: newShelf(client, n, "other", "a")}); len(got) != 0 {
			t.Errorf("of another database there are %q", got)
		}
		for i := range 3 * mostLists {
			put(fmt.Sprint("process ", i), strings.Repeat("x", i))
		}
		if got := listsOn(t, of); len(got) > mostLists {
			t.Errorf("there are %d lists, want %d at most", len(got), mostLists)
		}
		for _, key := range of.shelf.keys {
			if ttl := client.TTL(t.Context(), key).Val(); ttl <= 0 || ttl > keepLists {
				t.Errorf("%s is kept for %v", key, ttl)
			}
		}
		if n := client.HLen(t.Context(), of.shelf.keys[0]).Val(); n > mostLists {
			t.Errorf("%d lists are kept, want %d at most", n, mostLists)
		}
		// What somebody else left is not fetched when it is too long.
		put("long", string(bytes.Repeat([]byte("y"), longList+1)))
		if got := listsOn(t, of); slices.ContainsFunc(got, func(list string) bool { return strings.HasPrefix(list, "y") }) {
			t.Error("a list that is too long is there")
		}
		if err := client.Set(t.Context(), of.shelf.keys[0], "no hash", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := of.HotLists(t.Context()); err == nil {
			t.Error("what is no shelf is no error")
		}
	})
}

// TestListsOfDeadProcessesGo: after an hour, also while others leave theirs.
func TestListsOfDeadProcessesGo(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	client := goredis.NewClient(&goredis.Options{Addr: m.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	dead, alive := newShelf(client, "n", "none", "dead"), newShelf(client, "n", "none", "alive")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m.SetTime(now)
	if err := dead.put(t.Context(), []byte("of dead")); err != nil {
		t.Fatal(err)
	}
	for minute := range 61 {
		m.SetTime(now.Add(time.Duration(minute) * time.Minute))
		if err := alive.put(t.Context(), []byte("of alive")); err != nil {
			t.Fatal(err)
		}
		want := []string{"of alive", "of dead"}
		if minute >= 60 {
			want = want[:1]
		}
		if got := listsOn(t, &BoundedFeed{shelf: alive}); !slices.Equal(got, want) {
			t.Fatalf("after %d minutes there are %q, want %q", minute, got, want)
		}
	}
}

// TestAShelfThatIsOutOfReachIsAnError, as is one of a feed that is not open; and no wait beyond the
// client's timeouts.
func TestAShelfThatIsOutOfReachIsAnError(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	client := goredis.NewClient(&goredis.Options{Addr: m.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	m.Close()
	for _, s := range []preload.Shelf{
		Bounded(client), Strict(client), &BoundedFeed{shelf: newShelf(client, "n", "none", "a")}, &StrictFeed{shelf: newShelf(client, "n", "none", "a")},
	} {
		if err := s.PutHot(context.Background(), []byte("list")); err == nil {
			t.Errorf("%T: a list was left", s)
		}
		if lists, err := s.HotLists(context.Background()); err == nil || len(lists) > 0 {
			t.Errorf("%T: there are %q, %v", s, lists, err)
		}
	}
}
