//go:build unix

package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
	"gorm.io/gorm"
)

// TestChangeTableFaults: whatever befalls the server, or what the feed made there, nothing is
// served that is older than the bound, and after a while memory serves again.
func TestChangeTableFaults(t *testing.T) {
	t.Parallel()
	s := alone(t, "max_prepared_transactions=3")
	b := s.bed(t)
	plain := b.items()
	b.write("CREATE TABLE others (id int PRIMARY KEY)")
	p := b.openTable(plain)
	writer := b.connect(b.name) // whose plans are kept
	again := func() {
		for _, conn := range []**pgx.Conn{&b.psql, &writer} {
			*conn = b.connect(b.name)
			b.exec(*conn, "SET search_path = "+b.schema)
		}
	}
	again()
	for _, c := range []struct {
		name, sql string
		befall    func()
		out       bool // the table is not served from then on, until the triggers are there again
	}{
		{name: "the connection is cut", sql: "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'preload table'"},
		{name: "the table is emptied", sql: "TRUNCATE preload.changes"},
		{name: "the horizon is emptied", sql: "TRUNCATE preload.horizon"},
		{name: "a trigger is disabled and enabled", sql: `BEGIN; ALTER TABLE items DISABLE TRIGGER preload_update_preload;
			UPDATE items SET name = 'not told' WHERE id = 2; ALTER TABLE items ENABLE ALWAYS TRIGGER preload_update_preload; COMMIT`},
		{name: "a trigger is disabled", sql: "ALTER TABLE items DISABLE TRIGGER preload_update_preload; UPDATE items SET name = 'not told'", out: true},
		{name: "all triggers are disabled", sql: "ALTER TABLE items DISABLE TRIGGER ALL", out: true},
		{name: "a trigger is dropped", sql: "DROP TRIGGER preload_delete_preload ON items"},
		{name: "a column comes", sql: "ALTER TABLE items ADD COLUMN more int DEFAULT 7"},
		{name: "a column is rewritten", sql: "ALTER TABLE items ALTER COLUMN name TYPE varchar(100) USING name || '!'"},
		{name: "a column goes", sql: "ALTER TABLE items DROP COLUMN more"},
		{name: "columns change places", sql: "ALTER TABLE items ADD COLUMN n text; UPDATE items SET n = name; ALTER TABLE items DROP COLUMN name; ALTER TABLE items RENAME n TO name"},
		{name: "another table takes its place", sql: "ALTER TABLE items RENAME TO before; CREATE TABLE items (LIKE before INCLUDING ALL); INSERT INTO items SELECT id, name || '?' FROM before"},
		{name: "the feed is removed", sql: "DROP SCHEMA preload CASCADE"},
		{name: "the server crashes", befall: func() { s.Stop(); worldtest.Must(t, s.Start()); again() }},
		{name: "the server is restarted", befall: func() { s.End(); worldtest.Must(t, s.Start()); again() }},
		{name: "tables of another server", sql: "UPDATE preload.horizon SET gone = '99999999:99999999:', going = '99999999:99999999:'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'preload table'"},
		{name: "a prepared transaction", sql: "BEGIN; UPDATE items SET name = 'prepared' WHERE id = 1; PREPARE TRANSACTION 'one'", befall: func() {
			b.write("INSERT INTO others VALUES (1)")
			p.caughtUp(t)
			p.right(t, "before COMMIT PREPARED", items)
			b.write("COMMIT PREPARED 'one'")
		}},
	} {
		p.serving(t, items)
		b.exec(writer, "UPDATE items SET name = 'before it' WHERE id = 1")
		p.caughtUp(t)
		p.right(t, "before "+c.name, items)
		items.Ask(p.DB)
		if c.sql != "" {
			for _, one := range strings.Split(c.sql, ";") {
				b.write(one)
			}
		}
		if c.befall != nil {
			c.befall()
		}
		befallen := time.Now()
		for age := time.Duration(0); age <= quick; {
			begun := time.Now()
			diff := items.Ask(p.Plain).Differs(items.Ask(p.DB))
			if age = begun.Sub(befallen); diff != "" && age > quick {
				t.Fatalf("%s: %v: %s", c.name, age, diff)
			}
		}
		p.caughtUp(t)
		p.right(t, c.name, items)
		b.exec(writer, "UPDATE items SET name = 'after' WHERE id = 3")
		p.caughtUp(t)
		p.right(t, "a write after "+c.name, items)
		if c.out {
			if p.served(items) {
				t.Errorf("%s: a table is served whose changes are not told", c.name)
			}
			b.write("DO $$ DECLARE n text; BEGIN FOR n IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'items'::regclass LOOP EXECUTE 'ALTER TABLE items ENABLE ALWAYS TRIGGER ' || n; END LOOP; END $$")
		}
		p.serving(t, items)
	}
}

