package coherence

import (
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// used returns how much processor time the thread has used.
func used() time.Duration {
	const clockOfThread = 3 // CLOCK_THREAD_CPUTIME_ID
	var at syscall.Timespec
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockOfThread, uintptr(unsafe.Pointer(&at)), 0); err != 0 {
		panic(err)
	}
	return time.Duration(at.Nano())
}

// BenchmarkKill kills 100,000 answers by one change, and reports how long it holds the lock of the
// table at a time, at most, in processor time: the median of the runs, and the longest of all.
func BenchmarkKill(b *testing.B) {
	const answers = 100_000
	for _, c := range []struct {
		name   string
		change Change
		killed int
	}{
		{"by value", deletes(pin("a", "a1")), answers},
		{"by row", update("c", where(many("id", "i", 0, 1_000)), nil), answers},
		{"most by value", deletes(pin("b", "b1")), answers * 9 / 10},
		{"half by value", deletes(pin("b", "b0")), answers / 10},
		{"the table", Loose("t", Any), answers},
		{"everything", Everything, answers},
		{"of another table", Loose("u", Any), answers},
	} {
		b.Run(c.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var longest, whole []time.Duration
			for range b.N {
				x := quiet()
				group := NewGroup(Reading{
					Table: "t", Columns: cols("id", "a", "b", "c"), Choosing: cols("a", "b"), Pinned: []string{"a", "b"},
					Rows: true, Keys: [][]string{{"id"}}, Primary: true,
				}, "u")
				for i := range answers {
					of := Value("b1")
					if i%10 == 0 {
						of = "b0"
					}
					guard := lease(x, group, nil, [][]Value{{"a1"}, {of}})
					x.Fill(guard, 10, [][]Value{many("id", "i", i%100*10, 10).Values}, false)
				}
				runtime.GC()
				start := used()
				last, most := start, time.Duration(0)
				x.between = func(at moment) {
					if at == searched {
						most = max(most, used()-last)
						last = used()
					}
				}
				a, killed := x.Announce(c.change)
				most = max(most, used()-last)
				longest, whole = append(longest, most), append(whole, used()-start)
				if x.Finish(a, 0); len(killed) != c.killed {
					b.Fatalf("killed %d, want %d", len(killed), c.killed)
				}
			}
			slices.Sort(longest)
			slices.Sort(whole)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(longest[len(longest)/2].Microseconds()), "µs-longest-hold")
			b.ReportMetric(float64(longest[len(longest)-1].Microseconds()), "µs-longest-of-all")
			b.ReportMetric(float64(whole[len(whole)/2].Microseconds()), "µs-whole")
		})
	}
}
