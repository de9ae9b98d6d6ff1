package catalog

import (
	"slices"
	"strings"
)

// spelledOneWay reports whether a text stands for itself alone in a column of PostgreSQL of which
// the model says that it holds texts, and not which type it is of: a migration of the application's
// own may have made it a time, an address, a number, a date and so on, which texts of several
// spellings stand for. It is false for all spellings of a value but one, as far as they are those
// of types that PostgreSQL comes with: but for the names of its own objects, and the abbreviations
// of time zones behind a number. Answers by a text of which it is false die by more writes.
func spelledOneWay(s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	if s == "" {
		return true
	}
	if number := strings.TrimLeft(s, "+-"); isDigits(number) {
		return !dateOrTime(number) // as the number that it is
	}
	switch hex, all := hexDigits(s); {
	case all && (hex == 32 || hex > 16):
		return true // a uuid, or a digest
	case all && (hex == 12 || hex == 16), all && strings.ContainsAny(s, ":./"):
		return false // an address of a network, or a place in the log
	}
	first := s[0]
	letters, digits := letterRuns(s)
	switch {
	case strings.IndexByte(`@({["'$:.,+-&|!<>=`, first) >= 0, strings.Contains(s, `\`), strings.Contains(s, "=>"):
		return false // such as JSON, an array, a range, money, bytes
	case slices.Contains(oneWords, s), betweenDigits(s, ':'):
		return false
	case digits && slices.ContainsFunc(letters, isOfADate):
		return false
	case '0' <= first && first <= '9':
		return len(letters) > 0 && !(first == '0' && len(s) > 1 && strings.IndexByte("xob", s[1]) >= 0) && !strings.Contains(s, ":") &&
			slices.ContainsFunc(letters, func(run string) bool { return !slices.Contains(unitsOfTime, run) })
	case len(s) > 1:
		rest := strings.TrimPrefix(s[1:], "t")
		switch first {
		case 'p', 't', 'j':
			return rest == "" || rest[0] < '0' || '9' < rest[0]
		case 'b', 'x':
			_, all := hexDigits(s[1:])
			return !all
		}
	}
	return true
}

// oneWords are words that stand for values of other types than texts.
var oneWords = strings.Fields("t tr tru true y ye yes on f fa fal fals false n no of off null empty " +
	"now today tomorrow yesterday epoch infinity inf nan allballs")

// unitsOfTime are the words of an interval.
var unitsOfTime = strings.Fields("ago microsecond microseconds microsec microsecs us usec usecs usecond useconds " +
	"millisecond milliseconds msec msecs msecond mseconds ms s sec secs second seconds m min mins minute minutes h hr hrs hour hours " +
	"d day days w week weeks mon mons month months qtr quarter quarters y yr yrs year years dec decade decades decs " +
	"c cent century centuries mil mils millennium millennia t am pm z utc gmt bc ad")

// isOfADate reports whether letters name a month or a day of the week, or may.
func isOfADate(run string) bool {
	return len(run) >= 3 && slices.Contains(daysAndMonths, run[:3])
}

var daysAndMonths = strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec mon tue wed thu fri sat sun")

// dateOrTime reports whether digits may be a date with all digits of its year or two of them, or a
// time without seconds, which fewer digits stand for, too.
func dateOrTime(s string) bool {
	switch len(s) {
	case len("20060102"):
		s = s[2:]
	case len("150400"):
		if s[4:] == "00" {
			return true
		}
	default:
		return false
	}
	month, day := s[2:4], s[4:]
	return "01" <= month && month <= "12" && "01" <= day && day <= "31"
}

// hexDigits counts the hexadecimal digits of a text, and reports whether all else is what stands
// between those of an address.
func hexDigits(s string) (n int, all bool) {
	for _, r := range []byte(s) {
		switch {
		case '0' <= r && r <= '9', 'a' <= r && r <= 'f':
			n++
		case strings.IndexByte(":./-{}", r) < 0:
			return 0, false
		}
	}
	return n, n > 0
}

// letterRuns returns the letters of a text that follow each other, and whether it has a digit.
func letterRuns(s string) (runs []string, digits bool) {
	from := -1
	for i := range len(s) + 1 {
		letter := i < len(s) && ('a' <= s[i] && s[i] <= 'z' || s[i] >= 0x80)
		digits = digits || i < len(s) && '0' <= s[i] && s[i] <= '9'
		switch {
		case letter && from < 0:
			from = i
		case !letter && from >= 0:
			runs, from = append(runs, s[from:i]), -1
		}
	}
	return runs, digits
}

// betweenDigits reports whether a byte stands between two digits.
func betweenDigits(s string, b byte) bool {
	for i := 1; i < len(s)-1; i++ {
		if s[i] == b && isDigits(s[i-1:i]) && isDigits(s[i+1:i+2]) {
			return true
		}
	}
	return false
}
