//go:build unix

package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/worldtest"
	"github.com/jackc/pgx/v5"
)

// try runs a statement that may fail.
func (b *bed) try(sql string) error {
	_, err := b.psql.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

// triggers counts the triggers of feeds that a table has.
func (b *bed) triggers(table string) int64 {
	b.t.Helper()
	return b.one("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgname LIKE 'preload%' AND tgrelid = '" + table + "'::regclass")
}

// session connects as a feed does, which is not opened.
func (b *bed) session() *tableSession {
	b.t.Helper()
	feed := b.changeTable()
	dial, err := pgx.ParseConfig(feed.dsn)
	worldtest.Must(b.t, err)
	feed.dial, feed.database = dial, b.name
	s, err := feed.connect(context.Background())
	worldtest.Must(b.t, err)
	b.t.Cleanup(func() { hangUp(s.conn.PgConn()) })
	return s
}

// TestChangeTablesOfOneDatabase: feeds with schemas of their own leave those of the others alone,
// and tables of extensions, and tell of the same tables.
func TestChangeTablesOfOneDatabase(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	b.exec(b.psql, StrictSQL("strict"))
	b.write("CREATE TABLE extended (id int PRIMARY KEY); CREATE EXTENSION tablefunc; ALTER EXTENSION tablefunc ADD TABLE extended")
	all := []*process{b.openTable(plain), b.openTable(plain, WithSchema("second"))}
	for range 2 {
		for _, p := range all {
			p.serving(t, items)
		}
		b.write("UPDATE items SET name = name || '!' WHERE id = 1")
		for _, p := range all {
			p.caughtUp(t)
			p.right(t, "with two change tables", items)
		}
		b.write("CREATE TABLE IF NOT EXISTS more (id int)") // each looks at the tables anew
	}
	for table, want := range map[string]int64{"items": 8, "preload.changes": 0, "preload.horizon": 0, "second.changes": 0, "second.horizon": 0, "strict.strict_group": 0, "strict.strict_beat": 0, "extended": 0} {
		if n := b.triggers(table); n != want {
			t.Errorf("%s has %d triggers: want %d", table, n, want)
		}
	}
}

// TestLongValues: of a statement that changes many of them the table is told, before any text is
// made; a writer does not fail.
func TestLongValues(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	b.write("CREATE TABLE docs (id int PRIMARY KEY, r bool, doc text); INSERT INTO docs SELECT 1, false, repeat('x', 1100000)")
	b.write("INSERT INTO docs SELECT i, false, doc FROM docs, generate_series(2, 1000) i") // 1.1 GB, if they were texts
	// A column may have the name by which the row is known where its size is looked at.
	p := b.openTable(plain)
	p.serving(t, items)
	for _, sql := range []string{"UPDATE docs SET r = true", "UPDATE docs SET r = true WHERE id <= 10", "DELETE FROM docs", "INSERT INTO docs SELECT i, false, 'x' FROM generate_series(1, 1001) i"} {
		if err := b.try(sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if n := b.one("SELECT count(*) FROM preload.changes WHERE relation = 'docs'::regclass AND old IS NULL AND new IS NULL"); n != 4 {
		t.Errorf("%d of 4 statements are told as ones of the table", n)
	}
}

// TestAForeignPartition: no trigger with transition tables may be on what has one below it.
func TestAForeignPartition(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	b.write(`CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
		CREATE TABLE items (id int, name text) PARTITION BY RANGE (id);
		CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (10);
		CREATE FOREIGN TABLE far PARTITION OF items FOR VALUES FROM (10) TO (100) SERVER far;
		CREATE TABLE others (id int PRIMARY KEY, name text)`)
	p := b.openTable(b.d.Plain(t))
	p.serving(t, worldtest.Named{Name: "others", Query: worldtest.List[other](worldtest.ByID)})
	if err := b.try("INSERT INTO items VALUES (1, 'a')"); err != nil {
		t.Errorf("a writer fails: %v", err)
	}
	if err := b.try("SELECT preload.watch('items')"); err == nil || !strings.Contains(err.Error(), "foreign") {
		t.Errorf("want an error that says why, got %v", err)
	}
	if n := b.triggers("items"); n != 0 {
		t.Errorf("there are %d triggers", n)
	}
}

// TestPreparedBeforeACrash: what a prepared transaction has changed is not in the change table any
// more.
func TestPreparedBeforeACrash(t *testing.T) {
	t.Parallel()
	s := alone(t, "max_prepared_transactions=3")
	b := s.bed(t)
	plain := b.items()
	p := b.openTable(plain)
	p.serving(t, items)
	b.write("BEGIN; UPDATE items SET name = 'prepared' WHERE id = 1; PREPARE TRANSACTION 'one'")
	s.Stop()
	worldtest.Must(t, s.Start())
	b.psql = b.connect(b.name)
	b.write("SET search_path = " + b.schema)
	p.caughtUp(t)
	until(t, "a handle that is connected", func() bool { var n int; return plain.Raw("SELECT 1").Scan(&n).Error == nil })
	if p.served(items) {
		t.Error("served while a transaction is prepared whose changes are not in the table")
	}
	b.write("COMMIT PREPARED 'one'")
	p.caughtUp(t)
	p.right(t, "after COMMIT PREPARED", items)
	p.serving(t, items)
	p.right(t, "once memory serves again", items)
}

// TestAMoveThatEndsNowhere: a row leaves a partition, and a trigger keeps it from the other one.
func TestAMoveThatEndsNowhere(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	b.write(`CREATE TABLE items (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
		CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (10);
		CREATE TABLE high PARTITION OF items FOR VALUES FROM (10) TO (100);
		CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER no BEFORE INSERT ON high FOR EACH ROW EXECUTE FUNCTION no();
		INSERT INTO items VALUES (1, 'a'), (2, 'b')`)
	p := b.openTable(b.d.Plain(t))
	p.serving(t, items)
	b.write("UPDATE items SET id = 20 WHERE id = 1")
	p.caughtUp(t)
	p.right(t, "moved to nowhere", items)
}

// TestWhatChangesTheShape: of the tables that are told, so that all is forgotten, and no more.
func TestWhatChangesTheShape(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	b.write("CREATE TYPE pair AS (a int, b int); CREATE TABLE paired (id int PRIMARY KEY, p pair); CREATE MATERIALIZED VIEW seen AS SELECT * FROM items")
	p := b.openTable(plain)
	p.serving(t, items)
	sum := func() (text string) {
		p.caughtUp(t)
		rows, err := b.psql.Query(context.Background(), p.by.(*TableFeed).text(stateQuery))
		worldtest.Must(t, err)
		defer rows.Close()
		for rows.Next() {
			values, err := rows.Values()
			worldtest.Must(t, err)
			text = values[len(values)-1].(string)
		}
		return text
	}
	for _, c := range []struct {
		sql     string
		changes bool
	}{
		{"ALTER TYPE pair DROP ATTRIBUTE b", true},
		{"ALTER TABLE items ADD COLUMN more int", true},
		{"CREATE TEMP TABLE short (id int PRIMARY KEY, name text)", false},
		{"CREATE TEMP VIEW shown AS SELECT * FROM short", false},
		{"CREATE TEMP TABLE shorter () INHERITS (short)", false},
		{"REFRESH MATERIALIZED VIEW seen", false},
		{"VACUUM FULL items", false},
	} {
		before := sum()
		b.write(c.sql)
		if changed := sum() != before; changed != c.changes {
			t.Errorf("%s: changes it: %v", c.sql, changed)
		}
	}
}

// TestLockedTables: the feed waits for one of them in a turn, and leaves it alone longer each time.
func TestLockedTables(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	b.items()
	open := b.connect(b.name)
	var sql strings.Builder
	sql.WriteString("SET search_path = " + b.schema + "; BEGIN;")
	for i := range 12 {
		b.write(fmt.Sprintf("CREATE TABLE a_locked_%d (id int)", i))
		fmt.Fprintf(&sql, "INSERT INTO a_locked_%d VALUES (1);", i)
	}
	b.exec(open, sql.String())
	s := b.session()
	var all []untried
	for i := range 12 {
		all = append(all, untried{name: fmt.Sprintf("%s.a_locked_%d", b.schema, i)})
	}
	all = append(all, untried{name: b.schema + ".items"})
	ctx := context.Background()
	worldtest.Must(t, s.watch(ctx, all, standEmpty))
	tried := func() (n int) {
		for _, u := range s.locked {
			if u.pause > 0 {
				n++
			}
		}
		return n
	}
	for turn := range 12 {
		if n := tried(); n != turn+1 {
			t.Fatalf("%d tables were locked in %d turns", n, turn+1)
		}
		worldtest.Must(t, s.unlocked(ctx, time.Now()))
	}
	if n := b.triggers("items"); n != 4 || len(s.locked) != 12 {
		t.Errorf("a table that is not locked has %d triggers, and %d are left", n, len(s.locked))
	}
	before := s.locked[0].pause
	worldtest.Must(t, s.unlocked(ctx, s.locked[0].due))
	if u := s.locked[len(s.locked)-1]; u.pause != 2*before {
		t.Errorf("a table is left alone for %v, after %v", u.pause, before)
	}
	b.exec(open, "COMMIT")
	worldtest.Must(t, s.unlocked(ctx, time.Now().Add(latest)))
	if len(s.locked) > 0 {
		t.Errorf("%d tables are left", len(s.locked))
	}
}

// TestAPartitionedTableIsNamed: what is below it is meant, too, whoever makes the triggers.
func TestAPartitionedTableIsNamed(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	b.write(`CREATE TABLE items (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
		CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
		CREATE TABLE lower PARTITION OF low FOR VALUES FROM (0) TO (5);
		CREATE TABLE others (LIKE items); INSERT INTO items VALUES (1, 'a')`)
	p := b.openTable(b.d.Plain(t), WithTables("items"))
	p.serving(t, items)
	if n := b.triggers("others"); n != 0 {
		t.Errorf("a table that was not named has %d triggers", n)
	}
	b.exec(b.psql, ChangeTableSQL("by_hand", b.schema+".items"))
	for _, name := range []string{"items", "low", "lower"} {
		if n := b.triggers(name); n != 8 {
			t.Errorf("%s has %d triggers of two feeds: want 8", name, n)
		}
	}
}

// TestWhatWasRefused: is tried again once tables, or what the role may, are others.
func TestWhatWasRefused(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	role := "refused_" + b.name
	b.write("CREATE ROLE " + role + " LOGIN; GRANT ALL ON SCHEMA " + b.schema + " TO " + role + "; ALTER TABLE items OWNER TO " + role)
	b.exec(b.psql, ChangeTableSQL("preload"))
	b.write("GRANT USAGE ON SCHEMA preload TO " + role + "; GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA preload TO " + role + "; GRANT SELECT ON ALL SEQUENCES IN SCHEMA preload TO " + role)
	feed := ChangeTable(strings.Replace(b.DSN(b.name), "postgres@", role+"@", 1), WithBound(quick), WithLogger(worldtest.Quiet()))
	p := &process{World: worldtest.Open(t, b.d.Again(), plain, nil, preload.WithFeed(feed)), by: feed}
	p.caughtUp(t)
	if p.served(items) {
		t.Fatal("served without triggers")
	}
	b.write("GRANT EXECUTE ON FUNCTION preload.change TO " + role)
	p.serving(t, items)
}

// TestTimeoutsOfTheRole: are those of the application, not of the feed.
func TestTimeoutsOfTheRole(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	names := []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout"}
	for _, name := range names {
		b.write("DO $$ BEGIN IF EXISTS (SELECT FROM pg_settings WHERE name = '" + name + "') THEN EXECUTE 'ALTER DATABASE " + b.name + " SET " + name + " = 60000'; END IF; END $$")
	}
	s := b.session()
	rows, err := s.conn.Query(context.Background(), "SELECT name || ' = ' || setting FROM pg_settings WHERE name = ANY($1) AND setting <> '0'", names)
	worldtest.Must(t, err)
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if worldtest.Must(t, err); len(left) > 0 {
		t.Errorf("what is left: %v", slices.Sorted(slices.Values(left)))
	}
}

// TestTriggersOfADump: pg_restore enables triggers anew, but not for sessions that replicate.
func TestTriggersOfADump(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	p := b.openTable(plain)
	p.serving(t, items)
	b.write("ALTER TABLE items DISABLE TRIGGER ALL; ALTER TABLE items ENABLE TRIGGER ALL")
	p.caughtUp(t)
	p.serving(t, items)
}

// TestAFullTableThatIsRead: by somebody who does so for long. It is not emptied before that is over,
// and by one process at a time.
func TestAFullTableThatIsRead(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	p := b.openTable(plain, func(c *config) { c.room = 100 << 10 })
	p.serving(t, items)
	b.write("CREATE TABLE others (id int PRIMARY KEY, name text); INSERT INTO others SELECT i, md5(i::text) FROM generate_series(1, 900) i")
	p.caughtUp(t)
	file := func() int64 {
		return b.one("SELECT relfilenode::bigint FROM pg_class WHERE oid = 'preload.changes'::regclass")
	}
	before := file()
	reader := b.connect(b.name)
	b.exec(reader, "BEGIN; SELECT pg_advisory_xact_lock("+lockOfMaking+")")
	fill := func() {
		for range 4 {
			b.write("UPDATE others SET name = md5(name)")
		}
		p.caughtUp(t)
	}
	if fill(); file() != before || b.one("SELECT last_value FROM preload.missed") == 0 {
		t.Error("emptied while another process is at it, or not full")
	}
	p.serving(t, items)
	p.right(t, "while nothing is noted", items)
}
