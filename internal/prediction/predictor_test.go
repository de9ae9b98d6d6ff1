package prediction

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// table is an answer in full.
type table [][]Value

// form is the shape of a test's queries: their keys are its name and ":" with the args, each of
// which ends with the only ";" in it.
type form struct {
	name    string
	columns int
	leads   func(column int, to *Template, arg int) bool
}

func (f form) Columns() int { return f.columns }

func (f form) Split(key string, into []Value) ([]Value, bool) {
	rest, ok := strings.CutPrefix(key, f.name+":")
	for ok && rest != "" {
		end := strings.IndexByte(rest, ';') + 1
		into, rest = append(into, rest[:end]), rest[end:]
	}
	return into, ok
}

func (f form) Key(into []byte, args []Value) ([]byte, bool) {
	into = append(append(into, f.name...), ':')
	for _, v := range args {
		into = append(into, v...)
	}
	return into, true
}

func (f form) Rows(a Answer) int { return len(a.(table)) }

func (f form) Append(into []byte, a Answer, row, column int) []byte {
	if t := a.(table); column < len(t[row]) {
		into = append(into, t[row][column]...)
	}
	return into
}

func (f form) Leads(column int, to *Template, arg int) bool {
	return f.leads != nil && f.leads(column, to, arg)
}

func named(name string, columns int) *Template {
	return NewTemplate(form{name: name, columns: columns})
}

func asked(t *Template, answer table, args ...Value) Query {
	key, _ := t.Key(nil, args)
	q := Query{Key: string(key), Template: t}
	if answer != nil {
		q.Answer = answer
	}
	return q
}

func value(n int) Value { return Value(fmt.Sprintf("i%d;", n)) }

// world is a predictor and a time that goes on.
type world struct {
	p  *Predictor
	at int64
}

func newWorld() *world {
	return &world{p: New(Config{Nodes: 1_000, Bytes: 1 << 30, Sessions: 10, Prefix: func(key string) int { return strings.IndexByte(key, ':') + 1 }})}
}

func (w *world) observe(session uint64, queries ...Query) {
	for _, q := range queries {
		w.at += 1e6
		w.p.Observe(Access{Query: q, Session: Session{ID: session}, At: w.at, Whole: true, Rarity: settledRarity})
	}
}

// later lets so much time pass that only the last accesses of a session are recent.
func (w *world) later() { w.at += 10 * recentTime }

// expected returns the keys that are expected after a query, the most likely first.
func (w *world) expected(after Query, reach Reach) (keys []string) {
	w.p.Walk(Prediction{Query: after, Probability: 1}, reach, func(p *Prediction) bool {
		keys = append(keys, p.Key)
		return true
	})
	return keys
}

var eager = Reach{Probability: 0.35, Depth: 4, Loads: 8}

func TestRulesPredictKeysThatWereNeverSeen(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	user, orders, order, page, items := named("user", 3), named("orders", 4), named("order", 6), named("page", 0), named("items", 1)
	for _, c := range []struct {
		name string
		// next is what is asked for the nth time, and what must then be expected.
		next func(n int) (first Query, then []Query)
	}{
		{"a column leads to an arg", func(n int) (Query, []Query) {
			return asked(user, table{{value(n), value(random.IntN(9) + 1e6), "s3:bob;"}}, "s1:u;"), []Query{asked(orders, nil, value(n))}
		}},
		{"an arg leads to an arg", func(n int) (Query, []Query) {
			return asked(user, nil, value(n)), []Query{asked(orders, nil, value(n))}
		}},
		{"an arg is constant", func(n int) (Query, []Query) {
			return asked(user, table{{value(n)}}, "s1:u;"), []Query{asked(orders, nil, value(n), "s4:open;")}
		}},
		{"all args are constant", func(n int) (Query, []Query) {
			return asked(user, nil, value(n)), []Query{asked(page, nil, "s4:news;")}
		}},
		{"there are no args", func(n int) (Query, []Query) {
			return asked(user, nil, value(n)), []Query{asked(page, nil)}
		}},
		{"five columns lead to five queries", func(n int) (Query, []Query) {
			row, then := []Value{value(n)}, []Query(nil)
			for i := range 5 {
				related := value(1e6 + 10*n + i)
				row = append(row, related)
				then = append(then, asked(order, table{{related, value(2e6 + 10*n + i)}}, related))
			}
			return asked(order, table{row}, value(n)), then
		}},
		{"each row leads to a query", func(n int) (Query, []Query) {
			var rows table
			var then []Query
			for i := range 3 {
				rows = append(rows, []Value{value(1e6 + 10*n + i)})
				then = append(then, asked(order, nil, rows[i][0]))
			}
			return asked(items, rows, value(n)), then
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			for n := range 30 {
				first, then := c.next(n + 1)
				if n >= 10 {
					got := w.expected(first, Reach{Probability: 0.35, Depth: 1, Loads: 8})
					for _, q := range then {
						if !slices.Contains(got, q.Key) {
							t.Fatalf("after %s: expected %q, which lacks %q", first.Key, got, q.Key)
						}
					}
					if len(got) > len(then) {
						t.Fatalf("after %s: expected %q, which is too much", first.Key, got)
					}
				}
				w.observe(uint64(n), first)
				w.observe(uint64(n), then...)
			}
			// The templates are shared by the cases.
			for _, one := range []*Template{user, orders, order, page, items} {
				*one = Template{Shape: one.Shape}
			}
		})
	}
}

