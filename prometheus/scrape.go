package prometheus

import (
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/gorm-preload/preload"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// series is one of the series that a scrape tells: a metric with the values of its labels, of which
// there are three at most.
type series struct {
	desc   *prometheus.Desc
	values [3]string
}

// labels are those of series.
type labels map[series][]*dto.LabelPair

// scrape is one reading of the figures. Most series are those of the scrape before, from which it
// takes their labels over: to make those anew is most of what a scrape allocates.
type scrape struct {
	to             chan<- prometheus.Metric
	before, labels labels
}

// labelled returns the labels of a series.
func (s *scrape) labelled(desc *prometheus.Desc, values []string) []*dto.LabelPair {
	one := series{desc: desc}
	copy(one.values[:], values)
	pairs, known := s.before[one]
	if !known {
		valid := make([]string, len(values))
		for i, value := range values {
			valid[i] = text(value)
		}
		pairs = prometheus.MakeLabelPairs(desc, valid)
	}
	s.labels[one] = pairs
	return pairs
}

// text returns a name as the value of a label, which has to be UTF-8: what is not is quoted, so
// that names that differ have values that differ.
func text(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.Quote(name)
}

func (s *scrape) count(desc *prometheus.Desc, n int64, labels ...string) {
	s.number(desc, prometheus.CounterValue, float64(n), labels)
}

func (s *scrape) gauge(desc *prometheus.Desc, n float64, labels ...string) {
	s.number(desc, prometheus.GaugeValue, n, labels)
}

func (s *scrape) number(desc *prometheus.Desc, kind prometheus.ValueType, n float64, labels []string) {
	s.to <- &number{desc, s.labelled(desc, labels), kind, n}
}

// histogram tells of durations.
func (s *scrape) histogram(desc *prometheus.Desc, d *preload.Durations, labels ...string) {
	h := &histogram{
		desc: desc, labels: s.labelled(desc, labels), count: uint64(d.Count), sum: d.Sum.Seconds(),
		bounds: make([]float64, len(d.Buckets)), below: make([]uint64, len(d.Buckets)),
	}
	sum := uint64(0)
	for i, bound := range slices.Sorted(maps.Keys(d.Buckets)) {
		sum += uint64(d.Buckets[bound])
		h.bounds[i], h.below[i] = bound.Seconds(), sum
	}
	s.to <- h
}

// number is the value of a counter or a gauge at a scrape.
type number struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	kind   prometheus.ValueType
	n      float64
}

// Desc implements prometheus.Metric.
func (m *number) Desc() *prometheus.Desc { return m.desc }

// Write implements prometheus.Metric.
func (m *number) Write(to *dto.Metric) error {
	to.Label = m.labels
	if m.kind == prometheus.CounterValue {
		to.Counter = &dto.Counter{Value: &m.n}
	} else {
		to.Gauge = &dto.Gauge{Value: &m.n}
	}
	return nil
}

// histogram is what a histogram holds at a scrape: how many values there are below or at each bound.
type histogram struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	count  uint64
	sum    float64
	bounds []float64
	below  []uint64
}

// Desc implements prometheus.Metric.
func (h *histogram) Desc() *prometheus.Desc { return h.desc }

// Write implements prometheus.Metric.
func (h *histogram) Write(to *dto.Metric) error {
	buckets, told := make([]dto.Bucket, len(h.bounds)), make([]*dto.Bucket, len(h.bounds))
	for i := range buckets {
		told[i] = &buckets[i]
		told[i].UpperBound, told[i].CumulativeCount = &h.bounds[i], &h.below[i]
	}
	to.Label, to.Histogram = h.labels, &dto.Histogram{SampleCount: &h.count, SampleSum: &h.sum, Bucket: told}
	return nil
}
