package debug

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/template"
)

// How much a page shows of each.
const (
	shownAdvices  = 5
	shownShapes   = 50
	shownUnserved = 50
	shownKeys     = 20
)

// page is what a page shows, and what it is as JSON.
type page struct {
	Verdict       string                  `json:"verdict"`
	Health        string                  `json:"health,omitempty"`
	Mode          string                  `json:"mode"`
	At            time.Time               `json:"at"`
	Advices       []advice                `json:"advices"`
	Tables        []table                 `json:"tables"`
	Shapes        []preload.ShapeStats    `json:"shapes"`
	Unserved      []preload.UnservedStats `json:"unserved"`
	Invalidations []invalidation          `json:"invalidations"`
	Keys          []key                   `json:"keys"`
	Stats         preload.Stats           `json:"stats"`

	Actions bool     `json:"-"`
	Modes   []string `json:"-"`
}

// advice is what would save the most database time.
type advice struct {
	DBTime time.Duration `json:"db_time"`
	What   string        `json:"what"`
	About  string        `json:"about"`
}

type table struct {
	Name string `json:"name"`
	preload.ModelStats
}

type invalidation struct {
	Table string `json:"table"` // that was written
	Rule  string `json:"rule"`
	Shape string `json:"shape"` // of the answers; "" of those of shapes that are not shown
	Count int64  `json:"count"`
}

type key struct {
	Key       string    `json:"key"`
	Count     int64     `json:"count"`
	Score     float64   `json:"score"`
	Last      time.Time `json:"last_access"`
	FollowsIt []string  `json:"followed_by"`
}

// newPage looks at a plugin. saves is how many queries it saves a second.
func newPage(p *preload.Plugin, saves float64, values bool) *page {
	s := p.Stats()
	pg := &page{Mode: p.Mode().String(), At: time.Now(), Stats: s, Shapes: p.Shapes(shownShapes), Unserved: p.Unserved(shownUnserved)}
	if err := p.Health(); err != nil {
		pg.Health = err.Error()
	}
	for _, name := range slices.Sorted(maps.Keys(s.Models)) {
		pg.Tables = append(pg.Tables, table{name, s.Models[name]})
	}
	if s.Own.Hits+s.Own.Misses > 0 {
		pg.Tables = append(pg.Tables, table{"(own data)", s.Own})
	}
	slices.SortStableFunc(pg.Tables, func(a, b table) int { return cmp.Compare(b.Hits+b.Misses, a.Hits+a.Misses) })
	pg.Verdict, pg.Advices, pg.Invalidations = verdict(&s, saves), advices(pg.Shapes, pg.Unserved), invalidations(pg.Shapes, s.InvalidatedBy)
	for _, one := range p.Hot(shownKeys) {
		k := key{Key: shownKey(one.Key, values), Count: one.Count, Score: one.Score, Last: one.LastAccess}
		for _, next := range one.Related {
			k.FollowsIt = append(k.FollowsIt, shownKey(next, values))
		}
		pg.Keys = append(pg.Keys, k)
	}
	return pg
}

// shownKey returns what a key is called on the page: its shape and a sum, where its values are not
// to be seen.
func shownKey(of string, values bool) string {
	if values {
		return strings.ToValidUTF8(of, "?")
	}
	return template.Label(of) + " " + template.SumOf(of)
}

// verdict says in one line how the plugin does.
func verdict(s *preload.Stats, saves float64) string {
	reads := s.Hits + s.Misses + s.Bypassed
	faults := int64(0)
	for n := range maps.Values(s.Faults) {
		faults += n
	}
	parts := []string{"no reads yet"}
	if reads > 0 {
		does := "serves"
		if s.Mode == preload.ModeShadow {
			does = "would serve"
		}
		parts = []string{fmt.Sprintf("%s %.0f %% of reads", does, 100*float64(s.Hits)/float64(reads)), "saves " + rate(saves) + " queries a second"}
	}
	parts = append(parts, fmt.Sprintf("%s of %s", bytes(s.Bytes), bytes(s.Limits.Bytes)), fmt.Sprintf("level %d", s.Prediction.Level), fmt.Sprintf("%d faults", faults))
	if s.Verify.Mismatches > 0 {
		parts = append(parts, fmt.Sprintf("%d wrong answers", s.Verify.Mismatches))
	}
	if s.Mode != preload.ModeOn {
		parts = append([]string{"is in mode " + s.Mode.String()}, parts...)
	}
	return strings.Join(parts, ", ")
}

