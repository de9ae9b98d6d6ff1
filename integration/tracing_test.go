package integration

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	preloadotel "github.com/gorm-preload/preload/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"
	"gorm.io/gorm"
	"gorm.io/plugin/opentelemetry/tracing"
)

// tracedWorld is a handle with GORM's plugin for OpenTelemetry and the preload plugin, in whose
// database are two items.
type tracedWorld struct {
	db       *gorm.DB
	plugin   *preload.Plugin
	exporter *tracetest.InMemoryExporter
	provider *trace.TracerProvider
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openTraced(t *testing.T, preloadFirst, hitSpans bool, options ...preload.Option) *tracedWorld {
	t.Helper()
	w := &tracedWorld{exporter: tracetest.NewInMemoryExporter()}
	w.provider = trace.NewTracerProvider(trace.WithSyncer(w.exporter))
	file := filepath.Join(t.TempDir(), "traced.db")
	plain := open(t, file, &gorm.Config{})
	must(t, plain.AutoMigrate(&item{}))
	must(t, plain.Create(&[]item{{ID: 1, Name: "one"}, {ID: 2, Name: "two"}}).Error)
	w.db = open(t, file, &gorm.Config{})
	of := []preloadotel.Option{preloadotel.WithTracerProvider(w.provider)}
	if hitSpans {
		of = append(of, preloadotel.WithHitSpans())
	}
	w.plugin = preload.New(append([]preload.Option{
		preload.WithObserver(preloadotel.Observe(of...)), preload.WithOrigin(preloadotel.Origin), preload.WithLogger(slog.New(slog.DiscardHandler)),
	}, options...)...)
	plugins := []gorm.Plugin{w.plugin, tracing.NewPlugin(tracing.WithTracerProvider(w.provider), tracing.WithoutMetrics(), tracing.WithoutQueryVariables())}
	if !preloadFirst {
		slices.Reverse(plugins)
	}
	for _, one := range plugins {
		must(t, w.db.Use(one))
	}
	t.Cleanup(func() { must(t, w.plugin.Close()) })
	return w
}

// in runs something in a span of the application's and returns the spans that ended in it, in the
// order in which they did.
func (w *tracedWorld) in(t *testing.T, do func(db *gorm.DB) error) (spans tracetest.SpanStubs, request tracetest.SpanStub) {
	t.Helper()
	w.exporter.Reset()
	ctx, span := w.provider.Tracer("test").Start(t.Context(), "request")
	must(t, do(w.db.WithContext(ctx)))
	span.End()
	for _, one := range w.exporter.GetSpans() {
		switch {
		case one.SpanContext.SpanID() == span.SpanContext().SpanID():
			request = one
		case one.SpanContext.TraceID() == span.SpanContext().TraceID():
			spans = append(spans, one)
		}
	}
	return spans, request
}

// attributesOf returns the text of attributes of a span, "" for those that it has not.
func attributesOf(span tracetest.SpanStub, names ...attribute.Key) (texts []string) {
	for _, name := range names {
		text := ""
		for _, a := range span.Attributes {
			if a.Key == name {
				text = a.Value.String()
			}
		}
		texts = append(texts, text)
	}
	return texts
}

// TestTheSpansOfGORMsTracingPluginAreNamed: those of a hit as those of a miss, with the SQL and
// without values, and how a read was answered is on them. A hit has no span but the one that it
// would have without the preload plugin, whichever of the two plugins comes first.
func TestTheSpansOfGORMsTracingPluginAreNamed(t *testing.T) {
	t.Parallel()
	first := func(db *gorm.DB) error { return db.First(new(item), 1).Error }
	find := func(db *gorm.DB) error { return db.Where("name <> ?", "secret").Find(new([]item)).Error }
	scan := func(db *gorm.DB) error { return db.Model(&item{}).Where("name <> ?", "secret").Scan(new([]item)).Error }
	raw := func(db *gorm.DB) error {
		return db.Raw("SELECT * FROM items WHERE name <> ?", "secret").Scan(new([]item)).Error
	}
	const quoted, plain = "SELECT * FROM `items` WHERE ", "SELECT * FROM items WHERE "
	for _, preloadFirst := range []bool{true, false} {
		w := openTraced(t, preloadFirst, false, preload.WithoutWorker())
		for _, step := range []struct {
			name string
			do   func(db *gorm.DB) error
			want string // the span that GORM's plugin makes, with its outcome, and its cause or reason
			sql  string // what the text of it begins with
		}{
			{"a miss", first, "select items: miss cold", quoted},
			{"a hit", first, "select items: hit", quoted},
			{"a miss of many", find, "select items: miss cold", quoted},
			{"a hit of many", find, "select items: hit", quoted},
			{"a miss of Scan", scan, "select items: miss cold", quoted},
			{"a hit of Scan", scan, "select items: hit", quoted},
			{"raw SQL", raw, "gorm.Row: bypass raw SQL", plain},
			{"an update", func(db *gorm.DB) error { return db.Model(&item{}).Where("id = ?", 1).Update("name", "secret").Error }, "update items:", "UPDATE `items` SET "},
			{"a miss after it", first, "select items: miss invalidated", quoted},
			{"an insert", func(db *gorm.DB) error { return db.Create(&item{ID: 3, Name: "secret"}).Error }, "insert items:", "INSERT INTO `items` "},
			{"a delete", func(db *gorm.DB) error { return db.Delete(&item{}, 3).Error }, "delete items:", "DELETE FROM `items` "},
			{"a write in raw SQL", func(db *gorm.DB) error { return db.Exec("UPDATE items SET name = ?", "secret").Error }, "gorm.Raw:", "UPDATE items SET "},
			{"a read in a transaction", func(db *gorm.DB) error { return db.Transaction(first) }, "select items: bypass transaction", quoted},
		} {
			spans, request := w.in(t, step.do)
			if len(spans) != 1 {
				t.Errorf("preload first %t, %s: %d spans, want that of GORM's plugin: %+v", preloadFirst, step.name, len(spans), spans)
				continue
			}
			got := spans[0].Name + ": " + strings.Join(attributesOf(spans[0], "preload.outcome", "preload.cause", "preload.reason"), " ")
			if text := strings.Join(strings.Fields(got), " "); text != step.want {
				t.Errorf("preload first %t, %s: %q, want %q", preloadFirst, step.name, text, step.want)
			}
			if text := attributesOf(spans[0], "db.query.text")[0]; !strings.HasPrefix(text, step.sql) || strings.Contains(text, "secret") {
				t.Errorf("preload first %t, %s: the SQL is %q, want one that begins with %q, and no value", preloadFirst, step.name, text, step.sql)
			}
			if len(spans[0].Events) != 0 || spans[0].Parent.SpanID() != request.SpanContext.SpanID() {
				t.Errorf("preload first %t, %s: %+v", preloadFirst, step.name, spans[0])
			}
		}
	}
}

// TestSpansOfHitsAreInsideThoseOfGORMsTracingPlugin where they are asked for.
func TestSpansOfHitsAreInsideThoseOfGORMsTracingPlugin(t *testing.T) {
	t.Parallel()
	for _, preloadFirst := range []bool{true, false} {
		w := openTraced(t, preloadFirst, true, preload.WithoutWorker())
		for n, want := range []string{"select items", "preload.get items in select items; select items", "preload.get items in select items; select items"} {
			spans, _ := w.in(t, func(db *gorm.DB) error { return db.First(new(item), 1).Error })
			var got []string
			for _, one := range spans {
				text := one.Name
				if i := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.SpanContext.SpanID() == one.Parent.SpanID() }); i >= 0 {
					text += " in " + spans[i].Name
				}
				got = append(got, text)
			}
			if text := strings.Join(got, "; "); text != want {
				t.Errorf("preload first %t, read %d: %q, want %q", preloadFirst, n, text, want)
			}
		}
	}
}

