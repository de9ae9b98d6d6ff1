package preload

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/gorm-preload/preload/internal/seen"
	"github.com/gorm-preload/preload/internal/sqltext"
	"github.com/gorm-preload/preload/internal/template"
)

const (
	maxShapes   = 1_000
	maxUnserved = 200
)

// ShapeStats is what happened to the queries of one shape: those that differ by their values only.
type ShapeStats struct {
	ID    string // "other" of those beyond the limit, which are told together
	SQL   string // with "?" in place of values; "" where it cannot be shown without them
	Table string // of the model

	Hits       int64 // of these Joined and Stale
	Joined     int64 // answered by the query of another reader
	Stale      int64 // answered from memory while the answer was loaded again
	Misses     int64
	MissCauses map[Cause]int64

	// Invalidations are the answers that writes invalidated, by the table that was written, "" for
	// all tables, and by the rule: as in Stats.InvalidatedBy.
	Invalidations map[string]map[string]int64
	// InvalidatedBy says in words which writes invalidate an answer.
	InvalidatedBy string

	Entries int
	Bytes   int64
	DBTime  time.Duration // that the misses took
	Saved   time.Duration // that the hits would have taken, as far as the misses tell
	Verify  VerifyStats
}

// Shapes returns the shapes of queries that are known, at most so many and at most 1,000, those
// first that the most database time was saved or spent on; one more, with the ID "other", has what
// is beyond. A shape that is not in use any more may be forgotten, and is then no part of it, and
// neither is one of which nothing was read yet.
func (p *Plugin) Shapes(limit int) []ShapeStats {
	if p.inUse() != nil {
		return nil
	}
	var all []ShapeStats
	p.templates.Each(func(t *template.Template) {
		if s := shapeStats(t); s.Hits+s.Misses > 0 || s.Entries > 0 {
			all = append(all, s)
		}
	})
	slices.SortFunc(all, func(a, b ShapeStats) int {
		return cmp.Or(cmp.Compare(b.Saved+b.DBTime, a.Saved+a.DBTime), cmp.Compare(b.Hits+b.Misses, a.Hits+a.Misses), cmp.Compare(a.ID, b.ID))
	})
	limit = min(max(0, limit), maxShapes)
	if len(all) > limit {
		other := ShapeStats{ID: "other"}
		for _, one := range all[limit:] {
			other.add(&one)
		}
		all = append(all[:limit], other)
	}
	for i := range all {
		all[i].describe(p)
	}
	return all
}

// shapeStats returns what was counted of a template, without what takes work to tell.
func shapeStats(t *template.Template) ShapeStats {
	var f seen.Figures
	t.Tally.Seen.Into(&f)
	s := ShapeStats{
		ID: template.Label(t.Prefix), Table: t.Table,
		Hits: t.Tally.Hits.Load(), Joined: f.Joined, Stale: f.Stale, Misses: t.Tally.Misses.Load(), MissCauses: causesOf(&f),
		Entries: int(t.Tally.Entries.Load()), Bytes: f.Bytes, DBTime: f.DBTime, Verify: verifiedOf(&f),
	}
	for by, n := range f.Invalidated {
		s.invalidated(by.Table, by.Rule, n)
	}
	if n := durations(f.DBTime, f.Queries).Count; n > 0 {
		s.Saved = time.Duration(float64(f.DBTime) / float64(n) * float64(s.Hits))
	}
	return s
}

func (s *ShapeStats) invalidated(table, rule string, n int64) {
	if s.Invalidations == nil {
		s.Invalidations = map[string]map[string]int64{}
	}
	if s.Invalidations[table] == nil {
		s.Invalidations[table] = map[string]int64{}
	}
	s.Invalidations[table][rule] += n
}

func (s *ShapeStats) add(o *ShapeStats) {
	s.Hits, s.Joined, s.Stale, s.Misses = s.Hits+o.Hits, s.Joined+o.Joined, s.Stale+o.Stale, s.Misses+o.Misses
	s.Entries, s.Bytes, s.DBTime, s.Saved = s.Entries+o.Entries, s.Bytes+o.Bytes, s.DBTime+o.DBTime, s.Saved+o.Saved
	s.Verify.Equal, s.Verify.Mismatches = s.Verify.Equal+o.Verify.Equal, s.Verify.Mismatches+o.Verify.Mismatches
	s.Verify.Skipped, s.Verify.Failed = s.Verify.Skipped+o.Verify.Skipped, s.Verify.Failed+o.Verify.Failed
	for why, n := range o.MissCauses {
		if s.MissCauses == nil {
			s.MissCauses = map[Cause]int64{}
		}
		s.MissCauses[why] += n
	}
	for table, rules := range o.Invalidations {
		for rule, n := range rules {
			s.invalidated(table, rule, n)
		}
	}
}

