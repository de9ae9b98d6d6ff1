package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/gorm-preload/preload/examples/internal/command"
	goredis "github.com/redis/go-redis/v9"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// place is what the processes share.
type place struct {
	dsn, redis, name string // where the database is, where Redis is, and what its keys begin with
	database, broker string // what they are called
	cleanUp          []func() error
}

// open makes a place with a table of prices.
func open(ctx context.Context, s settings) (at *place, err error) {
	at = &place{redis: s.redis, name: "preload-cluster-" + rand.Text()[:12], broker: "the Redis at " + s.redis}
	defer func() {
		if err != nil {
			_ = at.close()
		}
	}()
	if err = at.tables(ctx, s.dsn); err != nil {
		return at, err
	}
	if s.redis == "" {
		m := miniredis.NewMiniRedis()
		if err = m.Start(); err != nil {
			return at, err
		}
		at.cleanUp = append(at.cleanUp, func() error { m.Close(); return nil })
		at.redis, at.broker = m.Addr(), "a Redis in this program"
		return at, nil
	}
	client := goredis.NewClient(&goredis.Options{Addr: at.redis})
	at.cleanUp = append(at.cleanUp, client.Close)
	if err = client.Ping(ctx).Err(); err != nil {
		return at, command.Refuse("-redis %s: %w", s.redis, err)
	}
	at.cleanUp = append(at.cleanUp, func() (err error) {
		ctx := context.WithoutCancel(ctx)
		keys := client.Scan(ctx, 0, "{"+at.name+"*", 1000).Iterator()
		for keys.Next(ctx) {
			err = errors.Join(err, client.Del(ctx, keys.Val()).Err())
		}
		return errors.Join(err, keys.Err())
	})
	return at, nil
}

// dialector returns how a process reaches the database.
func dialector(dsn string) gorm.Dialector {
	if strings.HasPrefix(dsn, "postgres") {
		return postgres.Open(dsn)
	}
	return sqlite.Open(dsn)
}

func (at *place) tables(ctx context.Context, dsn string) error {
	switch {
	case dsn == "":
		at.database = "a file of SQLite"
		folder, err := os.MkdirTemp("", "preload-cluster-")
		if err != nil {
			return command.Refuse("cannot make a temporary folder: %w", err)
		}
		at.cleanUp = append(at.cleanUp, func() error { return os.RemoveAll(folder) })
		file := &url.URL{Path: filepath.Join(folder, "prices.db")}
		at.dsn = "file:" + file.EscapedPath() + "?_journal_mode=WAL&_busy_timeout=10000&_synchronous=NORMAL&_txlock=immediate"
	case strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://"):
		at.database = "PostgreSQL"
		if err := at.schema(ctx, dsn); err != nil {
			return err
		}
	default:
		return command.Refuse("-dsn: want a postgres:// URL")
	}
	db, err := gorm.Open(dialector(at.dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return command.Refuse("cannot open the database: %w", err)
	}
	conn, err := db.DB()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := db.WithContext(ctx).AutoMigrate(&Price{}); err != nil {
		return err
	}
	for id := range prices {
		if err := db.WithContext(ctx).Create(&Price{ID: id + 1}).Error; err != nil {
			return err
		}
	}
	return nil
}

// schema makes a schema of the program's own in PostgreSQL.
func (at *place) schema(ctx context.Context, dsn string) error {
	server, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return command.Refuse("cannot open the PostgreSQL database: %w", err)
	}
	conn, err := server.DB()
	if err != nil {
		return err
	}
	at.cleanUp = append(at.cleanUp, conn.Close)
	schema := "preload_cluster_" + strings.ToLower(rand.Text()[:12])
	if err := server.WithContext(ctx).Exec("CREATE SCHEMA " + schema).Error; err != nil {
		return command.Refuse("cannot make a schema: %w", err)
	}
	at.cleanUp = append(at.cleanUp, func() error { return server.Exec("DROP SCHEMA " + schema + " CASCADE").Error })
	where, err := url.Parse(dsn)
	if err != nil {
		return command.Refuse("-dsn: it is no URL")
	}
	query := where.Query()
	query.Set("search_path", schema)
	where.RawQuery = query.Encode()
	at.dsn = where.String()
	return nil
}

// close lets everything go, what came last first.
func (at *place) close() (err error) {
	for i := len(at.cleanUp) - 1; i >= 0; i-- {
		err = errors.Join(err, at.cleanUp[i]())
	}
	at.cleanUp = nil
	return err
}
