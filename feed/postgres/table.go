package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/jackc/pgx/v5"
)

//go:embed table.sql
var tableSQL string

// TableFeed is a preload.Feed by which no process serves an answer that is older than a bound,
// whoever wrote, without replication. It is safe for concurrent use.
type TableFeed struct {
	config
	dsn      string
	dial     *pgx.ConnConfig
	m        preload.Member
	database string // which one the plugin's handle is connected with

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	worker  sync.WaitGroup
	session atomic.Pointer[tableSession] // the one that goes on; nil if there is none
	said    string                       // which tables were last said not to be told; the worker's
}

var _ preload.Positioner = (*TableFeed)(nil)

// ChangeTable returns a feed for servers that do not replicate (wal_level is not logical). It
// connects with a server by a data source name, as pgx takes it. Triggers leave in a table what
// each statement changes, whoever sends it, and each process reads that table four times in a
// bound (WithBound): no process serves an answer that is older.
//
// It takes version 13 or later, and one connection for each process: to the server itself, not to
// a pooler that shares connections, and to the one that the plugin's handle reads from. The table
// is in a schema of its own (WithSchema), which the first process makes, and has no rows that
// survive a crash, nor needs any. The triggers are those of the tables that the role owns, or of
// some of them (WithTables), of later ones, too. Where the role may not make these, somebody runs
// what ChangeTableSQL returns. A table without all of its triggers is not served from memory; the
// log says which. Foreign tables, those with one below them, materialized views, and tables that a
// subscription writes or an extension has made have none.
//
// Who may read the change table reads rows of all tables with triggers. They stay for some
// seconds, or until a process comes, but no more than 256 MiB: then changes are not noted, and all
// processes forget everything. DROP SCHEMA ... CASCADE removes the feed, with its triggers;
// dropping the table alone would have all writes fail.
func ChangeTable(dsn string, options ...Option) *TableFeed {
	f := &TableFeed{config: newConfig(options), dsn: dsn}
	f.late = max(f.late, 2*f.bound)
	return f
}

// WithTables sets the tables of which a ChangeTable feed tells, by their names with or without a
// schema, and of those below them; no others are served from memory, but those that have the
// triggers already. By default it tells of all that the role owns.
func WithTables(names ...string) Option {
	return func(c *config) {
		for _, name := range names {
			c.require(name != "", "WithTables", name, "names")
		}
		c.require(len(names) > 0, "WithTables", names, "a name")
		c.tables = names
	}
}

// watchSQL makes the triggers of a table, and of its partitions, or those that inherit from it.
const watchSQL = `WITH RECURSIVE below AS (SELECT '%s'::regclass::oid AS t UNION SELECT inhrelid FROM pg_catalog.pg_inherits JOIN below ON inhparent = t)
SELECT %s.watch(t) FROM below;
`

// ChangeTableSQL returns the SQL that makes what ChangeTable needs in a schema, and the triggers
// of tables and of those below them, for roles that may not. A name of a table is read as in any
// statement: one with capitals takes double quotes. The application's role then needs GRANT USAGE
// ON SCHEMA, and SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES and SELECT ON ALL SEQUENCES
// in it; to make triggers of its own tables, EXECUTE ON FUNCTION change, too.
func ChangeTableSQL(schema string, tables ...string) string {
	c := newConfig(nil)
	c.schema = schema
	var sql strings.Builder
	sql.WriteString(c.text(tableSQL))
	for _, name := range tables {
		fmt.Fprintf(&sql, watchSQL, strings.ReplaceAll(name, "'", "''"), pgx.Identifier{schema}.Sanitize())
	}
	return sql.String()
}

const (
	// imagedRows is how many rows of a statement are told one by one, and imagedBytes how long their
	// texts may be together, before and after it.
	imagedRows  = maxRows
	imagedBytes = 256 << 10
)

// longSQL asks whether rows are too many, or too long, to be told one by one. It reads no further than
// to the one at which they are. A column may be called r, too: r.* is the row.
const longSQL = `EXISTS (SELECT FROM (SELECT row_number() OVER w AS n, sum(pg_column_size(r.*)) OVER w AS size FROM %s r
			WINDOW w AS (ROWS UNBOUNDED PRECEDING)) m WHERE n > %d OR size > %d)`

