package sqltext

import "strings"

// forbidden are words that read another table, change what the words around them mean, or start a
// clause that is not understood here, or not in parentheses (of those, FOR also stands in MariaDB's
// NEXT VALUE FOR sequence). A column may have some of these names, but then the statement is not
// simple.
var forbidden = words(`select values table with union intersect except join straight_join into over window fetch using
	procedure operator variadic having limit returning on set for distinctrow high_priority sql_small_result
	sql_big_result sql_buffer_result sql_cache sql_no_cache sql_calc_found_rows`)

// plainMarks are the characters of operators and lists.
const plainMarks = ",.*+-/%=<>!&|^~#@:"

// check fails the statement if an expression holds more than operands, operators and calls.
func (p *parser) check(pieces []piece) {
	for i, t := range pieces {
		at := func(i int) piece {
			if i < 0 || i >= len(pieces) {
				return piece{token: token{kind: mark}}
			}
			return pieces[i]
		}
		before, after := at(i-1), at(i+1)
		ok := true
		switch t.kind {
		case word:
			valuesOf := p.upsert && t.is("values") && after.mark("(")
			// `x IN users` reads a table in SQLite; and t.or is a column in PostgreSQL, but nothing
			// here expects one.
			ok = !(t.in(forbidden) && !valuesOf || t.is("in") && !after.mark("(") || before.mark(".") && !p.isName(t))
		case text:
			ok = !before.mark(".") && !after.mark(".") // a name to SQLite
		case mark:
			switch {
			case t.isGroup():
				p.check(t.inside)
			case t.mark("."):
				// Behind a group it takes a field of a row.
				ok = p.isName(before) && (p.isName(after) || after.mark("*"))
			default:
				ok = t.mark("::") && p.dialect == postgres || strings.Contains(plainMarks, t.text)
			}
		}
		p.failed = p.failed || !ok
	}
}

// keywords cannot be columns without quotes in any of the dialects. Others that are syntax as a
// rule, such as OVER in MySQL or END in SQLite, count as columns.
var keywords = words(`and or not is null in as distinct from all case when then else collate where group order`)

// dialectKeywords are reserved in one dialect and not in another: LIKE, ASC, DESC, TRUE and FALSE
// may be columns in SQLite, BETWEEN in PostgreSQL, ESCAPE in both other dialects.
var dialectKeywords = map[string]wordSet{
	sqlite: words(`between escape isnull notnull`),
	mysql: words(`between like true false asc desc div mod regexp rlike xor binary interval both leading trailing
		separator`),
	postgres: words(`like ilike similar to true false asc desc isnull notnull symmetric both leading trailing array`),
}

// infixes are operators that may be columns as well.
var infixes = map[string]wordSet{
	sqlite:   words(`like glob regexp match`),
	mysql:    words(`escape`),
	postgres: words(`between escape`),
}

// isSyntax reports whether the token is a word that cannot be a name here.
func (p *parser) isSyntax(t piece) bool {
	return t.in(keywords) || t.in(dialectKeywords[p.dialect]) || t.in(forbidden) || p.startsClause(t.token)
}

func (p *parser) isName(t piece) bool {
	return t.kind == quotedID || t.kind == word && !p.isSyntax(t)
}

// path reads the qualified name that the pieces start with, and returns how many pieces it has;
// none if they do not start with a name.
func (p *parser) path(pieces []piece) (path []Name, n int) {
	if len(pieces) == 0 || !p.isName(pieces[0]) {
		return nil, 0
	}
	path, n = []Name{pieces[0].name()}, 1
	for n+1 < len(pieces) && pieces[n].mark(".") && p.isName(pieces[n+1]) {
		path = append(path, pieces[n+1].name())
		n += 2
	}
	return path, n
}

// names adds the columns that an expression names.
func (p *parser) names(pieces []piece, part *[]Name) {
	for i := 0; i < len(pieces); {
		t := pieces[i]
		path, n := p.path(pieces[i:])
		next := i + max(n, 1)
		follows := piece{token: token{kind: mark}}
		if next < len(pieces) {
			follows = pieces[next]
		}
		switch {
		case t.isGroup():
			p.names(t.inside, part)
		case t.mark("*"):
			// Behind an operand it is a multiplication, behind a mark the end of an operator such
			// as ~*.
			if !p.operandEnds(pieces, i-1) && (i == 0 || pieces[i-1].kind != mark || pieces[i-1].mark(",")) {
				add(part, wholeRow)
			}
		case p.isCast(pieces, i), t.is("as"), t.is("collate"):
			if follows.kind != mark {
				next++ // a type, an alias or a collation
			}
		case n == 0: // an operator, a literal, a keyword
		case follows.mark("("):
			if !follows.isStar() {
				p.names(follows.inside, part)
			}
			next++
		case follows.mark("."): // t.*
			if !p.ofOther(path) {
				add(part, wholeRow)
				p.failed = p.failed || !p.qualifies(path)
			}
			next += 2
		case n == 1 && p.isOperator(pieces, i):
		default:
			last := len(path) - 1
			if p.ofOther(path[:last]) {
				p.foreign++
				break
			}
			p.failed = p.failed || !p.qualifies(path[:last])
			add(part, path[last])
			if last == 0 {
				add(&p.bare, path[0])
			}
			if p.namesRow(path) {
				add(part, wholeRow)
			}
		}
		i = next
	}
}

// isCast reports whether pieces[i] ends PostgreSQL's "::", which may come as two marks.
func (p *parser) isCast(pieces []piece, i int) bool {
	return p.dialect == postgres && (pieces[i].mark("::") || pieces[i].mark(":") && i > 0 && pieces[i-1].mark(":"))
}

// isOperator reports whether a word that may be a column is part of the syntax, by what is around
// it. What it does not know is a column.
func (p *parser) isOperator(pieces []piece, i int) bool {
	switch t := pieces[i]; {
	case t.is("end"):
		return p.cases
	case t.is("by"):
		return i > 0 && pieces[i-1].is("order")
	case t.in(infixes[p.dialect]):
		left := i - 1
		if left > 0 && pieces[left].is("not") {
			left--
		}
		return p.operandEnds(pieces, left) && i+1 < len(pieces) && (p.isName(pieces[i+1]) || isOperand(pieces[i+1]))
	}
	return false
}

func isOperand(t piece) bool {
	return t.kind == quotedID || t.kind == text || t.kind == number || t.kind == param || t.isGroup()
}

// operandEnds reports whether an operand is certain to end at pieces[i]. Behind a name it does not:
// in MySQL's `binary a` the first is an operator. Nor does it at a word that may be an operator
// itself, as in SQLite's `a NOT like desc` and `a ISNULL like desc`, where desc is the operand.
func (p *parser) operandEnds(pieces []piece, i int) bool {
	if i < 0 {
		return false
	}
	switch t := pieces[i]; {
	case isOperand(t), t.is("null"), t.is("true"), t.is("false"):
		return true
	case !p.isName(t):
		return false
	case i == 0, pieces[i-1].mark("."), t.is("end") && p.cases:
		return true
	case t.is("by"), t.in(infixes[p.dialect]):
		return false
	}
	before := pieces[i-1]
	return before.kind == mark && !before.isGroup() || p.isSyntax(before) || p.isOperator(pieces, i-1)
}
