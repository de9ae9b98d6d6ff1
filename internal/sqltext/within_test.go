package sqltext

import "testing"

// What a statement does to its transaction, and to those after it.
func TestWithin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect, sql string
		want         Within
	}{
		{postgres, "SELECT * FROM isolation_levels WHERE name = 'isolation'", 0},
		{postgres, "SELECT * FROM t FOR UPDATE", Locks},
		{postgres, "SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED", Locks},
		{postgres, "SELECT * FROM t FOR KEY SHARE", Locks},
		{mysql, "SELECT * FROM t LOCK IN SHARE MODE", Locks},
		{mysql, "SELECT get_lock('a', 1)", Locks},
		{postgres, "LOCK TABLE t", Locks},
		{postgres, "SELECT lock FROM t", 0},
		{postgres, "SELECT pg_try_advisory_xact_lock($1)", Locks},
		{postgres, "SELECT pg_advisory_lock_shared(1)", Locks},
		{postgres, "SELECT set_config('app.x', $1, true)", Sets},
		{postgres, "SELECT set_config($1, $2, true)", Sets | Isolates | IsolatesOthers},
		{postgres, "SELECT set_config('transaction_isolation', 'serializable', true)", Sets | Isolates | IsolatesOthers},
		{postgres, "SET LOCAL app.x = '1'", Sets},
		{postgres, "SET LOCAL statement_timeout = 5", 0},
		{postgres, "SET ROLE other", Sets},
		{postgres, "RESET app.x", Sets},
		{postgres, "SET LOCAL transaction_isolation = 'serializable'", Sets | Isolates},
		{postgres, "SET TRANSACTION READ ONLY", 0},
		{postgres, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Isolates},
		{postgres, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", Isolates | SeesCommits},
		{postgres, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY", Isolates},
		{postgres, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", Sets | Isolates | IsolatesOthers},
		{postgres, "SET default_transaction_isolation TO serializable", Sets | Isolates | IsolatesOthers},
		{postgres, "ALTER ROLE me SET default_transaction_isolation = 'serializable'", Isolates | IsolatesOthers},
		{postgres, "SHOW transaction_isolation", 0},
		{mysql, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", Isolates | IsolatesOthers},
		{mysql, "SET @@session.transaction_isolation = 'SERIALIZABLE'", Sets | Isolates | IsolatesOthers},
		{mysql, "SET GLOBAL tx_isolation = 'SERIALIZABLE'", Sets | Isolates | IsolatesOthers},
		{postgres, "UPDATE t SET isolation = 'x'", 0},
		{sqlite, "SELECT 1", 0},
	} {
		if got := Classify(c.dialect, c.sql).Within; got != c.want {
			t.Errorf("%s: %q: %05b, want %05b", c.dialect, c.sql, got, c.want)
		}
	}
}
