package main

import (
	"math"
	"strconv"
)

// unit is how a value is written: in one of its sizes, the smallest first.
type unit struct {
	base  float64 // that steps of an axis are counted in
	sizes []size
}

type size struct {
	is   float64
	name string
}

// units are those of Grafana that the dashboard has.
var units = map[string]*unit{
	"short":       {10, []size{{1, ""}, {1e3, " K"}, {1e6, " M"}, {1e9, " G"}}},
	"reqps":       {10, []size{{1, " req/s"}, {1e3, " K req/s"}, {1e6, " M req/s"}}},
	"ops":         {10, []size{{1, " ops/s"}, {1e3, " K ops/s"}, {1e6, " M ops/s"}}},
	"percentunit": {10, []size{{.01, " %"}}},
	"s":           {10, []size{{1e-9, " ns"}, {1e-6, " µs"}, {1e-3, " ms"}, {1, " s"}}},
	"bytes":       {2, []size{{1, " B"}, {1 << 10, " KiB"}, {1 << 20, " MiB"}, {1 << 30, " GiB"}}},
}

// write returns a value with so many digits that count.
func (u *unit) write(value float64, digits int) string {
	of := u.sizes[0]
	for _, s := range u.sizes {
		if math.Abs(value) >= s.is*(1-1e-9) || value == 0 && s.is == 1 {
			of = s
		}
	}
	value /= of.is
	if value == 0 {
		return "0" + of.name
	}
	places := max(0, digits-1-int(math.Floor(math.Log10(math.Abs(value)))))
	shift := math.Pow10(places)
	return strconv.FormatFloat(math.Round(value*shift)/shift, 'f', -1, 64) + of.name
}

// step returns how far apart about so many marks of an axis are that begins at 0.
func (u *unit) step(most float64, marks int) float64 {
	rough := most / float64(marks)
	if u.base == 2 {
		return math.Pow(2, math.Ceil(math.Log2(rough)))
	}
	ten := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, n := range []float64{1, 2, 5} {
		if n*ten >= rough {
			return n * ten
		}
	}
	return 10 * ten
}
