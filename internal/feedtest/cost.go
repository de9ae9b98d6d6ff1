package feedtest

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

// priced is a row that is written.
type priced struct {
	_     struct{} `preload:""`
	ID    int
	Price int
}

// Half returns what half of the durations are not above, in microseconds.
func Half(of []time.Duration) float64 {
	slices.Sort(of)
	return float64(of[len(of)/2].Nanoseconds()) / 1e3
}

// Writes measures what a write costs with feeds by their names, nil for none, in turns: an update
// in a transaction, of one of a few processes that all have the row in memory. Each feed has a
// database of its own. It reports the medians.
func Writes(b *testing.B, open func(testing.TB) *dbtest.Database, feeds map[string]func(*dbtest.Database) func() preload.Feed) {
	names := slices.Sorted(maps.Keys(feeds))
	for _, members := range []int{2, 4} {
		b.Run(fmt.Sprint("members=", members), func(b *testing.B) {
			processes := map[string][]*gorm.DB{}
			for _, kind := range names {
				d := open(b)
				if err := d.Plain(b).AutoMigrate(&priced{}); err != nil {
					b.Fatal(err)
				}
				if err := d.Plain(b).Create(&priced{ID: 1}).Error; err != nil {
					b.Fatal(err)
				}
				options := []preload.Option{preload.WithoutWorker(), preload.WithLogger(slog.New(slog.DiscardHandler))}
				var feed func() preload.Feed
				if feeds[kind] != nil {
					feed = feeds[kind](d)
				}
				for range members {
					own := options
					if feed != nil {
						own = append(slices.Clip(options), preload.WithFeed(feed()))
					}
					db, p := d.Again().Open(b), preload.New(own...)
					if err := db.Use(p); err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() { _ = p.Close() })
					for p.Stats().Hits == 0 {
						db.First(&priced{}, 1)
						time.Sleep(time.Millisecond)
					}
					processes[kind] = append(processes[kind], db)
				}
			}
			took := map[string][]time.Duration{}
			n := 0
			for b.Loop() {
				n++
				for i := range names {
					kind := names[(i+n)%len(names)]
					for _, db := range processes[kind] {
						db.First(&priced{}, 1)
					}
					begun := time.Now()
					if err := processes[kind][0].Model(&priced{ID: 1}).Update("price", n).Error; err != nil {
						b.Fatal(err)
					}
					took[kind] = append(took[kind], time.Since(begun))
				}
			}
			for _, kind := range names {
				b.ReportMetric(Half(took[kind]), kind+"-µs/write")
			}
		})
	}
}
