package sqltext

import "strings"

// Within is a set of what a statement does to the transaction that it runs in, or to those that
// begin after it, besides what it changes in tables.
type Within uint8

const (
	// Locks: it takes a lock that the application may put itself in line by: FOR UPDATE, FOR SHARE,
	// LOCK IN SHARE MODE, LOCK TABLE, an advisory lock.
	Locks Within = 1 << iota
	// Sets: it may change a setting for the rest of the transaction.
	Sets
	// Isolates: it may change what the transaction sees of others.
	Isolates
	// SeesCommits, with Isolates: each statement after it sees what is committed by then.
	SeesCommits
	// IsolatesOthers: it may change what transactions see that begin after it.
	IsolatesOthers
)

// within says what the statements of a text do to their transaction.
func within(dialect string, tokens []token, kind Kind) (does Within) {
	for i, t := range tokens {
		if locks(tokens, i) || t.is("lock") && (i == 0 || tokens[i-1].mark(";") || i+1 < len(tokens) && tokens[i+1].is("in")) {
			does |= Locks
		}
	}
	sets := false
	for _, c := range calls(tokens) {
		switch {
		case strings.HasPrefix(c.name, "pg_advisory_"), strings.HasPrefix(c.name, "pg_try_advisory_"), c.name == "get_lock":
			does |= Locks
		case c.name == "set_config":
			does |= Sets
			sets = true
			if c.open+1 >= len(tokens) || tokens[c.open+1].kind != text || tokens[c.open+1].escaped {
				does |= Isolates | IsolatesOthers // which setting is not in the text
			}
		}
	}
	for _, one := range statements(tokens) {
		does |= withinOne(dialect, one, sets || kind == Everything)
	}
	return does
}

// withinOne is within for the settings of one statement. any says that it may set something though
// it does not begin with SET.
func withinOne(dialect string, tokens []token, any bool) (does Within) {
	set := tokens[0].is("set")
	if set && !(len(tokens) > 1 && tokens[1].is("transaction")) {
		rest := tokens[1:]
		for len(rest) > 0 && (rest[0].is("local") || rest[0].is("session")) {
			rest = rest[1:]
		}
		if len(rest) == 0 || !rest[0].in(setTunes) {
			does |= Sets
		}
	}
	if tokens[0].is("reset") || tokens[0].is("discard") {
		does |= Sets
	}
	if !set && !any {
		return does
	}
	isolation := false
	for _, t := range tokens {
		isolation = isolation || t.kind != number && t.kind != mark && strings.Contains(strings.ToLower(t.text), "isolation")
	}
	switch {
	case !isolation:
	case dialect == postgres && set && tokens[1].is("transaction"):
		does |= Isolates
		if seesCommits(tokens[2:]) {
			does |= SeesCommits
		}
	case dialect == postgres && set && tokens[1].is("local"):
		does |= Isolates
	default:
		does |= Isolates | IsolatesOthers
	}
	return does
}

// seesCommits reports whether what follows SET TRANSACTION is ISOLATION LEVEL READ COMMITTED, as
// which PostgreSQL takes READ UNCOMMITTED, too.
func seesCommits(tokens []token) bool {
	return len(tokens) == 4 && tokens[0].is("isolation") && tokens[1].is("level") && tokens[2].is("read") &&
		(tokens[3].is("committed") || tokens[3].is("uncommitted"))
}
