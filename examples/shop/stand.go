package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/examples/internal/command"
	"github.com/gorm-preload/preload/examples/internal/counting"
	"github.com/gorm-preload/preload/examples/shop/service"
	"github.com/gorm-preload/preload/examples/shop/traffic"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// stand is a shop on a database of its own.
type stand struct {
	kind    string
	db      *gorm.DB // that the shop asks
	plain   *gorm.DB // of the same database, without plugin
	plugin  *preload.Plugin
	pool    *counting.Pool
	shop    http.Handler
	right   http.Handler // the same shop without plugin
	load    traffic.Load
	queries int64 // that reached the database in all turns
	cleanUp []func() error
}

// conns is how many connections a shop may have.
const conns = 8

func newStand(ctx context.Context, s settings, plugin bool) (_ *stand, err error) {
	one := &stand{}
	defer func() {
		if err != nil {
			err = errors.Join(err, one.close())
		}
	}()
	dialect, err := one.place(ctx, s.dsn)
	if err != nil {
		return nil, err
	}
	if one.plain, err = gorm.Open(dialect, &gorm.Config{Logger: logger.Discard}); err != nil {
		return nil, command.Refuse("cannot use the %s database: %w", one.kind, err)
	}
	conn, err := one.plain.DB()
	if err != nil {
		return nil, err
	}
	one.cleanUp = append(one.cleanUp, conn.Close)
	conn.SetMaxOpenConns(conns)
	conn.SetMaxIdleConns(conns)
	if err := service.Seed(one.plain.WithContext(ctx), s.size); err != nil {
		return nil, fmt.Errorf("filling the shop: %w", err)
	}
	one.pool = counting.New(conn)
	front := gorm.Dialector(sqlite.Dialector{Conn: one.pool})
	if one.plain.Name() == "postgres" {
		front = postgres.New(postgres.Config{Conn: one.pool})
	}
	if one.db, err = gorm.Open(front, &gorm.Config{Logger: logger.Discard}); err != nil {
		return nil, err
	}
	if plugin {
		one.plugin = preload.New(preload.WithMaxEntries(4*s.answers), preload.WithNegativeTTL(time.Minute))
		if err := one.db.Use(one.plugin); err != nil {
			return nil, err
		}
		one.cleanUp = append(one.cleanUp, one.plugin.Close)
	}
	one.shop, one.right = service.New(one.db), service.New(one.plain)
	return one, nil
}

// place makes a place for the tables: a file, or a schema of PostgreSQL.
func (one *stand) place(ctx context.Context, dsn string) (gorm.Dialector, error) {
	if dsn == "" {
		one.kind = "SQLite"
		folder, err := os.MkdirTemp("", "preload-shop-")
		if err != nil {
			return nil, command.Refuse("cannot make a temporary folder: %w", err)
		}
		one.cleanUp = append(one.cleanUp, func() error { return os.RemoveAll(folder) })
		file := &url.URL{Path: filepath.Join(folder, "shop.db")}
		return sqlite.Open("file:" + file.EscapedPath() + "?_journal_mode=WAL&_busy_timeout=10000&_synchronous=NORMAL&_txlock=immediate"), nil
	}
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return nil, command.Refuse("-dsn: want a postgres:// URL")
	}
	one.kind = "PostgreSQL"
	server, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, command.Refuse("cannot open the PostgreSQL database: %w", err)
	}
	conn, err := server.DB()
	if err != nil {
		return nil, err
	}
	one.cleanUp = append(one.cleanUp, conn.Close)
	schema := "preload_shop_" + strings.ToLower(rand.Text()[:12])
	if err := server.WithContext(ctx).Exec("CREATE SCHEMA " + schema).Error; err != nil {
		return nil, command.Refuse("cannot make a schema: %w", err)
	}
	one.cleanUp = append(one.cleanUp, func() error { return server.Exec("DROP SCHEMA " + schema + " CASCADE").Error })
	at, err := url.Parse(dsn)
	if err != nil {
		return nil, command.Refuse("-dsn: it is no URL")
	}
	query := at.Query()
	query.Set("search_path", schema)
	at.RawQuery = query.Encode()
	return postgres.Open(at.String()), nil
}

// close lets everything go, what came last first.
func (one *stand) close() (err error) {
	for i := len(one.cleanUp) - 1; i >= 0; i-- {
		err = errors.Join(err, one.cleanUp[i]())
	}
	one.cleanUp = nil
	return err
}

// turn has people ask for a while. Both stands are asked the same in the same turn, as far as they
// come.
func (one *stand) turn(ctx context.Context, s settings, turn uint64, most time.Duration) error {
	shoppers := make([]*traffic.Shopper, s.clients)
	for i := range shoppers {
		shoppers[i] = traffic.NewShopper(s.size, s.seed+turn, uint64(i))
	}
	one.pool.Reset()
	load, err := traffic.Run(ctx, one.shop, shoppers, 0, most)
	one.load.Add(load)
	one.queries += one.pool.Reads()
	return err
}

// rate is how many requests were answered in a second.
func (one *stand) rate() float64 {
	return float64(one.load.Requests) / max(one.load.Elapsed.Seconds(), 1e-9)
}
