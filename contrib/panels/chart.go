package main

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"unicode/utf8"
)

// What a chart is made of, in pixels.
const (
	chartTop   = 38 // of the plot, below the title and what marks are called
	axisWidth  = 66
	axisHeight = 18
	rowHeight  = 15
	maxRows    = 4 // of a legend
	swatch     = 16
)

// palette are the colors of lines, in their order.
var palette = []string{
	"#2e8b57", "#d9730d", "#1f60c4", "#c4162a", "#7d4fb3", "#b8860b", "#0e8a9c", "#c2408f", "#6b7f1e", "#5c6670",
	"#73bf8a", "#f2a65a", "#7aa6ec", "#e58a94", "#b89ae0", "#dcc05f", "#6fc3cf", "#e39ac6", "#a9b86a", "#a7afb7",
}

// chart draws lines over time, with axes and a legend.
func (v view) chart(b *bytes.Buffer, w, h float64, d *drawing) {
	rows, more := v.legend(w - 2*margin)
	s := scale{left: axisWidth, right: w - 2*margin, top: chartTop, bottom: h - axisHeight - float64(len(rows)*rowHeight) - 6, steps: len(v.lines[0].values)}
	heights := v.heights()
	both := slices.ContainsFunc(v.lines, line.right) && slices.ContainsFunc(v.lines, line.left)
	if both {
		s.right = w - axisWidth
	}
	scales := map[bool]scale{} // by whether it is the right one
	for i, l := range v.lines {
		if _, ok := scales[l.right()]; ok {
			continue
		}
		var values [][]float64
		for j := i; j < len(v.lines); j++ {
			if v.lines[j].right() == l.right() {
				values = append(values, heights[j])
			}
		}
		of := s
		of.axis(b, l.field, values, both && l.right())
		scales[l.right()] = of
	}
	v.times(b, s, d)
	for i := range v.lines {
		l, of := v.lines[i], scales[v.lines[i].right()]
		color := palette[i%len(palette)]
		if opacity := l.field.Custom.FillOpacity; opacity > 0 {
			var lower []float64
			if v.stacked() && i > 0 {
				lower = heights[i-1]
			}
			area(b, of, heights[i], lower, color, opacity/100)
		}
		shown := heights[i]
		if v.stacked() {
			shown = slices.Clone(shown)
			for at, value := range l.values {
				if math.IsNaN(value) || value == 0 { // it would hide the line that it lies upon
					shown[at] = math.NaN()
				}
			}
		}
		trace(b, of, shown, color)
	}
	y := h - float64(len(rows)*rowHeight) + 5
	for _, row := range rows {
		x := float64(margin)
		for _, i := range row {
			fmt.Fprintf(b, `<path d="M%.0f %.0fh10" stroke="%s" stroke-width="3"/><text x="%.0f" y="%.0f">%s</text>`+"\n",
				x, y-4, palette[i%len(palette)], x+swatch-2, y, html.EscapeString(v.lines[i].name))
			x += v.width(i)
		}
		y += rowHeight
	}
	if more > 0 {
		fmt.Fprintf(b, `<text x="%.0f" y="%.0f" text-anchor="end" class="soft">and %d more</text>`+"\n", w-margin, y-rowHeight, more)
	}
}

// heights are those of the lines, which stand on each other in a panel that is stacked.
func (v view) heights() [][]float64 {
	all := make([][]float64, len(v.lines))
	for i, l := range v.lines {
		all[i] = slices.Clone(l.values)
		if !v.stacked() {
			continue
		}
		for at, value := range all[i] {
			if math.IsNaN(value) {
				value = 0
			}
			if i > 0 {
				value += all[i-1][at]
			}
			all[i][at] = value
		}
	}
	return all
}

// right and left are where the axis of a line is.
func (l line) right() bool { return l.field.Custom.AxisPlacement == "right" }
func (l line) left() bool  { return !l.right() }

// axis fits the scale, and writes what values it has. The lines across are those of the left one.
func (s *scale) axis(b *bytes.Buffer, f field, values [][]float64, right bool) {
	s.fit(f, values)
	u := units[f.Unit]
	step := u.step(s.most-s.least, 4)
	if f.Max == nil {
		s.most = s.least + math.Ceil((s.most-s.least)*1.02/step)*step
	}
	for n := 0; ; n++ {
		value := s.least + float64(n)*step
		if value > s.most*(1+1e-9) {
			return
		}
		x, anchor := s.left-6, "end"
		if right {
			x, anchor = s.right+6, "start"
		} else {
			fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fH%.1f"/>`, s.left, s.y(value), s.right)
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" class="soft">%s</text>`+"\n", x, s.y(value)+4, anchor, html.EscapeString(u.write(value, 4)))
	}
}

// times writes the axis of the time, in seconds since the first scrape, and the marks.
func (v view) times(b *bytes.Buffer, s scale, d *drawing) {
	all := v.lines[0].step.Seconds() * float64(max(1, s.steps-1))
	at := func(seconds float64) float64 { return s.left + (s.right-s.left)*min(1, seconds/all) }
	step := units["s"].step(all, 6)
	for n := 0; float64(n)*step <= all*(1+1e-9); n++ {
		seconds := float64(n) * step
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fV%.1f"/><text x="%.1f" y="%.1f" text-anchor="middle" class="soft">%.4g s</text>`+"\n",
			at(seconds), s.top, s.bottom, at(seconds), s.bottom+14, seconds)
	}
	for i, m := range d.marks {
		x := at(m.at.Sub(d.begun).Seconds())
		fmt.Fprintf(b, `<path class="mark" d="M%.1f %.1fV%.1f"/><text x="%.1f" y="%.1f" text-anchor="middle" class="soft">%s</text>`+"\n",
			x, s.top, s.bottom, x, s.top-4, numbers[i%len(numbers)])
	}
}

// width is how much of a row of the legend a line takes.
func (v view) width(i int) float64 {
	return float64(swatch + letterWidth*utf8.RuneCountInString(v.lines[i].name) + 8)
}

// legend puts the lines into rows. Where there are too many, those that are the least have none,
// and it is told how many these are.
func (v view) legend(width float64) (rows [][]int, more int) {
	order := make([]int, len(v.lines))
	for i := range order {
		order[i] = i
	}
	if rows = v.rows(order, width); len(rows) <= maxRows {
		return rows, 0
	}
	sums := make([]float64, len(v.lines))
	for i, l := range v.lines {
		for _, value := range l.values {
			if !math.IsNaN(value) {
				sums[i] += value
			}
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sums[b], sums[a]) })
	for len(rows) > maxRows {
		order = order[:len(order)-1]
		rows = v.rows(order, width)
		if room := float64(letterWidth * len("and 00 more")); len(rows) == maxRows && v.taken(rows[maxRows-1])+room > width {
			rows = append(rows, nil) // what is told of the others has no room yet
		}
	}
	return rows, len(v.lines) - len(order)
}

func (v view) rows(order []int, width float64) (rows [][]int) {
	for _, i := range order {
		if n := len(rows); n == 0 || v.taken(rows[n-1])+v.width(i) > width {
			rows = append(rows, nil)
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], i)
	}
	return rows
}

// taken is how much of a row is taken.
func (v view) taken(row []int) (width float64) {
	for _, i := range row {
		width += v.width(i)
	}
	return width
}
