package prediction

import (
	"slices"
	"strings"
	"unsafe"
)

const (
	// maxFollowers is how many templates a template remembers that came after it.
	maxFollowers = 32
	// maxRules is how many ways are kept in which the args of one template can come from another.
	maxRules = 8
	// maxRows is how many rows of an answer are looked at, and maxColumns how many columns.
	maxRows    = 8
	maxColumns = 255
	// maxRuleArgs is the number of args up to which templates have rules.
	maxRuleArgs = 8
	// A template of which nothing new was found out on so many occasions is settled. From then on
	// it is studied in one session in 64, so in fewer than are told whole.
	settled       = 64
	settledRarity = 6

	// minSightings is how often a mapping must have been right before it is followed, with two
	// different values at least.
	minSightings = 3
	// constantShare is the share of the sightings in which an arg must have had one value to count
	// as constant.
	constantShare = 0.8
	// Counts are halved after so many chances, so that what is new counts more.
	ruleHalving = 128
	// Where nothing explained the args so often, it is looked for once in a while only.
	looked    = 32
	lookAgain = 16
)

// Value is the text of a value in queries and answers: equal values have the same text. "" stands
// for none, and for what cannot be told.
type Value = string

// Answer is what a query found, as the Shape of its template knows it.
type Answer any

// Shape is what is known of all queries of a template.
type Shape interface {
	// Columns is how many columns the answers have.
	Columns() int
	// Split appends the args of a query to into, false if they are not known.
	Split(key string, into []Value) ([]Value, bool)
	// Key appends the key of the query with these args to into, false if there is none. The args
	// are not retained.
	Key(into []byte, args []Value) ([]byte, bool)
	// Rows returns how many rows an answer has.
	Rows(answer Answer) int
	// Append appends the text of what a row holds in a column to into, nothing where there is
	// nothing to find others by.
	Append(into []byte, answer Answer, row, column int) []byte
	// Leads reports whether it is declared that an arg of another template is what a column of
	// this one refers to, or is referred to by.
	Leads(column int, to *Template, arg int) bool
}

// Template is a shape of queries, and what is known of what comes after them.
type Template struct {
	Shape
	// Trust is that in what the chain expects of its keys.
	Trust

	chances   [2]chances // of what comes after it, by whether it came by a rule itself
	followers []*follower
	// quiet counts the occasions since something new was found out. From settled on, the template
	// is looked at in fewer sessions.
	quiet int
}

// NewTemplate returns a template of which nothing is known.
func NewTemplate(of Shape) *Template { return &Template{Shape: of} }

// chances counts the occasions on which something could have come after a template: how often it
// was asked, and how many rows it found, maxRows each time at most.
type chances struct{ asked, rows int }

func (c chances) minus(d chances) chances { return chances{c.asked - d.asked, c.rows - d.rows} }

// of returns the occasions of what comes by each row, or not.
func (c chances) of(eachRow bool) int {
	if eachRow {
		return c.rows
	}
	return c.asked
}

// follower is a template that came after another, and where its args came from.
type follower struct {
	template  *Template
	sightings int
	last      uint64     // the number of the arrival that was seen last
	vain      int        // looks for where the args came from that found nothing
	constants []constant // by arg
	fixed     Rule       // all args are constant
	rules     []*Rule    // those that were right most often first
	weight    int64      // bytes that it holds, as they were counted last
}

// constant is the value that an arg has most of the time, if it has one.
type constant struct {
	value uint64
	text  Value // of the value, once it has been seen often enough
	votes int   // for it, less those for others
	seen  int   // of the sightings since it is the one
	of    int
}

// see counts a sighting. The value is found by majority vote, after Boyer and Moore, "MJRTY"
// (1981).
func (c *constant) see(v uint64, text Value) {
	if c.votes == 0 && c.value != v {
		*c = constant{value: v}
	}
	if c.of++; c.of >= ruleHalving {
		c.of, c.seen, c.votes = c.of/2, c.seen/2, min(c.votes, c.of/2)
	}
	if c.value != v {
		c.votes--
		return
	}
	c.votes++
	if c.seen++; c.seen >= minSightings && c.text == "" {
		c.text = strings.Clone(text) // and not the key that it is a part of
	}
}

func (c *constant) holds() bool {
	return c.seen >= minSightings && float64(c.seen) >= constantShare*float64(c.of)
}

// origin is where a value can come from, the best one first.
type origin uint8

