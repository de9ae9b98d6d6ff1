package sqltext

import "strings"

// postgresOperators are those of pg_catalog in PostgreSQL 15, with the two spellings that are
// syntax.
var postgresOperators = words(`!! !~ !~* !~~ !~~* # ## #- #> #>> % & && &< &<| &> * *< *<= *<> *= *> *>= + - -> ->> -|- /
	< <-> << <<= <<| <= <> <@ <^ = > >= >> >>= >^ ? ?# ?& ?- ?-| ?| ?|| @ @-@ @> @? @@ @@@ ^ ^@ | |&> |/ |>> || ||/
	~ ~* ~<=~ ~<~ ~= ~>=~ ~>~ ~~ ~~*`, `!= =>`)

// operatorSigns are the characters of operators in PostgreSQL. One that ends with + or - holds one
// of keepsSign; otherwise the sign is an operator of its own, as in a=-1.
const (
	operatorSigns = "+-*/<>=~!@#%^&|`?"
	keepsSign     = "~!@#%^&|`?"
)

// unknownOperator returns an operator that is not built into PostgreSQL, and so calls a function of
// the user's own; "" if there is none. In other dialects users cannot make operators.
func unknownOperator(dialect string, tokens []token) string {
	if dialect != postgres {
		return ""
	}
	for i := 0; i < len(tokens); {
		n := 0
		spelling := ""
		for i+n < len(tokens) && tokens[i+n].operatorSign() && (n == 0 || tokens[i+n].joined) {
			spelling += tokens[i+n].text
			n++
		}
		for len(spelling) > 1 && strings.HasSuffix(spelling, "+") || len(spelling) > 1 && strings.HasSuffix(spelling, "-") {
			if strings.ContainsAny(spelling, keepsSign) {
				break
			}
			spelling = spelling[:len(spelling)-1]
		}
		if n > 0 && !postgresOperators.has(spelling) {
			return spelling
		}
		i += max(n, 1)
	}
	return ""
}

func (t token) operatorSign() bool {
	return (t.kind == mark || t.kind == param) && len(t.text) == 1 && strings.Contains(operatorSigns, t.text)
}
