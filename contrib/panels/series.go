package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// series are what was scraped, in memory, and the engine of Prometheus that evaluates expressions
// on them. Prometheus's own database is not used: it would have this module depend on the clients
// of several clouds.
type series struct {
	engine      *promql.Engine
	all         map[string]*one // by what the labels are written as
	first, last time.Time       // of the scrapes
}

// one is one series.
type one struct {
	labels  labels.Labels
	samples []chunks.Sample
}

// sample is a value at a time, in milliseconds.
type sample struct {
	at    int64
	value float64
}

func (s sample) ST() int64                     { return 0 }
func (s sample) T() int64                      { return s.at }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// What Prometheus allows an expression by default.
const (
	maxSamples = 50_000_000
	maxTime    = 2 * time.Minute
)

func newSeries() *series {
	return &series{engine: promql.NewEngine(promql.EngineOpts{MaxSamples: maxSamples, Timeout: maxTime}), all: map[string]*one{}}
}

// scrape keeps what a registry has now, with the labels that Prometheus adds.
func (s *series) scrape(from prometheus.Gatherer, now time.Time) error {
	families, err := from.Gather()
	if err != nil {
		return err
	}
	samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{Timestamp: model.TimeFromUnixNano(now.UnixNano())}, families...)
	if err != nil {
		return err
	}
	for _, scraped := range samples {
		of := map[string]string{"job": "shop", "instance": "shop:80"}
		for name, value := range scraped.Metric {
			of[string(name)] = string(value)
		}
		all := labels.FromMap(of)
		key := all.String()
		if s.all[key] == nil {
			s.all[key] = &one{labels: all}
		}
		s.all[key].samples = append(s.all[key].samples, sample{int64(scraped.Timestamp), float64(scraped.Value)})
	}
	if s.first.IsZero() {
		s.first = now
	}
	s.last = now
	return nil
}

// ask evaluates an expression at each step of the time that was scraped.
func (s *series) ask(ctx context.Context, expr string, step time.Duration) (promql.Matrix, error) {
	query, err := s.engine.NewRangeQuery(ctx, s, nil, expr, s.first, s.last, step)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	result, err := query.Exec(ctx).Matrix()
	if err != nil {
		return nil, err
	}
	// The points belong to the query, which takes them back when it is closed.
	kept := make(promql.Matrix, len(result))
	for i, of := range result {
		kept[i] = promql.Series{Metric: of.Metric, Floats: slices.Clone(of.Floats)}
	}
	return kept, nil
}

// Querier implements storage.Queryable.
func (s *series) Querier(int64, int64) (storage.Querier, error) { return querier{s}, nil }

type querier struct{ *series }

// Select implements storage.Querier. The engine passes over what lies outside of the times that it
// asks for.
func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := &selection{}
	for _, s := range q.all {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
			found.rest = append(found.rest, storage.NewListSeries(s.labels, s.samples))
		}
	}
	slices.SortFunc(found.rest, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return found
}

var errNotAsked = errors.New("an expression does not ask for the labels there are")

// LabelValues implements storage.Querier.
func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errNotAsked
}

// LabelNames implements storage.Querier.
func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errNotAsked
}

// Close implements storage.Querier.
func (querier) Close() error { return nil }

// selection is a storage.SeriesSet.
type selection struct {
	now  storage.Series
	rest []storage.Series
}

func (s *selection) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.now, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *selection) At() storage.Series                { return s.now }
func (s *selection) Err() error                        { return nil }
func (s *selection) Warnings() annotations.Annotations { return nil }
