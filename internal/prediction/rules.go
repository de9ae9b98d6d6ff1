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
	// maxRows is how many rows of an answer are looked at.
	maxRows = 8
	// maxRuleArgs is the number of args up to which templates have rules.
	maxRuleArgs = 8

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

	// A mapping whose loads are used less than usedShare of the time, after minOutcomes, is
	// followed once in retry only.
	usedShare   = 0.4
	minOutcomes = 32
	retry       = 16
)

// Value stands for a value in queries and answers: equal ones are the same text. "" stands for
// none, and for what cannot be told.
type Value = string

// Answer is what a query found.
type Answer interface {
	Rows() int
	// Value returns what a row holds in a column, "" where there is nothing to find others by.
	Value(row, column int) Value
}

// Template is a shape of queries.
type Template struct {
	// Columns is how many columns its answers have.
	Columns int
	// Key returns the key of its query with these args, false if there is none. The args are not
	// retained.
	Key func(args []Value) (key string, ok bool)
	// Leads reports whether it is declared that an arg of another template is what a column of this
	// one refers to, or is referred to by. It may be nil.
	Leads func(column int, to *Template, arg int) bool

	chances   [2]chances // of what comes after it, by whether it came by a rule itself
	followers []*follower
}

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
	vain      int        // looks for where the args came from that found nothing
	constants []constant // by arg
	fixed     Rule       // all args are constant
	rules     []*Rule    // those that were right most often first
	weight    int64      // bytes that it holds, as they were counted last
}

// constant is the value that an arg has most of the time, if it has one.
type constant struct {
	value Value
	votes int // for it, less those for others
	seen  int // of the sightings since it is the one
	of    int
}

