package coherence

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// quiet returns an index in which time stands still.
func quiet() *Index { return New(func() time.Time { return time.Unix(0, 0) }) }

func cols(names ...string) Columns { return Columns{Names: names} }

// vals makes values of words; none is the empty list.
func vals(words string) []Value {
	values := []Value{}
	for _, word := range strings.Fields(words) {
		values = append(values, Value(word))
	}
	return values
}

func pin(column, values string) Pin { return Pin{column, vals(values)} }

func where(pins ...Pin) Pins { return pins }

func update(columns string, where, set Pins) Change {
	return Change{Table: "t", Kinds: Update, Columns: cols(strings.Fields(columns)...), Where: where, Set: set}
}

func insert(set ...Pin) Change { return Change{Table: "t", Kinds: Insert, Set: set} }

func deletes(where ...Pin) Change { return Change{Table: "t", Kinds: Delete, Where: where} }

// answer is one answer as the rules see it.
type answer struct {
	reading Reading
	loose   []string
	pins    [][]Value
	filled  bool
	rows    int
	keys    [][]Value
	all     bool
}

func (a answer) lease(x *Index) *Guard {
	return lease(x, NewGroup(a.reading, a.loose...), "owner", a.pins)
}

// rule is a case of the table in the package's documentation.
type rule struct {
	name   string
	answer answer
	change Change
	dies   bool
	// filling says that the answer lives only for what it was filled with: while the change is
	// under way no new one is leased.
	filling bool
	reason  Reason
}

func (r rule) check(t *testing.T) {
	t.Helper()
	x := quiet()
	guard := r.answer.lease(x)
	if guard == nil || guard.Dead() {
		t.Fatal("no live lease in a quiet index")
	}
	if r.answer.filled {
		x.Fill(guard, r.answer.rows, r.answer.keys, r.answer.all)
	}
	verify(t, x)
	foreseen := x.Touching(r.change)
	a, killed := x.Announce(r.change)
	verify(t, x)
	if guard.Dead() != r.dies || len(killed) == 1 != r.dies {
		t.Fatalf("dead %t, killed %v; want %t", guard.Dead(), killed, r.dies)
	}
	if !slices.Equal(foreseen, killed) {
		t.Errorf("Touching foresaw %v, Announce killed %v", foreseen, killed)
	}
	if r.dies && killed[0] != (Kill{guard, r.change.Table, r.reason}) {
		t.Errorf("killed %+v, want reason %s", killed[0], r.reason)
	}
	if lease := r.answer.lease(x); (lease == nil) != (r.dies || r.filling) {
		t.Errorf("a lease while the change is under way: %t", lease != nil)
	}
	x.Finish(a, 0)
	verify(t, x)
	if lease := r.answer.lease(x); lease == nil || lease.Dead() {
		t.Error("no lease after the change")
	}
	if guard.Dead() != r.dies {
		t.Error("the guard came back to life, or died late")
	}
}