// TestChangeTableOfTablesWithin: partitions, and tables that inherit, with statements on each.
func TestChangeTableOfTablesWithin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make   string
		writes []string
	}{
		"partitions": {`CREATE TABLE items (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
			CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (10);
			CREATE TABLE high PARTITION OF items FOR VALUES FROM (10) TO (100) PARTITION BY RANGE (id);
			CREATE TABLE higher (name text, id int PRIMARY KEY); ALTER TABLE high ATTACH PARTITION higher FOR VALUES FROM (50) TO (100);
			INSERT INTO items VALUES (1, 'a'), (60, 'b')`, []string{
			"UPDATE items SET name = 'x'", "UPDATE higher SET name = 'y'", "INSERT INTO items VALUES (2, 'c'), (61, 'd')", "UPDATE high SET name = 'z' WHERE id = 60",
			"UPDATE items SET id = 62 WHERE id = 2", "DELETE FROM higher WHERE id = 61", "TRUNCATE higher", "INSERT INTO higher (id, name) VALUES (70, 'e')", "TRUNCATE items",
			"INSERT INTO items VALUES (3, 'f'), (71, 'g')", "ALTER TABLE high DETACH PARTITION higher",
		}},
		"inheritance": {`CREATE TABLE items (id int PRIMARY KEY, name text);
			CREATE TABLE higher (PRIMARY KEY (id)) INHERITS (items);
			INSERT INTO items VALUES (1, 'a'); INSERT INTO higher VALUES (60, 'b')`, []string{
			"UPDATE items SET name = 'x'", "UPDATE higher SET name = 'y'", "INSERT INTO higher VALUES (1, 'twice')", "UPDATE items SET name = 'thrice' WHERE id = 1",
			"DELETE FROM ONLY items", "UPDATE higher SET id = 2 WHERE id = 1", "TRUNCATE items", "INSERT INTO higher VALUES (3, 'c')",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := common(t).bed(t)
			b.write(c.make)
			p := b.openTable(b.d.Plain(t))
			all := []worldtest.Named{items, {Name: "higher", Query: worldtest.List[higher](worldtest.ByID)}, {Name: "item 1", Query: worldtest.List[item](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 1).Order("name") })}}
			for _, sql := range c.writes {
				for _, q := range all {
					p.serving(t, q)
				}
				b.write(sql)
				p.caughtUp(t)
				p.right(t, sql, all...)
			}
		})
	}
}

// TestChangeTableIsReadInAnyOrder: transactions that are open for long hold up nothing of what is
// committed meanwhile, and nothing is missed of them.
func TestChangeTableIsReadInAnyOrder(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	p := b.openTable(plain)
	p.serving(t, items)
	var open []*pgx.Conn
	for i := range 3 {
		open = append(open, b.connect(b.name))
		b.exec(open[i], fmt.Sprintf("SET search_path = %s; BEGIN; UPDATE items SET name = 'long' WHERE id = %d", b.schema, i+1))
	}
	for _, i := range []int{1, 2, 0} {
		b.write(fmt.Sprintf("INSERT INTO items VALUES (%d, 'meanwhile')", 10+i))
		p.caughtUp(t)
		p.right(t, "written while others are open", items)
		p.serving(t, items)
		b.exec(open[i], fmt.Sprintf("SAVEPOINT s; UPDATE items SET name = 'undone' WHERE id = %d; ROLLBACK TO s; COMMIT", i+1))
		p.caughtUp(t)
		p.right(t, "committed after one that began later", items)
	}
}

