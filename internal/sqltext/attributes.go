package sqltext

import (
	"slices"
	"strings"
)

// Attribute is a name behind a dot: a column, or in PostgreSQL, where t.f and (t).f call f(t), a
// function.
type Attribute struct {
	Name string // folded
	// Tables are the names of the tables that the qualifier may stand for, folded and sorted. There
	// are none where it is the row of a subquery, or an expression.
	Tables []string
}

// place is where the name of a table stands in the tokens.
type place struct {
	last int
	name string
}

// attributes lists the names behind a dot that could be functions.
func attributes(dialect string, tokens []token) (found []Attribute) {
	if dialect != postgres || !slices.ContainsFunc(tokens, func(t token) bool { return t.mark(".") }) {
		return nil
	}
	places := map[int]place{} // by the first token
	tableSet{names: nameSet{}, references: map[Reference]struct{}{}, places: places}.addAll(dialect, tokens)
	tables := map[string][]string{} // by what they are called
	call := func(name, table string) {
		if !slices.Contains(tables[name], table) {
			tables[name] = append(tables[name], table)
			slices.Sort(tables[name])
		}
	}
	for _, p := range places {
		call(p.name, p.name)
		next := p.last + 1
		if next < len(tokens) && tokens[next].is("as") {
			next++
		}
		if next < len(tokens) && tokens[next].isName() {
			call(Fold(tokens[next].text), p.name)
		}
	}
	made := madeInside(tokens)
	seen := map[string]bool{}
	for i := 0; i < len(tokens); i++ {
		if p, ok := places[i]; ok {
			i = p.last
			continue
		}
		if i == 0 || !tokens[i-1].mark(".") || !tokens[i].isName() || followed(tokens, i, "(") || followed(tokens, i, ".") {
			continue
		}
		first := i
		for first >= 2 && tokens[first-1].mark(".") && tokens[first-2].isName() {
			first -= 2
		}
		if first > 0 && (tokens[first-1].mark("::") || tokens[first-1].is("collate") || tokens[first-1].is("as")) {
			continue // a type or a collation
		}
		a := Attribute{Name: Fold(tokens[i].text)}
		if first < i {
			a.Tables = tables[Fold(tokens[i-2].text)]
		}
		if systemColumns.has(a.Name) || len(a.Tables) == 0 && made.has(a.Name) {
			continue
		}
		if key := a.Name + "\x00" + strings.Join(a.Tables, "\x00"); !seen[key] {
			seen[key] = true
			found = append(found, a)
		}
	}
	return found
}

// Undeclared returns the attributes that are not the names of pure functions.
func Undeclared(attributes []Attribute, pure []string) []Attribute {
	if len(pure) == 0 {
		return attributes
	}
	return slices.DeleteFunc(attributes, func(a Attribute) bool { return slices.Contains(pure, a.Name) })
}

func followed(tokens []token, i int, by string) bool {
	return i+1 < len(tokens) && tokens[i+1].mark(by)
}

// madeInside are the names that stand alone between parentheses, where subqueries name their
// columns. The alias of a column of the same name is none: it may be a function there.
func madeInside(tokens []token) wordSet {
	made, depth := wordSet{}, 0
	for i, t := range tokens {
		switch {
		case t.mark("("):
			depth++
		case t.mark(")"):
			depth--
		case depth == 0, !t.isName(), i > 0 && tokens[i-1].mark("."), followed(tokens, i, "."), followed(tokens, i, "("):
		case i > 2 && tokens[i-1].is("as") && tokens[i-3].mark(".") && Fold(tokens[i-2].text) == Fold(t.text):
		default:
			made[Fold(t.text)] = struct{}{}
		}
	}
	return made
}

var systemColumns = words(`ctid xmin xmax cmin cmax tableoid`)
