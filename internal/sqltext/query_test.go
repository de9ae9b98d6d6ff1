package sqltext

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAnalyzeTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dialects, sql, tables string }{
		{"", "SELECT 1", ""},
		{"", "SELECT * FROM users", "users"},
		{"", "SELECT * FROM Main.Users AS u, pets p JOIN \"Toys\" ON f = g, more", "more,pets,toys,users"},
		{"", "SELECT * FROM (a CROSS JOIN b), c", "a,b,c"},
		{"", "SELECT * FROM (a, (b JOIN c ON 1=1)) WHERE x, y", "a,b,c"},
		{"", "SELECT a, b FROM (SELECT c, d FROM x) y, z", "x,z"},
		{"", "SELECT (SELECT max(a, b) FROM x), c FROM y WHERE d IN (SELECT e FROM z)", "x,y,z"},
		{"", "WITH r AS (SELECT * FROM a), s(x) AS (SELECT * FROM r) SELECT * FROM s", "a,r,s"},
		{"", "SELECT * FROM a UNION SELECT * FROM b UNION ALL TABLE c", "a,b,c"},
		{"", "SELECT * FROM a LEFT JOIN b ON a.x = b.y, c WHERE d = 1", "a,b,c"},
		{"", "SELECT extract(year FROM ts), trim(both 'x' FROM y), substring(z FROM 2) FROM a", "a"},
		{"", "SELECT a IS DISTINCT FROM b, c IS NOT DISTINCT FROM d FROM e", "e"},
		{"", "SELECT trim((SELECT x FROM y)) FROM a", "a,y"},
		{"", "SELECT x, count(*) FROM a GROUP BY x, y ORDER BY x, y", "a"},
		{"", "SELECT x FROM a ORDER BY x LIMIT 1, 2", "a"},
		{"", "SELECT * FROM \"my.table\"", "my.table"},
		{"", "SELECT * FROM/**/users", "users"},
		{"", "SELECT * FROM users/**/,/**/pets", "pets,users"},
		{"", "SELECT * FROM ?", "?"},
		{"", "VALUES (1, 'a'), (2, 'b')", ""},
		{"", "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(x, y), u", "u"},
		{"", "SELECT * FROM json_each('[1]'), users", "users"},
		{"", "SELECT * FROM fts('x')", "fts"},
		{"", "SELECT * FROM 2024_users", "2024_users"},
		{"", "SELECT * FROM größe JOIN 🎉", "größe,🎉"},
		{"", "SELECT 1 WHERE 1 IN users", "users"},
		{"", "SELECT 1 WHERE 1 IN (users)", ""},
		{"", "SELECT position('a' IN b) FROM c", "c"},
		{"sqlite", "SELECT * FROM 'users', [a b], `c`", "a b,c,users"},
		{"sqlite", "SELECT * FROM a offset, b", "a,b"},
		{"mysql", "SELECT * FROM a USE INDEX FOR JOIN (i), b", "a,b"},
		{"mysql", "SELECT * FROM `a`.`b`, c . d STRAIGHT_JOIN e", "b,d,e"},
		{"mysql", "SELECT match(a) against ('x' IN BOOLEAN MODE) FROM t", "t"},
		{"mysql", "SELECT * FROM only o", "only"},
		{"postgres", "SELECT * FROM ONLY users, LATERAL (SELECT * FROM pets) p", "pets,users"},
		{"postgres", "SELECT * FROM users *, pets", "pets,users"},
		{"postgres", "SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(a)) x, users", "users"},
		{"sqlserver", "SELECT * FROM db..users CROSS APPLY (SELECT * FROM pets) p", "pets,users"},
		{"sqlserver", "SELECT * FROM #t, [dbo].[My Users] WITH (INDEX(a)), c", "#t,c,my users"},
	} {
		in := strings.Fields(c.dialects)
		if len(in) == 0 {
			in = dialects
		}
		for _, d := range in {
			if got := strings.Join(Analyze(d, c.sql).Tables, ","); got != c.tables {
				t.Errorf("Analyze(%q, %q).Tables = %q, want %q", d, c.sql, got, c.tables)
			}
		}
	}
}

