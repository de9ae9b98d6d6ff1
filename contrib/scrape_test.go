package contrib

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/opentest"
	preloadprometheus "github.com/gorm-preload/preload/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"gorm.io/gorm"
)

// scraped has, by the name of a series as Prometheus stores it, the labels of each of them.
type scraped map[string][]labels.Labels

// book is what is read.
type book struct {
	_     struct{} `preload:""`
	ID    int
	Title string
}

// feed is one that knows at once what others have written.
type feed struct{}

func (feed) Open(_ context.Context, m preload.Member) error {
	m.Serve(time.Now(), time.Hour)
	m.Reset("a test")
	return nil
}

func (feed) Close() error { return nil }

func (feed) Announce(context.Context, []byte, string) (func(preload.End), error) {
	return func(preload.End) {}, nil
}

// scrape uses a plugin in all ways that are counted, asks what is told of that as Prometheus does,
// and adds the labels that Prometheus adds.
func scrape(t *testing.T) scraped {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, p := opentest.OpenLoading(t, &[]book{{ID: 1, Title: "one"}, {ID: 2, Title: "two"}}, preload.WithFeed(feed{}), preload.WithVerify(preload.Verify{Rate: 1e-9}),
		preload.WithObserver(func(context.Context, preload.Event) { panic("a fault") }))
	must(db.Raw("SELECT 1").Scan(new(int)).Error)
	// What a write invalidates is loaded again where it is read more often than it is written.
	for patience := time.Now().Add(time.Minute); len(p.Stats().Loads.Used) == 0; {
		if time.Now().After(patience) {
			t.Fatalf("no load in the background was used: %+v", p.Stats().Loads)
		}
		for range 3 {
			must(db.First(new(book), 1).Error)
		}
		must(db.Model(&book{ID: 1}).Update("title", "other").Error)
		for p.Stats().Prediction.Waiting > 0 && time.Now().Before(patience) {
			time.Sleep(time.Millisecond)
		}
	}
	must(db.Connection(func(one *gorm.DB) error { return one.Exec("UPDATE books SET title = 'x' WHERE id = 2").Error }))

	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(preloadprometheus.NewCollector(p, preloadprometheus.WithShapes(10)))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	defer server.Close()
	response, err := http.Get(server.URL)
	must(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(err)
	textParser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := textParser.TextToMetricFamilies(strings.NewReader(string(text)))
	must(err)
	all := scraped{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			of := map[string]string{"job": "shop", "instance": "shop:80"}
			for _, pair := range m.GetLabel() {
				of[pair.GetName()] = pair.GetValue()
			}
			if h := m.GetHistogram(); h != nil {
				all[name+"_sum"], all[name+"_count"] = append(all[name+"_sum"], labels.FromMap(of)), append(all[name+"_count"], labels.FromMap(of))
				for _, bucket := range h.GetBucket() {
					of["le"] = fmt.Sprint(bucket.GetUpperBound())
					all[name+"_bucket"] = append(all[name+"_bucket"], labels.FromMap(of))
				}
				continue
			}
			all[name] = append(all[name], labels.FromMap(of))
		}
	}
	return all
}

// question is what is asked for somewhere, with the errors that are found in it.
type question struct {
	of   scraped
	errs []error
}

func (q *question) errorf(format string, args ...any) {
	q.errs = append(q.errs, fmt.Errorf(format, args...))
}

// ask returns what is wrong with an expression: it does not parse, asks for what a scrape does not
// have, or groups by a label that is not there. told are the labels that the answer has to have.
func (s scraped) ask(text string, told []string) []error {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return []error{err}
	}
	q := &question{of: s}
	has := q.labels(expr)
	for _, label := range told {
		if !slices.Contains(has, label) {
			q.errorf("the label %s is told, and the answer has %q", label, has)
		}
	}
	if !strings.Contains(text, "preload_") {
		q.errorf("no metric is asked for")
	}
	return q.errs
}

// labels returns the labels that the answer to an expression has.
func (q *question) labels(expr parser.Expr) []string {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return q.selected(e)
	case *parser.MatrixSelector:
		return q.labels(e.VectorSelector)
	case *parser.SubqueryExpr:
		return q.labels(e.Expr)
	case *parser.ParenExpr:
		return q.labels(e.Expr)
	case *parser.UnaryExpr:
		return q.labels(e.Expr)
	case *parser.AggregateExpr:
		return q.grouped(e)
	case *parser.BinaryExpr:
		return q.joined(e)
	case *parser.Call:
		var has []string
		for _, arg := range e.Args {
			has = append(has, q.labels(arg)...)
		}
		if e.Func.Name == "histogram_quantile" {
			if !slices.Contains(has, "le") {
				q.errorf("%s: no label le", e)
			}
			has = slices.DeleteFunc(has, func(label string) bool { return label == "le" })
		}
		return has
	case *parser.NumberLiteral, *parser.StringLiteral:
		return nil
	}
	q.errorf("%s: a %T is not known here", expr, expr)
	return nil
}

