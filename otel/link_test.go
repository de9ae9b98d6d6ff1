package otel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/opentest"
	preloadotel "github.com/gorm-preload/preload/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"
	"gorm.io/gorm"
)

// chapter is what is read after a book.
type chapter struct {
	_      struct{} `preload:""`
	ID     int
	BookID int
}

// clock is moved by the test.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Now().UnixNano())
	return c
}

func (c *clock) Now() time.Time { return time.Unix(0, c.at.Load()) }

func (c *clock) Advance(d time.Duration) { c.at.Add(int64(d)) }

// traced is a database whose reads run in spans.
type traced struct {
	*gorm.DB
	plugin   *preload.Plugin
	exporter *tracetest.InMemoryExporter
	tracer   api.Tracer
	clock    *clock
}

// openTraced returns a database whose plugin loads in the background, and keeps origins if these
// are wanted.
func openTraced(t *testing.T, origins bool) *traced {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(exporter))
	w := &traced{exporter: exporter, tracer: provider.Tracer("test"), clock: newClock()}
	options := []preload.Option{
		preload.WithObserver(preloadotel.Observe(preloadotel.WithTracerProvider(provider))), preload.WithClock(w.clock), preload.WithTTL(10 * time.Second),
	}
	if origins {
		options = append(options, preload.WithOrigin(preloadotel.Origin))
	}
	books, chapters := []book{}, []chapter{}
	for id := range 400 {
		books, chapters = append(books, book{ID: id + 1}), append(chapters, chapter{ID: 1_000 + id, BookID: id + 1})
	}
	w.DB, w.plugin = opentest.OpenLoading(t, &books, options...)
	if err := w.AutoMigrate(&chapter{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Create(&chapters).Error; err != nil {
		t.Fatal(err)
	}
	return w
}

// read reads in a span of its own and a session, and returns the span.
func (w *traced) read(t *testing.T, session string, ask func(*gorm.DB) error) api.SpanContext {
	t.Helper()
	ctx, span := w.tracer.Start(preload.ContextWithSession(t.Context(), session), "request")
	defer span.End()
	if err := ask(w.WithContext(ctx)); err != nil {
		t.Fatal(err)
	}
	return span.SpanContext()
}

// loads waits for spans of loads that were made for a cause, while more happens.
func (w *traced) loads(t *testing.T, cause string, more func()) tracetest.SpanStubs {
	t.Helper()
	for patience := time.Now().Add(time.Minute); ; more() {
		found := slices.DeleteFunc(w.exporter.GetSpans(), func(s tracetest.SpanStub) bool { return s.Name != "preload.load "+cause })
		if len(found) > 0 {
			return found
		}
		if time.Now().After(patience) {
			t.Fatalf("there is no load for %s: %+v", cause, w.plugin.Stats().Loads)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestALoadBeforeTheEndIsLinkedToTheReadThatHadItMade.
func TestALoadBeforeTheEndIsLinkedToTheReadThatHadItMade(t *testing.T) {
	t.Parallel()
	for _, origins := range []bool{true, false} {
		w := openTraced(t, origins)
		first := func(db *gorm.DB) error { return db.First(new(book), 1).Error }
		for range 20 {
			w.read(t, "others", first)
		}
		w.clock.Advance(9 * time.Second)
		read := w.read(t, "one", first)
		load := w.loads(t, "expiry", func() {})[0]
		if load.Parent.IsValid() || load.SpanContext.TraceID() == read.TraceID() {
			t.Errorf("the load is a part of another trace: %+v", load)
		}
		switch {
		case !origins && len(load.Links) != 0:
			t.Errorf("without an origin there are %d links", len(load.Links))
		case origins && (len(load.Links) != 1 || !load.Links[0].SpanContext.Equal(read)):
			t.Errorf("the load has the links %+v, want one to %+v", load.Links, read)
		}
	}
}

// TestALoadOfWhatIsExpectedIsLinkedToTheReadThatItFollows.
func TestALoadOfWhatIsExpectedIsLinkedToTheReadThatItFollows(t *testing.T) {
	t.Parallel()
	w := openTraced(t, true)
	reads := map[api.SpanID]string{}
	n := 0
	load := w.loads(t, "association", func() {
		n++
		id := n%400 + 1
		shown := w.read(t, fmt.Sprint("session ", n), func(db *gorm.DB) error { return db.First(new(book), id).Error })
		reads[shown.SpanID()] = "book"
		time.Sleep(2 * time.Millisecond) // in which the application shows it
		then := w.read(t, fmt.Sprint("session ", n), func(db *gorm.DB) error { return db.Where("book_id = ?", id).Find(new([]chapter)).Error })
		reads[then.SpanID()] = "chapters"
	})[0]
	if len(load.Links) != 1 || reads[load.Links[0].SpanContext.SpanID()] == "" {
		t.Fatalf("the load has the links %+v, want one to a read", load.Links)
	}
	if load.Parent.IsValid() {
		t.Errorf("the load is a part of another trace: %+v", load)
	}
}

// TestALoadThatNoReadHadMadeHasNoLink: one after a write.
func TestALoadThatNoReadHadMadeHasNoLink(t *testing.T) {
	t.Parallel()
	w := openTraced(t, true)
	load := w.loads(t, "write", func() {
		for range 3 {
			w.read(t, "one", func(db *gorm.DB) error { return db.First(new(book), 1).Error })
		}
		w.read(t, "one", func(db *gorm.DB) error { return db.Model(&book{ID: 1}).Update("title", fmt.Sprint(time.Now())).Error })
	})[0]
	if len(load.Links) != 0 || load.Parent.IsValid() {
		t.Errorf("%+v", load)
	}
}

// TestAnOriginHoldsNothingOfTheContext but which span it is of.
func TestAnOriginHoldsNothingOfTheContext(t *testing.T) {
	t.Parallel()
	type secret struct{}
	w := openTraced(t, true)
	ctx, span := w.tracer.Start(context.WithValue(t.Context(), secret{}, "s"), "request")
	defer span.End()
	kept := preloadotel.Origin(ctx)
	if kept.Done() != nil || kept.Value(secret{}) != nil || !api.SpanContextFromContext(kept).Equal(span.SpanContext()) || api.SpanFromContext(kept).IsRecording() {
		t.Errorf("%v is kept of %v", kept, ctx)
	}
}

// TestNamesThatAreNotUTF8AreQuoted: an exporter would refuse all that comes with them.
func TestNamesThatAreNotUTF8AreQuoted(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	observe := preloadotel.Observe(preloadotel.WithTracerProvider(trace.NewTracerProvider(trace.WithSyncer(exporter))), preloadotel.WithHitSpans())
	observe(t.Context(), preload.Event{Kind: preload.EventRead, Table: "b\xff", Shape: "sql:b\xff#1"})
	observe(t.Context(), preload.Event{Kind: preload.EventLoad, Table: "b\xff", Shape: "sql:b\xff#1", Why: "tick"})
	spans := exporter.GetSpans()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	for _, span := range spans {
		text := span.Name
		for _, a := range span.Attributes {
			text += a.Value.AsString()
		}
		if !utf8.ValidString(text) || !strings.Contains(text, `b\xff`) {
			t.Errorf("%q", text)
		}
	}
}
