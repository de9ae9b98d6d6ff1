package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gorm-preload/preload/examples/internal/command"
	"github.com/gorm-preload/preload/examples/internal/counting"
	"github.com/gorm-preload/preload/models"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

const (
	// connectTimeout is how long a database may take to answer at first, and to clean up.
	connectTimeout = 10 * time.Second
	// applicationID marks, in its header, a SQLite file that this program made and may fill anew.
	applicationID = 0x70726c64
)

// database is where both runs take place.
type database struct {
	kind    string
	driver  string // of database/sql
	dsn     string
	dialect func(gorm.ConnPool) gorm.Dialector
	conns   int
	cleanUp []func() error // last one first

	// plain is a handle without plugin that nobody counts: it fills the tables, and says what the
	// right answers are.
	plain *gorm.DB
}

// open finds the database that the settings name and makes sure that it can be worked in.
func open(ctx context.Context, s settings) (_ *database, err error) {
	d := &database{conns: s.workers + 1 + loads}
	defer func() {
		if err != nil {
			_ = d.close()
		}
	}()
	scheme, _, isURL := strings.Cut(s.dsn, "://")
	switch {
	case s.dsn == "":
		err = d.temporary()
	case scheme == "postgres" || scheme == "postgresql":
		err = d.postgres(ctx, s.dsn)
	case isURL || strings.HasPrefix(s.dsn, "file:") || strings.HasPrefix(s.dsn, ":memory:"):
		err = command.Refuse("-dsn: want the path of a SQLite file or a postgres:// URL")
	default:
		err = d.sqliteFile(s.dsn)
	}
	if err != nil {
		return nil, err
	}
	pool, err := d.connect()
	if err != nil {
		return nil, command.Refuse("cannot open the %s database: %w", d.kind, err)
	}
	if d.plain, err = d.handle(pool); err != nil {
		return nil, command.Refuse("cannot use the %s database: %w", d.kind, err)
	}
	if d.driver == "sqlite3" {
		if err := d.claim(ctx); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// connect opens a pool; closing the database closes it.
func (d *database) connect() (*sql.DB, error) {
	pool, err := sql.Open(d.driver, d.dsn)
	if err != nil {
		return nil, err
	}
	// Connections stay open: opening one is not what is measured.
	pool.SetMaxOpenConns(d.conns)
	pool.SetMaxIdleConns(d.conns)
	d.cleanUp = append(d.cleanUp, pool.Close)
	return pool, nil
}

// openAll opens as many connections as the pool may have, as a server has that has been up for a
// while.
func (d *database) openAll(pool *sql.DB) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	for range d.conns {
		conn, failed := pool.Conn(ctx)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
	}
	return nil
}

func (d *database) handle(pool gorm.ConnPool) (*gorm.DB, error) {
	return gorm.Open(d.dialect(pool), &gorm.Config{Logger: logger.Discard})
}

// counted opens a handle of its own whose statements are counted.
func (d *database) counted() (*gorm.DB, *counting.Pool, error) {
	conn, err := d.connect()
	if err != nil {
		return nil, nil, err
	}
	if err := d.openAll(conn); err != nil {
		return nil, nil, err
	}
	pool := counting.New(conn)
	db, err := d.handle(pool)
	return db, pool, err
}

func (d *database) close() error {
	var errs []error
	for i := len(d.cleanUp) - 1; i >= 0; i-- {
		errs = append(errs, d.cleanUp[i]())
	}
	d.cleanUp = nil
	return errors.Join(errs...)
}

func (d *database) temporary() error {
	folder, err := os.MkdirTemp("", "preload-chat-")
	if err != nil {
		return command.Refuse("cannot make a temporary folder: %w", err)
	}
	d.cleanUp = append(d.cleanUp, func() error { return os.RemoveAll(folder) })
	return d.sqliteFile(filepath.Join(folder, "chat.db"))
}

func (d *database) sqliteFile(path string) error {
	d.kind, d.driver = "SQLite", "sqlite3"
	d.dialect = func(pool gorm.ConnPool) gorm.Dialector { return sqlite.Dialector{Conn: pool} }
	// Transactions that write take their lock when they begin: two that read first and then want to
	// write would end each other.
	d.dsn = "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_journal_mode=WAL&_busy_timeout=10000&_synchronous=NORMAL&_txlock=immediate"
	return nil
}

// claim makes sure that a SQLite file is new, or one of this program's: its tables will be dropped.
func (d *database) claim(ctx context.Context) error {
	var id, tables int
	db := d.plain.WithContext(ctx)
	err := db.Raw("PRAGMA application_id").Row().Scan(&id)
	if err == nil {
		err = db.Raw("SELECT count(*) FROM sqlite_master").Row().Scan(&tables)
	}
	switch {
	case err != nil:
		return command.Refuse("cannot use the SQLite database: %w", err)
	case id != applicationID && (id != 0 || tables > 0):
		return command.Refuse("-dsn: the SQLite database holds the data of something else, and this program fills it anew: give it a new file")
	}
	// Also where it is marked already: now is the time to find out that it is read-only.
	if err := db.Exec(fmt.Sprintf("PRAGMA application_id = %d", applicationID)).Error; err != nil {
		return command.Refuse("cannot write to the SQLite database: %w", err)
	}
	return nil
}

// postgres makes a schema, and has all later connections look for tables there and nowhere else.
func (d *database) postgres(ctx context.Context, dsn string) error {
	d.kind, d.driver = "PostgreSQL", "pgx"
	d.dialect = func(pool gorm.ConnPool) gorm.Dialector { return postgres.New(postgres.Config{Conn: pool}) }
	address, err := url.Parse(dsn)
	if err != nil {
		// Not the error itself: it repeats the URL, which may hold a password.
		return command.Refuse("-dsn: this is no valid postgres:// URL")
	}
	admin, err := sql.Open(d.driver, dsn)
	if err != nil {
		return command.Refuse("cannot open the PostgreSQL database: %w", err)
	}
	d.cleanUp = append(d.cleanUp, admin.Close)
	schema := "preload_chat_" + strings.ToLower(rand.Text()[:10])
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if _, err := admin.ExecContext(ctx, "CREATE SCHEMA "+schema); err != nil {
		return command.Refuse("cannot use the PostgreSQL database: %w", err)
	}
	d.cleanUp = append(d.cleanUp, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
		defer cancel()
		_, err := admin.ExecContext(ctx, "DROP SCHEMA "+schema+" CASCADE")
		return err
	})
	query := address.Query()
	query.Set("search_path", schema)
	address.RawQuery = query.Encode()
	d.dsn = address.String()
	return nil
}

// reset makes the tables anew and fills them as the settings say: equal settings give equal rows.
func (d *database) reset(ctx context.Context, s settings) error {
	db := d.plain.WithContext(ctx)
	if err := db.Migrator().DropTable(models.All()...); err != nil {
		return fmt.Errorf("dropping the tables: %w", err)
	}
	if err := db.AutoMigrate(models.All()...); err != nil {
		return fmt.Errorf("making the tables: %w", err)
	}
	err := db.Transaction(s.Fill)
	if err != nil {
		return fmt.Errorf("filling the tables: %w", err)
	}
	// Both runs begin with the same state of what databases do by themselves now and then.
	settle := []string{"PRAGMA wal_checkpoint(TRUNCATE)", "ANALYZE"}
	if d.driver != "sqlite3" {
		settle = nil
		for _, model := range models.All() {
			settle = append(settle, "VACUUM ANALYZE "+model.(interface{ TableName() string }).TableName())
		}
	}
	for _, statement := range settle {
		if err := db.Exec(statement).Error; err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
