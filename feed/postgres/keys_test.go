//go:build unix

package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gorm-preload/preload/internal/worldtest"
)

// TestATableThatLosesItsKey: the server refuses updates of a table of a publication that has no
// replica identity. One of a feed's own publication is taken out of it, and put back when it has a
// key again; one of an administrator's own is not.
func TestATableThatLosesItsKey(t *testing.T) {
	t.Parallel()
	const plainTable = "CREATE TABLE items (id int CONSTRAINT key PRIMARY KEY, name text)"
	for _, c := range []struct{ name, table, lose, find string }{
		{"its key is dropped", plainTable, "ALTER TABLE items DROP CONSTRAINT key", "ALTER TABLE items ADD CONSTRAINT key PRIMARY KEY (id)"},
		{"it is said to have none", plainTable, "ALTER TABLE items REPLICA IDENTITY NOTHING", "ALTER TABLE items REPLICA IDENTITY DEFAULT"},
		{
			"the index of its identity is dropped", "CREATE TABLE items (id int NOT NULL, name text); CREATE UNIQUE INDEX key ON items (id); ALTER TABLE items REPLICA IDENTITY USING INDEX key",
			"DROP INDEX key", "CREATE UNIQUE INDEX key ON items (id); ALTER TABLE items REPLICA IDENTITY USING INDEX key",
		},
		{
			"partitions lose theirs", "CREATE TABLE items (id int CONSTRAINT key PRIMARY KEY, name text) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (10)",
			"ALTER TABLE items DROP CONSTRAINT key", "ALTER TABLE items ADD CONSTRAINT key PRIMARY KEY (id)",
		},
		{
			"one that inherits loses its own", plainTable + "; CREATE TABLE heirs (CONSTRAINT heir PRIMARY KEY (id)) INHERITS (items); INSERT INTO heirs VALUES (7, 'heir')",
			"ALTER TABLE heirs DROP CONSTRAINT heir", "ALTER TABLE heirs ADD CONSTRAINT heir PRIMARY KEY (id)",
		},
	} {
		for _, while := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, while a process runs %v", c.name, while), func(t *testing.T) {
				t.Parallel()
				b := common(t).bed(t)
				b.write(c.table + "; INSERT INTO items VALUES (1, 'a'), (2, 'b'); CREATE TABLE orgs (id int PRIMARY KEY)")
				plain := b.d.Plain(t)
				orgs := worldtest.Named{Name: "orgs", Query: worldtest.CountOf[org](worldtest.All)}
				var log journal
				p := b.open(plain, log.logger())
				p.serving(t, items)
				if !while {
					worldtest.Must(t, p.Plugin.Close())
				}
				b.write(c.lose)
				if !while {
					if b.try("UPDATE items SET name = 'refused'") == nil {
						t.Error("the server updates a table of the publication that has no replica identity")
					}
					p = b.open(plain, log.logger())
				}
				until(t, "a table that was taken out of the publication", func() bool { return b.try("UPDATE items SET name = 'x'") == nil })
				worldtest.Must(t, b.try("DELETE FROM items WHERE id = 2"))
				p.serving(t, orgs)
				until(t, "a table that is not served any more", func() bool { return !p.served(items) })
				p.right(t, "a table without a key", items)
				if n := strings.Count(log.String(), "was taken out of the publication"); n != 1 {
					t.Errorf("the log says %d times that a table was taken out: %s", n, &log)
				}
				b.write(c.find)
				p.serving(t, items)
				b.write("UPDATE items SET name = 'y'")
				p.caughtUp(t)
				p.right(t, "a table that has a key again", items)
			})
		}
	}
	t.Run("of an administrator's publication", func(t *testing.T) {
		t.Parallel()
		b := common(t).bed(t)
		b.write(plainTable + "; CREATE PUBLICATION preload FOR TABLE items")
		p := b.open(b.d.Plain(t))
		p.serving(t, items)
		b.write("ALTER TABLE items DROP CONSTRAINT key")
		p.caughtUp(t)
		p.serving(t, items) // it has looked
		if b.one("SELECT count(*) FROM pg_publication_rel") != 1 {
			t.Error("a publication of an administrator's own was changed")
		}
	})
}