func TestAnalyzeVolatile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dialects, sql, want string }{
		{"", "SELECT random()", "random"},
		{"", "SELECT * FROM t ORDER BY RAND ()", "rand"},
		{"", "SELECT NOW()", "now"},
		{"", "SELECT pg_catalog.now()", "now"},
		{"", "SELECT uuid_generate_v4()", "uuid_generate_v4"},
		{"", "SELECT uuid_generate_v5(a, 'b') FROM t", ""},
		{"", "SELECT current_timestamp", "current_timestamp"},
		{"", "SELECT CURRENT_TIMESTAMP(6)", "current_timestamp"},
		{"", "SELECT localtime", "localtime"},
		{"", "SELECT age(a) FROM t", "age"},
		{"", "SELECT current_user", "current_user"},
		{"", "SELECT nextval('x')", "nextval"},
		{"", "SELECT last_insert_rowid()", "last_insert_rowid"},
		{"", "SELECT txid_current()", "txid_current"},
		{"", "SELECT pg_current_wal_lsn()", "pg_current_wal_lsn"},
		{"", "SELECT pg_advisory_lock(1)", "pg_advisory_lock"},
		{"", "SELECT pg_sleep(1)", "pg_sleep"},
		{"", "SELECT version()", ""},
		{"", "SELECT * FROM t TABLESAMPLE SYSTEM (10)", "tablesample"},
		{"", "SELECT * FROM t WHERE rownum < 5", "rownum"},
		{"", "SELECT NEXT VALUE FOR s", "next"},
		{"", "SELECT s.nextval", "nextval"},
		{"", "SELECT SQL_CALC_FOUND_ROWS * FROM t", "sql_calc_found_rows"},
		{"", "SELECT date('now')", "now"},
		{"", "SELECT * FROM t WHERE d > ' Yesterday '", " Yesterday "},
		{"", "SELECT date()", "date"},
		{"", "SELECT datetime(?)", "datetime"},
		{"", "SELECT date($1)", "date"},
		{"", "SELECT strftime('%Y')", "strftime"},
		{"", "SELECT strftime('%Y', a) FROM t", ""},
		{"", "SELECT date(created_at) FROM t WHERE id = ?", ""},
		{"", "SELECT date(lower(?))", "date"},
		{"", "SELECT unixepoch('subsec')", "subsec"},
		{"", "SELECT name, status, value, date, time, timestamp, version FROM t", ""},
		{"", "SELECT u.user, u.current_date FROM u", ""},
		{"", `SELECT "user", "current_timestamp" FROM u`, ""},
		{"sqlite mysql", "SELECT user FROM u", ""},
		{"postgres sqlserver other", "SELECT user FROM u", "user"},
		{"", "SELECT 'current_timestamp'", ""},
		{"", "SELECT a FROM t -- now()", ""},
		{"mysql other", "SELECT @x", "@x"},
		{"", "SELECT @@version", "@@version"},
		{"mysql", "SELECT @`x y`", "@"},
		{"sqlite sqlserver", "SELECT @p1", ""},
		{"sqlserver sqlite", "SELECT date(@p1)", "date"},
		{"postgres", "SELECT a @> b, a @@ c, @d", ""},
		{"postgres", "SELECT a @@to_tsquery('x') FROM t", ""},
		{"postgres", `SELECT E'no\x77'::date`, `no\x77`},
		{"postgres", "SELECT ('to'\n'day')::date", "day"},
		{"mysql", "SELECT utc_date", "utc_date"},
	} {
		in := strings.Fields(c.dialects)
		if len(in) == 0 {
			in = dialects
		}
		for _, d := range in {
			q := Analyze(d, c.sql)
			got := q.Volatile
			if q.Unknown != "" && len(c.dialects) == 0 {
				continue // not built into this dialect: refused for that
			}
			if strings.HasPrefix(c.sql, "SELECT @@") && d == postgres {
				continue // an operator
			}
			if got != c.want {
				t.Errorf("Analyze(%q, %q).Volatile = %q, want %q", d, c.sql, got, c.want)
			}
		}
	}
}

