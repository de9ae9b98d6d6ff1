//go:build unix

package postgres

import (
	"sync/atomic"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
)

// TestAConnectionThatFallsSilentAtFirst is given up, wherever it was: a new one serves. One that is
// silent keeps its place from nobody else.
func TestAConnectionThatFallsSilentAtFirst(t *testing.T) {
	t.Parallel()
	stream := func(relay Relay) func(dsn string) preload.Feed {
		return func(dsn string) preload.Feed {
			options := []Option{WithBound(quick), WithLogger(worldtest.Quiet())}
			if relay != nil {
				options = append(options, Through(relay))
			}
			return New(dsn, options...)
		}
	}
	table := func(Relay) func(dsn string) preload.Feed {
		return func(dsn string) preload.Feed {
			return ChangeTable(dsn, WithBound(quick), WithLogger(worldtest.Quiet()))
		}
	}
	for _, c := range []struct {
		name, at string
		feed     func(Relay) func(dsn string) preload.Feed
		through  bool
	}{
		{"making a slot", "CREATE_REPLICATION_SLOT", stream, false},
		{"starting to replicate", "START_REPLICATION", stream, false},
		{"making a slot in the place that others want", "CREATE_REPLICATION_SLOT", stream, true},
		{"starting to replicate in the place that others want", "START_REPLICATION", stream, true},
		{"asking which transactions are prepared", "pg_prepared_xacts WHERE", table, false},
		{"the first look at the tables", "begin isolation level repeatable read", table, false},
		{"making triggers", "SELECT pg_advisory_xact_lock(", table, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := common(t).bed(t)
			plain := b.items()
			behind, proxy := b.d.Behind(t)
			var silent atomic.Bool
			proxy.Rule(func(p dbtest.Packet) dbtest.Verdict {
				if p.Up && p.Has(c.at) && silent.CompareAndSwap(false, true) {
					return dbtest.Silence
				}
				return dbtest.Pass
			})
			var relay Relay
			if c.through {
				relay = newMemory()
			}
			feed := c.feed(relay)
			open := func(dsn string) *process {
				one := feed(dsn)
				by, _ := one.(preload.Positioner)
				return &process{World: worldtest.Open(t, b.d.Again(), plain, nil, preload.WithFeed(one)), by: by}
			}
			all := []*process{open(behind.DSN())}
			until(t, "silence", silent.Load)
			if c.through {
				all = append(all, open(b.d.DSN()))
			}
			for _, p := range all {
				p.serving(t, items)
				p.right(t, "in the end", items)
			}
		})
	}
}
