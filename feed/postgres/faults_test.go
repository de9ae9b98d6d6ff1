//go:build unix

package postgres

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/worldtest"
	"go.uber.org/goleak"
	"gorm.io/gorm"
)

// item is a row of the tests of faults.
type item struct {
	_    struct{} `preload:""`
	ID   int
	Name string
}

var items = worldtest.Named{Name: "items", Query: worldtest.List[item](worldtest.ByID)}

// items makes the table of item with three rows, and returns a handle without the plugin.
func (b *bed) items() *gorm.DB {
	b.t.Helper()
	plain := b.d.Plain(b.t)
	worldtest.Must(b.t, plain.AutoMigrate(&item{}))
	worldtest.Must(b.t, plain.Create([]item{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}, {ID: 3, Name: "c"}}).Error)
	return plain
}

// served reports whether a query is answered from memory, when it is asked twice.
func (p *process) served(q worldtest.Named) bool {
	return p.Queries(func() { q.Ask(p.DB); q.Ask(p.DB) }) < 2
}

// journal is a log that a test reads while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() Option { return WithLogger(slog.New(slog.NewTextHandler(j, nil))) }

// until waits until something is so.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(worldtest.Patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", worldtest.Patience, what)
		}
	}
}

// TestWhatIsToldIsNotServedBeforeItIsVisible: the stream tells of a commit that waits for a
// synchronous standby. If that counted as visible, the row of before would be kept again, and
// served for ever after.
func TestWhatIsToldIsNotServedBeforeItIsVisible(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ unguarded, through bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		t.Run(fmt.Sprintf("without the guard %v, through a relay %v", c.unguarded, c.through), func(t *testing.T) {
			t.Parallel()
			unguarded, options := c.unguarded, []Option{func(f *config) { f.unguarded = c.unguarded }}
			if c.through {
				options = append(options, Through(newMemory()))
			}
			b := alone(t, "synchronous_standby_names=nobody", "synchronous_commit=local").bed(t)
			plain := b.items()
			worldtest.Must(t, plain.Exec("CREATE TABLE others (id int PRIMARY KEY, name text)").Error)
			p := b.open(plain, options...)
			others := worldtest.Named{Name: "item 3 and nothing else", Query: worldtest.First[item](worldtest.All, 3)}
			p.serving(t, items)
			p.serving(t, others)
			conn := b.connect(b.name)
			b.exec(conn, "SET search_path = "+b.schema+"; SET synchronous_commit = on")
			done := make(chan error, 1)
			go func() {
				_, err := conn.Exec(context.Background(), "UPDATE items SET name = 'waits' WHERE id = 1")
				done <- err
			}()
			until(t, "a commit that waits for a standby", func() bool {
				return b.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == 1
			})
			p.caughtUp(t)
			if kept := p.served(items); kept != unguarded {
				t.Errorf("served from memory while a change is told of and not visible: %v", kept)
			}
			if !p.served(others) {
				t.Error("what the change does not touch is not served")
			}
			b.write("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
			worldtest.Must(t, <-done)
			until(t, "a change that is over", func() bool { return p.served(items) })
			stale := items.Ask(plain).Differs(items.Ask(p.DB)) != ""
			if stale != unguarded {
				t.Errorf("a stale answer: %v", stale)
			}
		})
	}
}

