package sqltext

import (
	"slices"
	"strconv"
	"strings"
)

// piece is a token, or a group: a "(" or "[" with all that it encloses. So a loop over pieces stays
// on one level.
type piece struct {
	token
	param  int // the ordinal of a bind value, from 1
	inside []piece
}

func (t piece) isGroup() bool { return t.mark("(") || t.mark("[") }

// isStar reports whether the piece is the (*) of count(*).
func (t piece) isStar() bool { return t.mark("(") && len(t.inside) == 1 && t.inside[0].mark("*") }

func (t piece) name() Name { return Name{Text: t.text, Quoted: t.kind != word} }

// same reports whether two names may be one: servers fold the case of some.
func (n Name) same(other Name) bool { return strings.EqualFold(n.Text, other.Text) }

func add(part *[]Name, names ...Name) {
	for _, n := range names {
		if !slices.Contains(*part, n) {
			*part = append(*part, n)
		}
	}
}

// Deeper statements are not worth their stack.
const maxDepth = 100

// nest groups tokens and numbers the bind values. ok is false if there is a token that has several
// meanings.
func nest(dialect string, tokens []token) (pieces []piece, ok bool) {
	type open struct {
		before []piece
		group  token
	}
	var outer []open
	params := 0
	for i, t := range tokens {
		piece := piece{token: t}
		switch t.kind {
		case word:
			// PostgreSQL before 15 reads `1OR b` as 1 OR b.
			if first := t.text[0]; '0' <= first && first <= '9' || first == '$' && dialect != mysql {
				return nil, false
			}
		case number:
			if strings.Trim(t.text, "0123456789.") != "" || strings.Count(t.text, ".") > 1 {
				return nil, false // 1e5 may be a name to MySQL
			}
		case param:
			params++
			piece.param = params
			if dialect == postgres {
				// A "?" is an operator there.
				n, err := strconv.ParseUint(strings.TrimPrefix(t.text, "$"), 10, 16)
				if err != nil || n == 0 {
					return nil, false
				}
				piece.param = int(n)
			} else if t.text != "?" {
				return nil, false
			}
			if i+1 < len(tokens) && tokens[i+1].kind == number {
				return nil, false // ?1 of SQLite
			}
		case variable:
			return nil, false
		case mark:
			switch t.text {
			case "(", "[":
				if outer = append(outer, open{pieces, t}); len(outer) > maxDepth {
					return nil, false
				}
				pieces = nil
				continue
			case ")", "]":
				last := len(outer) - 1
				if last < 0 || (outer[last].group.text == "(") != (t.text == ")") {
					return nil, false
				}
				piece.token, piece.inside = outer[last].group, pieces
				pieces, outer = outer[last].before, outer[:last]
			}
		}
		pieces = append(pieces, piece)
	}
	return pieces, len(outer) == 0
}

// split cuts a list at its commas.
func split(list []piece) [][]piece {
	var items [][]piece
	start := 0
	for i, t := range list {
		if t.mark(",") {
			items = append(items, list[start:i])
			start = i + 1
		}
	}
	return append(items, list[start:])
}
