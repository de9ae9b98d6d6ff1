package cache

import (
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
)

// mapStore is a Store that forgets nothing.
type mapStore map[string]any

func (s mapStore) Get(key string) (any, bool) { v, ok := s[key]; return v, ok }
func (s mapStore) Set(key string, v any)      { s[key] = v }
func (s mapStore) Delete(key string)          { delete(s, key) }

// TestWhoAwaitsAFlight: readers do, and loads in the background that find it under way do not.
func TestWhoAwaitsAFlight(t *testing.T) {
	t.Parallel()
	index := coherence.New(time.Now)
	group := coherence.NewGroup(coherence.Reading{})
	c := New(Config{Store: mapStore{}, MaxEntries: 10, MaxBytes: 1 << 20, Waits: UsualWaits, Index: index, Now: time.Now, Pushed: func(*Entry) {}})
	flight := func() *Flight {
		f := c.NewFlight(NewEntry("key", c.Counts.Tally("table")), new(Pace))
		if !index.Lease(group, &f.Entry.Guard, nil) {
			t.Fatal("no lease")
		}
		return f
	}
	leads := flight()
	switch {
	case c.Start(leads, false, nil) != nil || leads.Awaited():
		t.Fatal("the first flight does not lead, or is awaited")
	case c.StartAhead(flight()) || leads.Awaited():
		t.Fatal("a load in the background began beside it, or waits for it")
	case c.Start(flight(), false, nil) != leads || !leads.Awaited():
		t.Fatal("a reader does not wait for it")
	}
	select {
	case <-leads.done:
		t.Fatal("it ended")
	default:
	}
	c.Land(leads)
	<-leads.done
	if !c.StartAhead(flight()) || c.Join("key", nil) == nil {
		t.Error("the next one does not begin, or cannot be joined")
	}
}
