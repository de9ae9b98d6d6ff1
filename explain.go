package preload

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/sqltext"
	"github.com/gorm-preload/preload/internal/template"
	"gorm.io/gorm"
)

// Explanation says what the plugin makes of one statement. Its String is meant to be read. It shows
// values where the logger of the *gorm.DB would: with ParameterizedQueries there are "?" in place
// of them, and in String labels in place of keys. Key and Killed.Key are as in Hot and RelatedKeys
// in any case.
type Explanation struct {
	SQL string // with the values in it

	// Of a query.
	Cacheable bool
	Reason    Reason              // why not: one of Stats.BypassReasons
	Key       string              // as in Hot and RelatedKeys; "" if it is not cacheable
	Stored    bool                // the answer is in memory now
	Tables    []string            // whose changes can kill the answer
	Columns   []string            // of the table, on which the answer depends; "*" for all
	Pinned    map[string][]string // columns and the values that all rows of the answer have there, as they are compared

	// Of a write.
	Changes []Change
	Kills   []Killed // the answers that it would kill now

	// Others are the statements that GORM adds to this one: those of associations and hooks.
	Others []Explanation

	full   string // the SQL with all values in it, while the statement is looked for
	hidden bool   // no values are to be shown
}

// Change is what a write does to one table.
type Change struct {
	Table   string              // "" stands for all
	Kind    string              // insert, update, delete, or several with "or" between them
	Where   map[string][]string // what is known of the rows that it touches, as values are compared
	Columns []string            // that an update sets; "*" for all
	Set     map[string][]string // what is known of the values that it sets, or inserts
}

// Killed is an answer that a write would kill.
type Killed struct {
	Key    string
	Table  string // of the change
	Reason string // as in Stats.Kills
}

// explainer collects what is explained.
type explainer struct {
	p          *Plugin
	statements []Explanation
}

// prepares implements observer.
func (ex *explainer) prepares() *preparation { return nil }

// Explain says what the plugin makes of a statement, such as tx.Where(...).First(&person) or
// tx.Model(&person).Update(...), which is built but not executed: tx is in GORM's DryRun mode, and
// hooks run as they do there. Nothing is counted, loaded or killed. The error is that of the
// statement, or says that there was none.
func (p *Plugin) Explain(statement func(tx *gorm.DB) *gorm.DB) (Explanation, error) {
	if err := p.inUse(); err != nil {
		return Explanation{}, err
	}
	switch {
	case p.closed.Load():
		return Explanation{}, errors.New("preload: Explain: the plugin is closed")
	case statement == nil:
		return Explanation{}, errors.New("preload: Explain(nil): want a function that runs a statement")
	}
	ex := &explainer{p: p}
	tx := statement(p.db.Session(&gorm.Session{DryRun: true, SkipDefaultTransaction: true}).Set(observerSetting, ex))
	if tx != nil && tx.Error != nil {
		return Explanation{}, fmt.Errorf("preload: Explain: %w", tx.Error)
	}
	if len(ex.statements) == 0 {
		return Explanation{}, errors.New("preload: Explain: the function ran no statement on its argument")
	}
	main := 0
	if tx != nil {
		// Associations come before and after it.
		text := p.fullText(tx.Statement)
		main = max(0, slices.IndexFunc(ex.statements, func(e Explanation) bool { return e.full == text }))
	}
	for i := range ex.statements {
		ex.statements[i].full = ""
		if ex.statements[i].hidden {
			ex.statements[i].hide()
		}
	}
	explanation := ex.statements[main]
	explanation.Others = slices.Delete(ex.statements, main, main+1)
	return explanation, nil
}

// explanation returns the explanation of a statement, in which is no more than its SQL.
func (p *Plugin) explanation(stmt *gorm.Statement) Explanation {
	e := Explanation{full: p.fullText(stmt)}
	e.SQL = e.full
	if filter, ok := stmt.Logger.(gorm.ParamsFilter); ok {
		sql, vars := filter.ParamsFilter(stmt.Context, stmt.SQL.String(), stmt.Vars...)
		e.SQL = p.db.Dialector.Explain(sql, vars...)
		e.hidden = !reflect.DeepEqual(vars, stmt.Vars)
	}
	return e
}

func (p *Plugin) fullText(stmt *gorm.Statement) string {
	return p.db.Dialector.Explain(stmt.SQL.String(), stmt.Vars...)
}

// hide puts "?" in place of the values that are not to be shown.
func (e *Explanation) hide() {
	hideValues(e.Pinned)
	for _, change := range e.Changes {
		hideValues(change.Where)
		hideValues(change.Set)
	}
}

func hideValues(of map[string][]string) {
	for column := range of {
		of[column] = []string{"?"}
	}
}

// query explains a query that was recognized, which GORM renders first.
func (ex *explainer) query(db *gorm.DB, q *read, reason Reason, next func(*gorm.DB)) {
	next(db)
	p, stmt := ex.p, db.Statement
	e := p.explanation(stmt)
	e.Reason, e.Cacheable = reason, reason == ""
	if q.template != nil && reason == "" {
		e.Key = q.key
		if q.hit != nil {
			e.Key = q.hit.Key
		}
		e.Stored = p.cache.Find(e.Key, q.now) != nil
		r := q.template.ReadingOf(p.catalog.Version())
		e.Tables, e.Columns, e.Pinned = slices.Clone(r.Loose), []string{"*"}, map[string][]string{}
		if r.About.Table != "" {
			e.Tables = append(e.Tables, r.About.Table)
			e.Columns = listed(r.About.Columns)
			for _, pin := range r.About.Fixed {
				e.Pinned[pin.Column] = readable(pin.Values)
			}
			for i, values := range r.Facts(stmt.Vars) {
				if values != nil {
					e.Pinned[r.About.Pinned[i]] = readable(values)
				}
			}
		}
	}
	ex.statements = append(ex.statements, e)
}

