package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/bench/measure"
	"github.com/gorm-preload/preload/bench/shop/oracle"
	"github.com/gorm-preload/preload/bench/shop/survival"
)

// report writes tables. The first error that there was in writing is kept.
type report struct {
	out    io.Writer
	err    error
	panels []panel // to draw
}

func (r *report) line(format string, values ...any) {
	_, err := fmt.Fprintf(r.out, format+"\n", values...)
	r.err = cmp.Or(r.err, err)
}

// table writes rows of cells; the first row is their heading.
func (r *report) table(rows [][]string) {
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		// The first column is a text, the others are numbers.
		fmt.Fprintln(w, strings.Join(row[1:], "\t")+"\t  "+row[0])
	}
	r.err = cmp.Or(r.err, w.Flush())
	r.line("")
}

func (r *report) heading(s settings) {
	r.line("A shop of %d products and %d users; %d people ask at a time; seed %d; %s, %d processors, %s.\n",
		s.size.Products, s.size.Users, s.clients, s.seed, runtime.Version(), runtime.NumCPU(), time.Now().Format(time.DateOnly))
}

// share is a part of all, in percent.
func share(part, all int) string {
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(all))
}

func per(n float64, requests int) float64 { return n / float64(max(1, requests)) }

// speed is how many requests a second there were.
func (t turn) speed() float64 { return float64(t.Requests) / t.Elapsed.Seconds() }

// processor is what a request took of the processors, in nanoseconds.
func (t turn) processor() float64 { return per(float64(t.cpu), t.Requests) }

// ratio is the median, over the rounds, of a figure of a variant to that of the first.
func ratio(c, first *course, figure func(turn) float64) float64 {
	var all []float64
	for i := range c.turns {
		all = append(all, figure(c.turns[i])/figure(first.turns[i]))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// The marks of the shop with the plugin, of what it is without.
var (
	cpuMark   = measure.AtMost(.75)
	speedMark = measure.AtLeast(1.2)
)

// marks says how the plugin stands against its marks, if it was measured and so was the shop without
// it.
func (r *report) marks(first *course, courses []*course) {
	for _, c := range courses {
		if first.options != nil || c.name != variants["on"].name {
			continue
		}
		for _, of := range []struct {
			what   string
			figure func(turn) float64
			mark   measure.Mark
		}{{"CPU a request", turn.processor, cpuMark}, {"requests a second", turn.speed, speedMark}} {
			value := ratio(c, first, of.figure)
			r.line("%s, of %s: %.2f; the mark is %s: %s.", of.what, first.name, value, of.mark, of.mark.Verdict(value))
		}
		r.line("")
	}
}

func (r *report) turns(dialect string, courses []*course) {
	first := courses[0]
	r.panels = append(r.panels, panel{dialect, courses})
	r.line("## %s: requests\n", dialect)
	rows := [][]string{{"", "requests", "writes", "a second", "ratio", "CPU each", "ratio", "p50", "p99", "statements each", "hit rate", "connections opened"}}
	for _, c := range courses {
		hits := "-"
		if c.options != nil {
			hits = share(int(c.stats.Hits), int(c.stats.Hits+c.stats.Misses+c.stats.Bypassed))
		}
		rows = append(rows, []string{
			c.name, fmt.Sprint(c.Requests), share(c.Writes, c.Requests),
			fmt.Sprintf("%.0f", c.speed()), fmt.Sprintf("%.2f", ratio(c, first, turn.speed)),
			brief(time.Duration(c.processor())), fmt.Sprintf("%.2f", ratio(c, first, turn.processor)),
			brief(c.Quantile("", 0.5)), brief(c.Quantile("", 0.99)),
			fmt.Sprintf("%.2f", per(float64(c.queries+c.execs), c.Requests)), hits, fmt.Sprint(c.connections),
		})
	}
	r.table(rows)
	r.line("The hit rate is that of all reads of the shop, those that do not qualify among them, since it opened. Ratios are to %s: medians of the rounds.\n", first.name)
	r.marks(first, courses)
	for _, c := range courses {
		if c.options != nil {
			r.line("%s: %s", c.name, told(c.stats))
		}
	}
	r.line("")
	heading := []string{"by endpoint, p50 and p99"}
	for _, c := range courses {
		heading = append(heading, c.name, "")
	}
	rows = [][]string{append(heading, "requests")}
	for _, endpoint := range first.Endpoints() {
		row := []string{endpoint}
		for _, c := range courses {
			row = append(row, brief(c.Quantile(endpoint, 0.5)), brief(c.Quantile(endpoint, 0.99)))
		}
		rows = append(rows, append(row, fmt.Sprint(len(first.Latencies[endpoint]))))
	}
	r.table(rows)
}

func brief(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%dµs", d.Microseconds())
	}
	return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
}

// told is what the plugin counted.
func told(s preload.Stats) string {
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(s.BypassReasons)) {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, s.BypassReasons[reason]))
	}
	return fmt.Sprintf("hits %d, misses %d, bypassed %d (%s); invalidated %d, evicted %d, expired %d; loaded ahead %d, used %d; entries %d, %.1f MiB",
		s.Hits, s.Misses, s.Bypassed, strings.Join(reasons, ", "), s.Invalidated, s.Evicted, s.Expired, s.PreloadCount, s.PreloadHits, s.Entries, float64(s.Bytes)/(1<<20))
}

