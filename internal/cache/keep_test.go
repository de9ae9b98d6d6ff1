package cache

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/failopen"
)

// hookedStore is a Store that calls what it is told to before it sets a value. The key is locked
// then.
type hookedStore struct {
	mapStore
	set func(key string)
}

func (s *hookedStore) Set(key string, v any) {
	if s.set != nil {
		s.set(key)
	}
	s.mapStore.Set(key, v)
}

// kept is a cache without readers, and the groups that its answers belong to.
type kept struct {
	*Cache
	t      *testing.T
	store  *hookedStore
	pushed []string // by what was loaded ahead
	groups map[string]*coherence.Group
}

func newKept(t *testing.T, maxEntries int, maxBytes int64) *kept {
	k := &kept{t: t, store: &hookedStore{mapStore: mapStore{}}, groups: map[string]*coherence.Group{}}
	k.Cache = New(Config{
		Store: k.store, MaxEntries: maxEntries, MaxBytes: maxBytes, Waits: UsualWaits, Index: coherence.New(time.Now), Now: time.Now,
		Pushed: func(victim *Entry) { k.pushed = append(k.pushed, victim.Key) },
	})
	t.Cleanup(func() {
		if err := k.Check(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// begin begins a load of a key of a table.
func (k *kept) begin(table, key string, weighs int64) *Flight {
	k.t.Helper()
	group := k.groups[table]
	if group == nil {
		group = coherence.NewGroup(coherence.Reading{Table: table})
		k.groups[table] = group
	}
	f := k.NewFlight(NewEntry(key, k.Counts.Tally(table)), new(Pace))
	if !k.Index.Lease(group, &f.Entry.Guard, nil) {
		k.t.Fatal("no lease")
	}
	k.Start(f, false, Since{}, nil)
	k.Fill(f, Content{Weighs: weighs, TTL: time.Hour})
	return f
}

// load loads a key and reports whether its answer was kept.
func (k *kept) load(table, key string, weighs int64) bool {
	k.t.Helper()
	f := k.begin(table, key, weighs)
	defer k.Land(f)
	return k.Keep(f)
}

// read reads a key, which is loaded if it is not there.
func (k *kept) read(table, key string) (hit bool) {
	k.t.Helper()
	if e := k.Find(key, time.Now()); e != nil {
		k.Hit(e, e.Tally)
		return true
	}
	k.load(table, key, 100)
	return false
}

// scan reads so many keys that nobody asks for again.
func (k *kept) scan(from, n int) {
	k.t.Helper()
	for i := range n {
		k.read("once", fmt.Sprint("once", from+i))
	}
}

// write changes all of a table.
func (k *kept) write(table string) {
	a, kills := k.Index.Announce(coherence.Loose(table, coherence.Any))
	k.Forget(kills)
	k.Index.Finish(a, 0)
}

// TestWhatIsUsedAgainStandsAScanAndAWrite: an answer that is read again and again is still there
// after a scan, and, once a write killed it and it was loaded again, after another one.
func TestWhatIsUsedAgainStandsAScanAndAWrite(t *testing.T) {
	t.Parallel()
	k := newKept(t, 500, 1<<30)
	hot := func() (hits int) {
		for i := range 100 {
			if k.read("often", fmt.Sprint("often", i)) {
				hits++
			}
		}
		return hits
	}
	for round := range 5 {
		hot()
		k.scan(100*round, 100)
	}
	for round := range 3 {
		k.scan(1_000+5_000*round, 5_000)
		if hits := hot(); hits != 100 {
			t.Errorf("after scan %d %d of 100 answers are there that were read again and again", round, hits)
		}
		k.write("often")
		if hits := hot(); hits != 0 {
			t.Fatalf("%d answers were not killed", hits)
		}
	}
}

// TestAnAnswerThatReplacesAnotherPushesNothingOut, whether the one before it is alive or was
// killed, and not dropped yet.
func TestAnAnswerThatReplacesAnotherPushesNothingOut(t *testing.T) {
	t.Parallel()
	k := newKept(t, 10, 1<<30)
	for i := range 10 {
		k.load("table", fmt.Sprint(i), 100)
	}
	for range 20 {
		k.load("table", "3", 100)
	}
	announced, kills := k.Index.Announce(coherence.Loose("table", coherence.Any))
	k.Index.Finish(announced, 0)
	k.load("table", "4", 100)
	if n, _ := k.Size(); n != 10 || k.Counts.Evicted.Load() != 0 {
		t.Errorf("%d answers are there, and %d were pushed out; want 10 and none", n, k.Counts.Evicted.Load())
	}
	k.Forget(kills)
	if n, _ := k.Size(); n != 1 || k.Find("4", time.Now()) == nil {
		t.Errorf("%d answers are there, want the one that came after the write", n)
	}
}

// TestWhatIsNotKeptLeavesTheOthersAsTheyWere: an answer that is too heavy, one whose flight was
// taken over by one that is there by now, and one that a write killed.
func TestWhatIsNotKeptLeavesTheOthersAsTheyWere(t *testing.T) {
	t.Parallel()
	k := newKept(t, 10, 1<<20)
	late := k.begin("table", "key", 100)
	late.Ahead()
	newer := k.NewFlight(NewEntry("key", k.Counts.Tally("table")), new(Pace))
	if !k.Index.Lease(k.groups["table"], &newer.Entry.Guard, nil) || k.Start(newer, false, Since{}, late) != nil {
		t.Fatal("the flight is not taken over")
	}
	k.Fill(newer, Content{Weighs: 100, TTL: time.Hour})
	there := func(want *Entry) {
		t.Helper()
		if got := k.Find("key", time.Now()); got != want {
			t.Errorf("%p is found, want %p", got, want)
		}
		if n := k.Counts.Preloads.Load(); n != 0 {
			t.Errorf("%d answers are said to have been loaded ahead", n)
		}
		if err := k.Check(); err != nil {
			t.Error(err)
		}
	}
	if !k.Keep(newer) || k.Keep(late) {
		t.Fatal("the newer answer is not kept, or the older one is")
	}
	k.Land(late)
	k.Land(newer)
	there(newer.Entry)

	heavy := k.begin("table", "key", 1<<20)
	heavy.Ahead()
	if k.Keep(heavy) {
		t.Fatal("an answer is kept that is heavier than all may be")
	}
	k.Land(heavy)
	there(newer.Entry)

	// A write comes after the last look at the lease, and its kill waits for the lock of the key.
	var killer sync.WaitGroup
	k.store.set = func(string) {
		a, kills := k.Index.Announce(coherence.Loose("table", coherence.Any))
		k.Index.Finish(a, 0)
		killer.Go(func() { k.Forget(kills) })
	}
	killed := k.begin("table", "key", 100)
	killed.Ahead()
	if k.Keep(killed) {
		t.Fatal("an answer is kept that a write killed meanwhile")
	}
	k.Land(killed)
	killer.Wait()
	there(nil)
}

// TestWhatIsLoadedAheadTellsWhomItPushedOut, and what was asked for does not.
func TestWhatIsLoadedAheadTellsWhomItPushedOut(t *testing.T) {
	t.Parallel()
	k := newKept(t, 3, 1<<30)
	for i := range 4 {
		k.load("table", fmt.Sprint(i), 100)
	}
	if k.pushed != nil {
		t.Errorf("%q are said to have left for what was loaded ahead", k.pushed)
	}
	f := k.begin("table", "ahead", 100)
	f.Entry.Background = true
	f.Ahead()
	if !k.Keep(f) || fmt.Sprint(k.pushed) != "[1]" {
		t.Errorf("%q are said to have left for what was loaded ahead, want 1", k.pushed)
	}
	k.Land(f)
}

// TestAnAnswerThatGrewMayBeTheOneThatLeaves: nobody has read it.
func TestAnAnswerThatGrewMayBeTheOneThatLeaves(t *testing.T) {
	t.Parallel()
	k := newKept(t, 100, 20*1_500)
	for i := 0; k.Counts.Evicted.Load() == 0; i++ {
		k.load("table", fmt.Sprint(i), 500)
	}
	f := k.begin("table", "1", 5_000)
	f.Entry.Background = true
	f.Ahead()
	if k.Keep(f) || k.Find("1", time.Now()) != nil || k.Counts.Preloads.Load() != 0 || k.pushed != nil {
		t.Errorf("the next to leave is kept (%t), or said to have pushed %q out", k.Find("1", time.Now()) != nil, k.pushed)
	}
	k.Land(f)
}

// TestAStoreThatHangsLeavesNothingCounted: neither the answer that it was to keep, nor the one that
// this was to replace.
func TestAStoreThatHangsLeavesNothingCounted(t *testing.T) {
	t.Parallel()
	k := newKept(t, 10, 1<<20)
	k.Guarded = failopen.NewStore(k.store, IsEntry, func(slog.Level, string, string, ...any) {}, 2*time.Second, 10)
	k.Store = k.Guarded
	if !k.load("table", "key", 100) {
		t.Fatal("an answer is not kept")
	}
	hang := make(chan struct{})
	k.store.set = func(string) { <-hang }
	kept := k.load("table", "key", 100)
	close(hang)
	if n, _ := k.Size(); kept || n != 0 || k.Counts.Tally("table").Entries.Load() != 0 || k.Index.Size() != 0 {
		t.Errorf("kept: %t; %d answers are in the queues, %d are counted, %d have guards", kept, n, k.Counts.Tally("table").Entries.Load(), k.Index.Size())
	}
}