// TestALoadInTheBackgroundIsATraceOfItsOwn, of one span: GORM's plugin has none of its query, which
// goes through no callbacks of others.
func TestALoadInTheBackgroundIsATraceOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, preloadFirst := range []bool{true, false} {
		w := openTraced(t, preloadFirst, false)
		ours := map[api.TraceID]bool{}
		var load tracetest.SpanStub
		for patience := time.Now().Add(time.Minute); load.Name == ""; {
			for range 3 {
				_, request := w.in(t, func(db *gorm.DB) error { return db.First(new(item), 1).Error })
				ours[request.SpanContext.TraceID()] = true
			}
			_, request := w.in(t, func(db *gorm.DB) error { return db.Model(&item{ID: 1}).Update("name", fmt.Sprint(time.Now())).Error })
			ours[request.SpanContext.TraceID()] = true
			for wait := time.Now().Add(100 * time.Millisecond); load.Name == "" && time.Now().Before(wait); time.Sleep(time.Millisecond) {
				for _, one := range w.exporter.GetSpans() {
					if one.Name == "preload.load write" {
						load = one
					}
				}
			}
			if time.Now().After(patience) {
				t.Fatalf("preload first %t: there is no load: %+v", preloadFirst, w.plugin.Stats().Loads)
			}
		}
		if load.Parent.IsValid() || ours[load.SpanContext.TraceID()] {
			t.Errorf("preload first %t: the load is a part of another trace: %+v", preloadFirst, load)
		}
		for _, one := range w.exporter.GetSpans() {
			if !ours[one.SpanContext.TraceID()] && one.Name != load.Name {
				t.Errorf("preload first %t: besides the load there is %+v", preloadFirst, one)
			}
		}
	}
}