func TestARuleNeedsThreeSightingsWithTwoValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []int
		want   bool
	}{
		{[]int{1, 2}, false},
		{[]int{1, 1, 1, 1}, false},
		{[]int{1, 2, 3}, true},
		{[]int{1, 1, 2}, true},
	} {
		w, user, orders := newWorld(), named("user", 0), named("orders", 0)
		for i, n := range c.values {
			w.observe(uint64(i), asked(user, nil, value(n)), asked(orders, nil, value(n)))
		}
		got := w.expected(asked(user, nil, value(99)), eager)
		if c.want != slices.Contains(got, "orders:i99;") {
			t.Errorf("after %v: expected %q, want the orders: %v", c.values, got, c.want)
		}
	}
}

func TestWhatIsDeclaredIsFollowedSooner(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		declared int // the column that leads to the arg; -1 for none
		want     bool
	}{{"declared", 1, true}, {"another column", 0, false}, {"nothing declared", -1, false}} {
		w, a, b := newWorld(), named("a", 2), named("b", 0)
		if c.declared >= 0 {
			a.Shape = form{"a", 2, func(column int, to *Template, arg int) bool { return column == c.declared && to == b && arg == 0 }}
		}
		likely := Reach{Probability: 0.6, Depth: 1, Loads: 8}
		if got := w.expected(asked(a, table{{value(9), value(99)}}, value(9)), likely); len(got) > 0 {
			t.Errorf("%s: expected %q of what never happened", c.name, got)
		}
		w.observe(1, asked(a, table{{value(1), value(77)}}, value(1)), asked(b, nil, value(77)))
		w.later()
		got := w.expected(asked(a, table{{value(9), value(99)}}, value(9)), likely)
		if slices.Contains(got, "b:i99;") != c.want {
			t.Errorf("%s: once it happened, expected %q, want b:i99; among them: %v", c.name, got, c.want)
		}
	}
}

func TestCoincidencesAreNotFollowed(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	w, a, b := newWorld(), named("a", 4), named("b", 0)
	for i := range 1_000 {
		row := []Value{value(random.IntN(8)), value(random.IntN(8)), value(random.IntN(8)), value(random.IntN(8))}
		w.observe(uint64(i), asked(a, table{row}, value(1e6+i)), asked(b, nil, value(random.IntN(8))))
	}
	if got := w.expected(asked(a, table{{value(1), value(2), value(3), value(4)}}, value(7)), Reach{Probability: 0.5, Depth: 1, Loads: 8}); len(got) > 0 {
		t.Errorf("expected %q of what is random", got)
	}
}

