package sqltext

import "testing"

func TestWhatAStatementLeavesOnItsConnection(t *testing.T) {
	t.Parallel()
	const any = "*"
	for _, c := range []struct {
		dialect, sql string
		want         Effect
	}{
		{any, "SELECT * FROM users", NoEffect},
		{any, "UPDATE users SET a = 1", NoEffect},
		{any, "INSERT INTO temp_users VALUES (1)", NoEffect},
		{any, "CREATE TABLE users (id int)", NoEffect},
		{any, "CREATE TEMP TABLE t (id int)", Differs},
		{any, "create global temporary table t (id int)", Differs},
		{any, "CREATE OR REPLACE TEMP VIEW v AS SELECT 1", Differs},
		{postgres, "SELECT 1 INTO TEMP t", Differs},
		{any, "SET search_path TO a", Differs},
		{any, "SELECT 1; SET search_path = a", Differs},
		{any, "SET SESSION sql_mode = ''", Differs},
		{any, "SET SESSION foreign_key_checks = 0", Differs},
		{any, "SET FOREIGN_KEY_CHECKS = 0;", Differs},
		{any, "SET foreign_key_checks = 0, sql_mode = ''", Differs},
		{any, "SET statement_timeout = 5000", Tunes},
		{any, "SET LOCAL search_path = a", NoEffect},
		{any, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", NoEffect},
		{any, "SET", Differs},
		{any, "SET @a = 1", Differs},
		{any, "SET NAMES latin1", Differs},
		{any, "SET ROLE other", Differs},
		{any, "RESET ALL", Differs},
		{any, "DISCARD TEMP", Differs},
		{any, "USE other", Differs},
		{any, "SELECT set_config('search_path', 'a', false)", Differs},
		{sqlite, "SELECT load_extension('x')", Differs},
		{sqlite, "ATTACH 'x.db' AS x", Differs},
		{sqlite, "PRAGMA foreign_keys = ON", Differs},
		{sqlite, "PRAGMA main.journal_mode = WAL", Tunes},
		{sqlite, "PRAGMA journal_mode", NoEffect},
		{sqlite, "PRAGMA table_info(users)", NoEffect},
		{sqlite, "PRAGMA case_sensitive_like = 1", Differs},
		{sqlite, "PRAGMA read_uncommitted(1)", Differs},
		{mysql, "LOAD DATA INFILE 'x' INTO TABLE users", NoEffect},
		{any, "", NoEffect},
	} {
		for _, dialect := range dialects {
			if c.dialect != any && c.dialect != dialect {
				continue
			}
			if got := Classify(dialect, c.sql).Effect; got != c.want {
				t.Errorf("%s: %q leaves %d, want %d", dialect, c.sql, got, c.want)
			}
		}
	}
}
