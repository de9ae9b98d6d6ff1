package sqltext

import (
	"slices"
	"strings"
	"testing"
)

var dialects = []string{sqlite, mysql, postgres, sqlserver, "clickhouse"}

func TestClassifyKinds(t *testing.T) {
	t.Parallel()
	const any = "*" // every dialect
	for _, c := range []struct {
		dialect, sql string
		kind         Kind
		name         string
	}{
		{any, "", Read, ""},
		{any, "  \n;; ", Read, ""},
		{any, "-- only a comment", Read, ""},
		{any, "/* only a comment */", Read, ""},
		{any, "SELECT 1", Read, ""},
		{any, "select * from users where id = ?", Read, ""},
		{any, " ;( SELECT id FROM users) UNION (SELECT id FROM pets)", Read, ""},
		{any, "/* c */ -- d\nSELECT * FROM users;", Read, ""},
		{any, "WITH a AS (SELECT 1) SELECT * FROM a", Read, ""},
		{any, "WITH a (x, y) AS (SELECT 1, 2), b(z) AS (SELECT 3) SELECT * FROM a, b", Read, ""},
		{any, "VALUES (1), (2)", Read, ""},
		{any, "TABLE users", Read, ""},
		{postgres, "TRUNCATE users", Write, ""},
		{postgres, `TRUNCATE TABLE ONLY "shop"."users", pets * RESTART IDENTITY RESTRICT`, Write, ""},
		{postgres, "TRUNCATE users CASCADE", Everything, ""},
		{postgres, "TRUNCATE users, pets RESTART IDENTITY CASCADE", Everything, ""},
		{postgres, "TRUNCATE users,", Everything, ""},
		{postgres, "TRUNCATE", Everything, ""},
		{postgres, "TRUNCATE users; DELETE FROM pets", Write, ""},
		{postgres, "TRUNCATE users; COMMIT", Everything, ""},
		{mysql, "TRUNCATE TABLE users", Everything, ""},
		{sqlite, "TRUNCATE users", Everything, ""},
		{any, "SHOW TABLES", Read, ""},
		{any, "SHOW CREATE TABLE users", Read, ""},
		{any, "DESCRIBE users", Read, ""},
		{any, "DESC users", Read, ""},
		{any, "EXPLAIN SELECT * FROM users", Read, ""},
		{any, "EXPLAIN (ANALYZE, BUFFERS) SELECT 1", Read, ""},
		{any, "EXPLAIN (ANALYZE) DELETE FROM users", Write, ""},
		{any, "EXPLAIN ANALYZE UPDATE users SET a = 1", Write, ""},
		{any, "EXPLAIN ANALYZE EXECUTE plan1", Everything, ""},
		{any, "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", Everything, ""},
		{any, "EXPLAIN QUERY PLAN SELECT * FROM users", Read, ""},
		{mysql, "EXPLAIN FORMAT=JSON SELECT 1", Read, ""},
		{mysql, "EXPLAIN ANALYZE FORMAT = TREE SELECT 1", Read, ""},
		{any, "SELECT * FROM users FOR UPDATE", Read, ""},
		{any, "SELECT * FROM users FOR NO KEY UPDATE", Read, ""},
		{any, "SELECT * FROM users u FOR UPDATE OF u NOWAIT", Read, ""},
		{any, "SELECT * FROM users LOCK IN SHARE MODE", Read, ""},
		{any, "SELECT replace(name, 'a', 'b') FROM users", Read, ""},
		{any, "SELECT `a`.update FROM x AS a", 255, ""}, // only: no panic
		{any, "SELECT 'delete from users'", Read, ""},
		{any, "SELECT nextval('s')", Read, ""},
		{any, "SELECT pg_advisory_lock(1)", Read, ""},
		{any, "SELECT sleep(1)", Read, ""},
		{any, "SELECT count(*), lower(name) FROM users GROUP BY lower(name)", Read, ""},
		{any, "SELECT CAST(a AS varchar(20)), CAST(b AS decimal(10,2)) FROM t", Read, ""},
		{any, "SELECT * FROM t WHERE a IN (1) AND (b = 2) OR NOT (c) AND EXISTS (SELECT 1)", Read, ""},
		{any, "SELECT row_number() OVER (PARTITION BY a ORDER BY b) FROM t", Read, ""},
		{any, "SELECT * FROM (SELECT 1) x(a) JOIN y USING (id)", Read, ""},
		{postgres, "SELECT a::varchar(20), b::numeric(10,2)", Read, ""},
		{postgres, "SELECT count(*) FILTER (WHERE a) FROM t", Read, ""},
		{postgres, "SELECT pg_catalog.lower('A')", Read, ""},

		{any, "INSERT INTO users (a, b) VALUES (?, ?)", Write, ""},
		{any, "INSERT INTO main.users (a) SELECT lower(b) FROM pets", Write, ""},
		{any, "INSERT INTO users (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2 RETURNING a", Write, ""},
		{any, "UPDATE users SET a = 1", Write, ""},
		{any, "DELETE FROM users", Write, ""},
		{any, "REPLACE INTO users VALUES (1)", Write, ""},
		{any, "MERGE INTO users USING s ON (a = b) WHEN MATCHED THEN DELETE", Write, ""},
		{any, "UPSERT INTO users VALUES (1)", Write, ""},
		{any, "COPY users (a, b) FROM STDIN", Write, ""},
		{any, "COPY users FROM PROGRAM 'rm'", Everything, ""},
		{mysql, "LOAD DATA INFILE 'x' INTO TABLE users FIELDS TERMINATED BY ',' (a, b)", Write, ""},
		{postgres, "LOAD 'lib'", Everything, ""},
		{any, "IMPORT INTO users", Write, ""},
		{any, "IMPORT TABLE FROM '/tmp/*.sdi'", Everything, ""},
		{any, "SELECT * INTO copy FROM users", Write, ""},
		{any, "WITH d AS (DELETE FROM users RETURNING *) SELECT * FROM d", Write, ""},
		{any, "WITH d AS (SELECT 1) INSERT INTO users SELECT * FROM d", Write, ""},
		{any, "SELECT 1; DELETE FROM users", Write, ""},
		{any, "SELECT 1;;DELETE FROM users", Write, ""},
		{any, "SELECT 1; DROP TABLE users", Everything, ""},
		{any, "/**/DELETE/**/FROM/**/users", Write, ""},
		{any, "SELECT 1/* it's */;DELETE FROM users", Write, ""},
		{any, "SELECT a/* it's */ FROM t;DELETE FROM users -- '", Write, ""},
		{any, "SELECT x FROM t WHERE a=\"b\";DELETE FROM users", Write, ""},
		{any, "INSERT INTO users SELECT evil()", Everything, ""},
		{any, "UPDATE users SET a = public.evil(1)", Everything, ""},
		{any, "SELECT public.lower(1)", Everything, ""},
		{any, "SELECT evil (1)", Everything, ""},
		{any, "SELECT evil/**/(1)", Everything, ""},
		{any, "SELECT \"evil\"(1)", Everything, ""},
		{any, "SELECT DISTINCT ON (a) evil(b) FROM t", Everything, ""},
		{any, "SELECT TOP (5) evil(b) FROM t", Everything, ""},
		{any, "SELECT * FROM evil(1) AS (a int)", Everything, ""},
		{any, "SELECT * FROM a, evil(1) AS (a int)", Everything, ""},
		{any, "SELECT setval('s', 1)", Everything, ""},
		{any, "SELECT set_config('a', 'b', false)", Everything, ""},
		{any, "SELECT lo_unlink(1)", Everything, ""},
		{any, "SELECT dblink_exec('x', 'y')", Everything, ""},
		{any, "SELECT query_to_xml('select 1')", Everything, ""},
		{any, "SELECT load_extension('x')", Everything, ""},

		{any, "CREATE TABLE x (a int)", Everything, ""},
		{any, "ALTER TABLE x ADD y int", Everything, ""},
		{any, "DROP TABLE x", Everything, ""},
		{any, "RENAME TABLE x TO y", Everything, ""},
		{any, "SET x = 1", Everything, ""},
		{postgres, "SET search_path = x", Everything, ""},
		{postgres, "SET SESSION x = 1", Everything, ""},
		{postgres, "SET CONSTRAINTS ALL IMMEDIATE", Everything, ""},
		{postgres, "SET LOCAL x = 1", Read, ""},
		{postgres, "SET LOCAL x = 1; DELETE FROM t", Write, ""},
		{postgres, "SET TRANSACTION READ ONLY", Read, ""},
		{mysql, "SET TRANSACTION READ ONLY", Everything, ""},
		{mysql, "SET LOCAL autocommit = 1", Everything, ""},
		{any, "PRAGMA foreign_keys = 1", Everything, ""},
		{any, "PRAGMA foreign_keys(1)", Everything, ""},
		{"sqlite", "PRAGMA foreign_keys", Read, ""},
		{"sqlite", "PRAGMA main.foreign_keys", Read, ""},
		{"sqlite", "PRAGMA main.table_info(users)", Read, ""},
		{"sqlite", "PRAGMA main.user_version = 3", Everything, ""},
		{any, "CALL p()", Everything, ""},
		{any, "EXEC p", Everything, ""},
		{any, "DO $$ BEGIN DELETE FROM users; END $$", Everything, ""},
		{any, "ATTACH 'x' AS y", Everything, ""},
		{any, "VACUUM", Everything, ""},
		{any, "ANALYZE", Everything, ""},
		{any, "GRANT ALL ON x TO y", Everything, ""},
		{any, "LOCK TABLES x WRITE", Everything, ""},
		{any, "USE other", Everything, ""},
		{any, "whatever", Everything, ""},
		{any, "?", Everything, ""},
		{any, "SELECT /*! 1 */ 2", Everything, ""},
		{any, "/*!50000 DELETE FROM users */", Everything, ""},
		{any, "/*M! DELETE FROM users */", Everything, ""},
		{any, "SELECT 'open", Everything, ""},
		{any, "SELECT \"open", Everything, ""},
		{any, "SELECT 1 /* open", Everything, ""},
		{any, "SELECT 1\x00; DELETE FROM users", Everything, ""},
		{any, "SELECT '\xff'", Everything, ""},
		{any, "SELECT 1 -- a\rDELETE FROM users", Everything, ""},

		{any, "SAVEPOINT sp1", Savepoint, "sp1"},
		{any, "savepoint \"SP 1\";", Savepoint, "sp 1"},
		{any, "SAVEPOINT", Everything, ""},
		{sqlserver, "SAVE TRANSACTION sp1", Savepoint, "sp1"},
		{postgres, "SAVEPOINT " + strings.Repeat("x", 63) + "y", Savepoint, strings.Repeat("x", 63)},
		{postgres, "ROLLBACK TO " + strings.Repeat("x", 61) + "\u00e4z", RollbackTo, strings.Repeat("x", 61) + "\u00e4"},
		{sqlite, "SAVEPOINT " + strings.Repeat("x", 63) + "y", Savepoint, strings.Repeat("x", 63) + "y"},
		{sqlserver, "SAVE TRAN " + strings.Repeat("x", 32) + "y", Savepoint, strings.Repeat("x", 32)},
		{sqlserver, "SAVE TRAN [Sp1]", Savepoint, "sp1"},
		{any, "ROLLBACK TO sp1", RollbackTo, "sp1"},
		{any, "ROLLBACK TO SAVEPOINT sp1", RollbackTo, "sp1"},
		{any, "ROLLBACK TRANSACTION TO SAVEPOINT sp1", RollbackTo, "sp1"},
		{any, "ROLLBACK WORK TO sp1", RollbackTo, "sp1"},
		{sqlserver, "ROLLBACK TRAN sp1", RollbackTo, "sp1"},
		{sqlserver, "ROLLBACK TRANSACTION sp1", RollbackTo, "sp1"},
		{sqlserver, "ROLLBACK TRAN", Rollback, ""},
		{any, "RELEASE SAVEPOINT sp1", Release, "sp1"},
		{any, "RELEASE sp1", Release, "sp1"},
		{any, "RELEASE savepoint", Release, "savepoint"},
		{any, "BEGIN", Begin, ""},
		{any, "BEGIN TRANSACTION;", Begin, ""},
		{any, "BEGIN IMMEDIATE", Begin, ""},
		{any, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", Begin, ""},
		{any, "START TRANSACTION WITH CONSISTENT SNAPSHOT", Begin, ""},
		{any, "START REPLICA", Everything, ""},
		{sqlserver, "BEGIN TRAN t1", Begin, ""},
		{sqlserver, "BEGIN TRAN UPDATE users SET a = 1", Everything, ""},
		{sqlserver, "BEGIN TRAN COMMIT", Everything, ""},
		{any, "BEGIN UPDATE users SET a = 1; END", Everything, ""},
		{any, "COMMIT", Commit, ""},
		{any, "END TRANSACTION", Commit, ""},
		{any, "COMMIT AND CHAIN", Everything, ""},
		{any, "COMMIT PREPARED 'x'", Everything, ""},
		{any, "ROLLBACK", Rollback, ""},
		{any, "ABORT", Rollback, ""},
		{any, "BEGIN; SELECT 1", Begin, ""},
		{any, "BEGIN; COMMIT", Everything, ""},
		{any, "SAVEPOINT a; DELETE FROM users", Everything, ""},

		// SQL Server needs no semicolons.
		{sqlserver, "SELECT 1 DELETE FROM users", Write, ""},
		{sqlserver, "SELECT 1 EXEC evil", Everything, ""},
		{sqlserver, "SELECT 1 TRUNCATE TABLE users", Everything, ""},
		{sqlserver, "INSERT INTO users EXEC evil", Everything, ""},
		{sqlserver, "UPDATE users SET a = 1 DROP TABLE pets", Everything, ""},

		// Backslashes.
		{sqlite, `SELECT 'a\' ; DELETE FROM users --'`, Write, ""},
		{postgres, `SELECT 'a\' ; DELETE FROM users --'`, Write, ""},
		{sqlserver, `SELECT 'a\' ; DELETE FROM users --'`, Write, ""},
		{mysql, `SELECT 1 WHERE x = 'a\' ; DELETE FROM users --'`, Write, ""},
		{mysql, `SELECT 'a\'' ; DELETE FROM users`, Write, ""},
		{postgres, `SELECT E'a\'' ; DELETE FROM users`, Write, ""},
		{postgres, `SELECT E'a\' ; DELETE FROM users --'`, Read, ""},
		{postgres, `SELECT 1 WHERE name LIKE 'a\%' ESCAPE '\'`, Read, ""},
		{sqlite, `SELECT 1 WHERE name LIKE 'a\%' ESCAPE '\'`, Read, ""},
		{mysql, `SELECT 'it\'s'`, Read, ""},
		{mysql, `SELECT "a\"; DELETE FROM users; -- "`, Write, ""},

		// Comments and dollar quotes.
		{postgres, "SELECT 1 /* /* */ ; DELETE FROM users */", Read, ""},
		{sqlite, "SELECT 1 /* /* */ ; DELETE FROM users -- */", Write, ""},
		{mysql, "SELECT 1 /* /* */ ; DELETE FROM users -- */", Write, ""},
		{mysql, "SELECT 1 --'\n; DELETE FROM users -- '", Read, ""},
		{mysql, "SELECT 1 --1 ; DELETE FROM users", Write, ""},
		{sqlite, "SELECT 1 --1 ; DELETE FROM users", Read, ""},
		{mysql, "SELECT 1 # '\n; DELETE FROM users # '", Write, ""},
		{postgres, "SELECT 1 # 2 ; DELETE FROM users", Write, ""},
		{postgres, "SELECT $$a;b'$$ ; DELETE FROM users", Write, ""},
		{postgres, "SELECT $x$ ; DELETE FROM users $x$", Read, ""},
		{postgres, "SELECT $x$ ; DELETE", Everything, ""},
		{sqlite, "SELECT $x$ ; DELETE FROM users $x$", Write, ""},
		{mysql, "SELECT $x$ ; DELETE FROM users $x$", Write, ""},
		{postgres, "SELECT a$x$, ';DELETE FROM users', $x$ FROM t", Everything, ""},
		{postgres, `SELECT U&"\0061"`, Everything, ""},
		{sqlite, "SELECT $a('); DELETE FROM users; SELECT $a(')", Everything, ""},
		{sqlite, "SELECT [a]]; DELETE FROM users --]", Write, ""},
		{sqlserver, "SELECT [a]]; DELETE FROM users --]", Read, ""},
		{sqlite, "SELECT `a;b` FROM t", Read, ""},
		{"oracle", "SELECT q'[it's]' FROM t", Everything, ""},
	} {
		for _, d := range dialects {
			if c.dialect != any && c.dialect != d {
				if d != dialects[0] || slices.Contains(dialects, c.dialect) {
					continue
				}
				d = c.dialect
			}
			got := Classify(d, c.sql)
			if c.kind == 255 {
				continue
			}
			want := c.kind
			if got.Kind != want && c.dialect == any && (exception(d, c.sql) || want == Read && Analyze(d, c.sql).Unknown != "") {
				continue
			}
			if got.Kind != want || got.Name != c.name {
				t.Errorf("Classify(%q, %q) = %v %q, want %v %q", d, c.sql, got.Kind, got.Name, want, c.name)
			}
			if k := got.Kind; (k == Read || k > Write && k < Everything) && got.Names != nil {
				t.Errorf("Classify(%q, %q): names %q of a %v", d, c.sql, got.Names, k)
			}
		}
	}
}

// exception: in these dialects the text is another one, and counts for more.
func exception(dialect, sql string) bool {
	switch {
	case strings.Contains(sql, "$$"), strings.HasPrefix(sql, "EXPLAIN ANALYZE CREATE"):
		return true
	case dialect == mysql && strings.HasPrefix(sql, "SELECT x FROM t WHERE a=\""):
		return true
	case dialect == "clickhouse" || dialect == sqlserver:
		return strings.HasPrefix(sql, "EXPLAIN ANALYZE EXECUTE")
	}
	return false
}

func TestNamesHoldEveryIdentifier(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialects string // separated by blanks; all if empty
		sql      string
		names    string // separated by commas
	}{
		{"", "UPDATE users SET a = b", "users,a,b"},
		{"", "UPDATE Main.Users SET a = 1", "main,users"},
		{"", "UPDATE main . users SET a = 1", "main,users"},
		{"", `UPDATE "Order" SET "my col" = 1`, "order,my col"},
		{"", `UPDATE "my.table" SET x = 1`, "my.table,my,table"},
		{"", `UPDATE "a"."b" SET x = 1`, "a,b"},
		{"", `UPDATE "a" . b SET x = 1`, "a,b"},
		{"", `UPDATE a."b".c SET x = 1`, "a,b,c"},
		{"", `UPDATE "we""ird" SET x = 1`, `we"ird`},
		{"sqlite mysql other", "UPDATE `group` SET `a``b` = 1", "group,a`b"},
		{"sqlite mysql other", "UPDATE `a`.`b` SET x = 1", "a,b"},
		{"sqlite mysql other", "UPDATE a.`b c` SET x = 1", "a,b c"},
		{"sqlite sqlserver other", "UPDATE [dbo].[my users] SET x = 1", "dbo,my users"},
		{"sqlserver other", "UPDATE [a]]b] SET x = 1", "a]b"},
		{"", "INSERT INTO 'users' VALUES (1)", "users"},
		{"", "INSERT INTO 'my users' VALUES (1)", "my users"},
		{"", "UPDATE key SET comment = 1", "key,comment"},
		{"", "UPDATE 2024_users SET x = 1", "2024_users"},
		{"", "UPDATE a.2024_users SET x = 1", "a,2024_users"},
		{"", `UPDATE "a".2024_users SET x = 1`, "a,2024_users"},
		{"", "UPDATE 3extra SET x = 1", "3extra,extra"},
		{"", "UPDATE 1e5x.users SET x = 1", "1e5x,users"},
		{"", "UPDATE us$er SET x = 1", "us$er"},
		{"", "UPDATE $users SET x = 1", "users"},
		{"", "UPDATE a$b$c SET d$ = 1", "a$b$c,d$"},
		{"postgres", "UPDATE a SET b = c#d", "c,d"},
		{"sqlserver other", "UPDATE #temp SET x = 1", "#temp,temp"},
		{"sqlserver other", "UPDATE ##temp SET x = 1", "##temp,temp"},
		{"sqlserver other", "UPDATE a@b SET x = 1", "a@b,a,b"},
		{"", "UPDATE @users SET x = 1", "users"},
		{"", "UPDATE größe SET é = 1", "größe,é"},
		{"", "UPDATE ÜSERS SET x = 1", "üsers"},
		{"", "UPDATE 表 SET 列x = 1", "表,列x"},
		{"", "UPDATE 🎉 SET x🎉y = 1", "🎉,x🎉y"},
		{"", "UPDATE users/* it's */SET x=1", "users,x"},
		{"", "UPDATE users--\nSET x=y", "users,x,y"},
		{"", "DELETE FROM a WHERE b=?AND c=?", "a,b,c"},
		{"", "DELETE FROM a WHERE b/c=d!=e", "a,b,c,d,e"},
		{"", "DELETE FROM a WHERE b=:p", "a,b,p"},
		{"", "DELETE FROM a WHERE x IN(SELECT y FROM z)", "a,x,y,z"},
		{"", `DELETE FROM a"b"`, "a,b"},
		{"", `DELETE FROM a WHERE b = lower(c)`, "a,b,c"},
		{"", "DELETE FROM db.select", "db,select"},
		{"mysql", `UPDATE "users" SET a = 1`, "users"},
		{"mysql", `SELECT 'a\' ; DELETE FROM users -- '`, "users"},
		{"mysql", `SELECT "a\"; DELETE FROM users -- "`, "users"},
		{"postgres", `SELECT 'a\'; DELETE FROM users --'`, "users"},
		{"postgres", "DELETE FROM " + strings.Repeat("a", 70), strings.Repeat("a", 63) + "," + strings.Repeat("a", 70)},
		{"sqlserver", "DELETE FROM db..users", "db,users"},
		{"", `DELETE FROM " users "`, "users"},
	} {
		in := strings.Fields(c.dialects)
		if len(in) == 0 {
			in = dialects
		}
		for _, d := range in {
			for _, got := range [][]string{Classify(d, c.sql).Names, Analyze(d, c.sql).Names, Identifiers(d, c.sql)} {
				if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
					t.Errorf("%s %q: names %q are not sorted or not unique", d, c.sql, got)
				}
				for _, want := range strings.Split(c.names, ",") {
					if !slices.Contains(got, want) {
						t.Errorf("%s %q: names %q, want %q", d, c.sql, got, want)
					}
				}
			}
		}
	}
}

