package prometheus

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/prometheus/client_golang/prometheus"
)

// maxTables bounds the values of the label "table"; tables beyond share one, otherTables.
const (
	maxTables   = 200
	otherTables = "other"
	ownTable    = "own data"
)

// Collector gives the figures of a plugin to a registry of Prometheus. It is safe for concurrent
// use, and costs nothing between two scrapes.
type Collector struct {
	plugin *preload.Plugin
	shapes int
	labels prometheus.Labels

	all []*prometheus.Desc
	d   descs
}

// Option configures a Collector.
type Option func(*Collector)

// WithConstLabels gives all metrics labels, such as the name of the database where there are
// several plugins.
func WithConstLabels(labels prometheus.Labels) Option {
	return func(c *Collector) { c.labels = maps.Clone(labels) }
}

// WithShapes tells of so many shapes of queries, too, at most 1,000: of each its ID and table. Of
// none by default: each is several series.
func WithShapes(n int) Option { return func(c *Collector) { c.shapes = n } }

type descs struct {
	reads, misses, bypasses, invalidations, evictions, expirations,
	loads, loadsUsed, loadDuration, queryDuration,
	entries, entriesLimit, memory, memoryLimit, parts, heldOut, holdOuts,
	inFlight, waiting, patterns, patternsLimit, associations, level, treated, control,
	feedAge, feedServes, feedResets, feedAnnounce,
	faults, checks, enabled, build,
	shapeReads, shapeSeconds *prometheus.Desc
}

