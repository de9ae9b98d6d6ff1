package template

import "testing"

// TestWhoseColumnsAreThoseOfTheTable: a count of all rows has one column, whatever the table has.
func TestWhoseColumnsAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	for sql, starred := range map[string]bool{
		"SELECT * FROM t":                          true,
		"SELECT t.* FROM t":                        true,
		"SELECT a FROM t":                          false,
		"SELECT count(*) FROM t":                   false,
		"SELECT COUNT( * ) FROM t":                 false,
		"SELECT a, count(*) FROM t WHERE b = 2":    false,
		"SELECT count(*), t.* FROM t":              true,
		"SELECT (* ) FROM t":                       true,
		"SELECT b FROM (SELECT * FROM t) WHERE 1":  true,
		"SELECT Count(\n*\t) AS n, * FROM t":       true,
		"SELECT count(*) FROM t HAVING count(*)>1": false,
	} {
		if got := isStarred("sqlite", sql); got != starred {
			t.Errorf("%s: %t", sql, got)
		}
		if isStarred("postgres", sql) {
			t.Errorf("%s: starred on PostgreSQL", sql)
		}
	}
}
