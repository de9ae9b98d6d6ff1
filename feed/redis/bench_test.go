package redis

import (
	"context"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/feedtest"
	goredis "github.com/redis/go-redis/v9"
)

// BenchmarkWrite is what a write costs without a feed, with a bounded and with a strict one.
func BenchmarkWrite(b *testing.B) {
	client := goredis.NewClient(&goredis.Options{Addr: running(b)})
	b.Cleanup(func() { _ = client.Close() })
	feedtest.Writes(b, dbtest.Postgres, map[string]func(*dbtest.Database) func() preload.Feed{
		"none": nil,
		"bounded": func(*dbtest.Database) func() preload.Feed {
			n := name(b, client)
			return func() preload.Feed { return Bounded(client, WithName(n)) }
		},
		"strict": func(*dbtest.Database) func() preload.Feed {
			n := name(b, client)
			return func() preload.Feed { return Strict(client, WithName(n)) }
		},
	})
}

// arriving is a member that tells when something is announced to it.
type arriving struct {
	listening
	begun chan time.Time
}

func (a *arriving) Begin([]byte) func(preload.End) {
	a.begun <- time.Now()
	return func(preload.End) {}
}

// BenchmarkDelivery is how long it takes until another process has taken in what a bounded feed
// announces: the median, in microseconds.
func BenchmarkDelivery(b *testing.B) {
	client := goredis.NewClient(&goredis.Options{Addr: running(b)})
	b.Cleanup(func() { _ = client.Close() })
	n := name(b, client)
	writer, reader := Bounded(client, WithName(n)), Bounded(client, WithName(n))
	from, to := &listening{id: "writer"}, &arriving{listening: listening{id: "reader"}, begun: make(chan time.Time, 1)}
	for feed, m := range map[*BoundedFeed]preload.Member{writer: from, reader: to} {
		if err := feed.Open(context.Background(), m); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = feed.Close() })
	}
	batch := make([]byte, 200)
	var took []time.Duration
	for b.Loop() {
		begun := time.Now()
		finish, err := writer.Announce(b.Context(), batch, "")
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, (<-to.begun).Sub(begun))
		finish(preload.EndVisible)
	}
	b.ReportMetric(feedtest.Half(took), "µs/delivery")
}
