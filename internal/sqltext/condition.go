package sqltext

import "strings"

// where takes the condition of WHERE.
func (p *parser) where() (condition []piece) {
	condition = p.part()
	p.names(condition, &p.shape.Filter)
	p.condition(condition)
	return condition
}

// condition adds the pins of a condition that has to be true.
func (p *parser) condition(pieces []piece) {
	if len(pieces) == 1 && pieces[0].mark("(") {
		p.condition(pieces[0].inside)
		return
	}
	switch terms := conjuncts(pieces); len(terms) {
	case 0:
	case 1:
		p.pin(terms[0])
	default:
		for _, term := range terms {
			p.condition(term)
		}
	}
}

// conjuncts cuts a condition at the ANDs of its own level, or returns none if it may be something
// else than a conjunction.
//
// Only OR, XOR, MySQL's || and an assignment bind less than AND, in every dialect; a level that has
// one of these gives nothing. Everything else that stands beside an AND binds tighter (NOT a AND b
// is (NOT a) AND b; a = 1 AND b IS NULL COLLATE x is a = 1 AND (...)), so it belongs to the term on
// one side of the AND, where it keeps that term from being one that pin knows. An AND of a level is
// not its conjunction
//   - in BETWEEN x AND y: each BETWEEN takes one AND that follows it, also when one is inside the
//     other;
//   - in CASE WHEN a AND b THEN c END, which is no group;
//   - in a window's ROWS BETWEEN x AND y, which is inside of parentheses (and not simple).
//
// Where BETWEEN is a column (PostgreSQL), terms that should be two stay one, and give less. A level
// with commas is a row.
func conjuncts(pieces []piece) [][]piece {
	var terms [][]piece
	start, between := 0, 0
	for i, t := range pieces {
		switch {
		case t.is("or"), t.is("xor"), t.mark("|"), t.is("case"), t.mark(","):
			return nil
		case t.is("between"):
			between++
		case t.is("and") && between > 0:
			between--
		case t.is("and"):
			terms = append(terms, pieces[start:i])
			start = i + 1
		}
	}
	return append(terms, pieces[start:])
}

// pin adds the pin of a term that is exactly `a = value`, `a IN (value, ...)`, `a IS NULL`, `(a, b)
// = (value, value)` or `(a, b) IN ((value, value), ...)`: whatever stands before or behind would
// make it something else.
func (p *parser) pin(term []piece) {
	columns, n := p.pinned(term)
	if n == 0 {
		return
	}
	var lists [][]piece // of values
	switch rest := term[n:]; {
	case len(rest) == 2 && rest[0].mark("="):
		lists = [][]piece{rest[1:]}
	case len(rest) == 3 && rest[0].mark("=") && rest[1].mark("=") && p.dialect == sqlite:
		lists = [][]piece{rest[2:]}
	case len(rest) == 2 && rest[0].is("in") && rest[1].mark("("):
		lists = split(rest[1].inside)
	case len(rest) == 2 && rest[0].is("is") && rest[1].is("null"):
		// MySQL's IS NULL finds '0000-00-00' in a date column that is NOT NULL, too.
		if len(columns) == 1 && p.dialect != mysql {
			p.shape.Pins = append(p.shape.Pins, Pin{columns, [][]Operand{{{Kind: Null}}}})
		}
		return
	default:
		return
	}
	pin := Pin{Columns: columns}
	for _, list := range lists {
		values := [][]piece{list}
		if len(columns) > 1 {
			if len(list) != 1 || !list[0].mark("(") {
				return
			}
			values = split(list[0].inside)
		}
		if len(values) != len(columns) {
			return
		}
		row, null := []Operand{}, false
		for _, value := range values {
			o := p.operand(value)
			if o.Kind == Unknown {
				return
			}
			null = null || o.Kind == Null
			row = append(row, o)
		}
		if !null { // nothing equals NULL
			pin.Values = append(pin.Values, row)
		}
	}
	if len(pin.Values) > 0 {
		p.shape.Pins = append(p.shape.Pins, pin)
	}
}

// pinned reads the columns that a term starts with: a column, or two and more in parentheses.
func (p *parser) pinned(term []piece) (columns []Name, n int) {
	if len(term) == 0 {
		return nil, 0
	}
	items, tuple := [][]piece{term}, term[0].mark("(")
	if tuple {
		items = split(term[0].inside)
		if len(items) < 2 {
			return nil, 0
		}
	}
	for _, item := range items {
		var path []Name
		path, n = p.path(item)
		if n == 0 || tuple && n != len(item) || n == 1 && p.isConstant(item[0]) {
			return nil, 0
		}
		if len(p.others) > 0 && (n == 1 || p.ofOther(path[:len(path)-1])) {
			return nil, 0 // it may be a column of another table, or is one
		}
		columns = append(columns, path[len(path)-1])
	}
	if tuple {
		n = 1
	}
	return columns, n
}

// isConstant reports whether a name without quotes may be a value instead of a column.
func (p *parser) isConstant(t piece) bool {
	return t.in(volatileWords) || t.is("true") || t.is("false") || t.is("user") && userIsKeyword(p.dialect)
}

// operand reads an expression that is a bind value or a literal.
func (p *parser) operand(pieces []piece) Operand {
	if len(pieces) != 1 {
		return Operand{}
	}
	switch t := pieces[0]; {
	case t.param > 0:
		return Operand{Kind: Bind, Param: t.param}
	case t.kind == number:
		return Operand{Kind: Number, Text: t.text}
	case t.kind == text && (p.dialect == sqlite || strings.IndexByte(t.text, '\\') < 0):
		// A server setting decides what a backslash means.
		return Operand{Kind: Text, Text: t.text}
	case t.is("null"):
		return Operand{Kind: Null}
	case p.dialect == sqlite: // where TRUE may be a column
	case t.is("true"):
		return Operand{Kind: True}
	case t.is("false"):
		return Operand{Kind: False}
	}
	return Operand{}
}
