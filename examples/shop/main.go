// Command shop is a web shop on GORM for as long as 20 seconds: half of the time without the preload
// plugin, half with it, in turns of a second, on one screen. Three scenes follow: a rename that the
// next read shows, a rollback that nobody saw, and an order that invalidated one of 10,000 answers:
// the one that Explain foretold.
// From the root of the project:
//
//	go run ./examples/shop
//	go run ./examples/shop -dsn postgres://postgres@127.0.0.1:5432/postgres
//	go run ./examples/shop -page 127.0.0.1:6060
//
// While the shop is open, the page of package debug is at the address that is printed: at a free
// port of the loopback address, or at that of -page; with -page "" there is none.
//
// It makes SQLite databases in a temporary folder, or schemas of its own in PostgreSQL, and drops
// them. Answers are compared with those of plain GORM at the end of each turn. The exit status is 1
// where one differs, where the order invalidated others than Explain foretold, and where the shop is
// slower with the plugin.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/gorm-preload/preload/debug"
	"github.com/gorm-preload/preload/examples/internal/command"
	"github.com/gorm-preload/preload/examples/shop/service"
)

func main() { command.Main("shop", program) }

// settings are what the flags say.
type settings struct {
	size             service.Size
	seconds, clients int
	seed             uint64
	dsn              string
	page             string // the address of the page of package debug; "" for none

	// meddle is called before answers are compared. Tests use it to write behind the plugin's back.
	meddle func(*stand)
	// answers is how many answers the last scene has in memory.
	answers int
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{size: service.Usual, answers: 10_000}
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	flags.IntVar(&s.seconds, "seconds", 20, "how long the shop is open, half of it without the plugin")
	flags.IntVar(&s.clients, "clients", 4, "how many people ask at a time")
	flags.Uint64Var(&s.seed, "seed", 1, "what people ask is drawn from it")
	flags.StringVar(&s.dsn, "dsn", "", "a postgres:// URL (default: SQLite in a temporary folder)")
	flags.StringVar(&s.page, "page", "127.0.0.1:0", "serve the page of package debug at this `address` while the shop is open; port 0 is a free one, an empty address is no page")
	if err := command.Parse(flags, args, stderr); err != nil {
		return s, err
	}
	return s, cmp.Or(command.Positive("seconds", s.seconds), command.Positive("clients", s.clients))
}

func program(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	return open(ctx, s, stdout, stderr)
}

// open opens the shop twice, without the plugin and with it, and shows what comes of it.
func open(ctx context.Context, s settings, stdout, stderr io.Writer) (err error) {
	var listener net.Listener
	if s.page != "" {
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.page); err != nil {
			return command.Refuse("-page: want an address to serve the page at, or an empty one for no page: %w", err)
		}
		defer func() { _ = listener.Close() }()
	}
	fmt.Fprintln(stderr, "filling two shops ...")
	var stands []*stand
	for _, plugin := range []bool{false, true} {
		one, failed := newStand(ctx, s, plugin)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, one.close()) }()
		stands = append(stands, one)
	}
	without, with := stands[0], stands[1]
	if listener != nil {
		server := &http.Server{Handler: debug.NewHandler(with.plugin), ReadHeaderTimeout: time.Second}
		defer func() { _ = server.Close() }()
		go func() { _ = server.Serve(listener) }() // until it is closed
		fmt.Fprintf(stderr, "the page of the plugin is at http://%s, while the shop is open\n", listener.Addr())
	}
	fmt.Fprintf(stdout, "%d products, %d users, %d people at a time, %s, %d CPUs, seed %d\n\n",
		s.size.Products, s.size.Users, s.clients, with.kind, runtime.GOMAXPROCS(0), s.seed)
	var c comparison
	show := newScreen(stdout)
	for turn := range max(1, s.seconds/2) {
		for i := range stands {
			one := stands[(turn+i)%2]
			if err := one.turn(ctx, s, uint64(turn), time.Second); err != nil {
				return err
			}
			if s.meddle != nil && one == with {
				s.meddle(one)
			}
			if err := c.pages(ctx, s, one, uint64(turn)); err != nil {
				return err
			}
			if err := show.draw(without, with); err != nil {
				return err
			}
		}
	}
	if err := show.last(without, with); err != nil {
		return err
	}
	if err := play(ctx, s, with, &c, stdout); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\n%d answers compared, %d differ\n", c.compared, c.differ)
	return errors.Join(c.verdict(), slower(without, with))
}

// slower is an error if the shop was slower with the plugin.
func slower(without, with *stand) error {
	if without.rate() <= with.rate() {
		return nil
	}
	return fmt.Errorf("it is slower with the plugin: %.0f requests a second, %.0f without", with.rate(), without.rate())
}
