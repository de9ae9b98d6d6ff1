package sqltext

import "testing"

// TestWhatChangesNothingInATransaction: what is not certain to leave the transaction open, and all
// rows as they are, is not.
func TestWhatChangesNothingInATransaction(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		dialect, sql string
		want         bool
	}{
		{postgres, "SELECT set_config('app.user', $1, true)", true},
		{postgres, "SELECT set_config('app.user', lower($1), true), 1", true},
		{postgres, "SET search_path = x", true},
		{postgres, "SET SESSION x = 1", true},
		{postgres, "SET CONSTRAINTS ALL DEFERRED", true},
		{postgres, "RESET x", true},
		{postgres, "LOCK TABLE users IN EXCLUSIVE MODE", true},
		{postgres, "NOTIFY jobs, 'x'", true},
		{postgres, "LISTEN jobs", true},
		{postgres, "UNLISTEN *", true},
		{postgres, "ANALYZE users", true},
		{postgres, "SELECT set_config('a', evil(), true)", false},
		{postgres, "SELECT set_config('a', t.evil, true) FROM t", false},
		{postgres, "SELECT set_config('a', 'b', true) INTO x", false},
		{postgres, "SELECT set_config('a', 'b', true); COMMIT", false},
		{postgres, "WITH d AS (DELETE FROM t RETURNING *) SELECT set_config('a', 'b', true)", false},
		{postgres, "SET x = 1; DELETE FROM t", false},
		{postgres, "SELECT evil()", false},
		{postgres, "DO $$ BEGIN DELETE FROM users; END $$", false},
		{postgres, "COMMIT", false},
		{postgres, "VACUUM", false},
		{postgres, "TRUNCATE users", false},
		{postgres, "PREPARE TRANSACTION 'x'", false},
		{postgres, "SET x = 'open", false},
		{mysql, "SET @v = 1", true},
		{mysql, "SET @v := (SELECT max(a) FROM t)", true},
		{mysql, "SET SESSION lock_wait_timeout = 5", true},
		{mysql, "SET foreign_key_checks = 0", true},
		{mysql, "DO SLEEP(0)", true},
		{mysql, "SET autocommit = 1", false},
		{mysql, "SET @v = 1, autocommit = 1", false},
		{mysql, "SET @@autocommit = 1", false},
		{mysql, "SET @@session.autocommit = 1", false},
		{mysql, "SET PASSWORD = 'x'", false},
		{mysql, "SET @v = evil()", false},
		{mysql, "SET GLOBAL lock_wait_timeout = 5", false},
		{mysql, "DO evil()", false},
		{mysql, "LOCK TABLES users WRITE", false},
		{mysql, "ANALYZE TABLE users", false},
		{mysql, "SET @v = 1 /*! , autocommit = 1 */", false},
		{sqlite, "PRAGMA busy_timeout = 500", true},
		{sqlite, "PRAGMA main.cache_size = 100", true},
		{sqlite, "PRAGMA cache_size(100)", false},
		{sqlite, "PRAGMA defer_foreign_keys = on", true},
		{sqlite, "PRAGMA user_version = 5", false},
		{sqlite, "PRAGMA writable_schema = 1", false},
		{sqlite, "PRAGMA busy_timeout = 500; DELETE FROM t", false},
		{sqlite, "ANALYZE", false},
		{sqlite, "ATTACH 'x' AS y", false},
		{sqlserver, "SET x = 1", false},
		{"another", "SET x = 1", false},
		// What is no trouble outside either is told by its kind.
		{postgres, "SELECT 1", false},
		{postgres, "SET LOCAL x = 1", false},
	} {
		if got := Classify(test.dialect, test.sql); got.Inside != test.want {
			t.Errorf("%s: %s: %t (%s), want %t", test.dialect, test.sql, got.Inside, got.Kind, test.want)
		}
	}
}

// TestWhatLeavesATransactionOpen: what is not certain to, or may be visible at once, does not; and
// a temporary table is one only where its definition does no more.
func TestWhatLeavesATransactionOpen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		dialect, sql string
		stays        bool
		scratch      string
	}{
		{postgres, "SELECT evil()", true, ""},
		{postgres, "UPDATE t SET a = evil(b)", true, ""},
		{postgres, "INSERT INTO t (a) VALUES (evil())", true, ""},
		{postgres, "TRUNCATE t CASCADE", true, ""},
		{postgres, "SELECT evil(); COMMIT", false, ""},
		{postgres, "CALL evil()", false, ""},
		{postgres, "DO $$ BEGIN COMMIT; END $$", false, ""},
		{postgres, "SELECT dblink_exec('x', 'DELETE FROM t')", false, ""},
		{postgres, "SELECT evil() INTO t", false, ""},
		{postgres, "DROP TABLE t", false, ""},
		{mysql, "SELECT evil()", true, ""},
		{mysql, "DO evil()", true, ""},
		{mysql, "TRUNCATE t", false, ""},
		{mysql, "SELECT evil() /*! INTO OUTFILE 'x' */", false, ""},
		{mysql, "CALL evil()", false, ""},
		{sqlite, "SELECT evil()", false, ""},
		{postgres, "CREATE TEMP TABLE x (a int)", true, "x"},
		{postgres, "CREATE TEMPORARY TABLE IF NOT EXISTS \"X\" (a int DEFAULT 5) ON COMMIT DROP", true, "x"},
		{postgres, "CREATE TEMP TABLE x AS SELECT evil()", false, ""},
		{postgres, "CREATE TEMP TABLE x (a int) AS SELECT evil()", false, ""},
		{postgres, "CREATE TABLE x (a int)", false, ""},
		{postgres, "CREATE TEMP TABLE x (a int); COMMIT", false, ""},
		{mysql, "CREATE TEMPORARY TABLE x (a int)", true, "x"},
		{mysql, "CREATE TEMPORARY TABLE x (a int) SELECT evil() AS a", false, ""},
		{sqlite, "CREATE TEMP TABLE x (a int)", true, "x"},
		{sqlite, "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END", false, ""},
		{postgres, "SELECT 1", false, ""},
	} {
		if got := Classify(test.dialect, test.sql); got.Stays != test.stays || got.Scratch != test.scratch {
			t.Errorf("%s: %s: %t, %q (%s), want %t, %q", test.dialect, test.sql, got.Stays, got.Scratch, got.Kind, test.stays, test.scratch)
		}
	}
}
