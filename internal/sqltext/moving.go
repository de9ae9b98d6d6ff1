package sqltext

// The longest string that is read as a time; beyond it there is no need to look.
const longestTime = 64

// The longest short name of a time zone (VLASST), month or day that may stand
// beside the word for a time.
const longestShortZone = 6

// MovingTime reports whether a database could read s, given as a bind value, as
// a time that moves: "now", "today", "tomorrow", "yesterday", and SQLite's
// "subsec" and "subsecond", which are the time of the call as well. PostgreSQL
// takes them with a time of day, a zone or brackets around them ("today 10:00",
// "[today,tomorrow)"), so these count too.
func MovingTime(s string) bool {
	if len(s) < len("now") || len(s) > longestTime {
		return false
	}
	for i := range len(s) {
		if inEach[s[i]] {
			return moving(s)
		}
	}
	return false
}

func moving(s string) bool {
	moving, prose, zone := false, false, false
	for i := 0; i < len(s); {
		if !letter(s[i]) {
			// A zone is named like Europe/Paris, with words of any length.
			zone = zone || s[i] == '/'
			i++
			continue
		}
		start := i
		for i < len(s) && letter(s[i]) {
			i++
		}
		switch w := s[start:i]; {
		case movingWord(w):
			moving = true
		case len(w) > longestShortZone && !foldEqual(w, "allballs"):
			prose = true
		}
	}
	return moving && (!prose || zone)
}

// inEach are letters of which every moving word has one: most texts have none.
var inEach = [256]bool{'w': true, 'W': true, 'y': true, 'Y': true, 'b': true, 'B': true}

func movingWord(w string) bool {
	switch len(w) {
	case 3:
		return foldEqual(w, "now")
	case 5:
		return foldEqual(w, "today")
	case 6:
		return foldEqual(w, "subsec")
	case 8:
		return foldEqual(w, "tomorrow")
	case 9:
		return foldEqual(w, "yesterday") || foldEqual(w, "subsecond")
	}
	return false
}

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
