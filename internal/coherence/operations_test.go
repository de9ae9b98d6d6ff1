package coherence

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// naive says what an index should do by looking at every guard, and at every change that is under way.
type naive struct {
	now     time.Time
	alive   map[*Guard]*Group
	pending []announced
	held    []hold
}

type announced struct {
	*Announcement
	changes []Change
}

type hold struct {
	table string
	until time.Time
}

func (n *naive) touches(c Change, group *Group, guard *Guard) bool {
	c = c.sure()
	switch {
	case c.Table == "" || slices.Contains(group.loose, c.Table):
		return true
	case !group.hasTable || group.reading.Table != c.Table:
		return false
	}
	probe, ok := look(&c, group)
	if !ok {
		return false
	}
	if probe.before {
		for _, key := range group.reading.Keys {
			probe.keys = append(probe.keys, c.keys(key))
		}
	}
	return probe.touches(guard)
}

func (n *naive) killedBy(changes ...Change) map[*Guard]bool {
	killed := map[*Guard]bool{}
	for guard, group := range n.alive {
		for _, c := range changes {
			if n.touches(c, group, guard) {
				killed[guard] = true
			}
		}
	}
	return killed
}

func (n *naive) blocked(group *Group, pins [][]Value) bool {
	guard := &Guard{pins: pins}
	for _, a := range n.pending {
		for _, c := range a.changes {
			if n.touches(c, group, guard) {
				return true
			}
		}
	}
	for _, h := range n.held {
		if n.now.Before(h.until) && (h.table == "" || h.table == group.reading.Table || slices.Contains(group.loose, h.table)) {
			return true
		}
	}
	return false
}

func guardsOf(kills []Kill) map[*Guard]bool {
	guards := map[*Guard]bool{}
	for _, kill := range kills {
		guards[kill.Guard] = true
	}
	return guards
}

// oddly draws lists of values with what may trip the index up: any, none, twice the same.
func oddly(t *rapid.T, label string) []Value {
	switch rapid.IntRange(0, 9).Draw(t, label+" form") {
	case 0, 1:
		return nil
	case 2:
		return []Value{}
	}
	return rapid.SliceOfN(rapid.SampledFrom([]Value{Null, "i1", "i2", "i3"}), 1, 3).Draw(t, label)
}

var operationColumns = []string{"id", "a", "b"}

func someColumns(t *rapid.T, label string) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(operationColumns), 0, 3, rapid.ID).Draw(t, label)
}

func columnSet(t *rapid.T, label string) Columns {
	return Columns{All: rapid.IntRange(0, 4).Draw(t, label+" all") == 0, Names: someColumns(t, label)}
}

func oddPins(t *rapid.T, label string) (pins Pins) {
	for _, column := range someColumns(t, label) {
		pins = append(pins, Pin{column, oddly(t, label)})
	}
	return pins
}

func oddChange(t *rapid.T) Change {
	return Change{
		Table:   rapid.SampledFrom([]string{"t", "t", "t", "u", "u", "v", ""}).Draw(t, "table"),
		Kinds:   rapid.SampledFrom([]Kind{Insert, Update, Update, Delete, Insert | Update, Any}).Draw(t, "kinds"),
		Where:   oddPins(t, "where"),
		Columns: columnSet(t, "columns"),
		Set:     oddPins(t, "set"),
	}
}