// TestChangeTableIsCleaned: of what all have taken in that look; who is late forgets all. Nobody
// waits for a process that is gone.
func TestChangeTableIsCleaned(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	const late = time.Second
	keep := func(c *config) { c.late = late }
	gone := b.openTable(plain, keep)
	p := b.openTable(plain, keep)
	gone.serving(t, items)
	p.serving(t, items)
	worldtest.Must(t, gone.Plugin.Close())
	b.write("UPDATE items SET name = 'long' WHERE id = 1; INSERT INTO items SELECT i, 'many' FROM generate_series(10, 5000) i; DELETE FROM items WHERE id > 9")
	until(t, "a table that is clean", func() bool { return b.one("SELECT count(*) FROM preload.changes") == 0 })
	b.write("UPDATE items SET name = 'not in the table' WHERE id = 2")
	p.caughtUp(t)
	p.serving(t, items)
	// Somebody else has cleaned what this process has not taken in.
	b.write(`BEGIN; UPDATE items SET name = 'cleaned' WHERE id = 1; DELETE FROM preload.changes; COMMIT`)
	b.write("UPDATE preload.horizon SET gone = pg_current_snapshot(), going = pg_current_snapshot()")
	p.caughtUp(t)
	p.right(t, "changes that were deleted before they were read", items)
	p.serving(t, items)
	if showsAll := mustView(t, "5:9:6,7").showsAllOf(mustView(t, "5:8:6,7")); !showsAll {
		t.Error("a later snapshot shows less")
	}
	for _, other := range []string{"5:10:6,7", "5:9:6", "7:9:7", "9:9:"} {
		if mustView(t, "5:9:6,7").showsAllOf(mustView(t, other)) {
			t.Errorf("it shows all of %s", other)
		}
	}
}

func mustView(t testing.TB, text string) view {
	t.Helper()
	v, err := parseView(text)
	worldtest.Must(t, err)
	if v.String() != text {
		t.Errorf("%s reads as %s", text, v)
	}
	return v
}

// TestSlowAnswersOfTheServer: what a look reads is known as of when it was asked for, however late
// the answer comes.
func TestSlowAnswersOfTheServer(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	behind, proxy := b.d.Behind(t)
	feed := ChangeTable(behind.DSN(), WithBound(quick), WithLogger(worldtest.Quiet()))
	p := &process{World: worldtest.Open(t, b.d.Again(), plain, nil, preload.WithFeed(feed)), by: feed}
	p.serving(t, items)
	proxy.Rule(func(packet dbtest.Packet) dbtest.Verdict {
		if !packet.Up {
			return dbtest.Delay(quick * 4 / 5)
		}
		return dbtest.Delay(0)
	})
	for n := range 8 {
		b.write(fmt.Sprintf("UPDATE items SET name = 'slow %d' WHERE id = 1", n))
		written := time.Now()
		for age := time.Duration(0); age <= 2*quick; {
			begun := time.Now()
			diff := items.Ask(plain).Differs(items.Ask(p.DB))
			if age = begun.Sub(written); diff != "" && age > quick {
				t.Fatalf("an answer that is %v old, with a bound of %v: %s", age, quick, diff)
			}
		}
	}
}

// TestAFullChangeTable: writes go on, all is forgotten, and nothing is served before the
// transactions are over that were writing then.
func TestAFullChangeTable(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	full := func(c *config) { c.room = 400 << 10 }
	p := b.openTable(plain, full)
	p.serving(t, items)
	b.write("CREATE TABLE others (id int PRIMARY KEY, name text)")
	p.caughtUp(t)
	p.serving(t, items)
	open := b.connect(b.name)
	b.write("INSERT INTO others SELECT i, repeat(md5(i::text), 3) FROM generate_series(1, 300) i")
	b.exec(open, "SET search_path = "+b.schema)
	missed := func() int64 { return b.one("SELECT last_value FROM preload.missed") }
	// The server may empty the table at any time, so that the write is noted.
	until(t, "a write that is not noted", func() bool {
		for range 20 {
			b.write("UPDATE others SET name = md5(name) || md5(name || 'x') || repeat(md5(name || 'y'), 1)")
		}
		before := missed()
		b.exec(open, "BEGIN; UPDATE items SET name = 'not noted' WHERE id = 1")
		if missed() > before {
			return true
		}
		b.exec(open, "ROLLBACK")
		return false
	})
	p.caughtUp(t)
	for begun := time.Now(); time.Since(begun) < quick; {
		if p.served(items) {
			t.Fatal("served while a transaction is open whose changes are not noted")
		}
	}
	late := b.openTable(plain, full) // one that joins then knows of it, too
	late.caughtUp(t)
	if late.served(items) {
		t.Error("served by a process that joined while a transaction is open whose changes are not noted")
	}
	b.exec(open, "COMMIT")
	for _, one := range []*process{p, late} {
		one.serving(t, items)
		one.right(t, "not noted", items)
	}
	until(t, "a table that was emptied", func() bool {
		b.write("UPDATE items SET name = 'more' WHERE id = 2")
		return b.one("SELECT pg_table_size('preload.changes')") < 200<<10
	})
}

