package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gorm-preload/preload/examples/internal/latency"
	"github.com/gorm-preload/preload/examples/internal/table"
	"golang.org/x/term"
)

// screen shows both shops under each other, over and over where there is a terminal, and once where
// there is none.
type screen struct {
	out   io.Writer
	live  bool
	lines int // that were drawn last
}

func newScreen(out io.Writer) *screen {
	file, ok := out.(*os.File)
	return &screen{out: out, live: ok && term.IsTerminal(int(file.Fd()))}
}

func (sc *screen) draw(without, with *stand) error {
	if !sc.live {
		return nil
	}
	return sc.print(without, with)
}

// last draws the figures of all turns.
func (sc *screen) last(without, with *stand) error { return sc.print(without, with) }

func (sc *screen) print(without, with *stand) error {
	var (
		figures table.Table
		text    strings.Builder
	)
	figures.Row("", "requests a second", "p50", "p99", "queries a second", "hit rate", "loads used")
	for _, one := range []*stand{without, with} {
		name, rate, used := "without plugin", "", ""
		if one.plugin != nil {
			s := one.plugin.Stats()
			name, rate = "with plugin", fmt.Sprintf("%.1f %%", 100*float64(s.Hits)/float64(max(1, s.Hits+s.Misses)))
			used = fmt.Sprintf("%d of %d", s.PreloadHits, s.PreloadCount)
		}
		figures.Row(name, fmt.Sprintf("%.0f", one.rate()),
			latency.Format(one.load.Quantile("", 0.5)), latency.Format(one.load.Quantile("", 0.99)),
			fmt.Sprintf("%.0f", float64(one.queries)/max(one.load.Elapsed.Seconds(), 1e-9)), rate, used)
	}
	if err := figures.Print(&text); err != nil {
		return err
	}
	if sc.live && sc.lines > 0 {
		fmt.Fprintf(sc.out, "\x1b[%dA\x1b[J", sc.lines)
	}
	sc.lines = strings.Count(text.String(), "\n")
	_, err := io.WriteString(sc.out, text.String())
	return err
}
