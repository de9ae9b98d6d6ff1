package loading

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// What an application has set on the one connection that it used before the plugin was there (a
// PRAGMA, a SET, a temporary table, an ATTACH) nobody has seen. As long as it asks one thing after
// the other, it gets that connection each time. While a load has it, it would get another one.

// settings ask for what statements may have left on a connection, as one text. usual is that text
// where they have left nothing, if that is known.
var settings = map[string]struct{ ask, usual string }{
	"sqlite": {
		ask: `SELECT (SELECT foreign_keys FROM pragma_foreign_keys) || (SELECT recursive_triggers FROM pragma_recursive_triggers) ||
			(SELECT ignore_check_constraints FROM pragma_ignore_check_constraints) || (SELECT read_uncommitted FROM pragma_read_uncommitted) ||
			(SELECT reverse_unordered_selects FROM pragma_reverse_unordered_selects) || (SELECT query_only FROM pragma_query_only) ||
			(SELECT legacy_alter_table FROM pragma_legacy_alter_table) || ('a' LIKE 'A') ||
			(SELECT count(*) FROM pragma_database_list WHERE name NOT IN ('main', 'temp')) || ',' || (SELECT count(*) FROM sqlite_temp_master)`,
	},
	"postgres": {
		ask: `SELECT coalesce((SELECT string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_settings WHERE source = 'session'), '') ||
			';' || (pg_my_temp_schema() <> 0) || ';' || (current_user <> session_user)`,
		usual: ";false;false",
	},
	"mysql": {
		ask: `SELECT concat_ws(',', @@sql_mode, @@time_zone, @@foreign_key_checks, @@unique_checks, @@autocommit, @@sql_select_limit,
			@@character_set_client, @@collation_connection, @@group_concat_max_len, @@div_precision_increment, @@lc_time_names,
			@@default_week_format, @@sql_auto_is_null, database())`,
	},
}

// tied reports whether an application may depend on a connection that it has used until now: that
// has other settings than another one, be it idle, too, or opened for that, and closed. What cannot
// be found out in time counts as that.
func tied(ctx context.Context, pool *sql.DB, dialect string) bool {
	known, stats := settings[dialect], pool.Stats()
	if known.ask == "" || stats.Idle == 0 {
		return false
	}
	more := stats.Idle + 1 // the last one is fresh
	if most := stats.MaxOpenConnections; most > 0 {
		more = min(more, most-stats.InUse)
	}
	first := ""
	for i := range more {
		conn, err := pool.Conn(ctx)
		if err != nil {
			return true
		}
		defer conn.Close()
		var has string
		err = conn.QueryRowContext(ctx, known.ask).Scan(&has)
		if i == stats.Idle {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // which closes it
		}
		switch {
		case err != nil:
			return i > 0 || ctx.Err() != nil // a server that has no such settings has none that differ
		case i == 0 && has == known.usual && stats.Idle == 1:
			return false
		case i == 0:
			first = has
		case has != first:
			return true
		}
	}
	return false
}
