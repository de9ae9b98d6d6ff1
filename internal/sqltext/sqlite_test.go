package sqltext_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/sqltext"
	_ "github.com/mattn/go-sqlite3"
)

// probe is a SQLite database whose state can be compared.
type probe struct {
	conn *sql.Conn
}

func open(t *testing.T) probe {
	t.Helper()
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := probe{conn}
	for _, s := range []string{
		`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, "order" INT)`,
		`CREATE TABLE pets (id INTEGER PRIMARY KEY, user_id INT)`,
		`CREATE TABLE "my table" (x INT)`,
		`CREATE TABLE "2024" (x INT)`,
		`CREATE TABLE größe (x INT)`,
		`CREATE TABLE t$x (x INT)`,
		`INSERT INTO users VALUES (1, 'a', 1), (2, 'b', 2)`,
		`INSERT INTO pets VALUES (1, 1), (2, 2)`,
		`INSERT INTO "my table" VALUES (1)`,
		`INSERT INTO "2024" VALUES (1)`,
		`INSERT INTO größe VALUES (1)`,
		`INSERT INTO t$x VALUES (1)`,
	} {
		if err := p.exec(s); err != nil {
			t.Fatal(s, err)
		}
	}
	return p
}

func (p probe) exec(s string) error {
	_, err := p.conn.ExecContext(context.Background(), s)
	return err
}

// tables are those with rows to compare.
var tables = []string{"users", "pets", "my table", "2024", "größe", "t$x"}

// state is the schema and the count of changes, and the rows of every table.
func (p probe) state(t *testing.T) (schema string, rows map[string]string) {
	t.Helper()
	query := func(s string) string {
		var out sql.NullString
		if err := p.conn.QueryRowContext(context.Background(), s).Scan(&out); err != nil {
			return err.Error()
		}
		return out.String
	}
	schema = query("SELECT total_changes() || group_concat(coalesce(sql, ''), ';') FROM (SELECT sql FROM sqlite_master UNION ALL SELECT sql FROM sqlite_temp_master)")
	rows = map[string]string{}
	for _, table := range tables {
		columns := query(fmt.Sprintf(`SELECT group_concat('quote("' || name || '")', '||'',''||') FROM pragma_table_info('%s')`, table))
		rows[table] = query(fmt.Sprintf(`SELECT group_concat(%s, ';') FROM (SELECT * FROM "%s")`, columns, table))
	}
	return schema, rows
}

// check runs s against SQLite: what it changes, Classify must announce.
func check(t *testing.T, s string) (ran, changed bool) {
	t.Helper()
	p := open(t)
	schemaBefore, rowsBefore := p.state(t)
	ran = p.exec(s) == nil // what ran before an error has changed rows, too
	schema, rows := p.state(t)
	got, query := sqltext.Classify("sqlite", s), sqltext.Analyze("sqlite", s)
	if schema != schemaBefore {
		changed = true
		if got.Kind == sqltext.Read || got.Kind > sqltext.Write && got.Kind < sqltext.Everything {
			t.Errorf("%q changed the database, Classify says %v", s, got.Kind)
		}
		if query.Reads && query.Unknown == "" {
			t.Errorf("%q changed the database, Analyze says it reads", s)
		}
	}
	for _, table := range tables {
		if rows[table] != rowsBefore[table] && got.Kind != sqltext.Everything && !slices.Contains(got.Names, table) {
			t.Errorf("%q changed %q, Classify names %q", s, table, got.Names)
		}
	}
	return ran, changed
}

