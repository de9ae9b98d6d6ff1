package sqltext

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// numbered writes the bind values of a text as a dialect has them.
func numbered(dialect, sql string) string {
	if dialect != postgres {
		return sql
	}
	sql = strings.ReplaceAll(sql, "`", `"`)
	for n := 1; strings.Contains(sql, "?"); n++ {
		sql = strings.Replace(sql, "?", fmt.Sprint("$", n), 1)
	}
	return sql
}

var shortTexts = []string{
	"SELECT * FROM `t` WHERE a IN (?,?,?)",
	"SELECT * FROM `t` WHERE a IN (?) AND b = ? AND c IN (?,?) AND d = ? LIMIT ?",
	"SELECT * FROM `t` WHERE `t`.`a` IN (?,?) AND `t`.`deleted_at` IS NULL ORDER BY `t`.`a` LIMIT 25 OFFSET 75",
	"SELECT * FROM `t` WHERE a NOT IN (?,?) LIMIT 0",
	"SELECT * FROM `t` WHERE a = ? LIMIT -1 OFFSET 75",
	"SELECT * FROM `t` WHERE a = ? LIMIT 7",
	"SELECT * FROM `t` WHERE (a,b) IN ((?,?),(?,?)) AND c IN (?,?)",
	"SELECT * FROM `t` WHERE coalesce(?,?) = a AND b IN (?, ?)",
	"SELECT `t`.`a`, o.b AS o__b FROM `t` LEFT JOIN o ON o.a = `t`.`b` AND o.c IN (?,?) WHERE `t`.`a` IN (?,?,?) ORDER BY `t`.`b` LIMIT ?",
	"SELECT count(*) FROM `t` WHERE a IN (?,?) OR b IN (?,?)",
	"SELECT * FROM `t` WHERE `x IN (?,?)` = ? LIMIT 5",
	"SELECT * FROM `t` WHERE a IN (SELECT b FROM u WHERE c IN (?,?)) LIMIT 3",
	"SELECT * FROM `t` WHERE a IN (?,?,b)",
	"SELECT * FROM `t` WHERE a = 'IN (?,?)' LIMIT 9",
	"SELECT * FROM `t` WHERE a = ? -- LIMIT 9",
	"SELECT * FROM `t` WHERE a = random() AND b IN (?,?) LIMIT 9",
	"SELECT own(a) FROM `t` WHERE b IN (?,?) LIMIT 9 OFFSET 1",
	"SELECT * FROM `t` WHERE a BETWEEN ? AND ? AND b IN (?,?) AND c = 7",
	"SELECT * FROM `t` WHERE a IN (?,?) LIMIT 5 FOR UPDATE",
	"SELECT * FROM `t` WHERE r IN (?,?) AND s < ? AND e > ? LIMIT ?",
	"SELECT * FROM `t` WHERE s IN (?,?) AND (e > ? OR e IS NULL) AND r IN (?,?,?) AND x >= ?",
	"SELECT `t`.`a` FROM `t` JOIN `o` ON `o`.`a` = `t`.`b` WHERE `t`.`r` IN (?,?) AND `t`.`e` > ? AND `t`.`id` = ?",
	"SELECT * FROM `t` WHERE a IN (?,?",
}

// TestWhatIsMadeOfAShortTextIsMadeOfTheText: for all that is known of a query by its text.
func TestWhatIsMadeOfAShortTextIsMadeOfTheText(t *testing.T) {
	t.Parallel()
	for _, dialect := range []string{sqlite, mysql, postgres} {
		for _, sql := range shortTexts {
			sql = numbered(dialect, sql)
			short := Shorten(dialect, sql)
			got, want := Analyze(dialect, short.Text), Analyze(dialect, sql)
			for _, q := range []*Query{&got, &want} { // the ordinals of bind values are among the names
				q.Names = slices.DeleteFunc(q.Names, func(name string) bool { return strings.Trim(name, "$0123456789") == "" })
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s as %s: %+v, want %+v", dialect, sql, short.Text, got, want)
			}
			for name, shapeOf := range map[string]func(dialect, sql string) (Shape, bool){"Simple": Simple, "Joined": Joined} {
				want, ok := shapeOf(dialect, sql)
				got, same := shapeOf(dialect, short.Text)
				if ok != same || ok && !reflect.DeepEqual(short.Of(&got), &want) {
					t.Errorf("%s of %s: %s as %s:\n got %t %+v\nwant %t %+v", name, dialect, sql, short.Text, same, short.Of(&got), ok, want)
				}
			}
		}
	}
}

// TestTextsOfOneFormAreOne: whatever the lengths of their lists, their limits and offsets are.
func TestTextsOfOneFormAreOne(t *testing.T) {
	t.Parallel()
	for _, dialect := range []string{sqlite, mysql, postgres} {
		for _, form := range []string{
			"SELECT * FROM `t` WHERE a IN (%s) AND b = ? LIMIT %d OFFSET %d", "SELECT * FROM `t` WHERE a NOT IN (%s) AND c IN (?,?) LIMIT %d OFFSET %d",
		} {
			one := Shorten(dialect, numbered(dialect, fmt.Sprintf(form, "?,?", 5, 20)))
			other := Shorten(dialect, numbered(dialect, fmt.Sprintf(form, "?,?,?,?", 10, 7)))
			if one.Text != other.Text || one.Text == fmt.Sprintf(form, "?,?", 5, 20) {
				t.Errorf("%s: %s and %s", dialect, one.Text, other.Text)
			}
		}
	}
}