// TestRandomWritersBesideReaders: transactions of any length, of several rows, undone in whole or
// in part, one after the other and beside each other; no process reads what is older than the
// bound.
func TestRandomWritersBesideReaders(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	b.write("CREATE TABLE counters (id int PRIMARY KEY, version bigint); INSERT INTO counters SELECT i, 0 FROM generate_series(1, 8) i")
	late := func(c *config) { c.late = 600 * time.Millisecond }
	all := []*process{b.openTable(plain, late), b.openTable(plain, late)}
	one := worldtest.Named{Name: "counters", Query: worldtest.List[counter](worldtest.ByID)}
	for _, p := range all {
		p.serving(t, one)
	}
	end := time.Now().Add(worldtest.Budget(t, 2*time.Second))
	var mu sync.Mutex // of acked
	acked := map[int][]acknowledged{}
	var workers sync.WaitGroup
	var writes, reads atomic.Int64
	for w := range 4 {
		conn := b.connect(b.name)
		b.exec(conn, "SET search_path = "+b.schema)
		workers.Go(func() {
			draw := rand.New(rand.NewPCG(uint64(w), 7))
			for n := int64(1); time.Now().Before(end) && !t.Failed(); n++ {
				id, undone := 2*w+1+draw.IntN(2), draw.IntN(4) == 0
				exec := func(sql string) {
					if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
						t.Errorf("%s: %v", sql, err)
					}
				}
				exec(fmt.Sprintf("BEGIN; UPDATE counters SET version = %d WHERE id = %d; SAVEPOINT s; UPDATE counters SET version = 1000000 WHERE id = %d; ROLLBACK TO s", n, id, id))
				time.Sleep(time.Duration(draw.IntN(4)*draw.IntN(4)*5) * time.Millisecond)
				if undone {
					exec("ROLLBACK")
					continue
				}
				exec("COMMIT")
				writes.Add(1)
				mu.Lock()
				acked[id] = append(acked[id], acknowledged{time.Now(), n})
				mu.Unlock()
			}
		})
	}
	for _, p := range all {
		for range 2 {
			workers.Go(func() {
				for n := 0; time.Now().Before(end) && !t.Failed(); n++ {
					id, begun := 1+n%8, time.Now()
					var low int64
					mu.Lock()
					for _, a := range acked[id] {
						if a.at.Before(begun.Add(-quick)) {
							low = a.version
						}
					}
					mu.Unlock()
					var c counter
					if err := p.DB.First(&c, id).Error; err != nil {
						t.Errorf("read: %v", err)
					}
					reads.Add(1)
					if c.Version < low || c.Version >= 1000000 {
						t.Errorf("counter %d: version %d, %v after version %d was committed", id, c.Version, quick, low)
					}
				}
			})
		}
	}
	workers.Wait()
	hits := all[0].Plugin.Stats().Models["counters"].Hits
	t.Logf("%d writes, %d reads, of which %d from the memory of the first process", writes.Load(), reads.Load(), hits)
	if hits < 100 || writes.Load() < 20 {
		t.Error("next to nothing was read from memory, or written: the test tests nothing")
	}
	for _, p := range all {
		p.caughtUp(t)
		p.right(t, "in the end", one)
	}
}

type acknowledged struct {
	at      time.Time
	version int64
}

type counter struct {
	_       struct{} `preload:""`
	ID      int
	Version int64
}