// write explains a statement that changes something.
func (ex *explainer) write(stmt *gorm.Statement, w footprint.Write) {
	p := ex.p
	e := p.explanation(stmt)
	seen := map[*coherence.Guard]bool{}
	for _, change := range p.catalog.Expand(w.Changes) {
		if change.Table != "" && !p.catalog.Knows(change.Table) {
			continue // a name in raw SQL that is no table in use
		}
		e.Changes = append(e.Changes, Change{
			Table: change.Table, Kind: kindsOf(change.Kinds),
			Where: readablePins(change.Where), Columns: listed(change.Columns), Set: readablePins(change.Set),
		})
		for _, kill := range p.cache.Index.Touching(change) {
			if answer := kill.Guard.Owner.(*cache.Entry); !seen[kill.Guard] {
				seen[kill.Guard] = true
				e.Kills = append(e.Kills, Killed{Key: p.own.PublicKey(answer), Table: kill.Table, Reason: kill.Reason.String()})
			}
		}
	}
	slices.SortFunc(e.Kills, func(a, b Killed) int { return cmp.Compare(a.Key, b.Key) })
	ex.statements = append(ex.statements, e)
}

// raw explains a statement that is given as SQL.
func (ex *explainer) raw(stmt *gorm.Statement) {
	p := ex.p
	switch meaning := p.footprints.Meaning(stmt.SQL.String()); meaning.Kind {
	case sqltext.Read, sqltext.Savepoint, sqltext.RollbackTo, sqltext.Release:
		e := p.explanation(stmt)
		e.Reason = ReasonRaw
		ex.statements = append(ex.statements, e)
	case sqltext.Write:
		ex.write(stmt, p.footprints.Raw(stmt, meaning.Names, true))
	default:
		ex.write(stmt, footprint.Everything())
	}
}

func kindsOf(kinds coherence.Kind) string {
	var names []string
	for i, name := range []string{"insert", "update", "delete"} {
		if kinds&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

func listed(columns coherence.Columns) []string {
	if columns.All {
		return []string{"*"}
	}
	return slices.Sorted(slices.Values(columns.Names))
}

func readablePins(pins coherence.Pins) map[string][]string {
	all := map[string][]string{}
	for _, pin := range pins {
		all[pin.Column] = readable(pin.Values)
	}
	return all
}

// readable writes out values as they are compared: texts in lower case, and without blanks.
func readable(values []coherence.Value) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		switch {
		case v == coherence.Null:
			texts[i] = "NULL"
		case v == catalog.SomeValue:
			texts[i] = "NOT NULL"
		case v[0] == 'i':
			texts[i] = string(v[1:])
		case v[0] == 'b':
			texts[i] = fmt.Sprintf("x'%x'", string(v[1:]))
		default:
			texts[i] = "'" + strings.TrimPrefix(string(v[1:]), "#") + "'"
		}
	}
	return texts
}

// String writes the explanation out, a fact a line.
func (e Explanation) String() string {
	var b strings.Builder
	e.print(&b)
	return b.String()
}

func (e Explanation) print(b *strings.Builder) {
	fmt.Fprintln(b, e.SQL)
	line := func(name, text string) { fmt.Fprintf(b, "  %-10s %s\n", name, text) }
	key := func(key string) string {
		if e.hidden {
			return template.Label(key)
		}
		return key
	}
	switch {
	case len(e.Changes) > 0:
		for _, c := range e.Changes {
			line("change", c.String())
		}
		if len(e.Kills) == 0 {
			line("kills", "nothing that is in memory now")
		}
		for _, k := range e.Kills {
			line("kills", key(k.Key)+" by "+k.Reason)
		}
	case e.Cacheable:
		line("cacheable", "yes")
		line("key", key(e.Key))
		line("stored", map[bool]string{true: "yes", false: "no"}[e.Stored])
		line("tables", strings.Join(e.Tables, ", "))
		line("columns", strings.Join(e.Columns, ", "))
		if len(e.Pinned) > 0 {
			line("pinned", conditions(e.Pinned))
		}
	case e.Reason != "":
		line("cacheable", "no: "+string(e.Reason))
	default:
		line("change", "none")
	}
	for _, other := range e.Others {
		other.print(b)
	}
}

// String writes the change out: "update users set name where id = 7".
func (c Change) String() string {
	text := c.Kind + " " + cmp.Or(c.Table, "any table")
	if len(c.Columns) > 0 {
		text += " set " + strings.Join(c.Columns, ", ")
	}
	if len(c.Set) > 0 {
		text += " to " + conditions(c.Set)
	}
	if len(c.Where) > 0 {
		text += " where " + conditions(c.Where)
	}
	return text
}

func conditions(pins map[string][]string) string {
	var all []string
	for column, values := range pins {
		if len(values) == 1 && (values[0] == "NULL" || values[0] == "NOT NULL") {
			all = append(all, column+" is "+strings.ToLower(values[0]))
		} else if len(values) == 1 {
			all = append(all, column+" = "+values[0])
		} else {
			all = append(all, column+" in ("+strings.Join(values, ", ")+")")
		}
	}
	slices.Sort(all)
	return strings.Join(all, " and ")
}
