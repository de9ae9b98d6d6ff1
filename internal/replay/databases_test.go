package replay

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
)

// drivers are those that GORM's dialects use.
var drivers = map[string]string{"sqlite": "sqlite3", "postgres": "pgx", "mysql": "mysql"}

// teeing is a driver whose rows are recorded as the recorder says that is at hand.
type teeing struct {
	driver   driver.Driver
	dsn      string
	recorder *Recorder
}

func (d *teeing) Driver() driver.Driver { return d.driver }

func (d *teeing) Connect(context.Context) (driver.Conn, error) {
	c, err := d.driver.Open(d.dsn)
	return &teeingConn{c, d.recorder}, err
}

type teeingConn struct {
	driver.Conn
	recorder *Recorder
}

func (c *teeingConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *teeingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return c.recorder.Tee(rows), nil
}

func (c *teeingConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return &teeingStmt{s, c.recorder}, err
}

type teeingStmt struct {
	driver.Stmt
	recorder *Recorder
}

func (s *teeingStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	return s.recorder.Tee(rows), nil
}

// world is a database, as its driver gives it, and as its rows are recorded by the driver.
type world struct {
	plain, teeing *sql.DB
	recorder      *Recorder
}

func openWorld(t *testing.T, name, dsn string) *world {
	t.Helper()
	w := &world{plain: must(sql.Open(name, dsn))(t), recorder: &Recorder{}}
	w.teeing = sql.OpenDB(&teeing{w.plain.Driver(), dsn, w.recorder})
	t.Cleanup(func() { _, _ = w.plain.Close(), w.teeing.Close() })
	return w
}

// ask reads a query plainly, while it is recorded in both ways, and from both recordings.
func (w *world) ask(t *testing.T, query string, args ...any) {
	t.Helper()
	ctx := t.Context()
	want := reading(must(w.plain.QueryContext(ctx, query, args...))(t))
	n := len(must(must(w.plain.QueryContext(ctx, query, args...))(t).Columns())(t))
	first := firstOf(w.plain.QueryRowContext(ctx, query, args...), n)

	var below, above take
	*w.recorder = below.recorder()
	if got := reading(must(w.teeing.QueryContext(ctx, query, args...))(t)); got != want {
		t.Errorf("%s: recorded below: %s", query, differ(got, want))
	}
	if got := reading(above.recorder().Rows(ctx, must(w.plain.QueryContext(ctx, query, args...))(t))); got != want {
		t.Errorf("%s: recorded above: %s", query, differ(got, want))
	}
	for _, k := range []*take{&below, &above} {
		recording := k.recording(t)
		if got := reading(must(Rows(ctx, recording))(t)); got != want {
			t.Errorf("%s: replayed: %s", query, differ(got, want))
		}
		if got := firstOf(Row(ctx, recording), n); got != first {
			t.Errorf("%s: first row replayed: got %s, want %s", query, got, first)
		}
	}
}