// TestOperations does random things to an index, proves its structure whole after each, and compares what it finds by its sets
// with what there is to find.
func TestOperations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := &naive{now: time.Unix(0, 0), alive: map[*Guard]*Group{}}
		x := New(func() time.Time { return n.now })
		groups := []*Group{NewGroup(Reading{})}
		for range 4 {
			loose := rapid.SliceOfN(rapid.SampledFrom([]string{"t", "u", "v"}), 0, 2).Draw(t, "loose")
			reading := Reading{
				Table:    rapid.SampledFrom([]string{"t", "t", "u", ""}).Draw(t, "table"),
				Columns:  columnSet(t, "columns"),
				Choosing: columnSet(t, "choosing"),
				Fixed:    oddPins(t, "fixed"),
				Pinned:   rapid.SliceOfN(rapid.SampledFrom(operationColumns), 0, 3).Draw(t, "pinned"),
				Rows:     rapid.IntRange(0, 3).Draw(t, "rows") > 0,
			}
			if reading.Table != "" {
				reading.Keys = rapid.SliceOfN(rapid.SampledFrom([][]string{{"id"}, {"a"}, {"id", "a"}, {"a", "a"}}), 0, 3).Draw(t, "keys")
			} else {
				reading = Reading{}
			}
			reading.Primary = len(reading.Keys) > 0 && rapid.Bool().Draw(t, "primary")
			groups = append(groups, NewGroup(reading, loose...))
		}
		var guards []*Guard // dead ones, too
		aGuard := func(t *rapid.T) *Guard {
			if len(guards) == 0 {
				t.Skip()
			}
			return rapid.SampledFrom(guards).Draw(t, "guard")
		}
		died := func(t *rapid.T, killed, want map[*Guard]bool) {
			if !maps.Equal(killed, want) {
				t.Fatalf("killed %d guards, should have been %d", len(killed), len(want))
			}
			for guard := range killed {
				delete(n.alive, guard)
			}
		}
		lists := func(t *rapid.T, label string, want int) (lists [][]Value) {
			for range want {
				lists = append(lists, oddly(t, label))
			}
			if rapid.IntRange(0, 9).Draw(t, label+" left out") == 0 {
				lists = nil
			}
			return lists
		}
		lease := func(t *rapid.T) {
			group := rapid.SampledFrom(groups).Draw(t, "group")
			pins := lists(t, "pins", len(group.reading.Pinned))
			blocked := n.blocked(group, pins)
			guard := x.Lease(group, nil, pins)
			if (guard == nil) != blocked {
				t.Fatalf("lease %v, blocked %t", guard, blocked)
			}
			if guard != nil {
				n.alive[guard], guards = group, append(guards, guard)
			}
		}
		fill := func(t *rapid.T) {
			guard := aGuard(t)
			keys := 0
			if group := n.alive[guard]; group != nil {
				keys = len(group.reading.Keys)
			}
			x.Fill(guard, rapid.IntRange(0, 3).Draw(t, "rows"), lists(t, "keys", keys))
		}
		t.Repeat(map[string]func(*rapid.T){
			"lease": lease, "lease another": lease, "fill": fill, "fill another": fill,
			"release": func(t *rapid.T) {
				guard := aGuard(t)
				x.Release(guard)
				delete(n.alive, guard)
			},
			"announce": func(t *rapid.T) {
				changes := rapid.SliceOfN(rapid.Custom(oddChange), 0, 3).Draw(t, "changes")
				want := n.killedBy(changes...)
				foreseen := map[*Guard]bool{}
				for _, c := range changes {
					kills := x.Touching(c)
					maps.Copy(foreseen, guardsOf(kills))
					if len(guardsOf(kills)) != len(kills) {
						t.Fatalf("%+v touches a guard twice", c)
					}
				}
				a, kills := x.Announce(changes...)
				if !maps.Equal(foreseen, want) || len(guardsOf(kills)) != len(kills) {
					t.Fatalf("foreseen: %d, killed: %d, different: %d, want %d", len(foreseen), len(kills), len(guardsOf(kills)), len(want))
				}
				died(t, guardsOf(kills), want)
				n.pending = append(n.pending, announced{a, changes})
			},
			"finish": func(t *rapid.T) {
				if len(n.pending) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(n.pending)-1).Draw(t, "which")
				d := time.Duration(max(0, rapid.IntRange(-3, 3).Draw(t, "hold")))
				x.Finish(n.pending[i].Announcement, d)
				for _, c := range n.pending[i].changes {
					n.held = append(n.held, hold{c.Table, n.now.Add(d)})
				}
				n.pending = slices.Delete(n.pending, i, i+1)
			},
			"widen": func(t *rapid.T) {
				from, to := rapid.SampledFrom([]string{"t", "u", "w"}).Draw(t, "from"), rapid.SampledFrom([]string{"t", "u", "w"}).Draw(t, "to")
				want := n.killedBy(Loose(to, Any))
				died(t, guardsOf(x.Widen(from, to)), want)
				for i, a := range n.pending {
					reaches := slices.ContainsFunc(a.changes, func(c Change) bool { return c.Table == from })
					known := slices.ContainsFunc(a.changes, func(c Change) bool { return c.Table == to && c.Kinds == Any })
					if reaches && !known {
						n.pending[i].changes = append(slices.Clone(a.changes), Loose(to, Any))
					}
				}
				for _, h := range n.held {
					if h.table == from && !slices.Contains(n.held, hold{to, h.until}) {
						n.held = append(n.held, hold{to, h.until})
					}
				}
			},
			"wait": func(t *rapid.T) { n.now = n.now.Add(time.Duration(rapid.IntRange(1, 3).Draw(t, "time"))) },
			"": func(t *rapid.T) {
				verify(t, x, groups...)
				if x.Size() != len(n.alive) {
					t.Fatalf("%d guards, want %d", x.Size(), len(n.alive))
				}
				for _, guard := range guards {
					if _, alive := n.alive[guard]; alive == guard.Dead() {
						t.Fatalf("a guard is dead: %t", guard.Dead())
					}
				}
			},
		})
	})
}
