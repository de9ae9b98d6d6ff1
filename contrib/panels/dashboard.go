package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// dashboard is what is read of the JSON of a dashboard.
type dashboard struct {
	Title      string
	Templating struct {
		List []struct{ Name, AllValue string }
	}
	Panels []*panel
}

type panel struct {
	Type, Title string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct{ Expr, LegendFormat, RefID string }
	FieldConfig struct {
		Defaults  field
		Overrides []struct {
			Matcher    struct{ ID, Options string }
			Properties []struct {
				ID    string
				Value any
			}
		}
	}
}

// field says how values are shown.
type field struct {
	Unit       string
	Min, Max   *float64
	Color      struct{ Mode, FixedColor string }
	Thresholds struct {
		Steps []struct {
			Color string
			Value *float64
		}
	}
	Custom struct {
		AxisPlacement string
		FillOpacity   float64
		Stacking      struct{ Mode string }
	}
}

// stacked says whether the lines of a panel stand on each other.
func (p *panel) stacked() bool { return p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal" }

// parse reads a dashboard. What cannot be drawn here is an error.
func parse(text []byte) (*dashboard, error) {
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("the dashboard: %w", err)
	}
	if len(d.Panels) == 0 {
		return nil, errors.New("the dashboard has no panels")
	}
	for _, p := range d.Panels {
		if p.Type != "stat" && p.Type != "timeseries" {
			return nil, fmt.Errorf("panel %q: a panel of type %q cannot be drawn: want stat or timeseries", p.Title, p.Type)
		}
		for i := range p.Targets {
			if f := p.fieldOf(p.Targets[i].RefID); units[f.Unit] == nil {
				return nil, fmt.Errorf("panel %q: the unit %q is not known", p.Title, f.Unit)
			}
		}
	}
	return &d, nil
}

// fieldOf is how the values of one of the panel's expressions are shown.
func (p *panel) fieldOf(ref string) field {
	f := p.FieldConfig.Defaults
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.ID != "byFrameRefID" || o.Matcher.Options != ref {
			continue
		}
		for _, property := range o.Properties {
			switch text, _ := property.Value.(string); property.ID {
			case "unit":
				f.Unit = text
			case "custom.axisPlacement":
				f.Custom.AxisPlacement = text
			}
		}
	}
	return f
}

// view is a panel with what is to be seen in it.
type view struct {
	*panel
	lines []line
	gaps  []gap
}

// line is a series that was asked for. What is missing is NaN.
type line struct {
	name   string
	field  field
	values []float64 // at each step
	step   time.Duration
}

// last is the last value that is there.
func (l line) last() float64 {
	for i := len(l.values) - 1; i >= 0; i-- {
		if !math.IsNaN(l.values[i]) {
			return l.values[i]
		}
	}
	return math.NaN()
}

// points is how many steps a panel shows at most, as Grafana asks for one a pixel at most.
const points = 300

// ask evaluates all expressions of the dashboard, at what was scraped so often.
func (d *dashboard) ask(ctx context.Context, from *series, every time.Duration) (views []view, err error) {
	step := max(every, (from.last.Sub(from.first) / points).Round(every))
	variables := d.variables(every, step, from.last.Sub(from.first))
	for _, p := range d.Panels {
		v := view{panel: p}
		for _, target := range p.Targets {
			expr, err := fill(variables, target.Expr)
			if err != nil {
				return nil, fmt.Errorf("panel %q: %s: %w", p.Title, target.Expr, err)
			}
			matrix, err := from.ask(ctx, expr, step)
			if err != nil {
				return nil, fmt.Errorf("panel %q: %s: %w", p.Title, expr, err)
			}
			empty := true
			for _, one := range matrix {
				l := line{name: legend(target.LegendFormat, one.Metric), field: p.fieldOf(target.RefID), step: step}
				l.values = make([]float64, from.last.Sub(from.first)/step+1)
				for i := range l.values {
					l.values[i] = math.NaN()
				}
				for _, point := range one.Floats {
					if i := (point.T - from.first.UnixMilli()) / step.Milliseconds(); i < int64(len(l.values)) && !math.IsInf(point.F, 0) {
						l.values[i] = point.F
					}
				}
				if !math.IsNaN(l.last()) {
					empty = false
					v.lines = append(v.lines, l)
				}
			}
			if empty {
				v.gaps = append(v.gaps, gap{panel: p.Title, expr: expr, expected: absent(expr)})
			}
		}
		views = append(views, v)
	}
	return views, nil
}

// variables are what Grafana puts in for its own, and for those of the dashboard where all values
// are chosen.
func (d *dashboard) variables(every, step, all time.Duration) map[string]string {
	texts := map[string]string{}
	for _, v := range d.Templating.List {
		texts[v.Name] = v.AllValue
	}
	texts["__interval"] = model.Duration(step).String()
	texts["__rate_interval"] = model.Duration(max(step+every, 4*every)).String()
	texts["__range"] = model.Duration(all.Round(every)).String()
	return texts
}

var variable = regexp.MustCompile(`\$(\w+|{\w+})`)

// fill puts the texts of variables into an expression.
func fill(texts map[string]string, expr string) (filled string, err error) {
	filled = variable.ReplaceAllStringFunc(expr, func(name string) string {
		text, ok := texts[strings.Trim(name, "${}")]
		if !ok {
			err = fmt.Errorf("there is no variable %s", name)
		}
		return text
	})
	return filled, err
}

var label = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

// legend is how a series is called.
func legend(format string, of labels.Labels) string {
	return label.ReplaceAllStringFunc(format, func(name string) string { return of.Get(strings.Trim(name, "{} ")) })
}

// absent says whether an expression asks for nothing but feeds: there are none in the shop, which
// is one process.
func absent(expr string) bool {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return false
	}
	feeds, others := 0, 0
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if metric, ok := node.(*parser.VectorSelector); !ok {
			return nil
		} else if strings.HasPrefix(metric.Name, "preload_feed_") {
			feeds++
		} else {
			others++
		}
		return nil
	})
	return feeds > 0 && others == 0
}
