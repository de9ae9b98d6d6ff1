//go:build unix

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/jackc/pgx/v5"
)

// server is a PostgreSQL that the tests have started.
type server struct {
	port int
	dir  string
	run  *exec.Cmd
	log  *bytes.Buffer
}

// programs returns where the installed programs of PostgreSQL are, of the newest version that can
// be used.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(dirs) == 0 {
		return "", errors.New("initdb is not installed")
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	return filepath.Dir(dirs[0]), nil
}

func version(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

// begin makes a cluster and starts a server on it. As root it takes the user postgres: the programs
// refuse to run as root.
func begin(settings ...string) (*server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &server{log: &bytes.Buffer{}}
	as := &syscall.SysProcAttr{}
	if s.dir, err = os.MkdirTemp("", "preload-postgres-"); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		who, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return nil, err
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", s.dir, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--no-locale")
	initdb.SysProcAttr, initdb.Dir = as, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.port = free.Addr().(*net.TCPAddr).Port
	_ = free.Close()
	args := []string{"-D", s.dir, "-p", strconv.Itoa(s.port)}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "wal_level=logical", "max_connections=200",
		"max_replication_slots=60", "max_wal_senders=60", "autovacuum=off",
	}, settings...) {
		args = append(args, "-c", setting)
	}
	s.run = exec.Command(filepath.Join(bin, "postgres"), args...)
	s.run.SysProcAttr, s.run.Dir = as, s.dir
	return s, s.start()
}

// start starts the server, and waits until it answers.
func (s *server) start() error {
	again := exec.Command(s.run.Path, s.run.Args[1:]...)
	again.SysProcAttr, again.Dir, again.Stderr = s.run.SysProcAttr, s.dir, s.log
	s.run = again
	if err := s.run.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), s.dsn("postgres"))
		if err == nil {
			return conn.Close(context.Background())
		}
		if time.Now().After(end) {
			return fmt.Errorf("the server does not answer: %w", err)
		}
	}
}

// stop ends the server as if the machine had lost its power.
func (s *server) stop() {
	_ = s.run.Process.Signal(syscall.SIGQUIT)
	_ = s.run.Wait()
}

// end ends the server in peace.
func (s *server) end() {
	_ = s.run.Process.Signal(syscall.SIGINT)
	_ = s.run.Wait()
}

func (s *server) dsn(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

var (
	shared    *server
	sharedErr error
	sharing   sync.Once
	databases atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.stop()
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// common returns the server that most tests share, each with a database of its own.
func common(t testing.TB) *server {
	t.Helper()
	sharing.Do(func() { shared, sharedErr = begin() })
	if sharedErr != nil {
		t.Skipf("PostgreSQL: no server of the test's own: %v", sharedErr)
	}
	return shared
}

// alone returns a server for a test that stops it, or has it wait.
func alone(t testing.TB, settings ...string) *server {
	t.Helper()
	s, err := begin(settings...)
	if err != nil {
		t.Skipf("PostgreSQL: no server of the test's own: %v", err)
	}
	t.Cleanup(func() {
		s.stop()
		_ = os.RemoveAll(s.dir)
	})
	return s
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
	b.d = dbtest.PostgresAt(t, s.dsn(b.name))
	b.psql = b.connect(b.name)
	if err := b.psql.QueryRow(context.Background(), "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'preload%'").Scan(&b.schema); err != nil {
		t.Fatal(err)
	}
	b.exec(b.psql, "SET search_path = "+b.schema)
	return b
}

func (b *bed) connect(database string) *pgx.Conn {
	b.t.Helper()
	conn, err := pgx.Connect(context.Background(), b.dsn(database))
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
func (b *bed) feed(options ...Option) *Feed { return New(b.dsn(b.name), options...) }
