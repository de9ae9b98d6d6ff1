package feedtest_test

import (
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/feedtest"
	"github.com/gorm-preload/preload/internal/strict"
)

// Feeds in memory, by which plugins of one process are to each other what processes are.

func TestFeedsStrict(t *testing.T) {
	t.Parallel()
	feedtest.Run(t, func(*testing.T) feedtest.Bed {
		const lease = 500 * time.Millisecond
		s := &feedtest.Strict{Config: strict.Config{Lease: lease}}
		return feedtest.Bed{Feed: s.Feed, Cut: s.Cut, Long: lease}
	})
}

func TestFeedsBounded(t *testing.T) {
	t.Parallel()
	feedtest.Run(t, func(*testing.T) feedtest.Bed {
		const n = 500 * time.Millisecond
		b := &feedtest.Bounded{N: n}
		return feedtest.Bed{Feed: b.Feed, Cut: b.Cut, Bound: n, Long: n}
	})
}
