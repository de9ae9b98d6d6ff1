package sqltext

import (
	"slices"
	"strings"
)

// Plain writes a statement in one way for all that differ by their values only: each literal and
// each parameter is a question mark, a list of them is one, comments are left out, and names have
// no quotes. It returns "" for a text that is not to be understood, or that servers read in several
// ways, so that what it returns holds no value. dialect is as in Classify.
func Plain(dialect, sql string) string {
	all := readings(dialect, sql)
	if len(all) != 1 || foreign(sql) {
		return ""
	}
	r := all[0]
	// SQLite takes a name in double quotes that it does not know for a text.
	r.dqText = r.dqText || r.dialect == sqlite
	tokens, doubt := r.tokens(sql)
	if doubt {
		return ""
	}
	var plain []token
	for _, t := range tokens {
		if t.kind == text || t.kind == number || t.kind == param || t.kind == word && '0' <= t.text[0] && t.text[0] <= '9' {
			t = token{kind: param, text: "?"}
		}
		t.joined = t.joined && !t.mark("(") && !t.mark(")") && !t.mark(",")
		plain = append(plain, t)
		for _, n := range []int{1, 3} { // "?, ?" and "(?), (?)" are one of each
			if at := len(plain) - 2*n - 1; at >= 0 && plain[at+n].mark(",") && slices.Equal(plain[at:at+n], plain[at+n+1:]) &&
				plain[at+n/2].kind == param && (n == 1 || plain[at].mark("(") && plain[at+2].mark(")")) {
				plain = plain[:at+n]
			}
		}
	}
	var b strings.Builder
	for i, t := range plain {
		tight := t.mark(",") || t.mark(")") || t.mark(".") || t.mark(";") || t.joined
		if i > 0 {
			before := plain[i-1]
			tight = tight || before.mark("(") || before.mark(".") || t.mark("(") && before.isName() && !before.in(beforeParenthesis)
		}
		if i > 0 && !tight {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// beforeParenthesis are words behind which a parenthesis is no list of arguments.
var beforeParenthesis = words(`in and or not on where from join as exists values select over union all any when then else having`)
