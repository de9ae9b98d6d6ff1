package preload

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gorm-preload/preload/internal/explain"
	"github.com/gorm-preload/preload/internal/recognition"
	"github.com/gorm-preload/preload/internal/shortcut"
	"gorm.io/gorm"
)

// Explanation says what the plugin makes of one statement. Its String is meant to be read. It shows
// values where the logger of the *gorm.DB would: with ParameterizedQueries there are "?" in place
// of them, and in String labels in place of keys. Key and Invalidation.Key are as in Hot and
// RelatedKeys in any case.
type Explanation struct {
	SQL string // with the values in it

	// Of a query.
	Cacheable bool
	Reason    Reason              // why not: one of Stats.BypassReasons
	Key       string              // as in Hot and RelatedKeys; "" if it is not cacheable
	Stored    bool                // the answer is in memory now
	Tables    []string            // whose changes can invalidate the answer
	Columns   []string            // of the table, on which the answer depends; "*" for all
	Pinned    map[string][]string // columns and the values that all rows of the answer have there, as they are compared
	// InvalidatedBy says which writes invalidate the answer, and why these: a sentence for each
	// kind of write.
	InvalidatedBy []string

	// Of a write.
	Changes []Change
	// Invalidates are the answers that it would invalidate now.
	Invalidates []Invalidation

	// Others are the statements that GORM adds to this one: those of associations and hooks.
	Others []Explanation

	hidden bool // no values are to be shown
}

// Change is what a write does to one table.
type Change struct {
	Table   string              // "" stands for all
	Kind    string              // insert, update, delete, or several with "or" between them
	Where   map[string][]string // what is known of the rows that it touches, as values are compared
	Columns []string            // that an update sets; "*" for all
	Set     map[string][]string // what is known of the values that it sets, or inserts
}

// Invalidation is an answer that a write would invalidate.
type Invalidation struct {
	Key   string
	Table string // of the change
	Rule  string // by which the write finds it, as in Stats.InvalidatedBy
}

// Explain says what the plugin makes of a statement, such as tx.Where(...).First(&person) or
// tx.Model(&person).Update(...), which is built but not executed: tx is in GORM's DryRun mode, and
// hooks run as they do there. Scan, Rows and Row find no rows. Nothing is counted, loaded or
// invalidated.
// The error is that of the statement, or says that there was none.
func (p *Plugin) Explain(statement func(tx *gorm.DB) *gorm.DB) (Explanation, error) {
	if err := p.inUse(); err != nil {
		return Explanation{}, err
	}
	switch {
	case p.closed.Load():
		return Explanation{}, fmt.Errorf("preload: Explain: %w", ErrClosed)
	case statement == nil:
		return Explanation{}, errors.New("preload: Explain(nil): want a function that runs a statement")
	}
	ex := p.newExplainer()
	tx := statement(p.db.Session(&gorm.Session{DryRun: true, SkipDefaultTransaction: true}).Set(observerSetting, ex))
	var main *gorm.Statement
	if tx != nil {
		if tx.Error != nil {
			return Explanation{}, fmt.Errorf("preload: Explain: %w", tx.Error)
		}
		main = tx.Statement
	}
	found, others, ok := ex.Found(main)
	if !ok {
		return Explanation{}, errors.New("preload: Explain: the function ran no statement on its argument")
	}
	explanation := explanationOf(found)
	for _, other := range others {
		explanation.Others = append(explanation.Others, explanationOf(other))
	}
	return explanation, nil
}

// explainer is the observer of Explain.
type explainer struct {
	*explain.Explainer
	off bool // the plugin is in ModeOff
}

func (p *Plugin) newExplainer() explainer {
	return explainer{off: p.mode() == ModeOff, Explainer: explain.New(explain.Config{
		Catalog: p.catalog, Footprints: p.footprints, Cache: p.cache, Dialector: p.db.Dialector, PublicKey: p.own.PublicKey, RawRead: string(ReasonRaw),
	})}
}

// prepares implements observer.
func (ex explainer) prepares() *shortcut.Preparation { return nil }

// query implements observer: GORM renders the query first.
func (ex explainer) query(db *gorm.DB, q *recognition.Query, reason Reason, next func(*gorm.DB)) {
	next(db)
	if ex.off {
		reason = ReasonOff
	}
	found := explain.Query{Reason: string(reason), Template: q.Template, Key: q.Key, Now: q.Now}
	if q.Hit != nil {
		found.Key = q.Hit.Key
	}
	ex.Query(db.Statement, found)
}

// explanationOf returns what was found out of a statement, as it is documented.
func explanationOf(found explain.Statement) Explanation {
	e := Explanation{
		SQL: found.SQL, Cacheable: found.Cacheable, Reason: Reason(found.Reason), Key: found.Key, Stored: found.Stored,
		Tables: found.Tables, Columns: found.Columns, Pinned: found.Pinned, InvalidatedBy: found.KilledBy, hidden: found.Hidden,
	}
	for _, c := range found.Changes {
		e.Changes = append(e.Changes, Change(c))
	}
	for _, k := range found.Kills {
		e.Invalidates = append(e.Invalidates, Invalidation(k))
	}
	return e
}

// statement is what explanationOf makes an explanation of.
func (e Explanation) statement() explain.Statement {
	s := explain.Statement{
		SQL: e.SQL, Cacheable: e.Cacheable, Reason: string(e.Reason), Key: e.Key, Stored: e.Stored,
		Tables: e.Tables, Columns: e.Columns, Pinned: e.Pinned, KilledBy: e.InvalidatedBy, Hidden: e.hidden,
	}
	for _, c := range e.Changes {
		s.Changes = append(s.Changes, explain.Change(c))
	}
	for _, k := range e.Invalidates {
		s.Kills = append(s.Kills, explain.Killed(k))
	}
	return s
}

// String writes the explanation out, a fact a line.
func (e Explanation) String() string {
	var b strings.Builder
	b.WriteString(e.statement().String())
	for _, other := range e.Others {
		b.WriteString(other.String())
	}
	return b.String()
}

// String writes the change out: "update users set name where id = 7".
func (c Change) String() string { return explain.Change(c).String() }
