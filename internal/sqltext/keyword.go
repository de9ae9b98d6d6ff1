package sqltext

import "slices"

func classifyOne(dialect string, tokens []token, broken bool, pure []string) Statement {
	for len(tokens) > 0 && tokens[0].mark("(") {
		tokens = tokens[1:]
	}
	if len(tokens) == 0 {
		return Statement{}
	}
	if tokens[0].is("pragma") && pragmaReads(tokens[1:]) {
		return Statement{}
	}
	s := byKeyword(dialect, tokens)
	if s.Kind > Write {
		return s
	}
	if !broken {
		for _, c := range calls(tokens) {
			if effectOf(dialect, c.name) == unknown && !slices.Contains(pure, c.name) {
				return Statement{Kind: Everything}
			}
		}
		if unknownOperator(dialect, tokens) != "" {
			return Statement{Kind: Everything}
		}
	}
	if !tokens[0].is("show") && runsMore(dialect, tokens[1:]) {
		return Statement{Kind: Everything}
	}
	return s
}

// pragmaReads reports whether what follows PRAGMA asks for a setting, or describes a part of the
// schema. Of those without a value only some do work, on the file and the planner's statistics:
// none changes rows.
func pragmaReads(tokens []token) bool {
	if len(tokens) > 2 && tokens[1].mark(".") {
		tokens = tokens[2:]
	}
	if len(tokens) == 0 || tokens[0].kind != word {
		return false
	}
	if len(tokens) == 1 {
		return true
	}
	switch tokens[0].low {
	case "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list":
		return tokens[1].mark("(")
	}
	return false
}

// byKeyword classifies one statement by its words.
func byKeyword(dialect string, tokens []token) Statement {
	everything := Statement{Kind: Everything}
	if tokens[0].kind != word {
		return everything
	}
	second := token{kind: mark}
	if len(tokens) > 1 {
		second = tokens[1]
	}
	switch first := tokens[0].low; first {
	case "select", "with", "values", "table", "show":
		return Statement{Kind: commands(dialect, tokens)}
	case "explain", "describe", "desc":
		return explain(dialect, tokens)
	case "insert", "update", "delete", "replace", "merge", "upsert":
		return Statement{Kind: max(Write, commands(dialect, tokens))}
	case "copy":
		for _, t := range tokens {
			if t.is("program") {
				return everything
			}
		}
		return Statement{Kind: Write}
	case "truncate":
		// Of PostgreSQL it deletes all rows, with CASCADE of tables that it does not name, too. Of
		// MySQL it commits.
		if names := truncated(tokens[1:]); dialect == postgres && names != nil {
			return Statement{Kind: Write, Truncated: names}
		}
	case "load":
		if second.is("data") || second.is("xml") {
			return Statement{Kind: Write}
		}
	case "import":
		// IMPORT TABLE and IMPORT FOREIGN SCHEMA do not name what they bring.
		if !second.is("table") && !second.is("foreign") {
			return Statement{Kind: Write}
		}
	case "set":
		// For the rest of a transaction, which the cache does not serve.
		if dialect == postgres && (second.is("local") || second.is("transaction")) {
			return Statement{}
		}
		return transaction(dialect, tokens)
	default:
		return transaction(dialect, tokens)
	}
	return everything
}

// truncated returns the tables that follow TRUNCATE; nil where it may empty others, too.
func truncated(rest []token) (names []string) {
	if len(rest) > 1 && rest[0].is("table") && !rest[1].mark(",") {
		rest = rest[1:]
	}
	for {
		if len(rest) > 1 && rest[0].is("only") && rest[1].isName() {
			rest = rest[1:]
		}
		for len(rest) > 2 && rest[0].isName() && rest[1].mark(".") {
			rest = rest[2:]
		}
		if len(rest) == 0 || !rest[0].isName() {
			return nil
		}
		names, rest = append(names, Fold(rest[0].text)), rest[1:]
		if len(rest) > 0 && rest[0].mark("*") {
			rest = rest[1:]
		}
		if len(rest) == 0 || !rest[0].mark(",") {
			break
		}
		rest = rest[1:]
	}
	if slices.ContainsFunc(rest, func(t token) bool { return t.kind != word || t.is("cascade") }) {
		return nil
	}
	return names
}