const (
	firstRow origin = iota // a column of the first row
	eachRow                // a column of a row; each leads to a query of its own
	arg
)

type source struct {
	origin
	index uint8
}

// Rule is one way in which the args of a template come from what was asked before it.
type Rule struct {
	// sources has for each arg those that were right so far, the best ones first; none where it is
	// constant.
	sources [][]source
	each    bool // a row leads to a query of its own
	// count is how often it was right, and before what the chances were when it had none yet; both
	// by whether the earlier query came by a rule itself. A page finds an item and then those that
	// are related to it, but nothing that is related to these.
	count  [2]int
	before [2]chances
	// What it was first right about, and whether it was right about others later.
	first  uint64
	varied bool
	// declared says that all args that have a source have one that leads to them. It counts as
	// having been right once before.
	declared bool
	// Trust is that in the keys that it leads to.
	Trust
}

// seen is an access in the window of a session.
type seen struct {
	hash    uint64 // of the key
	at      int64
	node    uint32 // of the chain
	chained bool
	led     bool // it came by a rule
	args    uint8
	rows    uint8
	columns uint8
	// template is set where it is studied what comes after it. Then values has the hashes of its
	// args and of what the rows of its answer hold, one row after the other; 0 stands for "".
	template *Template
	values   []uint64
	credits  []credit
}

// credit says that a mapping was right after an access, for one of its rows or, with -1, at all.
// It counts once.
type credit struct {
	rule *Rule
	row  int
}

// way returns the index of what is counted by whether a query came by a rule.
func (s *seen) way() int {
	if s.led {
		return 1
	}
	return 0
}

// value returns what a source says, for one of the rows; 0 if nothing.
func (s *seen) value(from source, row int) uint64 {
	i := int(from.index)
	switch from.origin {
	case arg:
		if i < int(s.args) {
			return s.values[i]
		}
		return 0
	case firstRow:
		row = 0
	}
	if row >= int(s.rows) || i >= int(s.columns) {
		return 0
	}
	return s.values[int(s.args)+row*int(s.columns)+i]
}

// arrival is an access that comes after others.
type arrival struct {
	number   uint64
	template *Template
	hash     uint64 // of its key
	args     []Value
	values   []uint64 // of the args
	about    uint64   // stands for all of them
	led      bool     // a rule that is followed led to it
}

// weigh looks again at how much memory is held for a template that comes after another. It returns
// by how much that grew.
func (f *follower) weigh() (grown int64) {
	n := int64(unsafe.Sizeof(*f)) + 32 // its place among the followers, and its share of the template
	for _, c := range f.constants {
		n += int64(unsafe.Sizeof(c)) + textBytes(len(c.text))
	}
	for _, m := range f.rules {
		n += int64(unsafe.Sizeof(m)) + int64(unsafe.Sizeof(*m))
		for _, sources := range m.sources {
			n += int64(unsafe.Sizeof(sources)) + textBytes(cap(sources)*int(unsafe.Sizeof(source{})))
		}
	}
	grown = n - f.weight
	f.weight = n
	return grown
}

// follower returns what is known of a template that comes after this one, nil where there is no
// room for it, and how many bytes were freed to make room.
func (t *Template) follower(of *Template) (f *follower, freed int64) {
	for _, f := range t.followers {
		if f.template == of {
			return f, 0
		}
	}
	f = &follower{template: of, fixed: Rule{before: t.chances}}
	if len(t.followers) < maxFollowers {
		t.quiet = 0
		t.followers = append(t.followers, f)
		return f, 0
	}
	// The one that came least often makes room, but not at once.
	least := slices.MinFunc(t.followers, func(a, b *follower) int { return a.sightings - b.sightings })
	if least.sightings--; least.sightings > 0 {
		return nil, 0
	}
	t.followers[slices.Index(t.followers, least)] = f
	return f, least.weight
}

// ask counts an access of the template.
func (t *Template) ask(s *seen) {
	c := &t.chances[s.way()]
	c.asked++
	c.rows += int(s.rows)
	t.quiet++
}

