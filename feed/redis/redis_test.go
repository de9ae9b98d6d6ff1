package redis

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/feedtest"
	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// faults are what may befall a server.
func (s server) faults() map[string]func() {
	all := map[string]func(){}
	if s.empty != nil {
		all["emptied"] = s.empty
	}
	if s.restart != nil {
		all["restarted"] = s.restart
	}
	return all
}

// TestBounded: what every feed promises, of a bounded one.
func TestBounded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		feedtest.Run(t, func(t *testing.T) feedtest.Bed {
			s := s.alone(t)
			client := s.client(t)
			n := name(t, client)
			const bound = time.Second
			return feedtest.Bed{
				Feed:  func() preload.Feed { return Bounded(client, WithName(n), WithBound(bound)) },
				Bound: bound, Long: bound, Faults: s.faults(),
			}
		})
	})
}

// TestStrict: what every feed promises, of a strict one.
func TestStrict(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s server) {
		feedtest.Run(t, func(t *testing.T) feedtest.Bed {
			s := s.alone(t)
			client := s.client(t)
			n := name(t, client)
			const lease = time.Second
			return feedtest.Bed{
				Feed: func() preload.Feed { return Strict(client, WithName(n), WithLease(lease)) },
				Long: lease, Faults: s.faults(),
			}
		})
	})
}

// TestCloseEndsAllGoroutines: also while Redis does not answer.
func TestCloseEndsAllGoroutines(t *testing.T) {
	before := goleak.IgnoreCurrent()
	m, err := miniredis.Run()
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(&goredis.Options{Addr: m.Addr(), ReadTimeout: time.Second, MaxRetries: -1})
	for i, feed := range []preload.Feed{
		Bounded(client), Strict(client, WithLease(200*time.Millisecond)), Bounded(client), Strict(client, WithLease(200*time.Millisecond)),
	} {
		db := dbtest.SQLite(t).Open(t)
		p := preload.New(preload.WithFeed(feed))
		if err := db.Use(p); err != nil {
			t.Fatal(err)
		}
		_ = db.Exec("CREATE TABLE t (n integer)").Error
		if i == 2 {
			m.Close()
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		sql, _ := db.DB()
		_ = sql.Close()
	}
	_ = client.Close()
	goleak.VerifyNone(t, before)
}

// TestBadOptionsAreErrors: each names the option, and what would be right.
func TestBadOptionsAreErrors(t *testing.T) {
	t.Parallel()
	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	for _, c := range []struct {
		feed preload.Feed
		want string
	}{
		{Bounded(client, WithBound(0)), "WithBound"},
		{Bounded(client, WithLength(1)), "WithLength"},
		{Bounded(client, WithName("")), "WithName"},
		{Bounded(client, WithLogger(nil)), "WithLogger"},
		{Bounded(client, nil), "nil"},
		{Bounded(nil), "client"},
		{Strict(nil), "client"},
		{Strict(client, WithLease(-1)), "WithLease"},
		{Strict(client, WithPatience(0)), "WithPatience"},
		{Strict(client, WhenCutOff(7)), "WhenCutOff"},
	} {
		err := dbtest.SQLite(t).Open(t).Use(preload.New(preload.WithFeed(c.feed)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error about %s, got %v", c.want, err)
		}
	}
}

// TestStrictRefusesAServerThatDropsKeys: which would forget who has to be waited for.
func TestStrictRefusesAServerThatDropsKeys(t *testing.T) {
	t.Parallel()
	s := started(t)
	client := s.client(t)
	if err := client.ConfigSet(context.Background(), "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	err := dbtest.SQLite(t).Open(t).Use(preload.New(preload.WithFeed(Strict(client))))
	if err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("db.Use: %v", err)
	}
}
