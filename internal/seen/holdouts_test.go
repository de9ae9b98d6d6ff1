package seen

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestHoldOutsAreToldWhenTheyBeginAndEnd: once each, however many writes make one longer.
func TestHoldOutsAreToldWhenTheyBeginAndEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			mu   sync.Mutex
			told []string
		)
		began := time.Now()
		h := NewHoldOuts(HoldOutConfig{Now: time.Now, Timely: true, Told: func(o HoldOut) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%v: %s %s %v ended=%t much=%t", time.Since(began), o.Table, o.Why, o.For, o.Ended, o.Much))
		}})
		h.Begin([]string{"users"}, "raw rows", time.Second)
		time.Sleep(500 * time.Millisecond)
		h.Begin([]string{"users", "orders"}, "other pool", time.Second)
		time.Sleep(10 * time.Second)
		for range 70 { // more than half of the minute, in parts
			h.Begin([]string{"carts"}, "other pool", 600*time.Millisecond)
			time.Sleep(800 * time.Millisecond)
		}
		synctest.Wait()
		want := []string{
			"0s: users raw rows 1s ended=false much=false",
			"500ms: orders other pool 1s ended=false much=false",
			"1.5s: orders other pool 1s ended=true much=false",
			"1.5s: users raw rows 1.5s ended=true much=false",
		}
		if len(told) < len(want) || !slices.Equal(told[:len(want)], want) {
			t.Errorf("told %q, want %q first", told, want)
		}
		much := 0
		for _, line := range told {
			if line[len(line)-len("much=true"):] == "much=true" {
				much++
			}
		}
		if much != 1 || len(told) != len(want)+2*70+1 {
			t.Errorf("%d times much in %d lines: want once in %d", much, len(told), len(want)+2*70+1)
		}
		if c := h.Causes(); c["raw rows"] != 1 || c["other pool"] != 71 {
			t.Errorf("causes %v", c)
		}
		h.Begin([]string{"users"}, "raw rows", time.Second)
		h.Close()
		n := len(told)
		time.Sleep(time.Minute)
		if len(told) != n {
			t.Errorf("after Close it is told: %q", told[n:])
		}
	})
}

func TestHoldOutsAreBounded(t *testing.T) {
	t.Parallel()
	now, told := time.Now(), 0
	h := NewHoldOuts(HoldOutConfig{Now: func() time.Time { return now }, Told: func(HoldOut) { told++ }})
	for i := range 3 * maxHeldOut {
		h.Begin([]string{fmt.Sprint("t", i)}, "raw rows", time.Second)
	}
	if len(h.tables) != maxHeldOut || told != maxHeldOut || h.Causes()["raw rows"] != 3*maxHeldOut {
		t.Errorf("%d tables, %d told, %v", len(h.tables), told, h.Causes())
	}
	now = now.Add(2 * time.Second)
	if h.Look(); told != 2*maxHeldOut {
		t.Errorf("%d told, want their ends, too", told)
	}
	now = now.Add(time.Minute)
	if h.Look(); len(h.tables) != 0 {
		t.Errorf("%d tables a minute later", len(h.tables))
	}
}
