//go:build unix

package postgres

import (
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/feedtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// quick is a bound that makes tests quick.
const quick = 250 * time.Millisecond

// TestFeed: what every feed promises.
func TestFeed(t *testing.T) {
	t.Parallel()
	s := common(t)
	feedtest.RunOn(t, func(t *testing.T) (*dbtest.Database, feedtest.Bed) {
		b := s.bed(t)
		return b.d, feedtest.Bed{
			Feed:  func() preload.Feed { return b.feed(WithBound(quick), WithLogger(worldtest.Quiet())) },
			Bound: quick, Long: quick,
			Faults: map[string]func(){"cut off from the server": func() {
				b.write("SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE pid IN (SELECT active_pid FROM pg_replication_slots WHERE database = current_database())")
			}},
		}
	})
}
