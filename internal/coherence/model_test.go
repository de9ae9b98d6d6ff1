package coherence

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The columns of the table that the model's queries read: id is its primary key, mail is unique.
const (
	colID = iota
	colMail
	colA
	colB
	columnCount
)

var columnNames = [columnCount]string{"id", "mail", "a", "b"}

// null is NULL in a row. All other values are positive, or 0.
const null = -1

type row [columnCount]int

// value folds 3 into 2, as a column may whose values are not all told apart.
func value(v int) Value {
	switch v {
	case null:
		return Null
	case 3:
		v = 2
	}
	return Value(fmt.Sprint("i", v))
}

// in is a condition: the column has one of these values.
type in struct {
	column int
	values []int
}

func (c in) pin() Pin {
	pin := Pin{columnNames[c.column], []Value{}}
	for _, v := range c.values {
		pin.Values = append(pin.Values, value(v))
	}
	return pin
}

// filter is a conjunction of conditions, and one more that nothing is known of but its columns.
type filter struct {
	in    []in
	odd   []int // columns whose sum must be odd; NULL counts as -1
	false bool  // matches nothing
}

func (f filter) matches(r row) bool {
	for _, c := range f.in {
		if !slices.Contains(c.values, r[c.column]) {
			return false
		}
	}
	sum := 0
	for _, column := range f.odd {
		sum += r[column]
	}
	return !f.false && (len(f.odd) == 0 || sum%2 != 0)
}

// query is SELECT selected FROM t WHERE filter ORDER BY order LIMIT limit OFFSET offset, or an
// aggregate of its rows.
type query struct {
	filter
	pins      int // so many of the conditions are pinned by each answer, the others in the group
	selected  []int
	order     []int
	limit     int // 0 for none
	offset    int
	aggregate bool // the sums of what is selected, and the number of rows
}

type result struct {
	count int
	rows  []row // with null in the columns that are not selected
}

func (q query) on(table []row) (res result) {
	var matching []row
	for _, r := range table {
		if q.matches(r) {
			matching = append(matching, r)
		}
	}
	slices.SortStableFunc(matching, func(a, b row) int {
		for _, column := range q.order {
			if c := cmp.Compare(a[column], b[column]); c != 0 {
				return c
			}
		}
		return 0
	})
	matching = matching[min(q.offset, len(matching)):]
	if q.limit > 0 {
		matching = matching[:min(q.limit, len(matching))]
	}
	res.count = len(matching)
	for _, r := range matching {
		shown := row{null, null, null, null}
		for _, column := range q.selected {
			shown[column] = r[column]
		}
		res.rows = append(res.rows, shown)
	}
	if q.aggregate {
		var sums row
		for _, r := range res.rows {
			for column := range r {
				sums[column] += r[column]
			}
		}
		res.rows = []row{sums}
	}
	return res
}

func (r result) equal(other result) bool {
	return r.count == other.count && slices.Equal(r.rows, other.rows)
}

func named(columns ...[]int) (named Columns) {
	for _, column := range slices.Concat(columns...) {
		if name := columnNames[column]; !slices.Contains(named.Names, name) {
			named.Names = append(named.Names, name)
		}
	}
	return named
}

// group returns the group of the query with as much knowledge as there is.
func (q query) group(keys [][]string) *Group {
	if len(q.in) == 0 && q.false {
		return NewGroup(Reading{}, "t")
	}
	filtered := slices.Clone(q.odd)
	r := Reading{Table: "t", Rows: !q.aggregate && q.offset == 0}
	pinned := map[int]bool{}
	for i, c := range q.in {
		filtered = append(filtered, c.column)
		if i < q.pins {
			r.Pinned = append(r.Pinned, columnNames[c.column])
		} else {
			r.Fixed = append(r.Fixed, c.pin())
		}
		pinned[c.column] = len(c.values) == 1
	}
	r.Columns, r.Choosing = named(filtered, q.selected, q.order), named(filtered)
	for _, key := range keys {
		if !slices.ContainsFunc(key, func(name string) bool { return !named(q.selected).Has(name) }) {
			r.Keys = append(r.Keys, key)
		}
	}
	r.Primary = len(r.Keys) > 0 && slices.Equal(r.Keys[0], []string{"id"})
	if (q.limit > 0 || q.offset > 0) && !(r.Primary && pinned[colID] && r.Rows) {
		r.Cutting = named(q.order)
		if len(q.order) == 0 {
			r.Cutting = Columns{All: true}
		}
	}
	return NewGroup(r)
}

