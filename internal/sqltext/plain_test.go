package sqltext

import (
	"strings"
	"testing"
)

func TestPlainTextsHoldNoValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dialect, sql, want string }{
		{"sqlite", "SELECT * FROM `users` WHERE name = 'bob' AND age>=21 ORDER BY `users`.`id` LIMIT 1", "SELECT * FROM users WHERE name = ? AND age >= ? ORDER BY users.id LIMIT ?"},
		{"postgres", `SELECT "id" FROM "users" WHERE id IN ($1,$2,$3) AND x = $4`, "SELECT id FROM users WHERE id IN (?) AND x = ?"},
		{"mysql", `INSERT INTO t (a,b) VALUES (1,"x"),(2,"y") -- secret`, "INSERT INTO t(a, b) VALUES (?)"},
		{"sqlite", `select count(*) from t where a = "secret" /* secret */`, "select count(*) from t where a = ?"},
		{"postgres", "select $q$secret$q$, x'5ec7e7', 0x5ec7e7, 1e5, E'secret'", "select ?, x ?, E ?"},
		{"mysql", `select 'it\'s secret'`, ""},
		{"postgres", "select 'secret", ""},
		{"sqlite", "select \x00secret", ""},
		{"", "", ""},
	} {
		got := Plain(c.dialect, c.sql)
		if got != c.want {
			t.Errorf("%s %s\n got %q\nwant %q", c.dialect, c.sql, got, c.want)
		}
		if strings.Contains(got, "secret") || strings.Contains(got, "5ec7e7") {
			t.Errorf("%s %s: %q shows a value", c.dialect, c.sql, got)
		}
	}
}
