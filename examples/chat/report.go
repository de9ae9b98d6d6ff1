package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/gorm-preload/preload/examples/chat/scenario"
	"github.com/gorm-preload/preload/examples/internal/latency"
	"github.com/gorm-preload/preload/examples/internal/table"
)

// all returns the latencies of all reads.
func (r *result) all() *latency.Samples {
	var all latency.Samples
	for i := range r.took {
		all.Merge(&r.took[i])
	}
	return &all
}

// perSecond is a rate of all workers together, given the time that they spent, added up.
func (r *result) perSecond(n int, spent time.Duration) string {
	if spent <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(n)*float64(r.workers)/spent.Seconds())
}

func percent(of, all int64) string {
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(of)/float64(all))
}

// report prints both runs side by side.
func report(out io.Writer, without, with *result) error {
	stats := with.stats
	a, b := without.all(), with.all()
	var runs, tables table.Table
	runs.Row("", "without plugin", "with plugin")
	runs.Row("reads of the application", a.Len(), b.Len())
	runs.Row("queries that reached the database", without.queries, with.queries)
	runs.Row("writes that reached the database", without.writes, with.writes)
	runs.Row("hit rate", "-", percent(stats.Hits, stats.Hits+stats.Misses))
	for _, p := range []float64{50, 95, 99} {
		runs.Row(fmt.Sprintf("a read, p%.0f", p), latency.Format(a.Percentile(p)), latency.Format(b.Percentile(p)))
	}
	runs.Row("reads per second, while reading", without.perSecond(a.Len(), a.Sum()), with.perSecond(b.Len(), b.Sum()))
	runs.Row("events per second, writes included", without.perSecond(without.events, without.working), with.perSecond(with.events, with.working))
	for _, reason := range slices.Sorted(maps.Keys(stats.BypassReasons)) {
		runs.Row("not cacheable: "+string(reason), "-", stats.BypassReasons[reason])
	}
	if with.warmed > 0 {
		runs.Row("loaded at first", "-", with.warmed)
	}
	runs.Row("loaded ahead", "-", stats.PreloadCount)
	runs.Row("of these, read afterwards", "-", stats.PreloadHits)
	runs.Row("preload hit rate", "-", percent(stats.PreloadHits, stats.PreloadCount))
	runs.Row("answers compared with the database", without.compared, with.compared)
	runs.Row("mismatches", without.mismatches, with.mismatches)
	tables.Row("by table", "p50 without", "p50 with", "p99 without", "p99 with", "hit rate")
	for i, r := range scenario.Reads {
		x, y := &without.took[i], &with.took[i]
		model := stats.Models[r.Table]
		tables.Row(r.Table, latency.Format(x.Percentile(50)), latency.Format(y.Percentile(50)),
			latency.Format(x.Percentile(99)), latency.Format(y.Percentile(99)), percent(model.Hits, model.Hits+model.Misses))
	}
	if err := runs.Print(out); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if err := tables.Print(out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nEach event reads its conversation, person, permissions, relationship and latest %d messages, then writes a message\n"+
		"and updates the conversation. Queries were counted underneath the plugin; they include what it loads in the\n"+
		"background. One event in %d was compared.\n", scenario.Latest, sample)
	return err
}
