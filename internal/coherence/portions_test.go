package coherence

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// answersByRow is a group whose answers pin a value and show rows.
func answersByRow() *Group {
	return NewGroup(Reading{
		Table: "t", Columns: cols("id", "a", "c"), Choosing: cols("a"), Pinned: []string{"a"},
		Rows: true, Keys: [][]string{{"id"}}, Primary: true,
	})
}

// comesIn lets something come in at one moment, the first time that it comes.
func comesIn(x *Index, at moment, do func()) (came *bool) {
	came = new(bool)
	x.between = func(now moment) {
		if now == at && !*came {
			*came = true
			do()
		}
	}
	return came
}

// crowded is more answers than a search looks at in one portion.
const crowded = portion

// TestAFillDuringASearchIsNotMissed: an answer is filled, with a row that a change touches, when the
// search for that change has let go of the lock and has not come by yet. It dies, and the change
// tells of it.
func TestAFillDuringASearchIsNotMissed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		row  Value
		dies bool
	}{
		"with a row that is touched": {"i1", true},
		"with another row":           {"i2", false},
	} {
		x, group := quiet(), answersByRow()
		filled := lease(x, group, "filled", [][]Value{{"a1"}})
		for i := range crowded {
			lease(x, group, nil, [][]Value{{Value(fmt.Sprint("b", i))}}) // not filled: they could show any row
		}
		change := update("c", where(pin("id", "i1")), nil)
		came := comesIn(x, searched, func() {
			if filled.Dead() {
				t.Fatalf("%s: the search came by before", name)
			}
			x.Fill(filled, 1, [][]Value{{c.row}}, false)
		})
		a, killed := x.Announce(change)
		told := slices.ContainsFunc(killed, func(k Kill) bool { return k.Guard == filled })
		if !*came || filled.Dead() != c.dies || told != c.dies {
			t.Errorf("%s: the search let go %t, dead %t, told of %t, want %t", name, *came, filled.Dead(), told, c.dies)
		}
		if len(guardsOf(killed)) != len(killed) || len(killed) < crowded {
			t.Errorf("%s: killed %d answers, %d different ones, of %d", name, len(killed), len(guardsOf(killed)), crowded)
		}
		x.Finish(a, 0)
		verify(t, x, group)
	}
}

// TestALeaseDuringASearchAsksWhatIsPending: answers that are leased while a search has let go are
// refused if the change could touch them, and kept if it could not.
func TestALeaseDuringASearchAsksWhatIsPending(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change Change
		pins   [][]Value
		leased bool
	}{
		"touched":           {deletes(pin("a", "a1")), [][]Value{{"a1"}}, false},
		"another value":     {deletes(pin("a", "a1")), [][]Value{{"a2"}}, true},
		"the whole table":   {Loose("t", Any), [][]Value{{"a2"}}, false},
		"whatever there is": {Everything, [][]Value{{"a2"}}, false},
	} {
		x, group, loosely := quiet(), answersByRow(), NewGroup(Reading{}, "u", "t")
		for range crowded {
			lease(x, group, nil, [][]Value{{"a1"}})
		}
		var guard, loose *Guard
		came := comesIn(x, searched, func() {
			guard = lease(x, group, nil, c.pins)
			loose = lease(x, loosely, nil, nil)
		})
		a, killed := x.Announce(c.change)
		if !*came || (guard != nil) != c.leased || loose != nil || len(killed) != crowded {
			t.Errorf("%s: let go %t, leased %t, want %t; of unknown reading %t; killed %d", name, *came, guard != nil, c.leased, loose != nil, len(killed))
		}
		x.Finish(a, 0)
		if lease(x, group, nil, c.pins) == nil || lease(x, loosely, nil, nil) == nil {
			t.Errorf("%s: refused after the finish", name)
		}
		verify(t, x, group, loosely)
	}
}