func TestAnalyzeReadsAndUnknown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialects, sql, unknown string
		reads                  bool
	}{
		{"", "SELECT * FROM users", "", true},
		{"", "(SELECT 1) UNION (SELECT 2);", "", true},
		{"", "WITH a AS (SELECT 1) SELECT * FROM a", "", true},
		{"", "VALUES (1)", "", true},
		{"", "", "", false},
		{"", "SHOW TABLES", "", false},
		{"", "EXPLAIN SELECT 1", "", false},
		{"", "SELECT 1; SELECT 2", "", false},
		{"", "SELECT * INTO x FROM y", "", false},
		{"", "SELECT * FROM t FOR UPDATE", "", false},
		{"", "SELECT * FROM t FOR SHARE", "", false},
		{"", "SELECT * FROM t FOR NO KEY UPDATE", "", false},
		{"", "SELECT * FROM t FOR KEY SHARE", "", false},
		{"", "SELECT * FROM t LOCK IN SHARE MODE", "", false},
		{"", "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", "", false},
		{"", "INSERT INTO t VALUES (1)", "", false},
		{"sqlserver other", "SELECT * FROM t WITH (NOLOCK)", "", false},
		{"sqlserver", "SELECT 1 EXEC evil", "", false},
		{"", "SELECT evil(1)", "evil", true},
		{"", "SELECT my.lower(1)", "my.lower", true},
		{"", "SELECT * FROM ts_stat('SELECT v FROM t')", "ts_stat", true},
		{"", "SELECT to_archive(1)", "to_archive", true},
		{"", "SELECT lower(a), coalesce(d, 1), count(*) FROM t", "", true},
		{"sqlite mysql", "SELECT json_extract(b, '$.x') FROM t", "", true},
		{"postgres", "SELECT json_extract(b, '$.x') FROM t", "json_extract", true},
		{"postgres", "SELECT to_char(c, 'YYYY'), jsonb_array_length(d) FROM t", "", true},
		{"postgres mysql", "SELECT total(a) FROM t", "total", true},
		{"sqlite", "SELECT total(a) FROM t", "", true},
		{"mysql", "SELECT family(a) FROM t", "family", true},
		{"postgres mysql sqlite", "SELECT json_mine(a) FROM t", "json_mine", true},
		{"postgres mysql sqlite", "SELECT st_mine(a) FROM t", "st_mine", true},
		{"postgres mysql sqlite", "SELECT regexp_mine(a) FROM t", "regexp_mine", true},
		{"", "SELECT 'open", "?", false},
		{"", "SELECT /*!1*/ 2", "?", false},
		{"", "SELECT \x00", "?", false},
		{"", "SELECT a\u00a0FROM t", "?", false},
		{"", "SELECT {fn lower('A')}", "{", true},
		{"postgres sqlite sqlserver", `SELECT 1 FROM t WHERE a LIKE '\%' ESCAPE '\'`, "", true},
		{"postgres", `SELECT regexp_replace(a, '\s+', '') FROM t`, "", true},
	} {
		in := strings.Fields(c.dialects)
		if len(in) == 0 {
			in = dialects
		}
		for _, d := range in {
			q := Analyze(d, c.sql)
			if q.Unknown != c.unknown || q.Reads != c.reads {
				t.Errorf("Analyze(%q, %q) = unknown %q, reads %v; want %q, %v", d, c.sql, q.Unknown, q.Reads, c.unknown, c.reads)
			}
		}
	}
}

