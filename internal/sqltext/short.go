package sqltext

import (
	"slices"
	"strconv"
	"strings"
)

// Short is a text in which one bind value stands for a list of them, and another number for that of
// a LIMIT and an OFFSET at its end: texts that differ in these only, as those of GORM's do, have
// one Text. What Analyze makes of that it makes of the text itself, and so do Simple and Joined but
// for what Of puts back. (Among the names that Analyze finds are the ordinals of bind values of
// PostgreSQL, which are fewer.)
type Short struct {
	Text  string
	lists []int  // how many bind values each one of Text stands for; nil where it is one each
	limit string // the number of the LIMIT; "" where none was taken
}

// Shorten returns a Short of a text. Only `IN (?,?)` is taken for a list, as GORM writes it, and
// nothing of a text in which a literal, a comment or a variable may begin.
func Shorten(dialect, sql string) Short {
	s := Short{Text: sql}
	mark, others := "?", "'\\#[@{}:;$"
	if dialect == postgres {
		mark, others = "$", "'\\#[@{}:;?"
	}
	if dialect != sqlite && dialect != mysql && dialect != postgres || strings.ContainsAny(sql, others) ||
		strings.Contains(sql, "--") || strings.Contains(sql, "/*") || foreign(sql) {
		return s
	}
	var (
		b     strings.Builder
		lists []int
		known int // bind values before this place
		ok    bool
	)
	rest := sql
	for {
		at := strings.IndexAny(rest, "\"`"+mark)
		if at < 0 {
			break
		}
		b.WriteString(rest[:at])
		if quote := rest[at]; quote != mark[0] {
			end := strings.IndexByte(rest[at+1:], quote)
			if end < 0 {
				return s
			}
			b.WriteString(rest[at : at+end+2])
			rest = rest[at+end+2:]
			continue
		}
		list := strings.HasSuffix(rest[:at], " IN (")
		if rest, ok = bindValue(dialect, rest[at:], known+1); !ok {
			return s
		}
		n := 1
		for list && len(rest) > 1 && rest[0] == ',' && rest[1] == mark[0] {
			if rest, ok = bindValue(dialect, rest[1:], known+n+1); !ok {
				return s
			}
			n++
		}
		if n > 1 && (rest == "" || rest[0] != ')') {
			return s
		}
		lists, known = append(lists, n), known+n
		b.WriteString(mark)
		if dialect == postgres {
			b.WriteString(strconv.Itoa(len(lists)))
		}
	}
	if known > len(lists) {
		s.lists = lists
	}
	b.WriteString(rest)
	s.Text = b.String()
	if before, number := cutNumber(s.Text, " OFFSET "); number != "" {
		s.Text, s.limit = before, ""
		if before, number := cutNumber(s.Text, " LIMIT "); number != "" {
			s.Text, s.limit = before+" LIMIT 1", number
		}
		s.Text += " OFFSET 1"
	} else if before, number := cutNumber(s.Text, " LIMIT "); number != "" {
		s.Text, s.limit = before+" LIMIT 1", number
	}
	return s
}

// bindValue returns what follows a bind value of this ordinal; false where it is another one.
func bindValue(dialect, sql string, ordinal int) (rest string, ok bool) {
	rest = sql[1:]
	if dialect == postgres {
		rest, ok = strings.CutPrefix(rest, strconv.Itoa(ordinal))
		return rest, ok && (rest == "" || !nameByte(rest[0]))
	}
	return rest, rest == "" || !nameByte(rest[0])
}

// cutNumber cuts a number and the word before it off the end of a text; it is "" where there is
// none.
func cutNumber(sql, word string) (before, number string) {
	at := len(sql)
	for at > 0 && digit(sql[at-1]) {
		at--
	}
	before, ok := strings.CutSuffix(sql[:at], word)
	if !ok || at == len(sql) {
		return sql, ""
	}
	return before, sql[at:]
}

// Of returns the shape of the text itself, of a query, by that of Text.
func (s *Short) Of(shape *Shape) *Shape {
	if shape == nil || s.lists == nil && s.limit == "" {
		return shape
	}
	of := *shape
	if s.limit != "" && of.Limit.Kind == Number {
		of.Limit.Text = s.limit
	}
	if s.lists == nil {
		return &of
	}
	first := make([]int, 1, 1+len(s.lists)) // the ordinal of the first value of each list, less 1
	for _, n := range s.lists {
		first = append(first, first[len(first)-1]+n)
	}
	moved := func(o Operand) Operand {
		if o.Kind == Bind {
			o.Param = first[o.Param-1] + 1
		}
		return o
	}
	of.Limit = moved(of.Limit)
	of.Falling = slices.Clone(of.Falling)
	for i := range of.Falling {
		of.Falling[i].Param = first[of.Falling[i].Param-1] + 1
	}
	of.Rising = slices.Clone(of.Rising)
	for i := range of.Rising {
		of.Rising[i].Param = first[of.Rising[i].Param-1] + 1
	}
	of.Pins = slices.Clone(of.Pins)
	for i, pin := range of.Pins {
		of.Pins[i].Values = s.spread(pin.Values, moved)
	}
	return &of
}

// spread returns the rows of a pin with all values of lists, each moved to its place.
func (s *Short) spread(short [][]Operand, moved func(Operand) Operand) [][]Operand {
	length := func(row []Operand) int {
		if len(row) == 1 && row[0].Kind == Bind {
			return s.lists[row[0].Param-1]
		}
		return 1
	}
	rows, operands := 0, 0
	for _, row := range short {
		rows, operands = rows+length(row), operands+length(row)*len(row)
	}
	all, values := make([][]Operand, 0, rows), make([]Operand, 0, operands)
	for _, row := range short {
		for j := range length(row) {
			from := len(values)
			for _, o := range row {
				if o = moved(o); o.Kind == Bind {
					o.Param += j
				}
				values = append(values, o)
			}
			all = append(all, values[from:len(values):len(values)])
		}
	}
	return all
}
