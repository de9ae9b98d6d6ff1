package sqltext

import (
	"slices"
	"testing"
)

func TestReferencesAreAsWritten(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		dialect, sql string
		want         []Reference
	}{
		{"sqlite", "SELECT * FROM `users`", []Reference{{"users", true}}},
		{"postgres", `SELECT * FROM "public"."Users"`, []Reference{{"public.Users", true}}},
		{"postgres", `SELECT * FROM Users u JOIN audit.log ON 1 = 1`, []Reference{{"Users", false}, {"audit.log", false}}},
		{"mysql", "SELECT * FROM `a`, b WHERE id IN (SELECT id FROM `C`)", []Reference{{"C", true}, {"a", true}, {"b", false}}},
		{"sqlite", `SELECT * FROM "my.table"`, []Reference{{"my.table", true}}},
	} {
		if got := Analyze(test.dialect, test.sql).References; !slices.Equal(got, test.want) {
			t.Errorf("%s: %s: %v, want %v", test.dialect, test.sql, got, test.want)
		}
	}
}
