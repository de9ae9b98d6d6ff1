package sqltext

import (
	"strings"
	"unicode"

	"github.com/DataDog/go-sqllexer"
)

type tokenKind uint8

const (
	word     tokenKind = iota // an unquoted name or a keyword
	quotedID                  // a quoted name
	text                      // a text literal (which some servers take for a name)
	number
	param    // a bind parameter
	variable // a variable of the session
	mark     // punctuation and operators, one character each, but "::" and ":="
)

type token struct {
	kind tokenKind
	text string // the content of quotes; a parameter or variable with its sign
	low  string // text in lower case; only of words
	// escaped literals have escapes that were not resolved, so their value is
	// not known.
	escaped bool
	// joined marks have nothing between them and the mark before.
	joined bool
}

func (t token) is(low string) bool  { return t.kind == word && t.low == low }
func (t token) mark(m string) bool  { return t.kind == mark && t.text == m }
func (t token) isName() bool        { return t.kind == word || t.kind == quotedID || t.kind == text }
func (t token) in(set wordSet) bool { return t.kind == word && set.has(t.low) }

// tokens takes sql apart. The order of work is what makes it safe: first this
// package cuts out literals, quoted names and comments by the reading's rules,
// since go-sqllexer has no rules for SQLite, ends an identifier only at a few
// characters (it reads `a/**/b` and `a"b"` as one) and takes a NUL for the end.
// Then go-sqllexer tokenizes the code between them.
//
// doubt is true if the text is broken, or not to be understood.
func (r reading) tokens(sql string) (tokens []token, doubt bool) {
	s := scanner{reading: r}
	from := 0 // start of the code that was not scanned yet
	cut := func(at, next int, whole bool) {
		s.code(sql[from:at])
		s.flush()
		s.colon, s.touch = false, false
		from = next
		s.doubt = s.doubt || !whole
	}
	for i := 0; i < len(sql); {
		at, before := i, sql[from:i]
		content, next, whole := "", 0, false
		c := sql[i]
		follow := func(n int) byte {
			if i+n < len(sql) {
				return sql[i+n]
			}
			return 0
		}
		switch {
		case c == '\'':
			escapes := r.backslash || r.eStrings && prefixed(before, "e")
			content, next, whole = quoted(sql, i, '\'', true, escapes)
			cut(at, next, whole && !r.ambiguous(before))
			s.add(token{kind: text, text: content, escaped: escapes && strings.IndexByte(content, '\\') >= 0})
		case c == '"':
			content, next, whole = quoted(sql, i, '"', true, r.dqBackslash)
			cut(at, next, whole && !r.ambiguous(before))
			kind := quotedID
			if r.dqText {
				kind = text
			}
			s.add(token{kind: kind, text: content})
		case c == '`' && r.backtick:
			content, next, whole = quoted(sql, i, '`', true, false)
			cut(at, next, whole)
			s.add(token{kind: quotedID, text: content})
		case c == '[' && r.brackets != bracketsAreMarks:
			content, next, whole = quoted(sql, i, ']', r.brackets == bracketsQuoteTwice, false)
			cut(at, next, whole)
			s.add(token{kind: quotedID, text: content})
		case c == '#' && r.hashComment,
			c == '-' && follow(1) == '-' && (!r.dashSpace || follow(2) <= ' ' || follow(2) == 0x7f):
			next, whole = lineComment(sql, i)
			cut(at, next, whole)
		case c == '/' && follow(1) == '*':
			next, whole = blockComment(sql, i, r.nested)
			cut(at, next, whole)
		case c == '$' && r.dollar && (i == 0 || !nameByte(sql[i-1]) && sql[i-1] != '$'):
			var found bool
			if content, next, whole, found = dollarQuote(sql, i); !found {
				i++
				continue
			}
			cut(at, next, whole)
			s.add(token{kind: text, text: content})
		default:
			i++
			continue
		}
		i = next
	}
	cut(len(sql), len(sql), true)
	return s.tokens, s.doubt
}

// ambiguous reports whether the code before a quote gives the quoted text a
// meaning that is not resolved here.
func (r reading) ambiguous(before string) bool {
	if n := len(before); r.eStrings && n > 0 && before[n-1] == '&' && prefixed(before[:n-1], "u") {
		return true
	}
	return r.qStrings && (prefixed(before, "q") || prefixed(before, "nq"))
}

// prefixed reports whether code ends with the word prefix.
func prefixed(code, prefix string) bool {
	at := len(code) - len(prefix)
	return at >= 0 && strings.EqualFold(code[at:], prefix) && (at == 0 || !nameByte(code[at-1]) && code[at-1] != '$')
}

// scanner collects tokens. A name may come in several tokens of go-sqllexer
// (2024_users in two), so the word under way is kept across them.
type scanner struct {
	reading
	tokens []token
	doubt  bool
	word   strings.Builder
	colon  bool // the last character was a ":" that may belong to the next one
	touch  bool // the last character was a mark
}

