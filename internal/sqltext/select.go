package sqltext

import "slices"

func (p *parser) selects() {
	s := &p.shape
	s.Verb = Select
	params := map[int]int{}
	counted(p.rest, params)
	if p.take("distinct") {
		s.Distinct = true
	} else {
		p.take("all")
	}
	list := p.part()
	p.expect("from")
	if !p.reference(true) {
		return
	}
	p.joins()
	p.list(list)
	if p.take("where") {
		condition := p.where()
		p.moving(condition, params)
	}
	p.bare = nil
	if p.take("group", "by") {
		s.Grouped = true
		for _, term := range split(p.part()) {
			p.term(term, &s.Group)
		}
	}
	if p.take("having") {
		s.Grouped = true
		p.names(p.part(), &s.Group)
	}
	if p.take("order", "by") {
		s.Ordered = true
		for _, term := range split(p.part()) {
			p.term(p.direction(term), &s.Order)
		}
	}
	p.limits()

	if s.Computed || slices.ContainsFunc(p.bare, p.isAlias) {
		// SELECT a AS b ... ORDER BY b; in PostgreSQL also SELECT lower(a) ... ORDER BY lower, in
		// MySQL SELECT a+1 ... ORDER BY `a+1`. A name behind a dot is that of a column.
		if s.Grouped {
			add(&s.Group, s.Selected...)
		}
		if s.Ordered {
			add(&s.Order, s.Selected...)
		}
	}
	// In SQLite's WHERE, b is an alias if the table has no such column.
	if slices.ContainsFunc(s.Filter, p.isAlias) {
		add(&s.Filter, s.Selected...)
		s.Pins = slices.DeleteFunc(s.Pins, func(pin Pin) bool { return slices.ContainsFunc(pin.Columns, p.isAlias) })
	}
}

func (p *parser) limits() {
	offset := func() {
		p.shape.Offset = true
		p.amount()
	}
	first := p.dialect == postgres && p.take("offset") // which may come before LIMIT there
	if first {
		offset()
	}
	if !p.take("limit") {
		return
	}
	p.shape.Limited = true
	p.shape.Limit = p.amount()
	if !first && p.take("offset") {
		offset()
	} else if p.dialect != postgres && p.takeMark(",") {
		p.shape.Offset = true
		p.shape.Limit = p.amount() // what came first was the offset
	}
}

// amount takes the value of a LIMIT or OFFSET. That of a negative one is not known.
func (p *parser) amount() (value Operand) {
	negative := p.takeMark("-")
	if len(p.rest) == 0 || p.rest[0].kind != number && p.rest[0].param == 0 {
		p.failed = true
		return Operand{}
	}
	if value = p.operand(p.rest[:1]); negative {
		value = Operand{}
	}
	p.rest = p.rest[1:]
	return value
}

// list reads the select list.
func (p *parser) list(list []piece) {
	s := &p.shape
	s.Aggregate = true
	for _, item := range split(list) {
		named := len(s.Aliases)
		item = p.aliased(item)
		found, outside := p.aggregated(item)
		s.Aggregate = s.Aggregate && found && !outside
		path, n := p.path(item)
		star := len(item) == 1 && item[0].mark("*") ||
			n > 0 && n == len(item)-2 && item[n].mark(".") && item[n+1].mark("*") && p.qualifies(path)
		if star {
			s.Star = true
			s.Computed = s.Computed || len(s.Joined) > 0 && n == 0
			continue
		}
		plain := n > 0 && n == len(item) && !p.namesRow(path)
		other := plain && p.ofOther(path[:len(path)-1])
		s.Renamed = s.Renamed || len(s.Aliases) > named && !other
		// Where two tables have a column of a name, the answer has two of that name.
		if len(s.Joined) > 0 && plain {
			plain = other && len(s.Aliases) > named || !other && n > 1
		}
		s.Computed = s.Computed || !plain
		p.failed = p.failed || len(item) == 0
		p.names(item, &s.Selected)
	}
}

