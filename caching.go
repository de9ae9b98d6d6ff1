package preload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/mode"
	"github.com/gorm-preload/preload/internal/own"
	"gorm.io/gorm/clause"
)

// CacheOption says how one value, or the answer of one query, is kept.
type CacheOption func(*caching)

// caching is what CacheOptions say.
type caching struct{ mode.Terms }

// Cache has the answer of one query kept, whether its model is opted in or not, and whether GORM
// builds the query or it is given as SQL:
//
//	db.Clauses(preload.Cache(preload.For(time.Minute), preload.Tables(&Order{}, "v_sales"))).
//		Raw("SELECT region, total FROM v_sales").Scan(&sales)
//
// For sets how long, instead of the setting of the model that is read. An answer without rows is
// kept for WithNegativeTTL, if that is shorter. Tables names tables whose writes invalidate the
// answer, besides those that the query names. A name that is of no model in use, such as that of a
// view or of a function, has to be among them, together with the tables that it reads: with that
// the application says that the function does nothing but read. Tags gives the answer names for
// InvalidateTags; such an answer is not loaded in the background.
//
// A query that asks for the current time (now(), CURRENT_DATE, a text such as 'today') is kept with
// Cache only, and is then as old as For says at most. One that gives a new value each time for
// another reason (random(), nextval()) is not kept, nor is what a transaction reads, or a query
// that reads a model which is opted out with `preload:"-"`.
//
// The same query on other terms is another answer. It holds for the query that has the clause, and
// not for those that preload its associations. Wrong options are an error of the query.
func Cache(options ...CacheOption) clause.Expression { return cachingOf("Cache", options) }

// ContextWithCache makes the queries that run with the context behave as with Cache, those that
// preload associations as well. A clause that a query has itself comes first.
func ContextWithCache(ctx context.Context, options ...CacheOption) context.Context {
	return cachingOf("ContextWithCache", options).In(orBackground(ctx))
}

// cachingOf returns what options say. who names the function in what is wrong with them.
func cachingOf(who string, options []CacheOption) *mode.Terms {
	var c caching
	for _, option := range options {
		if option == nil {
			c.Errs = append(c.Errs, fmt.Errorf("preload: %s: an option is nil", who))
			continue
		}
		option(&c)
	}
	return &c.Terms
}

// For sets how long a value, or an answer, is kept, instead of WithTTL; it must be positive.
func For(ttl time.Duration) CacheOption {
	return func(c *caching) {
		if ttl <= 0 {
			c.Errs = append(c.Errs, fmt.Errorf("preload: For(%v): want a positive duration", ttl))
		}
		c.TTL = ttl
	}
}

// Tables names tables that a value, or an answer, was made of: each is given as a model (a struct
// or a pointer to one) or by its name. A view stands for none of the tables that it reads: they are
// to be named.
func Tables(tables ...any) CacheOption {
	return func(c *caching) { c.Tables = append(c.Tables, tables...) }
}

// Tags gives a value, or an answer, names by which InvalidateTags invalidates it.
func Tags(names ...string) CacheOption {
	return func(c *caching) { c.Tags = append(c.Tags, names...) }
}

// InvalidateTags invalidates all that was given one of these names by Tags. Loads in flight are not
// stored. The error says that a name is empty, or that there is none; the others are heeded.
func (p *Plugin) InvalidateTags(names ...string) error {
	if p.idle() {
		return errNoPlugin
	}
	if len(names) == 0 {
		return errors.New("preload: InvalidateTags: want a name, or more")
	}
	tags, err := mode.TablesOfTags("InvalidateTags", names)
	p.forget(tags)
	return err
}

// forget invalidates what depends on tables.
func (p *Plugin) forget(tables []string) {
	changes := make([]coherence.Change, len(tables))
	for i, table := range tables {
		changes[i] = coherence.Loose(table, coherence.Any)
	}
	p.log.InvalidateEverywhere(changes)
}

// termsOf returns what options say. who names the function in the error.
func (p *Plugin) termsOf(who string, options []CacheOption) (terms own.Terms, err error) {
	if len(options) == 0 {
		return terms, nil
	}
	given := cachingOf(who, options)
	tables, wrongTables := p.tablesOf(who, given.Tables)
	tags, wrongTags := mode.TablesOfTags(who, given.Tags)
	return own.Terms{TTL: given.TTL, Tables: append(tables, tags...)}, errors.Join(append(given.Errs, wrongTables, wrongTags)...)
}

// tablesOf returns the tables of models, as changes name them. The error names those that stand for
// none; who names the function in it.
func (p *Plugin) tablesOf(who string, models []any) (tables []string, err error) {
	if !p.ready.Load() && slices.ContainsFunc(models, func(m any) bool { _, name := m.(string); return !name }) {
		return nil, errNotInitialized
	}
	return p.models.TablesOf(who, models)
}
