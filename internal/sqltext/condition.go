package sqltext

import (
	"slices"
	"strconv"
	"strings"
)

// piece is a token, or a group: a "(" or "[" with all that it encloses. So a loop over pieces stays
// on one level.
type piece struct {
	token
	param  int // the ordinal of a bind value, from 1
	inside []piece
}

func (t piece) isGroup() bool { return t.mark("(") || t.mark("[") }

// isStar reports whether the piece is the (*) of count(*).
func (t piece) isStar() bool { return t.mark("(") && len(t.inside) == 1 && t.inside[0].mark("*") }

func (t piece) name() Name { return Name{Text: t.text, Quoted: t.kind != word} }

// same reports whether two names may be one: servers fold the case of some.
func (n Name) same(other Name) bool { return strings.EqualFold(n.Text, other.Text) }

func add(part *[]Name, names ...Name) {
	for _, n := range names {
		if !slices.Contains(*part, n) {
			*part = append(*part, n)
		}
	}
}

// Deeper statements are not worth their stack.
const maxDepth = 100

// nest groups tokens and numbers the bind values. ok is false if there is a token that has several
// meanings.
func nest(dialect string, tokens []token) (pieces []piece, ok bool) {
	type open struct {
		before []piece
		group  token
	}
	var outer []open
	params := 0
	for i, t := range tokens {
		piece := piece{token: t}
		switch t.kind {
		case word:
			// PostgreSQL before 15 reads `1OR b` as 1 OR b.
			if first := t.text[0]; '0' <= first && first <= '9' || first == '$' && dialect != mysql {
				return nil, false
			}
		case number:
			if strings.Trim(t.text, "0123456789.") != "" || strings.Count(t.text, ".") > 1 {
				return nil, false // 1e5 may be a name to MySQL
			}
		case param:
			params++
			piece.param = params
			if dialect == postgres {
				// A "?" is an operator there.
				n, err := strconv.ParseUint(strings.TrimPrefix(t.text, "$"), 10, 16)
				if err != nil || n == 0 {
					return nil, false
				}
				piece.param = int(n)
			} else if t.text != "?" {
				return nil, false
			}
			if i+1 < len(tokens) && tokens[i+1].kind == number {
				return nil, false // ?1 of SQLite
			}
		case variable:
			return nil, false
		case mark:
			switch t.text {
			case "(", "[":
				if outer = append(outer, open{pieces, t}); len(outer) > maxDepth {
					return nil, false
				}
				pieces = nil
				continue
			case ")", "]":
				last := len(outer) - 1
				if last < 0 || (outer[last].group.text == "(") != (t.text == ")") {
					return nil, false
				}
				piece.token, piece.inside = outer[last].group, pieces
				pieces, outer = outer[last].before, outer[:last]
			}
		}
		pieces = append(pieces, piece)
	}
	return pieces, len(outer) == 0
}

// split cuts a list at its commas.
func split(list []piece) [][]piece {
	var items [][]piece
	start := 0
	for i, t := range list {
		if t.mark(",") {
			items = append(items, list[start:i])
			start = i + 1
		}
	}
	return append(items, list[start:])
}

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
