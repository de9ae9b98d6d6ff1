// Command live measures by the wall clock what loading ahead gives and costs: applications play on
// SQLite, PostgreSQL and MySQL or MariaDB, with the pools and the plugin as they are by default,
// without the worker and with it, in turns in one process. Beside what was measured stand the marks
// that it is to reach.
//
//   - chains: sessions of reads that follow each other
//   - pages: the pages of a shop
//   - trace: the accesses of an object-relational mapper
//   - chat: the chat events of examples/chat
//   - saturated: as many clients as it takes to use up the processors
//   - ending: what is learned stops being true, or loads fail
//
// PostgreSQL and MySQL take part where their DSNs are known. Figures are medians of the turns, and
// those of the whole process: the application, and SQLite, are in it. What is measured while others
// use the machine says little; the report tells where they did.
//
//	go run ./bench/live
//	go run ./bench/live -only chains,chat -on sqlite -for 60s
//	go run ./bench/live -only trace,pages -accesses-in FILE -transitions FILE
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/gorm-preload/preload/bench/database"
	"github.com/gorm-preload/preload/bench/tpcw"
	"github.com/gorm-preload/preload/bench/trace"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "live:", err)
		stop()
		os.Exit(1)
	}
}

// settings are what the flags say.
type settings struct {
	length   time.Duration // how long each variant of a scene is measured, in all its turns
	turns    int
	shop     tpcw.Size
	walk     tpcw.Transitions
	keys     []trace.Key
	progress io.Writer
}

// slice is how long a turn is.
func (s settings) slice() time.Duration { return s.length / time.Duration(s.turns) }

// amount is how much of what comes so often a second there is in all turns, with the one that does
// not count.
func (s settings) amount(second int) int {
	return int(s.slice().Seconds()*float64(s.turns+1)*float64(second)) + 1
}

// say tells how far it is.
func (s settings) say(format string, values ...any) {
	fmt.Fprintf(s.progress, format+"\n", values...)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s := settings{shop: tpcw.Usual, progress: stderr}
	flags := flag.NewFlagSet("live", flag.ContinueOnError)
	flags.SetOutput(stderr)
	postgres := flags.String("postgres", os.Getenv("PRELOAD_TEST_POSTGRES"), "the `DSN` of a PostgreSQL where schemas can be made")
	mysql := flags.String("mysql", os.Getenv("PRELOAD_TEST_MYSQL"), "the `DSN` of a MySQL or MariaDB where databases can be made")
	on := flags.String("on", "", "the `databases`, of sqlite, postgres and mysql, with commas between them (default all whose DSN is known)")
	only := flags.String("only", "", "the `studies`, with commas between them (default all)")
	flags.DurationVar(&s.length, "for", 20*time.Second, "how long each variant of a scene is measured; each phase of ending takes as long")
	flags.IntVar(&s.turns, "turns", 5, "in how many turns")
	accesses := flags.String("accesses-in", "", "the `file` of a trace: big-endian 32-bit keys, gzip (default: accesses that are made up)")
	transitions := flags.String("transitions", "", "the `file` of TPC-W's page transitions: mix,from,a probability for each page (default: those of a shop that is made up)")
	mix := flags.String("mix", "shopping", "the mix of that file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%q is no flag: see -help", flags.Arg(0))
	case s.turns < 1 || s.length <= 0:
		return fmt.Errorf("-turns %d -for %v: want at least one turn, and some time", s.turns, s.length)
	}
	walking, playing := "", ""
	if walking, s.walk, err = tpcw.OpenTransitions(*transitions, *mix); err != nil {
		return fmt.Errorf("-transitions: %w", err)
	}
	if playing, s.keys, err = trace.Open(*accesses, s.amount(paced)); err != nil {
		return fmt.Errorf("-accesses-in: %w", err)
	}
	chosen, err := choose(*only, s)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "preload-live")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	servers, err := serversOf(*on, dir, *postgres, *mysql)
	if err != nil {
		return err
	}
	r := &report{out: stdout}
	r.heading(s, walking, playing)
	for _, study := range chosen {
		r.study(study)
		for _, scene := range study.scenes {
			for _, server := range servers {
				if !scene.playsOn(server.Dialect) {
					continue
				}
				m, err := measureScene(ctx, s, server, study.name, scene)
				if err != nil {
					return fmt.Errorf("%s, %s, on %s: %w", study.name, scene.name, server.Dialect, err)
				}
				r.scene(server.Dialect, scene, m)
			}
		}
	}
	return r.end()
}

// choose returns the studies of these names, all without names.
func choose(names string, s settings) (chosen []study, err error) {
	all := studies(s)
	if names == "" {
		return all, nil
	}
	var known []string
	for _, one := range all {
		known = append(known, one.name)
	}
	for _, name := range strings.Split(names, ",") {
		i := slices.Index(known, strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("-only %s: %q is no study: want some of %s", names, name, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// serversOf returns the databases to measure on, each of which was seen to answer.
func serversOf(on, dir, postgres, mysql string) (servers []database.Server, err error) {
	all := []database.Server{
		{Dialect: "sqlite", Dir: dir},
		{Dialect: "postgres", DSN: postgres},
		{Dialect: "mysql", DSN: mysql},
	}
	if on == "" {
		on = "sqlite"
		for _, server := range all[1:] {
			if server.DSN != "" {
				on += "," + server.Dialect
			}
		}
	}
	for _, dialect := range strings.Split(on, ",") {
		i := slices.IndexFunc(all, func(server database.Server) bool { return server.Dialect == dialect })
		switch {
		case i < 0:
			return nil, fmt.Errorf("-on %s: %q is no database: want sqlite, postgres or mysql", on, dialect)
		case dialect != "sqlite" && all[i].DSN == "":
			return nil, fmt.Errorf("-on %s: the DSN of %s is not known: want -%s", on, dialect, dialect)
		}
		probe, err := all[i].New()
		if err != nil {
			return nil, err
		}
		if err := probe.Close(); err != nil {
			return nil, err
		}
		servers = append(servers, all[i])
	}
	return servers, nil
}
