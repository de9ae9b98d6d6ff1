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
	"gorm.io/gorm"
)

// process is a plugin with a feed.
type process struct {
	*worldtest.World
	feed *Feed
	by   preload.Positioner // the feed, of whatever kind
}

// open opens a plugin with a feed on a database.
func (b *bed) open(plain *gorm.DB, options ...Option) *process {
	b.t.Helper()
	feed := b.feed(append([]Option{WithBound(quick), WithLogger(worldtest.Quiet())}, options...)...)
	return &process{worldtest.Open(b.t, b.d.Again(), plain, nil, preload.WithFeed(feed)), feed, feed}
}

// openTable opens a plugin with a feed that reads a change table.
func (b *bed) openTable(plain *gorm.DB, options ...Option) *process {
	b.t.Helper()
	feed := b.changeTable(options...)
	return &process{World: worldtest.Open(b.t, b.d.Again(), plain, nil, preload.WithFeed(feed)), by: feed}
}

// serving waits until a process answers from memory.
func (p *process) serving(t testing.TB, q worldtest.Named) {
	t.Helper()
	worldtest.Within(t, worldtest.Patience, "a process that serves from memory", func() {
		for p.Queries(func() { q.Ask(p.DB) }) > 0 {
			time.Sleep(time.Millisecond)
		}
	})
}

// caughtUp waits until a process has taken in all that is committed.
func (p *process) caughtUp(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), worldtest.Patience)
	defer cancel()
	for ctx.Err() == nil {
		position, err := p.by.Position(ctx)
		if err == nil {
			err = p.by.Await(ctx, position)
		}
		if err == nil {
			return
		}
		time.Sleep(time.Millisecond) // another session begins
	}
	t.Fatal("a process does not catch up")
}

// right checks that a process has no answer in memory that the database would not give.
func (p *process) right(t testing.TB, what string, queries ...worldtest.Named) {
	t.Helper()
	for _, q := range queries {
		got := q.Ask(p.DB)
		if diff := q.Ask(p.Plain).Differs(got); diff != "" {
			t.Errorf("%s: %s: %s", what, q.Name, diff)
		}
	}
}

// changeTable is the name of tests of a change table, beside those of replication.
const changeTable = "change table"

// TestEveryWriteOfOthersIsSeen: what anybody writes past the plugin, in any way, is not served any
// more once the stream has come to it; what a row looked like before is told, or not.
func TestEveryWriteOfOthersIsSeen(t *testing.T) {
	t.Parallel()
	for _, identity := range []string{"DEFAULT", "FULL", changeTable} {
		t.Run(identity, func(t *testing.T) {
			t.Parallel()
			b := common(t).bed(t)
			plain := worldtest.MigrateWrites(t, b.d)
			worldtest.SeedWrites(t, plain)
			open := b.openTable
			if identity != changeTable {
				open = b.open
				b.write(`DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class WHERE relname ~ '^write_' AND relkind = 'r' LOOP
					EXECUTE format('ALTER TABLE %I REPLICA IDENTITY ` + identity + `', t); END LOOP; END $$`)
			}
			p := open(plain)
			p.serving(t, worldtest.WriteQueries[0])
			var hits, asked int64
			for i, write := range worldtest.RandomWrites {
				for round := range 2 {
					for _, q := range worldtest.WriteQueries {
						q.Ask(p.DB)
					}
					id, n := uint(1+(i+round)%4), i+round
					what := fmt.Sprintf("%s(%d, %d)", write.Name, id, n)
					if err := write.Do(plain, id, n); err != nil {
						what += ": " + err.Error()
					}
					p.caughtUp(t)
					before := p.Plugin.Stats().Hits
					p.right(t, what, worldtest.WriteQueries...)
					hits += p.Plugin.Stats().Hits - before
					asked += int64(len(worldtest.WriteQueries))
				}
			}
			t.Logf("after %d writes %d hits in %d queries", 2*len(worldtest.RandomWrites), hits, asked)
			if hits < asked/10 {
				t.Error("next to nothing was in memory: the test tests nothing")
			}
		})
	}
}

// TestEveryStatementOfOthersIsSeen: statements that no handle of GORM sends.
func TestEveryStatementOfOthersIsSeen(t *testing.T) {
	t.Parallel()
	t.Run("replication", func(t *testing.T) { everyStatement(t, (*bed).open) })
	t.Run(changeTable, func(t *testing.T) { everyStatement(t, (*bed).openTable) })
}

