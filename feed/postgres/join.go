package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// settings are those of both connections: by them texts of values are written, and by their name
// the server tells its replicas apart.
var settings = map[string]string{
	"datestyle": "ISO", "intervalstyle": "postgres", "timezone": "UTC", "bytea_output": "hex", "extra_float_digits": "3", "jit": "off",
}

// name is what the connections are called by the server.
const name = "preload"

// patience is how long the server may take to answer a question.
const patience = 10 * time.Second

// connect opens a connection with settings of the feed's own.
func (f *Feed) connect(ctx context.Context, more map[string]string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dial := f.dial.Copy()
	dial.RuntimeParams["application_name"] = name
	for _, set := range []map[string]string{settings, more} {
		for setting, value := range set {
			dial.RuntimeParams[setting] = value
		}
	}
	return pgx.ConnectConfig(ctx, dial)
}

// join connects with the server, and has it make a slot. From then on its stream tells of all
// commits. A session that is returned has to be closed, with an error, too.
func (f *Feed) join(ctx context.Context) (*session, error) {
	side, err := f.connect(ctx, map[string]string{"synchronous_commit": "local", "lock_timeout": "2s"})
	if err != nil {
		return nil, fmt.Errorf("postgres: connecting with the server: %w", err)
	}
	s := newSession(f, side)
	if err = s.check(ctx); err != nil {
		return s, err
	}
	if err = s.takePlace(ctx); err != nil {
		return s, err
	}
	if err = s.publish(ctx); err != nil {
		return s, err
	}
	slow := time.AfterFunc(patience, func() {
		f.logger.Warn("preload: nothing is served from memory until the transactions are over that were writing when the feed connected", "feed", "postgres")
	})
	defer slow.Stop()
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	slot := "preload_" + hex.EncodeToString(random[:])
	err = s.wait(ctx, slot, func(ctx context.Context) error {
		stream, err := f.connect(ctx, map[string]string{"replication": "database"})
		if err != nil {
			return fmt.Errorf("postgres: connecting with the server to replicate: %w", err)
		}
		s.replication = stream.PgConn()
		_, err = pglogrepl.CreateReplicationSlot(ctx, s.replication, slot, "pgoutput",
			pglogrepl.CreateReplicationSlotOptions{Temporary: true, SnapshotAction: "NOEXPORT_SNAPSHOT", Mode: pglogrepl.LogicalReplication})
		if err != nil {
			return fmt.Errorf("postgres: making a replication slot: %w", err)
		}
		return nil
	})
	if err != nil {
		return s, s.hint(err)
	}
	if err = s.mark(ctx); err != nil {
		return s, err
	}
	quoted := strings.ReplaceAll(pgx.Identifier{f.publication}.Sanitize(), "'", "''")
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = pglogrepl.StartReplication(ctx, s.replication, slot, 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names '" + quoted + "'"},
	})
	if err != nil {
		return s, fmt.Errorf("postgres: starting to replicate: %w", err)
	}
	s.stream, err = s.replication.Hijack()
	return s, err
}

// What may be wrong with where the data source name leads.
const (
	wrongStandby  = "the server is a standby: want the primary that the plugin's handle is connected with"
	wrongDatabase = "the data source name leads to the database %q, and the plugin's handle to %q"
)