// pinned returns what an answer of the query pins, some of it left out.
func (q query) pinned(t *rapid.T) (pins [][]Value) {
	for _, c := range q.in[:q.pins] {
		if once(t, 6, "pin left out") {
			pins = append(pins, nil)
		} else {
			pins = append(pins, c.pin().Values)
		}
	}
	return pins
}

// keys returns the keys of the rows of a result, by the keys of its group.
func keysOf(t *rapid.T, res result, keys [][]string) (shown [][]Value) {
	for _, key := range keys {
		values := []Value{}
		for _, r := range res.rows {
			var parts []Value
			for _, name := range key {
				parts = append(parts, value(r[slices.Index(columnNames[:], name)]))
			}
			values = append(values, Key(parts...))
		}
		if once(t, 6, "keys left out") {
			values = nil
		}
		shown = append(shown, values)
	}
	return shown
}

// write is one statement.
type write struct {
	kind    Kind
	filter        // of an update or a delete
	rows    []row // of an insert
	columns []int // that an update sets
	to      row   // what it sets them to
	add     bool  // it adds to them instead, which is nothing that pins could say
	upsert  bool  // an insert updates columns of rows whose id is there
	ignore  bool  // or leaves them
}

// apply returns the table afterwards; false, and the table as it was, if the write fails.
func (w write) apply(table []row) ([]row, bool) {
	after := slices.Clone(table)
	set := func(r *row) {
		for _, column := range w.columns {
			switch {
			case !w.add:
				r[column] = w.to[column]
			case r[column] != null:
				r[column] = (r[column] + 1) % 4
			}
		}
	}
	switch w.kind {
	case Insert:
		for _, r := range w.rows {
			at := slices.IndexFunc(after, func(other row) bool { return other[colID] == r[colID] })
			switch {
			case at < 0:
				after = append(after, r)
			case w.upsert:
				set(&after[at])
			case !w.ignore:
				return table, false
			}
		}
	case Update:
		for i := range after {
			if w.matches(after[i]) {
				set(&after[i])
			}
		}
	case Delete:
		after = slices.DeleteFunc(after, w.matches)
	}
	for i, r := range after {
		for _, other := range after[:i] {
			if r[colID] == other[colID] || r[colMail] == other[colMail] && r[colMail] != null {
				return table, false
			}
		}
		if r[colID] == null {
			return table, false
		}
	}
	return after, true
}

// changes says what the write changes, knowing less than there is to know.
func (w write) changes(t *rapid.T) []Change {
	if once(t, 30, "everything") {
		return []Change{Everything}
	}
	pins := func(conditions []in) (pins Pins) {
		for _, c := range conditions {
			if once(t, 4, "pin left out") {
				continue
			}
			pin := c.pin()
			if once(t, 6, "pin widened") {
				pin.Values = append(pin.Values, value(rapid.IntRange(null, 3).Draw(t, "value")))
			}
			pins = append(pins, pin)
		}
		return pins
	}
	set := func() (to []in) {
		for _, column := range w.columns {
			if !w.add {
				to = append(to, in{column, []int{w.to[column]}})
			}
		}
		return to
	}
	columns := named(w.columns)
	if once(t, 6, "columns widened") {
		// What it did not set has the values that it had, which Set does not say.
		columns.All = true
	}
	var changes []Change
	switch w.kind {
	case Insert:
		var inserted []in
		for column := range columnCount {
			c := in{column: column}
			for _, r := range w.rows {
				c.values = append(c.values, r[column])
			}
			inserted = append(inserted, c)
		}
		changes = append(changes, Change{Table: "t", Kinds: Insert, Set: pins(inserted)})
		if w.upsert {
			var found []in
			if rapid.Bool().Draw(t, "found by id") {
				found = append(found, in{colID, inserted[colID].values})
			}
			changes = append(changes, Change{Table: "t", Kinds: Update, Where: pins(found), Columns: columns, Set: pins(set())})
		}
	case Update:
		changes = append(changes, Change{Table: "t", Kinds: Update, Where: pins(w.in), Columns: columns, Set: pins(set())})
	case Delete:
		changes = append(changes, Change{Table: "t", Kinds: Delete, Where: pins(w.in)})
	}
	if once(t, 10, "kinds merged") {
		// What was said of one kind is left in.
		merged := changes[0]
		for _, c := range changes[1:] {
			merged.Kinds |= c.Kinds
			merged.Columns = c.Columns
		}
		merged.Kinds |= rapid.SampledFrom([]Kind{Insert, Update, Delete}).Draw(t, "another kind")
		if merged.Kinds != changes[0].Kinds {
			return []Change{merged}
		}
	}
	return changes
}

