package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// watched is what is known of a table of which a change table may tell.
type watched struct {
	table
	relation
	schema string
	wanted bool     // its triggers may be made: it is the role's, and can have them
	above  []uint32 // those that it is a partition of, or inherits from
	// inherits reports whether it inherits from tables, or they from it, but by partitions. Its
	// statements are those of all of them, whose keys need not be unique.
	inherits bool
}

// watchedQuery returns the tables, each with whether its changes are told, its columns, and the
// tables above and below it. A statement on a table that others inherit from, or are partitions
// of, fires the triggers of that table only. Statements do not replicate: a subscription fires
// none. A column that the database computes may be computed when it is read. Triggers are not made
// of what belongs to an extension, nor where a foreign table is below; tables of feeds are left out.
const watchedQuery = `WITH RECURSIVE up AS (
	SELECT inhrelid AS lower, inhparent AS upper FROM pg_inherits
	UNION SELECT u.lower, i.inhparent FROM up u JOIN pg_inherits i ON i.inhrelid = u.upper)
SELECT c.oid, n.nspname, c.relname, c.relkind IN ('r', 'p') AND pg_has_role(c.relowner, 'USAGE')
		AND NOT EXISTS (SELECT FROM up JOIN pg_class f ON f.oid = up.lower WHERE up.upper = c.oid AND f.relkind = 'f')
		AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'),
	ARRAY(SELECT upper FROM up WHERE lower = c.oid),
	c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = c.oid)
	AND (SELECT count(DISTINCT tgtype) FROM pg_trigger WHERE tgrelid = c.oid AND tgfoid = '@.change'::regproc AND tgenabled = 'A'
		AND tgqual IS NULL AND tgattr = ''::int2vector AND tgtype IN (4, 8, 16, 32)
		AND (tgtype NOT IN (4, 16) OR tgnewtable = 'new_rows') AND (tgtype NOT IN (8, 16) OR tgoldtable = 'old_rows')) = 4,
	ARRAY(SELECT o.relname::text FROM up JOIN pg_class o ON o.oid = up.upper WHERE up.lower = c.oid
		UNION SELECT o.relname::text FROM up JOIN pg_class o ON o.oid = up.lower
			WHERE up.upper = c.oid AND o.relkind IN ('r', 'p', 'f') ORDER BY 1),
	NOT c.relispartition AND c.relkind <> 'p',
	ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum),
	ARRAY(SELECT CASE attgenerated WHEN '' THEN atttypid ELSE 0 END FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum),
	ARRAY(SELECT coalesce(attnum = ANY(i.indkey::int2[]), false) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary AND i.indimmediate
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't' AND ` + ours + `
	AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = n.oid
		AND (p.proname = 'watch' AND p.proargtypes[0] = 'regclass'::regtype AND c.relname IN ('changes', 'horizon')
			OR p.proname = 'strict_lock' AND c.relname IN ('strict_group', 'strict_seat', 'strict_beat', 'strict_write',
				'strict_run', 'strict_member', 'strict_pending')))`

// watchedOf asks for the tables of the database.
func (s *tableSession) watchedOf(ctx context.Context, tx pgx.Tx) (map[uint32]watched, error) {
	rows, err := tx.Query(ctx, s.text(watchedQuery))
	if err != nil {
		return nil, fmt.Errorf("postgres: asking which tables there are: %w", err)
	}
	all := map[uint32]watched{}
	for rows.Next() {
		var oid uint32
		var w watched
		var related []string
		var inherits bool
		err := rows.Scan(&oid, &w.schema, &w.table.name, &w.wanted, &w.above, &w.told, &related, &inherits, &w.columns, &w.types, &w.key)
		if err != nil {
			return nil, fmt.Errorf("postgres: asking which tables there are: %w", err)
		}
		w.relation.name = w.table.name
		w.inherits = inherits && len(related) > 0
		if w.many = len(related) > manyTables; w.many {
			related = nil
		}
		if w.within = related; w.inherits {
			w.within, w.loose = nil, related
		}
		all[oid] = w
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("postgres: asking which tables there are: %w", err)
	}
	for oid, w := range all {
		named := len(s.config.tables) == 0 || s.names(w)
		for _, upper := range w.above {
			named = named || s.names(all[upper])
		}
		w.wanted = w.wanted && named
		all[oid] = w
	}
	return all, nil
}

// names reports whether a table is one of those that WithTables names.
func (f *TableFeed) names(w watched) bool {
	return slices.Contains(f.tables, w.table.name) || slices.Contains(f.tables, w.schema+"."+w.table.name)
}

// fields reads the text of a row: the texts of its columns, nil for NULL.
func fields(row string) (all []*string, ok bool) {
	if len(row) < 2 || row[0] != '(' || row[len(row)-1] != ')' {
		return nil, false
	}
	row = row[1 : len(row)-1]
	for {
		var field strings.Builder
		quoted, at := false, 0
		for ; at < len(row) && row[at] != ','; at++ {
			if row[at] != '"' {
				field.WriteByte(row[at])
				continue
			}
			quoted = true
			for at++; ; at++ {
				if at >= len(row) {
					return nil, false
				}
				if row[at] == '"' {
					if at+1 >= len(row) || row[at+1] != '"' {
						break
					}
					at++
				} else if row[at] == '\\' {
					if at++; at >= len(row) {
						return nil, false
					}
				}
				field.WriteByte(row[at])
			}
		}
		text := field.String()
		if all = append(all, &text); at == 0 && !quoted {
			all[len(all)-1] = nil
		}
		if at >= len(row) {
			return all, true
		}
		row = row[at+1:]
	}
}

// tupleOf returns a column as a stream has it.
func tupleOf(text *string) *pglogrepl.TupleDataColumn {
	if text == nil {
		return &pglogrepl.TupleDataColumn{DataType: pglogrepl.TupleDataTypeNull}
	}
	return &pglogrepl.TupleDataColumn{DataType: pglogrepl.TupleDataTypeText, Data: []byte(*text)}
}
