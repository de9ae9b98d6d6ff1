// Package dbtest gives tests databases that count and gate what reaches them.
//
// SQLite is always there; PostgreSQL and MariaDB or MySQL where PRELOAD_TEST_POSTGRES and
// PRELOAD_TEST_MYSQL hold the DSN of a database in which tests may make and drop schemas
// (databases, for MySQL) of their own.
package dbtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/gorm-preload/preload/internal/observed"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// The environment variables that hold DSNs.
const (
	PostgresEnv = "PRELOAD_TEST_POSTGRES"
	MySQLEnv    = "PRELOAD_TEST_MYSQL"
	// ObservedEnv, if it is not empty, has all handles opened in the way of preload.Connector.
	ObservedEnv = "PRELOAD_TEST_OBSERVED"
)

// Database is an empty database of a test's own.
type Database struct {
	Dialect string // as GORM names it: sqlite, postgres, mysql
	// Probe sees what reaches the database through handles of Open.
	Probe *Probe

	connector func(*Probe) driver.Connector
	// driver and dsn lead to its server; dsn is empty where there is none.
	driver driver.Driver
	dsn    string
	source string // its data source, of every kind
}

// Each runs a test on every kind of database there is, as parallel subtests named after them. Those
// that are not there are skipped by name.
func Each(t *testing.T, test func(t *testing.T, d *Database)) {
	t.Helper()
	for _, kind := range []struct {
		name string
		open func(testing.TB) *Database
	}{{"sqlite", SQLite}, {"postgres", Postgres}, {"mysql", MySQL}} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			test(t, kind.open(t))
		})
	}
}

// Like returns an empty database of the kind of another one.
func Like(t testing.TB, d *Database) *Database {
	t.Helper()
	return map[string]func(testing.TB) *Database{"sqlite": SQLite, "postgres": Postgres, "mysql": MySQL}[d.Dialect](t)
}

// SQLite returns an empty SQLite database in a file, with foreign keys enforced.
func SQLite(t testing.TB) *Database {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.db")
	dsn := "file:" + (&url.URL{Path: file}).EscapedPath() + "?_busy_timeout=10000&_journal_mode=WAL&_synchronous=OFF&_foreign_keys=1"
	return &Database{
		Dialect:   "sqlite",
		Probe:     &Probe{},
		source:    dsn,
		connector: func(p *Probe) driver.Connector { return &connector{&sqlite3.SQLiteDriver{}, dsn, p} },
	}
}

var schemas atomic.Int64

func name() string {
	return fmt.Sprintf("preload_%d_%d_%d", os.Getpid(), time.Now().UnixNano()%1e9, schemas.Add(1))
}

// Postgres returns an empty schema of PostgreSQL, or skips the test.
func Postgres(t testing.TB) *Database {
	t.Helper()
	dsn := os.Getenv(PostgresEnv)
	if dsn == "" {
		t.Skipf("PostgreSQL: %s is not set", PostgresEnv)
	}
	return PostgresAt(t, dsn)
}

// PostgresAt returns an empty schema of the PostgreSQL that a DSN leads to.
func PostgresAt(t testing.TB, dsn string) *Database {
	t.Helper()
	schema := name()
	admin, err := sql.Open("pgx", dsn)
	must(t, err)
	_, err = admin.Exec("CREATE SCHEMA " + schema)
	must(t, err)
	t.Cleanup(func() {
		_, _ = admin.Exec("DROP SCHEMA " + schema + " CASCADE")
		_ = admin.Close()
	})
	if strings.Contains(dsn, "://") {
		u, err := url.Parse(dsn)
		must(t, err)
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		dsn = u.String()
	} else {
		dsn += " search_path=" + schema
	}
	return &Database{
		Dialect:   "postgres",
		Probe:     &Probe{},
		driver:    stdlib.GetDefaultDriver(),
		dsn:       dsn,
		source:    dsn,
		connector: func(p *Probe) driver.Connector { return &connector{stdlib.GetDefaultDriver(), dsn, p} },
	}
}

// MySQL returns an empty database of MariaDB or MySQL, or skips the test.
func MySQL(t testing.TB) *Database {
	t.Helper()
	dsn := os.Getenv(MySQLEnv)
	if dsn == "" {
		t.Skipf("MySQL: %s is not set", MySQLEnv)
	}
	config, err := mysqldriver.ParseDSN(dsn)
	must(t, err)
	admin, err := sql.Open("mysql", dsn)
	must(t, err)
	config.DBName = name()
	config.ParseTime = true
	_, err = admin.Exec("CREATE DATABASE " + config.DBName)
	must(t, err)
	t.Cleanup(func() {
		_, _ = admin.Exec("DROP DATABASE " + config.DBName)
		_ = admin.Close()
	})
	return &Database{
		Dialect: "mysql",
		Probe:   &Probe{},
		driver:  mysqldriver.MySQLDriver{},
		dsn:     config.FormatDSN(),
		source:  config.FormatDSN(),
		connector: func(p *Probe) driver.Connector {
			return &connector{mysqldriver.MySQLDriver{}, config.FormatDSN(), p}
		},
	}
}

