package sqltext

import (
	"slices"
	"strings"
)

// insideOnly reports whether a statement, in a transaction, changes no rows and leaves the
// transaction open, whether it succeeds or not. What is not listed here may commit, as much does in
// MySQL that does not elsewhere: LOCK TABLES, ANALYZE, a setting of autocommit.
func insideOnly(dialect string, tokens []token, pure []string) bool {
	if len(tokens) == 0 || tokens[0].kind != word || commands(dialect, tokens) != Read ||
		unknownOperator(dialect, tokens) != "" || len(Undeclared(attributes(dialect, tokens), pure)) > 0 {
		return false
	}
	for _, c := range calls(tokens) {
		if effectOf(dialect, c.name) == unknown && !slices.Contains(pure, c.name) && !(dialect == postgres && c.name == "set_config") {
			return false
		}
	}
	rest := tokens[1:]
	switch first := tokens[0].low; dialect {
	case postgres:
		return postgresInside.has(first)
	case mysql:
		return first == "do" || first == "set" && setsOne(rest)
	case sqlite:
		if len(rest) > 2 && rest[1].mark(".") {
			rest = rest[2:]
		}
		return first == "pragma" && len(rest) > 0 && rest[0].in(pragmaInside)
	}
	return false
}

// postgresInside begin statements that PostgreSQL undoes with the transaction, or that leave
// nothing behind. A SELECT is one whose functions are all known.
var postgresInside = words(`select set reset lock notify listen unlisten analyze`)

// pragmaInside are settings of SQLite that it takes, or ignores, in a transaction.
var pragmaInside = words(`analysis_limit automatic_index busy_timeout cache_size cache_spill
	defer_foreign_keys foreign_keys mmap_size recursive_triggers threads`)

// mysqlInside are settings of MySQL's that change what a write does, and nothing by themselves.
var mysqlInside = words(`foreign_key_checks unique_checks`)

// setsOne reports whether what follows SET of MySQL is one variable of the user, or one setting
// that has nothing to do with transactions.
func setsOne(rest []token) bool {
	for _, t := range rest {
		if t.mark(",") {
			return false
		}
	}
	if len(rest) > 1 && (rest[0].is("session") || rest[0].is("local")) {
		rest = rest[1:]
	}
	if len(rest) < 3 || !rest[1].mark("=") && !rest[1].mark(":") {
		return false
	}
	return rest[0].in(setTunes) || rest[0].in(mysqlInside) || rest[0].kind == variable && !strings.HasPrefix(rest[0].text, "@@")
}

// staysInside reports whether a statement, in a transaction, leaves that open, and makes nothing
// visible before its commit, whether it succeeds or not. Functions of the application's are among
// what it may call: neither PostgreSQL nor MySQL lets one end a transaction.
func staysInside(dialect string, tokens []token) bool {
	if len(tokens) == 0 || tokens[0].kind != word {
		return false
	}
	for i, t := range tokens {
		// Into what a file or a variable is, PL/pgSQL runs, and another session does.
		if t.is("call") || t.is("into") && !(i == 1 && (tokens[0].is("insert") || tokens[0].is("replace"))) ||
			t.kind == word && strings.HasPrefix(t.low, "dblink") {
			return false
		}
	}
	return staying[dialect].has(tokens[0].low)
}

// staying begin statements that staysInside is about. A TRUNCATE of MySQL commits.
var staying = map[string]wordSet{
	postgres: words(`select insert update delete truncate`),
	mysql:    words(`select insert update delete replace do`),
}

// scratchTable returns the name of the temporary table that a statement makes, and does no more; ""
// for another one. In no dialect does that end a transaction.
func scratchTable(dialect string, tokens []token) string {
	if dialect != postgres && dialect != mysql && dialect != sqlite || len(tokens) < 4 || !tokens[0].is("create") ||
		!tokens[1].is("temporary") && (!tokens[1].is("temp") || dialect == mysql) || !tokens[2].is("table") {
		return ""
	}
	rest := tokens[3:]
	if len(rest) > 3 && rest[0].is("if") && rest[1].is("not") && rest[2].is("exists") {
		rest = rest[3:]
	}
	// A definition in parentheses, of names, types and numbers: a query may do more.
	if len(rest) < 3 || !rest[0].isName() || !rest[1].mark("(") {
		return ""
	}
	for _, t := range rest[2:] {
		if t.is("select") || t.is("with") || t.is("execute") || t.is("references") {
			return ""
		}
	}
	return Fold(rest[0].text)
}
