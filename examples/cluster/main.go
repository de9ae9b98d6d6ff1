// Command cluster starts four processes of a small service on one database. One of them changes
// prices, the others read them from memory: first without a feed, so that each knows of its own
// writes only, then with each kind of feed. It prints how many reads were stale, how long it took
// until a change was seen, and what a write cost. From the root of the project:
//
//	go run ./examples/cluster
//	go run ./examples/cluster -dsn postgres://postgres@127.0.0.1:5432/postgres -redis 127.0.0.1:6379
//
// Without -dsn the processes share a file of SQLite, without -redis a Redis that the program has in
// itself. It takes about 20 seconds. A read is stale that began after a write had returned, and
// shows what was there before. The exit status is 1 where one was with the strict feed.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gorm-preload/preload/examples/internal/command"
	"github.com/gorm-preload/preload/examples/internal/table"
)

func main() {
	if begun, err := beProcess(); begun {
		if err != nil {
			fmt.Fprintln(os.Stderr, "cluster: a process:", err)
			os.Exit(command.Failed)
		}
		return
	}
	command.Main("cluster", program)
}

// settings are what the flags say.
type settings struct {
	seconds, processes int
	dsn, redis         string

	// after changes what the processes saw. Tests use it.
	after func(*outcome)
}

func parse(args []string, stderr io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.IntVar(&s.seconds, "seconds", 15, "how long the processes read and write, a third of it each time")
	flags.IntVar(&s.processes, "processes", 4, "how many processes there are, one of which writes")
	flags.StringVar(&s.dsn, "dsn", "", "a postgres:// URL (default: a file of SQLite in a temporary folder)")
	flags.StringVar(&s.redis, "redis", "", "the address of a Redis, such as 127.0.0.1:6379 (default: one in this program)")
	if err := command.Parse(flags, args, stderr); err != nil {
		return s, err
	}
	if s.processes < 2 {
		return s, command.Refuse("-processes %d: want 2 at least", s.processes)
	}
	return s, command.Positive("seconds", s.seconds)
}

func program(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	return run(ctx, s, stdout, stderr)
}

// kinds are how the processes are connected, in turn.
var kinds = []string{noFeed, bounded, strict}

func run(ctx context.Context, s settings, stdout, stderr io.Writer) (err error) {
	at, err := open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.close()) }()
	fmt.Fprintf(stdout, "%d processes, one of which writes; %s and %s.\n\n", s.processes, at.database, at.broker)
	var all []outcome
	for _, kind := range kinds {
		o, err := at.round(ctx, s, kind, stderr)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		all = append(all, o)
	}
	if err := show(all, stdout); err != nil {
		return err
	}
	if last := all[len(all)-1]; last.stale > 0 {
		return fmt.Errorf("%d of %d reads with the strict feed were stale", last.stale, last.reads)
	}
	return nil
}

// show prints what became of it.
func show(all []outcome, stdout io.Writer) error {
	var t table.Table
	row := func(label string, cell func(o *outcome) string) {
		cells := []any{label}
		for i := range all {
			cells = append(cells, cell(&all[i]))
		}
		t.Row(cells...)
	}
	row("", func(o *outcome) string { return o.kind })
	row("reads", func(o *outcome) string { return fmt.Sprint(o.reads) })
	row("of these from memory", func(o *outcome) string { return share(o.hits, o.hits+o.misses) })
	row("stale reads", func(o *outcome) string { return fmt.Sprint(o.stale) })
	row("the same as a share", func(o *outcome) string { return share(o.stale, o.reads) })
	row("a change is seen after (half of them)", func(o *outcome) string { return short(quantile(o.delays, 0.5)) })
	row("a change is seen after (99 of 100)", func(o *outcome) string { return short(quantile(o.delays, 0.99)) })
	row("writes", func(o *outcome) string { return fmt.Sprint(len(o.writes)) })
	row("a write takes (half of them)", func(o *outcome) string { return short(quantile(o.writes, 0.5)) })
	row("more than without a feed", func(o *outcome) string {
		return short(max(0, quantile(o.writes, 0.5)-quantile(all[0].writes, 0.5)))
	})
	if err := t.Print(stdout); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "\nAnswers are kept for %v: that bounds how stale they are without a feed. The bounded feed allows %v,\nthe strict one nothing.\n", ttl, bound)
	return err
}

func share(n, of int64) string { return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(max(1, of))) }

func short(d time.Duration) string {
	return cmp.Or(d.Round(10*time.Microsecond), d).String()
}