// once in n times it is true.
func once(t *rapid.T, n int, label string) bool { return rapid.IntRange(1, n).Draw(t, label) == n }

func aValue(t *rapid.T, column int) int {
	switch column {
	case colID:
		return rapid.IntRange(0, 5).Draw(t, "id")
	case colMail:
		return rapid.SampledFrom([]int{null, 0, 1, 2, 3, 4, 5}).Draw(t, "mail")
	}
	return rapid.SampledFrom([]int{null, 0, 1, 2, 3}).Draw(t, "value")
}

func aRow(t *rapid.T) (r row) {
	for column := range r {
		r[column] = aValue(t, column)
	}
	return r
}

func columnList(t *rapid.T, label string, least, most int) []int {
	return rapid.SliceOfNDistinct(rapid.IntRange(0, columnCount-1), least, most, rapid.ID).Draw(t, label)
}

func aFilter(t *rapid.T, most int) (f filter) {
	for _, column := range columnList(t, "conditions", 0, most) {
		c := in{column: column}
		for range rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "values") {
			c.values = append(c.values, aValue(t, column))
		}
		f.in = append(f.in, c)
	}
	if once(t, 3, "opaque condition") {
		f.odd = columnList(t, "odd", 1, 2)
	}
	f.false = once(t, 40, "false")
	return f
}

func aQuery(t *rapid.T) query {
	q := query{filter: aFilter(t, 2)}
	q.pins = rapid.IntRange(0, len(q.in)).Draw(t, "pins")
	q.selected = columnList(t, "selected", 1, columnCount)
	q.order = columnList(t, "order", 0, 2)
	switch rapid.IntRange(0, 7).Draw(t, "form") {
	case 0, 1:
		q.limit = rapid.IntRange(1, 2).Draw(t, "limit")
	case 2:
		q.offset, q.limit = 1, rapid.IntRange(0, 2).Draw(t, "limit")
	case 3:
		q.aggregate = true
		q.selected = q.selected[:rapid.IntRange(0, len(q.selected)).Draw(t, "summed")]
	}
	return q
}

func aWrite(t *rapid.T) (w write) {
	w.kind = rapid.SampledFrom([]Kind{Insert, Update, Update, Delete}).Draw(t, "kind")
	switch w.kind {
	case Insert:
		w.rows = append(w.rows, aRow(t))
		if once(t, 3, "two rows") {
			w.rows = append(w.rows, aRow(t))
		}
		switch rapid.IntRange(0, 3).Draw(t, "on conflict") {
		case 0, 1:
			w.upsert = true
			w.columns, w.to = columnList(t, "columns", 1, 2), aRow(t)
		case 2:
			w.ignore = true
		}
	default:
		w.filter = aFilter(t, 3)
		w.columns, w.to, w.add = columnList(t, "columns", 1, 2), aRow(t), once(t, 4, "add")
	}
	return w
}

// modelAnswer is an answer that a reader keeps.
type modelAnswer struct {
	guard *Guard
	query query
	read  bool
	res   result
}

// modelWrite is a transaction that was announced, and maybe made visible.
type modelWrite struct {
	a      *Announcement
	writes []write
	done   bool
}

// transact runs all statements, or none.
func transact(table []row, writes []write) []row {
	after, ok := table, true
	for _, w := range writes {
		if after, ok = w.apply(after); !ok {
			return table
		}
	}
	return after
}

