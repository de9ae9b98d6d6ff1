package sqltext

import (
	"slices"
	"strconv"
	"strings"
)

// WithoutNumbers returns a text in which others stand for the numbers of sql, and these numbers:
// texts that differ in their numbers only, as those do that have their values written into them,
// become one. What Classify and Simple make of the one they make of the other, but for the numbers,
// which Shape.With puts back.
//
// Only whole numbers are taken that nothing touches but a blank, a comma, a parenthesis or a sign
// of comparison. Of a text in which a quote, a comment or a variable may begin nothing is taken.
func WithoutNumbers(sql string) (folded string, numbers []string) {
	if strings.ContainsAny(sql, "'\"`[#$@:?\\{}") || strings.Contains(sql, "--") || strings.Contains(sql, "/*") || foreign(sql) {
		return sql, nil
	}
	var b strings.Builder
	from := 0
	for i, end := 0, 0; i < len(sql); i = max(i+1, end) {
		if !digit(sql[i]) {
			continue
		}
		for end = i + 1; end < len(sql) && digit(sql[end]); end++ {
		}
		// What begins with 0 may be read as another kind of number.
		whole := (i == 0 || besideNumber(sql[i-1])) && (end == len(sql) || besideNumber(sql[end]) || sql[end] == ';')
		switch {
		case whole && (sql[i] != '0' || end == i+1):
			b.WriteString(sql[from:i])
			b.WriteString(standIn(len(numbers)))
			numbers, from = append(numbers, sql[i:end]), end
		case end-i >= len(standIn(0)):
			return sql, nil // it could be what stands for another one
		}
	}
	if len(numbers) == 0 {
		return sql, nil
	}
	b.WriteString(sql[from:])
	return b.String(), numbers
}

func besideNumber(c byte) bool { return blank(c) || strings.IndexByte("(),=<>", c) >= 0 }

// standIn returns what stands for a number.
func standIn(n int) string { return strconv.Itoa(standsFrom + n) }

const standsFrom = 100_000

// With returns the shape of a text of which this is the folded one's.
func (s *Shape) With(numbers []string) *Shape {
	if len(numbers) == 0 {
		return s
	}
	with := *s
	with.Pins = slices.Clone(s.Pins)
	for i := range with.Pins {
		with.Pins[i].Values = rowsWith(s.Pins[i].Values, numbers)
	}
	with.Rows = rowsWith(s.Rows, numbers)
	with.Set = slices.Clone(s.Set)
	for i := range with.Set {
		with.Set[i].Value = s.Set[i].Value.with(numbers)
	}
	return &with
}

// rowsWith returns a copy of rows with numbers put back.
func rowsWith(rows [][]Operand, numbers []string) [][]Operand {
	if rows == nil {
		return nil
	}
	n := 0
	for _, row := range rows {
		n += len(row)
	}
	with, all := make([][]Operand, 0, len(rows)), make([]Operand, 0, n)
	for _, row := range rows {
		from := len(all)
		for _, o := range row {
			all = append(all, o.with(numbers))
		}
		with = append(with, all[from:len(all):len(all)])
	}
	return with
}

// with puts back the number that another one stands for.
func (o Operand) with(numbers []string) Operand {
	if o.Kind == Number {
		if n, err := strconv.Atoi(o.Text); err == nil && n >= standsFrom && n-standsFrom < len(numbers) {
			o.Text = numbers[n-standsFrom]
		}
	}
	return o
}