// TestWhatWasCommittedBeforeTheSlotIsWaitedFor: a slot is made in steps, each of which waits for
// the transactions that are open before it. One that began after the first step, was committed
// before the last one, and waits for a standby, is neither told of nor visible.
func TestWhatWasCommittedBeforeTheSlotIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := alone(t, "synchronous_standby_names=nobody", "synchronous_commit=local").bed(t)
	plain := b.items()
	b.write("CREATE TABLE others (id int PRIMARY KEY)")
	begin := func(id int) (commit func()) {
		conn := b.connect(b.name)
		b.exec(conn, fmt.Sprintf("SET search_path = %s; BEGIN; INSERT INTO others VALUES (%d)", b.schema, id))
		return func() { b.exec(conn, "COMMIT") }
	}
	waits := func() bool {
		return b.one("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT granted AND locktype = 'transactionid' AND application_name = 'preload'") == 1
	}
	first := begin(1)
	p := b.open(plain)
	until(t, "a slot that waits for a transaction", waits)
	second := begin(2)
	xid := b.one("SELECT max(backend_xid::text::bigint) FROM pg_stat_activity")
	first()
	until(t, "a slot that waits for the next one", func() bool {
		return waits() && b.one(fmt.Sprintf("SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid::text = '%d'", xid)) == 1
	})
	conn := b.connect(b.name)
	b.exec(conn, "SET search_path = "+b.schema+"; SET synchronous_commit = on")
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "UPDATE items SET name = 'waits' WHERE id = 1")
		done <- err
	}()
	until(t, "a commit that waits for a standby", func() bool {
		return b.one("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == 1
	})
	second()
	until(t, "a stream", func() bool { return p.feed.session.Load() != nil })
	for begun := time.Now(); time.Since(begun) < quick; {
		if p.served(items) {
			t.Error("served while a transaction is open of which the stream does not tell")
			break
		}
	}
	b.write("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	worldtest.Must(t, <-done)
	p.serving(t, items)
	p.right(t, "joined", items)
}

// TestFaults: whatever befalls the server, nothing stale is served, and after a while memory serves
// again.
func TestFaults(t *testing.T) {
	t.Parallel()
	s := alone(t)
	b := s.bed(t)
	plain := b.items()
	p := b.open(plain)
	reconnect := func() { b.psql = b.connect(b.name); b.exec(b.psql, "SET search_path = "+b.schema) }
	for _, c := range []struct {
		name   string
		befall func()
	}{
		{"the WAL sender is terminated", func() { b.write("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots") }},
		{"the WAL sender is terminated before a commit", func() {
			b.write("BEGIN; UPDATE items SET name = 'not told' WHERE id = 2; SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots; COMMIT")
		}},
		{"all connections are terminated", func() {
			b.write("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = 'preload'")
		}},
		{"the publication is dropped", func() { b.write("DROP PUBLICATION preload") }},
		{"a table leaves the publication", func() { b.write("ALTER PUBLICATION preload DROP TABLE items") }},
		{"the server is restarted", func() { s.Stop(); worldtest.Must(t, s.Start()); reconnect() }},
		{"a column comes", func() { b.write("ALTER TABLE items ADD COLUMN more int DEFAULT 7") }},
		{"a column is rewritten", func() { b.write("ALTER TABLE items ALTER COLUMN name TYPE varchar(100) USING name || '!'") }},
		{"a column goes", func() { b.write("ALTER TABLE items DROP COLUMN more") }},
		{"the identity changes", func() { b.write("ALTER TABLE items REPLICA IDENTITY FULL") }},
		{"another table takes its place", func() {
			b.write("ALTER TABLE items RENAME TO before; CREATE TABLE items (LIKE before INCLUDING ALL); INSERT INTO items SELECT id, name || '?' FROM before")
		}},
	} {
		p.serving(t, items)
		b.write("UPDATE items SET name = 'before it' WHERE id = 1")
		p.caughtUp(t)
		p.right(t, "before "+c.name, items)
		c.befall()
		befallen := time.Now()
		for n := range 3 {
			var what = fmt.Sprint("write ", n, " after ", c.name)
			for time.Since(befallen) < 2*quick { // by then what there was before is not served any more
				begun := time.Now()
				diff := items.Ask(p.Plain).Differs(items.Ask(p.DB))
				if age := begun.Sub(befallen); diff != "" && age > quick {
					t.Fatalf("%s: %v: %s", c.name, age, diff)
				}
			}
			b.write(fmt.Sprintf("UPDATE items SET name = 'after %d' WHERE id = %d", n, n+1))
			p.caughtUp(t)
			p.right(t, what, items)
		}
		p.serving(t, items)
	}
}

// TestWhatIsNotTold: tables that are not in the publication, or that no publication can have, are
// not served from memory; all others are.
func TestWhatIsNotTold(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	worldtest.MigrateWrites(t, b.d)
	worldtest.SeedWrites(t, plain)
	b.write(`CREATE PUBLICATION own FOR TABLE items`)
	var log journal
	p := b.open(plain, WithPublication("own"), log.logger())
	tags := worldtest.Named{Name: "tags", Query: worldtest.List[worldtest.WriteTag](worldtest.ByID)}
	p.serving(t, items)
	if p.served(tags) {
		t.Error("a table is served whose changes are not told")
	}
	b.write("ALTER PUBLICATION own ADD TABLE write_orgs")
	orgs := worldtest.WriteQueries[0]
	p.serving(t, orgs)
	b.write("ALTER PUBLICATION own DROP TABLE write_orgs")
	until(t, "a table that is not served any more", func() bool { return !p.served(orgs) })
	p.serving(t, items)
	b.write("ALTER PUBLICATION own SET (publish = 'insert, update')")
	until(t, "a publication that does not tell of deletes", func() bool { return !p.served(items) })
	if !strings.Contains(log.String(), "write_tags") {
		t.Errorf("the log does not say what is not told: %s", &log)
	}
}

// TestPartitions: a row of a partition is one of the tables above it; and so is one that comes with
// a partition.
func TestPartitions(t *testing.T) {
	t.Parallel()
	for _, root := range []bool{false, true} {
		t.Run(fmt.Sprint("told as the root's ", root), func(t *testing.T) {
			t.Parallel()
			b := common(t).bed(t)
			b.write(`CREATE TABLE items (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
				CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (10);
				CREATE TABLE high PARTITION OF items FOR VALUES FROM (10) TO (100) PARTITION BY RANGE (id);
				CREATE TABLE higher PARTITION OF high FOR VALUES FROM (50) TO (100);
				INSERT INTO items VALUES (1, 'a'), (60, 'b')`)
			b.write(fmt.Sprintf("CREATE PUBLICATION preload FOR TABLE items WITH (publish_via_partition_root = %v)", root))
			plain := b.d.Plain(t)
			p := b.open(plain)
			all := []worldtest.Named{items, {Name: "higher", Query: worldtest.List[higher](worldtest.ByID)}}
			if root {
				b.write("CREATE TABLE orgs (id int PRIMARY KEY); ALTER PUBLICATION preload ADD TABLE orgs")
				p.serving(t, worldtest.Named{Name: "orgs", Query: worldtest.CountOf[org](worldtest.All)})
				if p.served(all[0]) || p.served(all[1]) {
					t.Error("a partition is served of which is not told when it is truncated")
				}
				return
			}
			p.serving(t, all[0])
			p.serving(t, all[1])
			for _, sql := range []string{
				"UPDATE items SET name = 'x'", "UPDATE higher SET name = 'y'", "INSERT INTO items VALUES (2, 'c'), (61, 'd')",
				"UPDATE items SET id = 62 WHERE id = 2", "DELETE FROM higher WHERE id = 61", "TRUNCATE higher", "INSERT INTO higher VALUES (70, 'e')",
			} {
				p.serving(t, all[0])
				p.serving(t, all[1])
				b.write(sql)
				p.caughtUp(t)
				p.right(t, sql, all...)
			}
			b.write("CREATE TABLE new (id int PRIMARY KEY, name text); INSERT INTO new VALUES (20, 'new'); ALTER TABLE high ATTACH PARTITION new FOR VALUES FROM (10) TO (50)")
			attached := time.Now()
			until(t, "a partition that was attached", func() bool {
				begun := time.Now()
				diff := all[0].Ask(plain).Differs(all[0].Ask(p.DB))
				if diff != "" && begun.Sub(attached) > quick {
					t.Fatal(diff)
				}
				return begun.Sub(attached) > quick
			})
			b.write("UPDATE new SET name = 'newer'")
			p.caughtUp(t)
			p.right(t, "a row of a partition that was attached", all...)
		})
	}
}

type org item

type higher item

// TableName implements gorm's Tabler.
func (higher) TableName() string { return "higher" }

// TestRowsOfTablesThatInherit: a key of the one above may be there twice.
func TestRowsOfTablesThatInherit(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	b.items()
	b.write("CREATE TABLE more (PRIMARY KEY (id)) INHERITS (items)")
	plain := b.d.Plain(t)
	p := b.open(plain)
	one := worldtest.Named{Name: "item 1", Query: worldtest.List[item](func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 1).Order("name") })}
	p.serving(t, one)
	for _, sql := range []string{"INSERT INTO more VALUES (1, 'twice')", "UPDATE more SET name = 'thrice'", "UPDATE more SET id = 2", "TRUNCATE more"} {
		p.serving(t, one)
		b.write(sql)
		p.caughtUp(t)
		p.right(t, sql, one)
	}
}

