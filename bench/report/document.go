package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gorm-preload/preload/bench/measure"
	"github.com/gorm-preload/preload/bench/workload"
)

// document is the report as it is written, with what was measured so far.
type document struct {
	out   io.Writer
	err   error // the first one of writing
	found map[string]float64
	// works and ways are the workloads and their variants that are compared at a glance, in the
	// order in which they came.
	works, ways []string
}

func (d *document) print(format string, args ...any) {
	if _, err := fmt.Fprintf(d.out, format, args...); err != nil && d.err == nil {
		d.err = err
	}
}

// note remembers a value under the name by which marks ask for it.
func (d *document) note(value float64, name ...string) {
	if d.found == nil {
		d.found = map[string]float64{}
	}
	d.found[strings.Join(name, "/")] = value
}

func (d *document) machine(rounds int) {
	d.print("# What a read costs\n\n")
	d.print("%s, %d processors, %s/%s, %s, %s. Medians of %d slices of %v, all variants of a workload in turns in one process.\n",
		processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), time.Now().Format(time.DateOnly), rounds, sliceTime)
}

// processor returns the name of the machine's processor, where the system tells it.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "A processor that does not tell its name"
}

func (d *document) results(w workload.Workload, results []measure.Result) {
	d.print("\n## %s: %s\n\n", w.Name, w.About)
	d.print("| variant | time | of `%s` | lowest tenth | allocations | bytes |\n|---|--:|--:|--:|--:|--:|\n", w.Baseline)
	for _, r := range results {
		d.print("| %s | %s | %.3f | %s | %.0f | %.0f |\n", r.Name, duration(r.Median), r.Ratio, duration(r.Low), r.Allocs, r.Bytes)
		d.note(r.Ratio, w.Name, r.Name)
		d.note(r.Allocs, w.Name, r.Name, "allocations")
		if w.Baseline == glanced && !slices.Contains(d.ways, r.Name) {
			d.ways = append(d.ways, r.Name)
		}
	}
	if w.Baseline == glanced {
		d.works = append(d.works, w.Name)
	}
}

// glanced is the baseline of the workloads that are compared at a glance.
const glanced = "dryrun"

// glance writes one table of all workloads that have the same variants.
func (d *document) glance() {
	if len(d.works) == 0 {
		return
	}
	d.print("\n## At a glance, in multiples of `%s`\n\n| variant | %s |\n|---%s|\n", glanced, strings.Join(d.works, " | "), strings.Repeat("|--:", len(d.works)))
	for _, way := range d.ways {
		d.print("| %s ", way)
		for _, work := range d.works {
			d.print("| %.3g ", d.found[work+"/"+way])
		}
		d.print("|\n")
	}
}

func (d *document) figures(s workload.Study, figures []workload.Figure) {
	d.print("\n## %s: %s\n\n| what | measured |\n|---|--:|\n", s.Name, s.About)
	for _, f := range figures {
		d.print("| %s | %s |\n", f.Name, strings.TrimSpace(fmt.Sprintf("%.4g %s", f.Value, f.Unit)))
		d.note(f.Value, s.Name, f.Name)
	}
}

// duration writes nanoseconds with three digits.
func duration(ns float64) string {
	for _, unit := range []struct {
		name string
		ns   float64
	}{{"ms", 1e6}, {"µs", 1e3}} {
		if ns >= unit.ns {
			return fmt.Sprintf("%.3g %s", ns/unit.ns, unit.name)
		}
	}
	return fmt.Sprintf("%.3g ns", ns)
}

// mark is what the plugin is to reach.
type mark struct {
	work  string
	value string // as it was noted
	by    string // what it is divided by; "" for nothing
	limit float64
	least bool // it must be at least the limit, not at most
}

var marks = []mark{
	{work: "W1: of building the statement", value: "W1/preload", limit: .65},
	{work: "W1: allocations", value: "W1/preload/allocations", limit: 28},
	{work: "W1 prepared: of a cache-aside by hand with go-cache", value: "W1/prepared", by: "W1/aside-go-cache", limit: 1},
	{work: "W1, 2 goroutines: of 1", value: "W1-parallel/preload, 2 goroutines", limit: 1.7, least: true},
	{work: "W1, 32 goroutines: of 2", value: "W1-parallel/preload, 32 goroutines", by: "W1-parallel/preload, 2 goroutines", limit: 1, least: true},
	{work: "W2: of building the statement", value: "W2/preload", limit: .7},
	{work: "W3: of building the statement", value: "W3/preload", limit: 3},
	{work: "W4: of building the statement", value: "W4/preload", limit: .7},
	{work: "W5, a miss: of plain GORM", value: "W5-miss/preload", limit: 1.2},
	{work: "W5, not opted in: of plain GORM", value: "W5-bypass/preload", limit: 1.03},
	{work: "learning: throughput of hits, of that without", value: "learning/with the worker, of without", limit: .9, least: true},
	{work: "W7: hit ratio", value: "W7/hit ratio", limit: .95, least: true},
	{work: "W7: time of the processor, of plain GORM", value: "W7/time of the processor, of that of plain GORM", limit: .2},
	{work: "W7: stale reads", value: "W7/stale reads", limit: 0},
	{work: "W8: queries", value: "W8/queries", limit: 1},
	{work: "W9: an entry, of the bare struct", value: "W9/entry, of the bare struct", limit: 1.35},
	{work: "W9: `Bytes` of the heap, at most", value: "W9/`Stats().Bytes`, of the heap", limit: 1.15},
	{work: "W9: `Bytes` of the heap, at least", value: "W9/`Stats().Bytes`, of the heap", limit: .85, least: true},
	{work: "W11, 10,000 entries: of none", value: "W11/preload-10000", by: "W11/preload-none", limit: 1.15},
	{work: "W11, 10,000 entries: of plain GORM", value: "W11/preload-10000", limit: 1.2},
}

// marks writes how the plugin stands against the marks of which something was measured, and returns
// how many are missed.
func (d *document) marks() (missed int) {
	header := "\n## Marks\n\n| what | mark | measured | |\n|---|--:|--:|---|\n"
	for _, m := range marks {
		value, ok := d.found[m.value]
		if m.by != "" {
			by, known := d.found[m.by]
			value, ok = value/by, ok && known
		}
		if !ok {
			continue
		}
		met, sign := value <= m.limit, "at most"
		if m.least {
			met, sign = value >= m.limit, "at least"
		}
		word := "met"
		if !met {
			word = "missed"
			missed++
		}
		d.print("%s| %s | %s %g | %.3g | %s |\n", header, m.work, sign, m.limit, value, word)
		header = ""
	}
	return missed
}