// see counts a sighting. The value is found by majority vote, after Boyer and Moore, "MJRTY"
// (1981).
func (c *constant) see(v Value) {
	if c.votes == 0 && c.value != v {
		*c = constant{value: Value(strings.Clone(string(v)))} // and not the key that it is a part of
	}
	if c.of++; c.of >= ruleHalving {
		c.of, c.seen, c.votes = c.of/2, c.seen/2, min(c.votes, c.of/2)
	}
	if c.value == v {
		c.votes++
		c.seen++
	} else {
		c.votes--
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
	first  string
	varied bool
	// declared says that all args that have a source have one that leads to them. It counts as
	// having been right once before.
	declared bool

	used, wasted int // of the loads that it led to
	occasions    int // since it is followed once in a while only
}

// seen is an access in the window of a session.
type seen struct {
	template *Template
	key      string
	node     uint32 // of the chain
	chained  bool
	args     []Value
	answer   Answer
	led      bool // it came by a rule
	at       int64
	credits  []credit
}

// credit says that a mapping was right after an access, for one of its rows or, with -1, at all. It
// counts once.
type credit struct {
	rule *Rule
	row  int
}

// rows returns how many rows are looked at.
func (s *seen) rows() int {
	if s.answer == nil {
		return 0
	}
	return min(s.answer.Rows(), maxRows)
}

// way returns the index of what is counted by whether a query came by a rule.
func (s *seen) way() int {
	if s.led {
		return 1
	}
	return 0
}

// value returns what a source says, for one of the rows; "" if nothing.
func (s *seen) value(from source, row int) Value {
	i := int(from.index)
	switch from.origin {
	case arg:
		if i < len(s.args) {
			return s.args[i]
		}
		return ""
	case firstRow:
		row = 0
	}
	if row >= s.rows() {
		return ""
	}
	return s.answer.Value(row, i)
}

// weigh looks again at how much memory is held for a template that comes after another. It returns
// by how much that grew.
func (f *follower) weigh() (grown int64) {
	n := int64(unsafe.Sizeof(*f)) + 32 // its place among the followers, and its share of the template
	for _, c := range f.constants {
		n += int64(unsafe.Sizeof(c)) + textBytes(len(c.value))
	}
	for _, m := range f.rules {
		n += int64(unsafe.Sizeof(m)) + int64(unsafe.Sizeof(*m)) + textBytes(len(m.first))
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
	c.rows += s.rows()
}

// learn notes that b came after a. It returns how many bytes more are held for that.
func learn(a, b *seen) (grown int64) {
	if a.template == nil || b.template == nil || len(b.args) > maxRuleArgs || a.key == b.key {
		return 0
	}
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
	defer func() {
		if !known || len(f.rules) != rules {
			grown += f.weigh()
		}
	}()
	for i, v := range b.args {
		f.constants[i].see(v)
	}
	switch {
	case f.explain(a, b):
	case f.constant(b.args):
		f.fixed.credit(a, -1, a.key)
	case f.vain < looked || f.sightings%lookAgain == 0:
		if !f.look(a, b) {
			f.vain++
		}
	}
	return grown
}

// constant reports whether all args are what they are most of the time.
func (f *follower) constant(args []Value) bool {
	for i := range f.constants {
		if !f.constants[i].holds() || f.constants[i].value != args[i] {
			return false
		}
	}
	return true
}

// explain finds the mapping that was right most often among those that are right now, and counts
// that. It reports whether there is one.
func (f *follower) explain(a, b *seen) bool {
	for i, m := range f.rules {
		for row := range max(1, a.rows()) {
			if !m.right(f, a, b, row) {
				continue
			}
			m.narrow(a, b, row)
			if !m.each {
				row = -1
			}
			m.credit(a, row, join(b.args))
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
func (m *Rule) right(f *follower, a, b *seen, row int) bool {
	left := 0
	for i, sources := range m.sources {
		ok := false
		for _, s := range sources {
			if ok = a.value(s, row) == b.args[i]; ok {
				left++
				break
			}
		}
		// What it has no source for is constant; and what seemed to have one may turn out to be, as
		// long as little is known.
		if !ok && (len(sources) > 0 && m.total() >= minSightings || f.constants[i].value != b.args[i]) {
			return false
		}
	}
	return left > 0
}

// narrow leaves the sources that were right.
func (m *Rule) narrow(a, b *seen, row int) {
	m.each = false
	declared := a.template.Leads != nil
	for i, sources := range m.sources {
		m.sources[i] = slices.DeleteFunc(sources, func(s source) bool { return a.value(s, row) != b.args[i] })
		sources = m.sources[i]
		m.each = m.each || len(sources) > 0 && sources[0].origin == eachRow
		declared = declared && m.total() < minSightings && (len(sources) == 0 || slices.ContainsFunc(sources, func(s source) bool {
			return s.origin != arg && a.template.Leads(int(s.index), b.template, i)
		}))
	}
	if m.total() < minSightings {
		m.declared = declared
	}
}

// credit counts that the mapping was right about something.
func (m *Rule) credit(a *seen, row int, about string) {
	if slices.Contains(a.credits, credit{m, row}) {
		return
	}
	a.credits = append(a.credits, credit{m, row})
	if m.total() == 0 {
		m.first = strings.Clone(about)
	}
	m.count[a.way()]++
	m.varied = m.varied || m.first != about
}

func join(args []Value) string {
	if len(args) == 1 {
		return string(args[0])
	}
	var all strings.Builder
	for _, v := range args {
		all.WriteString(string(v))
	}
	return all.String()
}

// look looks for what the args of b can have come from, and makes a mapping of it. It reports
// whether there is something.
func (f *follower) look(a, b *seen) bool {
	var found [][]source
	of, most := 0, 0
	for row := range max(1, a.rows()) {
		sources, n := sourcesOf(a, b, row)
		if n > most {
			found, of, most = sources, row, n
		}
	}
	if most == 0 {
		return false
	}
	m := &Rule{sources: found, before: a.template.chances}
	m.before[a.way()] = m.before[a.way()].minus(chances{1, a.rows()})
	m.narrow(a, b, of) // sees by what it goes
	row := of
	if !m.each {
		row = -1
	}
	m.credit(a, row, join(b.args))
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

// sourcesOf returns what each arg of b can have come from, by a row of a, and for how many there is
// something.
func sourcesOf(a, b *seen, row int) (all [][]source, n int) {
	all = make([][]source, len(b.args))
	for i, v := range b.args {
		if v == "" {
			continue
		}
		try := func(s source) {
			if a.value(s, row) == v {
				all[i] = append(all[i], s)
			}
		}
		for _, origin := range []origin{firstRow, eachRow} {
			for c := range min(a.template.Columns, 256) {
				try(source{origin, uint8(c)})
			}
		}
		for j := range a.args {
			try(source{arg, uint8(j)})
		}
		if len(all[i]) > 0 {
			n++
		}
	}
	return all, n
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

// followed reports whether a mapping that is right with a sufficient probability is followed this
// time, and how likely what it leads to is used. What it leads to is loaded where it is not there
// already, which may be where it is least likely: so it is not more likely than what was loaded was
// used. If only that is too little, it is tried once in a while.
func (m *Rule) followed(probability, least float64) (likely float64, ok bool) {
	outcomes := m.used + m.wasted
	if outcomes < minOutcomes {
		return probability, true
	}
	share := float64(m.used) / float64(outcomes)
	if likely = min(probability, share); likely >= least && share >= usedShare {
		return likely, true
	}
	m.occasions++
	return least, m.occasions%retry == 0
}

// outcome notes whether a load that the mapping led to was used.
func (m *Rule) outcome(used bool) {
	if used {
		m.used++
	} else {
		m.wasted++
	}
	if m.used+m.wasted >= 2*minOutcomes {
		m.used, m.wasted = m.used/2, m.wasted/2
	}
}

// after calls found with what usually comes after an access; with tell also where it is not worth
// loading. The args are not valid after the call.
func (t *Template) after(s *seen, least float64, tell bool, found func(of *Template, args []Value, probability float64, by *Rule)) {
	var args [maxRuleArgs]Value
	follow := func(f *follower, m *Rule) {
		if !m.known() {
			return
		}
		p := m.probability(t, s.way())
		ok := p >= least
		if ok && !tell {
			p, ok = m.followed(p, least)
		}
		if !ok {
			return
		}
		rows := 1
		if m.each {
			rows = s.rows()
		}
		for row := range rows {
			if all, ok := f.args(args[:0], m, s, row); ok {
				found(f.template, all, p, m)
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

// args returns the args to which a mapping leads.
func (f *follower) args(all []Value, m *Rule, s *seen, row int) (_ []Value, ok bool) {
	for i := range f.constants {
		var v Value
		switch {
		case i < len(m.sources) && len(m.sources[i]) > 0:
			v = s.value(m.sources[i][0], row)
		case f.constants[i].holds():
			v = f.constants[i].value
		}
		if v == "" {
			return nil, false
		}
		all = append(all, v)
	}
	return all, true
}
