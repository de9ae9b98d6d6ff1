package commit

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/cache"
	"github.com/gorm-preload/preload/internal/catalog"
	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/sqltext"
)

// heldLog returns a log of changes of no database, and the index that it announces them to.
func heldLog() (*Log, *coherence.Index) {
	clock := dbtest.NewClock()
	index := coherence.New(clock.Now)
	known := catalog.New(catalog.Hooks{})
	log := New(Config{
		Catalog: known, Footprints: footprint.New(known, false), Cache: cache.New(cache.Config{Index: index, Now: clock.Now}), Index: index,
		HoldOut: time.Second, Now: clock.Now, Killed: func([]cache.Killed) {},
	})
	log.dialect = "sqlite"
	return log, index
}

func heldWrite(table string) footprint.Write {
	return footprint.Write{Changes: []coherence.Change{coherence.Loose(table, coherence.Any)}}
}

// A rollback to a savepoint drops what the database is known to have undone, and nothing else.
func TestARollbackToASavepointDropsOnlyWhatCameBeforeIt(t *testing.T) {
	t.Parallel()
	log, _ := heldLog()
	for name, c := range map[string]struct {
		do   func(h *held)
		want []string
	}{
		"written before the savepoint, and after it": {func(h *held) {
			h.write(heldWrite("a"), false)(Ending{})
			h.point(sqltext.Savepoint, "s")(nil)
			h.write(heldWrite("b"), false)(Ending{})
			h.point(sqltext.RollbackTo, "s")(nil)
		}, []string{"a"}},
		"the rollback failed": {func(h *held) {
			h.point(sqltext.Savepoint, "s")(nil)
			h.write(heldWrite("b"), false)(Ending{})
			h.point(sqltext.RollbackTo, "s")(io.EOF)
		}, []string{"b"}},
		"a write begins while the rollback runs": {func(h *held) {
			h.point(sqltext.Savepoint, "s")(nil)
			back := h.point(sqltext.RollbackTo, "s")
			done := h.write(heldWrite("b"), false)
			back(nil)
			done(Ending{})
		}, []string{"b"}},
		"a write runs when the rollback begins": {func(h *held) {
			h.point(sqltext.Savepoint, "s")(nil)
			done := h.write(heldWrite("b"), false)
			back := h.point(sqltext.RollbackTo, "s")
			done(Ending{})
			back(nil)
		}, []string{"b"}},
		"two savepoints of one name at once": {func(h *held) {
			h.point(sqltext.Savepoint, "s")(nil)
			h.write(heldWrite("b"), false)(Ending{})
			one, two := h.point(sqltext.RollbackTo, "s"), h.point(sqltext.Savepoint, "s")
			two(nil)
			one(nil)
			h.point(sqltext.RollbackTo, "s")(nil)
		}, []string{"b"}},
		"a write that runs when its rows are read": {func(h *held) {
			h.point(sqltext.Savepoint, "s")(nil)
			h.write(heldWrite("b"), true)(Ending{})
			h.point(sqltext.RollbackTo, "s")(nil)
		}, []string{"b"}},
	} {
		h := &held{log: log}
		c.do(h)
		var got []string
		for _, w := range h.begin() {
			for _, change := range w.Changes {
				got = append(got, change.Table)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: held %q, want %q", name, got, c.want)
		}
	}
}

// What is written while a commit is under way is announced until all commits have ended, for as
// long as they ask for.
func TestWhatIsWrittenDuringACommitIsAnnouncedUntilItEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		outcome error
		heldOut bool
	}{
		"committed":   {nil, false},
		"rolled back": {sql.ErrTxDone, false},
		"unknown":     {io.EOF, true},
	} {
		log, index := heldLog()
		kept := func() bool {
			guard := &coherence.Guard{}
			defer index.Release(guard)
			return index.Lease(coherence.NewGroup(coherence.Reading{}, "a"), guard, nil)
		}
		h := &held{log: log}
		if !kept() {
			t.Fatal("nothing is under way, and nothing is kept")
		}
		err := commits(h, func() error {
			h.write(heldWrite("a"), false)(Ending{})
			if kept() {
				t.Errorf("%s: kept although the commit has not ended", name)
			}
			_ = commits(h, func() error { return sql.ErrTxDone })
			if kept() {
				t.Errorf("%s: the second commit ended the announcement of the first", name)
			}
			h.write(heldWrite("b"), false)(Ending{Err: sql.ErrTxDone})
			if len(h.late) != 1 {
				t.Errorf("%s: %d writes wait for the commit, want that which was sent", name, len(h.late))
			}
			return c.outcome
		})
		if err != c.outcome {
			t.Errorf("%s: %v", name, err)
		}
		if kept() == c.heldOut {
			t.Errorf("%s: held out: %v, want %v", name, !c.heldOut, c.heldOut)
		}
	}
}

// Of many writes of one transaction only the tables and kinds count, and no more is held; what
// changes another table, or in another way, counts as before.
func TestManyWritesOfATransactionCountAsTheirTables(t *testing.T) {
	t.Parallel()
	write := func(table string, kind coherence.Kind, id int) footprint.Write {
		where := coherence.Pins{{Column: "id", Values: []coherence.Value{coherence.Value(fmt.Sprint("i", id))}}}
		return footprint.Write{Changes: []coherence.Change{{Table: table, Kinds: kind, Where: where}}}
	}
	log, _ := heldLog()
	h := &held{log: log}
	for id := range 20 * maxHeld {
		h.write(write("a", coherence.Delete, id), false)(Ending{})
		if n := len(h.segments[0].writes); n > maxHeld {
			t.Fatalf("%d writes are held", n)
		}
	}
	h.write(write("b", coherence.Delete, 1), false)(Ending{})
	h.write(write("a", coherence.Insert, 1), false)(Ending{})
	h.point(sqltext.Savepoint, "s")(nil)
	h.write(write("a", coherence.Delete, 1), false)(Ending{})
	var got []coherence.Change
	for _, w := range h.all() {
		got = append(got, w.Changes...)
	}
	want := []coherence.Change{coherence.Loose("a", coherence.Delete)}
	for _, w := range []footprint.Write{write("b", coherence.Delete, 1), write("a", coherence.Insert, 1), write("a", coherence.Delete, 1)} {
		want = append(want, w.Changes...)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("held %+v, want %+v", got, want)
	}
	for id := range 2 * maxHeld {
		h.write(write("c", coherence.Delete, id), false)(Ending{})
	}
	h.point(sqltext.RollbackTo, "s")(nil)
	h.write(write("c", coherence.Delete, 7), false)(Ending{})
	if len(h.segments[1].writes) != 1 || len(h.segments[1].writes[0].Changes[0].Where) == 0 {
		t.Errorf("after a rollback to the savepoint %+v is held", h.segments[1])
	}
}

// commits runs a commit of a transaction that has no name.
func commits(h *held, do func() error) error {
	return h.commit(context.Background(), do, func() error { return nil }, nil, func() string { return "" })
}