// TestASecondChangeDuringASearch: another change of the table is announced, and maybe finished,
// while the first one searches. Together they kill each answer once, and each on its own account
// keeps others from being kept.
func TestASecondChangeDuringASearch(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]Change{
		"the same":           deletes(pin("a", "a1")),
		"of others":          deletes(pin("a", "a2")),
		"of the whole table": Loose("t", Any),
		"of everything":      Everything,
	} {
		for _, finished := range []bool{false, true} {
			x, group := quiet(), answersByRow()
			var guards []*Guard
			for i := range 2 * crowded {
				guards = append(guards, lease(x, group, nil, [][]Value{{[]Value{"a1", "a2", "a3"}[i%3]}}))
			}
			var b *Announcement
			var killedToo []Kill
			came := comesIn(x, searched, func() {
				b, killedToo = x.Announce(second)
				if finished {
					x.Finish(b, 0)
				}
			})
			a, killed := x.Announce(deletes(pin("a", "a1")))
			if !*came {
				t.Fatal("the search did not let go")
			}
			all := guardsOf(append(slices.Clone(killed), killedToo...))
			if len(all) != len(killed)+len(killedToo) {
				t.Errorf("%s: an answer was killed twice", name)
			}
			for i, guard := range guards {
				if i%3 == 0 && !guard.Dead() || guard.Dead() != all[guard] {
					t.Fatalf("%s: answer %d is dead %t, told of %t", name, i, guard.Dead(), all[guard])
				}
			}
			x.Finish(a, 0)
			if got := lease(x, group, nil, [][]Value{{"a2"}}) != nil; got != (finished || name == "the same") {
				t.Errorf("%s, finished %t: leased %t after the end of the first", name, finished, got)
			}
			if !finished {
				x.Finish(b, 0)
			}
			if lease(x, group, nil, [][]Value{{"a1"}}) == nil {
				t.Errorf("%s: refused when both were over", name)
			}
			verify(t, x, group)
		}
	}
}

// TestASearchIsNotKeptGoing: whoever leases, fills and releases answers while a search has let go
// neither makes it longer nor lets one escape that was there before.
func TestASearchIsNotKeptGoing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]Change{
		"by value": deletes(pin("a", "a1")),
		"by row":   deletes(pin("id", "i1")),
		"all":      Loose("t", Any),
	} {
		x, group := quiet(), answersByRow()
		var guards []*Guard
		for range 3 * crowded {
			guards = append(guards, lease(x, group, nil, [][]Value{{"a1"}}))
		}
		portions, released := 0, 0
		x.between = func(at moment) {
			if at != searched {
				return
			}
			portions++
			for range crowded / 40 {
				lease(x, group, nil, [][]Value{{"a1"}})
				if guard := lease(x, group, nil, [][]Value{{"a2"}}); guard != nil {
					x.Fill(guard, 1, [][]Value{{"i2"}}, false)
				}
			}
			for i := portions; i < len(guards); i += 100 {
				if !guards[i].Dead() {
					x.Release(guards[i])
					released++
				}
			}
		}
		a, killed := x.Announce(change)
		// Each has two links, of its value and of its row.
		if least, most := len(guards)*linkWork/portion, 4*len(guards)*linkWork*2/portion; portions < least || portions > most {
			t.Errorf("%s: %d portions, want %d to %d", name, portions, least, most)
		}
		if n := len(guardsOf(killed)) + released; n != len(guards) || len(guardsOf(killed)) != len(killed) {
			t.Errorf("%s: %d of %d answers were killed, %d released", name, len(killed), len(guards), released)
		}
		for i, guard := range guards {
			if !guard.Dead() {
				t.Fatalf("%s: answer %d is alive", name, i)
			}
		}
		x.between = nil
		x.Finish(a, 0)
		verify(t, x, group)
	}
}

// TestAnAnswerOfTwoTables: whatever comes in between the steps of a lease, its end at one table does
// not hide other answers of its group from changes of the other one.
func TestAnAnswerOfTwoTables(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]moment{"before it is linked": counted, "before it asks": linked} {
		for kind, group := range map[string]*Group{
			"of no known reading": NewGroup(Reading{}, "s", "t", "u"),
			"of a known one":      NewGroup(Reading{Table: "s", Columns: cols("a"), Pinned: []string{"a"}}, "t", "u"),
		} {
			for what, comes := range map[string]struct {
				do     func(x *Index)
				leased bool
			}{
				"a change of its home":           {func(x *Index) { x.Announce(deletesOf("s", pin("a", "a1"))) }, false},
				"one that is over":               {func(x *Index) { over(x, deletesOf("s", pin("a", "a1"))) }, at == counted},
				"a change of the other table":    {func(x *Index) { x.Announce(Loose("t", Update)) }, false},
				"one of it that is over":         {func(x *Index) { over(x, Loose("t", Update)) }, at == counted},
				"a change of everything":         {func(x *Index) { x.Announce(Everything) }, false},
				"a change of everything, over":   {func(x *Index) { over(x, Everything) }, at == counted},
				"a hold-out of the other table":  {func(x *Index) { a, _ := x.Announce(Loose("t", Update)); x.Finish(a, time.Hour) }, false},
				"a change of an unrelated table": {func(x *Index) { x.Announce(Loose("v", Any)) }, true},
			} {
				x := quiet()
				var before *Guard
				if kind == "of a known one" {
					// It is not touched by what comes in at the home.
					before = lease(x, group, nil, [][]Value{{"a2"}})
				}
				guard := &Guard{}
				came := comesIn(x, at, func() { comes.do(x) })
				leased := x.Lease(group, guard, [][]Value{{"a1"}})
				label := fmt.Sprintf("%s, %s, %s", kind, what, name)
				if !*came || (leased && !guard.Dead()) != comes.leased {
					t.Errorf("%s: leased %t, dead %t, want it alive: %t", label, leased, guard.Dead(), comes.leased)
				}
				x.between = nil
				verify(t, x, group)
				for _, g := range []*Guard{before, guard} {
					if g == nil || g.Dead() {
						continue
					}
					if x.Announce(Loose("u", Update)); !g.Dead() {
						t.Errorf("%s: an answer survived a change of a table that it reads", label)
					}
				}
				verify(t, x, group)
			}
		}
	}
}

