package explain

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/sqltext"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// Config is what an Explainer looks into.
type Config struct {
	Catalog    *catalog.Catalog
	Footprints *footprint.Footprints
	Cache      *cache.Cache
	Dialector  gorm.Dialector
	// PublicKey returns what users know an answer by.
	PublicKey func(*cache.Entry) string
	// RawRead is why a read that is given as SQL is not kept.
	RawRead string
}

// Explainer collects what is found out of the statements that one function builds.
type Explainer struct {
	Config
	statements []found
}

// found is a statement that was looked at.
type found struct {
	Statement
	full string // its SQL with all values in it, by which Found tells it from others
}

// New returns an explainer that has looked at nothing yet.
func New(c Config) *Explainer { return &Explainer{Config: c} }

// Found returns what was found out of a statement, and of those that GORM added to it. It reports
// false where nothing was looked at. main is nil where the statement is not known: then the first
// one that was looked at counts.
func (ex *Explainer) Found(main *gorm.Statement) (of Statement, others []Statement, ok bool) {
	if len(ex.statements) == 0 {
		return of, nil, false
	}
	at := 0
	if main != nil {
		// Associations come before and after it.
		full := ex.fullText(main)
		at = max(0, slices.IndexFunc(ex.statements, func(f found) bool { return f.full == full }))
	}
	for i, f := range ex.statements {
		if f.Hidden {
			f.hide()
		}
		if i == at {
			of = f.Statement
		} else {
			others = append(others, f.Statement)
		}
	}
	return of, others, true
}

// Query is a query that was recognized.
type Query struct {
	Reason   string             // why it does not qualify; "" if it does
	Template *template.Template // nil where it has none
	Key      string
	Now      time.Time // by the clock of the cache
}

// Query explains a query, which is rendered.
func (ex *Explainer) Query(stmt *gorm.Statement, q Query) {
	f := ex.look(stmt)
	f.Reason, f.Cacheable = q.Reason, q.Reason == ""
	if q.Template != nil && f.Cacheable {
		f.Key, f.Stored = q.Key, ex.Cache.Find(q.Key, q.Now) != nil
		r := q.Template.ReadingOf(ex.Catalog.Version())
		f.KilledBy = killers(r)
		f.Tables, f.Columns, f.Pinned = slices.Clone(r.Loose), []string{"*"}, map[string][]string{}
		if r.About.Table != "" {
			f.Tables = append(f.Tables, r.About.Table)
			f.Columns = listed(r.About.Columns)
			for _, joined := range r.Loose {
				f.Columns = append(f.Columns, joined+".*")
			}
			slices.Sort(f.Tables)
			for _, pin := range r.About.Fixed {
				f.Pinned[pin.Column] = readable(pin.Values)
			}
			for i, values := range r.Facts(stmt.Vars) {
				if values != nil {
					f.Pinned[r.About.Pinned[i]] = readable(values)
				}
			}
		}
	}
	ex.statements = append(ex.statements, f)
}

// Write explains a statement that changes something.
func (ex *Explainer) Write(stmt *gorm.Statement, w footprint.Write) {
	f := ex.look(stmt)
	seen := map[*coherence.Guard]bool{}
	for _, change := range ex.Catalog.Expand(w.Changes) {
		if change.Table != "" && !ex.Catalog.Knows(change.Table) {
			continue // a name in raw SQL that is no table in use
		}
		f.Changes = append(f.Changes, Change{
			Table: change.Table, Kind: kindsOf(change.Kinds),
			Where: readablePins(change.Where), Columns: listed(change.Columns), Set: readablePins(change.Set),
		})
		for _, kill := range ex.Cache.Index.Touching(change) {
			if answer := kill.Guard.Owner.(*cache.Entry); !seen[kill.Guard] {
				seen[kill.Guard] = true
				f.Kills = append(f.Kills, Killed{Key: ex.PublicKey(answer), Table: kill.Table, Rule: kill.Reason.String()})
			}
		}
	}
	slices.SortFunc(f.Kills, func(a, b Killed) int { return cmp.Compare(a.Key, b.Key) })
	ex.statements = append(ex.statements, f)
}

// Raw explains a statement that is given as SQL.
func (ex *Explainer) Raw(stmt *gorm.Statement) {
	switch meaning := ex.Footprints.Meaning(stmt.SQL.String()); meaning.Kind {
	case sqltext.Read, sqltext.Savepoint, sqltext.RollbackTo, sqltext.Release:
		f := ex.look(stmt)
		f.Reason = ex.RawRead
		ex.statements = append(ex.statements, f)
	case sqltext.Write:
		ex.Write(stmt, ex.Footprints.Raw(stmt, true))
	default:
		ex.Write(stmt, footprint.Everything())
	}
}

// look returns the SQL of a statement, with values where the application's logger would show them.
func (ex *Explainer) look(stmt *gorm.Statement) found {
	f := found{full: ex.fullText(stmt)}
	f.SQL = f.full
	if filter, ok := stmt.Logger.(gorm.ParamsFilter); ok {
		sql, vars := filter.ParamsFilter(stmt.Context, stmt.SQL.String(), stmt.Vars...)
		f.SQL = ex.Dialector.Explain(sql, vars...)
		f.Hidden = !reflect.DeepEqual(vars, stmt.Vars)
	}
	return f
}

func (ex *Explainer) fullText(stmt *gorm.Statement) string {
	return ex.Dialector.Explain(stmt.SQL.String(), stmt.Vars...)
}
