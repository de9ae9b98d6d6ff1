package coherence

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// record is a row whose value counts its writes. What a reader of it must not go back behind is
// what was written when the reader started, and what any other had seen by then.
type record struct {
	id      Value
	version atomic.Int64 // in the database
	floor   atomic.Int64 // what is known to have been seen, or to be written for good
}

func (r *record) saw(version int64) {
	for {
		floor := r.floor.Load()
		if version <= floor || r.floor.CompareAndSwap(floor, version) {
			return
		}
	}
}

// yield gives others the processor now and then, so that they come in between any two steps.
func yield(random *rand.Rand) {
	if random.IntN(3) == 0 {
		runtime.Gosched()
	}
}

// cached is a stored answer of several records.
type cached struct {
	guard    *Guard
	versions []int64
}

// TestReadersNeverGoBack: readers serve each other what they kept, in three ways of looking at the
// same rows, while writers change them, some by their keys, some without saying which or only
// afterwards, and while tables are learned to reach others, guards are released, and hold-outs
// come and go. No reader is served what is older than the last write that was finished, or than
// what another one was served, before it started.
func TestReadersNeverGoBack(t *testing.T) {
	t.Parallel()
	const (
		readers, writers = 4, 2
		reads, writes    = 4_000, 1_500
	)
	x := New(time.Now)
	var records [4]*record
	for i := range records {
		records[i] = &record{id: Value(fmt.Sprint("i", i))}
	}
	reading := Reading{
		Table: "t", Columns: cols("id", "version"), Choosing: cols("id"), Pinned: []string{"id"},
		Rows: true, Keys: [][]string{{"id"}}, Primary: true,
	}
	all := reading
	all.Pinned, all.Choosing = nil, Columns{}
	byKey, byTable, loosely := NewGroup(reading), NewGroup(all), tableOf("t")
	var (
		mu    sync.Mutex
		store = map[string]cached{}
		hits  atomic.Int64
		wg    sync.WaitGroup
	)
	// ask reads some records through the store, as the package's documentation says.
	ask := func(random *rand.Rand, name string, group *Group, pins [][]Value, asked ...*record) {
		floors := make([]int64, len(asked))
		for i, r := range asked {
			floors[i] = r.floor.Load()
		}
		yield(random)
		mu.Lock()
		entry, ok := store[name]
		mu.Unlock()
		yield(random)
		if ok && x.Serves(entry.guard) {
			hits.Add(1)
		} else {
			guard := lease(x, group, name, pins)
			yield(random)
			entry = cached{guard: guard}
			var keys []Value
			for _, r := range asked {
				entry.versions, keys = append(entry.versions, r.version.Load()), append(keys, r.id)
				yield(random)
			}
			switch {
			case guard == nil:
			case random.IntN(8) == 0:
				x.Release(guard)
			default:
				if random.IntN(4) > 0 {
					x.Fill(guard, len(asked), [][]Value{keys}, false)
				}
				yield(random)
				mu.Lock()
				store[name] = entry
				mu.Unlock()
			}
		}
		for i := range asked {
			if entry.versions[i] < floors[i] {
				t.Errorf("%s: record %d was served at version %d, after %d", name, i, entry.versions[i], floors[i])
			}
		}
		for i, r := range asked {
			r.saw(entry.versions[i])
		}
	}
	for n := range readers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for range reads {
				i := random.IntN(len(records))
				switch random.IntN(4) {
				case 0:
					ask(random, "all", byTable, nil, records[:]...)
				case 1:
					ask(random, "loosely", loosely, nil, records[:]...)
				default:
					ask(random, string(records[i].id), byKey, [][]Value{{records[i].id}}, records[i])
				}
			}
		})
	}
	for n := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(n)))
			for range writes {
				r := records[random.IntN(len(records))]
				change := update("version", where(Pin{"id", []Value{r.id}}), nil)
				hold := time.Duration(0)
				var back *Announcement // holds back what the change could be before it is known
				switch random.IntN(16) {
				case 0:
					change = Loose("t", Any)
				case 1:
					change = Everything
				case 2:
					change = Loose("s", Update) // which reaches t
				case 3:
					hold = time.Microsecond
				case 4, 5, 6:
					back = x.Block(Loose("t", Update))
				}
				if back != nil {
					yield(random)
					written := r.version.Add(1)
					yield(random)
					if random.IntN(2) == 0 {
						r.saw(written) // by somebody who asked the database
					}
					yield(random)
				}
				a, killed := x.Announce(change)
				for _, kill := range killed {
					if !kill.Guard.Dead() {
						t.Error("an answer is killed and alive")
					}
				}
				if change.Table == "s" {
					yield(random)
					x.Widen("s", "t")
				}
				yield(random)
				version := r.version.Load()
				if back == nil {
					version = r.version.Add(1)
				}
				yield(random)
				if back != nil {
					x.Finish(back, 0)
					yield(random)
				}
				x.Finish(a, hold)
				r.saw(version)
				// Let readers find some of what they keep.
				for range random.IntN(20) {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	verify(t, x, byKey, byTable, loosely)
	if hits.Load() == 0 {
		t.Error("nothing was served from what was kept")
	}
	t.Logf("%d of %d reads were hits", hits.Load(), readers*reads)
}
