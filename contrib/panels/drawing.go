package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
	"time"
)

// What a picture is made of, in pixels. A cell is one of the dashboard's grid, and keeps off its
// neighbours by half a gap.
const (
	cellWidth, cellHeight = 50, 30
	columns               = 24
	gapWidth              = 8
	headHeight            = 66
	margin                = 12 // within a panel
	fontSize              = 11
	letterWidth           = 6 // about as wide as a letter of that size is
)

// drawing is the dashboard with what it shows.
type drawing struct {
	title, about string
	views        []view
	marks        []mark
	begun        time.Time
}

// missing are the expressions that gave no data.
func (d *drawing) missing() (all []gap) {
	for _, v := range d.views {
		all = append(all, v.gaps...)
	}
	return all
}

// draw writes the picture, as SVG.
func (d *drawing) draw(b *bytes.Buffer) {
	rows := 0
	for _, v := range d.views {
		rows = max(rows, v.GridPos.Y+v.GridPos.H)
	}
	width, height := columns*cellWidth, headHeight+rows*cellHeight
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" font-family="sans-serif" font-size="%d">`+"\n",
		width, height, width, height, fontSize)
	fmt.Fprintf(b, "<title>%s</title>\n", html.EscapeString("The dashboard "+d.title+". "+d.about))
	b.WriteString(`<style>text{fill:#3c4043}.soft{fill:#6b7075}.title{font-size:12.5px;font-weight:bold}.grid{stroke:#e4e6e8}.mark{stroke:#9aa0a6;stroke-dasharray:3 3}.line{fill:none;stroke-width:1.4;stroke-linejoin:round}</style>` + "\n")
	b.WriteString(`<rect width="100%" height="100%" fill="#f1f2f4"/>` + "\n")
	fmt.Fprintf(b, `<text x="%d" y="24" font-size="18" font-weight="bold">%s</text>`+"\n", gapWidth, html.EscapeString(d.title))
	fmt.Fprintf(b, `<text x="%d" y="42" class="soft">%s</text>`+"\n", gapWidth, html.EscapeString(d.about))
	told := "At first nothing is in memory."
	for i, m := range d.marks {
		told += fmt.Sprintf("  %s After %.0f s %s.", numbers[i%len(numbers)], m.at.Sub(d.begun).Seconds(), m.what)
	}
	fmt.Fprintf(b, `<text x="%d" y="58" class="soft">%s</text>`+"\n", gapWidth, html.EscapeString(told))
	for _, v := range d.views {
		at := v.GridPos
		w, h := float64(at.W*cellWidth-gapWidth), float64(at.H*cellHeight-gapWidth)
		fmt.Fprintf(b, `<g transform="translate(%d %d)">`+"\n", at.X*cellWidth+gapWidth/2, headHeight+at.Y*cellHeight+gapWidth/2)
		fmt.Fprintf(b, `<rect width="%g" height="%g" rx="3" fill="#fff" stroke="#dcdee0"/><text x="%d" y="20" class="title">%s</text>`+"\n",
			w, h, margin, html.EscapeString(v.Title))
		switch {
		case len(v.lines) == 0:
			fmt.Fprintf(b, `<text x="%g" y="%g" text-anchor="middle" font-size="14" class="soft">no data</text>`+"\n", w/2, h/2+10)
			if !slices.ContainsFunc(v.gaps, func(g gap) bool { return !g.expected }) {
				fmt.Fprintf(b, `<text x="%g" y="%g" text-anchor="middle" class="soft">one process has no feed</text>`+"\n", w/2, h/2+28)
			}
		case v.Type == "stat":
			v.stat(b, w, h)
		default:
			v.chart(b, w, h, d)
		}
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
}

// numbers tell marks apart.
var numbers = []string{"①", "②", "③", "④", "⑤", "⑥"}

// named are the colors that a dashboard names.
var named = map[string]string{"green": "#2e8b57", "orange": "#d9730d", "red": "#c4162a", "blue": "#1f60c4", "text": "#3c4043"}

