package preload_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

// A BEGIN that failed as a plain statement began nothing: answers are kept afterwards as before.
func TestTxBeginByExecThatFails(t *testing.T) {
	t.Parallel()
	writeEach(t, func(t *testing.T, w *writeWorld) {
		w.warm(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := w.db.WithContext(ctx).Exec("BEGIN").Error; err == nil {
			t.Fatal("BEGIN with a done context: no error")
		}
		w.equal(t, "after it")
		w.clock.Advance(2 * writeHoldOut)
		w.equal(t, "after the hold-out")
		w.cached(t, "after the hold-out, second time")
	})
}

// A transaction that rolls back to a savepoint that was set unseen keeps what it wrote before it.
func TestTxSavepointUnseen(t *testing.T) {
	t.Parallel()
	w := writeSetup(t, dbtest.SQLite(t), nil)
	w.warm(t)
	tx := w.db.Begin()
	defer tx.Rollback()
	err := errors.Join(tx.Exec("SAVEPOINT a").Error, txAge(tx, 1, 41), tx.Exec("SELECT 1; SAVEPOINT a").Error, txAge(tx, 2, 42),
		tx.Exec("ROLLBACK TO SAVEPOINT a").Error)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(2 * writeHoldOut)
	w.equal(t, "before the commit")
	w.equal(t, "before the commit, second time")
	if err := tx.Commit().Error; err != nil {
		t.Fatal(err)
	}
	if changed := w.equal(t, "after the commit"); changed == 0 {
		t.Errorf("nothing changed: the test tests nothing")
	}
}

// A savepoint set in the same text as a write, to which the transaction rolls back, hides the one
// of that name before it.
func TestTxSavepointInMultipleStatements(t *testing.T) {
	t.Parallel()
	w := writeSetup(t, dbtest.SQLite(t), nil)
	w.warm(t)
	tx := w.db.Begin()
	defer tx.Rollback()
	err := errors.Join(tx.Exec("SAVEPOINT a").Error, txAge(tx, 1, 41), tx.Exec("SAVEPOINT a; UPDATE write_tags SET name = 'gone'").Error,
		tx.Exec("ROLLBACK TO SAVEPOINT a").Error)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(2 * writeHoldOut)
	w.equal(t, "before the commit")
	if err := tx.Commit().Error; err != nil {
		t.Fatal(err)
	}
	if changed := w.equal(t, "after the commit"); changed == 0 {
		t.Errorf("nothing changed: the test tests nothing")
	}
}

type writeView struct {
	_     struct{} `preload:"depends:write_posts"`
	ID    uint
	Title string
}

type writeViewer struct {
	_    struct{} `preload:""`
	ID   uint
	View *writeView `gorm:"foreignKey:ID;references:ID;constraint:-"`
}

// A view that is only met through a join still depends on what its policy names.
func TestWriteDependsThroughJoin(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := writeMigrate(t, d)
		writeSeed(t, plain)
		err := errors.Join(plain.Exec("CREATE TABLE write_viewers (id bigint primary key)").Error,
			plain.Exec("INSERT INTO write_viewers VALUES (1), (2)").Error,
			plain.Exec("CREATE VIEW write_views AS SELECT id, title FROM write_posts").Error)
		if err != nil {
			t.Fatal(err)
		}
		w := writeOpen(t, d, plain, nil)
		q := writeQuery{"joined view", func(db *gorm.DB) writeAnswer {
			var viewers []writeViewer
			return writeGot(&viewers, db.Joins("View").Order("write_viewers.id").Find(&viewers))
		}}
		for range 2 {
			q.ask(w.db)
		}
		if err := w.db.Model(&writePost{ID: 1}).Update("title", "changed").Error; err != nil {
			t.Fatal(err)
		}
		writeEqual(t, "after the write", q.name, q.ask(w.db), q.ask(plain))
	})
}

type writeOddName struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:100"`
}

func (writeOddName) TableName() string { return "write odd-name" }

type writeUpperName struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:100"`
}

func (writeUpperName) TableName() string { return "WriteUpper" }

type writeKeywordName struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:100"`
}

func (writeKeywordName) TableName() string { return "select" }

type writeForeignName struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:100"`
}

func (writeForeignName) TableName() string { return "WRÍTE_ñamés" }

