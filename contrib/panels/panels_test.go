package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/contrib/grafana"
	"github.com/gorm-preload/preload/examples/shop/service"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// brief are the settings of a shop in which time passes with the scrapes alone.
func brief() settings {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	return settings{
		size:   service.Size{Users: 50, Products: 100, Categories: 5, Tags: 10, ReviewsEach: 2, OrdersEach: 1},
		people: 2, every: time.Second, most: 24 * time.Second, requests: 150,
		now: func() time.Time {
			now = now.Add(time.Second)
			return now
		},
		before: func(p *preload.Plugin) {
			for patience := time.Now().Add(time.Minute); p.Stats().Prediction.Waiting > 0 && time.Now().Before(patience); {
				time.Sleep(time.Millisecond)
			}
		},
	}
}

// dashboardOf reads a dashboard.
func dashboardOf(t *testing.T, text string) *dashboard {
	t.Helper()
	d, err := parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// textsOf returns what is written in a picture, which has to be XML that is well-formed, and how
// many groups it has.
func textsOf(t *testing.T, picture []byte) (texts []string, groups int) {
	t.Helper()
	for elements, in := xml.NewDecoder(bytes.NewReader(picture)), ""; ; {
		token, err := elements.Token()
		if errors.Is(err, io.EOF) {
			return texts, groups
		}
		if err != nil {
			t.Fatalf("the picture: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if in = token.Name.Local; in == "g" {
				groups++
			}
		case xml.CharData:
			if in == "text" {
				texts = append(texts, string(token))
			}
		case xml.EndElement:
			in = ""
		}
	}
}

// TestThePictureHasEachPanel of the dashboard, with data in each that is not about feeds.
func TestThePictureHasEachPanel(t *testing.T) {
	t.Parallel()
	board := dashboardOf(t, string(grafana.Dashboard))
	pic, err := picture(context.Background(), brief(), board)
	if err != nil {
		t.Fatal(err)
	}
	if err := unexpected(pic.missing()); err != nil {
		t.Error(err)
	}
	for _, g := range pic.missing() {
		if !strings.HasPrefix(g.panel, "Feeds: ") {
			t.Errorf("no data, which is expected: %s", g)
		}
	}
	if len(pic.marks) != len(scenes) {
		t.Errorf("%d of %d scenes happened", len(pic.marks), len(scenes))
	}
	var b bytes.Buffer
	pic.draw(&b)
	for _, wrong := range []string{"NaN", "Inf", "%!"} {
		if strings.Contains(b.String(), wrong) {
			t.Errorf("the picture has %s", wrong)
		}
	}
	texts, groups := textsOf(t, b.Bytes())
	if groups != len(board.Panels) {
		t.Errorf("%d panels are drawn, want %d", groups, len(board.Panels))
	}
	count := map[string]int{}
	for _, text := range texts {
		count[text]++
	}
	empty := 0
	for i, v := range pic.views {
		if v.panel != board.Panels[i] || count[v.Title] == 0 {
			t.Errorf("the panel %q is not in the picture", board.Panels[i].Title)
		}
		if len(v.lines) == 0 {
			empty++
			continue
		}
		rows, more := v.legend(float64(v.GridPos.W*cellWidth - gapWidth - 2*margin))
		told := 0
		for _, row := range rows {
			told += len(row)
			for _, i := range row {
				if v.Type == "timeseries" && count[v.lines[i].name] == 0 {
					t.Errorf("%s: %q is not in the legend", v.Title, v.lines[i].name)
				}
			}
		}
		if told+more != len(v.lines) || len(rows) > maxRows {
			t.Errorf("%s: %d lines in %d rows, and %d more, of %d", v.Title, told, len(rows), more, len(v.lines))
		}
	}
	if empty != 3 || count["no data"] != empty {
		t.Errorf("%d panels are empty, want the 3 of feeds; %d say so", empty, count["no data"])
	}
}

// TestTheCommittedPictureIsThatOfTheDashboard: whoever adds a panel, or renames one, draws it
// again, so that docs/seen.md shows what there is.
func TestTheCommittedPictureIsThatOfTheDashboard(t *testing.T) {
	t.Parallel()
	picture, err := os.ReadFile("../../docs/dashboard.svg")
	if err != nil {
		t.Fatal(err)
	}
	if len(picture) > 250_000 {
		t.Errorf("it has %d bytes, want 250,000 at most", len(picture))
	}
	texts, groups := textsOf(t, picture)
	board := dashboardOf(t, string(grafana.Dashboard))
	if groups != len(board.Panels) {
		t.Errorf("it has %d panels, want %d", groups, len(board.Panels))
	}
	for _, p := range board.Panels {
		if !slices.Contains(texts, p.Title) {
			t.Errorf("the panel %q is not in it", p.Title)
		}
	}
}

// boardOf is a dashboard of one panel.
func boardOf(kind, unit, expr string) string {
	return `{"title": "one", "templating": {"list": [{"name": "job", "allValue": ".*"}]}, "panels": [{"type": "` + kind +
		`", "title": "the panel", "gridPos": {"w": 8, "h": 8}, "targets": [{"expr": "` + expr + `", "refId": "A"}], "fieldConfig": {"defaults": {"unit": "` + unit + `"}}}]}`
}

// TestWhatIsBrokenNamesItsPanel, and what gives no data, too.
func TestWhatIsBrokenNamesItsPanel(t *testing.T) {
	t.Parallel()
	kept := newSeries()
	registry := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "some"})
	registry.MustRegister(gauge)
	for i := range 5 {
		gauge.Set(float64(i))
		if err := kept.scrape(registry, time.Unix(int64(i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, board string
		want        []string // in the error; none where there is none
	}{
		{"what is right", boardOf("stat", "short", `sum(some{job=~\"$job\"})`), nil},
		{"what does not parse", boardOf("stat", "short", "sum(some"), []string{`panel "the panel"`, "sum(some", "parse error"}},
		{"what cannot be evaluated", boardOf("stat", "short", "some * on() (some or vector(1))"), []string{`panel "the panel"`, "on()", "duplicate series"}},
		{"a variable that is not there", boardOf("stat", "short", "sum(some[$__ago])"), []string{`panel "the panel"`, "$__ago"}},
		{"a unit that is not known", boardOf("stat", "parsec", "some"), []string{`panel "the panel"`, "parsec"}},
		{"a type that is not known", boardOf("piechart", "short", "some"), []string{`panel "the panel"`, "piechart"}},
		{"no data", boardOf("timeseries", "short", "other"), []string{`"the panel"`, "want some data"}},
		{"no finite data", boardOf("timeseries", "short", "0 * some / 0"), []string{`"the panel"`, "want some data"}},
		{"no data of a feed", boardOf("timeseries", "s", "max(preload_feed_age_seconds)"), nil},
		{"no data of a feed and another", boardOf("timeseries", "s", "preload_feed_age_seconds / other"), []string{"want some data"}},
		{"no panels", `{}`, []string{"no panels"}},
		{"no JSON", `{`, []string{"the dashboard"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := func() error {
				d, err := parse([]byte(c.board))
				if err != nil {
					return err
				}
				views, err := d.ask(context.Background(), kept, time.Second)
				if err != nil {
					return err
				}
				pic := &drawing{title: "one", views: views, begun: kept.first}
				var b bytes.Buffer
				pic.draw(&b)
				textsOf(t, b.Bytes())
				return unexpected(pic.missing())
			}()
			if (err == nil) != (c.want == nil) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v, want one line with %q", err, part)
				}
			}
		})
	}
}

