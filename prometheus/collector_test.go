package prometheus_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/opentest"
	preloadprometheus "github.com/gorm-preload/preload/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// book is what is read.
type book struct {
	_     struct{} `preload:""`
	ID    int
	Title string
}

func open(t testing.TB, options ...preload.Option) (*gorm.DB, *preload.Plugin) {
	t.Helper()
	return opentest.Open(t, &[]book{{ID: 1, Title: "one"}, {ID: 2, Title: "two"}}, options...)
}

// scrape asks as Prometheus does, over HTTP, and parses what comes with Prometheus' parser.
func scrape(t *testing.T, c prometheus.Collector) (map[string]*dto.MetricFamily, string) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v\n%s", response.Status, err, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return families, string(text)
}

// value returns the value of the metric that has these labels, as "name=value".
func value(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	for _, m := range families[name].GetMetric() {
		found := 0
		for _, l := range m.GetLabel() {
			for _, want := range labels {
				if l.GetName()+"="+l.GetValue() == want {
					found++
				}
			}
		}
		if found == len(labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return -1
}

// feed is one that knows at once what others have written.
type feed struct{}

func (f *feed) Open(_ context.Context, m preload.Member) error {
	m.Serve(time.Now(), time.Hour)
	m.Reset("a test")
	return nil
}

func (f *feed) Close() error { return nil }

func (f *feed) Announce(context.Context, []byte, string) (func(preload.End), error) {
	return func(preload.End) {}, nil
}

func TestAScrapeIsWhatHappened(t *testing.T) {
	t.Parallel()
	db, p := open(t, preload.WithFeed(&feed{}), preload.WithVerify(preload.Verify{Rate: 1e-9}))
	for range 3 {
		if err := db.First(new(book), 1).Error; err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Model(&book{ID: 1}).Update("title", "secret").Error; err != nil {
		t.Fatal(err)
	}
	if err := db.First(new(book), 1).Error; err != nil {
		t.Fatal(err)
	}
	if err := db.Raw("SELECT 'secret'").Scan(new(string)).Error; err != nil {
		t.Fatal(err)
	}
	if err := db.Connection(func(one *gorm.DB) error { return one.Exec("UPDATE books SET title = 'x' WHERE id = 2").Error }); err != nil {
		t.Fatal(err)
	}
	families, text := scrape(t, preloadprometheus.NewCollector(p, preloadprometheus.WithShapes(10), preloadprometheus.WithConstLabels(prometheus.Labels{"db": "shop"})))
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"preload_reads_total", []string{"table=books", "outcome=hit", "db=shop"}, 2},
		{"preload_reads_total", []string{"table=books", "outcome=miss"}, 2},
		{"preload_reads_total", []string{"outcome=bypass"}, float64(p.Stats().Bypassed)},
		{"preload_misses_total", []string{"table=books", "cause=cold"}, 1},
		{"preload_misses_total", []string{"table=books", "cause=invalidated"}, 1},
		{"preload_invalidations_total", []string{"table=books", "rule=row"}, 1},
		{"preload_query_duration_seconds", []string{"table=books"}, 2},
		{"preload_entries", []string{"table=books"}, 1},
		{"preload_evictions_total", []string{"cause=entries"}, 0},
		{"preload_evictions_total", []string{"cause=bytes"}, 0},
		{"preload_hold_outs_total", []string{"cause=other pool"}, 1},
		{"preload_feed_resets_total", []string{"feed=prometheus_test.feed", "reason=a test"}, 1},
		{"preload_entries_limit", nil, 10_000},
		{"preload_memory_limit_bytes", nil, 64 << 20},
		{"preload_enabled", []string{"mode=on"}, 1},
		{"preload_enabled", []string{"mode=off"}, 0},
		{"preload_verify_checks_total", []string{"table=books", "result=mismatch"}, 0},
		{"preload_shape_reads_total", []string{"table=books", "outcome=hit"}, 2},
	} {
		if got := value(families, c.name, c.labels...); got != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	for _, name := range []string{"preload_feed_serves_seconds", "preload_feed_age_seconds", "preload_feed_announce_seconds"} {
		if got := value(families, name, "feed=prometheus_test.feed"); got <= 0 {
			t.Errorf("%s is %v", name, got)
		}
	}
	if value(families, "preload_memory_bytes") <= 0 || value(families, "preload_build_info") != 1 {
		t.Error("no memory, or no build_info")
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "SELECT") {
		t.Errorf("a value or SQL is told:\n%s", text)
	}
}

func TestAPluginThatIsNotInUse(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*preload.Plugin{"nil": nil, "not in use": preload.New()} {
		if families, _ := scrape(t, preloadprometheus.NewCollector(p, preloadprometheus.WithShapes(1), nil)); len(families) == 0 {
			t.Errorf("%s: no metrics", name)
		}
	}
}

// TestTablesAreBounded: an application that makes tables has no more series for it.
func TestTablesAreBounded(t *testing.T) {
	t.Parallel()
	db, p := open(t, preload.WithDefaultPolicy(preload.Policy{}))
	for i := range 230 {
		table := fmt.Sprintf("books_%03d", i)
		if err := db.Table(table).AutoMigrate(&book{}); err != nil {
			t.Fatal(err)
		}
		if err := db.Exec("INSERT INTO " + table + " (id, title) VALUES (1, 'x')").Error; err != nil {
			t.Fatal(err)
		}
	}
	_, text := scrape(t, preloadprometheus.NewCollector(p))
	if n := strings.Count(text, "preload_invalidations_total{"); n > 5*201 {
		t.Errorf("%d series", n)
	}
}

func ExampleNewCollector() {
	db, err := gorm.Open(sqlite.Open("file:example?mode=memory&cache=shared"), &gorm.Config{})
	if err != nil {
		panic(err)
	}
	plugin := preload.New()
	if err := db.Use(plugin); err != nil {
		panic(err)
	}
	defer plugin.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(preloadprometheus.NewCollector(plugin))

	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, family := range families {
		if family.GetName() == "preload_entries_limit" {
			fmt.Println(family.GetName(), family.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: preload_entries_limit 10000
}

// BenchmarkScrape reads the figures of 200 tables, each with a query that was read.
func BenchmarkScrape(b *testing.B) {
	db, p := open(b, preload.WithDefaultPolicy(preload.Policy{}), preload.WithoutWorker())
	for i := range maxTables {
		table := fmt.Sprintf("table_%03d", i)
		if err := db.Exec("CREATE TABLE " + table + " (id integer primary key)").Error; err != nil {
			b.Fatal(err)
		}
	}
	for i := range maxTables {
		table := fmt.Sprintf("table_%03d", i)
		for range 2 {
			if err := db.Clauses(preload.Cache(preload.Tables(table))).Raw("SELECT id FROM " + table).Scan(new([]int)).Error; err != nil {
				b.Fatal(err)
			}
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(preloadprometheus.NewCollector(p))
	series := 0
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		families, err := registry.Gather()
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		series = 0
		for _, f := range families {
			series += len(f.GetMetric())
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/5].Microseconds())/1_000, "quick-ms")
	b.ReportMetric(float64(series), "series")
	b.ReportMetric(float64(len(p.Stats().Models)), "tables")
}

// maxTables is how many tables are told apart.
const maxTables = 200