// learn notes that b came after a. It returns how many bytes more are held for that.
func learn(a *seen, b *arrival) (grown int64) {
	f, freed := a.template.follower(b.template)
	if f == nil {
		return 0
	}
	grown = -freed
	f.sightings++
	rules, known := len(f.rules), f.weight > 0
	if len(f.constants) != len(b.args) {
		f.constants, f.rules = make([]constant, len(b.args)), nil
		known = false
	}
	// What comes after several of one template is one sighting of its args.
	for i, v := range b.values {
		if f.last == b.number {
			break
		}
		text := f.constants[i].text
		f.constants[i].see(v, b.args[i])
		known = known && text == f.constants[i].text
	}
	f.last = b.number
	switch {
	case f.explain(a, b):
	case f.constant(b):
		f.fixed.credit(a, -1, a.hash)
	case f.vain < looked || f.sightings%lookAgain == 0:
		if !f.look(a, b) {
			f.vain++
		}
	}
	if !known || len(f.rules) != rules {
		grown += f.weigh()
	}
	return grown
}

// constant reports whether all args are what they are most of the time.
func (f *follower) constant(b *arrival) bool {
	for i := range f.constants {
		if !f.constants[i].holds() || f.constants[i].value != b.values[i] {
			return false
		}
	}
	return true
}

// explain finds the mapping that was right most often among those that are right now, and counts
// that. It reports whether there is one.
func (f *follower) explain(a *seen, b *arrival) bool {
	for i, m := range f.rules {
		for row := range max(1, int(a.rows)) {
			if !m.right(f, a, b, row) {
				continue
			}
			m.narrow(a, b, row)
			if !m.each {
				row = -1
			}
			m.credit(a, row, b.about)
			b.led = b.led || m.known()
			for ; i > 0 && f.rules[i-1].total() < m.total(); i-- {
				f.rules[i-1], f.rules[i] = m, f.rules[i-1]
			}
			return true
		}
	}
	return false
}

// right reports whether the mapping explains the args of b, by a row of a where it goes by rows.
func (m *Rule) right(f *follower, a *seen, b *arrival, row int) bool {
	left := 0
	for i, sources := range m.sources {
		ok := false
		for _, s := range sources {
			if ok = a.value(s, row) == b.values[i]; ok {
				left++
				break
			}
		}
		// What it has no source for is constant; and what seemed to have one may turn out to be,
		// as long as little is known.
		if !ok && (len(sources) > 0 && m.total() >= minSightings || f.constants[i].value != b.values[i]) {
			return false
		}
	}
	return left > 0
}

// narrow leaves the sources that were right.
func (m *Rule) narrow(a *seen, b *arrival, row int) {
	m.each = false
	open := m.total() < minSightings
	declared := open
	for i, sources := range m.sources {
		m.sources[i] = slices.DeleteFunc(sources, func(s source) bool { return a.value(s, row) != b.values[i] })
		sources = m.sources[i]
		m.each = m.each || len(sources) > 0 && sources[0].origin == eachRow
		declared = declared && (len(sources) == 0 || slices.ContainsFunc(sources, func(s source) bool {
			return s.origin != arg && a.template.Leads(int(s.index), b.template, i)
		}))
	}
	if open {
		m.declared = declared
	}
}

// credit counts that the mapping was right about something.
func (m *Rule) credit(a *seen, row int, about uint64) {
	if slices.Contains(a.credits, credit{m, row}) {
		return
	}
	a.credits = append(a.credits, credit{m, row})
	if m.total() == 0 {
		m.first = about
	}
	known := m.known()
	m.count[a.way()]++
	m.varied = m.varied || m.first != about
	if !known && m.known() {
		a.template.quiet = 0
	}
}

// look looks for what the args of b can have come from, and makes a mapping of it. It reports
// whether there is something.
func (f *follower) look(a *seen, b *arrival) bool {
	of, most := 0, 0
	for row := range max(1, int(a.rows)) {
		if n := sourced(a, b, row); n > most {
			of, most = row, n
		}
	}
	if most == 0 {
		return false
	}
	m := &Rule{sources: sourcesOf(a, b, of), before: a.template.chances}
	m.before[a.way()] = m.before[a.way()].minus(chances{1, int(a.rows)})
	m.narrow(a, b, of) // sees by what it goes
	row := of
	if !m.each {
		row = -1
	}
	m.credit(a, row, b.about)
	if len(f.rules) < maxRules {
		f.rules = append(f.rules, m)
		return true
	}
	// One that was hardly ever right makes room.
	if last := f.rules[maxRules-1]; a.template.chances[a.way()].asked-last.before[a.way()].asked >= looked && last.total() <= minSightings {
		f.rules[maxRules-1] = m
	}
	return true
}

// total returns how often the mapping was right.
func (m *Rule) total() int { return m.count[0] + m.count[1] }

