package sqltext

import "slices"

// Kind is what a raw statement may do.
type Kind uint8

const (
	Read       Kind = iota // a plain read: changes nothing
	Write                  // changes rows of tables among Names
	Savepoint              // Name is the savepoint
	RollbackTo             // back to the savepoint Name
	Release                // of the savepoint Name
	Begin                  // of a transaction
	Commit                 // of a transaction
	Rollback               // of a whole transaction
	Everything             // anything: DDL, settings, unknown statements and functions
)

func (k Kind) String() string {
	names := [...]string{"Read", "Write", "Savepoint", "RollbackTo", "Release", "Begin", "Commit", "Rollback", "Everything"}
	if int(k) < len(names) {
		return names[k]
	}
	return "Kind?"
}

// Statement is what a raw statement may do.
type Statement struct {
	Kind  Kind
	Names []string // of Write and Everything: every identifier, folded, sorted, unique
	Name  string   // of a savepoint, folded
	// Attributes, of a read or a write, are the names behind a dot that are functions unless they
	// are columns.
	Attributes []Attribute
	// Inside says that in a transaction it changes nothing, and does not end it, whatever else it
	// may do outside of any.
	Inside bool
	// Stays says that in a transaction it leaves that open, and that what it changes is visible by
	// its commit, whatever that is.
	Stays bool
	// Scratch is the temporary table, folded, that it makes and does no more; "" for another one.
	// Then it is Inside, too, unless a table of another kind has that name.
	Scratch string
	// Open says that it begins a transaction, among other things, that it does not end.
	Open bool
	// Effect is what it leaves behind on its connection.
	Effect Effect
	// Within is what it does to its transaction.
	Within Within
}

// Classify says what a raw statement may do. dialect is GORM's dialector name: "sqlite", "mysql",
// "postgres", "sqlserver", or any other. pure are the names, folded, of functions of the user's own
// that have no side effects.
func Classify(dialect, sql string, pure ...string) Statement {
	result := Statement{}
	if foreign(sql) {
		result.Kind = Everything
	}
	names, open, calls, left, does := nameSet{}, false, []Attribute(nil), NoEffect, Within(0)
	inside := !foreign(sql)
	stays, scratch := inside, ""
	for i, r := range readings(dialect, sql) {
		tokens, doubt := r.tokens(sql)
		all := statements(tokens)
		for _, one := range all {
			left = max(left, leftBy(one))
		}
		one := !doubt && len(all) == 1
		inside = inside && one && insideOnly(dialect, all[0], pure)
		stays = stays && one && staysInside(dialect, all[0])
		made := ""
		if one {
			made = scratchTable(dialect, all[0])
		}
		if i == 0 {
			scratch = made
		} else if made != scratch {
			scratch = ""
		}
		names.addAll(tokens)
		broken := doubt && r.spare
		s := classify(dialect, tokens, broken, pure)
		if doubt && !broken {
			s.Kind = Everything
		}
		does |= within(dialect, tokens, s.Kind)
		open, calls = open || s.Open, append(calls, Undeclared(attributes(dialect, tokens), pure)...)
		if i == 0 {
			s.Kind = max(s.Kind, result.Kind)
			result = s
		} else {
			result = either(result, s)
		}
	}
	if result.Kind == Write || result.Kind == Everything {
		result.Name, result.Names = "", names.sorted()
	}
	if result.Kind <= Write {
		result.Attributes = calls
	}
	result.Open = open && result.Kind == Everything
	result.Within = does
	result.Effect, result.Inside = left, inside && result.Kind == Everything
	if result.Kind == Everything && !foreign(sql) {
		result.Stays, result.Scratch = stays || scratch != "", scratch
	}
	return result
}

// worst is what two statements may do that run one after the other, or of which
// one runs.
func worst(a, b Statement) Statement {
	switch {
	case a.Kind == b.Kind && a.Name == b.Name && (a.Kind == Read || a.Kind == Write):
		return a
	case a.Kind == Read:
		return b
	case b.Kind == Read:
		return a
	}
	return Statement{Kind: Everything} // control of a transaction, and more
}

// either is what a text may do that is read in two ways.
func either(a, b Statement) Statement {
	if a.Kind == b.Kind && a.Name == b.Name {
		return a
	}
	return worst(a, b)
}

// statements cuts the tokens at semicolons; empty statements are left out.
func statements(tokens []token) [][]token {
	var all [][]token
	start := 0
	for i := 0; i <= len(tokens); i++ {
		if i < len(tokens) && !tokens[i].mark(";") {
			continue
		}
		if i > start {
			all = append(all, tokens[start:i])
		}
		start = i + 1
	}
	return all
}

// classify combines the statements of a text. The last one of a broken text
// cannot run, but counts for the tables it names.
func classify(dialect string, tokens []token, broken bool, pure []string) Statement {
	result, open := Statement{}, false
	all := statements(tokens)
	for i, tokens := range all {
		s := classifyOne(dialect, tokens, broken && i == len(all)-1, pure)
		switch s.Kind {
		case Begin:
			open = true
		case Commit, Rollback:
			open = false
		}
		result = worst(result, s)
	}
	result.Open = open
	return result
}

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

// transaction classifies control of transactions; everything else may do
// anything.
func transaction(dialect string, tokens []token) Statement {
	everything := Statement{Kind: Everything}
	rest := tokens[1:]
	skip := func(words ...string) bool {
		for _, w := range words {
			if len(rest) > 0 && rest[0].is(w) {
				rest = rest[1:]
				return true
			}
		}
		return false
	}
	// name ends the statement with the name of a savepoint.
	name := func(kind Kind) Statement {
		if len(rest) != 1 || !rest[0].isName() || rest[0].in(batchKeywords) {
			return everything
		}
		return Statement{Kind: kind, Name: savepointName(dialect, rest[0].text)}
	}
	// done ends the statement, perhaps with the name of a transaction.
	done := func(kind Kind, named bool) Statement {
		if len(rest) == 0 || named && name(kind).Kind == kind {
			return Statement{Kind: kind}
		}
		return everything
	}
	batches := dialect != sqlite && dialect != mysql && dialect != postgres

	switch tokens[0].low {
	case "savepoint":
		return name(Savepoint)
	case "save":
		if batches && skip("transaction", "tran") {
			return name(Savepoint)
		}
	case "release":
		if len(rest) > 1 {
			skip("savepoint")
		}
		return name(Release)
	case "rollback", "abort":
		named := skip("transaction", "tran")
		if !named {
			skip("work")
		}
		if skip("to") {
			if len(rest) > 1 {
				skip("savepoint", "transaction")
			}
			return name(RollbackTo)
		}
		if named && batches && len(rest) > 0 {
			return name(RollbackTo)
		}
		return done(Rollback, named)
	case "commit", "end":
		named := skip("transaction", "tran")
		if !named {
			skip("work")
		}
		return done(Commit, named)
	case "begin", "start":
		if tokens[0].is("start") && (len(rest) == 0 || !rest[0].is("transaction")) {
			return everything
		}
		named := false
		for len(rest) > 0 {
			named = named || rest[0].is("transaction") || rest[0].is("tran")
			if !rest[0].in(beginOptions) && !rest[0].mark(",") {
				break
			}
			rest = rest[1:]
		}
		return done(Begin, named)
	}
	return everything
}

var beginOptions = words(`transaction tran work deferred immediate exclusive concurrent isolation level
	serializable repeatable read committed uncommitted snapshot write only not deferrable
	with consistent distributed`)
