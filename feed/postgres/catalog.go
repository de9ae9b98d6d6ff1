package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// table is what is known of a table of the database.
type table struct {
	name   string
	told   bool     // whether its changes are in the stream
	within []string // the names of further tables that show its rows
	// loose are the names of those that it inherits from: they show its rows, too, but a key of
	// theirs may be there twice.
	loose []string
	many  bool // whether there are too many of these
}

func (t table) same(other table) bool {
	return t.name == other.name && t.told == other.told && t.many == other.many && slices.Equal(t.within, other.within) && slices.Equal(t.loose, other.loose)
}

// manyTables bounds the tables in which a row shows.
const manyTables = 16

// ours are the schemas of which tables are looked at.
const ours = `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

// endQuery asks where the log ends. It comes before what is asked of that moment, in a statement of
// its own, whose snapshot would be older than the answer.
const endQuery = "SELECT pg_current_wal_insert_lsn()::text"

// shape lists all that has a say in which tables there are, and how they look. TRUNCATE, VACUUM,
// REFRESH and what else leaves that as it is does not change it, nor do temporary tables.
const shape = `WITH looked AS MATERIALIZED (SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND ` + ours + `)
	SELECT concat_ws('/', 'c', c.oid, c.relname, c.relnamespace, c.relkind, c.relpersistence, c.relnatts, c.relispartition,
		c.relreplident, c.relrowsecurity, c.relowner) AS what FROM looked c
	UNION ALL SELECT concat_ws('/', 'a', a.attrelid, a.attnum, a.xmin) FROM pg_attribute a JOIN looked c ON c.oid = a.attrelid WHERE a.attnum > 0
	UNION ALL SELECT concat_ws('/', 'i', i.inhrelid, i.inhparent, i.xmin) FROM pg_inherits i JOIN looked c ON c.oid = i.inhrelid
	UNION ALL SELECT concat_ws('/', 'v', r.oid, r.xmin) FROM pg_rewrite r JOIN looked c ON c.oid = r.ev_class
	UNION ALL SELECT concat_ws('/', 'y', p.oid, p.xmin) FROM pg_policy p JOIN looked c ON c.oid = p.polrelid
	UNION ALL SELECT concat_ws('/', 'n', oid, xmin) FROM pg_namespace n WHERE ` + ours + `
	UNION ALL SELECT concat_ws('/', 'e', oid, xmin) FROM pg_enum`

// shapeQuery sums up the shape, and whether changes of tables are told, and can be.
const shapeQuery = `SELECT coalesce(sum(hashtextextended(what, 0)), 0)::text FROM (` + shape + `
	UNION ALL SELECT concat_ws('/', 'x', i.indrelid, i.indisprimary, i.indisreplident, i.indimmediate, i.indisvalid)
		FROM pg_index i JOIN looked c ON c.oid = i.indrelid WHERE i.indisprimary OR i.indisreplident
	UNION ALL SELECT concat_ws('/', 'p', oid, xmin) FROM pg_publication
	UNION ALL SELECT concat_ws('/', 'r', oid, xmin) FROM pg_publication_rel
	UNION ALL SELECT concat_ws('/', 't', schemaname, tablename) FROM pg_publication_tables) AS everything`

// tablesQuery returns the tables, each with whether its changes are told, and the tables above it
// and, of one that is partitioned, below it. A publication with a row filter does not tell all; nor
// does one that tells of partitions by the table at their root, which leaves out that one of them
// was truncated.
const tablesQuery = `WITH RECURSIVE up AS (
	SELECT inhrelid AS lower, inhparent AS upper FROM pg_inherits
	UNION SELECT u.lower, i.inhparent FROM up u JOIN pg_inherits i ON i.inhrelid = u.upper),
told AS (
	SELECT c.oid FROM pg_publication p JOIN pg_publication_tables t ON t.pubname = p.pubname
	JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
	WHERE p.pubname = $1 AND p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate
	AND to_jsonb(t) ->> 'rowfilter' IS NULL AND c.relkind = 'r')
SELECT c.oid, c.relname,
	c.relkind = 'p' OR c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid IN (SELECT oid FROM told),
	ARRAY(SELECT o.relname::text FROM up JOIN pg_class o ON o.oid = up.upper WHERE up.lower = c.oid
		UNION SELECT o.relname::text FROM up JOIN pg_class o ON o.oid = up.lower WHERE up.upper = c.oid AND c.relkind = 'p' ORDER BY 1),
	c.relispartition OR c.relkind = 'p'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't' AND ` + ours

// tablesOf asks for the tables of the database.
func tablesOf(ctx context.Context, conn *pgx.Conn, publication string) (map[uint32]table, error) {
	rows, err := conn.Query(ctx, tablesQuery, publication)
	if err != nil {
		return nil, fmt.Errorf("postgres: asking which tables there are: %w", err)
	}
	all := map[uint32]table{}
	var oid uint32
	var (
		t           table
		partitioned bool
	)
	_, err = pgx.ForEachRow(rows, []any{&oid, &t.name, &t.told, &t.within, &partitioned}, func() error {
		if t.many = len(t.within) > manyTables; t.many {
			t.within = nil
		}
		if !partitioned {
			t.within, t.loose = nil, t.within
		}
		all[oid] = t
		t.within, t.loose = nil, nil
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: asking which tables there are: %w", err)
	}
	return all, nil
}
