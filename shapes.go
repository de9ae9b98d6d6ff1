package preload

import (
	"time"

	"github.com/gorm-preload/preload/internal/sqltext"
	"github.com/gorm-preload/preload/internal/template"
)

const (
	maxShapes   = 1_000
	maxUnserved = 200
)

// ShapeStats is what happened to the queries of one shape: those that differ by their values only,
// and by how many there are in their lists.
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
	some, others := p.templates.Costliest(min(max(0, limit), maxShapes))
	all := make([]ShapeStats, len(some), len(some)+1)
	for i := range some {
		all[i] = shapeStats(&some[i])
		all[i].describe(p, some[i].Of)
	}
	if others != nil {
		others.Label = "other"
		all = append(all, shapeStats(others))
	}
	return all
}

func shapeStats(r *template.Reads) ShapeStats {
	s := ShapeStats{
		ID: r.Label, Table: r.Table, Hits: r.Hits, Joined: r.Joined, Stale: r.Stale, Misses: r.Misses, MissCauses: causesOf(&r.Figures),
		Entries: int(r.Entries), Bytes: r.Bytes, DBTime: r.DBTime, Saved: r.Saved, Verify: verifiedOf(&r.Figures),
	}
	for by, n := range r.Invalidated {
		if s.Invalidations == nil {
			s.Invalidations = map[string]map[string]int64{}
		}
		if s.Invalidations[by.Table] == nil {
			s.Invalidations[by.Table] = map[string]int64{}
		}
		s.Invalidations[by.Table][by.Rule] = n
	}
	return s
}

// describe adds the SQL, and what invalidates the answers.
func (s *ShapeStats) describe(p *Plugin, t *template.Template) {
	p.config.guard("describing a shape", func() {
		s.SQL, s.InvalidatedBy = sqltext.Plain(p.dialect, t.SQL), t.InvalidatedBy()
	})
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
		all[i] = UnservedStats{Reason: Reason(row.Reason), SQL: row.SQL, Count: row.Count, DBTime: row.DBTime, Advice: row.Advice()}
	}
	return all
}

// limits returns the limits of the plugin.
func (p *Plugin) limits() Limits {
	c := p.config
	return Limits{
		Entries: c.maxEntries, Bytes: c.maxBytes, Patterns: c.maxPatterns, Loaders: c.maxLoaders,
		Shapes: maxShapes, Unserved: maxUnserved, LoadSlots: c.concurrency,
	}
}