// text returns a SQL text for a schema.
func (c *config) text(sql string) string {
	schema := pgx.Identifier{c.schema}.Sanitize()
	return strings.NewReplacer(
		"'@", "'"+strings.ReplaceAll(schema, "'", "''"), "@", schema,
		"#long(old_rows)", fmt.Sprintf(longSQL, "old_rows", imagedRows, imagedBytes), "#long(new_rows)", fmt.Sprintf(longSQL, "new_rows", imagedRows, imagedBytes),
		"#bytes", strconv.Itoa(imagedBytes), "#room", strconv.FormatInt(c.room, 10),
	).Replace(sql)
}

// Open implements preload.Feed. The server need not be there yet, but one that is there and
// refuses, or is no server for it, is an error.
func (f *TableFeed) Open(ctx context.Context, m preload.Member) error {
	dial, database := f.parse(f.dsn, m)
	if err := errors.Join(f.errs...); err != nil {
		return err
	}
	f.dial, f.m, f.database = dial, m, database
	f.ctx, f.cancel = context.WithCancel(context.Background())
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s, err := f.connect(ctx)
	if err == nil {
		hangUp(s.conn.PgConn())
	}
	if final(err) || errors.Is(err, errNoServerForIt) {
		return err
	}
	f.worker.Go(f.run)
	return nil
}

// Close implements preload.Feed. It takes some milliseconds, or seconds where the server does not
// answer.
func (f *TableFeed) Close() error {
	if f.cancel != nil {
		f.cancel()
		f.worker.Wait()
	}
	return nil
}

// run has one session after the other, until Close.
func (f *TableFeed) run() {
	pause := shortestPause
	for f.ctx.Err() == nil {
		served, err := f.once()
		if f.ctx.Err() != nil {
			return
		}
		if served {
			pause = shortestPause
		}
		f.complain("nothing is served from memory: the changes of the database are not told", err)
		sleep(f.ctx, pause)
		pause = min(2*pause, longestPause)
	}
}

// once has one session. served reports whether anything was served in it.
func (f *TableFeed) once() (served bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("postgres: a panic: %v", r)
		}
	}()
	s, err := f.connect(f.ctx)
	if err != nil {
		return false, err
	}
	defer s.close()
	f.session.Store(s)
	err = s.follow(f.ctx)
	return s.served, err
}

// complain logs what is wrong.
func (f *TableFeed) complain(what string, err error) {
	f.warn(what, err, "schema", f.schema)
}

// errNoServerForIt is in the error of a server, or a way to one, that trying again does not
// change.
var errNoServerForIt = errors.New("postgres: this connection is none for a change table")

