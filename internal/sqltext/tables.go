package sqltext

import (
	"maps"
	"slices"
	"strings"
)

// level is what is known between two parentheses.
type level struct {
	list   bool   // in a FROM list, where a comma leads to the next table
	expect bool   // the next name is a table
	query  bool   // there was a SELECT
	call   string // the name before the "("
}

// fromIsSyntax are the functions whose arguments are separated by FROM.
var fromIsSyntax = words(`extract substring trim overlay`)

// endsList are the words that end a FROM list. Words that a dialect allows as an
// alias are not among them: a list that ends early would hide a table.
var endsList = words(`where group having order union`)

// tableSet holds the names in table position, folded and as written.
type tableSet struct {
	names      nameSet
	references map[Reference]struct{}
	places     map[int]place // by the first token of the name; may be nil
}

func (s tableSet) sorted() []Reference {
	return slices.SortedFunc(maps.Keys(s.references), func(a, b Reference) int {
		if a.Name == b.Name && a.Quoted != b.Quoted && b.Quoted {
			return -1
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// addAll adds the names in table position.
func (s tableSet) addAll(dialect string, tokens []token) {
	levels := []level{{}}
	for i := 0; i < len(tokens); i++ {
		t, l := tokens[i], &levels[len(levels)-1]
		at := func(n int) token {
			if i+n < 0 || i+n >= len(tokens) {
				return token{kind: mark}
			}
			return tokens[i+n]
		}
		switch {
		case t.mark("("):
			inner := level{list: l.expect, expect: l.expect}
			if before := at(-1); before.isName() && !l.expect {
				inner.call = Fold(before.text)
			}
			l.expect = false
			levels = append(levels, inner)
			continue
		case t.mark(")"):
			if len(levels) > 1 {
				levels = levels[:len(levels)-1]
			}
			continue
		case t.mark(","):
			l.expect = l.list
			continue
		case t.mark(";"):
			levels = []level{{}}
			continue
		case l.expect:
			switch {
			case t.is("select"), t.is("with"), t.is("values") && at(1).mark("("), t.is("values") && at(1).is("row"):
				*l = level{query: true, call: l.call}
			case t.is("table"),
				t.is("lateral") && dialect != sqlite && dialect != sqlserver,
				t.is("rows") && at(1).is("from"):
			case t.is("only") && (dialect == postgres || at(1).mark("(")):
			case t.is("from"):
			default:
				i = s.add(tokens, i)
				l.expect = false
			}
			continue
		case t.kind != word || at(-1).mark("."):
			continue
		}
		switch t.low {
		case "select":
			l.list, l.query = false, true
		case "from":
			if !comparesDistinct(tokens, i) && (l.query || !fromIsSyntax.has(l.call)) {
				l.list, l.expect = true, true
			}
		case "join", "straight_join":
			indexHint := dialect == mysql && at(-1).is("for") // USE INDEX FOR JOIN (i)
			l.list, l.expect = true, !indexHint
		case "apply":
			if at(-1).is("cross") || at(-1).is("outer") {
				l.list, l.expect = true, true
			}
		case "using":
			l.expect = !at(1).mark("(") && l.call == ""
		case "table", "into":
			l.expect = true
		case "update":
			l.expect = !at(-1).is("for") && !at(-1).is("key")
		case "in":
			// SQLite reads a table in `x IN users`.
			l.expect = !at(-1).is("lock") && !at(1).mark("(") && at(1).isName() &&
				l.call != "position" && l.call != "against"
		case "limit":
			l.list = l.list && dialect == sqlserver
		case "window":
			l.list = l.list && !at(2).is("as")
		default:
			l.list = l.list && !endsList.has(t.low)
		}
	}
}

// comparesDistinct reports whether the FROM at tokens[i] is that of IS [NOT] DISTINCT FROM.
func comparesDistinct(tokens []token, i int) bool {
	return i > 1 && tokens[i-1].is("distinct") && (tokens[i-2].is("is") || tokens[i-2].is("not"))
}

// add adds the table whose name starts at tokens[i] and returns the
// position of the last token of the name.
func (s tableSet) add(tokens []token, i int) int {
	first, last := i, i
	for i+1 < len(tokens) && tokens[i+1].mark(".") {
		for i+1 < len(tokens) && tokens[i+1].mark(".") {
			i++
		}
		if i+1 < len(tokens) && tokens[i+1].kind != mark {
			i++
			last = i
		}
	}
	t := tokens[last]
	switch {
	case t.kind == mark, t.kind == number && !strings.ContainsAny(t.text, "eExX"):
		return i
	case t.kind == word && last+1 < len(tokens) && tokens[last+1].mark("(") && tableFunctions.has(t.low):
		return i
	}
	s.names[strings.ToLower(t.text)] = struct{}{}
	ref := Reference{}
	for _, part := range tokens[first : last+1] {
		ref.Name += part.text
		ref.Quoted = ref.Quoted || part.kind == quotedID || part.kind == text
	}
	s.references[ref] = struct{}{}
	if s.places != nil {
		s.places[first] = place{last, Fold(t.text)}
	}
	return i
}
