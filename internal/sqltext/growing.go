package sqltext

import (
	"maps"
	"slices"
)

// Falling is a bind value with which a condition only loses rows as the value grows: it stands in
// `column > ?` or `column >= ?`, nowhere else in the statement, and under nothing but AND and OR.
type Falling struct {
	Column Name
	Param  int  // the ordinal of the bind value, from 1
	Equal  bool // it is `>=`
}

// Rising is a bind value with which a condition only gains rows as the value grows: it stands in
// `column < ?` or `column <= ?`, and otherwise as a Falling does.
type Rising struct {
	Column Name
	Param  int  // the ordinal of the bind value, from 1
	Equal  bool // it is `<=`
}

// moving finds the bind values of a condition with which it only loses rows, or only gains some.
// params are those of the whole statement, with how often each is there.
func (p *parser) moving(condition []piece, params map[int]int) {
	for _, param := range slices.Sorted(maps.Keys(params)) {
		if params[param] != 1 {
			continue
		}
		switch column, sign := p.compared(condition, param); sign {
		case ">", ">=":
			p.shape.Falling = append(p.shape.Falling, Falling{column, param, sign == ">="})
		case "<", "<=":
			p.shape.Rising = append(p.shape.Rising, Rising{column, param, sign == "<="})
		}
	}
}

// compared returns the column that a bind value is compared with, and by what sign, where that
// alone decides what becomes of a condition as the value grows: it can only become less true with
// `>` and `>=`, and more true with `<` and `<=`. The sign is "" elsewhere.
func (p *parser) compared(pieces []piece, param int) (column Name, sign string) {
	if len(pieces) == 1 && pieces[0].mark("(") {
		return p.compared(pieces[0].inside, param)
	}
	var or, and bool
	for _, t := range pieces {
		switch {
		case t.is("xor"), t.is("between"), t.is("case"), t.mark("|"), t.mark(","), t.mark(":"), t.mark("&"):
			return Name{}, "" // of which it is not certain what binds more than what
		case t.is("or"):
			or = true
		case t.is("and"):
			and = true
		}
	}
	if word := map[bool]string{true: "or", false: "and"}[or]; or || and {
		start := 0
		for i := 0; i <= len(pieces); i++ {
			if i < len(pieces) && !pieces[i].is(word) {
				continue
			}
			if part := pieces[start:i]; has(part, param) {
				return p.compared(part, param)
			}
			start = i + 1
		}
		return Name{}, ""
	}
	path, n := p.path(pieces)
	rest := pieces[n:]
	if n == 0 || n == 1 && p.isConstant(pieces[0]) || len(rest) < 2 || !rest[0].mark(">") && !rest[0].mark("<") || !p.qualifies(path[:len(path)-1]) {
		return Name{}, ""
	}
	sign = rest[0].text
	if rest = rest[1:]; len(rest) == 2 && rest[0].mark("=") && rest[0].joined {
		sign, rest = sign+"=", rest[1:]
	}
	if len(rest) != 1 || rest[0].param != param {
		return Name{}, ""
	}
	return path[len(path)-1], sign
}

// has reports whether there is a bind value in pieces.
func has(pieces []piece, param int) bool {
	n := map[int]int{}
	counted(pieces, n)
	return n[param] > 0
}

// counted counts how often each bind value is in pieces.
func counted(pieces []piece, n map[int]int) {
	for _, t := range pieces {
		if t.param > 0 {
			n[t.param]++
		}
		counted(t.inside, n)
	}
}
