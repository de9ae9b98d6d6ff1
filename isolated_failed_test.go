package preload_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type failedTag struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:20;unique"`
}

// failedTags opens a world with the tag "there", on a table that is made by a statement, or by GORM.
func failedTags(t *testing.T, d *dbtest.Database, table string) *worldtest.World {
	plain := d.Plain(t)
	if table != "" {
		worldtest.Must(t, plain.Exec(table).Error)
	} else {
		worldtest.Must(t, plain.AutoMigrate(&failedTag{}))
	}
	worldtest.Must(t, plain.Create(&failedTag{Name: "there"}).Error)
	return worldtest.Open(t, d, plain, nil)
}

// tagsAsPlain compares how many tags there are, and returns how many queries that took.
func tagsAsPlain(t *testing.T, w *worldtest.World, when string) int64 {
	t.Helper()
	var got, want int64
	n := w.Queries(func() { worldtest.Must(t, w.DB.Model(&failedTag{}).Count(&got).Error) })
	if worldtest.Must(t, w.Plain.Model(&failedTag{}).Count(&want).Error); got != want {
		t.Errorf("%s: %d tags, want %d", when, got, want)
	}
	return n
}

// nested runs a transaction in which a nested one fails that creates a tag which is there.
func nested(db *gorm.DB, name string, between func()) error {
	return db.Transaction(func(tx *gorm.DB) error {
		err := tx.Create(&failedTag{Name: name}).Error
		if tx.Transaction(func(tx *gorm.DB) error { return tx.Create(&failedTag{Name: "there"}).Error }) == nil {
			err = errors.New("a tag is there twice")
		}
		err = errors.Join(err, tx.Create(&failedTag{Name: name + ", later"}).Error)
		between()
		return err
	})
}

// TestATransactionThatWentOnAfterAFailureIsSeenToItsEnd: a statement that fails may end its
// transaction. A rollback to a savepoint before it shows that it did not, so that no table is held
// out after the commit.
func TestATransactionThatWentOnAfterAFailureIsSeenToItsEnd(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := failedTags(t, d, "")
		for i := range 3 {
			worldtest.Must(t, nested(w.DB, fmt.Sprint("tag ", i), func() {}))
			tagsAsPlain(t, w, "after the commit")
			if n := tagsAsPlain(t, w, "once more"); n != 0 {
				t.Errorf("commit %d: the table is held out", i)
			}
		}
	})
}

// TestATransactionThatAFailureEnded: what follows is visible at once.
func TestATransactionThatAFailureEnded(t *testing.T) {
	t.Parallel()
	w := failedTags(t, dbtest.SQLite(t), "CREATE TABLE failed_tags (id INTEGER PRIMARY KEY, name TEXT UNIQUE ON CONFLICT ROLLBACK)")
	tagsAsPlain(t, w, "before")
	err := nested(w.DB, "tag", func() {
		tagsAsPlain(t, w, "after the transaction was ended by a failure")
		tagsAsPlain(t, w, "once more")
	})
	if err == nil {
		t.Error("the commit of a transaction that had ended returned no error")
	}
	tagsAsPlain(t, w, "at the end")

	// A savepoint that is set after the failure begins a transaction of its own.
	err = w.DB.Transaction(func(tx *gorm.DB) error {
		_ = tx.Create(&failedTag{Name: "there"}).Error
		tx.SavePoint("again")
		err := tx.Create(&failedTag{Name: "inside"}).Error
		tx.RollbackTo("again")
		tx.Exec("RELEASE again")
		err = errors.Join(err, tx.Create(&failedTag{Name: "outside"}).Error)
		tagsAsPlain(t, w, "after a savepoint of its own")
		return err
	})
	if err == nil {
		t.Error("the commit of a transaction that had ended returned no error")
	}
	tagsAsPlain(t, w, "at the very end")
}
