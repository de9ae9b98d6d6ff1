package sqltext

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
