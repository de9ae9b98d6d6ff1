package hotness

import (
	"slices"
	"testing"
	"time"
)

// interrupted is a scorer that does something else, once, while it weighs: the
// access is caught between its count and its weight.
type interrupted struct {
	decayed
	by func()
}

func (s *interrupted) Weigh(weight float64, count int64, now time.Time) float64 {
	if by := s.by; by != nil {
		s.by = nil
		by()
	}
	return s.decayed.Weigh(weight, count, now)
}

// evictedKey returns a table of one place, with a pattern of "a" that lost it.
func evictedKey() (*Table, *interrupted, *Pattern) {
	s := &interrupted{decayed: 0.5}
	table := New(1, s)
	a := table.Touch("a", at(0))
	table.Touch("b", at(50))
	return table, s, a
}

func TestWeightOfAnAccessThatAMergeOvertookIsCarried(t *testing.T) {
	table, s, old := evictedKey()
	var fresh *Pattern
	s.by = func() {
		fresh = table.Touch("a", at(51))
		table.mu.Lock()
		table.unite(old)
		table.mu.Unlock()
		// The count goes with the merge, the weight is not known yet.
		if fresh.Count() != 3 || !fresh.Last().Equal(at(100)) || fresh.Weight() != s.decayed.Weigh(0, 1, at(51)) {
			t.Errorf("after the merge: count %d last %v weight %v", fresh.Count(), fresh.Last(), fresh.Weight())
		}
	}
	table.Record(old, at(100))
	if least := s.decayed.Weigh(0, 1, at(100)); fresh.Weight() < least {
		t.Errorf("weight %v, want at least %v", fresh.Weight(), least)
	}
	mustCheck(t, table)
}

func TestAccessThatAClearOvertookDoesNotBringThePatternBack(t *testing.T) {
	table, s, old := evictedKey()
	s.by = table.Clear
	table.Record(old, at(100))
	if old.Tracked() || table.Len() != 0 {
		t.Error("a pattern from before the Clear is tracked")
	}
	mustCheck(t, table)
}

func TestAccessThatAClearOvertookIsNotMergedIntoANewPattern(t *testing.T) {
	table, s, old := evictedKey()
	var fresh *Pattern
	s.by = func() {
		table.Clear()
		fresh = table.Touch("a", at(51))
	}
	table.Record(old, at(100))
	if fresh.Count() != 1 || !fresh.Last().Equal(at(51)) {
		t.Errorf("count %d last %v, want what was recorded since the Clear: 1 and %v", fresh.Count(), fresh.Last(), at(51))
	}
	mustCheck(t, table)
}

func TestNothingIsCarriedOverAClear(t *testing.T) {
	table, s, old := evictedKey()
	s.by = func() {
		table.Clear()
		table.Record(old, at(51))
	}
	table.Record(old, at(100))
	if want := s.decayed.Weigh(0, 1, at(51)); old.Count() != 1 || old.Weight() != want {
		t.Errorf("count %d weight %v, want what was recorded since the Clear: 1 and %v", old.Count(), old.Weight(), want)
	}
	mustCheck(t, table)
}

// Halfway through a Clear the epoch is new and the index is not.
func TestPatternIsNotSupersededByOneOfItsOwnEpoch(t *testing.T) {
	table := New(1, decayed(0.5))
	a := table.Touch("a", at(0))
	epoch := table.epoch.Add(1)
	fresh := table.supersede(a, epoch)
	if fresh == a || fresh.epoch != epoch || a.current() != fresh {
		t.Errorf("superseded by a pattern of epoch %d, want %d", fresh.epoch, epoch)
	}
}

func TestLateRelationsAreCarried(t *testing.T) {
	table, _, old := evictedKey()
	table.Touch("a", at(51))
	table.Record(old, at(51))
	old.relate([]string{"late"}, nil) // whoever looked it up before the merge
	if got := table.Related("a"); !slices.Equal(got, []string{"late"}) {
		t.Errorf("related %q, want the late one", got)
	}
}