func TestSessionsAreKeptApart(t *testing.T) {
	t.Parallel()
	w, a, b := newWorld(), named("a", 0), named("b", 0)
	for n := range 50 {
		// What one session asks has nothing to do with what another does.
		w.observe(1, asked(a, nil, value(n)))
		w.observe(2, asked(b, nil, value(n)))
		w.observe(1, asked(a, nil, value(1000+n)))
		w.later()
	}
	if got := w.expected(asked(a, nil, value(99)), eager); slices.Contains(got, "b:i99;") {
		t.Errorf("expected %q, which another session asks for", got)
	}
	done := make(chan struct{})
	one := Session{Done: done}
	for n := range 10 {
		w.p.Observe(Access{Query: asked(a, nil, value(2000+n)), Session: one, At: w.at, Whole: true, Rarity: settledRarity})
		w.p.Observe(Access{Query: asked(b, nil, value(2000+n)), Session: one, At: w.at, Whole: true, Rarity: settledRarity})
	}
	if got := w.expected(asked(a, nil, value(99)), Reach{Probability: 0.1, Depth: 1, Loads: 8}); !slices.Contains(got, "b:i99;") {
		t.Errorf("expected %q, which lacks what came in one session", got)
	}
}

func TestChainFollowsKeysWithoutRules(t *testing.T) {
	t.Parallel()
	w := newWorld()
	round := func(keys string) {
		for _, k := range strings.Fields(keys) {
			w.observe(0, Query{Key: k})
		}
		w.later()
	}
	for i := range 6 {
		round("a b c d")
		round(fmt.Sprint("x", i, " y", i, " z", i))
	}
	if got := w.expected(Query{Key: "a"}, Reach{Probability: 0.8, Depth: 1, Loads: 8}); !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Errorf("after a: expected %q, want b, c and d", got)
	}
	if got := w.expected(Query{Key: "a"}, Reach{Probability: 0.8, Depth: 4, Loads: 2}); len(got) != 2 {
		t.Errorf("after a: expected %q, want two", got)
	}
	if got := w.expected(Query{Key: "never"}, eager); len(got) != 0 {
		t.Errorf("after what was never asked: expected %q", got)
	}
}

func TestAWalkGoesOnByRulesWhereTheAnswerIsKnown(t *testing.T) {
	t.Parallel()
	w, name, user, orders := newWorld(), named("name", 1), named("user", 1), named("orders", 0)
	ask := func(n int) []Query {
		return []Query{
			asked(name, table{{value(n)}}, Value(fmt.Sprintf("s2:u%d;", n))),
			asked(user, table{{value(1000 + n)}}, value(n)),
			asked(orders, nil, value(1000+n)),
		}
	}
	for n := range 20 {
		w.observe(uint64(n), ask(n)...)
	}
	next := ask(500)
	var got []string
	w.p.Walk(Prediction{Query: next[0], Probability: 1}, eager, func(p *Prediction) bool {
		got = append(got, p.Key)
		if p.Key == next[1].Key {
			p.Answer = next[1].Answer
			return false
		}
		return true
	})
	if !slices.Equal(got, []string{next[1].Key, next[2].Key}) {
		t.Errorf("expected %q, want the user and then its orders", got)
	}
}

func TestDeclaredKeysAreExpected(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.p.Relate("a", "b", "c")
	got := w.expected(Query{Key: "a"}, eager)
	if slices.Sort(got); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("expected %q, want b and c", got)
	}
}

func TestAWalkEndsAtLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 9 {
		w.observe(1, Query{Key: "a"}, Query{Key: "b"}, Query{Key: "c"}, Query{Key: "d"}, Query{Key: "e"}, Query{Key: "f"})
		w.later()
	}
	var got []string
	from := Prediction{Query: Query{Key: "a"}, Probability: 1}
	w.p.Walk(from, eager, func(p *Prediction) bool {
		got = append(got, p.Key)
		p.Leaf = true
		return true
	})
	if len(w.expected(from.Query, eager)) <= len(got) || len(got) == 0 {
		t.Errorf("after a: %q where all are leaves", got)
	}
	from.Leaf = true
	w.p.Walk(from, eager, func(p *Prediction) bool {
		t.Errorf("%s is expected after a leaf", p.Key)
		return true
	})
}

