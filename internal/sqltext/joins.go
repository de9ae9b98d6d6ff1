package sqltext

import "slices"

// Joined returns the shape of a query on a table that is joined with others, which would be simple
// without them; false for another one. Each row of the answer is made of one row of the table,
// which satisfies the pins, and of what the others have for it: there are no rows without one.
func Joined(dialect, sql string) (Shape, bool) {
	if shape, ok := shapeOf(dialect, sql); ok && len(shape.Joined) > 0 {
		return shape, true
	}
	return Shape{}, false
}

// joining are the words that join tables. Some may be aliases: FULL is one to MySQL.
var joining = words(`join inner left right full outer cross natural straight_join lateral`)

// joins takes the tables that are joined with the first one, where that keeps all its rows, or
// those for which there are others: not RIGHT and FULL, which make rows without one of its own.
func (p *parser) joins() {
	for !p.failed {
		switch {
		case p.take("join"), p.take("inner", "join"), p.take("left", "join"), p.take("left", "outer", "join"):
			p.other()
		default:
			return
		}
	}
}

// other takes a table that is joined, with the condition on which it is. A name that stands for two
// tables fails: of a table that is joined with itself it is not known which of both is named.
func (p *parser) other() {
	first := parser{dialect: p.dialect, rest: p.rest}
	if !first.reference(true) {
		p.failed = true
		return
	}
	p.rest, p.failed = first.rest, first.failed
	names := [][]Name{first.table, first.table[len(first.table)-1:], first.alias}
	for _, name := range names {
		mine := [][]Name{p.table, p.table[len(p.table)-1:], p.alias}
		if len(name) > 0 && slices.ContainsFunc(slices.Concat(mine, p.others), func(other []Name) bool {
			return len(other) > 0 && other[len(other)-1].same(name[len(name)-1])
		}) {
			p.failed = true
		}
	}
	if p.shape.Joined = append(p.shape.Joined, first.shape.Table); len(first.alias) > 0 {
		p.others = append(p.others, first.alias)
	} else {
		p.others = append(p.others, names[:2]...)
	}
	p.expect("on")
	on := p.part("join", "inner", "left", "right", "full", "cross", "natural", "straight_join")
	p.failed = p.failed || len(split(on)) > 1 // behind a comma comes another table
	p.names(on, &p.shape.Filter)
}

// ofOther reports whether a qualifier stands for a table that is joined.
func (p *parser) ofOther(qualifier []Name) bool {
	return len(qualifier) > 0 && slices.ContainsFunc(p.others, func(name []Name) bool { return slices.EqualFunc(qualifier, name, Name.same) })
}
