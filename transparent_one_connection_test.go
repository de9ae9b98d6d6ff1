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

type oneItem struct {
	_    struct{} `preload:""`
	ID   int
	Name string
}

// TestAnApplicationThatUsesOneConnectionKeepsIt: what runs one statement at a time has one connection,
// and may have made settings on it (PRAGMA, SET, a temporary table) that it relies on. No load in the
// background has the pool open another one.
func TestAnApplicationThatUsesOneConnectionKeepsIt(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		worldtest.Must(t, d.Plain(t).AutoMigrate(&oneItem{}))
		for name, open := range map[string]func() *sql.DB{
			"in front of the pool":    func() *sql.DB { return sql.OpenDB(d.Connector()) },
			"on observed connections": func() *sql.DB { return sql.OpenDB(preload.Connector(d.Connector())) },
		} {
			t.Run(name, func(t *testing.T) {
				pool := open()
				defer pool.Close()
				db, err := gorm.Open(d.Dialector(pool), &gorm.Config{Logger: logger.Discard})
				worldtest.Must(t, err)
				plugin := preload.New(preload.WithLogger(worldtest.Quiet()))
				worldtest.Must(t, db.Use(plugin))
				defer plugin.Close()
				worldtest.Must(t, db.Save(&oneItem{ID: 1}).Error)
				writes := []func() error{
					func() error { return db.Model(&oneItem{ID: 1}).Update("name", "a").Error },
					func() error {
						return db.Session(&gorm.Session{SkipDefaultTransaction: true}).Model(&oneItem{ID: 1}).Update("name", "b").Error
					},
					func() error { return db.Exec("UPDATE one_items SET name = 'c' WHERE id = 1").Error },
					func() error { _, err := pool.Exec("UPDATE one_items SET name = 'd' WHERE id = 1"); return err },
					func() error {
						return db.Transaction(func(tx *gorm.DB) error { return tx.Save(&oneItem{ID: 1, Name: "e"}).Error })
					},
				}
				for round := range 500 {
					for range 5 {
						var item oneItem
						worldtest.Must(t, db.Find(&item, "id = ?", 1).Error)
					}
					worldtest.Must(t, writes[round%len(writes)]())
					if n := pool.Stats().OpenConnections; n != 1 {
						t.Fatalf("%d connections are open after round %d", n, round)
					}
				}
			})
		}
	})
}