// TestSurvivorsAreRight runs random writes on a table and random queries beside them, as readers
// and writers would who overlap in any way: whatever answer is alive is at all times the one that
// the database gives.
func TestSurvivorsAreRight(t *testing.T) {
	t.Parallel()
	var unchanged, survived, changed, refused, leased atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		x := New(func() time.Time { return time.Unix(0, 0) })
		var table []row
		for range 4 {
			table, _ = write{kind: Insert, rows: []row{aRow(t)}}.apply(table)
		}
		keys := rapid.SampledFrom([][][]string{
			{{"id"}}, {{"id"}, {"mail"}}, {{"id"}, {"mail"}}, {{"mail"}}, {{"id"}, {"a", "b"}}, nil,
		}).Draw(t, "keys")
		var answers []*modelAnswer
		var pending []*modelWrite
		type shape struct {
			query query
			group *Group
		}
		var shapes []shape
		for range 4 {
			q := aQuery(t)
			shapes = append(shapes, shape{q, q.group(keys)})
		}
		check := func(t *rapid.T, when string) {
			for _, ans := range answers {
				if now := ans.query.on(table); ans.read && !ans.guard.Dead() && !now.equal(ans.res) {
					t.Fatalf("%s: query %+v (group %+v, guard %+v) is kept as %v, is %v; table %v", when,
						ans.query, ans.guard.group.Load().reading, ans.query.pins, ans.res, now, table)
				}
			}
		}
		leaseOne := func(t *rapid.T) {
			s := rapid.SampledFrom(shapes).Draw(t, "query")
			q := s.query
			// Answers of a group differ in the values that they pin.
			q.in = slices.Clone(q.in)
			for i, c := range q.in[:q.pins] {
				c.values = slices.Clone(c.values)
				for j := range c.values {
					c.values[j] = aValue(t, c.column)
				}
				q.in[i] = c
			}
			guard := lease(x, s.group, nil, q.pinned(t))
			if leased.Add(1); guard == nil {
				refused.Add(1)
				return
			}
			answers = append(answers, &modelAnswer{guard: guard, query: q})
		}
		leaseSome := func(t *rapid.T) {
			for range 3 {
				leaseOne(t)
			}
		}
		read := func(t *rapid.T) {
			leaseSome(t)
			for _, ans := range answers {
				if ans.read {
					continue
				}
				ans.read, ans.res = true, ans.query.on(table)
				q := ans.query
				if group := ans.guard.group.Load(); group != nil && !once(t, 4, "not filled") {
					x.Fill(ans.guard, ans.res.count, keysOf(t, ans.res, group.reading.Keys), q.limit == 0 || ans.res.count < q.limit)
				}
				check(t, "read")
			}
		}
		write := func(t *rapid.T) {
			if len(pending) == 0 {
				t.Skip()
			}
			if p := rapid.SampledFrom(pending).Draw(t, "which"); !p.done {
				before := table
				table, p.done = transact(table, p.writes), true
				check(t, fmt.Sprintf("%+v on %v", p.writes, before))
			}
		}
		finish := func(t *rapid.T) {
			pending = slices.DeleteFunc(pending, func(p *modelWrite) bool {
				if p.done {
					x.Finish(p.a, 0)
				}
				return p.done
			})
		}
		t.Repeat(map[string]func(*rapid.T){
			"lease": leaseSome, "lease more": leaseSome, "read": read, "read more": read,
			"announce": func(t *rapid.T) {
				if len(pending) == 2 {
					t.Skip()
				}
				p := &modelWrite{}
				var changes []Change
				for range rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "statements") {
					w := aWrite(t)
					p.writes = append(p.writes, w)
					changes = append(changes, w.changes(t)...)
				}
				var same []*modelAnswer
				after := transact(table, p.writes)
				for _, ans := range answers {
					switch {
					case !ans.read || ans.guard.Dead():
					case ans.query.on(after).equal(ans.res):
						same = append(same, ans)
					default:
						changed.Add(1)
					}
				}
				p.a, _ = x.Announce(changes...)
				unchanged.Add(int64(len(same)))
				for _, ans := range same {
					if !ans.guard.Dead() {
						survived.Add(1)
					}
				}
				pending = append(pending, p)
			},
			"write": write, "write another": write, "write and finish": func(t *rapid.T) { write(t); finish(t) }, "finish": finish, "finish another": finish,
			"": func(t *rapid.T) {
				answers = slices.DeleteFunc(answers, func(ans *modelAnswer) bool { return ans.guard.Dead() })
				verify(t, x)
			},
		})
	})
	t.Logf("of %d answers that a write left as they were %d survived (%.0f%%); %d died of one that changed them; %d of %d leases were refused",
		unchanged.Load(), survived.Load(), 100*float64(survived.Load())/float64(max(1, unchanged.Load())), changed.Load(), refused.Load(), leased.Load())
}
