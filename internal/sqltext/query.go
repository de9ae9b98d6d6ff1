package sqltext

import (
	"cmp"
	"slices"
	"strings"
)

// Query is what a query reads.
type Query struct {
	// Tables are the names in table position, also in subqueries and the bodies
	// of common table expressions: the last component of each, folded, sorted,
	// unique. The name of a common table expression is among them if it is read.
	Tables []string
	// References are the names in table position as they are written, sorted,
	// unique.
	References []Reference
	// Names is every identifier (columns, aliases, tables, schemas; quoted ones
	// too), folded, sorted, unique.
	Names []string
	// From is the last component, folded, of the first table of the outermost
	// FROM, or of the first subquery there; "" if there is none.
	From string
	// Volatile is the function or keyword that makes the answer change by
	// itself, or "".
	Volatile string
	// Clock says that the answer changes with the current time, and by nothing
	// else.
	Clock bool
	// Unknown is a function that is not known to be free of side effects, or "";
	// "?" if the text cannot be understood.
	Unknown string
	// Functions are all that Unknown could be.
	Functions []string
	// Attributes are the names behind a dot that are functions unless they are columns.
	Attributes []Attribute
	// Reads: the text is one plain read, SELECT, WITH ... SELECT or VALUES, that
	// writes and locks nothing.
	Reads bool
}

// Reference is a name in table position as it is written.
type Reference struct {
	Name   string // without quotes; the components of a qualified name joined by dots
	Quoted bool   // a component is quoted, so that servers do not fold its case
}

// Analyze says what a query reads. dialect is as in Classify.
func Analyze(dialect, sql string) Query {
	q := Query{Reads: true}
	tables, names := tableSet{nameSet{}, map[Reference]struct{}{}, nil}, nameSet{}
	if foreign(sql) {
		q.unknown("?")
		q.Reads = false
	}
	changes, timed := false, true
	for i, r := range readings(dialect, sql) {
		tokens, doubt := r.tokens(sql)
		if i == 0 {
			q.From = firstTable(dialect, tokens)
		}
		names.addAll(tokens)
		tables.addAll(dialect, tokens)
		q.Reads = q.Reads && plainRead(dialect, tokens)
		if doubt && r.spare {
			continue // no server runs this reading
		}
		if doubt {
			q.unknown("?")
			q.Reads = false
		}
		for _, v := range volatiles(dialect, tokens) {
			q.Volatile = cmp.Or(q.Volatile, v.name)
			changes, timed = true, timed && v.clock
		}
		q.Attributes = append(q.Attributes, attributes(dialect, tokens)...)
		for _, name := range unknowns(dialect, tokens) {
			q.unknown(name)
		}
	}
	q.Clock = changes && timed
	q.Tables, q.References, q.Names = tables.names.sorted(), tables.sorted(), names.sorted()
	return q
}

func (q *Query) unknown(name string) {
	if q.Unknown = cmp.Or(q.Unknown, name); !slices.Contains(q.Functions, name) {
		q.Functions = append(q.Functions, name)
	}
}

// firstTable returns the table of Query.From.
func firstTable(dialect string, tokens []token) string {
	places := map[int]place{} // by the first token
	tableSet{names: nameSet{}, references: map[Reference]struct{}{}, places: places}.addAll(dialect, tokens)
	base, depth := 0, 0
	for base < len(tokens) && tokens[base].mark("(") {
		base++
	}
	from := -1
	for i := base; i < len(tokens) && from < 0; i++ {
		switch t := tokens[i]; {
		case t.mark("("):
			depth++
		case t.mark(")"):
			depth--
		case depth == 0 && t.is("from") && !comparesDistinct(tokens, i) && (i == 0 || !tokens[i-1].mark(".")):
			from = i
		}
	}
	if from < 0 {
		return ""
	}
	for i := from + 1; i < len(tokens); i++ {
		if p, ok := places[i]; ok {
			return p.name
		}
	}
	return ""
}

// plainRead reports whether the tokens are one read that neither writes nor
// locks.
func plainRead(dialect string, tokens []token) bool {
	all := statements(tokens)
	if len(all) != 1 {
		return false
	}
	tokens = all[0]
	for len(tokens) > 0 && tokens[0].mark("(") {
		tokens = tokens[1:]
	}
	if len(tokens) == 0 || !tokens[0].is("select") && !tokens[0].is("with") && !tokens[0].is("values") {
		return false
	}
	if commands(dialect, tokens) != Read || runsMore(dialect, tokens) {
		return false
	}
	for i, t := range tokens {
		switch {
		case locks(tokens, i),
			t.is("lock") && i+1 < len(tokens) && tokens[i+1].is("in"),
			// Rows read through such a hint may be locked, or never committed.
			t.in(tableHints) && dialect != sqlite && dialect != mysql && dialect != postgres:
			return false
		}
	}
	return true
}