// describe adds the SQL, and what invalidates the answers.
func (s *ShapeStats) describe(p *Plugin) {
	if t, ok := p.templates.Named(s.ID + ":"); ok {
		p.config.guard("describing a shape", func() {
			s.SQL, s.InvalidatedBy = sqltext.Plain(p.dialect, t.SQL), t.InvalidatedBy()
		})
	}
}

// UnservedStats is what is told of reads that went to the database untouched, for one reason and,
// as far as there is room, by one statement.
type UnservedStats struct {
	Reason Reason
	SQL    string // with "?" in place of values; "" of statements that are told together
	Count  int64
	DBTime time.Duration
	Advice string // what would have them served, "" where nothing would
}

// Unserved returns the reads that went to the database untouched, at most so many lines of them and
// at most 200, those first that took the database the most time. What Clear clears is counted from
// then on.
func (p *Plugin) Unserved(limit int) []UnservedStats {
	if p.idle() {
		return nil
	}
	rows := p.stats.unserved.Rows(min(limit, maxUnserved))
	all := make([]UnservedStats, len(rows))
	for i, row := range rows {
		all[i] = UnservedStats{Reason: Reason(row.Reason), SQL: row.SQL, Count: row.Count, DBTime: row.DBTime, Advice: advice(Reason(row.Reason), row.SQL)}
	}
	return all
}

// advice returns what would have reads served that were not for a reason.
func advice(reason Reason, sql string) string {
	switch reason {
	case ReasonRaw:
		return "give WithRaw, or Clauses(preload.Cache()) for this query; or write it with Find, First or Count"
	case ReasonRows:
		return "read the rows to their end, or use Find, First, Pluck, Count or Scan"
	case ReasonNoModel:
		return "name the model: db.Model(&User{})"
	case ReasonNoPolicy:
		return "opt the model in: a field _ struct{} `preload:\"\"`, or WithPolicy"
	case ReasonBadTag:
		return "mend the model's tag: Register tells what is wrong"
	case ReasonTransaction:
		return "give WithTransactionReads, or read outside of the transaction what need not be part of it"
	case ReasonOwnWrites:
		return "read before the write what need not show it"
	case ReasonPool:
		return "use the *gorm.DB that the plugin was given to"
	case ReasonContext:
		return "give the query more time: its context had ended before it began"
	case ReasonDest:
		return "read into a struct, a slice of structs or a map"
	case ReasonArgs:
		return "give plain bind values: numbers, texts, times"
	case ReasonLong:
		return "ask for fewer values at a time"
	case ReasonVolatile:
		return "give the time as a bind value, and round it: to the minute, say"
	case ReasonFunction:
		return "name the function in WithFunctions if it only computes something from its arguments, or compute it in Go"
	case ReasonTable:
		return "use the model of each table in a query first, or Register it; name a view and what it reads in Clauses(preload.Cache(preload.Tables(...)))"
	case ReasonTooLarge:
		return "ask for fewer rows with Limit, or raise WithMaxRows or WithMaxBytes"
	case ReasonNotKeepable:
		return "read into types without channels and functions"
	case ReasonFault:
		return "see the log"
	case ReasonOff:
		return "SetMode(ModeOn)"
	case ReasonWithdrawn:
		return "find who writes past the plugin, then SetMode(ModeOn)"
	case ReasonNotPlain:
		if strings.Contains(strings.ToLower(sql), " for ") {
			return ""
		}
		return "write what it reads as a plain SELECT"
	}
	return ""
}

// limits returns the limits of the plugin.
func (p *Plugin) limits() Limits {
	c := p.config
	return Limits{
		Entries: c.maxEntries, Bytes: c.maxBytes, Patterns: c.maxPatterns, Loaders: c.maxLoaders,
		Shapes: maxShapes, Unserved: maxUnserved, LoadSlots: c.concurrency,
	}
}
