package sqltext

import (
	"strings"
	"unicode/utf8"
)

// Dialects whose lexical rules are known, by GORM's names for them.
const (
	sqlite    = "sqlite"
	mysql     = "mysql"
	postgres  = "postgres"
	sqlserver = "sqlserver"
)

type brackets uint8

const (
	bracketsAreMarks   brackets = iota // array subscripts
	bracketsQuote                      // [a], and "]" always ends it
	bracketsQuoteTwice                 // [a]]b] is the name a]b
)

type atSign uint8

const (
	atIsMark     atSign = iota // an operator
	atIsParam                  // @x is a parameter, @@x a variable
	atIsVariable               // both are variables of the session
)

// reading is one way in which a server may take a text apart. Only these rules
// decide where a literal, a quoted name or a comment ends; everything hidden by
// a wrong guess would be hidden from the cache.
type reading struct {
	dialect string

	backslash   bool // a backslash escapes a quote in '...'
	dqBackslash bool // and in "..."
	dqText      bool // "..." may be a text literal
	eStrings    bool // a backslash escapes a quote in E'...'; U&'...' and U&"..." exist
	qStrings    bool // q'[...]' exists
	backtick    bool // `...` is a name
	brackets    brackets
	hashComment bool // # starts a comment
	dashSpace   bool // -- starts a comment only before a space
	nested      bool // comments nest
	dollar      bool // $tag$...$tag$ is a text literal
	dollarParam bool // $x is a parameter
	colonParam  bool // :x is a parameter
	at          atSign
	wideNames   bool // # and @ are part of names

	// spare readings hold only under a server setting that is not the default.
	// Such a reading that turns out broken is a syntax error to the server that
	// is set that way, so it is no reason for doubt.
	spare bool
}

// readings lists the ways to read sql, the usual one first.
func readings(dialect, sql string) []reading {
	hasBackslash := strings.IndexByte(sql, '\\') >= 0
	switch dialect {
	case sqlite:
		return []reading{{dialect: dialect, backtick: true, brackets: bracketsQuote,
			dollarParam: true, colonParam: true, at: atIsParam}}
	case sqlserver:
		return []reading{{dialect: dialect, brackets: bracketsQuoteTwice, nested: true,
			at: atIsParam, wideNames: true}}
	case postgres:
		usual := reading{dialect: dialect, eStrings: true, nested: true, dollar: true}
		all := []reading{usual}
		if hasBackslash { // standard_conforming_strings = off
			usual.backslash, usual.spare = true, true
			all = append(all, usual)
		}
		return all
	case mysql:
		usual := reading{dialect: dialect, backslash: true, dqBackslash: true, dqText: true,
			backtick: true, hashComment: true, dashSpace: true, at: atIsVariable}
		all := []reading{usual}
		if hasBackslash {
			usual.spare, usual.dqBackslash = true, false // ANSI_QUOTES
			all = append(all, usual)
			usual.backslash = false // and NO_BACKSLASH_ESCAPES
			all = append(all, usual)
			usual.dqBackslash, usual.dqText = false, true
		}
		return all
	}
	var all []reading
	for _, known := range []string{sqlite, sqlserver, postgres, mysql} {
		for _, r := range readings(known, sql) {
			r.dialect, r.spare, r.qStrings = dialect, false, true
			all = append(all, r)
		}
	}
	return all
}

// foreign reports whether the text is whole in no dialect: nothing that is read
// from it could be relied upon.
func foreign(sql string) bool {
	// A NUL ends the text for some drivers and is a blank for others; in text
	// that is not UTF-8 the second byte of a character may be a quote.
	return strings.IndexByte(sql, 0) >= 0 || !utf8.ValidString(sql)
}

// quoted reads what starts with an opening quote at sql[start] and returns its
// content and the position behind it.
func quoted(sql string, start int, end byte, twice, backslash bool) (content string, next int, whole bool) {
	var unescaped []byte // only if the content is not a part of sql
	from := start + 1
	for i := from; i < len(sql); i++ {
		switch {
		case backslash && sql[i] == '\\':
			i++
		case sql[i] != end:
		case twice && i+1 < len(sql) && sql[i+1] == end:
			unescaped = append(unescaped, sql[from:i+1]...)
			i++
			from = i + 1
		case unescaped != nil:
			return string(append(unescaped, sql[from:i]...)), i + 1, true
		default:
			return sql[from:i], i + 1, true
		}
	}
	return string(append(unescaped, sql[min(from, len(sql)):]...)), len(sql), false
}

// lineComment returns the position behind the comment at sql[start].
// It is whole unless it holds a carriage return alone, which ends the comment
// for some servers and not for others.
func lineComment(sql string, start int) (next int, whole bool) {
	next = len(sql)
	if n := strings.IndexByte(sql[start:], '\n'); n >= 0 {
		next = start + n + 1
	}
	line := strings.TrimSuffix(strings.TrimSuffix(sql[start:next], "\n"), "\r")
	return next, strings.IndexByte(line, '\r') < 0
}

// blockComment returns the position behind the comment at sql[start].
// It is not whole if a server may execute it.
func blockComment(sql string, start int, nested bool) (next int, whole bool) {
	text := sql[start:]
	whole = !strings.HasPrefix(text, "/*!") && !strings.HasPrefix(text, "/*M!") && !strings.HasPrefix(text, "/*m!")
	depth := 1
	for i := start + 2; i+1 < len(sql); {
		switch {
		case sql[i] == '*' && sql[i+1] == '/':
			i += 2
			if depth--; depth == 0 {
				return i, whole
			}
		case nested && sql[i] == '/' && sql[i+1] == '*':
			i += 2
			depth++
		default:
			i++
		}
	}
	return len(sql), false
}

// dollarQuote reads the literal $tag$...$tag$ at sql[start]; found is false if
// the dollar sign starts none.
func dollarQuote(sql string, start int) (content string, next int, whole, found bool) {
	tagEnd := start + 1
	for tagEnd < len(sql) && sql[tagEnd] != '$' {
		c := sql[tagEnd]
		if !nameByte(c) || tagEnd == start+1 && '0' <= c && c <= '9' {
			return "", start, true, false
		}
		tagEnd++
	}
	if tagEnd >= len(sql) {
		return "", start, true, false
	}
	tag, from := sql[start:tagEnd+1], tagEnd+1
	n := strings.Index(sql[from:], tag)
	if n < 0 {
		return sql[from:], len(sql), false, true
	}
	return sql[from : from+n], from + n + len(tag), true, true
}

// nameByte reports whether c may be part of an unquoted name in every dialect
// (the bytes of characters beyond ASCII among them).
func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c >= utf8.RuneSelf
}