// TestTablesOfOneName: in two schemas.
func TestTablesOfOneName(t *testing.T) {
	t.Parallel()
	tx := transaction{}
	tx.whole(1, "events")
	tx.whole(2, "events")
	tx.whole(1, "events")
	if !slices.Equal(tx.of, []uint32{1, 2}) {
		t.Errorf("what is told is of %v", tx.of)
	}
}

// TestOpenTransactions: one that was writing when the feed connected is waited for; one that began
// later, whose log is not written out, keeps nothing from being served.
func TestOpenTransactions(t *testing.T) {
	t.Parallel()
	b := alone(t).bed(t)
	plain := b.items()
	idle := b.connect(b.name)
	b.exec(idle, "SET search_path = "+b.schema+"; BEGIN; UPDATE items SET name = 'open' WHERE id = 1")
	p := b.open(plain)
	until(t, "a slot that is being made", func() bool { return b.one("SELECT count(*) FROM pg_replication_slots") == 1 })
	if p.served(items) {
		t.Error("served while a transaction is open that was writing before")
	}
	b.exec(idle, "COMMIT")
	p.serving(t, items)
	p.right(t, "joined", items)
	b.exec(idle, "BEGIN; UPDATE items SET name = 'open again' WHERE id = 1")
	at := b.one("SELECT pg_current_wal_insert_lsn() - '0/0'")
	until(t, "a log that is read to its end", func() bool {
		s := p.feed.session.Load()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.goals) == manyGoals {
			t.Fatal("the stream does not come to the end of a log that is not written out")
		}
		return int64(s.sure) > at
	})
	p.serving(t, items)
	b.exec(idle, "COMMIT")
	p.caughtUp(t)
	p.right(t, "committed", items)
}