func TestReservedWordsAreNoNames(t *testing.T) {
	t.Parallel()
	got := Identifiers(sqlite, "users AS u JOIN pets ON u.id = pets.user_id WHERE 1")
	want := []string{"id", "join", "pets", "u", "user_id", "users"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Users": "users", "`Users`": "users", `"Us""ers"`: `us"ers`, "[My Users]": "my users",
		"[a]]b]": "a]b", "": "", "`": "`", "Ä": "ä", "\"": "\"", "[]": "",
	} {
		if got := Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMovingTime(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"now", "NOW", " now ", "Today", "tomorrow\n", "yesterday", "today 10:00",
		"10:00 today", "tomorrow allballs", "today Europe/Berlin", "{now,today}", "[today,tomorrow)", "subsec", "SubSecond", "now()",
		"[now,infinity)", "(-infinity,now]", "{[2024-01-01,now),[infinity,infinity]}", `{"now"}`, `["now",infinity)`, `[n"ow",)`, `{n\ow}`,
		`{infinity,"2024-01-01 00:00:00+00",NOW}`, `{"(1,\"now\",\"a long remark beside it\")"}`, "(1,a long remark beside it,today)", "[1:1]={now}",
		" {now}", `{"until": "\u006eow"}`, `{"until": "tomorrow", "title": "something"}`, `{"[now,infinity)","(,yesterday]"}`, "(,now)",
		"{" + strings.Repeat("2024-01-01 00:00:00+00,", 1000) + "today}", "today" + strings.Repeat(" ", 500) + "10:00",
		"now Singapore", "Wednesday yesterday", "now LONGNAME+3", "now America/Argentina/Buenos_Aires", "today America/Port-au-Prince"} {
		if !MovingTime(s) {
			t.Errorf("MovingTime(%q) = false", s)
		}
	}
	for _, s := range []string{"", "no", "nowhere", "snow", "now playing", "todays", "2024-01-01", "infinity", "épnow", "nów",
		"know", "tomorrows", strings.Repeat("now ", 100), "a@example.com",
		"[nowhere,infinity)", "{snow,known}", `{"title": "playing now"}`, `{"title": "a \u003c b"}`, "(1,all that matters is now)", "[" + strings.Repeat("now ", 100) + "]",
		strings.Repeat("What we want today is another day. ", 100), "no w", "[no w,)", "anything but now"} {
		if MovingTime(s) {
			t.Errorf("MovingTime(%q) = true", s)
		}
	}
}

func TestMovingTimeDoesNotAllocate(t *testing.T) { //nolint:paralleltest // AllocsPerRun does not allow it
	moving := false
	for _, s := range []string{"somebody@example.com", "(1,all that matters is now)", strings.Repeat("today ", 100)} {
		if n := testing.AllocsPerRun(100, func() { moving = MovingTime(s) }); n != 0 || moving {
			t.Errorf("MovingTime(%q) allocates %v times, and is %t", s, n, moving)
		}
	}
}

func BenchmarkMovingTime(b *testing.B) {
	prose := "Why would anybody want to buy a heavy yellow boat, however nearby, when we may borrow one by Wednesday? "
	for _, c := range []struct{ name, text string }{
		{"20", "somebody@example.com"},
		{"60", "Why would anybody want to buy a heavy yellow boat, however n"},
		{"200", (prose + prose)[:200]},
		{"10K", strings.Repeat(prose, 100)},
		{"10K in brackets", "[" + strings.Repeat(prose, 100) + "]"},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				MovingTime(c.text)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for sql, open := range map[string]bool{
		"BEGIN; INSERT INTO t VALUES (1)":            true,
		"INSERT INTO t VALUES (1); BEGIN":            true,
		"BEGIN; INSERT INTO t VALUES (1); COMMIT":    false,
		"BEGIN; COMMIT; BEGIN; DELETE FROM t":        true,
		"INSERT INTO t VALUES (1); DELETE FROM t":    false,
		"BEGIN; INSERT INTO t VALUES (1); ROLLBACK;": false,
	} {
		if got := Classify("sqlite", sql); got.Open != open {
			t.Errorf("%s: open %t", sql, got.Open)
		}
	}
}
