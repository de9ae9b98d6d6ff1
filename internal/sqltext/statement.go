package sqltext

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
	// Truncated are the tables, folded, that a TRUNCATE names: a write only where each of them is a
	// table that others are known to read by this name. It may be a part of another.
	Truncated []string
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
	if (result.Kind == Everything || len(result.Truncated) > 0) && !foreign(sql) {
		result.Stays, result.Scratch = stays || scratch != "", scratch
	}
	return result
}

// worst is what two statements may do that run one after the other, or of which
// one runs.
func worst(a, b Statement) Statement {
	switch {
	case a.Kind == b.Kind && a.Name == b.Name && (a.Kind == Read || a.Kind == Write):
		a.Truncated = append(a.Truncated, b.Truncated...)
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
		a.Truncated = append(a.Truncated, b.Truncated...)
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