// selected returns the labels of the series that are selected. Each value that is asked for has to
// be that of one of them.
func (q *question) selected(e *parser.VectorSelector) []string {
	series, there := q.of[e.Name]
	if !there {
		q.errorf("there is no metric %q", e.Name)
		return nil
	}
	has := map[string]bool{}
	for _, one := range series {
		one.Range(func(l labels.Label) { has[l.Name] = true })
	}
	for _, m := range e.LabelMatchers {
		if m.Name == model.MetricNameLabel {
			continue
		}
		if !has[m.Name] {
			q.errorf("%s has no label %q", e.Name, m.Name)
			continue
		}
		for _, value := range wanted(m) {
			if !slices.ContainsFunc(series, func(one labels.Labels) bool { return one.Get(m.Name) == value }) {
				q.errorf("%s: no %s is %q", e.Name, m.Name, value)
			}
		}
	}
	return slices.Sorted(maps.Keys(has))
}

// wanted returns the values that a matcher names.
func wanted(m *labels.Matcher) []string {
	if m.Type == labels.MatchEqual || m.Type == labels.MatchNotEqual {
		return []string{m.Value}
	}
	return m.SetMatches()
}

// grouped returns the labels by which is grouped, which have to be there.
func (q *question) grouped(e *parser.AggregateExpr) []string {
	has := q.labels(e.Expr)
	for _, label := range e.Grouping {
		if !slices.Contains(has, label) {
			q.errorf("%s: no label %q", e, label)
		}
	}
	if e.Without {
		return slices.DeleteFunc(has, func(label string) bool { return slices.Contains(e.Grouping, label) })
	}
	return e.Grouping
}

// joined returns the labels of what two sides make, each of which has to have the labels that are
// compared.
func (q *question) joined(e *parser.BinaryExpr) []string {
	left, right := q.labels(e.LHS), q.labels(e.RHS)
	if left == nil {
		left = right
	}
	if m := e.VectorMatching; m != nil && m.On {
		for _, label := range m.MatchingLabels {
			if !slices.Contains(left, label) || !slices.Contains(right, label) {
				q.errorf("%s: no label %q on both sides", e, label)
			}
		}
	}
	return left
}

var (
	inLegends     = regexp.MustCompile(`{{\s*(\w+)\s*}}`)
	inAnnotations = regexp.MustCompile(`\$labels\.(\w+)`)
	metrics       = regexp.MustCompile(`preload_\w+`)
)

// names returns what a pattern finds in a text.
func names(pattern *regexp.Regexp, text string) (all []string) {
	for _, found := range pattern.FindAllStringSubmatch(text, -1) {
		all = append(all, found[len(found)-1])
	}
	return all
}

// TestWhatIsAskedAmissIsFound: the checks of the dashboard and of the rules see what they are for.
func TestWhatIsAskedAmissIsFound(t *testing.T) {
	t.Parallel()
	s := scrape(t)
	for _, c := range []struct {
		text string
		told []string
		want string // in an error; "" for none
	}{
		{`sum by (table) (rate(preload_reads_total{outcome="hit"}[5m]))`, []string{"table"}, ""},
		{`sum by (table) (rate(preload_raeds_total[5m]))`, nil, `no metric "preload_raeds_total"`},
		{`rate(preload_reads_total{outcom="hit"}[5m])`, nil, `no label "outcom"`},
		{`rate(preload_reads_total{outcome=~"hit|jioned"}[5m])`, nil, `no outcome is "jioned"`},
		{`preload_enabled{mode!="no"}`, nil, `no mode is "no"`},
		{`sum by (tabel) (preload_entries)`, nil, `no label "tabel"`},
		{`sum by (job) (preload_entries)`, []string{"table"}, "the label table is told"},
		{`sum without (table) (preload_entries)`, []string{"table"}, "the label table is told"},
		{`histogram_quantile(0.9, sum by (cause, le) (rate(preload_load_duration_seconds_bucket[5m])))`, []string{"cause"}, ""},
		{`histogram_quantile(0.9, sum by (cause) (rate(preload_load_duration_seconds_bucket[5m])))`, nil, "no label le"},
		{`rate(preload_load_duration_seconds[5m])`, nil, "no metric"},
		{`preload_memory_bytes / on (job, table) preload_memory_limit_bytes`, nil, `no label "table" on both sides`},
		{`vector(1)`, nil, "no metric is asked for"},
		{`sum(`, nil, "parse error"},
	} {
		err := errors.Join(s.ask(c.text, c.told)...)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}
