package commit

import (
	"context"
	"database/sql"
	"testing"

	"github.com/gorm-preload/preload/internal/coherence"
	"github.com/gorm-preload/preload/internal/footprint"
	"github.com/gorm-preload/preload/internal/sqltext"
	"gorm.io/gorm"
)

// What is written while a query of the same transaction is under way keeps its answer out, also
// where it was taken back before the query returned: the answer may show it.
func TestAnAnswerBesideAWriteOfItsTransactionIsNotGeneral(t *testing.T) {
	t.Parallel()
	log, _ := heldLog()
	log.Reads = true
	front := &Pool{nil, log}
	for name, c := range map[string]struct {
		meanwhile func(h *held)
		want      bool
	}{
		"nothing":                {func(*held) {}, true},
		"a write":                {func(h *held) { h.write(heldWrite("a"), false) }, false},
		"a write that has ended": {func(h *held) { h.write(heldWrite("a"), false)(Ending{}) }, false},
		"a write that was taken back": {func(h *held) {
			h.point(sqltext.Savepoint, "s")(nil)
			h.write(heldWrite("a"), false)(Ending{})
			h.point(sqltext.RollbackTo, "s")(nil)
		}, false},
	} {
		tx := &transaction{ConnPool: answering{}, pool: front, ctx: context.Background(), held: held{log: log}}
		view := log.View(tx, front, true, false)
		if view == nil {
			t.Fatalf("%s: no view", name)
		}
		db := &gorm.DB{Statement: &gorm.Statement{ConnPool: tx}}
		asks := func(db *gorm.DB) {
			c.meanwhile(&tx.held)
			_, _ = db.Statement.ConnPool.ExecContext(context.Background(), "")
		}
		if got := view.Ask(db, asks); got != c.want {
			t.Errorf("%s: general %t, want %t", name, got, c.want)
		}
	}
}

// answering is a connection that answers everything.
type answering struct{ gorm.ConnPool }

func (answering) ExecContext(context.Context, string, ...any) (sql.Result, error) { return nil, nil }

// A read is compared with what the transaction wrote, by its tables alone where that is much.
func TestWhatATransactionWroteShows(t *testing.T) {
	t.Parallel()
	log, index := heldLog()
	log.Reads = true
	front := &Pool{nil, log}
	tx := &transaction{pool: front, ctx: context.Background(), held: held{log: log}}
	view := log.View(tx, front, true, false)
	group := coherence.NewGroup(coherence.Reading{Table: "a", Columns: coherence.Columns{All: true}, Choosing: coherence.Columns{Names: []string{"id"}}, Pinned: []string{"id"}})
	guard := func(id coherence.Value) *coherence.Guard {
		g := &coherence.Guard{}
		index.Lease(group, g, [][]coherence.Value{{id}})
		return g
	}
	one, two := guard("i1"), guard("i2")
	write := func(id coherence.Value) footprint.Write {
		pins := coherence.Pins{{Column: "id", Values: []coherence.Value{id}}}
		return footprint.Write{Version: log.Catalog.Version(), Changes: []coherence.Change{{Table: "a", Kinds: coherence.Delete, Where: pins}}}
	}
	want := func(when string, shows, others bool) {
		t.Helper()
		if got := view.Shows(one); got != shows {
			t.Errorf("%s: the answer of its row shows it: %t", when, got)
		}
		if got := view.Shows(two); got != others {
			t.Errorf("%s: the answer of another row shows it: %t", when, got)
		}
	}
	want("nothing written", false, false)
	tx.held.write(write("i1"), false)(Ending{})
	want("one row", true, false)
	for range mostShown {
		tx.held.write(write("i3"), false)(Ending{})
	}
	want("many rows", true, true)
	index.Release(two)
	if !view.Shows(two) {
		t.Error("an answer that is dead does not count as touched")
	}
}
