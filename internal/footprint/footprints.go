package footprint

import (
	"slices"
	"sync/atomic"

	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/shape"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
)

// Footprints works out what statements read and change, by what a catalog knows of their tables.
type Footprints struct {
	catalog  *catalog.Catalog
	db       *gorm.DB
	dialect  string
	builders shape.Builders
	paging   shape.Paging
	pure     []string // functions of the application's own that have no side effects, folded
	// whole says that the values of all columns are told of a write, and not of those only that
	// answers of this process depend on.
	whole bool

	meanings memo[*meaning]
	shapes   memo[*sqltext.Shape]
	texts    memo[text]
	folded   atomic.Pointer[foldedText] // the last one: a statement is looked at several times
}

// text is what is known of a query by its text alone.
type text struct {
	Query          sqltext.Query
	Simple, Joined *sqltext.Shape
}

// New returns footprints by what a catalog knows. whole says that others than this process are told
// of writes, so that the values of all columns matter. pure are the names, folded, of functions of
// the application's own that have no side effects.
func New(c *catalog.Catalog, whole bool, pure ...string) *Footprints {
	return &Footprints{catalog: c, whole: whole, pure: pure}
}

// Pure reports whether a name is that of a function of the application's own that has no side
// effects.
func (f *Footprints) Pure(name string) bool { return slices.Contains(f.pure, name) }

// Serve sets the handle whose statements are looked at: once, and before any of them.
func (f *Footprints) Serve(db *gorm.DB) {
	f.db, f.builders, f.paging = db, shape.BuildersOf(db), shape.PagingOf(db)
	if db.Dialector != nil {
		f.dialect = db.Name()
	}
}

// Meaning says what a statement does. Texts that differ in their numbers only are looked at once;
// whether the names behind dots are columns depends on the models that are in use.
func (f *Footprints) Meaning(query string) sqltext.Statement {
	meaning := f.known(query).Statement
	if len(meaning.Attributes) > 0 && !f.catalog.HasColumns(meaning.Attributes, nil, true) {
		meaning.Kind = sqltext.Everything
	}
	if slices.ContainsFunc(meaning.Truncated, func(table string) bool { return !f.catalog.Knows(table) }) {
		meaning.Kind = sqltext.Everything
	}
	if meaning.Scratch != "" && !f.catalog.Knows(meaning.Scratch) {
		meaning.Inside = true
	}
	return meaning
}

// Text returns what is known of a query by its text: what it reads, and its shape where it is
// simple, or would be but for the tables that it joins. Texts that differ in the lengths of their
// lists and in their limits have one form, and are looked at once. What is returned is not changed.
func (f *Footprints) Text(query string) (read sqltext.Query, simple, joined *sqltext.Shape, form string) {
	short := sqltext.Shorten(f.dialect, query)
	known := f.texts.of(short.Text, func(query string) (known text) {
		known.Query = sqltext.Analyze(f.dialect, query)
		if known.Simple = f.SimpleQuery(query); known.Simple == nil {
			known.Joined = f.JoinedQuery(query)
		}
		return known
	})
	if len(query) > maxText {
		return known.Query, nil, nil, short.Text
	}
	return known.Query, short.Of(known.Simple), short.Of(known.Joined), short.Text
}

// SimpleQuery returns the shape of a query that is simple, and not so long that it hardly comes
// twice; nil for another one. It is not remembered: the caller does.
func (f *Footprints) SimpleQuery(query string) *sqltext.Shape {
	return f.query(query, sqltext.Simple)
}

// JoinedQuery does what SimpleQuery does for a query that would be simple but for the tables that
// it joins.
func (f *Footprints) JoinedQuery(query string) *sqltext.Shape {
	return f.query(query, sqltext.Joined)
}

func (f *Footprints) query(query string, read func(dialect, sql string) (sqltext.Shape, bool)) *sqltext.Shape {
	if len(query) > maxText {
		return nil
	}
	if shape, ok := read(f.dialect, query); ok && shape.Verb == sqltext.Select {
		return &shape
	}
	return nil
}

// Size returns how many bytes are remembered of statements.
func (f *Footprints) Size() int64 { return f.meanings.size() + f.shapes.size() + f.texts.size() }

// Clear forgets the statements that are remembered.
func (f *Footprints) Clear() {
	f.meanings.clear()
	f.shapes.clear()
	f.texts.clear()
	f.folded.Store(nil)
}

// Close does what Clear does, and has nothing remembered from then on.
func (f *Footprints) Close() {
	f.meanings.close()
	f.shapes.close()
	f.texts.close()
	f.folded.Store(nil)
}

// Builders are those of the dialect's clause builders that are its own.
func (f *Footprints) Builders() shape.Builders { return f.builders }

// Paging is how the dialect renders the numbers of a LIMIT clause.
func (f *Footprints) Paging() shape.Paging { return f.paging }