// TestRules has, for each rule of the table in the package's documentation, cases that it leaves
// alone and the nearest ones that it must not. The answers are of a table t with the columns id
// (its primary key), mail (unique), a, b and c.
func TestRules(t *testing.T) {
	t.Parallel()

	// SELECT id, mail, a FROM t WHERE a IN (?) AND odd(b)
	list := answer{
		reading: Reading{
			Table: "t", Columns: cols("id", "mail", "a", "b"), Choosing: cols("a", "b"), Pinned: []string{"a"},
			Rows: true, Keys: [][]string{{"id"}, {"mail"}}, Primary: true,
		},
		pins: [][]Value{vals("a1")},
	}
	shows := list
	shows.filled, shows.rows, shows.keys = true, 2, [][]Value{vals("i1 i2"), vals("m1 m2")}
	vague := list
	vague.filled, vague.rows, vague.keys = true, 2, [][]Value{nil, vals("m1 m2")}
	none := list
	none.filled, none.rows, none.keys = true, 0, [][]Value{vals(""), vals("")}
	count := answer{
		reading: Reading{Table: "t", Columns: cols("a"), Choosing: cols("a"), Pinned: []string{"a"}},
		pins:    [][]Value{vals("a1")}, filled: true, rows: 1, keys: [][]Value{vals("i1")},
	}
	unpinned := shows
	unpinned.pins = nil
	fixed := shows
	fixed.reading.Pinned, fixed.pins, fixed.reading.Fixed = nil, nil, where(pin("a", "a1"))
	// SELECT id, mail, a FROM t ORDER BY a LIMIT 2
	top := shows
	top.reading.Pinned, top.pins = nil, nil
	top.reading.Columns, top.reading.Choosing, top.reading.Cutting = cols("id", "mail", "a"), Columns{}, cols("a")
	// The same, with a limit of 3.
	short := top
	short.all = true
	// SELECT id, mail, a FROM t LIMIT 3
	unordered := short
	unordered.reading.Cutting = Columns{All: true}
	// SELECT * FROM t WHERE id = ?
	one := answer{
		reading: Reading{
			Table: "t", Columns: Columns{All: true}, Choosing: cols("id"), Pinned: []string{"id"},
			Rows: true, Keys: [][]string{{"id"}}, Primary: true,
		},
		pins: [][]Value{vals("i1")}, filled: true, rows: 1, keys: [][]Value{vals("i1")},
	}
	with := func(a answer, change func(*answer)) answer {
		a.reading.Keys = slices.Clone(a.reading.Keys)
		change(&a)
		return a
	}
	// SELECT * FROM t WHERE org = ? AND nr = ?
	pair := with(one, func(a *answer) {
		a.reading.Choosing, a.reading.Pinned, a.reading.Keys = cols("org", "nr"), []string{"org", "nr"}, [][]string{{"org", "nr"}}
		a.pins, a.keys = [][]Value{vals("o1"), vals("n1")}, [][]Value{{Key("o1", "n1")}}
	})
	loose := answer{loose: []string{"s", "t"}}

	for group, rules := range map[string][]rule{
		"table": {
			{name: "another one", answer: shows, change: Loose("u", Any)},
			{name: "its own", answer: shows, change: Loose("t", Any), dies: true, reason: ByTable},
			{name: "everything", answer: shows, change: Everything, dies: true, reason: ByEverything},
			{name: "every table, by one kind", answer: shows, change: Loose("", Insert), dies: true, reason: ByEverything},
			{name: "one of several read in an unknown way", answer: loose, change: insert(pin("a", "a1")), dies: true, reason: ByTable},
			{name: "none of those", answer: loose, change: Loose("u", Any)},
			{name: "none at all", answer: answer{}, change: Loose("t", Any)},
			{name: "none at all, and everything", answer: answer{}, change: Everything, dies: true, reason: ByEverything},
			{name: "update that sets nothing, read in an unknown way", answer: loose, change: update("", nil, nil), dies: true, reason: ByTable},
		},
		"columns": {
			{name: "another one", answer: list, change: update("c", nil, nil)},
			{name: "another one, in a shown row", answer: shows, change: update("c", where(pin("id", "i1")), nil)},
			{name: "one that is selected", answer: list, change: update("c mail", nil, nil), dies: true, reason: ByColumn},
			{name: "one that is filtered by", answer: list, change: update("c b", nil, nil), dies: true, reason: ByColumn},
			{name: "all", answer: list, change: Loose("t", Update), dies: true, reason: ByTable},
			{name: "all, of an answer that depends on none", answer: answer{reading: Reading{Table: "t"}}, change: Loose("t", Update)},
			{name: "insert into an answer that depends on none", answer: answer{reading: Reading{Table: "t"}}, change: insert(), dies: true, reason: ByTable},
			{name: "delete from an answer that depends on none", answer: answer{reading: Reading{Table: "t"}}, change: deletes(), dies: true, reason: ByTable},
			{name: "none", answer: list, change: update("", nil, nil)},
			{name: "one of an answer that depends on all", answer: one, change: update("c", nil, nil), dies: true, reason: ByColumn},
		},
		"value": {
			{name: "insert of another", answer: list, change: insert(pin("a", "a2 a3"))},
			{name: "insert of the same", answer: list, change: insert(pin("a", "a2 a1")), dies: true, reason: ByValue},
			{name: "insert of any", answer: list, change: insert(pin("b", "b1")), dies: true, reason: ByTable},
			{name: "insert of NULL", answer: list, change: insert(Pin{"a", []Value{Null}})},
			{name: "insert of NULL where it is asked for", answer: with(list, func(a *answer) { a.pins = [][]Value{{Null}} }), change: insert(Pin{"a", []Value{Null}}), dies: true, reason: ByValue},
			{name: "insert, not pinned", answer: unpinned, change: insert(pin("a", "a2")), dies: true, reason: ByValue},
			{name: "insert of a value not known", answer: list, change: insert(Pin{"a", nil}), dies: true, reason: ByTable},
			{name: "insert of no row", answer: list, change: insert(pin("a", ""))},
			{name: "insert into an answer that nothing can be in", answer: with(list, func(a *answer) { a.pins = [][]Value{{}} }), change: insert(pin("a", "a1"))},
			{name: "insert of another, aggregated", answer: count, change: insert(pin("a", "a2"))},
			{name: "insert of the same, aggregated", answer: count, change: insert(pin("a", "a1")), dies: true, reason: ByValue},
			{name: "delete of another", answer: list, change: deletes(pin("a", "a2"))},
			{name: "delete of the same", answer: list, change: deletes(pin("a", "a1")), dies: true, reason: ByValue},
			{name: "delete of another, not pinned", answer: unpinned, change: deletes(pin("a", "a2")), dies: true, reason: ByValue},
			{name: "delete, two columns, one differs", answer: pair, change: deletes(pin("org", "o1"), pin("nr", "n2")), filling: false},
			{name: "delete, two columns, both may be", answer: pair, change: deletes(pin("org", "o2 o1"), pin("nr", "n1 n3")), dies: true, reason: ByRow},
			{name: "update of another that stays another", answer: list, change: update("b", where(pin("a", "a2")), nil)},
			{name: "update of the same that stays the same", answer: list, change: update("b", where(pin("a", "a1")), nil), dies: true, reason: ByValue},
			{name: "update that moves a row in", answer: list, change: update("a", where(pin("a", "a2")), where(pin("a", "a1"))), dies: true, reason: ByValue},
			{name: "update that moves a row out", answer: list, change: update("a", where(pin("a", "a1")), where(pin("a", "a2"))), dies: true, reason: ByValue},
			{name: "update that moves a row elsewhere", answer: list, change: update("a", where(pin("a", "a2")), where(pin("a", "a3")))},
			{name: "update of another to any", answer: list, change: update("a", where(pin("a", "a2")), nil), dies: true, reason: ByColumn},
			{name: "update of any to another", answer: list, change: update("a", nil, where(pin("a", "a2"))), dies: true, reason: ByColumn},
			{name: "update of any to another, where none was in", answer: none, change: update("a", nil, where(pin("a", "a2"))), filling: true},
			{name: "update of any to the same, where none was in", answer: none, change: update("a", nil, where(pin("a", "a1"))), dies: true, reason: ByColumn},
			{name: "value in a column that the update does not set", answer: none, change: update("b", where(pin("id", "i7")), where(pin("a", "a2"))), dies: true, reason: ByColumn},
			{name: "fixed, insert of another", answer: fixed, change: insert(pin("a", "a2"))},
			{name: "fixed, insert of the same", answer: fixed, change: insert(pin("a", "a1")), dies: true, reason: ByTable},
			{name: "fixed, delete of another", answer: fixed, change: deletes(pin("a", "a2"))},
			{name: "fixed, update that moves a row in", answer: fixed, change: update("a", where(pin("a", "a2")), where(pin("a", "a1"))), dies: true, reason: ByColumn},
			{name: "fixed, update that moves a row elsewhere", answer: fixed, change: update("a", where(pin("a", "a2")), where(pin("a", "a3")))},
			{name: "fixed to a value not known", answer: with(fixed, func(a *answer) { a.reading.Fixed = Pins{{"a", nil}} }), change: insert(pin("a", "a2")), dies: true, reason: ByTable},
			{name: "fixed to no value", answer: with(fixed, func(a *answer) { a.reading.Fixed = where(pin("a", "")) }), change: insert(pin("a", "a2"))},
			{name: "fixed, of rows that may be any", answer: fixed, change: deletes(Pin{"a", nil}), dies: true, reason: ByTable},
		},
		"row": {
			{name: "delete of a shown one", answer: shows, change: deletes(pin("id", "i7 i2")), dies: true, reason: ByRow},
			{name: "delete of another", answer: shows, change: deletes(pin("id", "i7")), filling: true},
			{name: "delete of another, by another key", answer: shows, change: deletes(pin("mail", "m7")), filling: true},
			{name: "delete of one that may be shown, by another key", answer: shows, change: deletes(pin("mail", "m2")), dies: true, reason: ByRow},
			{name: "delete of another, before the rows are known", answer: list, change: deletes(pin("id", "i7")), dies: true, reason: ByRow},
			{name: "delete of another, rows not known", answer: vague, change: deletes(pin("id", "i7")), dies: true, reason: ByRow},
			{name: "delete of another, rows known by another key", answer: vague, change: deletes(pin("id", "i7"), pin("mail", "m7")), filling: true},
			{name: "delete of any, but another", answer: shows, change: deletes(), dies: true, reason: ByTable},
			{name: "delete of any where none is shown", answer: none, change: deletes(), filling: true},
			{name: "delete of any where none is shown, aggregated", answer: with(count, func(a *answer) { a.rows = 0 }), change: deletes(), dies: true, reason: ByTable},
			{name: "delete of another, aggregated", answer: count, change: deletes(pin("id", "i7")), dies: true, reason: ByTable},
			{name: "delete of one behind the limit", answer: top, change: deletes(pin("id", "i7")), filling: true},
			{name: "update of one behind the limit", answer: top, change: update("mail", where(pin("id", "i7")), nil), filling: true},
			{name: "update of one behind the limit, of its order", answer: top, change: update("a", where(pin("id", "i7")), nil), dies: true, reason: ByColumn},
			{name: "update of its order where nothing was cut off", answer: short, change: update("a", where(pin("id", "i7")), nil), filling: true},
			{name: "update of its order, of a shown one, where nothing was cut off", answer: short, change: update("a", where(pin("id", "i1")), nil), dies: true, reason: ByRow},
			{name: "update of its order where nothing may have been cut off", answer: with(short, func(a *answer) { a.filled = false }), change: update("a", where(pin("id", "i7")), nil), dies: true, reason: ByRow},
			{name: "update of any, of its order, where there are none", answer: with(top, func(a *answer) { a.rows, a.keys = 0, [][]Value{{}, {}} }), change: update("a", nil, nil), filling: true},
			{name: "insert where nothing was cut off", answer: short, change: insert(), dies: true, reason: ByTable},
			{name: "update of another column, unordered", answer: with(unordered, func(a *answer) { a.all = false }), change: update("c", where(pin("id", "i7")), nil), dies: true, reason: ByColumn},
			{name: "update of another column, unordered, where nothing was cut off", answer: unordered, change: update("c", nil, nil), filling: true},
			{name: "update of a shown one", answer: shows, change: update("mail", where(pin("id", "i1")), nil), dies: true, reason: ByRow},
			{name: "update of another, of what is shown only", answer: shows, change: update("mail", where(pin("id", "i7")), nil), filling: true},
			{name: "update of another that may bring it in", answer: shows, change: update("b", where(pin("id", "i7")), nil), dies: true, reason: ByColumn},
			{name: "update of another that stays out by its value", answer: shows, change: update("b", where(pin("id", "i7"), pin("a", "a2")), nil)},
			{name: "update of another to another value", answer: shows, change: update("a b", where(pin("id", "i7")), where(pin("a", "a2"))), filling: true},
			{name: "update of any, of what is shown only, where none is shown", answer: none, change: update("mail", nil, nil), filling: true},
			{name: "update of any, of what is filtered by, where none is shown", answer: none, change: update("b", nil, nil), dies: true, reason: ByColumn},
			{name: "update of a shown key", answer: shows, change: update("id", where(pin("id", "i1")), where(pin("id", "i9"))), dies: true, reason: ByRow},
			{name: "update of another key to a shown one, which then was free", answer: shows, change: update("id", where(pin("id", "i7")), where(pin("id", "i1"))), filling: true},
			{name: "delete of what has NULL in a shown column", answer: shows, change: deletes(Pin{"mail", []Value{Null}}), dies: true, reason: ByTable},
			{name: "two columns, one of which is NULL", answer: with(pair, func(a *answer) { a.pins = nil }), change: deletes(pin("org", "o1"), Pin{"nr", []Value{Null}}), dies: true, reason: ByValue},
			{name: "two columns, another row", answer: with(pair, func(a *answer) { a.pins = nil }), change: deletes(pin("org", "o1"), pin("nr", "n2 n3")), filling: true},
			{name: "two columns, a shown row", answer: with(pair, func(a *answer) { a.pins = nil }), change: deletes(pin("org", "o2 o1"), pin("nr", "n2 n1")), dies: true, reason: ByRow},
			{name: "two columns, one of them known", answer: with(pair, func(a *answer) { a.pins = nil }), change: deletes(pin("org", "o2")), dies: true, reason: ByValue},
			{name: "more rows than are looked for", answer: with(pair, func(a *answer) { a.pins = nil }), change: deletes(many("org", "o", 5, 50), many("nr", "n", 5, 50)), dies: true, reason: ByValue},
		},
		"key": {
			{name: "insert", answer: one, change: insert(), filling: true},
			{name: "insert of the same key", answer: one, change: insert(pin("id", "i1")), filling: true},
			{name: "insert of another key", answer: one, change: insert(pin("id", "i2"))},
			{name: "insert, no row shown", answer: with(one, func(a *answer) { a.rows, a.keys = 0, [][]Value{{}} }), change: insert(), dies: true, reason: ByTable},
			{name: "insert of the same key, no row shown", answer: with(one, func(a *answer) { a.rows, a.keys = 0, [][]Value{{}} }), change: insert(pin("id", "i1")), dies: true, reason: ByValue},
			{name: "insert, before it is filled", answer: with(one, func(a *answer) { a.filled = false }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, rows shown by keys not known", answer: with(one, func(a *answer) { a.keys = nil }), change: insert(), filling: true},
			{name: "delete", answer: one, change: deletes(), dies: true, reason: ByTable},
			{name: "update", answer: one, change: update("c", nil, nil), dies: true, reason: ByColumn},
			{name: "insert, one of two asked for", answer: with(one, func(a *answer) { a.pins = [][]Value{vals("i1 i2")} }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, both of two asked for", answer: with(one, func(a *answer) { a.pins, a.rows, a.keys = [][]Value{vals("i1 i2")}, 2, [][]Value{vals("i2 i1")} }), change: insert(), filling: true},
			{name: "insert, one of two asked for, twice", answer: with(one, func(a *answer) { a.pins, a.rows, a.keys = [][]Value{vals("i1 i2")}, 2, [][]Value{vals("i1 i1")} }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, both of two asked for, by keys not known", answer: with(one, func(a *answer) { a.pins, a.rows, a.keys = [][]Value{vals("i1 i2")}, 2, nil }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, both of two and NULL asked for", answer: with(one, func(a *answer) { a.pins, a.rows, a.keys = [][]Value{{"i1", Null}}, 2, [][]Value{{"i1", Null}} }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, more asked for than are counted", answer: with(one, func(a *answer) {
				a.pins, a.rows, a.keys = [][]Value{many("id", "i", 0, 256).Values}, 256, [][]Value{many("id", "i", 0, 256).Values}
			}), change: insert(), dies: true, reason: ByTable},
			{name: "delete, both of two asked for", answer: with(one, func(a *answer) { a.pins, a.rows, a.keys = [][]Value{vals("i1 i2")}, 2, [][]Value{vals("i2 i1")} }), change: deletes(pin("id", "i1")), dies: true, reason: ByRow},
			{name: "insert, one of two asked for that are equal here", answer: with(one, func(a *answer) { a.pins = [][]Value{vals("i1 i1")} }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, the key is NULL", answer: with(one, func(a *answer) { a.pins, a.keys = [][]Value{{Null}}, [][]Value{{Null}} }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, not pinned", answer: with(one, func(a *answer) { a.pins = nil }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, pinned in another key", answer: with(one, func(a *answer) { a.reading.Primary = false }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, aggregated", answer: with(one, func(a *answer) { a.reading.Rows = false }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, two columns", answer: pair, change: insert(), filling: true},
			{name: "insert, two columns, one pinned", answer: with(pair, func(a *answer) { a.pins = [][]Value{vals("o1"), nil} }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, two columns, one of two asked for", answer: with(pair, func(a *answer) { a.pins = [][]Value{vals("o1"), vals("n1 n2")} }), change: insert(), dies: true, reason: ByTable},
			{name: "insert, two columns, one fixed", answer: with(pair, func(a *answer) {
				a.reading.Fixed, a.reading.Pinned, a.pins = where(pin("org", "o1")), []string{"nr"}, [][]Value{vals("n1")}
			}), change: insert(), filling: true},
			{name: "insert, two columns, one fixed to two", answer: with(pair, func(a *answer) {
				a.reading.Fixed, a.reading.Pinned, a.pins = where(pin("org", "o1 o2")), []string{"nr"}, [][]Value{vals("n1")}
			}), change: insert(), dies: true, reason: ByTable},
			{name: "insert, two columns, one fixed to two, both shown", answer: with(pair, func(a *answer) {
				a.reading.Fixed, a.reading.Pinned, a.pins = where(pin("org", "o1 o2")), []string{"nr"}, [][]Value{vals("n1")}
				a.rows, a.keys = 2, [][]Value{{Key("o1", "n1"), Key("o2", "n1")}}
			}), change: insert(), filling: true},
			{name: "insert, two columns, two of the four asked for", answer: with(pair, func(a *answer) {
				a.pins, a.rows, a.keys = [][]Value{vals("o1 o2"), vals("n1 n2")}, 2, [][]Value{{Key("o1", "n1"), Key("o2", "n2")}}
			}), change: insert(), dies: true, reason: ByTable},
			{name: "insert, pinned beyond the key", answer: with(one, func(a *answer) {
				a.reading.Pinned, a.pins = []string{"id", "a"}, [][]Value{vals("i1"), vals("a1 a2")}
			}), change: insert(), filling: true},
		},
		"kinds": {
			{name: "of an upsert whose kinds are told apart no more", answer: none, dies: true, reason: ByTable, change: Change{
				// INSERT (a = a2) ON CONFLICT DO UPDATE SET b = ...: the updated row may have had
				// a1 all along.
				Table: "t", Kinds: Insert | Update, Columns: cols("b"), Set: where(pin("a", "a2")),
			}},
			{name: "of a soft delete or a delete", answer: none, dies: true, reason: ByTable, change: Change{
				Table: "t", Kinds: Update | Delete, Columns: cols("b"), Where: where(pin("a", "a2")),
			}},
			{name: "any, of no column", answer: list, dies: true, reason: ByTable, change: Change{Table: "t", Kinds: Any}},
			{name: "none", answer: list, dies: true, reason: ByTable, change: Change{Table: "t"}},
			{name: "any, with values that are not the fixed ones", answer: fixed, dies: true, reason: ByTable, change: Change{
				Table: "t", Kinds: Any, Where: where(pin("a", "a2")), Set: where(pin("a", "a2")),
			}},
		},
	} {
		for _, rule := range rules {
			t.Run(group+"/"+rule.name, func(t *testing.T) {
				t.Parallel()
				rule.check(t)
			})
		}
	}
}

func many(column, prefix string, from, n int) Pin {
	pin := Pin{Column: column}
	for i := range n {
		pin.Values = append(pin.Values, Value(fmt.Sprint(prefix, from+i)))
	}
	return pin
}

// TestUpsertIsAnInsertAndAnUpdate: the key rule leaves alone what the insert half finds in its
// place, the update half does not.
func TestUpsertIsAnInsertAndAnUpdate(t *testing.T) {
	t.Parallel()
	x := quiet()
	group := NewGroup(Reading{
		Table: "t", Columns: cols("id", "a"), Choosing: cols("id"), Pinned: []string{"id"},
		Rows: true, Keys: [][]string{{"id"}}, Primary: true,
	})
	guard := lease(x, group, nil, [][]Value{vals("i1")})
	x.Fill(guard, 1, [][]Value{vals("i1")}, false)
	a, killed := x.Announce(insert(pin("id", "i1")), update("b", where(pin("id", "i1")), nil))
	if len(killed) != 0 || guard.Dead() {
		t.Error("killed by an upsert that does nothing to what it shows")
	}
	x.Finish(a, 0)
	a, killed = x.Announce(insert(pin("id", "i1")), update("a", where(pin("id", "i1")), nil))
	if len(killed) != 1 || !guard.Dead() {
		t.Error("survived an upsert of the row that it shows")
	}
	x.Finish(a, 0)
	verify(t, x)
}

func TestDisjoint(t *testing.T) {
	t.Parallel()
	long, longer := many("", "x", 0, 2*few).Values, many("", "x", 2*few-1, 3*few).Values
	for _, test := range []struct {
		a, b []Value
		want bool
	}{
		{nil, nil, false},
		{nil, vals(""), false},
		{nil, vals("x"), false},
		{vals(""), vals(""), true},
		{vals(""), vals("x"), true},
		{vals("x"), vals("y"), true},
		{vals("x y"), vals("y z"), false},
		{long, longer, false},
		{long, longer[1:], true},
		{long, vals("x3"), false},
		{long, vals("y"), true},
	} {
		if disjoint(test.a, test.b) != test.want || disjoint(test.b, test.a) != test.want {
			t.Errorf("%v and %v: want disjoint %t", test.a, test.b, test.want)
		}
	}
}

func TestKeysOfDifferentValuesDiffer(t *testing.T) {
	t.Parallel()
	seen := map[Value][]Value{}
	parts := []Value{"", "n", "a", "aa", "\x00\x00\x01a", Value(strings.Repeat("a", 1<<8)), Value(strings.Repeat("a", 1<<16))}
	for _, a := range parts {
		for _, b := range parts {
			for _, values := range [][]Value{{a, b}, {a, b, a}} {
				key := Key(values...)
				if other, ok := seen[key]; ok {
					t.Errorf("%.20q and %.20q are one key", values, other)
				}
				seen[key] = values
			}
		}
	}
	if Key("a") != "a" {
		t.Error("a key of one column is not its value")
	}
}
