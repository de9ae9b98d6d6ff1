package coherence

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func on(table string, kinds Kind) Dependency { return Dependency{Table: table, Kinds: kinds} }

func TestAnnounceKillsWhatDependsOnTheChange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		depends []Dependency
		change  Change
		dies    bool
	}{
		{"same table", []Dependency{on("users", Any)}, Change{"users", Update}, true},
		{"other table", []Dependency{on("users", Any)}, Change{"pets", Any}, false},
		{"one of two tables", []Dependency{on("users", Any), on("pets", Any)}, Change{"pets", Insert}, true},
		{"a kind that reaches it", []Dependency{on("pets", Any), on("users", Delete)}, Change{"users", Delete}, true},
		{"a kind that does not", []Dependency{on("pets", Any), on("users", Delete)}, Change{"users", Insert | Update}, false},
		{"everything", []Dependency{on("users", Insert)}, Everything, true},
		{"everything, without dependencies", nil, Everything, true},
		{"a table, without dependencies", nil, Change{"users", Any}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			x := New(time.Now)
			group := NewGroup(test.depends)
			guard := x.Lease(group, "owner")
			if guard == nil || guard.Dead() {
				t.Fatal("no live lease in a quiet index")
			}
			killed := x.Announce(test.change)
			if guard.Dead() != test.dies || (len(killed) == 1) != test.dies {
				t.Errorf("dead %t, killed %d; want %t", guard.Dead(), len(killed), test.dies)
			}
			if during := x.Lease(group, nil); (during == nil) != test.dies {
				t.Errorf("a lease while the change is under way: %v", during)
			}
			x.Finish(0, test.change)
			if after := x.Lease(group, nil); after == nil || after.Dead() {
				t.Errorf("no lease after the change: %v", after)
			}
			if guard.Dead() != test.dies {
				t.Errorf("the guard came back to life, or died late")
			}
		})
	}
}

func TestOverlappingChangesEndOneByOne(t *testing.T) {
	t.Parallel()
	x := New(time.Now)
	group := NewGroup([]Dependency{on("users", Any)})
	change := Change{"users", Update}
	x.Announce(change)
	x.Announce(change)
	x.Finish(0, change)
	if x.Lease(group, nil) != nil {
		t.Error("a lease while the second change is under way")
	}
	x.Finish(0, change)
	if x.Lease(group, nil) == nil {
		t.Error("no lease after both")
	}
}

func TestHoldOut(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	x := New(func() time.Time { return now })
	users, pets := NewGroup([]Dependency{on("users", Any)}), NewGroup([]Dependency{on("pets", Any)})
	change := Change{"users", Update}
	x.Announce(change)
	x.Finish(time.Second, change)
	if x.Lease(users, nil) != nil || x.Lease(pets, nil) == nil {
		t.Error("held out: users must be, pets must not")
	}
	x.Announce(change)
	x.Finish(0, change) // does not shorten it
	now = now.Add(time.Second - 1)
	if x.Lease(users, nil) != nil {
		t.Error("the hold-out ended early")
	}
	now = now.Add(1)
	if x.Lease(users, nil) == nil {
		t.Error("the hold-out did not end")
	}
}

func TestDependKillsGuardsOfOldDependencies(t *testing.T) {
	t.Parallel()
	x := New(time.Now)
	group := NewGroup([]Dependency{on("pets", Any)})
	guard := x.Lease(group, nil)
	if killed := x.Depend(group, []Dependency{on("pets", Any), on("users", Delete)}); len(killed) != 1 || !guard.Dead() {
		t.Error("a guard survived new dependencies")
	}
	guard = x.Lease(group, nil)
	if x.Announce(Change{"users", Delete}); !guard.Dead() {
		t.Error("the new dependency does not count")
	}
}

// TestIndexForgetsTables: names in raw SQL are tables to the index only while a change to them is under way.
func TestIndexForgetsTables(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	x := New(func() time.Time { return now })
	for i := range 100 {
		change := Change{fmt.Sprint("t", i), Any}
		x.Announce(change)
		x.Finish(0, change)
	}
	guard := x.Lease(NewGroup([]Dependency{on("users", Any)}), nil)
	x.Release(guard)
	if len(x.tables) != 0 || len(x.groups) != 0 || x.Size() != 0 {
		t.Errorf("left: %d tables, %d groups, %d guards", len(x.tables), len(x.groups), x.Size())
	}
}

