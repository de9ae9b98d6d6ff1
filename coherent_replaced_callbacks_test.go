package preload

import (
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/callbacks"
)

// TestWritesOfReplacedCallbacksAreSeen: an application that puts its own callback in place of
// GORM's takes the plugin's out.
func TestWritesOfReplacedCallbacksAreSeen(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		replace func(*gorm.DB) error
		write   func(*gorm.DB) error
	}{
		"create": {
			func(db *gorm.DB) error {
				return db.Callback().Create().Replace("gorm:create", callbacks.Create(&callbacks.Config{}))
			},
			func(db *gorm.DB) error { return db.Create(&workerUser{Name: "more"}).Error },
		},
		"update": {
			func(db *gorm.DB) error {
				return db.Callback().Update().Replace("gorm:update", callbacks.Update(&callbacks.Config{}))
			},
			func(db *gorm.DB) error { return db.Model(&workerUser{ID: 1}).Update("name", "more").Error },
		},
		"delete, in a transaction": {
			func(db *gorm.DB) error {
				return db.Callback().Delete().Replace("gorm:delete", callbacks.Delete(&callbacks.Config{}))
			},
			func(db *gorm.DB) error {
				return db.Transaction(func(tx *gorm.DB) error { return tx.Delete(&workerUser{}, 1).Error })
			},
		},
		"raw": {
			func(db *gorm.DB) error { return db.Callback().Raw().Replace("gorm:raw", callbacks.RawExec) },
			func(db *gorm.DB) error { return db.Exec("UPDATE worker_users SET name = 'more'").Error },
		},
		"raw query": {
			func(db *gorm.DB) error { return db.Callback().Query().Replace("gorm:query", callbacks.Query) },
			func(db *gorm.DB) error {
				return db.Raw("UPDATE worker_users SET name = 'more' RETURNING *").Find(&[]workerUser{}).Error
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, WithoutWorker())
			for range 2 {
				b.db.Find(&[]workerUser{})
			}
			entries := b.plugin.Stats().Entries
			if err := test.replace(b.db); err != nil {
				t.Fatal(err)
			}
			if err := test.write(b.db); err != nil {
				t.Fatal(err)
			}
			if got := b.plugin.Stats().Entries; entries == 0 || got != 0 {
				t.Errorf("%d entries before the write, %d after it", entries, got)
			}
			b.clock.Advance(2 * time.Second)
			if group := b.plugin.cache.Index; group.Size() != 0 {
				t.Errorf("%d guards are left", group.Size())
			}
		})
	}
}