// schemas make a table all_types with all that is special to a database, two rows of values and one
// of NULLs.
var schemas = map[string][]string{
	"sqlite": {
		`CREATE TABLE all_types (id INTEGER PRIMARY KEY, n BIGINT, f REAL, d DECIMAL(10,2), s TEXT, v VARCHAR(20) NOT NULL DEFAULT '', b BLOB, t DATETIME, day DATE, ok BOOLEAN, j JSON, any_type)`,
		`INSERT INTO all_types VALUES (1, 9223372036854775807, 0.1, 12.50, 'text', 'v', x'00ff', '2026-01-02 03:04:05.678+01:00', '2026-01-02', true, '{"a": [1]}', 7)`,
		`INSERT INTO all_types VALUES (2, -1, 1e300, 'no number', '', '', x'', 1767322800, 'no date', 0, 'null', x'01')`,
		`INSERT INTO all_types (id) VALUES (3)`,
	},
	"postgres": {
		`CREATE TABLE all_types (id serial PRIMARY KEY, i2 smallint, i4 int, i8 bigint, f4 real, f8 double precision, d numeric(20,4), d0 numeric, s text, v varchar(20) NOT NULL DEFAULT '', c char(5), b bytea, ts timestamp, tz timestamptz, day date, tm time, span interval, ok boolean, j json, jb jsonb, ints int[], texts text[], u uuid, bits varbit(8), ip inet, o oid, x xml, r int4range)`,
		`INSERT INTO all_types VALUES (1, -1, 2, 9223372036854775807, 0.1, 0.1, 12.5000, 123456789012345678901234567890.5, 'text', 'v', 'c', '\x00ff', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678901+05', '2026-01-02', '03:04:05', '1 day 2 hours', true, '{"a":  [1]}', '{"a": [1]}', '{1,NULL,3}', '{"a","b c"}', '00000000-0000-0000-0000-000000000001', B'101', '10.0.0.1/8', 4000000000, '<a/>', '[1,5)')`,
		`INSERT INTO all_types VALUES (2, 0, 0, 0, 'NaN', 'Infinity', 'NaN', 0, '', '', '', '', 'infinity', '-infinity', 'infinity', '00:00', '0', false, 'null', '[]', '{}', '{}', '00000000-0000-0000-0000-000000000000', B'', '::1', 0, '<a/>', 'empty')`,
		`INSERT INTO all_types (id) VALUES (3)`,
	},
	"mysql": {
		`CREATE TABLE all_types (id BIGINT UNSIGNED PRIMARY KEY, u8 TINYINT UNSIGNED, i8 TINYINT, i16 SMALLINT, i32 INT, i64 BIGINT, u64 BIGINT UNSIGNED, f FLOAT, d DOUBLE, de DECIMAL(20,4), s TEXT, v VARCHAR(20) NOT NULL DEFAULT '', c CHAR(5), b BLOB, vb VARBINARY(9), dt DATETIME(6), ts TIMESTAMP NULL, day DATE, tm TIME(3), y YEAR, ok BOOLEAN, j JSON, e ENUM('x','y'), st SET('x','y'), bits BIT(8))`,
		`INSERT INTO all_types VALUES (1, 255, -1, -2, -3, -9223372036854775808, 18446744073709551615, 0.1, 0.1, 12.5000, 'text', 'v', 'c', x'00ff', x'01', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05', '2026-01-02', '-03:04:05.678', 2026, true, '{"a": [1]}', 'x', 'x,y', b'101')`,
		`INSERT INTO all_types VALUES (2, 0, 0, 0, 0, 0, 9223372036854775808, 0, -0.0, 0, '', '', '', '', '', '1000-01-01', NULL, '9999-12-31', '00:00', 0, false, 'null', 'y', '', b'0')`,
		`INSERT INTO all_types (id) VALUES (3)`,
	},
}

// TestTheDriversOfGORM reads what is special to a database and to its driver. What differs between
// the protocols of a driver is read by each.
func TestTheDriversOfGORM(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		setUp := openWorld(t, drivers[d.Dialect], d.DSN())
		for _, statement := range schemas[d.Dialect] {
			if _, err := setUp.plain.Exec(statement); err != nil {
				t.Fatal(statement, err)
			}
		}
		for name, dsn := range protocols(d) {
			w := openWorld(t, drivers[d.Dialect], dsn)
			t.Run(name, func(t *testing.T) {
				w.ask(t, `SELECT * FROM all_types ORDER BY id`)
				w.ask(t, `SELECT * FROM all_types WHERE id < 0`)
				w.ask(t, `SELECT COUNT(*), MAX(id), NULL, 1.5, 'x' AS "x", id = 1 FROM all_types GROUP BY id = 1 ORDER BY 1`)
				mark := "?"
				if d.Dialect == "postgres" {
					mark = "$1"
				}
				w.ask(t, `SELECT * FROM all_types WHERE id <> `+mark+` ORDER BY id`, 2)
				w.ask(t, `SELECT * FROM all_types WHERE id = `+mark, 1)
			})
		}
	})
}