func TestSQLiteChangesAreAnnounced(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"INSERT INTO users (name) VALUES ('x')",
		"insert or ignore into users(name) values('x')",
		"REPLACE INTO users VALUES (1, 'x', 1)",
		"INSERT INTO 'users' (name) VALUES ('x')",
		"INSERT INTO 'my table' VALUES (2)",
		"INSERT INTO [my table] VALUES (2)",
		"INSERT INTO `my table` VALUES (2)",
		"INSERT INTO main.[my table](x) VALUES (2)",
		`INSERT INTO "main"."my table" VALUES (2)`,
		`INSERT INTO "2024" VALUES (2)`,
		`INSERT INTO main."2024" VALUES (2)`,
		"INSERT INTO größe VALUES (2)",
		"INSERT INTO t$x VALUES (2)",
		"UPDATE main/**/./**/users SET name = 'x'",
		"UPDATE users SET name=replace(name,'a','b')",
		"UPDATE users SET name = upper(name) WHERE id IN (SELECT user_id FROM pets) RETURNING id",
		"UPDATE OR REPLACE users SET \"order\" = 5",
		"UPDATE users AS u SET name = 'x' FROM pets AS p WHERE p.user_id = u.id",
		"DELETE FROM users",
		"DELETE FROM users WHERE name = 'a\\' ; --'",
		"SELECT 'a\\' ; DELETE FROM users --'",
		"SELECT \"a\\\" ; DELETE FROM users --\"",
		"SELECT 1 /* /* */ ; DELETE FROM users -- */",
		"SELECT 1 --1\n; DELETE FROM users",
		"SELECT 1 /* it's */; DELETE FROM users",
		"SELECT id/* it's */FROM users; DELETE FROM users -- '",
		"SELECT [a'b] FROM (SELECT 1 AS [a'b]); DELETE FROM users -- '",
		"SELECT `a'b` FROM (SELECT 1 AS `a'b`); DELETE FROM users -- '",
		"SELECT 1 AS x\"y\"; DELETE FROM users",
		"SELECT 1 AS \"it's\"; DELETE FROM users -- '",
		"SELECT '''' ; DELETE FROM users -- '",
		"SELECT $x$; DELETE FROM users; SELECT $x$",
		"SELECT $a('); DELETE FROM users; SELECT $a(')",
		"SELECT :a(\"); DELETE FROM users; SELECT :a(\")",
		"SELECT [a]; DELETE FROM users --]",
		"SELECT 1 AS [a]; DELETE FROM users --]",
		"SELECT 1;\n;;DELETE FROM users",
		"\ufeffDELETE FROM users",
		"SELECT 1;\ufeffDELETE FROM users",
		"SELECT 1;\fDELETE\fFROM\fusers",
		"SELECT x'00'; DELETE FROM users",
		"SELECT 1 FROM users WHERE name = \"a\"; DELETE FROM pets",
		";DELETE FROM users",
		"WITH x AS (SELECT 1) DELETE FROM users",
		"WITH x(a) AS (VALUES (1)) INSERT INTO pets SELECT 9, a FROM x",
		"WITH x AS (SELECT 1) UPDATE users SET name = 'q'",
		"EXPLAIN DELETE FROM users",
		"EXPLAIN SELECT 1; DELETE FROM users",
		"EXPLAIN QUERY PLAN DELETE FROM users",
		"CREATE TABLE n (a)",
		"CREATE TEMP TABLE n AS SELECT * FROM users",
		"CREATE VIEW v AS SELECT * FROM users",
		"CREATE INDEX i ON users (name)",
		"CREATE TRIGGER tr AFTER INSERT ON users BEGIN DELETE FROM pets; END",
		"CREATE TRIGGER tr AFTER INSERT ON users BEGIN DELETE FROM pets; END; INSERT INTO users (name) VALUES ('x')",
		"ALTER TABLE users ADD COLUMN n INT",
		"ALTER TABLE users RENAME TO people",
		"DROP TABLE users",
		"PRAGMA writable_schema = 1; DELETE FROM sqlite_master",
		"VACUUM",
		"REINDEX",
		"ANALYZE",
		"ATTACH ':memory:' AS o; CREATE TABLE o.x (a)",
		"BEGIN; DELETE FROM users; COMMIT",
		"BEGIN; DELETE FROM users; ROLLBACK",
		"SAVEPOINT s; DELETE FROM users; RELEASE s",
		"BEGIN", "BEGIN IMMEDIATE", "SAVEPOINT s",
		"SELECT * FROM users", "VALUES (1)", "SELECT 1 WHERE 1 IN users",
		"INSERT INTO users (name) VALUES ('x') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
	} {
		check(t, s)
	}
}

