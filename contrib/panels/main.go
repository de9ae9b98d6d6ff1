// Command panels draws the dashboard of contrib/grafana as it shows a real run, without Grafana and
// Prometheus: a web shop is open for a minute with the plugin, on a SQLite database in a temporary
// folder, the collector is scraped each second, and each expression of the dashboard is evaluated
// on that by Prometheus's engine, with what Grafana puts in for its variables. From the root of the
// project:
//
//	go run ./contrib/panels -o dashboard.svg
//
// At first nothing is in memory. Then a table is held out, everything is invalidated, and the
// plugin is off for a while; the picture says when. The exit status is 1 where an expression gives
// no data that gives some in such a run; the picture is drawn nevertheless.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/gorm-preload/preload/contrib/grafana"
	"github.com/gorm-preload/preload/examples/shop/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "panels:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	s := settings{size: service.Usual, now: time.Now}
	flags := flag.NewFlagSet("panels", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("o", "dashboard.svg", "the `file` to draw the dashboard in")
	flags.DurationVar(&s.most, "for", time.Minute, "how long the shop is open")
	flags.DurationVar(&s.every, "every", time.Second, "how much time lies between two scrapes")
	flags.IntVar(&s.people, "people", 4, "how many people ask at a time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%q is no flag: see -help", flags.Arg(0))
	case s.people < 1 || s.every < time.Millisecond || s.most < 10*s.every:
		return fmt.Errorf("-people %d -every %s -for %s: want somebody, a millisecond, and the time for 10 scrapes at least", s.people, s.every, s.most)
	}
	board, err := parse(grafana.Dashboard)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "the shop is open for %s ...\n", s.most)
	pic, err := picture(ctx, s, board)
	if err != nil {
		return err
	}
	pic.about = fmt.Sprintf("A web shop (examples/shop) on SQLite for %.0f seconds, %d people who ask without a pause, default options and WithVerify; %d CPUs, %s, %s.",
		s.most.Seconds(), s.people, runtime.GOMAXPROCS(0), runtime.Version(), time.Now().Format(time.DateOnly))
	var text bytes.Buffer
	pic.draw(&text)
	missing := pic.missing()
	for _, m := range missing {
		fmt.Fprintln(stderr, "no data:", m)
	}
	return cmp.Or(os.WriteFile(*out, text.Bytes(), 0o644), unexpected(missing))
}

// picture has the shop open for a while, and asks what the dashboard asks.
func picture(ctx context.Context, s settings, board *dashboard) (_ *drawing, err error) {
	dir, err := os.MkdirTemp("", "preload-panels-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	kept := newSeries()
	marks, err := trade(ctx, s, dir, kept)
	if err != nil {
		return nil, err
	}
	views, err := board.ask(ctx, kept, s.every)
	if err != nil {
		return nil, err
	}
	return &drawing{title: board.Title, views: views, marks: marks, begun: kept.first}, nil
}

// gap is an expression that gave no data.
type gap struct {
	panel, expr string
	expected    bool
}

func (g gap) String() string {
	if g.expected {
		return fmt.Sprintf("%s: %s (as expected)", g.panel, g.expr)
	}
	return fmt.Sprintf("%s: %s", g.panel, g.expr)
}

// unexpected is an error where one of the gaps was not expected.
func unexpected(gaps []gap) error {
	var names []string
	for _, g := range gaps {
		if !g.expected {
			names = append(names, fmt.Sprintf("%q", g.panel))
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("%s: want some data, and there is none", strings.Join(names, ", "))
}