func TestRulesHaveAccountsOfTheirOwn(t *testing.T) {
	t.Parallel()
	w, user, orders := newWorld(), named("user", 0), named("orders", 0)
	for n := range 40 {
		w.observe(uint64(n), asked(user, nil, value(n)), asked(orders, nil, value(n)))
	}
	var trust *Trust
	for range 2 {
		w.p.Walk(Prediction{Query: asked(user, nil, value(1e6)), Probability: 1}, eager, func(p *Prediction) bool {
			if p.Trust == nil || trust != nil && trust != p.Trust {
				t.Errorf("%s is expected on the account %p, before on %p", p.Key, p.Trust, trust)
			}
			trust = p.Trust
			return true
		})
	}
	if trust == nil {
		t.Fatal("nothing is expected")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const nodes, sessions = 100, 5
	random := rand.New(rand.NewPCG(5, 6))
	p := New(Config{Nodes: nodes, Bytes: 1 << 30, Sessions: sessions})
	templates := make([]*Template, 100)
	for i := range templates {
		templates[i] = named(fmt.Sprint("t", i), 3)
	}
	for i := range 50_000 {
		of := templates[random.IntN(len(templates))]
		v := func() Value { return value(random.IntN(50)) }
		q := asked(of, table{{v(), v(), v()}, {v(), v(), v()}}, v(), v())
		p.Observe(Access{Query: q, Session: Session{ID: uint64(random.IntN(50))}, At: int64(i) * 1e6, Whole: true, Rarity: settledRarity})
		p.Walk(Prediction{Query: q, Probability: 1}, eager, func(*Prediction) bool { return random.IntN(2) == 0 })
	}
	if err := p.chain.check(); err != nil || p.chain.nodes() > nodes {
		t.Errorf("%d nodes, want at most %d: %v", p.chain.nodes(), nodes, err)
	}
	if n := p.sessions.order.Len(); n > sessions || len(p.sessions.byName) != n {
		t.Errorf("%d sessions, %d names, want at most %d", n, len(p.sessions.byName), sessions)
	}
	for e := p.sessions.order.Front(); e != nil; e = e.Next() {
		if n := len(e.Value.(*session).window); n > windowLimit {
			t.Errorf("a window of %d", n)
		}
	}
	for _, one := range templates {
		if len(one.followers) > maxFollowers {
			t.Errorf("%d followers", len(one.followers))
		}
		for _, f := range one.followers {
			if len(f.rules) > maxRules {
				t.Errorf("%d rules", len(f.rules))
			}
		}
	}
	p.Clear()
	if p.Links() != 0 || len(p.sessions.byName) != 0 {
		t.Error("Clear left something")
	}
}

// TestASettledTemplateIsStudiedInFewSessions shows a rule of a template that is settled to sessions
// of either kind, and to sessions that are not told whole.
func TestASettledTemplateIsStudiedInFewSessions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		accesses int // before
		rarity   uint8
		whole    bool
		want     bool
	}{
		{"not settled", 0, 0, true, true},
		{"settled", 2 * settled, settledRarity - 1, true, false},
		{"settled, in a rare session", 2 * settled, settledRarity, true, true},
		{"not told whole", 0, settledRarity, false, false},
	} {
		w, user, orders := newWorld(), named("user", 0), named("orders", 0)
		for n := range c.accesses {
			w.observe(uint64(n), asked(user, nil, value(1_000+n)))
		}
		w.later()
		for n := range 5 {
			for _, q := range []Query{asked(user, nil, value(n)), asked(orders, nil, value(n))} {
				w.p.Observe(Access{Query: q, Session: Session{ID: uint64(1_000 + n)}, At: w.at, Whole: c.whole, Rarity: c.rarity})
			}
		}
		got := slices.Contains(w.expected(asked(user, nil, value(99)), Reach{Probability: 0.02, Depth: 1, Loads: 8}), "orders:i99;")
		if got != c.want {
			t.Errorf("%s: what follows is known: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestOneAccessIsOneSightingOfAConstant has each access come after several of another template.
func TestOneAccessIsOneSightingOfAConstant(t *testing.T) {
	t.Parallel()
	w, item, page := newWorld(), named("item", 0), named("page", 0)
	for n := range 51 {
		for i := range 4 {
			w.observe(uint64(n), asked(item, nil, value(10*n+i)))
		}
		w.observe(uint64(n), asked(page, nil, value(1_000_000+n)))
	}
	if got := w.expected(asked(item, nil, value(7_777)), Reach{Probability: 0.1, Depth: 1, Loads: 8}); len(got) > 0 {
		t.Errorf("expected %q, though its arg is another one each time", got)
	}
}