var seeds = []string{
	"SELECT * FROM users", "UPDATE a.b SET c = 'x\\'' --'", "a/*b*/\"c\"`d`[e]$f$g$f$#h\n@i :j ?k",
	"'", "\"", "`", "[", "$", "$$", "$a$", "/*", "/*!", "--", "#", "@@", "@", ":", "::=", "0x", "1e+", "1.e.2a",
	"\x00", "\xff\xfe", "U&'", "q'[", "((((", "))))", "é.ü(", "SELECT FROM WHERE IN JOIN , , (", "E'\\", "$a(", "🎉", "-.5-a",
}

// mustEnd fails a fuzz target that does not come to an end: the fuzzer itself
// would wait, execute nothing more, and pass.
func mustEnd(input string) (done func()) {
	timer := time.AfterFunc(10*time.Second, func() { panic(fmt.Sprintf("no end of %q", input)) })
	return func() { timer.Stop() }
}

func FuzzClassify(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		defer mustEnd(s)()
		for _, d := range dialects {
			if got := Classify(d, s); got.Kind > Everything {
				t.Errorf("Classify(%q, %q) = %v", d, s, got)
			}
			// A quoted name is always found, whatever is in it.
			quotes := map[string][]string{sqlite: {`""`, "``", "[]"}, mysql: {"``"}, postgres: {`""`}, sqlserver: {`""`, "[]"}}[d]
			if s == "" || foreign(s) {
				continue
			}
			for _, q := range quotes {
				name := s
				switch {
				case q != "[]":
					name = strings.ReplaceAll(s, q[:1], q)
				case d == sqlserver:
					name = strings.ReplaceAll(s, "]", "]]")
				case strings.Contains(s, "]"):
					continue
				}
				sql := "UPDATE " + q[:1] + name + q[1:] + " SET a = 1"
				got := Classify(d, sql)
				if got.Kind == Read || !slices.Contains(got.Names, strings.ToLower(s)) {
					t.Errorf("Classify(%q, %q) = %v %q, want the name %q", d, sql, got.Kind, got.Names, strings.ToLower(s))
				}
				if tables := Analyze(d, "SELECT 1 FROM "+q[:1]+name+q[1:]).Tables; !slices.Contains(tables, strings.ToLower(s)) {
					t.Errorf("%s: tables %q, want %q", d, tables, s)
				}
			}
		}
	})
}

func FuzzAnalyze(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		defer mustEnd(s)()
		for _, d := range dialects {
			q := Analyze(d, s)
			if q.Reads && Classify(d, s).Kind != Read && q.Unknown == "" {
				t.Errorf("%s %q: Analyze calls a read what Classify does not: %v", d, s, Classify(d, s).Kind)
			}
			if q.Reads && q.Unknown == "?" {
				t.Errorf("%s %q: a read that is not understood", d, s)
			}
			for _, name := range q.Tables {
				if name != "" && !slices.Contains(q.Names, name) && !neverNames.has(name) && name != "?" && len(name) <= longestName &&
					!strings.Contains(name, "\n") {
					t.Errorf("%s %q: table %q is not among the names %q", d, s, name, q.Names)
				}
			}
			Fold(s)
			_ = MovingTime(s) || MovingTime(" "+s)
		}
	})
}

// TestPartsOfStatementsAreRead: what begins or ends in the middle of a statement is no reason to
// panic.
func TestPartsOfStatementsAreRead(t *testing.T) {
	t.Parallel()
	for _, s := range append([]string{"SELECT DISTINCT a.b, c::int FROM t AS x WHERE EXTRACT(year FROM y) IS DISTINCT FROM 1 LIMIT 1"}, seeds...) {
		for i := range s {
			if i > 0 && nameByte(s[i]) == nameByte(s[i-1]) {
				continue
			}
			for _, part := range []string{s[:i], s[i:]} {
				for _, d := range dialects {
					func() {
						defer func() {
							if r := recover(); r != nil {
								t.Errorf("%s %q: %v", d, part, r)
							}
						}()
						Classify(d, part)
						Analyze(d, part)
						Simple(d, part)
					}()
				}
			}
		}
	}
}