// TestTheFirstFaultIsSeen in the panel and by the alert: the series of a part begins with it, so
// that it does not increase.
func TestTheFirstFaultIsSeen(t *testing.T) {
	t.Parallel()
	var panel, alert string
	for _, p := range dashboardOf(t, string(grafana.Dashboard)).Panels {
		if strings.HasPrefix(p.Title, "Faults") {
			panel = strings.NewReplacer("$job", ".*", "$instance", ".*").Replace(p.Targets[0].Expr)
		}
	}
	groups, errs := rulefmt.ParseFile("../prometheus/alerts.yml", false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.Default())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, rule := range groups.Groups[0].Rules {
		if rule.Alert == "PreloadFaults" {
			alert = rule.Expr
		}
	}
	kept := newSeries()
	registry := prometheus.NewRegistry()
	faults := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "preload_faults_total"}, []string{"part"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "preload_build_info"})
	registry.MustRegister(faults, build)
	// One fault after ten minutes, and another two hours later.
	for minute := range 180 {
		switch minute {
		case 10, 130:
			faults.WithLabelValues("a part").Inc()
		}
		if err := kept.scrape(registry, time.Unix(int64(60*minute), 0)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		expr string
		want map[int]float64 // by the minute; NaN for nothing
	}{
		{panel, map[int]float64{5: 0, 10: 1, 65: 1, 80: 0, 120: 0, 135: 1, 170: 1}},
		{alert, map[int]float64{5: math.NaN(), 10: 1, 20: 1, 40: math.NaN(), 120: math.NaN(), 135: 1, 170: math.NaN()}},
	} {
		matrix, err := kept.ask(context.Background(), c.expr, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		got := map[int]float64{}
		for _, one := range matrix {
			for _, point := range one.Floats {
				got[int(point.T/60_000)] = math.Round(point.F)
			}
		}
		for minute, want := range c.want {
			value, ok := got[minute]
			if ok == math.IsNaN(want) || ok && value != want {
				t.Errorf("%s: after %d minutes %v (%t), want %v", c.expr, minute, value, ok, want)
			}
		}
	}
}

// TestValuesAreWrittenInTheirUnits.
func TestValuesAreWrittenInTheirUnits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		unit  string
		value float64
		want  string
	}{
		{"short", 0, "0"}, {"short", 1234, "1.23 K"}, {"short", .5, "0.5"}, {"percentunit", .579, "57.9 %"}, {"percentunit", 1, "100 %"},
		{"percentunit", 0, "0 %"}, {"s", 0, "0 s"}, {"s", .0123, "12.3 ms"}, {"s", 2e-6, "2 µs"}, {"s", 90, "90 s"},
		{"bytes", 1 << 26, "64 MiB"}, {"bytes", 1000, "1000 B"}, {"reqps", 20_000, "20 K req/s"}, {"ops", 999.99999999999, "1 K ops/s"},
	} {
		if got := units[c.unit].write(c.value, 3); got != c.want {
			t.Errorf("%v in %s is %q, want %q", c.value, c.unit, got, c.want)
		}
	}
	for _, c := range []struct {
		unit       string
		most, want float64
	}{{"short", 1, .5}, {"short", 8, 2}, {"reqps", 29_000, 10_000}, {"bytes", 64 << 20, 16 << 20}, {"percentunit", 1, .5}, {"s", .03, .01}} {
		if got := units[c.unit].step(c.most, 4); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("up to %v in %s the step is %v, want %v", c.most, c.unit, got, c.want)
		}
	}
}

// TestFlagsThatDrawNothingAreRefused.
func TestFlagsThatDrawNothingAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-for", "5s"}, {"-people", "0"}, {"-every", "1us"}, {"picture.svg"}, {"-unknown"}} {
		if err := run(context.Background(), args, io.Discard); err == nil {
			t.Errorf("%q: want an error", args)
		}
	}
}
