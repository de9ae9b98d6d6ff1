package prometheus_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	preloadprometheus "github.com/gorm-preload/preload/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"gorm.io/gorm"
)

// BenchmarkSeen measures what a hit costs by itself, with an observer that does nothing, and with a
// collector that is registered and not asked: in short turns, of which
// the fifth that was quickest is told: another process on the machine makes turns slower only.
func BenchmarkSeen(b *testing.B) {
	const hits = 100 // of a turn
	names := []string{"alone", "observer", "collector"}
	dbs := make([]*gorm.DB, len(names))
	for i, name := range names {
		options := []preload.Option{preload.WithoutWorker()}
		if name == "observer" {
			options = append(options, preload.WithObserver(func(context.Context, preload.Event) {}))
		}
		db, p := open(b, options...)
		if name == "collector" {
			prometheus.NewRegistry().MustRegister(preloadprometheus.NewCollector(p))
		}
		dbs[i] = db
	}
	turn := func(db *gorm.DB) time.Duration {
		start := time.Now()
		for range hits {
			if err := db.First(new(book), 1).Error; err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	took := make([][]time.Duration, len(dbs))
	for _, db := range dbs {
		turn(db)
	}
	turns := 0
	for b.Loop() {
		for i := range dbs {
			at := (i + turns) % len(dbs)
			took[at] = append(took[at], turn(dbs[at]))
		}
		turns++
	}
	quick := make([]float64, len(dbs))
	for i := range took {
		slices.Sort(took[i])
		quick[i] = float64(took[i][len(took[i])/5]) / hits
		b.ReportMetric(quick[i], names[i]+"-ns/hit")
	}
	b.ReportMetric(quick[1]-quick[0], "observer-more-ns")
	b.ReportMetric(quick[2]-quick[0], "collector-more-ns")
}
