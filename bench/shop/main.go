// Command shop measures what the plugin does for a whole service: a web shop on GORM, asked by
// people who go from page to page. It prints three things for each database:
//
//   - what requests cost without the plugin, with it, and with it but WithoutWorker, in turns in one process;
//   - how much of what could have been served from memory was, by an oracle that knows each true answer (package oracle);
//   - what usual writes leave in memory (package survival).
//
// SQLite is always there; PostgreSQL is measured where -dsn or PRELOAD_TEST_POSTGRES tells its DSN,
// MySQL or MariaDB with -on mysql where -mysql or PRELOAD_TEST_MYSQL does. The figures are those of
// the whole process: the shop, the people, and SQLite are in it.
//
//	go run ./bench/shop
//	go run ./bench/shop -on sqlite -seconds 20 -rounds 10
package main

import (
	"cmp"
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
	"github.com/gorm-preload/preload/examples/shop/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		stop()
		os.Exit(1)
	}
}

// settings are what the flags say.
type settings struct {
	size     service.Size
	clients  int
	seed     uint64
	seconds  float64
	requests int
	rounds   int
	variants []variant
	watched  int
	survival bool
	picture  string
	progress io.Writer
}

// say tells how far it is.
func (s settings) say(format string, values ...any) {
	fmt.Fprintf(s.progress, format+"\n", values...)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s := settings{size: service.Usual, progress: stderr}
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dsn := flags.String("dsn", os.Getenv("PRELOAD_TEST_POSTGRES"), "the `DSN` of a PostgreSQL where schemas can be made")
	mysql := flags.String("mysql", os.Getenv("PRELOAD_TEST_MYSQL"), "the `DSN` of a MySQL or MariaDB where databases can be made")
	on := flags.String("on", "", "the `databases`, of sqlite, postgres and mysql, with commas between them (default sqlite, and postgres where its DSN is known)")
	plugin := flags.String("plugin", "off,worker-off,on", "the `variants` that take turns; what others are compared with is the first")
	flags.IntVar(&s.clients, "clients", 8, "how many people ask at a time")
	flags.Uint64Var(&s.seed, "seed", 1, "of all that is drawn")
	flags.Float64Var(&s.seconds, "seconds", 6, "how long each variant is measured on each database")
	flags.IntVar(&s.requests, "requests", 0, "how many requests each variant is measured with, instead of -seconds")
	flags.IntVar(&s.rounds, "rounds", 6, "in how many turns")
	flags.IntVar(&s.watched, "oracle", 3_000, "how many requests the oracle watches; 0 for no oracle")
	flags.BoolVar(&s.survival, "survival", true, "whether to measure what writes leave in memory")
	flags.StringVar(&s.picture, "picture", "", "the `file` to draw how long requests took in, as SVG")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("%q is no flag: see -help", flags.Arg(0))
	case s.clients < 1 || s.rounds < 1:
		return fmt.Errorf("-clients %d -rounds %d: want at least 1 of each", s.clients, s.rounds)
	case s.requests < 0 || s.watched < 0 || s.seconds <= 0:
		return fmt.Errorf("-requests %d -oracle %d -seconds %v: want none that is negative, and some seconds", s.requests, s.watched, s.seconds)
	}
	for _, name := range strings.Split(*plugin, ",") {
		v, ok := variants[name]
		if !ok {
			return fmt.Errorf("-plugin %s: %q is no variant: want off, worker-off, on or all", *plugin, name)
		}
		s.variants = append(s.variants, v)
	}
	dir, err := os.MkdirTemp("", "preload-shop")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	servers, err := choose(*on, dir, *dsn, *mysql)
	if err != nil {
		return err
	}
	r := &report{out: stdout}
	r.heading(s)
	for _, server := range servers {
		if err := measureOn(ctx, server, s, r); err != nil {
			return fmt.Errorf("on %s: %w", server.Dialect, err)
		}
	}
	if s.picture != "" {
		r.err = cmp.Or(r.err, r.drawTo(s.picture, s))
	}
	return r.err
}

// choose returns the databases to measure on, each of which was seen to answer.
func choose(on, dir, postgres, mysql string) (servers []database.Server, err error) {
	dsns := map[string]string{"postgres": postgres, "mysql": mysql}
	if on == "" {
		on = "sqlite"
		if postgres != "" {
			on += ",postgres"
		}
	}
	for _, dialect := range strings.Split(on, ",") {
		if slices.Contains([]string{"postgres", "mysql"}, dialect) && dsns[dialect] == "" {
			return nil, fmt.Errorf("-on %s: the DSN of %s is not known: want -dsn for postgres, -mysql for mysql", on, dialect)
		}
		server := database.Server{Dialect: dialect, DSN: dsns[dialect], Dir: dir}
		probe, err := server.New()
		if err != nil {
			return nil, err
		}
		if err := probe.Close(); err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// measureOn measures on one database server.
func measureOn(ctx context.Context, server database.Server, s settings, r *report) error {
	begun := time.Now()
	turns, err := takeTurns(ctx, server, s)
	if err != nil {
		return err
	}
	r.turns(server.Dialect, turns)
	if s.watched > 0 {
		for _, v := range s.variants {
			if v.options == nil {
				continue
			}
			w, err := watch(ctx, server, s, v)
			if err != nil {
				return err
			}
			r.oracle(server.Dialect, v, w)
		}
	}
	if s.survival {
		rows, err := survive(ctx, server, s)
		if err != nil {
			return err
		}
		r.survival(server.Dialect, rows)
	}
	s.say("%s: done after %v", server.Dialect, time.Since(begun).Round(time.Second))
	return r.err
}
