// Command chat plays the same chat events against a database twice, without and with the preload
// plugin, and prints what each cost side by side. From the root of the project:
//
//	go run ./examples/chat
//
// It makes a SQLite database in a temporary folder. With -dsn it works in another SQLite file, or
// in a PostgreSQL database, there in a schema of its own that it drops at the end. With -warm the
// plugin begins with what was hottest in the run before, which the file remembers.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/examples/chat/scenario"
	"github.com/gorm-preload/preload/examples/internal/command"
	"gorm.io/gorm"
)

func main() { command.Main("chat", program) }

// settings are what the flags say.
type settings struct {
	scenario.Size
	events, workers int
	dsn             string
	warm            string

	// meddle is called before each event of the run with the plugin. Tests use it to write behind
	// the plugin's back.
	meddle func(plain *gorm.DB, event int)
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	flags.IntVar(&s.events, "events", 3_000, "chat events to play in each run")
	flags.IntVar(&s.Users, "users", 2_000, "users who may write")
	flags.IntVar(&s.Streams, "streams", 200, "conversations they may write in")
	flags.IntVar(&s.workers, "workers", 1, "event loops that run at a time")
	flags.Uint64Var(&s.Seed, "seed", 1, "what the data and the events are drawn from; equal seeds give equal ones")
	flags.StringVar(&s.dsn, "dsn", "", "a SQLite file, kept afterwards, or a postgres:// URL (default: a temporary SQLite file)")
	flags.StringVar(&s.warm, "warm", "", "a file in which the hottest keys outlive the program: they are loaded from it at first, if it is there, and saved to it at last")
	if err := command.Parse(flags, args, stderr); err != nil {
		return s, err
	}
	return s, cmp.Or(
		command.Positive("events", s.events),
		command.Positive("users", s.Users),
		command.Positive("streams", s.Streams),
		command.Positive("workers", s.workers),
	)
}

func program(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	return play(ctx, s, stdout, stderr)
}

// play makes both runs and prints the comparison.
func play(ctx context.Context, s settings, stdout, stderr io.Writer) (err error) {
	base, err := open(ctx, s)
	if err != nil {
		return err
	}
	defer func() {
		if closing := base.close(); err == nil && closing != nil {
			err = fmt.Errorf("cleaning up: %w", closing)
		}
	}()
	events := s.Events(s.events)
	fmt.Fprintf(stdout, "%d chat events by %d worker(s): %d users, %d conversations, seed %d, %s, %d CPUs\n\n",
		s.events, s.workers, s.Users, s.Streams, s.Seed, base.kind, runtime.GOMAXPROCS(0))

	without, err := base.run(ctx, s, events, nil, "without plugin", stderr)
	if err != nil {
		return err
	}
	// A few seconds is as often as the worker may look for hot answers to load; the run takes not
	// much longer. Each event changes two answers, which are to be loaded again before the next one
	// asks, for more keys than loaders are kept by default.
	plugin := preload.New(preload.WithInterval(5*time.Second), preload.WithConcurrency(loads), preload.WithMaxLoaders(10_000))
	defer plugin.Close()
	with, err := base.run(ctx, s, events, plugin, "with plugin", stderr)
	if err != nil {
		return err
	}
	if err := report(stdout, without, with); err != nil {
		return err
	}
	if s.warm != "" {
		if err := saveHot(plugin, s.warm); err != nil {
			return err
		}
	}
	return errors.Join(without.verdict("without plugin"), with.verdict("with plugin"))
}

// verdict is an error that names the first answers that were not those of the database.
func (r *result) verdict(run string) error {
	if r.mismatches == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d of %d compared answers are not those of the database: %s",
		run, r.mismatches, r.compared, strings.Join(r.examples, "; "))
}
