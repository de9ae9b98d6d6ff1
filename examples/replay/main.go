// Command replay plays a trace of the accesses of an ORM, as GORM queries through the preload
// plugin against SQLite, and prints what came from memory. From the root of the project:
//
//	go run ./examples/replay
//	go run ./examples/replay -trace FILE -entries 1000,5000
//	go run ./examples/replay -trace FILE -once 0.5
//
// Without -trace the accesses are made up (package invented): what comes of them says how the
// plugin works, and not what it is worth to an application.
//
// A trace is a row of big-endian 32-bit keys, compressed with gzip or not. A key is the type of an
// object (5 bits), its id (18 bits) and an index (9 bits), such as "the 3rd price of product 17".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/gorm-preload/preload/examples/internal/command"
	"github.com/gorm-preload/preload/examples/internal/latency"
	"github.com/gorm-preload/preload/examples/internal/table"
)

func main() { command.Main("replay", program) }

const (
	// attributed is the name of a file that has to be attributed.
	attributed  = "orm-busy-1m.trace.gz"
	attribution = "Traces: headissue GmbH, Jens Wilke, CC BY 4.0, via cache2k-benchmark / Caffeine"
)

// settings are what the flags say.
type settings struct {
	trace   string
	entries []int
	limit   int
	worker  bool
	once    float64

	// meddle is called before each access. Tests use it to write behind the plugin's back.
	meddle func(d *database, access int)
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	flags.StringVar(&s.trace, "trace", "", "the file of the trace (default: accesses that are made up)")
	entries := flags.String("entries", "1000", "how many answers the plugin may keep; several, with commas between them, are run one after the other")
	flags.IntVar(&s.limit, "limit", 0, "play only so many accesses from the beginning (default: all)")
	flags.BoolVar(&s.worker, "worker", false, "let the plugin load in the background, too")
	flags.Float64Var(&s.once, "once", 0, "play as many further accesses, to objects that are asked for once, as make up this share of all; ratios are of the others")
	if err := command.Parse(flags, args, stderr); err != nil {
		return s, err
	}
	if !(s.once >= 0 && s.once < 1) {
		return s, command.Refuse("-once %v: want a share from 0 to less than 1", s.once)
	}
	if s.limit < 0 {
		return s, command.Refuse("-limit %d: want a positive number, or 0 for all accesses", s.limit)
	}
	for _, field := range strings.Split(*entries, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n <= 0 {
			return s, command.Refuse("-entries %q: want positive numbers with commas between them", *entries)
		}
		s.entries = append(s.entries, n)
	}
	return s, nil
}

func program(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	return replay(ctx, s, stdout, stderr)
}

func replay(ctx context.Context, s settings, stdout, stderr io.Writer) (err error) {
	name, trace, err := open(s.trace, s.limit)
	if err != nil {
		return err
	}
	of := len(trace)
	trace = trace.amongOnce(s.once)
	once := len(trace) - of
	distinct := trace.distinct()
	d, err := newDatabase(ctx, distinct, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	fmt.Fprintf(stdout, "%s: %d accesses to %d objects\n", name, of, len(distinct)-once)
	if once > 0 {
		fmt.Fprintf(stdout, "and among them %d accesses to objects that are asked for once; ratios are of the others\n", once)
	}
	if name == attributed {
		fmt.Fprintln(stdout, attribution)
	}
	fmt.Fprintln(stdout)

	var (
		results table.Table
		wrong   []error
	)
	results.Row("entries", "hit ratio", "LRU", "hits", "misses", "not cacheable", "queries", "p50", "p99",
		"in background", "used", "mismatches")
	for _, entries := range s.entries {
		r, err := d.run(ctx, s, trace, entries, stderr)
		if err != nil {
			return err
		}
		results.Row(entries, fmt.Sprintf("%.4f", r.ratio(once)), fmt.Sprintf("%.4f", lru(trace, entries)*float64(len(trace))/float64(of)),
			r.stats.Hits, r.stats.Misses, r.stats.Bypassed, r.queries,
			latency.Format(r.took.Percentile(50)), latency.Format(r.took.Percentile(99)),
			r.stats.PreloadCount, r.stats.PreloadHits, r.mismatches)
		if r.mismatches > 0 {
			wrong = append(wrong, fmt.Errorf("%d entries: %d wrong answers: %s", entries, r.mismatches, strings.Join(r.examples, "; ")))
		}
	}
	if err := results.Print(stdout); err != nil {
		return err
	}
	fmt.Fprint(stdout, "\nLRU is what a plain cache of that size would have reached, by simulation. Queries were counted underneath the\n"+
		"plugin. Each answer was compared with what its key must give.\n")
	return errors.Join(wrong...)
}