// NewCollector returns the collector of a plugin. Of a plugin that is nil or not in use yet it
// tells what Stats tells: nothing but zeros.
func NewCollector(p *preload.Plugin, options ...Option) *Collector {
	c := &Collector{plugin: p}
	for _, option := range options {
		if option != nil {
			option(c)
		}
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc("preload_"+name, help, labels, c.labels)
		c.all = append(c.all, d)
		return d
	}
	c.d = descs{
		reads:         desc("reads_total", "Reads of models that are opted in, by how they were answered; those that bypassed the plugin have no table.", "table", "outcome"),
		misses:        desc("misses_total", "Reads that were not answered from memory, by why.", "table", "cause"),
		bypasses:      desc("bypasses_total", "Reads that went to the database untouched, by why.", "reason"),
		invalidations: desc("invalidations_total", "Answers that a write invalidated, by the table that was written and by the rule that found them.", "table", "rule"),
		evictions:     desc("evictions_total", "Answers that left for want of room: of entries, or of bytes.", "cause"),
		expirations:   desc("expirations_total", "Answers that outlived their TTL."),
		loads:         desc("loads_total", "Loads in the background that ended, by why they were made and by their result.", "cause", "result"),
		loadsUsed:     desc("loads_used_total", "Loads in the background whose answer was then read, by why they were made.", "cause"),
		loadDuration:  desc("load_duration_seconds", "How long loads in the background took, by why they were made.", "cause"),
		queryDuration: desc("query_duration_seconds", "How long the queries of misses took.", "table"),
		entries:       desc("entries", "Answers in memory.", "table"),
		entriesLimit:  desc("entries_limit", "How many answers may be in memory."),
		memory:        desc("memory_bytes", "What the answers hold, with all that is there on their account."),
		parts:         desc("memory_part_bytes", "What the plugin holds besides the answers, by part.", "part"),
		heldOut:       desc("held_out_tables", "Tables whose answers are not kept now, since the end of a write cannot be seen."),
		holdOuts:      desc("hold_outs_total", "Writes that had tables held out, by why their end could not be seen.", "cause"),
		feedAge:       desc("feed_age_seconds", "How long ago the moment was before which all is known that other processes have written.", "feed"),
		feedServes:    desc("feed_serves_seconds", "For how long answers may be served from now on, as far as the feed says; 0 where it is cut off.", "feed"),
		feedResets:    desc("feed_resets_total", "How often all answers were invalidated since the feed may have missed changes, by why.", "feed", "reason"),
		feedAnnounce:  desc("feed_announce_seconds", "How long it took to tell others of writes, before these could become visible.", "feed"),
		memoryLimit:   desc("memory_limit_bytes", "What the answers may hold."),
		inFlight:      desc("loads_in_flight", "Loads in the background that are running."),
		waiting:       desc("loads_waiting", "Loads in the background that wait for their turn, or run."),
		patterns:      desc("patterns", "Keys of which access statistics are kept."),
		patternsLimit: desc("patterns_limit", "Of how many keys access statistics may be kept."),
		associations:  desc("associations", "Keys that are known to follow others."),
		level:         desc("prediction_level", "How eagerly is loaded what is expected, from 0 to 5."),
		treated:       desc("prediction_treated_ratio", "The hit ratio of the keys that may be loaded because they are expected."),
		control:       desc("prediction_control_ratio", "The hit ratio of the keys that never are."),
		faults:        desc("faults_total", "Faults in the plugin, or in what is plugged in, by part. They cost a read of the database each.", "part"),
		checks:        desc("verify_checks_total", "Answers in memory that were compared with those of the database, in ModeShadow or as WithVerify has it.", "table", "result"),
		enabled:       desc("enabled", "1 for the mode that the plugin is in.", "mode"),
		build:         desc("build_info", "1, with the version of the plugin and of Go.", "version", "go"),
	}
	if c.shapes > 0 {
		c.d.shapeReads = desc("shape_reads_total", "Reads of a shape of query.", "shape", "table", "outcome")
		c.d.shapeSeconds = desc("shape_query_seconds_total", "How long the misses of a shape of query took.", "shape", "table")
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.all {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	s, d := c.plugin.Stats(), &c.d
	count := func(desc *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(desc *prometheus.Desc, n float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, n, labels...)
	}
	v := &s.Verify
	verifies := s.Settings.VerifyRate > 0 || s.Mode == preload.ModeShadow || v.Equal+v.Mismatches+v.Skipped+v.Failed > 0
	for table, m := range tables(&s) {
		count(d.reads, m.Hits-m.Joined-m.Stale, table, "hit")
		count(d.reads, m.Joined, table, "joined")
		count(d.reads, m.Stale, table, "stale")
		count(d.reads, m.Misses, table, "miss")
		for why, n := range m.MissCauses {
			count(d.misses, n, table, string(why))
		}
		gauge(d.entries, float64(m.Entries), table)
		histogram(ch, d.queryDuration, m.Queries, table)
		if verifies {
			count(d.checks, m.Verify.Equal, table, "equal")
			count(d.checks, m.Verify.Mismatches, table, "mismatch")
			count(d.checks, m.Verify.Skipped, table, "skipped")
			count(d.checks, m.Verify.Failed, table, "error")
		}
	}
	count(d.reads, s.Bypassed, "", "bypass")
	for reason, n := range s.BypassReasons {
		count(d.bypasses, n, string(reason))
	}
	for table, rules := range written(s.InvalidatedBy) {
		for rule, n := range rules {
			count(d.invalidations, n, table, rule)
		}
	}
	count(d.evictions, s.Evicted-s.EvictedBytes, "entries")
	count(d.evictions, s.EvictedBytes, "bytes")
	count(d.expirations, s.Expired)
	for cause, results := range s.Loads.Results {
		for result, n := range results {
			count(d.loads, n, cause, result)
		}
	}
	for cause, n := range s.Loads.Used {
		count(d.loadsUsed, n, cause)
	}
	for cause, took := range s.Loads.Took {
		histogram(ch, d.loadDuration, took, cause)
	}
	for _, f := range s.Feeds {
		gauge(d.feedAge, f.Age.Seconds(), f.Feed)
		gauge(d.feedServes, f.Serves.Seconds(), f.Feed)
		histogram(ch, d.feedAnnounce, f.Announces, f.Feed)
		for reason, n := range f.Resets {
			count(d.feedResets, n, f.Feed, reason)
		}
	}
	gauge(d.entriesLimit, float64(s.Limits.Entries))
	gauge(d.memoryLimit, float64(s.Limits.Bytes))
	for part, n := range map[string]int64{
		"prepared": s.Memory.Prepared, "templates": s.Memory.Templates, "statements": s.Memory.Statements,
		"loaders": s.Memory.Loaders, "patterns": s.Memory.Patterns, "prediction": s.Memory.Prediction, "seen": s.Memory.Seen, "recordings": s.Memory.Recordings,
	} {
		gauge(d.parts, float64(n), part)
	}
	gauge(d.memory, float64(s.Bytes))
	gauge(d.heldOut, float64(len(s.HeldOut)))
	for cause, n := range s.HoldOutsBy {
		count(d.holdOuts, n, cause)
	}
	gauge(d.inFlight, float64(s.ActiveTasks))
	gauge(d.waiting, float64(s.Prediction.Waiting))
	gauge(d.patterns, float64(s.TrackedPatterns))
	gauge(d.patternsLimit, float64(s.Limits.Patterns))
	gauge(d.associations, float64(s.Associations))
	gauge(d.level, float64(s.Prediction.Level))
	gauge(d.treated, s.Prediction.Treated)
	gauge(d.control, s.Prediction.Control)
	for part, n := range s.Faults {
		count(d.faults, n, part)
	}
	for _, mode := range []preload.Mode{preload.ModeOff, preload.ModeShadow, preload.ModeOn} {
		is := 0.
		if mode == c.plugin.Mode() {
			is = 1
		}
		gauge(d.enabled, is, mode.String())
	}
	gauge(d.build, 1, s.Settings.Version, runtime.Version())
	if c.shapes <= 0 {
		return
	}
	for _, shape := range c.plugin.Shapes(c.shapes) {
		count(d.shapeReads, shape.Hits-shape.Joined-shape.Stale, shape.ID, shape.Table, "hit")
		count(d.shapeReads, shape.Joined, shape.ID, shape.Table, "joined")
		count(d.shapeReads, shape.Stale, shape.ID, shape.Table, "stale")
		count(d.shapeReads, shape.Misses, shape.ID, shape.Table, "miss")
		ch <- prometheus.MustNewConstMetric(d.shapeSeconds, prometheus.CounterValue, shape.DBTime.Seconds(), shape.ID, shape.Table)
	}
}

// tables returns what is told of the models, and of own data if there is any. Those beyond
// maxTables in the order of their names are told as one, so that a table does not change its label
// while the models in use stay the same.
func tables(s *preload.Stats) map[string]preload.ModelStats {
	all := map[string]preload.ModelStats{}
	for i, table := range slices.Sorted(maps.Keys(s.Models)) {
		if i >= maxTables {
			all[otherTables] = sum(all[otherTables], s.Models[table])
			continue
		}
		all[table] = s.Models[table]
	}
	if s.Own.Hits+s.Own.Misses > 0 {
		all[ownTable] = s.Own
	}
	return all
}

func sum(a, b preload.ModelStats) preload.ModelStats {
	a.Hits, a.Misses, a.Entries, a.Joined, a.Stale = a.Hits+b.Hits, a.Misses+b.Misses, a.Entries+b.Entries, a.Joined+b.Joined, a.Stale+b.Stale
	a.MissCauses, a.Queries.Buckets = added(a.MissCauses, b.MissCauses), added(a.Queries.Buckets, b.Queries.Buckets)
	a.Queries.Count, a.Queries.Sum = a.Queries.Count+b.Queries.Count, a.Queries.Sum+b.Queries.Sum
	a.Verify.Equal, a.Verify.Mismatches = a.Verify.Equal+b.Verify.Equal, a.Verify.Mismatches+b.Verify.Mismatches
	a.Verify.Skipped, a.Verify.Failed = a.Verify.Skipped+b.Verify.Skipped, a.Verify.Failed+b.Verify.Failed
	return a
}

func added[K cmp.Ordered](a, b map[K]int64) map[K]int64 {
	all := map[K]int64{}
	maps.Copy(all, a)
	for key, n := range b {
		all[key] += n
	}
	return all
}

// written bounds the tables that were written, likewise: they need not be those of models.
func written(by map[string]map[string]int64) map[string]map[string]int64 {
	all := map[string]map[string]int64{}
	for i, table := range slices.Sorted(maps.Keys(by)) {
		name := table
		if i >= maxTables {
			name = otherTables
		}
		all[name] = added(all[name], by[table])
	}
	return all
}

func histogram(ch chan<- prometheus.Metric, desc *prometheus.Desc, d preload.Durations, labels ...string) {
	buckets, below := map[float64]uint64{}, uint64(0)
	for _, bound := range slices.Sorted(maps.Keys(d.Buckets)) {
		below += uint64(d.Buckets[bound])
		buckets[time.Duration(bound).Seconds()] = below
	}
	ch <- prometheus.MustNewConstHistogram(desc, uint64(d.Count), d.Sum.Seconds(), buckets, labels...)
}
