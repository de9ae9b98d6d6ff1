package cache

import (
	"math"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/hotness"
)

// counting counts accesses and nothing else.
type counting struct{}

func (counting) Weigh(_ float64, count int64, _ time.Time) float64 { return float64(count) }

func (counting) Score(_ float64, count int64, _, _ time.Time) float64 { return float64(count) }

func TestAnEntryTellsHowOftenItWasRead(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	for _, background := range []bool{false, true} {
		table := hotness.New(10, counting{})
		e := NewEntry("a", &Tally{})
		e.Background = background
		e.asked, e.expires = now.UnixNano(), after(now, time.Hour)
		if n := e.Read(); n != 0 {
			t.Errorf("%d reads are told that nobody counts", n)
		}
		e.Pattern = table.Touch("a", now) // who asked for it, or a read of the answer before
		if e.Before = e.Pattern.Count(); !background {
			e.Before--
		}
		for range 3 {
			table.Record(e.Pattern, now)
		}
		if n, passed := e.Read(), e.Passed(now.Add(45*time.Minute)); n != 3 || math.Abs(passed-0.75) > 1e-9 {
			t.Errorf("in the background %t: %d reads in %v of the TTL, want 3 in 0.75", background, n, passed)
		}
	}
}
