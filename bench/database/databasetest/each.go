// Package databasetest has tests run on every kind of database that is there.
package databasetest

import (
	"os"
	"testing"

	"github.com/gorm-preload/preload/bench/database"
)

// Each runs a test on SQLite, and on PostgreSQL and MySQL or MariaDB where their DSNs are known.
func Each(t *testing.T, test func(t *testing.T, server database.Server)) {
	t.Helper()
	for _, s := range []struct{ dialect, env string }{{"sqlite", ""}, {"postgres", "PRELOAD_TEST_POSTGRES"}, {"mysql", "PRELOAD_TEST_MYSQL"}} {
		t.Run(s.dialect, func(t *testing.T) {
			t.Parallel()
			server := database.Server{Dialect: s.dialect, DSN: os.Getenv(s.env), Dir: t.TempDir()}
			if s.env != "" && server.DSN == "" {
				t.Skipf("%s: %s is not set", s.dialect, s.env)
			}
			test(t, server)
		})
	}
}
