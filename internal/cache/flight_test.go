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

// flightsOfOneKey returns a cache, and what makes flights of one key, each with its lease.
func flightsOfOneKey(t *testing.T) (c *Cache, flight func() *Flight) {
	t.Helper()
	index := coherence.New(time.Now)
	group := coherence.NewGroup(coherence.Reading{})
	c = New(Config{Store: mapStore{}, MaxEntries: 10, MaxBytes: 1 << 20, Waits: UsualWaits, Index: index, Now: time.Now, Pushed: func(*Entry) {}})
	return c, func() *Flight {
		f := c.NewFlight(NewEntry("key", c.Counts.Tally("table")), new(Pace))
		if !index.Lease(group, &f.Entry.Guard, nil) {
			t.Fatal("no lease")
		}
		return f
	}
}

// TestWhoAwaitsAFlight: readers do, and loads in the background that find it under way do not.
func TestWhoAwaitsAFlight(t *testing.T) {
	t.Parallel()
	c, flight := flightsOfOneKey(t)
	leads := flight()
	switch {
	case c.Start(leads, false, Since{}, nil) != nil || leads.Awaited():
		t.Fatal("the first flight does not lead, or is awaited")
	case c.StartAhead(flight()) || leads.Awaited():
		t.Fatal("a load in the background began beside it, or waits for it")
	case c.Start(flight(), false, Since{}, nil) != leads || !leads.Awaited():
		t.Fatal("a reader does not wait for it")
	}
	select {
	case <-leads.done:
		t.Fatal("it ended")
	default:
	}
	c.Land(leads)
	<-leads.done
	ahead := flight()
	switch {
	case !c.StartAhead(ahead) || !c.Loading("key"):
		t.Fatal("the next one does not begin")
	case c.StartAhead(flight()):
		t.Fatal("another load in the background began beside it")
	case c.Join("key", Since{}, nil) != nil:
		t.Fatal("a reader waits for a query that is not sent")
	case !c.Send(ahead) || c.Join("key", Since{}, nil) != ahead:
		t.Fatal("it is not sent, or cannot be joined then")
	}
	c.Land(ahead)
}

// TestAReaderTakesOverWhatIsNotSent: a load in the background whose query was not sent is a
// reader's who comes before that, and sends none.
func TestAReaderTakesOverWhatIsNotSent(t *testing.T) {
	t.Parallel()
	c, flight := flightsOfOneKey(t)
	ahead, reader := flight(), flight()
	switch {
	case !c.StartAhead(ahead):
		t.Fatal("the load in the background does not begin")
	case c.Start(reader, false, Since{}, nil) != nil:
		t.Fatal("the reader waits for it")
	case c.Send(ahead):
		t.Fatal("it is sent all the same")
	case c.Join("key", Since{}, nil) != reader:
		t.Fatal("others do not wait for the reader's query")
	}
	c.Land(ahead)
	c.Land(reader)
	if c.Loading("key") {
		t.Error("something is left")
	}
}

// TestNobodyJoinsWhatIsHeldBack: a load that began before a write may have read what was there
// before it.
func TestNobodyJoinsWhatIsHeldBack(t *testing.T) {
	t.Parallel()
	c, flight := flightsOfOneKey(t)
	f := flight()
	if c.Start(f, false, Since{}, nil) != nil || c.Join("key", Since{}, nil) != f {
		t.Fatal("the flight does not lead, or cannot be joined")
	}
	write := c.Index.Block(coherence.Everything)
	if c.Join("key", Since{}, nil) != nil {
		t.Error("it is joined while a write runs")
	}
	c.Index.Finish(write, 0)
	if c.Join("key", Since{}, nil) != f {
		t.Error("it cannot be joined any more, though nothing was written that it reads")
	}
	c.Land(f)
}
