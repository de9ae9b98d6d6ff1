// Package otel tells OpenTelemetry of a preload plugin. It needs the API only.
//
//	plugin := preload.New(preload.WithObserver(otel.Observe()), preload.WithOrigin(otel.Origin))
//	...
//	err := otel.Register(plugin)
//
// Observe puts on the span that a read runs in how the read was answered: preload.outcome,
// preload.reason or preload.cause, preload.shape, preload.age. There is no span for a hit, unless
// WithHitSpans is given. A load in the background is a root span, "preload.load" with why it was
// made, and counts in the histogram preload.load.duration. With Origin it has a link to the span of
// the read that had it made, of the first one where it loaded what follows several: a read after
// which its answer is expected, or that found the answer shortly before its end. What is loaded
// since it is hot, or after a write, has no link. Nothing that is told holds a value or SQL.
package otel

import (
	"context"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gorm-preload/preload"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/gorm-preload/preload/otel"

// Option configures Observe and Register.
type Option func(*config)

type config struct {
	tracers  trace.TracerProvider
	meters   metric.MeterProvider
	hitSpans bool
}

// WithTracerProvider sets where spans go. With nil, and by default, that is the global provider.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithMeterProvider sets where metrics go. With nil, and by default, that is the global provider.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithHitSpans makes a span of each read that is answered from memory, "preload.get" with the name
// of the table, inside the span that the read runs in.
func WithHitSpans() Option { return func(c *config) { c.hitSpans = true } }

func configOf(options []Option) *config {
	c := &config{}
	for _, option := range options {
		if option != nil {
			option(c)
		}
	}
	if c.tracers == nil {
		c.tracers = otel.GetTracerProvider()
	}
	if c.meters == nil {
		c.meters = otel.GetMeterProvider()
	}
	return c
}

// Observe returns a function for preload.WithObserver. It is safe for concurrent use.
func Observe(options ...Option) func(context.Context, preload.Event) {
	c := configOf(options)
	tracer := c.tracers.Tracer(scope)
	// The API says that a histogram is there in any case, and does nothing where it cannot be made.
	took, _ := c.meters.Meter(scope).Float64Histogram("preload.load.duration", metric.WithUnit("s"),
		metric.WithDescription("How long loads in the background took, by why they were made."))
	return func(ctx context.Context, e preload.Event) {
		switch e.Kind {
		case preload.EventRead:
			attributes := ofRead(&e)
			if span := trace.SpanFromContext(ctx); span.IsRecording() {
				span.SetAttributes(attributes...)
			}
			if c.hitSpans && e.Outcome <= preload.OutcomeStale {
				now := time.Now()
				_, span := tracer.Start(ctx, name("preload.get", e.Table), trace.WithTimestamp(now.Add(-e.Took)), trace.WithAttributes(attributes...))
				span.End(trace.WithTimestamp(now))
			}
		case preload.EventLoad:
			now := time.Now()
			cause := attribute.String("preload.cause", e.Why)
			took.Record(ctx, e.Took.Seconds(), metric.WithAttributes(cause))
			options := []trace.SpanStartOption{
				trace.WithNewRoot(), trace.WithTimestamp(now.Add(-e.Took)), trace.WithAttributes(cause, attribute.String("preload.shape", text(e.Shape))),
			}
			if read := trace.SpanContextFromContext(ctx); read.IsValid() {
				options = append(options, trace.WithLinks(trace.Link{SpanContext: read}))
			}
			_, span := tracer.Start(ctx, name("preload.load", e.Why), options...)
			if e.Failed {
				span.SetStatus(codes.Error, "the load failed")
			}
			span.End(trace.WithTimestamp(now))
		}
	}
}

// Origin is a function for preload.WithOrigin: of the context of a read it keeps which span that
// is, and nothing that the context holds.
func Origin(read context.Context) context.Context {
	return trace.ContextWithSpanContext(context.Background(), trace.SpanContextFromContext(read))
}

// text returns a name as it can be exported, which has to be UTF-8.
func text(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}

// name returns the name of a span about something, such as a table.
func name(of, about string) string {
	if about == "" {
		return of
	}
	return of + " " + text(about)
}

// ofRead returns the attributes of a read.
func ofRead(e *preload.Event) []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String("preload.outcome", e.Outcome.String())}
	if e.Shape != "" {
		all = append(all, attribute.String("preload.shape", text(e.Shape)))
	}
	switch {
	case e.Reason != "":
		all = append(all, attribute.String("preload.reason", string(e.Reason)))
	case e.Cause != "":
		all = append(all, attribute.String("preload.cause", string(e.Cause)))
	default:
		all = append(all, attribute.Float64("preload.age", e.Age.Seconds()))
	}
	return all
}

// Register has the metrics of a plugin read when they are collected: preload.reads,
// preload.invalidations, preload.entries and preload.memory.usage. They are read until the meter
// provider is shut down. The attribute "table" is the table of a model, "own data", or "other" beyond
// 200 of them. The error is that of the meter.
func Register(p *preload.Plugin, options ...Option) error {
	meter := configOf(options).meters.Meter(scope)
	reads, err := meter.Int64ObservableCounter("preload.reads", metric.WithUnit("{read}"), metric.WithDescription("Reads, by table and by how they were answered."))
	if err != nil {
		return err
	}
	invalidations, err := meter.Int64ObservableCounter("preload.invalidations", metric.WithUnit("{answer}"), metric.WithDescription("Answers that a write invalidated, by the table that was written and by the rule."))
	if err != nil {
		return err
	}
	entries, err := meter.Int64ObservableGauge("preload.entries", metric.WithUnit("{answer}"), metric.WithDescription("Answers in memory, by table."))
	if err != nil {
		return err
	}
	memory, err := meter.Int64ObservableGauge("preload.memory.usage", metric.WithUnit("By"), metric.WithDescription("What the answers hold."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := p.Stats()
		with := func(pairs ...string) metric.MeasurementOption {
			all := make([]attribute.KeyValue, 0, len(pairs)/2)
			for i := 0; i < len(pairs); i += 2 {
				all = append(all, attribute.String(pairs[i], text(pairs[i+1])))
			}
			return metric.WithAttributes(all...)
		}
		for table, m := range tables(&s) {
			o.ObserveInt64(reads, m.Hits-m.Joined-m.Stale, with("table", table, "outcome", "hit"))
			o.ObserveInt64(reads, m.Joined, with("table", table, "outcome", "joined"))
			o.ObserveInt64(reads, m.Stale, with("table", table, "outcome", "stale"))
			o.ObserveInt64(reads, m.Misses, with("table", table, "outcome", "miss"))
			o.ObserveInt64(entries, int64(m.Entries), with("table", table))
		}
		o.ObserveInt64(reads, s.Bypassed, with("outcome", "bypass"))
		for table, rules := range written(s.InvalidatedBy) {
			for rule, n := range rules {
				o.ObserveInt64(invalidations, n, with("table", table, "rule", rule))
			}
		}
		o.ObserveInt64(memory, s.Bytes)
		return nil
	}, reads, invalidations, entries, memory)
	return err
}