// known reports whether the mapping was right often enough to be followed.
func (m *Rule) known() bool { return m.declared || m.total() >= minSightings && m.varied }

// rowOf returns what a row of an access holds, nothing where there is no such row.
func (s *seen) rowOf(row int) []uint64 {
	if row >= int(s.rows) {
		return nil
	}
	return s.values[int(s.args)+row*int(s.columns):][:s.columns]
}

// sourced returns for how many args of b there is something in a, by a row of a, that they can
// have come from.
func sourced(a *seen, b *arrival, row int) (n int) {
	for _, v := range b.values {
		if v != 0 && (slices.Contains(a.rowOf(0), v) || slices.Contains(a.rowOf(row), v) || slices.Contains(a.values[:a.args], v)) {
			n++
		}
	}
	return n
}

// sourcesOf returns what each arg of b can have come from, by a row of a.
func sourcesOf(a *seen, b *arrival, row int) [][]source {
	all := make([][]source, len(b.values))
	for i, v := range b.values {
		if v == 0 {
			continue
		}
		for _, from := range []struct {
			origin
			values []uint64
		}{{firstRow, a.rowOf(0)}, {eachRow, a.rowOf(row)}, {arg, a.values[:a.args]}} {
			for j, held := range from.values {
				if held == v {
					all[i] = append(all[i], source{from.origin, uint8(j)})
				}
			}
		}
	}
	return all
}

// probability returns how likely it is that the mapping is right after a query of a template, or a
// row of one.
func (m *Rule) probability(t *Template, way int) float64 {
	had := t.chances[way].minus(m.before[way])
	if had.of(m.each) >= ruleHalving {
		had = chances{had.asked / 2, had.rows / 2}
		m.before[way] = t.chances[way].minus(had)
		m.count[way] /= 2
	}
	right := m.count[way]
	if m.declared {
		right++
	}
	return min(1, float64(right)/float64(had.of(m.each)+2))
}

// come is what comes after a query by a rule: the query of a template with some args.
type come struct {
	template    *Template
	args        []Value
	probability float64
	by          *Rule
}

// after calls found with what usually comes after a query that came by a rule itself, or did not.
// The args are not valid after the call. s is memory for looking at the query.
func (t *Template) after(s *here, q *Query, led bool, least float64, found func(come)) {
	s.template, s.query, s.looked = t, q, false
	way := 0
	if led {
		way = 1
	}
	follow := func(f *follower, m *Rule) {
		if !m.known() {
			return
		}
		p := m.probability(t, way)
		if p < least || !s.look() {
			return
		}
		rows := 1
		if m.each {
			rows = s.rows
		}
		for row := range rows {
			if all, ok := f.args(s.found[:0], m, s, row); ok {
				found(come{f.template, all, p, m})
			}
		}
	}
	for _, f := range t.followers {
		follow(f, &f.fixed)
		for _, m := range f.rules {
			follow(f, m)
		}
	}
}

// here is a query from which rules are followed.
type here struct {
	template *Template
	query    *Query
	looked   bool
	known    bool // its args are
	rows     int
	args     []Value
	split    [maxRuleArgs]Value
	found    [maxRuleArgs]Value
	text     [64]byte
}

// look looks at the query, once, and reports whether its args are known.
func (h *here) look() bool {
	if h.looked {
		return h.known
	}
	h.looked, h.rows = true, 0
	if h.args, h.known = h.template.Split(h.query.Key, h.split[:0]); h.known && h.query.Answer != nil {
		h.rows = min(h.template.Rows(h.query.Answer), maxRows)
	}
	return h.known
}

// value returns what a source says, for one of the rows; "" if nothing.
func (h *here) value(from source, row int) Value {
	i := int(from.index)
	switch from.origin {
	case arg:
		if i < len(h.args) {
			return h.args[i]
		}
		return ""
	case firstRow:
		row = 0
	}
	if row >= h.rows {
		return ""
	}
	return Value(h.template.Append(h.text[:0], h.query.Answer, row, i))
}

// args returns the args to which a mapping leads.
func (f *follower) args(all []Value, m *Rule, from *here, row int) (_ []Value, ok bool) {
	for i := range f.constants {
		var v Value
		switch {
		case i < len(m.sources) && len(m.sources[i]) > 0:
			v = from.value(m.sources[i][0], row)
		case f.constants[i].holds():
			v = f.constants[i].text
		}
		if v == "" {
			return nil, false
		}
		all = append(all, v)
	}
	return all, true
}