func protocols(d *dbtest.Database) map[string]string {
	and := func(parameters string) string {
		if strings.Contains(d.DSN(), "?") {
			return d.DSN() + "&" + parameters
		}
		return d.DSN() + "?" + parameters
	}
	switch d.Dialect {
	case "postgres":
		return map[string]string{
			"extended": d.DSN(), "simple": and("default_query_exec_mode=simple_protocol"), "described": and("default_query_exec_mode=describe_exec"),
		}
	case "mysql":
		return map[string]string{
			"binary where there are args": d.DSN(), "text": and("interpolateParams=true"),
			"unparsed times": strings.ReplaceAll(d.DSN(), "parseTime=true", "parseTime=false"),
			"another zone":   and("loc=Asia%2FTokyo"), "table names": and("columnsWithAlias=true"),
		}
	}
	return map[string]string{"file": d.DSN(), "zone": and("_loc=auto")}
}

// TestSeveralResultSetsPassThrough: they are read as plainly, and not kept.
func TestSeveralResultSetsPassThrough(t *testing.T) {
	t.Parallel()
	d := dbtest.MySQL(t)
	w := openWorld(t, "mysql", d.DSN()+"&multiStatements=true")
	const query = "SELECT 1 AS a, 'x' AS b; SELECT 'y' AS c; DO 1; SELECT 2 FROM DUAL WHERE FALSE"
	want := reading(must(w.plain.Query(query))(t))
	var below, above take
	*w.recorder = below.recorder()
	if got := reading(must(w.teeing.Query(query))(t)); got != want {
		t.Errorf("recorded below: %s", differ(got, want))
	}
	if got := reading(above.recorder().Rows(t.Context(), must(w.plain.Query(query))(t))); got != want {
		t.Errorf("recorded above: %s", differ(got, want))
	}
	for _, k := range []take{below, above} {
		if len(k.kept) != 0 || len(k.refused) != 1 || !errors.Is(k.refused[0], ErrResultSets) {
			t.Errorf("kept %d, refused %v", len(k.kept), k.refused)
		}
	}
}

// many has more rows than a connection buffers.
var many = map[string]string{
	"sqlite":   `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n < 50000) SELECT n FROM s`,
	"postgres": `SELECT n FROM generate_series(1, 50000) AS s(n)`,
	"mysql":    `WITH RECURSIVE s AS (SELECT 1 AS n UNION ALL SELECT n+1 FROM s WHERE n < 50000) SELECT n FROM s`,
}

// TestRowsThatDoNotEnd: the context ends, or the application closes the rows, and the connection is
// as good as it is after plain rows.
func TestRowsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := openWorld(t, drivers[d.Dialect], d.DSN())
		if d.Dialect == "mysql" {
			w = openWorld(t, "mysql", d.DSN()+"&max_recursive_iterations=100000")
		}
		w.plain.SetMaxOpenConns(1)
		w.teeing.SetMaxOpenConns(1)
		var k take
		*w.recorder = k.recorder()
		for _, query := range []func(context.Context) (*sql.Rows, error){
			func(ctx context.Context) (*sql.Rows, error) { return w.plain.QueryContext(ctx, many[d.Dialect]) },
			func(ctx context.Context) (*sql.Rows, error) { return w.teeing.QueryContext(ctx, many[d.Dialect]) },
			func(ctx context.Context) (*sql.Rows, error) {
				rows, err := w.plain.QueryContext(ctx, many[d.Dialect])
				if err != nil {
					return nil, err
				}
				return k.recorder().Rows(ctx, rows), nil
			},
		} {
			for _, end := range []string{"cancelled and read on", "cancelled", "closed"} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				rows := must(query(ctx))(t)
				skip(rows, 3)
				if end == "closed" {
					if err := errors.Join(rows.Close(), rows.Err()); err != nil {
						t.Errorf("%s: %v", end, err)
					}
				}
				cancel()
				if end == "cancelled and read on" {
					// Slowly: the rows must not end before database/sql has seen that the context did.
					for rows.Next() {
						time.Sleep(time.Millisecond)
					}
				}
				for deadline := time.Now().Add(time.Minute); end != "closed" && rows.Err() == nil; {
					if time.Now().After(deadline) {
						t.Fatalf("%s: no error", end)
					}
				}
				if err := rows.Err(); end != "closed" && !errors.Is(err, context.Canceled) {
					t.Errorf("%s: Err is %v", end, err)
				}
				_ = rows.Close()
			}
		}
		if len(k.kept) != 0 || len(k.refused) != 6 {
			t.Errorf("kept %d, refused %v: want 6 refusals", len(k.kept), k.refused)
		}
	})
}