// aggregates are functions whose value does not depend on the order of the rows; min and max of
// several arguments are none in SQLite.
var aggregates = words(`count sum min max avg total`)

// ofValues are functions of one value for one.
var ofValues = words(`coalesce ifnull nullif round abs`)

// aggregated reports whether an expression calls an aggregate, and whether it names anything
// outside of those that may be the column of one row, or make several rows of one.
func (p *parser) aggregated(item []piece) (found, outside bool) {
	for i := 0; i < len(item); i++ {
		t, follows := item[i], piece{token: token{kind: mark}}
		if i+1 < len(item) {
			follows = item[i+1]
		}
		switch {
		case t.in(aggregates) && follows.mark("(") && (i == 0 || !item[i-1].mark(".")) && (t.is("count") || len(split(follows.inside)) == 1):
			found = true
			i++
		case t.isGroup():
			in, out := p.aggregated(t.inside)
			found, outside = found || in, outside || out
		case p.isCast(item, i) && follows.kind == word:
			i++ // a type
		case p.isName(t) && !(t.in(ofValues) && follows.mark("(")):
			outside = true
		}
	}
	return found, outside
}

// aliased cuts the alias off an item of the select list.
//
// Without AS, b may be an alias in `a b`, but `binary b` is the column b to MySQL: it counts as
// both, unless what stands before it is certain to be an operand.
func (p *parser) aliased(item []piece) []piece {
	n := len(item)
	if as := slices.IndexFunc(item, func(t piece) bool { return t.is("as") }); as >= 0 {
		if as != n-2 || !item[n-1].isName() {
			p.failed = true
			return item
		}
		add(&p.shape.Aliases, item[n-1].name())
		return item[:as]
	}
	if n < 2 || !p.isName(item[n-1]) && item[n-1].kind != text {
		return item
	}
	before := item[n-2]
	if before.kind == mark && !before.isGroup() {
		return item
	}
	add(&p.shape.Aliases, item[n-1].name())
	if before.isGroup() || before.kind == quotedID || before.kind == word && n > 2 && item[n-3].mark(".") {
		return item[:n-1]
	}
	return item
}

// direction cuts ASC, DESC, NULLS FIRST and NULLS LAST off a term of an ORDER BY. In SQLite these
// may be columns, so they are syntax only behind an operand: `ORDER BY desc`, `ORDER BY NOT desc`
// and `ORDER BY -desc` order by a column.
func (p *parser) direction(term []piece) []piece {
	directed := func(t []piece) bool {
		n := len(t)
		return n > 1 && (t[n-1].is("asc") || t[n-1].is("desc")) && p.operandEnds(t, n-2)
	}
	if n := len(term); n > 2 && term[n-2].is("nulls") && (term[n-1].is("first") || term[n-1].is("last")) &&
		(directed(term[:n-2]) || p.operandEnds(term, n-3)) {
		term = term[:n-2]
	}
	if directed(term) {
		term = term[:len(term)-1]
	}
	return term
}

// groupings are lists of terms that look like calls.
var groupings = words(`rollup cube sets`)

// term reads a term of GROUP BY or ORDER BY. One without names may be the number of an item of the
// select list (also `(1)`, `1 COLLATE x`, SQLite's `likely(1)`, and `?` where the driver writes the
// values into the text); count(*) is none. PostgreSQL takes GROUP BY (1, a) for GROUP BY 1, a.
func (p *parser) term(term []piece, part *[]Name) {
	if len(term) == 1 && term[0].mark("(") {
		for _, t := range split(term[0].inside) {
			p.term(t, part)
		}
		return
	}
	var named []Name
	before := p.foreign
	p.names(term, &named)
	if len(named) == 0 && p.foreign == before && !slices.ContainsFunc(term, piece.isStar) ||
		slices.ContainsFunc(term, func(t piece) bool { return t.in(groupings) }) {
		p.failed = true
	}
	add(part, named...)
}