func over(x *Index, c Change) {
	a, _ := x.Announce(c)
	x.Finish(a, 0)
}

func deletesOf(table string, pins ...Pin) Change {
	c := deletes(pins...)
	c.Table = table
	return c
}

// TestTheEndOfAnAnswerOfTwoTablesHidesNoOther: two answers of one group have another home than the
// table that changes. One of them is killed, at home, while it is being leased: before it is
// counted anywhere else it must not be there to be killed, or what it takes off the count is the
// other answer's.
func TestTheEndOfAnAnswerOfTwoTablesHidesNoOther(t *testing.T) {
	t.Parallel()
	x := quiet()
	group := NewGroup(Reading{Table: "s", Columns: cols("a"), Pinned: []string{"a"}}, "t")
	other := lease(x, group, nil, [][]Value{{"a2"}})
	checked := 0
	x.between = func(moment) {
		// Whatever the step, all that are linked at home are counted at the other table.
		home, elsewhere := x.find("s"), 0
		at := len(group.guards)
		x.unlock(home)
		if t := x.find("t"); t != nil {
			elsewhere = t.others[group]
			x.unlock(t)
		}
		if checked++; elsewhere < at {
			t.Errorf("%d answers are counted of %d", elsewhere, at)
		}
		over(x, deletesOf("s", pin("a", "a1")))
	}
	x.Lease(group, &Guard{}, [][]Value{{"a1"}})
	x.between = nil
	if checked < 2 || other.Dead() {
		t.Fatalf("%d moments; the other answer is dead: %t", checked, other.Dead())
	}
	if x.Announce(Loose("t", Update)); !other.Dead() {
		t.Error("an answer survived a change of a table that it reads")
	}
}

// TestWideningDuringASearch: a table is learned to be reached by another one while a change of that
// one, or of the table itself, has let go.
func TestWideningDuringASearch(t *testing.T) {
	t.Parallel()
	x, group := quiet(), answersByRow()
	child := NewGroup(Reading{}, "child")
	for range crowded {
		lease(x, group, nil, [][]Value{{"a1"}})
	}
	guard := lease(x, child, nil, nil)
	var killed []Kill
	came := comesIn(x, searched, func() { killed = x.Widen("t", "child") })
	a, _ := x.Announce(Loose("t", Any))
	if !*came || len(killed) != 1 || !guard.Dead() || lease(x, child, nil, nil) != nil {
		t.Errorf("let go %t, killed %d; a change that is under way does not count for what it reaches", *came, len(killed))
	}
	x.Finish(a, 0)
	if lease(x, child, nil, nil) == nil {
		t.Error("refused when it was over")
	}
	verify(t, x, group, child)
}

// TestATableIsKnownWhileItIsSearched: the lock of a table is that of its groups, so that there must
// not be another table of that name while a search of it has let go, even if all answers leave.
func TestATableIsKnownWhileItIsSearched(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]Change{
		"by a change of another table": Loose("u", Any),
		"by a change of everything":    Everything,
	} {
		x, group := quiet(), NewGroup(Reading{Table: "t"}, "u")
		var guards []*Guard
		for range crowded {
			guards = append(guards, lease(x, group, nil, nil))
		}
		came := comesIn(x, searched, func() {
			before, _ := x.tables.Load("t")
			for _, guard := range guards {
				x.Release(guard)
			}
			lease(x, group, nil, nil)
			if after, _ := x.tables.Load("t"); after != before {
				t.Errorf("%s: another table is known by now", name)
			}
		})
		a, _ := x.Announce(change)
		if !*came {
			t.Fatal("the search did not let go")
		}
		x.Finish(a, 0)
		if known(x) != 0 {
			t.Errorf("%s: %d tables are known afterwards", name, known(x))
		}
		verify(t, x, group)
	}
}
