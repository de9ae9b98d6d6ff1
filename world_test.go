package preload_test

import (
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// readOpen is a world on a database, with the time for loads that a busy machine needs.
func readOpen(t testing.TB, d *dbtest.Database, options ...preload.Option) *worldtest.World {
	t.Helper()
	return readOpenWith(t, d, nil, options...)
}

// readOpenWith is readOpen with handles of a config of their own.
func readOpenWith(t testing.TB, d *dbtest.Database, config func() *gorm.Config, options ...preload.Option) *worldtest.World {
	t.Helper()
	if config == nil {
		config = func() *gorm.Config { return &gorm.Config{} }
	}
	return worldtest.Open(t, d, d.Plain(t, config()), config(), append([]preload.Option{preload.WithBrief(time.Second)}, options...)...)
}

// readSQLite is a seeded SQLite database with the plugin.
func readSQLite(t testing.TB, options ...preload.Option) *worldtest.World {
	t.Helper()
	d := dbtest.SQLite(t)
	worldtest.SeedReads(t, d.Plain(t))
	b := readOpen(t, d, options...)
	worldtest.Must(t, b.Plugin.Register(worldtest.ReadModels...))
	return b
}

// writeOpen is a world on a database that has the models of writes. It is checked whole at the end
// of the test.
func writeOpen(t testing.TB, d *dbtest.Database, plain *gorm.DB, config *gorm.Config, options ...preload.Option) *worldtest.World {
	t.Helper()
	w := worldtest.Open(t, d, plain, config, append([]preload.Option{preload.WithHoldOut(worldtest.HoldOut)}, options...)...)
	w.Kept = worldtest.WriteQueries
	t.Cleanup(func() {
		if err := preload.Check(w.Plugin); err != nil {
			t.Errorf("at the end: %v", err)
		}
	})
	return w
}

// writeSetup is writeOpen on a database whose tables it makes and fills.
func writeSetup(t testing.TB, d *dbtest.Database, config *gorm.Config, options ...preload.Option) *worldtest.World {
	t.Helper()
	plain := worldtest.MigrateWrites(t, d)
	worldtest.SeedWrites(t, plain)
	return writeOpen(t, d, plain, config, options...)
}

// writeEach gives a test a world on every kind of database.
func writeEach(t *testing.T, test func(t *testing.T, w *worldtest.World)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) { test(t, writeSetup(t, d, nil)) })
}
