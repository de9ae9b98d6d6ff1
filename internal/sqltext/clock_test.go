package sqltext

import (
	"slices"
	"testing"
)

// A query that asks for the current time alone is told from one that asks for chance, too.
func TestWhatChangesWithTheClockAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect, sql string
		volatile     string
		clock        bool
	}{
		{postgres, "SELECT now()", "now", true},
		{postgres, "SELECT * FROM t WHERE at > now() - interval '1 day'", "now", true},
		{postgres, "SELECT current_date, localtimestamp", "current_date", true},
		{postgres, "SELECT CURRENT TIMESTAMP", "current", true},
		{postgres, "SELECT CURRENT USER", "current", false},
		{postgres, "SELECT * FROM t WHERE at > 'yesterday'", "yesterday", true},
		{postgres, `SELECT * FROM t WHERE at > E'\u006eow'`, `\u006eow`, false},
		{postgres, "SELECT age(at) FROM t", "age", true},
		{postgres, "SELECT now(), random()", "now", false},
		{postgres, "SELECT random()", "random", false},
		{postgres, "SELECT current_user, now()", "current_user", false},
		{postgres, "SELECT nextval('s')", "nextval", false},
		{sqlite, "SELECT date('now')", "now", true},
		{sqlite, "SELECT date()", "date", true},
		{sqlite, "SELECT strftime('%s', ?)", "strftime", true},
		{sqlite, "SELECT changes()", "changes", false},
		{mysql, "SELECT UNIX_TIMESTAMP()", "unix_timestamp", true},
		{mysql, "SELECT NOW(), @x", "@x", false},
		{mysql, "SELECT RAND()", "rand", false},
		{mysql, "SELECT SLEEP(1), NOW()", "sleep", false},
		{sqlite, "SELECT 1", "", false},
	} {
		if q := Analyze(c.dialect, c.sql); q.Volatile != c.volatile || q.Clock != c.clock {
			t.Errorf("%s %q: changes with %q, with the clock alone %v; want %q, %v", c.dialect, c.sql, q.Volatile, q.Clock, c.volatile, c.clock)
		}
	}
}

// The table of the outermost FROM is told from those of subqueries before it.
func TestTheFirstTable(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"SELECT * FROM users":                                     "users",
		"SELECT * FROM Users AS u JOIN pets p ON p.u = u.id":      "users",
		"SELECT (SELECT count(*) FROM pets) FROM users":           "users",
		"SELECT extract(year FROM at) FROM users":                 "users",
		"SELECT a IS DISTINCT FROM b FROM users":                  "users",
		"SELECT * FROM (SELECT * FROM pets) AS p, users":          "pets",
		"(SELECT id FROM users) UNION (SELECT id FROM pets)":      "users",
		"SELECT id FROM users UNION SELECT id FROM pets":          "users",
		"WITH x AS (SELECT * FROM pets) SELECT * FROM x":          "x",
		"SELECT * FROM public.users":                              "users",
		`SELECT * FROM "Users" WHERE id IN (SELECT id FROM pets)`: "users",
		"SELECT 1":                            "",
		"VALUES (1)":                          "",
		"SELECT * FROM generate_series(1, 2)": "",
	} {
		if got := Analyze(postgres, sql).From; got != want {
			t.Errorf("%q: from %q, want %q", sql, got, want)
		}
	}
}

// A function of the user's own counts as one that does anything, unless it is said to be pure.
func TestPureFunctions(t *testing.T) {
	t.Parallel()
	const sql = "SELECT slugify(name), app.near(at) FROM users"
	if q := Analyze(postgres, sql); !slices.Equal(q.Functions, []string{"slugify", "app.near"}) || q.Unknown != "slugify" {
		t.Errorf("the functions %q, unknown %q", q.Functions, q.Unknown)
	}
	for _, c := range []struct {
		sql  string
		pure []string
		want Kind
	}{
		{sql, nil, Everything},
		{sql, []string{"slugify"}, Everything},
		{sql, []string{"slugify", "near"}, Everything},
		{sql, []string{"slugify", "app.near"}, Read},
		{"UPDATE users SET slug = slugify(name)", []string{"slugify"}, Write},
		{"SELECT slugify(name); DROP TABLE users", []string{"slugify"}, Everything},
		{"CALL slugify()", []string{"slugify"}, Everything},
	} {
		if got := Classify(postgres, c.sql, c.pure...); got.Kind != c.want {
			t.Errorf("%q with %q: %v, want %v", c.sql, c.pure, got.Kind, c.want)
		}
	}
	if got := Classify(postgres, "SELECT (u).slugify FROM users u", "slugify"); len(got.Attributes) != 0 {
		t.Errorf("%v are functions", got.Attributes)
	}
}