// Pieces of statements are joined in every order of three: most are not SQL, and
// SQLite decides which are.
func TestSQLiteAgreesOnJoinedPieces(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs thousands of statements")
	}
	pieces := []string{
		"SELECT 1", ";", "DELETE FROM users", "'", "\"", "`", "[", "]", "--", "\n", "/*", "*/", "\\", " AS x",
		"$", "#", ",", "UPDATE pets SET user_id=3",
	}
	ran, changed := 0, 0
	for _, a := range pieces {
		for _, b := range pieces {
			for _, c := range pieces {
				r, ch := check(t, strings.Join([]string{"SELECT 'x'", a, b, c, " DELETE FROM users -- '"}, ""))
				if r {
					ran++
				}
				if ch {
					changed++
				}
			}
		}
	}
	if ran == 0 || changed == 0 {
		t.Errorf("of the statements %d ran and %d changed something: the test shows nothing", ran, changed)
	}
	t.Logf("%d statements ran, %d changed something", ran, changed)
}

// EXPLAIN shows what SQLite reads: it
// lists the root page of each table that a query opens.
func TestSQLiteReadsAreNamed(t *testing.T) {
	t.Parallel()
	p := open(t)
	ctx := context.Background()
	root := map[int64]string{}
	rows, err := p.conn.QueryContext(ctx, "SELECT rootpage, name FROM sqlite_master WHERE type = 'table'")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var page int64
		var name string
		if err := rows.Scan(&page, &name); err != nil {
			t.Fatal(err)
		}
		root[page] = name
	}
	rows.Close()
	for _, s := range []string{
		"SELECT * FROM users, pets",
		"SELECT * FROM (users, 'my table'), pets",
		"SELECT 1 WHERE 1 IN größe",
		"SELECT 1 WHERE 1 IN main.größe",
		"SELECT 1 WHERE 1 IN 'größe'",
		"SELECT * FROM users WHERE id NOT IN \"2024\"",
		"SELECT * FROM users offset, pets",
		"SELECT * FROM users window, pets",
		"SELECT * FROM users for JOIN pets",
		"SELECT * FROM users replace, pets",
		"SELECT * FROM users AS only, pets AS lateral",
		"SELECT * FROM users NATURAL JOIN pets, t$x",
		"SELECT * FROM main . users, main.'my table', [2024]",
		"SELECT (SELECT count(*) FROM pets) FROM users",
		"WITH w AS (SELECT * FROM pets), v AS (SELECT * FROM w) SELECT * FROM v, users",
		"SELECT * FROM users UNION ALL SELECT id, 1, user_id FROM pets ORDER BY 1",
		"SELECT id IS DISTINCT FROM (SELECT x FROM t$x) FROM users",
		"SELECT * FROM users INDEXED, pets",
		"SELECT * FROM users GROUP BY (SELECT max(id) FROM pets)",
		"SELECT * FROM users ORDER BY id, (SELECT x FROM größe)",
		"SELECT * FROM users LIMIT (SELECT x FROM größe)",
		"SELECT sum(id) OVER w FROM users WINDOW w AS (ORDER BY (SELECT x FROM t$x))",
	} {
		rows, err := p.conn.QueryContext(ctx, "EXPLAIN "+s)
		if err != nil {
			t.Logf("%q: %v", s, err)
			continue
		}
		got := sqltext.Analyze("sqlite", s)
		for rows.Next() {
			var addr, p1, p2, p3 int64
			var op string
			var p4, p5, comment any
			if err := rows.Scan(&addr, &op, &p1, &p2, &p3, &p4, &p5, &comment); err != nil {
				t.Fatal(err)
			}
			if op == "OpenRead" && p3 == 0 && root[p2] != "" && !slices.Contains(got.Tables, root[p2]) {
				t.Errorf("%q reads %q, Analyze found %q", s, root[p2], got.Tables)
			}
		}
		rows.Close()
	}
}