// TestChangeTableSaysWhatIsWrong: in an error of db.Use that says what to do; and it works once
// somebody has made what is missing.
func TestChangeTableSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	role := "table_" + b.name
	b.write("CREATE ROLE " + role + " LOGIN; GRANT USAGE ON SCHEMA " + b.schema + " TO " + role + "; GRANT ALL ON items TO " + role)
	as := strings.Replace(b.DSN(b.name), "postgres@", role+"@", 1)
	for _, c := range []struct {
		feed preload.Feed
		want string
	}{
		{ChangeTable(as), "ChangeTableSQL"},
		{ChangeTable(b.DSN("postgres")), "leads to the database"},
		{ChangeTable(strings.Replace(b.DSN(b.name), "postgres@", "nobody_of_this_name@", 1)), "nobody_of_this_name"},
		{ChangeTable("postgres://%"), "data source name"},
		{ChangeTable("", WithTables()), "WithTables"},
	} {
		err := b.d.Open(t).Use(preload.New(preload.WithFeed(c.feed), preload.WithLogger(worldtest.Quiet())))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error about %s, got %v", c.want, err)
		}
	}
	b.write("CREATE TABLE others (id int PRIMARY KEY, name text); INSERT INTO others VALUES (1, 'a')")
	for range 2 { // it may be run again
		b.exec(b.psql, ChangeTableSQL(`it's "odd"`, b.schema+".items"))
	}
	b.write(`GRANT USAGE ON SCHEMA "it's ""odd""" TO ` + role + `; GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA "it's ""odd""" TO ` + role + `; GRANT SELECT ON ALL SEQUENCES IN SCHEMA "it's ""odd""" TO ` + role)
	var log journal
	feed := ChangeTable(as, WithBound(quick), WithSchema(`it's "odd"`), log.logger())
	p := &process{World: worldtest.Open(t, b.d.Again(), plain, nil, preload.WithFeed(feed)), by: feed}
	p.serving(t, items)
	b.write("UPDATE items SET name = 'told'")
	p.caughtUp(t)
	p.right(t, "by a role that owns nothing", items)
	p.serving(t, items)
	if p.served(worldtest.Named{Name: "others", Query: worldtest.List[other](worldtest.ByID)}) {
		t.Error("a table is served that has no triggers")
	}
	if !strings.Contains(log.String(), "others") {
		t.Errorf("the log does not say what is not told: %s", &log)
	}
}

type other item

// TestChangeTableMakesTriggersLater: of tables that come later, of some tables only, and not while
// a transaction that writes them is open, which nobody waits for.
func TestChangeTableMakesTriggersLater(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	b.write("CREATE TABLE others (id int PRIMARY KEY, name text); INSERT INTO others VALUES (1, 'a')")
	open := b.connect(b.name)
	b.exec(open, "SET search_path = "+b.schema+"; BEGIN; UPDATE items SET name = 'open' WHERE id = 1")
	p := b.openTable(plain, WithTables("items", b.schema+".later"))
	p.caughtUp(t)
	others := worldtest.Named{Name: "others", Query: worldtest.List[other](worldtest.ByID)}
	if p.served(items) || p.served(others) {
		t.Error("a table is served that has no triggers")
	}
	b.exec(open, "COMMIT")
	p.serving(t, items)
	p.right(t, "written before there were triggers", items)
	b.write("CREATE TABLE later (id int PRIMARY KEY, name text); INSERT INTO later VALUES (1, 'a')")
	p.serving(t, worldtest.Named{Name: "later", Query: worldtest.List[later](worldtest.ByID)})
	if p.served(others) {
		t.Error("a table is served that was not named")
	}
}

type later item

// TableName implements gorm's Tabler.
func (later) TableName() string { return "later" }

// TestChangeTableCloses: with all goroutines and its connection, whatever goes on.
func TestChangeTableCloses(t *testing.T) {
	b := common(t).bed(t)
	b.items()
	before := goleak.IgnoreCurrent()
	for _, dsn := range []string{b.DSN(b.name), b.DSN(b.name), "postgres://postgres@127.0.0.1:1/" + b.name} {
		db := b.d.Again().Open(t)
		p := preload.New(preload.WithFeed(ChangeTable(dsn, WithLogger(worldtest.Quiet()))), preload.WithLogger(worldtest.Quiet()))
		worldtest.Must(t, db.Use(p))
		worldtest.Within(t, worldtest.Patience, "Close", func() { worldtest.Must(t, p.Close()) })
		until(t, "no connection", func() bool {
			return b.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'preload table' AND datname = current_database()") == 0
		})
		conn, _ := db.DB()
		_ = conn.Close()
	}
	goleak.VerifyNone(t, before, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// TestFields: texts of rows.
func TestFields(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`(1,a,)`: "[1 a NULL]", `(,"")`: "[NULL ]", `("a ""b"" \\ , (c)",x)`: `[a "b" \ , (c) x]`, `()`: "[NULL]",
		``: "", `(`: "", `("a)`: "", `(1,"a""`: "", `("\`: "", `1,2`: "",
	} {
		all, ok := fields(text)
		var got []string
		for _, f := range all {
			if f == nil {
				got = append(got, "NULL")
			} else {
				got = append(got, *f)
			}
		}
		if say := fmt.Sprint(got); ok != (want != "") || ok && say != want {
			t.Errorf("%s: %s, %v: want %s", text, say, ok, want)
		}
	}
}
