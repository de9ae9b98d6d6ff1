package redis

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	goredis "github.com/redis/go-redis/v9"
	"gorm.io/gorm"
)

// priced is a row that is written.
type priced struct {
	_     struct{} `preload:""`
	ID    int
	Price int
}

// half returns what half of the durations are not above, in microseconds.
func half(of []time.Duration) float64 {
	slices.Sort(of)
	return float64(of[len(of)/2].Nanoseconds()) / 1e3
}

// BenchmarkWrite is what a write costs without a feed, with a bounded and with a strict one, in
// turns: an update in a transaction of PostgreSQL, of one of a few processes that all have the row
// in memory. It reports the medians.
func BenchmarkWrite(b *testing.B) {
	client := goredis.NewClient(&goredis.Options{Addr: running(b)})
	b.Cleanup(func() { _ = client.Close() })
	for _, members := range []int{2, 4} {
		b.Run(fmt.Sprint("members=", members), func(b *testing.B) {
			names := []string{"none", "bounded", "strict"}
			writers, readers := map[string]*gorm.DB{}, map[string][]*gorm.DB{}
			for _, kind := range names {
				d := dbtest.Postgres(b)
				if err := d.Plain(b).AutoMigrate(&priced{}); err != nil {
					b.Fatal(err)
				}
				if err := d.Plain(b).Create(&priced{ID: 1}).Error; err != nil {
					b.Fatal(err)
				}
				n := name(b, client)
				for range members {
					options := []preload.Option{preload.WithoutWorker(), preload.WithLogger(slog.New(slog.DiscardHandler))}
					switch kind {
					case "bounded":
						options = append(options, preload.WithFeed(Bounded(client, WithName(n))))
					case "strict":
						options = append(options, preload.WithFeed(Strict(client, WithName(n))))
					}
					db, p := d.Again().Open(b), preload.New(options...)
					if err := db.Use(p); err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() { _ = p.Close() })
					for p.Stats().Hits == 0 {
						db.First(&priced{}, 1)
						time.Sleep(time.Millisecond)
					}
					if writers[kind] == nil {
						writers[kind] = db
					}
					readers[kind] = append(readers[kind], db)
				}
			}
			took := map[string][]time.Duration{}
			n := 0
			for b.Loop() {
				n++
				for i := range names {
					kind := names[(i+n)%len(names)]
					for _, db := range readers[kind] {
						db.First(&priced{}, 1)
					}
					begun := time.Now()
					if err := writers[kind].Model(&priced{ID: 1}).Update("price", n).Error; err != nil {
						b.Fatal(err)
					}
					took[kind] = append(took[kind], time.Since(begun))
				}
			}
			for _, kind := range names {
				b.ReportMetric(half(took[kind]), kind+"-µs/write")
			}
		})
	}
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
	b.ReportMetric(half(took), "µs/delivery")
}