// Tables with names that need quotes are found in raw statements, too.
func TestWriteOddNames(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		quote := map[string]string{"sqlite": `"`, "postgres": `"`, "mysql": "`"}[d.Dialect]
		writeOdd[writeOddName](t, d, plain, quote+"write odd-name"+quote)
		writeOdd[writeUpperName](t, d, plain, quote+"WriteUpper"+quote)
		writeOdd[writeKeywordName](t, d, plain, quote+"select"+quote)
		writeOdd[writeForeignName](t, d, plain, quote+"WRÍTE_ñamés"+quote)
		if d.Dialect == "sqlite" {
			writeOdd[writeForeignName](t, d, plain, "[WRÍTE_ñamés]")
			writeOdd[writeForeignName](t, d, plain, "wrÍte_ñamés")
			writeOdd[writeOddName](t, d, plain, "'write odd-name'")
		}
	})
}

func writeOdd[T any](t *testing.T, d *dbtest.Database, plain *gorm.DB, quoted string) {
	t.Helper()
	if err := errors.Join(plain.Exec("CREATE TABLE IF NOT EXISTS "+quoted+" (id integer, name varchar(100))").Error, plain.Exec("DELETE FROM "+quoted).Error, plain.Exec("INSERT INTO "+quoted+" (id, name) VALUES (1, 'old')").Error); err != nil {
		t.Fatal(err)
	}
	w := writeOpen(t, d, plain, nil)
	q := writeList[T]("rows of "+quoted, writeByID)
	writes := []func() error{
		func() error { return w.db.Exec("UPDATE " + quoted + " SET name = 'raw'").Error },
		func() error { return w.db.Model(new(T)).Where("id = 1").Update("name", "built").Error },
		func() error { return w.db.Table(quoted).Where("id = 1").Update("name", "by table").Error },
		func() error {
			return w.db.Transaction(func(tx *gorm.DB) error { return tx.Exec("DELETE FROM " + quoted).Error })
		},
	}
	for i, write := range writes {
		q.ask(w.db)
		before := d.Probe.Queries()
		if q.ask(w.db); d.Probe.Queries() != before {
			t.Errorf("%s is not kept: %v", quoted, w.p.Stats().BypassReasons)
		}
		if err := write(); err != nil {
			if i == 2 { // a name that GORM quotes again
				continue
			}
			t.Fatal(quoted, i, err)
		}
		writeEqual(t, fmt.Sprint("after write ", i), q.name, q.ask(w.db), q.ask(plain))
	}
}

// A model read from the table of another depends on that table.
func TestWriteOfTableReadAsAnotherModel(t *testing.T) {
	t.Parallel()
	writeEach(t, func(t *testing.T, w *writeWorld) {
		_ = w.p.Register(writeModels...)
		queries := []writeQuery{
			{"tags as orgs", func(db *gorm.DB) writeAnswer {
				var orgs []writeOrg
				return writeGot(&orgs, db.Table("write_tags").Order("id").Find(&orgs))
			}},
			{"tags as orgs, with an alias", func(db *gorm.DB) writeAnswer {
				var orgs []writeOrg
				return writeGot(&orgs, db.Table("write_tags AS t").Order("t.id").Find(&orgs))
			}},
			{"orgs from a sub-query of tags", func(db *gorm.DB) writeAnswer {
				var orgs []writeOrg
				return writeGot(&orgs, db.Table("(?) AS t", db.Session(&gorm.Session{NewDB: true}).Model(&writeTag{})).Order("t.id").Find(&orgs))
			}},
			{"orgs that have a tag's name", func(db *gorm.DB) writeAnswer {
				var orgs []writeOrg
				return writeGot(&orgs, db.Where("id < (SELECT MAX(LENGTH(name)) FROM write_tags)").Order("id").Find(&orgs))
			}},
		}
		for i := range 3 {
			for _, q := range queries {
				q.ask(w.db)
				q.ask(w.db)
			}
			if err := w.db.Model(&writeTag{ID: 1}).Update("name", fmt.Sprint("a longer name of the tag "[:i*12], i)).Error; err != nil {
				t.Fatal(err)
			}
			for _, q := range queries {
				writeEqual(t, fmt.Sprint("write ", i), q.name, q.ask(w.db), q.ask(w.plain))
			}
		}
	})
}
