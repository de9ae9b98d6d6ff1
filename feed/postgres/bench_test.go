//go:build unix

package postgres

import (
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/feedtest"
)

// BenchmarkWrite is what a write costs without a feed, and with a strict one over the server of the
// database.
func BenchmarkWrite(b *testing.B) {
	feedtest.Writes(b, dbtest.Postgres, map[string]func(*dbtest.Database) func() preload.Feed{
		"none": nil,
		"strict": func(d *dbtest.Database) func() preload.Feed {
			schema := "preload bench " + b.Name()
			b.Cleanup(func() { d.Plain(b).Exec(`DROP SCHEMA IF EXISTS "` + schema + `" CASCADE`) })
			return func() preload.Feed { return Strict(d.DSN(), WithSchema(schema)) }
		},
	})
}
