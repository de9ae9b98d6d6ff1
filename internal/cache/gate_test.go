package cache

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorm-preload/preload/internal/clock"
	"github.com/gorm-preload/preload/internal/coherence"
)

func TestAGateIsOpenWhileAllItsLatchesSaySo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, foreign := range []bool{false, true} {
			by := &clock.System{Step: GateStep}
			now := by.Now
			g := NewGate(by)
			if foreign {
				g = NewGate(nil)
				now = func() time.Time { return time.Time{} } // a clock that stands still
			}
			open := func(want bool, when string) {
				t.Helper()
				if g.Open(now()) != want {
					t.Errorf("%s (foreign %v): open %v, want %v", when, foreign, !want, want)
				}
			}
			open(true, "without latches")
			a, b := g.Latch(), g.Latch()
			open(false, "before the first Keep")
			a.Keep(time.Now(), time.Second)
			open(false, "one of two")
			b.Keep(time.Now(), time.Minute)
			open(true, "both")
			time.Sleep(999 * time.Millisecond)
			open(true, "just before the earlier time")
			time.Sleep(time.Millisecond)
			open(false, "at the earlier time")
			asked := time.Now()
			time.Sleep(2 * time.Second)
			a.Keep(asked, time.Second)
			open(false, "an answer that took longer than it is good for")
			a.Keep(asked, 3*time.Second)
			a.Keep(asked, 2500*time.Millisecond)
			time.Sleep(999 * time.Millisecond)
			open(true, "the later of two answers counts, from when it was asked for")
			time.Sleep(time.Millisecond)
			open(false, "a second after that")
			a.Keep(time.Now(), time.Second)
			open(true, "again")
			a.Shut()
			open(false, "shut")
		}
	})
}

// TestAClosedGateDiscardsNothing: what is in memory when a gate is shut is served when it opens.
func TestAClosedGateDiscardsNothing(t *testing.T) {
	t.Parallel()
	index := coherence.New(time.Now)
	c := New(Config{Store: mapStore{}, MaxEntries: 10, MaxBytes: 1 << 20, Waits: UsualWaits, Index: index, Now: time.Now, Gate: NewGate(nil), Pushed: func(*Entry) {}})
	f := c.NewFlight(NewEntry("k", c.Counts.Tally("t")), &Pace{})
	if !index.Lease(coherence.NewGroup(coherence.Reading{Table: "t"}), &f.Entry.Guard, nil) {
		t.Fatal("no lease")
	}
	c.Fill(f, Content{Rows: 1, TTL: time.Hour})
	if !c.Keep(f) {
		t.Fatal("not kept")
	}
	if c.Find("k", time.Now()) == nil {
		t.Fatal("not found without latches")
	}
	l := c.Gate.Latch()
	if c.Find("k", time.Now()) != nil || c.Join("k", Since{}, nil) != nil {
		t.Error("found, or joined, while the gate is shut")
	}
	l.Keep(time.Now(), time.Hour)
	if c.Find("k", time.Now()) == nil || c.Counts.Expired.Load() != 0 {
		t.Error("what was there is gone")
	}
}

// BenchmarkFind is the part of a hit that looks for the answer, with the clock that it goes by.
func BenchmarkFind(b *testing.B) {
	for _, latched := range []bool{false, true} {
		name, system := "without a feed", &clock.System{}
		if latched {
			name, system = "with a feed", &clock.System{Step: GateStep}
		}
		b.Run(name, func(b *testing.B) {
			index := coherence.New(time.Now)
			c := New(Config{Store: mapStore{}, MaxEntries: 10, MaxBytes: 1 << 20, Waits: UsualWaits, Index: index, Now: system.Now, Gate: NewGate(system), Pushed: func(*Entry) {}})
			f := c.NewFlight(NewEntry("k", c.Counts.Tally("t")), &Pace{})
			index.Lease(coherence.NewGroup(coherence.Reading{Table: "t"}), &f.Entry.Guard, nil)
			c.Fill(f, Content{Rows: 1, TTL: time.Hour})
			c.Keep(f)
			if latched {
				c.Gate.Latch().Keep(time.Now(), time.Hour)
			}
			b.ReportAllocs()
			for b.Loop() {
				if c.Find("k", c.Now()) == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}