// drawTo draws what was measured.
func (r *report) drawTo(file string, s settings) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return draw(f, r.panels, fmt.Sprintf("bench/shop: %d people ask at a time, default pool and options; %d processors, %s, %s",
		s.clients, runtime.NumCPU(), runtime.Version(), time.Now().Format(time.DateOnly)))
}

func (r *report) oracle(dialect string, v variant, w view) {
	r.line("## %s: the oracle, %s\n", dialect, v.name)
	rows := [][]string{{"reads", "asked", "oracle", "of asked", "served", "served/oracle", "served ahead", "wrong"}}
	row := func(name string, c oracle.Count) {
		rows = append(rows, []string{
			name, fmt.Sprint(c.Reads), fmt.Sprint(c.Oracle), share(c.Oracle, c.Reads), fmt.Sprint(c.Served),
			share(c.Both, c.Oracle), fmt.Sprint(c.Served - c.Both), fmt.Sprint(c.Wrong),
		})
	}
	row("tags only", w.Count(oracle.Tagged))
	row("all", w.All())
	for _, class := range oracle.Classes()[1:] {
		row("  "+class.String(), w.Count(class))
	}
	r.table(rows)
	pages := w.Pages()
	r.line("%d pages were compared with those of the shop without the plugin: %d differ. The plugin: %s\n", pages.Compared, len(pages.Wrong), told(w.stats))
	for _, page := range pages.Wrong {
		r.line("differs: %s", page)
	}
	rows = [][]string{{"what was most often not served though it could have been", "not served", "oracle", "asked"}}
	for _, shape := range w.Missed(12) {
		rows = append(rows, []string{
			fmt.Sprintf("%s: %s", shape.Class, shorten(shape.SQL)), fmt.Sprint(shape.Oracle - shape.Both), fmt.Sprint(shape.Oracle), fmt.Sprint(shape.Reads),
		})
	}
	r.table(rows)
}

// shorten makes one short line of a statement.
func shorten(sql string) string {
	sql = strings.Join(strings.Fields(sql), " ")
	const most = 150
	if runes := []rune(sql); len(runes) > most {
		return string(runes[:most/3]) + " ... " + string(runes[len(runes)-most*2/3:])
	}
	return sql
}

func (r *report) survival(dialect string, rows []survival.Row) {
	r.line("## %s: what a write leaves of the unchanged answers of the tables that it wrote\n", dialect)
	table := [][]string{{"write", "changed", "unchanged, tags only", "served", "", "all", "served", "", "of other tables", "wrong"}}
	var sum survival.Row
	line := func(row survival.Row) {
		table = append(table, []string{
			fmt.Sprintf("%s (%s)", row.Kind, strings.Join(row.Tables, ", ")), fmt.Sprint(row.Changed),
			fmt.Sprint(row.Tagged), fmt.Sprint(row.TaggedServed), share(row.TaggedServed, row.Tagged),
			fmt.Sprint(row.Unchanged), fmt.Sprint(row.Served), share(row.Served, row.Unchanged),
			share(row.OthersServed, row.Others), fmt.Sprint(row.Wrong),
		})
	}
	for _, row := range rows {
		line(row)
		sum.Changed += row.Changed
		sum.Tagged += row.Tagged
		sum.TaggedServed += row.TaggedServed
		sum.Unchanged += row.Unchanged
		sum.Served += row.Served
		sum.Others += row.Others
		sum.OthersServed += row.OthersServed
		sum.Wrong += row.Wrong
	}
	sum.Kind, sum.Tables = fmt.Sprintf("all %d kinds", len(rows)), []string{"one of each"}
	line(sum)
	r.table(table)
}
