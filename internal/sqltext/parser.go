package sqltext

import "slices"

// parser takes one statement from left to right. A part that it does not understand makes it fail
// for good, so that callers need not look.
type parser struct {
	dialect string
	rest    []piece // what was not taken yet
	shape   Shape
	table   []Name // the components of the table's name
	alias   []Name // one name, or none
	failed  bool
	others  [][]Name // the qualifiers that stand for tables which are joined
	foreign int      // how many columns of these were named
	bare    []Name   // names without a qualifier
	upsert  bool     // in ON DUPLICATE KEY UPDATE, where VALUES(a) is the value that a was to get
	cases   bool     // each END belongs to a CASE, so none is a column
}

func parse(dialect string, tokens []token) (Shape, bool) {
	all := statements(tokens)
	// A function that is not built in may read or write other tables.
	if len(all) != 1 || findUnknown(dialect, tokens) != "" {
		return Shape{}, false
	}
	pieces, ok := nest(dialect, all[0])
	if !ok {
		return Shape{}, false
	}
	p := parser{dialect: dialect, rest: pieces, cases: count(tokens, "case") == count(tokens, "end")}
	switch {
	case p.take("select"):
		p.selects()
	case p.take("insert", "into"):
		p.inserts()
	case p.take("update"):
		p.updates()
	case p.take("delete", "from"):
		p.deletes()
	default:
		return Shape{}, false
	}
	if p.failed || len(p.rest) > 0 {
		return Shape{}, false
	}
	return p.shape, true
}

func count(tokens []token, low string) (n int) {
	for _, t := range tokens {
		if t.is(low) {
			n++
		}
	}
	return n
}

// clauses are the words that start a part of a statement. A column may have some of these names:
// RETURNING in MySQL, FOR in SQLite, SET in PostgreSQL. A statement that uses one as a name falls
// apart at it, and fails; inside of parentheses, where nothing is cut, these are forbidden.
var clauses = words(`from where group having order limit returning on set for`)

// startsClause: OFFSET is a name to MySQL and SQLite unless it follows a LIMIT.
func (p *parser) startsClause(t token) bool {
	return t.in(clauses) || p.dialect == postgres && t.is("offset")
}

// noTable are the words that stand before the name of a table, or in the place of one.
var noTable = words(`only lateral low_priority high_priority delayed ignore quick dual`)

// reference takes the table, with its schema and its alias. Until it did, no name can be read.
func (p *parser) reference(bareAlias bool) (ok bool) {
	path, n := p.path(p.rest)
	if n == 0 || len(path) > 2 || len(path) == 1 && p.rest[0].in(noTable) {
		p.failed = true
		return false
	}
	ref := &p.shape.Table
	for i, name := range path {
		if i > 0 {
			ref.Name += "."
		}
		ref.Name += name.Text
		ref.Quoted = ref.Quoted || name.Quoted
	}
	p.table = path
	p.rest = p.rest[n:]
	if p.take("as") {
		bareAlias = true
		p.failed = p.failed || len(p.rest) == 0 || !p.isName(p.rest[0]) || p.rest[0].in(joining)
	}
	if bareAlias && len(p.rest) > 0 && p.isName(p.rest[0]) && !p.rest[0].in(joining) {
		p.alias = []Name{p.rest[0].name()}
		p.rest = p.rest[1:]
	}
	return true
}

// qualifies reports whether a column with this qualifier is one of the table: none, the alias if
// there is one, or the name of the table with or without its schema.
func (p *parser) qualifies(qualifier []Name) bool {
	switch {
	case len(qualifier) == 0:
		return true
	case len(p.alias) > 0:
		return slices.EqualFunc(qualifier, p.alias, Name.same)
	}
	return slices.EqualFunc(qualifier, p.table, Name.same) ||
		slices.EqualFunc(qualifier, p.table[len(p.table)-1:], Name.same)
}

// namesRow reports whether a name may be that of the row as a whole: PostgreSQL reads the table's
// name, or its alias, so if it has no such column.
func (p *parser) namesRow(path []Name) bool {
	return len(path) == 1 && (path[0].same(p.table[len(p.table)-1]) || len(p.alias) > 0 && path[0].same(p.alias[0]))
}

func (p *parser) isAlias(n Name) bool { return slices.ContainsFunc(p.shape.Aliases, n.same) }

// take takes the words if all of them come next.
func (p *parser) take(low ...string) bool {
	if len(p.rest) < len(low) {
		return false
	}
	for i, w := range low {
		if !p.rest[i].is(w) {
			return false
		}
	}
	p.rest = p.rest[len(low):]
	return true
}

func (p *parser) expect(low string) {
	if !p.take(low) {
		p.failed = true
	}
}

func (p *parser) next(m string) bool { return len(p.rest) > 0 && p.rest[0].mark(m) }

func (p *parser) takeMark(m string) bool {
	if !p.next(m) {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// part takes what comes before the next clause, or before one of the words. It is not empty, and
// holds nothing that could read another table.
func (p *parser) part(stops ...string) []piece {
	n := 0
	for ; n < len(p.rest); n++ {
		t := p.rest[n]
		if t.is("from") && n > 1 && p.rest[n-1].is("distinct") && (p.rest[n-2].is("is") || p.rest[n-2].is("not")) {
			continue // IS [NOT] DISTINCT FROM
		}
		if p.startsClause(t.token) || slices.ContainsFunc(stops, t.is) {
			break
		}
	}
	part := p.rest[:n]
	p.rest = p.rest[n:]
	// MySQL has no RETURNING, but a column may have that name, as in `WHERE a = 1 OR returning`.
	// MariaDB has it.
	if n == 0 || p.dialect == mysql && len(p.rest) > 0 && p.rest[0].is("returning") && !p.operandEnds(part, n-1) {
		p.failed = true
	}
	p.check(part)
	return part
}
