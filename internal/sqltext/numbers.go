package sqltext

import (
	"strconv"
	"strings"
)

// WithoutNumbers returns a text in which others stand for the numbers of sql, and these numbers:
// texts that differ in their numbers only, as those do that have their values written into them,
// become one. What Classify and Simple make of the one they make of the other, but for the numbers,
// which Operand.With puts back.
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
			if numbers == nil {
				numbers = make([]string, 0, mostNumbers)
				b.Grow(len(sql) + mostNumbers*len(standIn(0)))
			}
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
func standIn(n int) string {
	if n < len(standIns) {
		return standIns[n]
	}
	return strconv.Itoa(standsFrom + n)
}

const (
	standsFrom = 100_000
	// mostNumbers is how many numbers most texts have at most that have any.
	mostNumbers = 8
)

var standIns = func() (all [mostNumbers]string) {
	for n := range all {
		all[n] = strconv.Itoa(standsFrom + n)
	}
	return all
}()

// With puts back the number that another one stands for, of a text of which this operand is the
// folded one's.
func (o Operand) With(numbers []string) Operand {
	if o.Kind == Number && len(numbers) > 0 {
		if n, err := strconv.Atoi(o.Text); err == nil && n >= standsFrom && n-standsFrom < len(numbers) {
			o.Text = numbers[n-standsFrom]
		}
	}
	return o
}
