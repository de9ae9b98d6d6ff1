package preload

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload/internal/association"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

// names reads users with Scan, and returns how many there are and how many queries that took.
func (b *bench) names(t *testing.T, below uint) (n int, queries int64) {
	t.Helper()
	before := b.probe.Queries()
	var users []struct {
		ID   uint
		Name string
	}
	if err := b.db.Model(&workerUser{}).Select("id", "name").Where("id < ?", below).Order("id").Scan(&users).Error; err != nil {
		t.Fatal(err)
	}
	return len(users), b.probe.Queries() - before
}

// TestWhatScanReadsIsLoadedAgain: the loaders of what Scan and Rows read are those of any query: a
// tick loads what is hot, a write has loaded what it killed, and a file of hot keys knows them.
func TestWhatScanReadsIsLoadedAgain(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		if err := plain.AutoMigrate(&workerUser{}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := plain.Create(&workerUser{Name: "u"}).Error; err != nil {
				t.Fatal(err)
			}
		}
		b, _ := reopened(t, d, &workerUser{})
		read := func(what string, queries int64) {
			t.Helper()
			if n, asked := b.names(t, 4); n != 3 || asked != queries {
				t.Errorf("%s: %d users by %d queries, want 3 by %d", what, n, asked, queries)
			}
		}
		for range 20 {
			b.names(t, 4)
		}
		key := b.plugin.Hot(1)[0].Key
		if _, ok := b.plugin.loaders.Of(key); !ok {
			t.Fatal("there is no loader")
		}

		if err := b.plugin.Invalidate(&workerUser{}); err != nil {
			t.Fatal(err)
		}
		b.tick()
		read("after a tick", 0)

		// Before it expires: a read in the last fifth of the TTL.
		b.clock.Advance(9 * time.Minute)
		loads := b.plugin.Stats().PreloadCount
		for range 20 {
			b.names(t, 4)
		}
		eventually(t, "it is loaded before it expires", func() bool { return b.plugin.Stats().PreloadCount > loads })
		b.clock.Advance(2 * time.Minute)
		read("after its first TTL", 0)

		// After a write.
		for range 50 {
			b.names(t, 4)
		}
		loads = b.plugin.Stats().PreloadCount
		if err := b.db.Exec("UPDATE worker_users SET name = 'new' WHERE id = 2").Error; err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is loaded after a write", func() bool { return b.plugin.Stats().PreloadCount > loads })
		read("after a write", 0)

		// By association.
		if _, ok := b.plugin.worker.LoaderOf(key); !ok {
			t.Fatal("a key does not tell how it is loaded")
		}
		if err := b.plugin.Invalidate(&workerUser{}); err != nil {
			t.Fatal(err)
		}
		b.plugin.worker.Expect(&association.Expected{Key: key})
		eventually(t, "it is loaded because it is expected", func() bool { b.settle(); return b.plugin.cache.Find(key, b.plugin.config.now()) != nil })
		read("as expected", 0)

		file := b.saved(t)
		b, _ = reopened(t, d, &workerUser{})
		if err := b.plugin.LoadHot(t.Context(), bytes.NewReader(file)); err != nil {
			t.Fatal(err)
		}
		before := b.probe.Queries()
		read("after a restart", 0)
		if s := b.plugin.Stats(); s.Hits == 0 || b.probe.Queries() != before {
			t.Errorf("after a restart: %d hits, %d queries", s.Hits, b.probe.Queries()-before)
		}
	})
}

// TestWhatAModelThatIsAValueReadsIsLoadedAgain: GORM takes a model for one that is no pointer, too,
// where nothing is read into it.
func TestWhatAModelThatIsAValueReadsIsLoadedAgain(t *testing.T) {
	t.Parallel()
	drain := func(db *gorm.DB) error {
		rows, err := db.Rows()
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		return rows.Close()
	}
	for name, read := range map[string]func(db *gorm.DB) error{
		"Rows":            func(db *gorm.DB) error { return drain(db.Model(workerUser{}).Select("id")) },
		"Rows of several": func(db *gorm.DB) error { return drain(db.Model([]workerUser{}).Select("id")) },
		"Rows of a pointer to a pointer": func(db *gorm.DB) error {
			user := &workerUser{}
			return drain(db.Model(&user).Select("id"))
		},
		"Rows of a type": func(db *gorm.DB) error {
			rows, err := gorm.G[workerUser](db).Select("id").Rows(context.Background())
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			return rows.Close()
		},
		"Row":              func(db *gorm.DB) error { return db.Model(workerUser{}).Select("count(*)").Row().Scan(new(int)) },
		"Row of a pointer": func(db *gorm.DB) error { return db.Model(&workerUser{}).Select("count(*)").Row().Scan(new(int)) },
		"Scan":             func(db *gorm.DB) error { return db.Model(workerUser{}).Select("name").Scan(&[]string{}).Error },
		"Pluck":            func(db *gorm.DB) error { return db.Model(workerUser{}).Pluck("name", &[]string{}).Error },
		"Count":            func(db *gorm.DB) error { return db.Model(workerUser{}).Count(new(int64)).Error },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				plain := d.Plain(t)
				if err := plain.AutoMigrate(&workerUser{}); err != nil {
					t.Fatal(err)
				}
				if err := plain.Create([]workerUser{{Name: "a"}, {Name: "b"}}).Error; err != nil {
					t.Fatal(err)
				}
				b, _ := reopened(t, d, &workerUser{})
				for range 20 {
					if err := read(b.db); err != nil {
						t.Fatal(err)
					}
				}
				if err := b.plugin.Invalidate(&workerUser{}); err != nil {
					t.Fatal(err)
				}
				b.tick()
				before := b.probe.Queries()
				if err := read(b.db); err != nil {
					t.Fatal(err)
				}
				if n := b.probe.Queries() - before; n != 0 {
					t.Errorf("%d queries after a tick, want none", n)
				}
				if faults := b.plugin.Stats().Faults; len(faults) > 0 {
					t.Errorf("faults: %v", faults)
				}
				// A file of hot keys knows them, too, but for what Row reads.
				if strings.HasPrefix(name, "Row of") || name == "Row" {
					return
				}
				file := b.saved(t)
				b, _ = reopened(t, d, &workerUser{})
				if err := b.plugin.LoadHot(t.Context(), bytes.NewReader(file)); err != nil {
					t.Error(err)
				}
				before = b.probe.Queries()
				if err := read(b.db); err != nil {
					t.Fatal(err)
				}
				if n := b.probe.Queries() - before; n != 0 {
					t.Errorf("%d queries after a restart, want none", n)
				}
			})
		})
	}
}