// With returns the same database as connections with other parameters see it: those of a DSN, such
// as sql_mode for MySQL and default_query_exec_mode for PostgreSQL. Its Probe is another one.
// SQLite has none: the test is skipped.
func (d *Database) With(t testing.TB, parameters map[string]string) *Database {
	t.Helper()
	if d.dsn == "" {
		t.Skipf("%s: has no parameters of a connection", d.Dialect)
	}
	with := *d
	with.Probe = &Probe{}
	switch d.Dialect {
	case "mysql":
		config, err := mysqldriver.ParseDSN(d.dsn)
		must(t, err)
		if config.Params == nil {
			config.Params = map[string]string{}
		}
		for name, value := range parameters {
			config.Params[name] = value
		}
		// What is a parameter of the driver, and not of the server, is parsed as such.
		config, err = mysqldriver.ParseDSN(config.FormatDSN())
		must(t, err)
		with.dsn = config.FormatDSN()
	case "postgres":
		u, err := url.Parse(d.dsn)
		must(t, err)
		q := u.Query()
		for name, value := range parameters {
			q.Set(name, value)
		}
		u.RawQuery = q.Encode()
		with.dsn = u.String()
	default:
		t.Fatalf("%s: takes no parameters here", d.Dialect)
	}
	with.connector = func(p *Probe) driver.Connector { return &connector{with.driver, with.dsn, p} }
	return &with
}

// Again returns the same database with another Probe.
func (d *Database) Again() *Database {
	again := *d
	again.Probe = &Probe{}
	return &again
}

// Open returns a handle whose calls the Probe sees. Each handle has a connection pool of its own.
func (d *Database) Open(t testing.TB, config ...*gorm.Config) *gorm.DB {
	t.Helper()
	return d.open(t, d.Probe, config...)
}

// Plain returns a handle that the Probe does not see, to compare with.
func (d *Database) Plain(t testing.TB, config ...*gorm.Config) *gorm.DB {
	t.Helper()
	return d.open(t, &Probe{}, config...)
}

func (d *Database) open(t testing.TB, p *Probe, config ...*gorm.Config) *gorm.DB {
	t.Helper()
	conn := d.connect(p)
	t.Cleanup(func() { _ = conn.Close() })
	c := &gorm.Config{}
	if len(config) > 0 {
		c = config[0]
	}
	if c.Logger == nil {
		c.Logger = logger.Default.LogMode(logger.Silent)
	}
	db, err := gorm.Open(d.Dialector(conn), c)
	must(t, err)
	return db
}

// Connector opens connections that the Probe sees.
func (d *Database) Connector() driver.Connector { return d.connector(d.Probe) }

// DSN is the data source by which the driver opens the database.
func (d *Database) DSN() string { return d.source }

func (d *Database) connect(p *Probe) *sql.DB {
	c := d.connector(p)
	if os.Getenv(ObservedEnv) != "" {
		c = observed.NewConnector(c)
	}
	return sql.OpenDB(c)
}

// Pool returns a connection pool that the Probe sees, for handles that a test opens itself.
func (d *Database) Pool(t testing.TB) *sql.DB {
	t.Helper()
	conn := d.connect(d.Probe)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Dialector returns GORM's dialector on a connection pool.
func (d *Database) Dialector(conn gorm.ConnPool) gorm.Dialector {
	switch d.Dialect {
	case "postgres":
		return postgres.New(postgres.Config{Conn: conn})
	case "mysql":
		return mysql.New(mysql.Config{Conn: conn})
	}
	return sqlite.New(sqlite.Config{Conn: conn})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Call is one call that reaches the database.
type Call struct {
	Context context.Context
	Op      string // query, exec, begin, commit, rollback
	SQL     string // of query and exec
	Args    []driver.NamedValue
	InTx    bool
}

// Probe counts calls and lets a test step in. It is safe for concurrent use.
type Probe struct {
	queries, execs atomic.Int64

	mu     sync.Mutex
	before func(Call) error
	after  func(Call, error) error
	log    []string
}

// Queries returns how many queries reached the database so far.
func (p *Probe) Queries() int64 { return p.queries.Load() }

// Execs returns how many other statements reached it so far.
func (p *Probe) Execs() int64 { return p.execs.Load() }

// Log returns the SQL of all queries and other statements so far, oldest first.
func (p *Probe) Log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.log...)
}

// Before has f called before each call, on the goroutine that makes it: f may wait. An error that
// it returns is the call's, which then does not reach the database. nil removes it.
func (p *Probe) Before(f func(Call) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = f
}

// After has f called after each call that reached the database; the error that it returns replaces
// the call's.
func (p *Probe) After(f func(Call, error) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after = f
}

func (p *Probe) enter(c Call) error {
	p.mu.Lock()
	before := p.before
	switch c.Op {
	case "query":
		p.count(c.SQL, 1)
		p.log = append(p.log, c.SQL)
	case "exec":
		p.execs.Add(1)
		p.log = append(p.log, c.SQL)
	}
	p.mu.Unlock()
	if before != nil {
		return before(c)
	}
	return nil
}

// count counts a query. When the database is asked about the collations of a table is up to the
// plugin: that is none of the queries that tests count.
func (p *Probe) count(sql string, by int64) {
	if !strings.Contains(sql, "COLLATION_NAME") {
		p.queries.Add(by)
	}
}

func (p *Probe) leave(c Call, err error) error {
	p.mu.Lock()
	after := p.after
	p.mu.Unlock()
	if after != nil {
		return after(c, err)
	}
	return err
}

// Clock is a clock that stands still until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock at a round time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
