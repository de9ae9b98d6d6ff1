//go:build unix

package postgres

import (
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/feedtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// changeTable returns a feed of the database that reads a change table.
func (b *bed) changeTable(options ...Option) *TableFeed {
	return ChangeTable(b.DSN(b.name), append([]Option{WithBound(quick), WithLogger(worldtest.Quiet())}, options...)...)
}

// TestChangeTable: what every feed promises.
func TestChangeTable(t *testing.T) {
	t.Parallel()
	s := common(t)
	feedtest.RunOn(t, func(t *testing.T) (*dbtest.Database, feedtest.Bed) {
		b := s.bed(t)
		return b.d, feedtest.Bed{
			Feed:  func() preload.Feed { return b.changeTable() },
			Bound: quick, Long: quick,
			Faults: map[string]func(){
				"cut off from the server": func() {
					b.write("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'preload table' AND datname = current_database()")
				},
				"emptied": func() { b.write("TRUNCATE preload.changes") },
			},
		}
	})
}
