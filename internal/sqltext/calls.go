package sqltext

// A call is a name that is directly followed by "(".
type call struct {
	name string // in lower case
	at   int    // of the name in the tokens
	open int    // of the "("
	end  int    // of the ")", or the number of tokens
}

// parens maps every "(" to its ")" and back; one without a partner maps to the
// number of tokens.
func parens(tokens []token) map[int]int {
	pairs := map[int]int{}
	var open []int
	for i, t := range tokens {
		switch {
		case t.mark("("):
			open = append(open, i)
			pairs[i] = len(tokens)
		case t.mark(")") && len(open) > 0:
			last := open[len(open)-1]
			open = open[:len(open)-1]
			pairs[last], pairs[i] = i, last
		}
	}
	return pairs
}

// calls lists the calls in the tokens.
func calls(tokens []token) []call {
	pairs := parens(tokens)
	var found []call
	for i := 0; i+1 < len(tokens); i++ {
		if !tokens[i+1].mark("(") || !tokens[i].isName() {
			continue
		}
		if name, ok := callName(tokens, pairs, i); ok {
			found = append(found, call{name: name, at: i, open: i + 1, end: pairs[i+1]})
		}
	}
	return found
}

// builtinSchemas hold the functions of the server itself.
var builtinSchemas = words(`pg_catalog sys`)

// callName reports whether the name at tokens[i], which a "(" follows, is that
// of a function, and which one: a function of a schema is not the built-in one
// of that name, so its name comes with the qualifier.
func callName(tokens []token, pairs map[int]int, i int) (string, bool) {
	t, first := tokens[i], i
	for first >= 2 && tokens[first-1].mark(".") && tokens[first-2].isName() {
		first -= 2
	}
	at := func(n int) token { // n tokens from the start of the name
		if first+n < 0 || first+n >= len(tokens) {
			return token{kind: mark}
		}
		return tokens[first+n]
	}
	before := at(-1)
	switch {
	case before.is("as"): // a type, an alias, or a list of its columns
		return "", false
	case before.in(beforeColumnList):
		return "", false
	case t.kind == text && (before.in(beforeLiteral) || t.text == ""):
		return "", false
	}
	if first == i {
		if t.in(neverCalls) || t.kind == word && inContext(t.low, before) {
			return "", false
		}
		if isCTE(tokens, pairs, i, before) {
			return "", false
		}
		if before.mark(")") && isDerived(tokens, pairs, i-1) {
			return "", false // the alias of a subquery, with its columns
		}
		return Fold(t.text), true
	}
	if q := tokens[i-2]; first == i-2 && builtinSchemas.has(Fold(q.text)) {
		return Fold(t.text), true
	}
	return Fold(tokens[i-2].text) + "." + Fold(t.text), true
}

// beforeColumnList are the words after which a name and "(" are a table and its
// columns.
var beforeColumnList = words(`into insert replace copy references ignore low_priority high_priority delayed table`)

// beforeLiteral are the words after which a literal and "(" have nothing to do
// with each other.
var beforeLiteral = words(`by like escape in and or when then else limit`)

// neverCalls are words that take parentheses and are not names of functions.
var neverCalls = words(`all and any apply as between by case check collate conflict constraint copy cross cube
	default distinct div do else end escape except exists filter for from full group having ilike in
	index inner intersect into is isnull join key lateral limit minus natural not notnull null offset
	on only or order outer over partition pivot primary qualify references regexp returning rlike
	rollup select set similar sounds some straight_join table then to top union unique unpivot update using
	when where window with within xor recursive nothing`)

// inContext reports whether a word that could also be the name of a function is
// part of the syntax, by the word before it.
func inContext(low string, before token) bool {
	switch low {
	case "conflict":
		return before.is("on")
	case "materialized":
		return before.is("as") || before.is("not")
	case "sets":
		return before.is("grouping")
	case "first", "next":
		return before.is("fetch")
	case "system", "bernoulli":
		return before.is("tablesample")
	case "output", "option", "columns", "lines":
		return before.kind != mark || before.mark(")")
	case "explain", "verbose":
		return true
	}
	return false
}

// isCTE reports whether the name at tokens[i] is that of a common table
// expression with a list of its columns: name (a, b) AS [[NOT] MATERIALIZED] (SELECT.
// PostgreSQL's FROM f(x) AS (a int) looks much the same and is a call.
func isCTE(tokens []token, pairs map[int]int, i int, before token) bool {
	if !before.is("with") && !before.is("recursive") && !before.mark(",") {
		return false
	}
	n := pairs[i+1] + 1
	next := func() token {
		if n >= len(tokens) {
			return token{kind: mark}
		}
		n++
		return tokens[n-1]
	}
	if !next().is("as") {
		return false
	}
	t := next()
	if t.is("not") {
		t = next()
	}
	if t.is("materialized") {
		t = next()
	}
	if !t.mark("(") {
		return false
	}
	t = next()
	for t.mark("(") {
		t = next()
	}
	return t.is("select") || t.is("with") || t.is("values") && next().mark("(")
}

// isDerived reports whether the ")" at tokens[end] closes a subquery in a table
// position.
func isDerived(tokens []token, pairs map[int]int, end int) bool {
	open, ok := pairs[end]
	if !ok || open < 1 || open+1 >= len(tokens) {
		return false
	}
	before, inside := tokens[open-1], tokens[open+1]
	return (before.mark(",") || before.is("from") || before.is("join") || before.is("lateral") || before.is("apply")) &&
		(inside.is("select") || inside.is("with") || inside.is("values"))
}
