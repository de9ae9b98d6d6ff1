package sqltext

import "strings"

// longestTime is how many characters, blanks not counted, a text can have that is
// read as a time. PostgreSQL, which allows the most, has room for fewer.
const longestTime = 160

// longestShortZone is how long the short name of a time zone (VLASST), a month
// or a day can be that stands beside the word for a time.
const longestShortZone = 6

// MovingTime reports whether a database could read s, given as a bind value, as
// a time that moves: "now", "today", "tomorrow", "yesterday", and SQLite's
// "subsec" and "subsecond", which are the time of the call as well. PostgreSQL
// takes them with a time of day or a zone beside them ("today 10:00"), and as
// parts of ranges, arrays, rows and documents, whatever the other parts are:
// "[now,infinity)", `{"(1,now)"}`, `{"until": "tomorrow"}`. What holds such a
// word among others that are no part of a time, such as "now playing", is none.
func MovingTime(s string) bool {
	if len(s) < len("now") {
		return false
	}
	composed := composed(s)
	if len(s) > longestTime && !composed && !timeSized(s) {
		return false
	}
	if composed && spellsLetters(s) {
		return true
	}
	for i := len("now") - 1; i < len(s); i++ {
		// The one before is compared first, as these letters are common in prose.
		if before := lastLetter[s[i]]; before != 0 && (s[i-1]|0x20 == before || composed && letterless(s[i-1])) && movesAt(s, i, composed) {
			return true
		}
	}
	return foldEqual(s, "subsec") || foldEqual(s, "subsecond")
}

// spellsLetters reports whether a document writes letters by their numbers, as nobody does:
// "\u006eow".
func spellsLetters(s string) bool {
	const escape = `\u00`
	for {
		at := strings.Index(s, escape)
		if at < 0 {
			return false
		}
		s = s[at+len(escape):]
		if s != "" && '4' <= s[0] && s[0] <= '7' {
			return true
		}
	}
}

// lastLetter has the letters that the words end with, each with the one before it. Most short texts
// have none.
var lastLetter = [256]byte{'w': 'o', 'W': 'o', 'y': 'a', 'Y': 'a'}

// letterless reports whether c may stand between the letters of a word in a composed text.
func letterless(c byte) bool { return c == '"' || c == '\\' }

// movesAt reports whether a word that moves ends at s[at], in what can be a time.
func movesAt(s string, at int, composed bool) bool {
	var start int
	var ok bool
	if s[at]|0x20 == 'w' {
		if start, ok = wordTo(s, at, "now", composed); !ok {
			start, ok = wordTo(s, at, "tomorrow", composed)
		}
	} else if start, ok = wordTo(s, at, "today", composed); !ok {
		start, ok = wordTo(s, at, "yesterday", composed)
	}
	if !ok {
		return false
	}
	part, ok := partAround(s, start, at+1, composed)
	return ok && !prose(part)
}

// wordTo returns where a word in lower case letters starts that ends at s[end].
// In a composed text quotes and backslashes may stand between its letters.
func wordTo(s string, end int, word string, composed bool) (start int, ok bool) {
	if end+1 < len(s) && letter(s[end+1]) {
		return 0, false
	}
	start = end + 1
	for left := len(word); left > 0; {
		if start--; start < 0 {
			return 0, false
		}
		switch c := s[start]; {
		case c|0x20 == word[left-1]:
			left--
		case composed && letterless(c):
		default:
			return 0, false
		}
	}
	return start, start == 0 || !letter(s[start-1])
}

// partAround returns the part of a composed text that s[from:to] is in, and all
// of another one; ok is false for one that is too long to be a time.
func partAround(s string, from, to int, composed bool) (part string, ok bool) {
	if !composed {
		return s, true
	}
	room := longestTime
	for ; from > 0 && !separates(s, from-1); from-- {
		if !blank(s[from-1]) {
			if room--; room < 0 {
				return "", false
			}
		}
	}
	for ; to < len(s) && !separates(s, to); to++ {
		if !blank(s[to]) {
			if room--; room < 0 {
				return "", false
			}
		}
	}
	return s[from:to], true
}

// composed reports whether s can be a range, an array, a row or a document: all
// begin with a bracket.
func composed(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '(' || c == '[' || c == '{':
			return true
		case !blank(c):
			return false
		}
	}
	return false
}

// separates reports whether s[i] ends a part of a composed text. A colon does,
// but within a time of day.
func separates(s string, i int) bool {
	switch s[i] {
	case '(', ')', '[', ']', '{', '}', ',', ';':
		return true
	case ':':
		return i == 0 || i+1 == len(s) || !digit(s[i-1]) || !digit(s[i+1])
	}
	return false
}

// timeSized reports whether s has no more characters than a time can have.
func timeSized(s string) bool {
	room := longestTime
	for i := range len(s) {
		if !blank(s[i]) {
			if room--; room < 0 {
				return false
			}
		}
	}
	return true
}

// prose reports whether there is a word in a text that can be no part of a time.
func prose(s string) bool {
	for i := 0; i < len(s); {
		if !letter(s[i]) {
			i++
			continue
		}
		start := i
		for i < len(s) && letter(s[i]) {
			i++
		}
		if i-start > longestShortZone && !longWord(s[start:i]) && !ofZone(s, start-1) && !ofZone(s, i) {
			return true
		}
	}
	return false
}

// ofZone reports whether s[i] joins a word to others, or to an offset, in the name of a time
// zone: America/New_York, LONGNAME+3.
func ofZone(s string, i int) bool {
	if i < 0 || i >= len(s) {
		return false
	}
	switch c := s[i]; c {
	case '/', '_', '-', '+':
		return true
	default:
		return digit(c)
	}
}

// longWords are those of more than longestShortZone letters that can stand in a time: days, months
// and zones among them.
var longWords = [...]string{
	"tomorrow", "yesterday", "allballs",
	"tuesday", "wednesday", "thursday", "saturday",
	"january", "february", "september", "october", "november", "december",
	"factory", "greenwich", "hongkong", "iceland", "jamaica", "kwajalein", "localtime", "portugal",
	"posixrules", "singapore", "universal",
}

func longWord(w string) bool {
	for _, known := range longWords {
		if foldEqual(w, known) {
			return true
		}
	}
	return false
}

func blank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func digit(c byte) bool { return '0' <= c && c <= '9' }

// letter reports whether c may be part of a word; characters beyond ASCII are,
// so that a word next to one is not taken for a whole word.
func letter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// foldEqual compares w with a word in lower case letters.
func foldEqual(w, low string) bool {
	if len(w) != len(low) {
		return false
	}
	for i := range len(w) {
		if w[i]|0x20 != low[i] {
			return false
		}
	}
	return true
}
