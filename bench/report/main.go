// Command report measures every workload, the variants of one in turns, and writes a Markdown
// document: the machine, a table for each workload, and how the plugin stands against its marks.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/gorm-preload/preload/bench/measure"
	"github.com/gorm-preload/preload/bench/workload"
)

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// sliceTime is how long a variant has before it is the next one's turn.
const sliceTime = time.Millisecond

func run(args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", 300, "how many turns each variant has, of about a millisecond")
	only := flags.String("only", "", "the workloads to measure, as in W1,W3 (default all)")
	output := flags.String("o", "", "the file to write to (default standard output)")
	strict := flags.Bool("strict", false, "fail if a mark is missed")
	dsn := flags.String("postgres", os.Getenv("PRELOAD_TEST_POSTGRES"), "the DSN of a PostgreSQL to compare with (default $PRELOAD_TEST_POSTGRES, or none)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%q is no flag: want -rounds, -only, -o, -strict or -postgres", flags.Arg(0))
	case *rounds < 1:
		return fmt.Errorf("-rounds %d: want at least 1", *rounds)
	}
	var names []string
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	out := stdout
	if *output != "" {
		file, err := os.Create(*output)
		if err != nil {
			return fmt.Errorf("-o: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = file
	}
	// What is interrupted leaves no databases behind.
	dir, err := os.MkdirTemp("", "preload-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	defer signal.Stop(interrupted)

	doc := &document{out: out}
	doc.machine(*rounds)
	for i, c := range chosen {
		show := func(done, of int) {
			fmt.Fprintf(stderr, "\r\033[K%d/%d %s %d %%", i+1, len(chosen), c.name, 100*done/max(1, of))
		}
		if err := measureOne(doc, c, &workload.Place{Dir: dir, Postgres: *dsn}, *rounds, show, interrupted); err != nil {
			fmt.Fprintln(stderr)
			return err
		}
	}
	fmt.Fprintf(stderr, "\r\033[K")
	doc.glance()
	missed := doc.marks()
	if doc.err != nil {
		return doc.err
	}
	if *strict && missed > 0 {
		return fmt.Errorf("%d marks are missed", missed)
	}
	return nil
}

// choice is a workload or a study.
type choice struct {
	name     string
	workload *workload.Workload
	study    *workload.Study
}

func choose(names []string) ([]choice, error) {
	var all []choice
	for _, w := range workload.All() {
		all = append(all, choice{name: w.Name, workload: &w})
	}
	for _, s := range workload.Studies() {
		all = append(all, choice{name: s.Name, study: &s})
	}
	return workload.Select(all, func(c choice) string { return c.name }, names)
}

var errInterrupted = errors.New("interrupted")

func measureOne(doc *document, c choice, place *workload.Place, rounds int, show func(done, of int), interrupted <-chan os.Signal) error {
	defer place.Close()
	show(0, rounds)
	if c.study != nil {
		figures, err := c.study.Run(place, rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		doc.figures(*c.study, figures)
		return nil
	}
	variants, err := c.workload.Open(place)
	if err != nil {
		return err
	}
	measured := make([]measure.Variant, len(variants))
	stopped := false
	for i, v := range variants {
		measured[i] = v.Measured()
		run := measured[i].Run
		measured[i].Run = func(from, n int) error {
			if stopped {
				return errInterrupted
			}
			return run(from, n)
		}
	}
	results, err := measure.Interleave(measured, measure.Options{
		Rounds: rounds, Slice: sliceTime, Warmup: c.workload.Warmup, Baseline: c.workload.Baseline,
		Progress: func(done int) {
			select {
			case <-interrupted:
				stopped = true
			default:
			}
			show(done, rounds)
		},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	doc.results(*c.workload, results)
	return nil
}