func everyStatement(t *testing.T, open func(*bed, *gorm.DB, ...Option) *process) {
	t.Parallel()
	b := common(t).bed(t)
	plain := worldtest.MigrateWrites(t, b.d)
	worldtest.SeedWrites(t, plain)
	b.write(`CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE write_docs SET version = version + 1; RETURN NULL; END $$;
		CREATE TRIGGER touch AFTER UPDATE ON write_hookeds FOR EACH STATEMENT EXECUTE FUNCTION touch();
		CREATE FUNCTION rename(to_name text) RETURNS void LANGUAGE sql AS $$ UPDATE write_tags SET name = to_name $$;
		CREATE VIEW tags_view AS SELECT * FROM write_tags`)
	p := open(b, plain)
	p.serving(t, worldtest.WriteQueries[0])
	copyIn := func() {
		source := pgx.CopyFromSlice(100, func(i int) ([]any, error) { return []any{500 + i, 2, fmt.Sprint("copied", i), i}, nil })
		if _, err := b.psql.CopyFrom(context.Background(), pgx.Identifier{"write_posts"}, []string{"id", "user_id", "title", "views"}, source); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"update", func() { b.write("UPDATE write_users SET age = age + 1 WHERE id = 2") }},
		{"nothing changes", func() { b.write("UPDATE write_users SET age = age") }},
		{"key changes", func() { b.write("UPDATE write_comments SET id = 77 WHERE id = 2") }},
		{"cascade", func() { b.write("DELETE FROM write_users WHERE id = 1") }},
		{"cascade of a key", func() { b.write("UPDATE write_countries SET code = 'au' WHERE code = 'at'") }},
		{"trigger", func() { b.write("UPDATE write_hookeds SET name = 'triggered'") }},
		{"function", func() { b.write("SELECT rename('called')") }},
		{"view", func() { b.write("UPDATE tags_view SET name = 'by a view' WHERE id = 1") }},
		{"settings", func() {
			b.write("BEGIN; SET LOCAL session_replication_role = replica; SET LOCAL datestyle = German; SET LOCAL extra_float_digits = -5; UPDATE write_tags SET name = 'replica'; COMMIT")
		}},
		{"insert of a select", func() { b.write("INSERT INTO write_posts SELECT id + 900, 2, 'x', 3 FROM write_posts") }},
		{"upsert", func() {
			b.write("INSERT INTO write_tags VALUES (1, 'up'), (900, 'new') ON CONFLICT (id) DO UPDATE SET name = excluded.name")
		}},
		{"merge of rows", func() {
			b.write("WITH gone AS (DELETE FROM write_notes RETURNING *) UPDATE write_docs SET title = 'x'")
		}},
		{"COPY", copyIn},
		{"TRUNCATE", func() { b.write("TRUNCATE write_comments") }},
		{"TRUNCATE CASCADE", func() { b.write("TRUNCATE write_posts CASCADE") }},
		{"savepoints", func() {
			b.write("BEGIN; UPDATE write_tags SET name = 'a'; SAVEPOINT s; UPDATE write_docs SET title = 'undone'; ROLLBACK TO s; UPDATE write_tags SET name = 'b' WHERE id = 2; COMMIT")
		}},
		{"rolled back", func() { b.write("BEGIN; UPDATE write_tags SET name = 'undone'; ROLLBACK") }},
		{"no value is set", func() { b.write("UPDATE write_towns SET region_code = NULL") }},
		{"asynchronous", func() {
			b.write("BEGIN; SET LOCAL synchronous_commit = off; UPDATE write_tags SET name = 'asynchronous'; COMMIT")
		}},
		{"10^5 rows", func() {
			b.write("INSERT INTO write_notes (text, owner_id, owner_type) SELECT 'many', i, 'write_users' FROM generate_series(1, 100000) i")
		}},
		{"10^5 rows of one key", func() { b.write("UPDATE write_notes SET text = 'all'") }},
		{"they go", func() { b.write("DELETE FROM write_notes WHERE id > 100; UPDATE write_tags SET name = 'too'") }},
	} {
		for range 2 {
			for _, q := range worldtest.WriteQueries {
				if c.name != "10^5 rows of one key" && c.name != "they go" || !strings.Contains(q.Name, "note") && q.Name != "user 1 with all" {
					q.Ask(p.DB)
				}
			}
		}
		before := p.Plugin.Stats().Hits
		c.do()
		p.caughtUp(t)
		p.right(t, c.name, slices.DeleteFunc(slices.Clone(worldtest.WriteQueries), func(q worldtest.Named) bool { return strings.Contains(c.name, "10^5") && q.Name == "notes" })...)
		if p.Plugin.Stats().Hits == before && c.name == "update" {
			t.Error("nothing was in memory: the test tests nothing")
		}
	}
	if p.feed == nil {
		return
	}
	if n := len(p.feed.session.Load().blocked); n != 0 {
		t.Errorf("%d tables are blocked", n)
	}
}

// TestDelay: how long it takes until a write of somebody else is not served any more. It says what
// it found; what has to hold is the bound.
func TestDelay(t *testing.T) {
	t.Parallel()
	b := common(t).bed(t)
	plain := worldtest.MigrateWrites(t, b.d)
	worldtest.SeedWrites(t, plain)
	p := b.open(plain)
	one := worldtest.Named{Name: "tag 1", Query: worldtest.First[worldtest.WriteTag](worldtest.All, 1)}
	p.serving(t, one)
	var delays []time.Duration
	for i := range 200 {
		one.Ask(p.DB)
		one.Ask(p.DB)
		name := fmt.Sprint("delay", i)
		b.write("UPDATE write_tags SET name = '" + name + "' WHERE id = 1")
		written := time.Now()
		for {
			begun := time.Now()
			var tag worldtest.WriteTag
			worldtest.Must(t, p.DB.First(&tag, 1).Error)
			if tag.Name == name {
				break
			}
			if age := begun.Sub(written); age > quick {
				t.Fatalf("an answer that is %v old, with a bound of %v", age, quick)
			}
		}
		delays = append(delays, time.Since(written))
	}
	slices.Sort(delays)
	t.Logf("of %d writes: median %v, 90 %% %v, 99 %% %v, longest %v", len(delays), delays[len(delays)/2], delays[len(delays)*9/10], delays[len(delays)*99/100], delays[len(delays)-1])
}
