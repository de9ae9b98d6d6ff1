package dbtest

import (
	"errors"
	"path/filepath"
	"testing"
)

type thing struct {
	ID   uint
	Name string
}

func TestProbeSeesAndStops(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, d *Database) {
		db, plain := d.Open(t), d.Plain(t)
		must(t, db.AutoMigrate(&thing{}))
		before := d.Probe.Queries()
		var got thing
		must(t, plain.Create(&thing{Name: "a"}).Error)
		if d.Probe.Queries() != before {
			t.Errorf("the probe saw a plain handle")
		}
		must(t, db.First(&got).Error)
		if n := d.Probe.Queries() - before; n != 1 || got.Name != "a" {
			t.Errorf("queries %d, got %+v", n, got)
		}
		stop := errors.New("stopped")
		d.Probe.Before(func(c Call) error {
			if c.Op == "commit" {
				return stop
			}
			return nil
		})
		if err := db.Create(&thing{Name: "b"}).Error; !errors.Is(err, stop) {
			t.Errorf("commit: %v", err)
		}
		d.Probe.Before(nil)
		var n int64
		if must(t, db.Model(&thing{}).Count(&n).Error); n != 1 {
			t.Errorf("a stopped commit left %d rows", n)
		}
	})
}

// TestSQLiteIsOfItsTestAlone: a second subtest of the same name has a '#' in the path of its
// folder, which would end the path in a URI.
func TestSQLiteIsOfItsTestAlone(t *testing.T) {
	t.Parallel()
	for range 2 {
		t.Run("again", func(t *testing.T) {
			var file string
			must(t, SQLite(t).Plain(t).Raw("SELECT file FROM pragma_database_list").Scan(&file).Error)
			if filepath.Base(file) != "test.db" {
				t.Errorf("the database is in %s", file)
			}
		})
	}
}
