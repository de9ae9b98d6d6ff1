package preload

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
)

// BenchmarkSeen measures what is noted of a hit, with nobody told and with an observer that does
// nothing: in short turns, of which the fifth that was quickest is told.
func BenchmarkSeen(b *testing.B) {
	var plugins [2]*Plugin
	var entries [2]*cache.Entry
	for i := range plugins {
		options := []Option{WithoutWorker()}
		if i == 1 {
			options = append(options, WithObserver(func(context.Context, Event) {}))
		}
		bench := setup(b, options...)
		if err := bench.db.First(&workerUser{}, 1).Error; err != nil {
			b.Fatal(err)
		}
		plugins[i] = bench.plugin
		bench.plugin.cache.Each(func(e *cache.Entry) { entries[i] = e })
	}
	const hits = 1_000 // of a turn
	var took [2][]time.Duration
	ctx, now := b.Context(), time.Now()
	for b.Loop() {
		for i, p := range plugins {
			began := time.Now()
			for range hits {
				p.accesses.hit(ctx, entries[i], entries[i].Tally, now)
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	var quick [2]float64
	for i := range took {
		slices.Sort(took[i])
		quick[i] = float64(took[i][len(took[i])/5]) / hits
	}
	b.ReportMetric(quick[0], "alone-ns/hit")
	b.ReportMetric(quick[1], "observer-ns/hit")
	b.ReportMetric(quick[1]-quick[0], "more-ns/hit")
}