var tableHints = words(`nolock readuncommitted readcommitted readcommittedlock readpast repeatableread
	serializable snapshot holdlock updlock xlock rowlock paglock tablock tablockx`)

func findUnknown(dialect string, tokens []token) string {
	for _, name := range unknowns(dialect, tokens) {
		return name
	}
	return ""
}

// unknowns returns the functions and operators that are not known to be free of side effects.
func unknowns(dialect string, tokens []token) (names []string) {
	for _, c := range calls(tokens) {
		if effectOf(dialect, c.name) == unknown {
			names = append(names, c.name)
		}
	}
	if o := unknownOperator(dialect, tokens); o != "" {
		names = append(names, o)
	}
	for _, t := range tokens {
		if t.mark("{") || t.mark("}") { // {fn ...} and {oj ...} of ODBC
			names = append(names, t.text)
		}
	}
	return names
}

// change is something that makes an answer change by itself.
type change struct {
	name  string
	clock bool // it is the current time
}

// volatiles returns what makes the answer change by itself.
func volatiles(dialect string, tokens []token) (all []change) {
	for i, t := range tokens {
		switch t.kind {
		case variable:
			all = append(all, change{t.text, false})
		case text:
			moves := MovingTime(t.text) || splitTime(dialect, tokens, i)
			if hidden := t.escaped && dialect != mysql && hasCodeEscape(t.text); moves || hidden {
				all = append(all, change{t.text, !hidden})
			}
		case word:
			if i > 0 && tokens[i-1].mark(".") && t.low != "nextval" && t.low != "currval" ||
				i+1 < len(tokens) && tokens[i+1].mark(".") {
				continue
			}
			switch {
			case volatileWords.has(t.low):
				all = append(all, change{t.low, clockWords.has(t.low)})
			case t.low == "user" && userIsKeyword(dialect):
				all = append(all, change{t.low, false})
			case isPhrase(tokens, i):
				all = append(all, change{t.low, t.is("current") && clockWords.has("current_"+tokens[i+1].low)})
			}
		}
	}
	for _, c := range calls(tokens) {
		switch {
		case movesWith(tokens, c):
			all = append(all, change{c.name, true})
		case effectOf(dialect, c.name) == volatile:
			all = append(all, change{c.name, clockFunctions.has(c.name)})
		}
	}
	return all
}

// userIsKeyword: where USER alone is a function, it is reserved as well, so it
// cannot be a column without quotes.
func userIsKeyword(dialect string) bool { return dialect != sqlite && dialect != mysql }

// isPhrase reports whether a volatile expression of several words starts at
// tokens[i]: NEXT VALUE FOR, CURRENT TIMESTAMP and the like.
func isPhrase(tokens []token, i int) bool {
	if i+1 >= len(tokens) {
		return false
	}
	t, next := tokens[i], tokens[i+1]
	switch t.low {
	case "next", "previous":
		return next.is("value")
	case "current":
		return next.in(afterCurrent)
	}
	return false
}

var afterCurrent = words(`date time timestamp timezone user schema server path`)

// hasCodeEscape reports whether a literal spells characters by their number, in
// which case its value is not known here.
func hasCodeEscape(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '\\' {
			i++
			if strings.IndexByte("01234567xuU", s[i]) >= 0 {
				return true
			}
		}
	}
	return false
}

// longestPieces bounds the literals in pieces that are looked at whole.
const longestPieces = 4 << 10

// splitTime reports whether the literal that ends at tokens[i] is written in
// pieces, which servers join, and makes a moving time.
func splitTime(dialect string, tokens []token, i int) bool {
	if dialect == sqlite || i == 0 || tokens[i-1].kind != text {
		return false
	}
	joined := tokens[i].text
	for i--; i >= 0 && tokens[i].kind == text && len(joined) <= longestPieces; i-- {
		joined = tokens[i].text + joined
		if MovingTime(joined) {
			return true
		}
	}
	return false
}

// movesWith reports whether the call is of a function of time that answers with
// the current time: it has no time to work on, or one that is not in the text.
func movesWith(tokens []token, c call) bool {
	if !timeFunctions.has(c.name) {
		return false
	}
	if c.end <= c.open+1 {
		return true
	}
	depth, commas := 0, 0
	for _, t := range tokens[c.open+1 : min(c.end, len(tokens))] {
		switch {
		case t.kind == param, t.kind == variable, t.kind == quotedID && MovingTime(t.text): // SQLite takes a name that is none for a text
			return true
		case t.mark("("):
			depth++
		case t.mark(")"):
			depth--
		case t.mark(",") && depth == 0:
			commas++
		}
	}
	// strftime takes a format first.
	return c.name == "strftime" && commas == 0
}
