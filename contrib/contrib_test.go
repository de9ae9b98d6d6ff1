// Package contrib has tests of what the project gives to Prometheus and Grafana: that those can
// read it, and that it asks for metrics and labels that a scrape has.
package contrib

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// variables are what Grafana puts in for its own before it asks Prometheus.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*")

// valuesOf is what a variable of Grafana asks for: the values of a label of a metric.
var valuesOf = regexp.MustCompile(`^label_values\((.+), *(\w+)\)$`)

// TestTheDashboardAsksWhatPrometheusUnderstands, in each of its panels.
func TestTheDashboardAsksWhatPrometheusUnderstands(t *testing.T) {
	t.Parallel()
	s := scrape(t)
	text, err := os.ReadFile("grafana/preload.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		UID        string
		Templating struct {
			List []struct {
				Name, Type string
				Query      any
			}
		}
		Panels []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ H, W, X, Y int }
			Targets                  []struct{ Expr, LegendFormat, RefID string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID == "" || len(dashboard.Panels) < 10 {
		t.Errorf("UID %q and %d panels", dashboard.UID, len(dashboard.Panels))
	}
	for _, variable := range dashboard.Templating.List {
		query, ok := variable.Query.(map[string]any)
		if variable.Type != "query" || !ok {
			continue
		}
		asks := variables.Replace(fmt.Sprint(query["query"]))
		parts := valuesOf.FindStringSubmatch(asks)
		if parts == nil {
			t.Errorf("the variable %s asks %s: want label_values(metric, label)", variable.Name, asks)
			continue
		}
		checked(t, s, "the variable "+variable.Name, parts[1], parts[2:])
	}
	taken := map[[2]int]string{} // the cells of the grid
	ids := map[int]bool{}
	for _, p := range dashboard.Panels {
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 || ids[p.ID] {
			t.Errorf("panel %d %q: want a title, a description, something to ask, and an ID of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" || at[0] >= 24 {
					t.Fatalf("%s lies over %q, or outside", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		for _, target := range p.Targets {
			checked(t, s, p.Title, variables.Replace(target.Expr), names(inLegends, target.LegendFormat))
		}
	}
}

// TestAlertRulesAreThoseThatPrometheusLoads.
func TestAlertRulesAreThoseThatPrometheusLoads(t *testing.T) {
	t.Parallel()
	s := scrape(t)
	groups, errs := rulefmt.ParseFile("prometheus/alerts.yml", false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.Default())
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) == 0 {
		t.Fatal("there are no rules")
	}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("%s: want a name, a summary and what to do", rule.Alert)
			}
			checked(t, s, rule.Alert, rule.Expr, names(inAnnotations, rule.Annotations["summary"]+rule.Annotations["description"]))
			for _, name := range metrics.FindAllString(rule.Annotations["description"], -1) {
				if s[name] == nil {
					t.Errorf("%s: the description names %s, which there is not", rule.Alert, name)
				}
			}
		}
	}
}

// checked looks at what a panel or a rule asks for. told are the labels that are then told of the
// answer.
func checked(t *testing.T, s scraped, where, text string, told []string) {
	t.Helper()
	for _, err := range s.ask(text, told) {
		t.Errorf("%s: %s: %v", where, text, err)
	}
}
