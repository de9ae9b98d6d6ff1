// Package database makes empty databases of SQLite, PostgreSQL and MySQL or MariaDB for services,
// opens them as an ordinary program does, with a default pool of database/sql, and counts what
// reaches them.
package database

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Server is where databases can be made.
type Server struct {
	Dialect string // as GORM names it: sqlite, postgres, mysql
	DSN     string // of PostgreSQL and MySQL
	Dir     string // of the files of SQLite
}

// Database is an empty database that nobody else uses.
type Database struct {
	Dialect string

	driver driver.Driver
	dsn    string
	drop   func() error
	opened []*sql.DB
}

var made atomic.Int64

// New makes a database. Close removes it.
func (s Server) New() (*Database, error) {
	name := fmt.Sprintf("preload_bench_%d_%d_%d", os.Getpid(), time.Now().UnixNano()%1e9, made.Add(1))
	switch s.Dialect {
	case "sqlite":
		file := filepath.Join(s.Dir, name+".db")
		return &Database{
			Dialect: s.Dialect, driver: &sqlite3.SQLiteDriver{},
			dsn: "file:" + (&url.URL{Path: file}).EscapedPath() + "?_busy_timeout=10000&_journal_mode=WAL&_synchronous=NORMAL&_txlock=immediate",
			drop: func() error {
				for _, ending := range []string{"", "-wal", "-shm"} {
					_ = os.Remove(file + ending)
				}
				return nil
			},
		}, nil
	case "postgres":
		dsn, err := searching(s.DSN, name)
		if err != nil {
			return nil, err
		}
		return byStatement(s, stdlib.GetDefaultDriver(), dsn, "CREATE SCHEMA "+name, "DROP SCHEMA "+name+" CASCADE")
	case "mysql":
		config, err := mysqldriver.ParseDSN(s.DSN)
		if err != nil {
			return nil, errors.New("the DSN of MySQL is not of the form user:password@tcp(host:port)/")
		}
		config.DBName, config.ParseTime = name, true
		return byStatement(s, mysqldriver.MySQLDriver{}, config.FormatDSN(), "CREATE DATABASE "+name, "DROP DATABASE "+name)
	}
	return nil, fmt.Errorf("%q is no dialect: want sqlite, postgres or mysql", s.Dialect)
}

// searching adds to a DSN of PostgreSQL the schema that its tables are in.
func searching(dsn, schema string) (string, error) {
	if !strings.Contains(dsn, "://") {
		return dsn + " search_path=" + schema, nil
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New("the DSN of PostgreSQL is not of the form postgres://user@host:port/database")
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// byStatement makes a database by a statement, and removes it by another one.
func byStatement(s Server, d driver.Driver, dsn, create, drop string) (*Database, error) {
	admin := sql.OpenDB(&connector{driver: d, dsn: s.DSN, counts: &Counts{}})
	if _, err := admin.Exec(create); err != nil {
		_ = admin.Close()
		// Some drivers use a line for each address that they tried.
		return nil, fmt.Errorf("%s does not make a database at this DSN: %s", s.Dialect, strings.Join(strings.Fields(err.Error()), " "))
	}
	return &Database{Dialect: s.Dialect, driver: d, dsn: dsn, drop: func() error {
		defer admin.Close()
		_, err := admin.Exec(drop)
		return err
	}}, nil
}

// Open opens the database with a connection pool of its own, whose settings are those of
// database/sql. What goes through the pool is counted.
func (d *Database) Open(counts *Counts, config gorm.Config) (*gorm.DB, error) {
	pool := sql.OpenDB(&connector{driver: d.driver, dsn: d.dsn, counts: counts})
	d.opened = append(d.opened, pool)
	if config.Logger == nil {
		config.Logger = logger.Default.LogMode(logger.Silent)
	}
	var dialector gorm.Dialector
	switch d.Dialect {
	case "postgres":
		dialector = postgres.New(postgres.Config{Conn: pool})
	case "mysql":
		dialector = mysql.New(mysql.Config{Conn: pool})
	default:
		dialector = sqlite.New(sqlite.Config{Conn: pool})
	}
	return gorm.Open(dialector, &config)
}

// Close closes all pools and removes the database.
func (d *Database) Close() error {
	for _, pool := range d.opened {
		_ = pool.Close()
	}
	return d.drop()
}
