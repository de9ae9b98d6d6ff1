package shape

import (
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm/clause"
)

// TestDialectsRenderAsKnown: or every query would be rendered for its key.
func TestDialectsRenderAsKnown(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		db := d.Open(t)
		known := BuildersOf(db)
		tx := db.Begin()
		defer tx.Rollback()
		tx.Statement.BuildClauses = db.Callback().Query().Clauses
		if !known.Standard(tx) {
			t.Error("the dialect's own clause builders count as the application's")
		}
		db.ClauseBuilders["WHERE"] = func(c clause.Clause, b clause.Builder) { c.Build(b) }
		if known.Standard(tx) {
			t.Error("a builder of the application counts as the dialect's")
		}
	})
}
