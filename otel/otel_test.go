package otel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/opentest"
	preloadotel "github.com/gorm-preload/preload/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
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
	return opentest.Open(t, &book{ID: 1}, append([]preload.Option{preload.WithoutWorker()}, options...)...)
}

// TestSpansTellHowAReadWasAnswered: on the span that is there, and by one of their own where these
// are wanted.
func TestSpansTellHowAReadWasAnswered(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		ended := tracetest.NewSpanRecorder()
		provider := trace.NewTracerProvider(trace.WithSpanProcessor(ended))
		options := []preloadotel.Option{preloadotel.WithTracerProvider(provider), nil}
		if own {
			options = append(options, preloadotel.WithHitSpans())
		}
		db, _ := open(t, preload.WithObserver(preloadotel.Observe(options...)))
		var got []string
		for range 2 {
			ctx, span := provider.Tracer("test").Start(t.Context(), "request")
			if err := db.WithContext(ctx).First(new(book), 1).Error; err != nil {
				t.Fatal(err)
			}
			span.End()
		}
		for _, span := range ended.Ended() {
			text := span.Name()
			for _, a := range span.Attributes() {
				if a.Key == "preload.outcome" || a.Key == "preload.cause" {
					text += " " + a.Value.AsString()
				}
				if a.Key == "preload.shape" && !strings.HasPrefix(a.Value.AsString(), "sql:books#") {
					t.Errorf("shape %q", a.Value.AsString())
				}
			}
			got = append(got, text)
		}
		want := "request miss cold; request hit"
		if own {
			want = "request miss cold; preload.get books hit; request hit"
		}
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("own spans %t: %q, want %q", own, text, want)
		}
	}
}

func TestMetersTellWhatHappened(t *testing.T) {
	t.Parallel()
	db, p := open(t)
	reader := metric.NewManualReader()
	if err := preloadotel.Register(p, preloadotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := db.First(new(book), 1).Error; err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Delete(&book{}, 1).Error; err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := preload.Load(t.Context(), p, "key", func(context.Context) (int, error) { return 1, nil }); err != nil {
			t.Fatal(err)
		}
	}
	got := collected(t, reader)
	for name, want := range map[string]int64{
		"preload.reads outcome=hit,table=books": 2, "preload.reads outcome=miss,table=books": 1, "preload.entries table=books": 0,
		"preload.reads outcome=hit,table=own data": 2, "preload.reads outcome=miss,table=own data": 1, "preload.entries table=own data": 1,
		"preload.invalidations rule=row,table=books": 1,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s is %d, %t, want %d; all: %v", name, n, ok, want, got)
		}
	}
}

// TestTablesWithoutEndAreToldTogether: the values of an attribute are bounded, and no read is left
// out.
func TestTablesWithoutEndAreToldTogether(t *testing.T) {
	t.Parallel()
	const tables, extra = 200, 7
	db, p := open(t)
	reader := metric.NewManualReader()
	if err := preloadotel.Register(p, preloadotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))); err != nil {
		t.Fatal(err)
	}
	for i := range tables + extra {
		table := fmt.Sprintf("table_%03d", i)
		if err := db.Exec("CREATE TABLE " + table + " (id integer primary key)").Error; err != nil {
			t.Fatal(err)
		}
		if err := db.Clauses(preload.Cache(preload.Tables(table))).Raw("SELECT id FROM " + table).Scan(new([]int)).Error; err != nil {
			t.Fatal(err)
		}
		if err := p.Invalidate(table); err != nil {
			t.Fatal(err)
		}
	}
	got := collected(t, reader)
	for name, want := range map[string]int64{
		"preload.reads outcome=miss,table=table_000": 1, "preload.reads outcome=miss,table=other": extra, "preload.reads outcome=miss,table=table_206": 0,
		"preload.invalidations rule=table,table=other": extra,
	} {
		if got[name] != want {
			t.Errorf("%s is %d, want %d", name, got[name], want)
		}
	}
}

// collected returns the numbers that a reader collects, by their names and attributes.
func collected(t *testing.T, reader *metric.ManualReader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			points := []metricdata.DataPoint[int64]{}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				points = data.DataPoints
			case metricdata.Gauge[int64]:
				points = data.DataPoints
			}
			for _, point := range points {
				got[m.Name+" "+point.Attributes.Encoded(attribute.DefaultEncoder())] = point.Value
			}
		}
	}
	return got
}

// TestALoadIsASpanAndCounts: a root span that says why it was made, and how long it took.
func TestALoadIsASpanAndCounts(t *testing.T) {
	t.Parallel()
	ended, reader := tracetest.NewSpanRecorder(), metric.NewManualReader()
	observe := preloadotel.Observe(preloadotel.WithTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(ended))),
		preloadotel.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(reader))))
	observe(t.Context(), preload.Event{Kind: preload.EventLoad, Table: "books", Shape: "sql:books#x", Why: "tick", Took: 2 * time.Second, Failed: true})
	spans := ended.Ended()
	if len(spans) != 1 || spans[0].Name() != "preload.load tick" || spans[0].Parent().IsValid() || spans[0].Status().Code != codes.Error ||
		spans[0].EndTime().Sub(spans[0].StartTime()) != 2*time.Second {
		t.Errorf("%+v", spans)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	h, ok := all.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64])
	if !ok || all.ScopeMetrics[0].Metrics[0].Name != "preload.load.duration" || h.DataPoints[0].Sum != 2 || h.DataPoints[0].Attributes.Encoded(attribute.DefaultEncoder()) != "preload.cause=tick" {
		t.Errorf("%+v", all.ScopeMetrics)
	}
}

func ExampleObserve() {
	plugin := preload.New(preload.WithObserver(preloadotel.Observe()))
	fmt.Println(preloadotel.Register(plugin))
	// Output: <nil>
}

// TestWithoutProvidersTheGlobalOnesServe: also where one is nil.
func TestWithoutProvidersTheGlobalOnesServe(t *testing.T) {
	t.Parallel()
	options := []preloadotel.Option{preloadotel.WithTracerProvider(nil), preloadotel.WithMeterProvider(nil)}
	preloadotel.Observe(options...)(t.Context(), preload.Event{Kind: preload.EventLoad})
	if err := preloadotel.Register(nil, options...); err != nil {
		t.Error(err)
	}
}