// connect connects with the server, and has what is missing made there.
func (f *TableFeed) connect(ctx context.Context) (*tableSession, error) {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dial := f.dial.Copy()
	for name, value := range map[string]string{
		"application_name": "preload table", "search_path": "pg_catalog", "client_encoding": "UTF8", "enable_seqscan": "off", "jit": "off",
		"default_transaction_isolation": "read committed", "default_transaction_read_only": "off", "synchronous_commit": "off",
		"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0", // it has bounds of its own
	} {
		dial.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(within, dial)
	if err != nil {
		return nil, fmt.Errorf("postgres: connecting with the server: %w", err)
	}
	s := newTableSession(f, conn)
	if err = s.check(within); err == nil {
		err = s.make(within)
	}
	if err != nil {
		hangUp(conn.PgConn())
		return nil, err
	}
	return s, nil
}

// laterTimeouts ends no session for what the role's settings say that not all versions have.
const laterTimeouts = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout')"

// check returns an error that says all of what keeps a server from being one for a change table.
func (s *tableSession) check(ctx context.Context) error {
	var standby bool
	var version int
	var database string
	err := s.conn.QueryRow(ctx, "SELECT pg_is_in_recovery(), current_setting('server_version_num')::int, current_database(), current_user, pg_backend_pid()").
		Scan(&standby, &version, &database, &s.role, &s.backend)
	if err != nil {
		return fmt.Errorf("postgres: asking how the server is set up: %w", err)
	}
	if _, err := s.conn.Exec(ctx, laterTimeouts); err != nil {
		return fmt.Errorf("postgres: setting the connection up: %w", err)
	}
	var wrong []string
	if version < 130000 {
		wrong = append(wrong, fmt.Sprintf("the server's version is %d: want 13 or later", version/10000))
	}
	if standby {
		wrong = append(wrong, "the server is a standby: want the primary that the plugin's handle is connected with")
	}
	if database != s.database {
		wrong = append(wrong, fmt.Sprintf("the data source name leads to the database %q, and the plugin's handle to %q", database, s.database))
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", errNoServerForIt, strings.Join(wrong, "; "))
	}
	return nil
}

// thereQuery asks whether all is there, and whether the role may use it.
const thereQuery = `SELECT to_regprocedure('@.watch(regclass)') IS NOT NULL AND to_regprocedure('@.change()') IS NOT NULL
	AND to_regclass('@.changes') IS NOT NULL AND to_regclass('@.horizon') IS NOT NULL AND to_regclass('@.missed') IS NOT NULL`

const tableMayUse = `SELECT (SELECT bool_and(has_table_privilege(t, p))
		FROM unnest(ARRAY['@.changes', '@.horizon']) t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p)
	AND has_sequence_privilege('@.missed', 'SELECT')`

// beginQuery makes a horizon where there is none, or one of another server whose tables were
// copied; what is in the change table then is of before it.
const beginQuery = `WITH fresh AS (INSERT INTO @.horizon AS h VALUES (true, pg_current_snapshot(), pg_current_snapshot())
	ON CONFLICT (one) DO UPDATE SET gone = excluded.gone, going = excluded.going
	WHERE pg_snapshot_xmax(h.going) > pg_snapshot_xmax(excluded.going) RETURNING 1)
DELETE FROM @.changes WHERE EXISTS (SELECT FROM fresh)`

// make makes what is missing, and returns an error if the role may not make or use it. Processes
// that start at once do it one after the other.
func (s *tableSession) make(ctx context.Context) error {
	var there, may bool
	err := s.conn.QueryRow(ctx, s.text(thereQuery)).Scan(&there)
	if err == nil && !there {
		_, err = s.conn.Exec(ctx, "SET LOCAL synchronous_commit = on; SELECT pg_advisory_xact_lock("+lockOfMaking+");\n"+s.text(tableSQL), pgx.QueryExecModeSimpleProtocol)
	}
	if err == nil {
		err = s.conn.QueryRow(ctx, s.text(tableMayUse)).Scan(&may)
	}
	if err == nil && may {
		if _, err = s.conn.Exec(ctx, s.text(beginQuery)); err != nil {
			err = fmt.Errorf("postgres: making what the change table needs: %w", err)
		}
		return err
	}
	if err != nil && codeOf(err) != "42501" {
		return fmt.Errorf("postgres: making what the change table needs: %w", err)
	}
	return fmt.Errorf("postgres: %s may not make the schema %s, or not use what is in it (%w): have an administrator run what ChangeTableSQL returns, then GRANT USAGE ON SCHEMA, SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA and SELECT ON ALL SEQUENCES IN SCHEMA to the role",
		s.role, pgx.Identifier{s.schema}.Sanitize(), errors.Join(errMayNot, err))
}

// Position names all that is committed by now, in this process or elsewhere, for Await of any
// process that is connected with the same server.
func (f *TableFeed) Position(ctx context.Context) (string, error) {
	s := f.session.Load()
	if s == nil {
		return "", errNotConnected
	}
	now, err := s.now(ctx)
	if err != nil {
		return "", err
	}
	return strconv.FormatUint(now.end, 10), nil
}

// Await returns nil once all is taken in that was committed when a position was named: what was
// there before it is not served any more. It returns an error when the context is done, or the
// connection with the server is lost.
func (f *TableFeed) Await(ctx context.Context, position string) error {
	end, err := strconv.ParseUint(position, 10, 64)
	if err != nil {
		return fmt.Errorf("postgres: the position %q: %w", position, err)
	}
	s := f.session.Load()
	if s == nil {
		return errNotConnected
	}
	if known := s.known.Load(); known != nil && known.over >= end {
		return nil
	}
	now, err := s.now(ctx)
	if err == nil && now.end < end {
		err = fmt.Errorf("postgres: the position %q is one of another server", position)
	}
	return err
}
