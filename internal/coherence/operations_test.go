package coherence

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// naive says what an index should do by looking at every guard, and at every change that is under
// way.
type naive struct {
	now     time.Time
	loose   map[*Group][]string // the tables that groups read in a way that is not known
	alive   map[*Guard]*answered
	pending []announced
	held    []hold
}

// answered is what is known of an answer, in the words of its Reading.
type answered struct {
	group  *Group
	pins   [][]Value
	filled bool
	rows   int
	keys   [][]Value
	all    bool
}

type announced struct {
	*Announcement
	changes []Change
	blocks  bool // it kills nothing, but holds back
}

type hold struct {
	table string
	until time.Time
}

func (n *naive) touches(c Change, a *answered) bool {
	c = c.sure()
	reading := &a.group.reading
	switch {
	case c.Table == "" || slices.Contains(n.loose[a.group], c.Table):
		return true
	case reading.Table != c.Table:
		return false
	}
	// What only cuts does not matter to an answer that nothing was cut off.
	cuts := c.Columns.Meets(reading.Cutting) && !(a.filled && (a.all || a.rows == 0))
	relevant := c.Kinds != Update || c.Columns.Meets(reading.Columns) || cuts
	shares := func(of func(string) []Value) bool {
		for _, fixed := range reading.Fixed {
			if disjoint(of(fixed.Column), fixed.Values) {
				return false
			}
		}
		for i, column := range reading.Pinned {
			if disjoint(of(column), at(a.pins, i)) {
				return false
			}
		}
		return true
	}
	wasIn := func() bool {
		if c.Kinds == Insert || !relevant || a.filled && a.rows == 0 {
			return false
		}
		for i, columns := range reading.Keys {
			if a.filled && disjoint(c.keys(columns), at(a.keys, i)) {
				return false
			}
		}
		return shares(c.before)
	}
	isIn := func() bool {
		if c.Kinds == Delete || c.Kinds == Update && !(c.Columns.Meets(reading.Choosing) || cuts) {
			return false
		}
		if c.Kinds == Insert && a.showsKeys() {
			return false
		}
		return shares(c.after)
	}
	return wasIn() || isIn()
}

// showsKeys reports whether each row that can have one of the answer's keys is in it.
func (a *answered) showsKeys() bool {
	if !a.group.reading.Primary || !a.filled || a.rows == 0 {
		return false
	}
	var pins [][]Value
	for _, column := range a.group.reading.Keys[0] {
		if !slices.Contains(a.group.reading.Pinned, column) {
			pins = append(pins, a.group.reading.Fixed.of(column))
		}
	}
	for i, column := range a.group.reading.Pinned {
		if slices.Contains(a.group.reading.Keys[0], column) {
			pins = append(pins, at(a.pins, i))
		}
	}
	keys := 1
	for _, values := range pins {
		if keys *= len(values); slices.Contains(values, Null) {
			return false
		}
	}
	shown := map[Value]bool{}
	for _, key := range at(a.keys, 0) {
		shown[key] = true
	}
	return keys == 1 || keys > 1 && len(shown) >= keys
}

func (n *naive) killedBy(changes ...Change) map[*Guard]bool {
	killed := map[*Guard]bool{}
	for guard, answered := range n.alive {
		for _, c := range changes {
			if n.touches(c, answered) {
				killed[guard] = true
			}
		}
	}
	return killed
}

func (n *naive) blocked(group *Group, pins [][]Value) bool {
	answered := &answered{group: group, pins: pins}
	for _, a := range n.pending {
		for _, c := range a.changes {
			if n.touches(c, answered) {
				return true
			}
		}
	}
	for _, h := range n.held {
		if n.now.Before(h.until) && (h.table == "" || h.table == group.reading.Table || slices.Contains(n.loose[group], h.table)) {
			return true
		}
	}
	return false
}

// serves reports whether an answer may be served.
func (n *naive) serves(guard *Guard) bool {
	answered := n.alive[guard]
	return answered != nil && !slices.ContainsFunc(n.pending, func(a announced) bool {
		return a.blocks && slices.ContainsFunc(a.changes, func(c Change) bool { return n.touches(c, answered) })
	})
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

// TestOperations does random things to an index, proves its structure whole after each, and
// compares what it finds by its sets with what there is to find.
func TestOperations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := &naive{now: time.Unix(0, 0), loose: map[*Group][]string{}, alive: map[*Guard]*answered{}}
		x := New(func() time.Time { return n.now })
		groups := []*Group{NewGroup(Reading{})}
		for range 4 {
			loose := rapid.SliceOfN(rapid.SampledFrom([]string{"t", "u", "v"}), 0, 2).Draw(t, "loose")
			reading := Reading{
				Table:    rapid.SampledFrom([]string{"t", "t", "u", ""}).Draw(t, "table"),
				Columns:  columnSet(t, "columns"),
				Choosing: columnSet(t, "choosing"),
				Cutting:  columnSet(t, "cutting"),
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
			group := NewGroup(reading, loose...)
			groups, n.loose[group] = append(groups, group), loose
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
			guard := &Guard{}
			leased := x.Lease(group, guard, pins)
			if leased == blocked {
				t.Fatalf("leased %t, blocked %t", leased, blocked)
			}
			if leased {
				n.alive[guard], guards = &answered{group: group, pins: pins}, append(guards, guard)
			}
		}
		fill := func(t *rapid.T) {
			guard := aGuard(t)
			a, wanted := n.alive[guard], 0
			if a != nil {
				wanted = len(a.group.reading.Keys)
			}
			rows, keys := rapid.IntRange(0, 3).Draw(t, "rows"), lists(t, "keys", wanted)
			all := rapid.Bool().Draw(t, "all")
			if x.Fill(guard, rows, keys, all); a != nil && a.group.reading.Rows && !a.filled {
				a.filled, a.rows, a.keys, a.all = true, rows, keys, all
			}
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
				n.pending = append(n.pending, announced{a, changes, false})
			},
			"block": func(t *rapid.T) {
				changes := rapid.SliceOfN(rapid.Custom(oddChange), 0, 3).Draw(t, "changes")
				n.pending = append(n.pending, announced{x.Block(changes...), changes, true})
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
					if got := x.Serves(guard); got != n.serves(guard) {
						t.Fatalf("an answer is served: %t", got)
					}
				}
			},
		})
	})
}
