package main

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// What a picture is made of, in pixels.
const (
	panelWidth, panelHeight = 420, 230
	plotLeft, plotTop       = 52, 34
	plotWidth, plotHeight   = 340, 130
)

// colors are those of the variants, in their order; they are told apart without color, too, by
// their dashes.
var (
	colors = []string{"#8a5a00", "#1f77b4", "#0b6e4f"}
	dashes = []string{"6 3", "2 3", "none"}
)

// panel is what one database shows.
type panel struct {
	dialect string
	courses []*course
}

// draw writes a picture, as SVG: for each database how long the requests of each variant took, as
// the share of requests that took at most so long.
func draw(w io.Writer, panels []panel, title string) error {
	var b strings.Builder
	width, height := panelWidth*len(panels), panelHeight+24
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="sans-serif" font-size="11">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", html.EscapeString(title))
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%d 0)">`+"\n", i*panelWidth)
		p.draw(&b)
		b.WriteString("</g>\n")
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#555">%s</text>`+"\n</svg>\n", plotLeft, height-8, html.EscapeString(title))
	_, err := io.WriteString(w, b.String())
	return err
}

func (p panel) draw(b *strings.Builder) {
	// The axis has a decade for each power of ten that a request took, but for one of a hundred.
	least, most := math.Inf(1), math.Inf(-1)
	for _, c := range p.courses {
		least = min(least, decade(c.Quantile("", .01)))
		most = max(most, decade(c.Quantile("", .99)))
	}
	least, most = math.Floor(least), max(math.Ceil(most), math.Floor(least)+1)
	x := func(d time.Duration) float64 {
		return plotLeft + plotWidth*min(1, max(0, (decade(d)-least)/(most-least)))
	}
	y := func(share float64) float64 { return plotTop + plotHeight*(1-share) }
	fmt.Fprintf(b, `<text x="%d" y="18" font-size="13" font-weight="bold">%s: share of the requests that took at most so long</text>`+"\n", plotLeft, html.EscapeString(p.dialect))
	for at := least; at <= most; at++ {
		d := time.Duration(math.Round(math.Pow(10, at)))
		fmt.Fprintf(b, `<path d="M%.1f %d V%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x(d), plotTop, plotTop+plotHeight, x(d), plotTop+plotHeight+14, d)
	}
	for _, share := range []float64{0, .5, 1} {
		fmt.Fprintf(b, `<path d="M%d %.1f h%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f %%</text>`+"\n",
			plotLeft, y(share), plotWidth, plotLeft-6, y(share)+4, 100*share)
	}
	for i, c := range p.courses {
		color, dash := colors[i%len(colors)], dashes[i%len(dashes)]
		b.WriteString(`<path fill="none" stroke-width="2" stroke="` + color + `" stroke-dasharray="` + dash + `" d="`)
		step := 'M'
		for q := 1; q < 100; q++ {
			fmt.Fprintf(b, "%c%.1f %.1f ", step, x(c.Quantile("", float64(q)/100)), y(float64(q)/100))
			step = 'L'
		}
		b.WriteString("\"/>\n")
		row := plotTop + plotHeight + 32 + 14*i
		fmt.Fprintf(b, `<path d="M%d %d h24" stroke-width="2" stroke="%s" stroke-dasharray="%s"/><text x="%d" y="%d">%s: %.0f requests a second, %.2f statements each, p50 %s</text>`+"\n",
			plotLeft, row-4, color, dash, plotLeft+30, row, html.EscapeString(c.name), c.speed(), per(float64(c.queries+c.execs), c.Requests), brief(c.Quantile("", .5)))
	}
}

// decade is the power of ten that a time is, in nanoseconds.
func decade(d time.Duration) float64 { return math.Log10(float64(max(1, d))) }
