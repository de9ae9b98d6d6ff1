package prometheus_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/gorm-preload/preload"
	preloadprometheus "github.com/gorm-preload/preload/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// TestTheDashboardAndTheAlertsAskForMetricsThatThereAre.
func TestTheDashboardAndTheAlertsAskForMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	descs := make(chan *prometheus.Desc, 100)
	preloadprometheus.NewCollector(preload.New()).Describe(descs)
	close(descs)
	var known []string
	for d := range descs {
		known = append(known, regexp.MustCompile(`preload_\w+`).FindString(d.String()))
	}
	for _, path := range []string{"../contrib/grafana/preload.json", "../contrib/prometheus/alerts.yml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		asked := regexp.MustCompile(`preload_[a-z_]+`).FindAllString(string(text), -1)
		for _, name := range asked {
			if !slices.Contains(known, regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")) {
				t.Errorf("%s asks for %s, which there is not", path, name)
			}
		}
		if len(asked) < 8 {
			t.Errorf("%s asks for %q", path, asked)
		}
	}
}
