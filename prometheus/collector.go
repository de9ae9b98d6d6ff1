package prometheus

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/gorm-preload/preload"
	"github.com/prometheus/client_golang/prometheus"
)

// maxTables bounds the values of the label "table"; tables beyond share one, otherTables.
const (
	maxTables   = 200
	otherTables = "other"
	ownTable    = "own data"
	otherShapes = "other" // the ID of what Plugin.Shapes tells together
)

// Collector gives the figures of a plugin to a registry of Prometheus. It is safe for concurrent
// use. Between two scrapes it costs nothing but what the labels of the last one hold.
type Collector struct {
	plugin *preload.Plugin
	shapes int
	consts prometheus.Labels

	all []*prometheus.Desc
	d   descs

	last atomic.Pointer[labels] // of the last scrape; they do not change any more
}

// Option configures a Collector.
type Option func(*Collector)

// WithConstLabels gives all metrics labels, such as the name of the database where there are
// several plugins.
func WithConstLabels(labels prometheus.Labels) Option {
	return func(c *Collector) { c.consts = maps.Clone(labels) }
}

// WithShapes tells of so many shapes of queries, too, at most 1,000: of each its ID and table. Of
// none by default: each is several series. They are those of Plugin.Shapes, which the most database
// time is saved or spent on: the series of one end where others get before it, and go on where it
// comes back. The others are not told together, as the sum of what others do goes down where one of
// them gets in: preload_reads_total has all.
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
		d := prometheus.NewDesc("preload_"+name, help, labels, c.consts)
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
	to := &scrape{to: ch}
	if last := c.last.Load(); last != nil {
		to.before = *last
	}
	to.labels = make(labels, len(to.before))
	defer func() {
		last := to.labels
		c.last.Store(&last)
	}()
	v := &s.Verify
	verifies := s.Settings.VerifyRate > 0 || s.Mode == preload.ModeShadow || v.Equal+v.Mismatches+v.Skipped+v.Failed > 0
	for table, m := range tables(&s) {
		to.count(d.reads, m.Hits-m.Joined-m.Stale, table, "hit")
		to.count(d.reads, m.Joined, table, "joined")
		to.count(d.reads, m.Stale, table, "stale")
		to.count(d.reads, m.Misses, table, "miss")
		for why, n := range m.MissCauses {
			to.count(d.misses, n, table, string(why))
		}
		to.gauge(d.entries, float64(m.Entries), table)
		to.histogram(d.queryDuration, &m.Queries, table)
		if verifies {
			to.count(d.checks, m.Verify.Equal, table, "equal")
			to.count(d.checks, m.Verify.Mismatches, table, "mismatch")
			to.count(d.checks, m.Verify.Skipped, table, "skipped")
			to.count(d.checks, m.Verify.Failed, table, "error")
		}
	}
	to.count(d.reads, s.Bypassed, "", "bypass")
	for reason, n := range s.BypassReasons {
		to.count(d.bypasses, n, string(reason))
	}
	for table, rules := range written(s.InvalidatedBy) {
		for rule, n := range rules {
			to.count(d.invalidations, n, table, rule)
		}
	}
	to.count(d.evictions, s.Evicted-s.EvictedBytes, "entries")
	to.count(d.evictions, s.EvictedBytes, "bytes")
	to.count(d.expirations, s.Expired)
	for cause, results := range s.Loads.Results {
		for result, n := range results {
			to.count(d.loads, n, cause, result)
		}
	}
	for cause, n := range s.Loads.Used {
		to.count(d.loadsUsed, n, cause)
	}
	for cause, took := range s.Loads.Took {
		to.histogram(d.loadDuration, &took, cause)
	}
	for _, f := range s.Feeds {
		to.gauge(d.feedAge, f.Age.Seconds(), f.Feed)
		to.gauge(d.feedServes, f.Serves.Seconds(), f.Feed)
		to.histogram(d.feedAnnounce, &f.Announces, f.Feed)
		for reason, n := range f.Resets {
			to.count(d.feedResets, n, f.Feed, reason)
		}
	}
	to.gauge(d.entriesLimit, float64(s.Limits.Entries))
	to.gauge(d.memoryLimit, float64(s.Limits.Bytes))
	for part, n := range map[string]int64{
		"prepared": s.Memory.Prepared, "templates": s.Memory.Templates, "statements": s.Memory.Statements,
		"loaders": s.Memory.Loaders, "patterns": s.Memory.Patterns, "prediction": s.Memory.Prediction, "seen": s.Memory.Seen, "recordings": s.Memory.Recordings,
	} {
		to.gauge(d.parts, float64(n), part)
	}
	to.gauge(d.memory, float64(s.Bytes))
	to.gauge(d.heldOut, float64(len(s.HeldOut)))
	for cause, n := range s.HoldOutsBy {
		to.count(d.holdOuts, n, cause)
	}
	to.gauge(d.inFlight, float64(s.ActiveTasks))
	to.gauge(d.waiting, float64(s.Prediction.Waiting))
	to.gauge(d.patterns, float64(s.TrackedPatterns))
	to.gauge(d.patternsLimit, float64(s.Limits.Patterns))
	to.gauge(d.associations, float64(s.Associations))
	to.gauge(d.level, float64(s.Prediction.Level))
	to.gauge(d.treated, s.Prediction.Treated)
	to.gauge(d.control, s.Prediction.Control)
	for part, n := range s.Faults {
		to.count(d.faults, n, part)
	}
	for _, mode := range []preload.Mode{preload.ModeOff, preload.ModeShadow, preload.ModeOn} {
		is := 0.
		if mode == c.plugin.Mode() {
			is = 1
		}
		to.gauge(d.enabled, is, mode.String())
	}
	to.gauge(d.build, 1, s.Settings.Version, runtime.Version())
	if c.shapes <= 0 {
		return
	}
	for _, shape := range c.plugin.Shapes(c.shapes) {
		if shape.ID == otherShapes {
			continue
		}
		to.count(d.shapeReads, shape.Hits-shape.Joined-shape.Stale, shape.ID, shape.Table, "hit")
		to.count(d.shapeReads, shape.Joined, shape.ID, shape.Table, "joined")
		to.count(d.shapeReads, shape.Stale, shape.ID, shape.Table, "stale")
		to.count(d.shapeReads, shape.Misses, shape.ID, shape.Table, "miss")
		to.number(d.shapeSeconds, prometheus.CounterValue, shape.DBTime.Seconds(), []string{shape.ID, shape.Table})
	}
}

// tables returns what is told of the models, and of own data if there is any. Those beyond
// maxTables in the order of their names are told as one, so that a table does not change its label
// while the models in use stay the same.
func tables(s *preload.Stats) map[string]preload.ModelStats {
	all := make(map[string]preload.ModelStats, len(s.Models))
	add := func(name string, m preload.ModelStats) {
		if has, ok := all[name]; ok {
			m = sum(has, m)
		}
		all[name] = m
	}
	for i, table := range slices.Sorted(maps.Keys(s.Models)) {
		if i >= maxTables {
			add(otherTables, s.Models[table])
			continue
		}
		add(table, s.Models[table])
	}
	if s.Own.Hits+s.Own.Misses > 0 {
		add(ownTable, s.Own)
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