// color is that of a figure.
func (f field) color(value float64) string {
	name := "green"
	if f.Color.Mode == "fixed" {
		name = f.Color.FixedColor
	}
	for _, step := range f.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			name = step.Color
		}
	}
	if color, ok := named[name]; ok {
		return color
	}
	return name
}

// stat draws a figure: the last one of the first series, and below it how it came to that.
func (v view) stat(b *bytes.Buffer, w, h float64) {
	l := v.lines[0]
	color := l.field.color(l.last())
	top, bottom := h*.62, h-4
	s := scale{left: 0, right: w, top: top, bottom: bottom, steps: len(l.values)}
	s.fit(l.field, [][]float64{l.values})
	area(b, s, l.values, nil, color, .18)
	trace(b, s, l.values, color)
	fmt.Fprintf(b, `<text x="%g" y="%g" text-anchor="middle" font-size="28" font-weight="bold" style="fill:%s">%s</text>`+"\n",
		w/2, h*.56, color, html.EscapeString(units[l.field.Unit].write(l.last(), 3)))
}

// scale is where values are.
type scale struct {
	left, right, top, bottom float64
	steps                    int
	least, most              float64
}

func (s scale) x(step int) float64 {
	return s.left + (s.right-s.left)*float64(step)/float64(max(1, s.steps-1))
}
func (s scale) y(value float64) float64 {
	return s.bottom - (s.bottom-s.top)*(min(max(value, s.least), s.most)-s.least)/(s.most-s.least)
}

// fit has all values on the scale, and what the field says is its least and most.
func (s *scale) fit(f field, all [][]float64) {
	s.least, s.most = math.Inf(1), math.Inf(-1)
	for _, values := range all {
		for _, value := range values {
			if !math.IsNaN(value) {
				s.least, s.most = min(s.least, value), max(s.most, value)
			}
		}
	}
	if f.Min != nil {
		s.least = *f.Min
	}
	if f.Max != nil {
		s.most = *f.Max
	}
	if !(s.most > s.least) {
		s.most = s.least + 1
	}
}

// trace draws a line, with gaps where values are missing.
func trace(b *bytes.Buffer, s scale, values []float64, color string) {
	fmt.Fprintf(b, `<path class="line" stroke="%s" d="`, color)
	for from := 0; from < len(values); from++ {
		to := from
		for to < len(values) && !math.IsNaN(values[to]) {
			to++
		}
		if to > from {
			b.WriteByte('M')
			along(b, s, values, from, to)
			if to == from+1 {
				b.WriteString("h1.5") // a point
			}
		}
		from = to
	}
	b.WriteString("\"/>\n")
}

// area fills what is between two lines, the lower of which may be nil for the bottom. Values that
// are missing are as low as can be.
func area(b *bytes.Buffer, s scale, values, lower []float64, color string, opacity float64) {
	fmt.Fprintf(b, `<path fill="%s" fill-opacity="%g" d="M`, color, opacity)
	along(b, s, values, 0, len(values))
	if lower == nil {
		fmt.Fprintf(b, "V%.1fH%.1f", s.bottom, s.left)
	} else {
		b.WriteByte('L')
		along(b, s, lower, len(values), 0)
	}
	b.WriteString("Z\"/>\n")
}

// along writes the points of a line from one step to another, which may be before it. Of those that
// are as high as both of their neighbours nothing is written.
func along(b *bytes.Buffer, s scale, values []float64, from, to int) {
	var steps []int
	for i := from; i < to; i++ {
		steps = append(steps, i)
	}
	for i := from - 1; i >= to; i-- {
		steps = append(steps, i)
	}
	height := func(i int) string {
		value := values[steps[i]]
		if math.IsNaN(value) {
			value = s.least
		}
		return fmt.Sprintf("%.1f", s.y(value))
	}
	for i := range steps {
		y := height(i)
		if i > 0 && i < len(steps)-1 && height(i-1) == y && height(i+1) == y {
			continue
		}
		fmt.Fprintf(b, "%.1f %s ", s.x(steps[i]), y)
	}
}
