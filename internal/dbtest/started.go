//go:build unix

package dbtest

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
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL that a test has started.
type Server struct {
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

// StartPostgres makes a cluster and starts a server on it, with wal_level=logical and what settings
// say. As root it takes the user postgres: the programs
// refuse to run as root.
func StartPostgres(settings ...string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{log: &bytes.Buffer{}}
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
	return s, s.Start()
}

// Start starts the server, and waits until it answers.
func (s *Server) Start() error {
	again := exec.Command(s.run.Path, s.run.Args[1:]...)
	again.SysProcAttr, again.Dir, again.Stderr = s.run.SysProcAttr, s.dir, s.log
	s.run = again
	if err := s.run.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		conn, err := pgx.Connect(context.Background(), s.DSN("postgres"))
		if err == nil {
			return conn.Close(context.Background())
		}
		if time.Now().After(end) {
			return fmt.Errorf("the server does not answer: %w", err)
		}
	}
}

// Stop ends the server as if the machine had lost its power.
func (s *Server) Stop() {
	_ = s.run.Process.Signal(syscall.SIGQUIT)
	_ = s.run.Wait()
}

// End ends the server in peace.
func (s *Server) End() {
	_ = s.run.Process.Signal(syscall.SIGINT)
	_ = s.run.Wait()
}

// Remove ends the server, and removes all that it has.
func (s *Server) Remove() {
	s.Stop()
	_ = os.RemoveAll(s.dir)
}

// DSN leads to a database of the server.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}
