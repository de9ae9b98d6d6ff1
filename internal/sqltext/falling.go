package sqltext

import (
	"maps"
	"slices"
)

// Falling is a bind value with which a condition only loses rows as the value grows: it stands in
// `column > ?` or `column >= ?`, nowhere else in the statement, and under nothing but AND and OR.
type Falling struct {
	Column Name
	Param  int // the ordinal of the bind value, from 1
}

// falling finds the bind values of a condition with which it only loses rows. params are those of
// the whole statement, with how often each is there.
func (p *parser) falling(condition []piece, params map[int]int) {
	for _, param := range slices.Sorted(maps.Keys(params)) {
		if params[param] != 1 {
			continue
		}
		if column, ok := p.falls(condition, param); ok {
			p.shape.Falling = append(p.shape.Falling, Falling{column, param})
		}
	}
}

// falls reports whether a condition that holds a bind value can only become less true as the value
// grows, and the column that the value is compared with.
func (p *parser) falls(pieces []piece, param int) (column Name, ok bool) {
	if len(pieces) == 1 && pieces[0].mark("(") {
		return p.falls(pieces[0].inside, param)
	}
	var or, and bool
	for _, t := range pieces {
		switch {
		case t.is("xor"), t.is("between"), t.is("case"), t.mark("|"), t.mark(","), t.mark(":"), t.mark("&"):
			return Name{}, false // of which it is not certain what binds more than what
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
				return p.falls(part, param)
			}
			start = i + 1
		}
		return Name{}, false
	}
	path, n := p.path(pieces)
	rest := pieces[n:]
	if n == 0 || n == 1 && p.isConstant(pieces[0]) || len(rest) < 2 || !rest[0].mark(">") || !p.qualifies(path[:len(path)-1]) {
		return Name{}, false
	}
	if rest = rest[1:]; len(rest) == 2 && rest[0].mark("=") && rest[0].joined {
		rest = rest[1:]
	}
	return path[len(path)-1], len(rest) == 1 && rest[0].param == param
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
