package sqltext

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestATextWithoutItsNumbersIsReadAlike: whatever is read of a folded text, with its numbers put back, is
// what is read of the text.
func TestATextWithoutItsNumbersIsReadAlike(t *testing.T) {
	t.Parallel()
	parts := []string{
		"UPDATE users SET", "SELECT id, name FROM users", "DELETE FROM users", "INSERT INTO users (id, a) VALUES", "WHERE", "AND", "OR", "NOT",
		"id", "a", "name", "t1", "1e5", "2024_users", "x1y", "=", "<", ">=", "<>", "IN", "(", ")", ",", "1", "12", "100000", "100001", "0100001", "100001.0", "x100000", "007", "0", "1.5", ".5", "5.",
		"-1", "- 1", "+2", "0x1F", "1e", "LIMIT", "OFFSET", "ORDER BY", "GROUP BY", "BETWEEN", "IS NULL", "NULL", "true", "count(*)", "abs(", "now()", "CASE WHEN", "THEN", "END",
		";", "'1'", "' 1 '", "\"1\"", "`1`", "[1]", "--", "/*", "*/", "#", "$1", "?", "?1", ":1", "@1", "\\", "{1}", "::int", "e", "E", "é", "_1", "1_000", "9_", "||", "%", "/", "*",
		"ON CONFLICT (id) DO UPDATE SET", "RETURNING id", "SAVEPOINT", "BEGIN", "COMMIT", "DATE", "INTERVAL", "X", "N", "\n", "\t",
	}
	plain := slices.DeleteFunc(slices.Clone(parts), func(part string) bool { return strings.ContainsAny(part, "'\"`[]#$@:?\\{}*-") })
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		parts := parts
		if rapid.Bool().Draw(t, "plain") {
			parts = plain
		}
		for range rapid.IntRange(1, 16).Draw(t, "parts") {
			b.WriteString(rapid.SampledFrom(parts).Draw(t, "part"))
			b.WriteString(rapid.SampledFrom([]string{" ", " ", " ", ""}).Draw(t, "blank"))
		}
		checkNumbers(t, b.String())
	})
	for _, sql := range []string{
		"UPDATE users SET a = 1, b = a + 2 WHERE id = 3 AND c IN (4, 5,6) AND d=7",
		"DELETE FROM users WHERE (id, a) IN ((1, 2), (3, 4)) LIMIT 5",
		"INSERT INTO users (id, a) VALUES (1, 2), (3, 4) ON CONFLICT (id) DO UPDATE SET a = 5",
		"SELECT a FROM users WHERE id = 1 ORDER BY 2 LIMIT 3 OFFSET 4",
		"UPDATE users SET a = 100001 WHERE id = 100000",
		"UPDATE users SET a = 1 WHERE id = 100002",
	} {
		checkNumbers(t, sql)
		checkNumbers(t, sql+" AND e = 0100001 AND f = 100001.5 AND g = 00100000")
		if _, numbers := WithoutNumbers(sql); len(numbers) == 0 {
			t.Errorf("%s: nothing was folded", sql)
		}
	}
}

func checkNumbers(t interface {
	Helper()
	Fatalf(string, ...any)
}, sql string,
) {
	t.Helper()
	folded, numbers := WithoutNumbers(sql)
	if again, same := WithoutNumbers(folded); len(numbers) > 0 && (again != folded || len(same) != len(numbers)) {
		t.Fatalf("%q folds to %q, and that to %q", sql, folded, again)
	}
	for _, dialect := range []string{"sqlite", "mysql", "postgres", "sqlserver", ""} {
		if want, got := Classify(dialect, sql), Classify(dialect, folded); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %q folds to %q, which is %+v, not %+v", dialect, sql, folded, got, want)
		}
		want, simple := Simple(dialect, sql)
		got, too := Simple(dialect, folded)
		if simple != too {
			t.Fatalf("%s: %q is simple: %t; %q is: %t", dialect, sql, simple, folded, too)
		}
		putBack(got, numbers)
		if simple && !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %q folds to %q, whose shape is %+v, not %+v", dialect, sql, folded, got, want)
		}
	}
}

// putBack puts numbers back into the operands of a shape.
func putBack(shape Shape, numbers []string) {
	rows := slices.Clone(shape.Rows)
	for _, pin := range shape.Pins {
		rows = append(rows, pin.Values...)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = row[i].With(numbers)
		}
	}
	for i := range shape.Set {
		shape.Set[i].Value = shape.Set[i].Value.With(numbers)
	}
}
