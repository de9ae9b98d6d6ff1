package footprint

import (
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

	meanings memo[sqltext.Statement]
	shapes   memo[*sqltext.Shape]
}

// New returns footprints by what a catalog knows.
func New(c *catalog.Catalog) *Footprints { return &Footprints{catalog: c} }

// Serve sets the handle whose statements are looked at: once, and before any of them.
func (f *Footprints) Serve(db *gorm.DB) {
	f.db, f.builders = db, shape.BuildersOf(db)
	if db.Dialector != nil {
		f.dialect = db.Name()
	}
}

// Meaning says what a statement does. The text is looked at once; whether the names behind dots are
// columns depends on the models that are in use.
func (f *Footprints) Meaning(query string) sqltext.Statement {
	meaning := f.meanings.of(query, func(text string) sqltext.Statement {
		return sqltext.Classify(f.dialect, text)
	})
	if len(meaning.Attributes) > 0 && !f.catalog.HasColumns(meaning.Attributes, nil, true) {
		meaning.Kind = sqltext.Everything
	}
	return meaning
}

// simple returns the shape of a statement that is simple, nil for another one, once per text.
func (f *Footprints) simple(query string) *sqltext.Shape {
	return f.shapes.of(query, func(text string) *sqltext.Shape {
		if shape, ok := sqltext.Simple(f.dialect, text); ok {
			return &shape
		}
		return nil
	})
}

// SimpleQuery returns the shape of a query that is simple, and not so long that it hardly comes
// twice; nil for another one. It is not remembered: the caller does.
func (f *Footprints) SimpleQuery(query string) *sqltext.Shape {
	if len(query) > maxText {
		return nil
	}
	if shape, ok := sqltext.Simple(f.dialect, query); ok && shape.Verb == sqltext.Select {
		return &shape
	}
	return nil
}

// Size returns how many bytes are remembered of statements.
func (f *Footprints) Size() int64 { return f.meanings.size() + f.shapes.size() }

// Clear forgets the statements that are remembered.
func (f *Footprints) Clear() {
	f.meanings.clear()
	f.shapes.clear()
}

// Close does what Clear does, and has nothing remembered from then on.
func (f *Footprints) Close() {
	f.meanings.close()
	f.shapes.close()
}

// Builders are those of the dialect's clause builders that are its own.
func (f *Footprints) Builders() shape.Builders { return f.builders }
