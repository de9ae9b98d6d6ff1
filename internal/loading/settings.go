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

// tied reports whether an application may depend on the connection that it has used until now: that
// has other settings than another one, which is opened for that, and closed. An error says nothing.
func tied(ctx context.Context, pool *sql.DB, dialect string) bool {
	known := settings[dialect]
	used, err := pool.Conn(ctx)
	if err != nil || known.ask == "" {
		return false
	}
	defer used.Close()
	var has, another string
	if used.QueryRowContext(ctx, known.ask).Scan(&has) != nil || has == known.usual {
		return false
	}
	other, err := pool.Conn(ctx)
	if err != nil {
		return false
	}
	defer other.Close()
	err = other.QueryRowContext(ctx, known.ask).Scan(&another)
	_ = other.Raw(func(any) error { return driver.ErrBadConn }) // which closes it
	return err == nil && another != has
}
