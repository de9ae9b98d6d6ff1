package preload_test

import (
	"database/sql"
	"testing"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// BenchmarkStatement is what a statement of database/sql costs: on the driver's connections, on
// ones that can be observed, and on ones that a plugin observes.
func BenchmarkStatement(b *testing.B) {
	for _, way := range []string{"driver", "connector", "observed"} {
		d := dbtest.SQLite(b)
		c := d.Connector()
		if way != "driver" {
			c = preload.Connector(c)
		}
		pool := sql.OpenDB(c)
		b.Cleanup(func() { _ = pool.Close() })
		pool.SetMaxOpenConns(1)
		db, err := gorm.Open(d.Dialector(pool), &gorm.Config{Logger: logger.Discard})
		worldtest.Must(b, err)
		worldtest.Must(b, db.AutoMigrate(&connItem{}))
		worldtest.Must(b, db.Create(&connItem{ID: 1}).Error)
		if way == "observed" {
			plugin := preload.New(preload.WithoutWorker())
			worldtest.Must(b, db.Use(plugin))
			b.Cleanup(func() { _ = plugin.Close() })
		}
		for _, statement := range []struct{ name, text string }{
			{"read", "SELECT name FROM conn_items WHERE id = 1"},
			{"write", "UPDATE conn_items SET name = 'x' WHERE id = 1"},
		} {
			b.Run(statement.name+"/"+way, func(b *testing.B) {
				b.ReportAllocs()
				for range b.N {
					if statement.name == "write" {
						_, err = pool.Exec(statement.text)
					} else {
						var name string
						err = pool.QueryRow(statement.text).Scan(&name)
					}
					worldtest.Must(b, err)
				}
			})
		}
	}
}
