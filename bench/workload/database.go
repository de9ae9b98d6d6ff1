package workload

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/gorm-preload/preload"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Place is where workloads have their databases.
type Place struct {
	Dir      string // for those in files
	Postgres string // a DSN, as a URL; "" for none

	rows   int // of people, if not the usual
	opened []func()
	made   atomic.Int64
}

// Close closes, and removes, all databases.
func (p *Place) Close() {
	for i := len(p.opened) - 1; i >= 0; i-- {
		p.opened[i]()
	}
	p.opened = nil
}

func (p *Place) open(dialector gorm.Dialector, config gorm.Config) (*gorm.DB, error) {
	config.Logger = logger.Discard
	db, err := gorm.Open(dialector, &config)
	if err != nil {
		return nil, err
	}
	p.opened = append(p.opened, func() {
		if plugin, ok := preload.From(db); ok {
			_ = plugin.Close()
		}
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	})
	rows := people
	if p.rows > 0 {
		rows = p.rows
	}
	return db, seed(db, rows)
}

// file opens a new SQLite database in a file.
func (p *Place) file(config gorm.Config) (*gorm.DB, error) {
	name := filepath.Join(p.Dir, fmt.Sprint("bench", p.made.Add(1), ".db"))
	return p.open(sqlite.Open("file:"+(&url.URL{Path: name}).EscapedPath()+"?_busy_timeout=10000&_journal_mode=WAL&_synchronous=OFF"), config)
}

// memory opens a new SQLite database in memory.
func (p *Place) memory() (*gorm.DB, error) {
	return p.open(sqlite.Open(fmt.Sprintf("file:bench%d?mode=memory&cache=shared&_busy_timeout=10000", p.made.Add(1))), gorm.Config{})
}

// postgres opens a new schema of PostgreSQL.
func (p *Place) postgres() (*gorm.DB, error) {
	schema := fmt.Sprint("preload_bench_", p.made.Add(1))
	admin, err := gorm.Open(postgres.Open(p.Postgres), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not answer: %w", err)
	}
	if err := admin.Exec("DROP SCHEMA IF EXISTS " + schema + " CASCADE").Exec("CREATE SCHEMA " + schema).Error; err != nil {
		return nil, err
	}
	p.opened = append(p.opened, func() {
		admin.Exec("DROP SCHEMA " + schema + " CASCADE")
		if pool, err := admin.DB(); err == nil {
			_ = pool.Close()
		}
	})
	u, err := url.Parse(p.Postgres)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return nil, fmt.Errorf("the DSN %q of PostgreSQL is not of the form postgres://user@host:port/database", p.Postgres)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return p.open(postgres.Open(u.String()), gorm.Config{})
}

// floor opens a database whose query callback does nothing.
func (p *Place) floor() (*gorm.DB, error) {
	db, err := p.file(gorm.Config{})
	if err != nil {
		return nil, err
	}
	return db, db.Callback().Query().Replace("gorm:query", func(db *gorm.DB) { db.RowsAffected = 1 })
}

// plugged opens a database with the plugin, which keeps all that is asked for unless the options
// say otherwise.
func (p *Place) plugged(options ...preload.Option) (*gorm.DB, *preload.Plugin, error) {
	db, err := p.file(gorm.Config{})
	if err != nil {
		return nil, nil, err
	}
	plugin := preload.New(append([]preload.Option{preload.WithMaxEntries(100_000), preload.WithMaxBytes(1 << 30)}, options...)...)
	return db, plugin, db.Use(plugin)
}
