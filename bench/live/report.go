package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"time"

	"github.com/gorm-preload/preload/bench/measure"
)

// report writes tables. The first error that there was in writing is kept.
type report struct {
	out   io.Writer
	err   error
	wrong error // the first answer that was not that of the database
}

func (r *report) line(format string, values ...any) {
	_, err := fmt.Fprintf(r.out, format+"\n", values...)
	r.err = cmp.Or(r.err, err)
}

func (r *report) end() error { return errors.Join(r.err, r.wrong) }

func (r *report) heading(s settings, walking, playing string) {
	r.line("# Loading ahead, by the wall clock\n")
	r.line("%s, %d processors, %s/%s, %s. Medians of %d turns of %v, all variants of a scene in turns in one process, after one that does not count.",
		runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, time.Now().Format(time.DateOnly), s.turns, s.slice())
	r.line("What is compared is the variants of each turn. Page transitions: %s. Trace: %s. CPU is that of the process.", walking, playing)
	r.line("A load by association counts as used, too, where its reader came while it ran, or before it had begun.")
}

func (r *report) study(s study) { r.line("\n## %s: %s", s.name, s.about) }

func (r *report) scene(dialect string, c scene, m *measured) {
	r.line("\n### %s, %s\n", c.name, dialect)
	switch {
	case !m.known:
		r.line("Whether the machine was quiet is not known.\n")
	case m.busy > measure.Quiet:
		r.line("The machine was busy: %.0f %% of its processors' time was used before.\n", 100*m.busy)
	default:
		r.line("The machine was quiet: %.0f %% of its processors' time was used before.\n", 100*m.busy)
	}
	heads, rule := []string{"figure"}, "|---|"
	for _, v := range c.variants {
		heads, rule = append(heads, v.name), rule+"--:|"
	}
	r.line("| %s | mark | measured | |", strings.Join(heads, " | "))
	r.line("%s---|--:|---|", rule)
	for _, name := range m.names {
		cells := []string{name}
		for _, v := range c.variants {
			value, ok := m.median(v.name, name)
			cells = append(cells, number(value, m.units[name], ok))
		}
		marked := false
		for _, k := range c.marks {
			if k.figure == name {
				r.line("| %s | %s |", strings.Join(cells, " | "), k.verdict(m))
				cells, marked = append([]string{""}, make([]string, len(c.variants))...), true
			}
		}
		if !marked {
			r.line("| %s | | | |", strings.Join(cells, " | "))
		}
	}
	for _, k := range c.marks {
		if _, ok := m.units[k.figure]; !ok {
			r.line("| %s |%s %s |", k.figure, strings.Repeat(" |", len(c.variants)), k.verdict(m))
		}
	}
	for _, one := range m.stands {
		for _, text := range append(one.wrong, one.logged...) {
			r.line("\n%s: %s", one.name, text)
		}
		if one.faults > 0 && r.wrong == nil {
			r.wrong = fmt.Errorf("%s, %s, %s: %d answers are wrong, such as %s", c.name, dialect, one.name, one.faults, one.wrong[0])
		}
	}
}

// verdict says what the mark is, what was measured, and whether that reaches it.
func (k mark) verdict(m *measured) string {
	text := k.String()
	switch k.how {
	case ratio:
		text += " of " + k.to
	case further:
		text += " more than " + k.to
	}
	value, ok := m.compared(k)
	if !ok {
		return text + " | | not measured"
	}
	return fmt.Sprintf("%s | %s | %s", text, number(value, "", true), k.Verdict(value))
}

func number(value float64, unit string, ok bool) string {
	switch {
	case !ok:
		return ""
	case math.IsInf(value, 1):
		return "never"
	case value >= 1_000:
		return strings.TrimSpace(fmt.Sprintf("%.0f %s", value, unit))
	}
	return strings.TrimSpace(fmt.Sprintf("%.4g %s", value, unit))
}