// commands looks for words that write, in a text that starts as a read.
func commands(dialect string, tokens []token) Kind {
	kind := Read
	for i, t := range tokens {
		if t.kind != word || i > 0 && tokens[i-1].mark(".") {
			continue
		}
		call := i+1 < len(tokens) && tokens[i+1].mark("(")
		switch t.low {
		case "call":
			return Everything
		case "update":
			if !locks(tokens, i) {
				kind = Write
			}
		case "insert":
			if !call || dialect != mysql { // MySQL has a function insert
				kind = Write
			}
		case "replace":
			if !call {
				kind = Write
			}
		case "delete", "merge", "upsert", "into":
			kind = Write
		}
	}
	return kind
}

// locks reports whether the word at tokens[i] ends FOR UPDATE, FOR SHARE,
// FOR NO KEY UPDATE or FOR KEY SHARE.
func locks(tokens []token, i int) bool {
	if !tokens[i].is("update") && !tokens[i].is("share") {
		return false
	}
	i--
	if i >= 0 && tokens[i].is("key") {
		i--
		if i >= 0 && tokens[i].is("no") {
			i--
		}
	}
	return i >= 0 && tokens[i].is("for")
}

// explain classifies EXPLAIN, DESCRIBE and DESC. Some of its forms run what they
// explain, so it is classified as the statement inside.
func explain(dialect string, tokens []token) Statement {
	rest := tokens[1:]
	if len(rest) > 1 && rest[0].is("query") && rest[1].is("plan") {
		return Statement{}
	}
	analyze := false
	for len(rest) > 0 {
		switch t := rest[0]; {
		case t.in(explainOptions):
			analyze = analyze || t.is("analyze") || t.is("analyse")
			rest = rest[1:]
			if t.is("format") && len(rest) > 1 && rest[0].mark("=") {
				rest = rest[2:]
			}
			continue
		case t.mark("("): // options, or a query in parentheses
			if len(rest) > 1 && (rest[1].is("select") || rest[1].is("with") || rest[1].is("values") || rest[1].mark("(")) {
				rest = rest[1:]
				continue
			}
			end := parens(rest)[0]
			for _, o := range rest[:end] {
				analyze = analyze || o.is("analyze") || o.is("analyse")
			}
			rest = rest[min(end+1, len(rest)):]
			continue
		}
		break
	}
	if len(rest) == 0 {
		return Statement{}
	}
	inner := byKeyword(dialect, rest)
	if inner.Kind > Write && !analyze && !rest[0].in(explained) {
		return Statement{Kind: commands(dialect, rest)} // DESCRIBE users
	}
	return inner
}

var explainOptions = words(`analyze analyse verbose extended partitions format`)

// explained are the statements that EXPLAIN takes besides reads and writes.
var explained = words(`execute create declare refresh call alter drop`)

// runsMore reports whether a text holds another statement without a semicolon
// before it, which SQL Server allows.
func runsMore(dialect string, tokens []token) bool {
	if dialect == sqlite || dialect == mysql || dialect == postgres {
		return false
	}
	for i, t := range tokens {
		if t.in(batchKeywords) && (i == 0 || !tokens[i-1].mark(".")) {
			return true
		}
	}
	return false
}

// batchKeywords start a statement of a batch and are no part of a read or
// write. All of them are reserved, or start a statement that can only follow a
// semicolon otherwise.
var batchKeywords = words(`alter backup begin break bulk checkpoint close commit continue create dbcc
	deallocate declare deny disable drop enable exec execute go goto grant if kill open print raiserror
	readtext reconfigure restore return revert revoke rollback save shutdown throw truncate updatetext
	use waitfor while writetext`)