// check returns an error that says all of what keeps a server from telling its changes.
func (s *session) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var standby bool
	var level, database, replicas, role string
	var version int
	err := s.side.QueryRow(ctx, `SELECT pg_is_in_recovery(), current_setting('wal_level'), current_database(),
		current_setting('server_version_num')::int, current_setting('synchronous_standby_names'), current_user`).
		Scan(&standby, &level, &database, &version, &replicas, &role)
	if err != nil {
		return fmt.Errorf("postgres: asking how the server is set up: %w", err)
	}
	s.role = role
	var wrong []string
	add := func(is bool, format string, args ...any) {
		if is {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	add(version < 130000, "the server's version is %d: want 13 or later", version/10000)
	add(standby, wrongStandby)
	add(level != "logical", "wal_level is %s: want ALTER SYSTEM SET wal_level = logical, and a restart", level)
	add(database != s.database, wrongDatabase, database, s.database)
	add(strings.Contains(replicas, "*") || strings.Contains(strings.ToLower(replicas), name),
		"synchronous_standby_names is %q, by which this connection would count as a synchronous standby: want the names of the standbys", replicas)
	if len(wrong) > 0 {
		return errors.New("postgres: " + strings.Join(wrong, "; "))
	}
	return nil
}

// hint adds to an error of the server's what is usually missing.
func (s *session) hint(err error) error {
	var of *pgconn.PgError
	if !errors.As(err, &of) {
		return err
	}
	switch of.Code {
	case "42501", "28000":
		return fmt.Errorf("%w: want ALTER ROLE %s REPLICATION, and an entry of pg_hba.conf that lets it connect", err, pgx.Identifier{s.role}.Sanitize())
	case "53400", "53300":
		return fmt.Errorf("%w: want max_replication_slots, max_wal_senders and max_connections to leave one of each for each process, and one more connection", err)
	}
	return err
}

// made is the comment of publications that a feed has made, and may add tables to.
const made = "made by package preload, which adds tables that have a replica identity"

// keyless says of a table x that it has no replica identity.
const keyless = `x.relkind = 'r' AND x.relreplident <> 'f'
	AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = x.oid AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
		AND (x.relreplident = 'd' AND i.indisprimary OR x.relreplident = 'i' AND i.indisreplident))`

// wantedQuery returns the tables that may be added to a publication without breaking anything: a
// server refuses updates of a published table that has no replica identity, and those of its
// partitions, and of tables that inherit from it, which are published with it. One that is
// partitioned has to have a key, which partitions get that are made later.
const wantedQuery = `SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition AND ` + ours + `
AND pg_has_role(c.relowner, 'USAGE')
AND (c.relkind = 'r' OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate))
AND NOT EXISTS (WITH RECURSIVE parts AS (SELECT c.oid AS part
		UNION SELECT h.inhrelid FROM pg_inherits h JOIN parts ON h.inhparent = parts.part)
	SELECT FROM parts JOIN pg_class x ON x.oid = parts.part WHERE ` + keyless + `)
AND NOT EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = c.oid AND p.pubname = $1)
ORDER BY 1, 2`

// unfitQuery returns the tables of a publication that the server refuses updates of, or of
// partitions of theirs, since they have no replica identity any more. A table that inherits from
// another one is in the publication itself.
const unfitQuery = `SELECT n.nspname, c.relname FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.pubname = $1 AND EXISTS (WITH RECURSIVE parts AS (SELECT c.oid AS part
		UNION SELECT h.inhrelid FROM pg_inherits h JOIN parts ON h.inhparent = parts.part JOIN pg_class d ON d.oid = h.inhrelid AND d.relispartition)
	SELECT FROM parts JOIN pg_class x ON x.oid = parts.part WHERE ` + keyless + `)
ORDER BY 1, 2`

// withdraw takes tables out of a publication that a feed has made of which the server refuses
// updates for being in it. They are not served from then on, as any that is not in it. It reports
// whether one is left, which another transaction keeps.
func (s *session) withdraw(ctx context.Context) (left bool, err error) {
	unfit, err := s.tablesBy(ctx, unfitQuery)
	if err != nil {
		return false, fmt.Errorf("postgres: asking which tables of the publication have no replica identity: %w", err)
	}
	for _, table := range unfit {
		_, wrong := s.side.Exec(ctx, "ALTER PUBLICATION "+pgx.Identifier{s.publication}.Sanitize()+" DROP TABLE ONLY "+table, pgx.QueryExecModeSimpleProtocol)
		if wrong != nil {
			var of *pgconn.PgError
			if !errors.As(wrong, &of) {
				return true, fmt.Errorf("postgres: taking a table out of the publication: %w", wrong)
			}
			if of.Code == "42704" || of.Code == "42P01" {
				continue // another process was faster, or there is no such table any more
			}
			left = true
			s.complain("a table has no replica identity any more, and could not be taken out of the publication, so that the server refuses updates of it: "+table, wrong)
			continue
		}
		s.logger.Warn("preload: a table has no replica identity any more: it was taken out of the publication, since the server refuses updates of it otherwise, and is not served from memory",
			"feed", "postgres", "publication", s.publication, "table", table)
	}
	return left, nil
}

// publish makes the publication if it is missing, adds tables to one that a feed has made, and
// takes those out of it that may not be in it any more.
func (s *session) publish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mine bool
	err := s.side.QueryRow(ctx, `SELECT coalesce(obj_description(oid, 'pg_publication') = $2, false) AND pg_has_role(pubowner, 'USAGE')
		FROM pg_publication WHERE pubname = $1`, s.publication, made).Scan(&mine)
	none := errors.Is(err, pgx.ErrNoRows)
	if err != nil && !none {
		return fmt.Errorf("postgres: asking for the publication: %w", err)
	}
	quoted := pgx.Identifier{s.publication}.Sanitize()
	if none {
		_, err = s.side.Exec(ctx, "CREATE PUBLICATION "+quoted+"; COMMENT ON PUBLICATION "+quoted+" IS '"+made+"'", pgx.QueryExecModeSimpleProtocol)
		if err != nil && !exists(err) {
			return fmt.Errorf("postgres: there is no publication %s, and %s may not make it: want CREATE PUBLICATION %s FOR TABLE ..., or GRANT CREATE ON DATABASE: %w",
				s.publication, s.role, quoted, err)
		}
		mine = true
	}
	if s.adds = mine; !mine {
		return nil
	}
	if s.left, err = s.withdraw(ctx); err != nil {
		return err
	}
	tables, err := s.missing(ctx)
	for _, table := range tables {
		// One that cannot be added is not served from memory, as any that is not in the
		// publication.
		_, wrong := s.side.Exec(ctx, "ALTER PUBLICATION "+quoted+" ADD TABLE ONLY "+table, pgx.QueryExecModeSimpleProtocol)
		if wrong != nil && !exists(wrong) {
			s.refused[table] = wrong.Error()
		}
	}
	return err
}

// missing returns the tables that may be added to the publication, and are not in it.
func (s *session) missing(ctx context.Context) (tables []string, err error) {
	tables, err = s.tablesBy(ctx, wantedQuery)
	if err != nil {
		return nil, fmt.Errorf("postgres: asking which tables the publication misses: %w", err)
	}
	return tables, nil
}

// tablesBy returns tables of the publication that a query asks for.
func (s *session) tablesBy(ctx context.Context, query string) (tables []string, err error) {
	rows, err := s.side.Query(ctx, query, s.publication)
	if err != nil {
		return nil, err
	}
	var schema, relation string
	_, err = pgx.ForEachRow(rows, []any{&schema, &relation}, func() error {
		tables = append(tables, pgx.Identifier{schema, relation}.Sanitize())
		return nil
	})
	return tables, err
}

// exists reports whether an error says that something is there already, which another process has
// made meanwhile.
func exists(err error) bool {
	var of *pgconn.PgError
	return errors.As(err, &of) && (of.Code == "42710" || of.Code == "23505")
}