// TestAgainstModel compares the index with one that looks at every guard, on random operations.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	tables := []string{"a", "b", "c", ""}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		x := New(func() time.Time { return now })
		var groups []*Group
		depends := map[*Group][]Dependency{}
		for range 4 {
			var ds []Dependency
			for _, table := range rapid.SliceOfNDistinct(rapid.SampledFrom(tables[:3]), 0, 3, rapid.ID).Draw(t, "depends") {
				ds = append(ds, on(table, Kind(rapid.IntRange(1, 7).Draw(t, "kinds"))))
			}
			g := NewGroup(ds)
			groups, depends[g] = append(groups, g), ds
		}
		type guard struct {
			*Guard
			group *Group
		}
		var alive []guard
		var pending []Change
		type hold struct {
			Change
			until time.Time
		}
		var held []hold
		touches := func(c Change, g *Group) bool {
			if c.Table == "" {
				return true
			}
			for _, d := range depends[g] {
				if d.Table == c.Table && d.Kinds&c.Kinds != 0 {
					return true
				}
			}
			return false
		}
		t.Repeat(map[string]func(*rapid.T){
			"lease": func(t *rapid.T) {
				g := rapid.SampledFrom(groups).Draw(t, "group")
				blocked := false
				for _, c := range pending {
					blocked = blocked || touches(c, g)
				}
				for _, h := range held {
					blocked = blocked || now.Before(h.until) && touches(h.Change, g)
				}
				got := x.Lease(g, nil)
				if (got == nil) != blocked {
					t.Fatalf("lease %v, blocked %t", got, blocked)
				}
				if got != nil {
					alive = append(alive, guard{got, g})
				}
			},
			"announce": func(t *rapid.T) {
				c := Change{rapid.SampledFrom(tables).Draw(t, "table"), Kind(rapid.IntRange(1, 7).Draw(t, "kinds"))}
				x.Announce(c)
				pending = append(pending, c)
				var rest []guard
				for _, g := range alive {
					if touches(c, g.group) != g.Dead() {
						t.Fatalf("change %+v on %+v: dead %t", c, depends[g.group], g.Dead())
					}
					if !g.Dead() {
						rest = append(rest, g)
					}
				}
				alive = rest
			},
			"finish": func(t *rapid.T) {
				if len(pending) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(pending)-1).Draw(t, "which")
				d := time.Duration(rapid.IntRange(0, 3).Draw(t, "hold"))
				x.Finish(d, pending[i])
				held = append(held, hold{pending[i], now.Add(d)})
				pending = append(pending[:i], pending[i+1:]...)
			},
			"release": func(t *rapid.T) {
				if len(alive) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(alive)-1).Draw(t, "which")
				x.Release(alive[i].Guard)
				alive = append(alive[:i], alive[i+1:]...)
			},
			"wait": func(t *rapid.T) { now = now.Add(1) },
			"": func(t *rapid.T) {
				if x.Size() != len(alive) {
					t.Fatalf("%d guards, want %d", x.Size(), len(alive))
				}
			},
		})
	})
}

// TestNoGuardOutlivesAChange: whoever sees a guard alive after a change was announced got it after the change was finished.
func TestNoGuardOutlivesAChange(t *testing.T) {
	t.Parallel()
	x := New(time.Now)
	group := NewGroup([]Dependency{on("users", Any)})
	change := Change{"users", Update}
	var (
		mu      sync.Mutex
		version int // of the data: moves while the change is announced
		wg      sync.WaitGroup
	)
	for range 4 {
		wg.Go(func() {
			for range 2_000 {
				guard := x.Lease(group, nil)
				mu.Lock()
				read := version
				mu.Unlock()
				if guard == nil {
					continue
				}
				mu.Lock()
				if !guard.Dead() && read != version {
					t.Errorf("alive with version %d, the data are at %d", read, version)
				}
				mu.Unlock()
				x.Release(guard)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 2_000 {
				x.Announce(change)
				mu.Lock()
				version++
				mu.Unlock()
				x.Finish(0, change)
			}
		})
	}
	wg.Wait()
}

func TestHoldOutsThatAreOverDoNotPileUp(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	x := New(func() time.Time { return now })
	for i := range 100_000 {
		change := Change{fmt.Sprint("t", i), Any}
		x.Announce(change)
		x.Finish(time.Second, change)
		now = now.Add(10 * time.Millisecond)
	}
	if n := len(x.tables); n > 1_000 {
		t.Errorf("%d tables are known, of which 100 are held out", n)
	}
}