func (s *scanner) add(t token) {
	if t.kind == word {
		t.low = strings.ToLower(t.text)
	}
	s.tokens = append(s.tokens, t)
}

// lexerOption: MySQL's mode joins `a . b` into a token that is not in the text,
// and Scan would lose its place; it differs in quotes and comments only, and
// code has none.
func (r reading) lexerOption() sqllexer.DBMSType {
	switch r.dialect {
	case sqlserver:
		return sqllexer.DBMSSQLServer
	case postgres:
		return sqllexer.DBMSPostgres
	}
	return ""
}

// code scans text that has neither quotes nor comments.
func (s *scanner) code(code string) {
	if code == "" {
		return
	}
	lexer := sqllexer.New(code, sqllexer.WithDBMS(s.lexerOption()))
	for rest := code; rest != ""; {
		token := lexer.Scan()
		value := token.Value
		if value == "" || !strings.HasPrefix(rest, value) {
			// The lexer stands still or left the text: what is left is read here.
			s.doubt = true
			s.split(rest)
			return
		}
		rest = rest[len(value):]
		switch token.Type {
		case sqllexer.NUMBER:
			s.number(value, rest)
		case sqllexer.ERROR, sqllexer.INCOMPLETE_STRING:
			// A dollar sign alone is a name or parameter that the lexer takes
			// for a quote; its text is read here anyway.
			s.doubt = s.doubt || value[0] != '$'
			s.split(value)
		default:
			s.split(value)
		}
	}
}

// number adds a number, unless it is part of a name.
func (s *scanner) number(value, rest string) {
	if value[0] == '+' || value[0] == '-' {
		s.split(value[:1])
		value = value[1:]
	}
	touches := rest != "" && (nameByte(rest[0]) || strings.IndexByte("$#@", rest[0]) >= 0)
	if value == "" || s.word.Len() > 0 || touches || value[0] == '.' && s.afterName() {
		s.split(value)
		return
	}
	s.flush()
	s.touch = false
	s.add(token{kind: number, text: value})
}

// afterName reports whether the token before is a name, so that a dot
// qualifies it.
func (s *scanner) afterName() bool {
	return len(s.tokens) > 0 && s.tokens[len(s.tokens)-1].isName()
}

// split reads code character by character.
func (s *scanner) split(code string) {
	for _, c := range code {
		first := s.word.Len() == 0
		switch {
		case c < unicode.MaxASCII && nameByte(byte(c)), c == '$':
			s.word.WriteRune(c)
		case c > unicode.MaxASCII:
			// Blanks beyond ASCII (and a byte order mark) are part of a name to
			// one server and separate names for another.
			s.doubt = s.doubt || unicode.IsSpace(c) || c == '\ufeff'
			s.word.WriteRune(c)
		case c == '#' && s.wideNames, c == '@' && s.wideNames && !first:
			s.word.WriteRune(c)
		case c == '@' && s.at != atIsMark, c == ':' && s.colonParam && s.word.String() != ":" && !s.colon:
			if s.word.String() != "@" {
				s.flush()
			}
			s.word.WriteRune(c)
		default:
			s.separator(c)
		}
	}
}

// separator ends the word under way.
func (s *scanner) separator(c rune) {
	word := s.word.String()
	s.flush()
	joined := s.touch && word == ""
	s.touch = true
	if c == '(' && s.dollarParam && word != "" && strings.IndexByte("$@:", word[0]) >= 0 {
		// SQLite reads $x(...) as one parameter, whatever the parentheses hold.
		s.doubt = true
	}
	switch last := len(s.tokens) - 1; {
	case c == ' ' || '\t' <= c && c <= '\r':
		s.colon, s.touch = false, false
		return
	case s.colon && (c == ':' || c == '='):
		s.tokens[last].text += string(c)
		s.colon = false
		return
	}
	if c == '?' {
		s.add(token{kind: param, text: "?", joined: joined})
		return
	}
	s.add(token{kind: mark, text: string(c), joined: joined})
	s.colon = c == ':'
}

// flush adds the word under way.
func (s *scanner) flush() {
	if s.word.Len() == 0 {
		s.colon = false
		return
	}
	w := s.word.String()
	s.word.Reset()
	s.colon = false
	switch {
	case w == ":":
		s.add(token{kind: mark, text: w})
		s.colon = true
	case w[0] == '@' && (s.at == atIsVariable || strings.HasPrefix(w, "@@")):
		s.add(token{kind: variable, text: w})
	case w[0] == '@', w[0] == ':',
		w[0] == '$' && (s.dollarParam || len(w) > 1 && '0' <= w[1] && w[1] <= '9'):
		s.add(token{kind: param, text: w})
	default:
		s.add(token{kind: word, text: w})
	}
}
