package hotness

import (
	"fmt"
	"testing"
	"time"
)

// filled returns a table full of n keys whose accesses are a minute apart, and
// the time after them.
func filled(n int) (*Table, []*Pattern, time.Time) {
	table := New(n, decayed(0.95))
	patterns := make([]*Pattern, n)
	for i := range patterns {
		key := fmt.Sprintf("users:id:%d", i)
		patterns[i] = table.Touch(key, at(float64(i)/60))
		table.Relate(key, "orders:user_id", "profiles:user_id")
	}
	return table, patterns, at(float64(n) / 60)
}

// ticker returns times a microsecond apart, so that each access moves all that
// an access can move.
func ticker(now time.Time) func() time.Time {
	return func() time.Time { now = now.Add(time.Microsecond); return now }
}

func BenchmarkRecord(b *testing.B) {
	b.Run("tracked", func(b *testing.B) {
		table, patterns, now := filled(1000)
		tick := ticker(now)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			table.Record(patterns[i%1000], tick())
		}
	})
	b.Run("tracked/parallel", func(b *testing.B) {
		table, patterns, now := filled(1000)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			tick := ticker(now)
			for i := 0; pb.Next(); i += 7 {
				table.Record(patterns[i%1000], tick())
			}
		})
	})
	b.Run("tracked/parallel one key", func(b *testing.B) {
		table, patterns, now := filled(1000)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			tick := ticker(now)
			for pb.Next() {
				table.Record(patterns[0], tick())
			}
		})
	})
	b.Run("evicted", func(b *testing.B) {
		table, _, now := filled(1000)
		for i := range 1000 {
			table.Touch(fmt.Sprintf("users:id:%d", i), now.Add(1000*time.Hour))
		}
		cold := newPattern("cold", 0)
		tick := ticker(now)
		b.ReportAllocs()
		for b.Loop() {
			table.Record(cold, tick())
		}
		if cold.Tracked() {
			b.Fatal("it came back")
		}
	})
}

func BenchmarkTouch(b *testing.B) {
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("users:id:%d", i)
	}
	b.Run("tracked", func(b *testing.B) {
		table, _, now := filled(1000)
		tick := ticker(now)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			table.Touch(names[i%1000], tick())
		}
	})
	b.Run("tracked/parallel", func(b *testing.B) {
		table, _, now := filled(1000)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			tick := ticker(now)
			for i := 0; pb.Next(); i += 7 {
				table.Touch(names[i%1000], tick())
			}
		})
	})
	b.Run("untracked", func(b *testing.B) {
		table, _, now := filled(1000)
		tick := ticker(now)
		b.ReportAllocs()
		for i := 1000; b.Loop(); i++ {
			table.Touch(names[i%len(names)], tick())
		}
	})
}

func BenchmarkHottest(b *testing.B) {
	table, _, now := filled(1000)
	for _, limit := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("%d of 1000", limit), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := len(table.Hottest(limit, 0, now)); got != limit {
					b.Fatal(got)
				}
			}
		})
	}
}