// advices returns what to do, that first which most database time goes with.
func advices(shapes []preload.ShapeStats, unserved []preload.UnservedStats) (all []advice) {
	for _, u := range unserved {
		if u.Advice != "" {
			all = append(all, advice{u.DBTime, u.Advice, cmp.Or(u.SQL, "reads bypassed: "+string(u.Reason))})
		}
	}
	for _, s := range shapes {
		why, n := preload.Cause(""), int64(0)
		for _, cause := range slices.Sorted(maps.Keys(s.MissCauses)) {
			if s.MissCauses[cause] > n {
				why, n = cause, s.MissCauses[cause]
			}
		}
		if what := remedy(why, &s); what != "" && 2*n >= s.Misses {
			all = append(all, advice{s.DBTime, what, cmp.Or(s.SQL, s.ID)})
		}
	}
	slices.SortStableFunc(all, func(a, b advice) int { return cmp.Compare(b.DBTime, a.DBTime) })
	return all[:min(shownAdvices, len(all))]
}

// remedy returns what would have fewer reads of a shape miss, whose usual cause is given.
func remedy(why preload.Cause, s *preload.ShapeStats) string {
	switch why {
	case preload.CauseInvalidated:
		return "answers are invalidated by: " + s.InvalidatedBy
	case preload.CauseExpired:
		return "answers expire before they are asked again: a longer ttl in the model's tag"
	case preload.CauseEvicted:
		return "answers leave for want of room: raise WithMaxBytes or WithMaxEntries"
	case preload.CauseTooLarge:
		return "answers are too large: Limit, or raise WithMaxRows"
	case preload.CauseHeldOut:
		return "writes whose end cannot be seen hold answers out: write through the *gorm.DB, not through a connection"
	case preload.CauseNotRepeated:
		return "hardly any query is asked again: round the time among its values"
	}
	return ""
}

// invalidations returns which writes invalidated which answers, the most first.
func invalidations(shapes []preload.ShapeStats, by map[string]map[string]int64) (all []invalidation) {
	rest := map[invalidation]int64{}
	for table, rules := range by {
		for rule, n := range rules {
			rest[invalidation{Table: table, Rule: rule}] += n
		}
	}
	for _, s := range shapes {
		for table, rules := range s.Invalidations {
			for rule, n := range rules {
				all = append(all, invalidation{table, rule, cmp.Or(s.SQL, s.ID), n})
				rest[invalidation{Table: table, Rule: rule}] -= n
			}
		}
	}
	for of, n := range rest {
		if n > 0 {
			of.Count = n
			all = append(all, of)
		}
	}
	slices.SortFunc(all, func(a, b invalidation) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Shape, b.Shape))
	})
	return all[:min(shownShapes, len(all))]
}

// bar is a part of the bar that shows the causes of misses.
type bar struct {
	Class    string
	X, Width float64
	Cause    preload.Cause
	Count    int64
}

const barWidth = 120

// bars returns the parts of a bar that shows the causes of misses, each as wide as it is frequent.
func bars(causes map[preload.Cause]int64) (all []bar) {
	sum, x := int64(0), 0.0
	for n := range maps.Values(causes) {
		sum += n
	}
	for _, cause := range slices.Sorted(maps.Keys(causes)) {
		n := causes[cause]
		width := barWidth * float64(n) / float64(max(1, sum))
		all = append(all, bar{strings.ReplaceAll(string(cause), " ", "-"), x, width, cause, n})
		x += width
	}
	return all
}

// rate writes so many a second for people.
func rate(n float64) string {
	if n >= 10 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.2g", n)
}

// bytes writes a number of bytes for people.
func bytes(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// short writes a duration for people.
func short(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
