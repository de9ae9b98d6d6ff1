package sqltext

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// longestPostgresName is where PostgreSQL cuts a name off.
const longestPostgresName = 63

// longestSavepoint is where SQL Server cuts the name of a savepoint off.
const longestSavepoint = 32

// cutOff returns what is left of a name that a server cuts off, between characters.
func cutOff(name string, longest int) string {
	if len(name) <= longest {
		return name
	}
	for longest > 0 && !utf8.RuneStart(name[longest]) {
		longest--
	}
	return name[:longest]
}

// savepointName is how savepoints are told apart: two names that are one to the server have to be
// one here, too.
func savepointName(dialect, name string) string {
	switch dialect {
	case sqlite, mysql:
	case postgres:
		name = cutOff(name, longestPostgresName)
	default:
		name = cutOff(name, longestSavepoint)
	}
	return strings.ToLower(name)
}

// Fold is how names are compared: without quotes (`x`, "x", [x]) and in lower
// case.
func Fold(name string) string {
	name = strings.TrimSpace(name)
	if n := len(name); n >= 2 {
		switch first, last := name[0], name[n-1]; {
		case (first == '`' || first == '"') && last == first:
			name = unquote(name[1:n-1], first)
		case first == '[' && last == ']':
			name = unquote(name[1:n-1], ']')
		}
	}
	return strings.ToLower(name)
}

func unquote(name string, quote byte) string {
	if strings.IndexByte(name, quote) < 0 {
		return name
	}
	q := string(quote)
	return strings.ReplaceAll(name, q+q, q)
}

// Identifiers lists every identifier in a fragment of a statement, such as
// "users AS u JOIN pets", as Query.Names does for a whole one.
func Identifiers(dialect, sql string) []string {
	names := nameSet{}
	for _, r := range readings(dialect, sql) {
		tokens, _ := r.tokens(sql)
		names.addAll(tokens)
	}
	return names.sorted()
}

type nameSet map[string]struct{}

func (s nameSet) sorted() []string { return slices.Sorted(maps.Keys(s)) }

// add adds a name that is without quotes.
func (s nameSet) add(name string) {
	// Servers differ on blanks at the ends of a quoted name; both count.
	for _, n := range [...]string{name, strings.TrimSpace(name)} {
		if n = strings.ToLower(n); n != "" {
			s[n] = struct{}{}
		}
	}
	if len(name) > longestPostgresName {
		s[strings.ToLower(cutOff(name, longestPostgresName))] = struct{}{}
	}
}

func (s nameSet) addAll(tokens []token) {
	for i, t := range tokens {
		switch t.kind {
		case word:
			if t.in(neverNames) && (i == 0 || !tokens[i-1].mark(".")) {
				continue
			}
			s.add(t.text)
			s.addParts(t.text, isSign)
			// 2024_users is a name to MySQL, a number and a name to others.
			s.add(strings.TrimLeft(t.text, "0123456789"))
		case quotedID, text:
			// A literal may be a name: SQLite takes 'users' for one, MySQL
			// "users" under ANSI_QUOTES.
			if t.kind == text && !nameLike(t.text) {
				continue
			}
			s.add(t.text)
			s.addParts(t.text, func(c rune) bool { return c == '.' })
			s.addParts(t.text, func(c rune) bool { return strings.ContainsRune(".`\"[]", c) })
		case number:
			if strings.ContainsAny(t.text, "eExX") { // 1e5 may be a name
				s.add(t.text)
			}
		case param, variable:
			s.add(t.text)
			s.addParts(t.text, isSign)
		}
	}
}

func (s nameSet) addParts(name string, separates func(rune) bool) {
	if strings.IndexFunc(name, separates) < 0 {
		return
	}
	for _, part := range strings.FieldsFunc(name, separates) {
		s.add(part)
	}
}

func isSign(c rune) bool { return strings.ContainsRune("$#@:?", c) }

// Longer literals are data: no server has names of this length.
const longestName = 256

// nameLike reports whether a literal could be a name: it is short and of one
// line. A name may hold blanks and signs, so anything more narrow would lose
// SQLite's 'my table'.
func nameLike(literal string) bool {
	return literal != "" && len(literal) <= longestName && strings.IndexByte(literal, '\n') < 0
}

// neverNames are reserved in every dialect that is known: without quotes and
// without a qualifier they are no names.
var neverNames = words(`all and as case check create default distinct else from group having in into
	not null on or order primary references select table then to union unique when where`)
