//go:build unix

package postgres

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/jackc/pgx/v5"
)

// server is a PostgreSQL that the tests have started.
type server struct{ *dbtest.Server }

var (
	shared    *dbtest.Server
	sharedErr error
	sharing   sync.Once
	databases atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.Remove()
	}
	os.Exit(code)
}

// common returns the server that most tests share, each with a database of its own.
func common(t testing.TB) *server {
	t.Helper()
	sharing.Do(func() { shared, sharedErr = dbtest.StartPostgres() })
	if sharedErr != nil {
		t.Skipf("PostgreSQL: no server of the test's own: %v", sharedErr)
	}
	return &server{shared}
}

// alone returns a server for a test that stops it, or has it wait.
func alone(t testing.TB, settings ...string) *server {
	t.Helper()
	s, err := dbtest.StartPostgres(settings...)
	if err != nil {
		t.Skipf("PostgreSQL: no server of the test's own: %v", err)
	}
	t.Cleanup(s.Remove)
	return &server{s}
}

// bed is a database of a test's own, and a connection that knows nothing of any feed.
type bed struct {
	*server
	t      testing.TB
	name   string
	d      *dbtest.Database
	psql   *pgx.Conn
	schema string // in which the tables are
}

// bed makes a database.
func (s *server) bed(t testing.TB) *bed {
	t.Helper()
	b := &bed{server: s, t: t, name: fmt.Sprintf("test_%d", databases.Add(1))}
	admin := b.connect("postgres")
	b.exec(admin, "CREATE DATABASE "+b.name)
	b.d = dbtest.PostgresAt(t, s.DSN(b.name))
	b.psql = b.connect(b.name)
	if err := b.psql.QueryRow(context.Background(), "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'preload%'").Scan(&b.schema); err != nil {
		t.Fatal(err)
	}
	b.exec(b.psql, "SET search_path = "+b.schema)
	return b
}

func (b *bed) connect(database string) *pgx.Conn {
	b.t.Helper()
	conn, err := pgx.Connect(context.Background(), b.DSN(database))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (b *bed) exec(conn *pgx.Conn, sql string) {
	b.t.Helper()
	if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

// write writes past all plugins.
func (b *bed) write(sql string) {
	b.t.Helper()
	b.exec(b.psql, sql)
}

// one asks for one value past all plugins.
func (b *bed) one(sql string) (n int64) {
	b.t.Helper()
	if err := b.psql.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// feed returns a feed of the database.
func (b *bed) feed(options ...Option) *Feed { return New(b.DSN(b.name), options...) }