// TestSeveralProcesses: what one writes, all see, in the order of its positions.
func TestSeveralProcesses(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := b.items()
	all := []*process{b.open(plain), b.open(plain), b.open(plain)}
	for _, p := range all {
		p.serving(t, items)
	}
	ctx := t.Context()
	for i := range 30 {
		writer, reader := all[i%3], all[(i+1)%3]
		worldtest.Must(t, writer.DB.Model(&item{ID: 1 + i%3}).Update("name", fmt.Sprint("by ", i)).Error)
		position, err := writer.feed.Position(ctx)
		worldtest.Must(t, err)
		worldtest.Must(t, reader.feed.Await(ctx, position))
		reader.right(t, fmt.Sprint("write ", i), items)
		items.Ask(reader.DB)
	}
	if err := all[0].feed.Await(ctx, "no position"); err == nil {
		t.Error("a position that is none")
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if err := all[0].feed.Await(done, "FFFFFFFF/0"); err == nil {
		t.Error("a position that is never reached")
	}
}

// TestCloseLeavesNothing: no goroutine, no slot, no connection; whatever goes on.
func TestCloseLeavesNothing(t *testing.T) {
	s := common(t)
	b := s.bed(t)
	plain := b.items()
	before := goleak.IgnoreCurrent()
	left := func() int64 {
		return b.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'preload' AND datname = current_database()") +
			b.one("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()")
	}
	closing := func(feed *Feed, when func(p *preload.Plugin)) {
		t.Helper()
		db := b.d.Again().Open(t)
		p := preload.New(preload.WithFeed(feed), preload.WithLogger(worldtest.Quiet()))
		worldtest.Must(t, db.Use(p))
		when(p)
		worldtest.Within(t, worldtest.Patience, "Close", func() { worldtest.Must(t, p.Close()) })
		until(t, "nothing is left", func() bool { return left() == 0 })
		conn, _ := db.DB()
		_ = conn.Close()
	}
	quiet := WithLogger(worldtest.Quiet())
	closing(b.feed(quiet), func(*preload.Plugin) {})
	closing(b.feed(quiet), func(*preload.Plugin) { until(t, "a session", func() bool { return left() == 3 }) })
	idle := b.connect(b.name)
	b.exec(idle, "SET search_path = "+b.schema+"; BEGIN; UPDATE items SET name = 'open' WHERE id = 1")
	closing(b.feed(quiet), func(*preload.Plugin) { until(t, "a slot that is being made", func() bool { return left() == 3 }) })
	b.exec(idle, "ROLLBACK")
	closing(New("postgres://postgres@127.0.0.1:1/"+b.name, quiet), func(*preload.Plugin) {})
	relay := newMemory()
	closing(b.feed(quiet, Through(relay)), func(*preload.Plugin) {})
	closing(b.feed(quiet, Through(relay)), func(*preload.Plugin) { until(t, "a session", func() bool { return left() == 3 }) })
	closing(b.feed(quiet, Through(relay)), func(*preload.Plugin) {
		until(t, "a session", func() bool { return left() == 3 })
		relay.reach(false)
	})
	relay.reach(true)
	_ = plain
	goleak.VerifyNone(t, before, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// TestWhatIsMissingIsSaid: in one error that says what to do, once a minute; and nothing is served.
func TestWhatIsMissingIsSaid(t *testing.T) {
	t.Parallel()
	s := common(t)
	for _, c := range []struct {
		name, prepare, user string
		settings            []string
		want                []string
	}{
		{name: "wal_level", settings: []string{"wal_level=replica", "synchronous_standby_names=*", "synchronous_commit=local"}, want: []string{"wal_level", "synchronous_standby_names"}},
		{name: "slots", settings: []string{"max_replication_slots=0"}, want: []string{"max_replication_slots"}},
		{name: "WAL senders", settings: []string{"max_wal_senders=0"}, want: []string{"max_wal_senders"}},
		{name: "REPLICATION", prepare: "CREATE ROLE one LOGIN; CREATE PUBLICATION preload", user: "one", want: []string{"want ALTER ROLE", "REPLICATION"}},
		{name: "publication", prepare: "CREATE ROLE two LOGIN REPLICATION", user: "two", want: []string{"CREATE PUBLICATION", "GRANT CREATE"}},
		{name: "database", user: "postgres@", want: []string{"leads to the database"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := s
			if c.settings != nil {
				s = alone(t, c.settings...)
			}
			b := s.bed(t)
			plain := b.items()
			if c.prepare != "" {
				b.write(c.prepare)
			}
			dsn := b.DSN(b.name)
			switch c.user {
			case "":
			case "postgres@":
				dsn = b.DSN("postgres")
			default:
				dsn = strings.Replace(dsn, "postgres@", c.user+"@", 1)
			}
			var log journal
			feed := New(dsn, WithBound(quick), log.logger())
			p := &process{worldtest.Open(t, b.d.Again(), plain, nil, preload.WithFeed(feed)), feed, feed}
			until(t, "a word of what is missing", func() bool { return log.String() != "" })
			for _, want := range c.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("want %q in the log: %s", want, &log)
				}
			}
			time.Sleep(3 * shortestPause) // it is tried again meanwhile
			if n := strings.Count(log.String(), "\n"); n != 1 {
				t.Errorf("%d lines of the log: %s", n, &log)
			}
			if p.served(items) {
				t.Error("something is served")
			}
			if _, err := feed.Position(t.Context()); err == nil {
				t.Error("there is a position")
			}
		})
	}
}

// TestALaterTableIsAdded: to the publication that the feed has made, unless it has no replica
// identity: the server would refuse its updates.
func TestALaterTableIsAdded(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	b.write(`CREATE TABLE keyless (n int);
		CREATE TABLE later (n int PRIMARY KEY DEFERRABLE);
		CREATE TABLE parted (n int, PRIMARY KEY (n)) PARTITION BY LIST (n);
		CREATE TABLE part PARTITION OF parted FOR VALUES IN (1, 2); ALTER TABLE part REPLICA IDENTITY NOTHING;
		CREATE TABLE loose (n int) PARTITION BY LIST (n);
		CREATE TABLE part_of_loose PARTITION OF loose FOR VALUES IN (1, 2); ALTER TABLE loose REPLICA IDENTITY FULL;
		CREATE TABLE parent (n int PRIMARY KEY);
		CREATE TABLE child () INHERITS (parent)`)
	plain := b.d.Plain(t)
	p := b.open(plain)
	until(t, "a publication", func() bool { return b.one("SELECT count(*) FROM pg_publication") == 1 })
	b.items()
	p.serving(t, items)
	b.write("INSERT INTO keyless VALUES (1); UPDATE keyless SET n = 2; UPDATE items SET name = 'written'")
	for _, table := range []string{"later", "parted", "loose", "child"} { // the server refuses none
		b.write(fmt.Sprintf("INSERT INTO %s VALUES (1); UPDATE %[1]s SET n = 2; DELETE FROM %[1]s", table))
	}
	p.caughtUp(t)
	p.right(t, "a table that came later", items)
}

// TestBadOptionsAreErrors: each names the option, and what would be right.
func TestBadOptionsAreErrors(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	for _, c := range []struct {
		feed preload.Feed
		want string
	}{
		{b.feed(WithBound(0)), "WithBound"},
		{b.feed(WithPublication("")), "WithPublication"},
		{b.feed(WithLogger(nil)), "WithLogger"},
		{b.feed(Through(nil)), "Through"}, {b.feed(Through((*mute)(nil))), "Through"},
		{b.feed(Through(unmade{})), "the relay: unmade"},
		{b.feed(nil), "nil"},
		{New("postgres://[::1"), "data source name"},
	} {
		err := b.d.Open(t).Use(preload.New(preload.WithFeed(c.feed)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error about %s, got %v", c.want, err)
		}
	}
}
