// Package contrib has tests of what the project gives to Prometheus and Grafana: that those can
// read it, and that it asks for metrics that there are.
package contrib

import (
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// variables are what Grafana puts in for its own before it asks Prometheus.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*")

// TestTheDashboardAsksWhatPrometheusUnderstands, in each of its panels.
func TestTheDashboardAsksWhatPrometheusUnderstands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("grafana/preload.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		UID    string
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
			checked(t, p.Title, variables.Replace(target.Expr))
		}
	}
}

// TestAlertRulesAreThoseThatPrometheusLoads.
func TestAlertRulesAreThoseThatPrometheusLoads(t *testing.T) {
	t.Parallel()
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
			checked(t, rule.Alert, rule.Expr)
		}
	}
}

// checked parses an expression and looks at the metrics that it asks for.
func checked(t *testing.T, where, text string) {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		t.Errorf("%s: %s: %v", where, text, err)
		return
	}
	asked := 0
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			asked++
			if !strings.HasPrefix(s.Name, "preload_") {
				t.Errorf("%s asks for %s, which is not the plugin's", where, s.Name)
			}
		}
		return nil
	})
	if asked == 0 {
		t.Errorf("%s asks for no metric: %s", where, text)
	}
}
