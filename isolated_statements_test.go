package preload_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// A BEGIN that failed as a plain statement began nothing: answers are kept afterwards as before.
func TestTxBeginByExecThatFails(t *testing.T) {
	t.Parallel()
	writeEach(t, func(t *testing.T, w *worldtest.World) {
		w.Warm(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := w.DB.WithContext(ctx).Exec("BEGIN").Error; err == nil {
			t.Fatal("BEGIN with a done context: no error")
		}
		w.Compare(t, "after it")
		w.Clock.Advance(2 * worldtest.HoldOut)
		w.Compare(t, "after the hold-out")
		w.Cached(t, "after the hold-out, second time")
	})
}

// A transaction that rolls back to a savepoint that was set unseen keeps what it wrote before it.
func TestTxSavepointUnseen(t *testing.T) {
	t.Parallel()
	w := writeSetup(t, dbtest.SQLite(t), nil)
	w.Warm(t)
	tx := w.DB.Begin()
	defer tx.Rollback()
	err := errors.Join(tx.Exec("SAVEPOINT a").Error, txAge(tx, 1, 41), tx.Exec("SELECT 1; SAVEPOINT a").Error, txAge(tx, 2, 42),
		tx.Exec("ROLLBACK TO SAVEPOINT a").Error)
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(2 * worldtest.HoldOut)
	w.Compare(t, "before the commit")
	w.Compare(t, "before the commit, second time")
	if err := tx.Commit().Error; err != nil {
		t.Fatal(err)
	}
	if changed := w.Compare(t, "after the commit"); changed == 0 {
		t.Errorf("nothing changed: the test tests nothing")
	}
}

// A savepoint set in the same text as a write, to which the transaction rolls back, hides the one
// of that name before it.
func TestTxSavepointInMultipleStatements(t *testing.T) {
	t.Parallel()
	w := writeSetup(t, dbtest.SQLite(t), nil)
	w.Warm(t)
	tx := w.DB.Begin()
	defer tx.Rollback()
	err := errors.Join(tx.Exec("SAVEPOINT a").Error, txAge(tx, 1, 41), tx.Exec("SAVEPOINT a; UPDATE write_tags SET name = 'gone'").Error,
		tx.Exec("ROLLBACK TO SAVEPOINT a").Error)
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Advance(2 * worldtest.HoldOut)
	w.Compare(t, "before the commit")
	if err := tx.Commit().Error; err != nil {
		t.Fatal(err)
	}
	if changed := w.Compare(t, "after the commit"); changed == 0 {
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
		plain := worldtest.MigrateWrites(t, d)
		worldtest.SeedWrites(t, plain)
		err := errors.Join(plain.Exec("CREATE TABLE write_viewers (id bigint primary key)").Error,
			plain.Exec("INSERT INTO write_viewers VALUES (1), (2)").Error,
			plain.Exec("CREATE VIEW write_views AS SELECT id, title FROM write_posts").Error)
		if err != nil {
			t.Fatal(err)
		}
		w := writeOpen(t, d, plain, nil)
		q := worldtest.Named{Name: "joined view", Query: func(db *gorm.DB) (any, *gorm.DB) {
			var viewers []writeViewer
			return &viewers, db.Joins("View").Order("write_viewers.id").Find(&viewers)
		}}
		for range 2 {
			q.Ask(w.DB)
		}
		if err := w.DB.Model(&worldtest.WritePost{ID: 1}).Update("title", "changed").Error; err != nil {
			t.Fatal(err)
		}
		worldtest.Equal(t, "after the write", q.Name, q.Ask(w.DB), q.Ask(plain))
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
	q := worldtest.Named{Name: "rows of " + quoted, Query: worldtest.List[T](worldtest.ByID)}
	writes := []func() error{
		func() error { return w.DB.Exec("UPDATE " + quoted + " SET name = 'raw'").Error },
		func() error { return w.DB.Model(new(T)).Where("id = 1").Update("name", "built").Error },
		func() error { return w.DB.Table(quoted).Where("id = 1").Update("name", "by table").Error },
		func() error {
			return w.DB.Transaction(func(tx *gorm.DB) error { return tx.Exec("DELETE FROM " + quoted).Error })
		},
	}
	for i, write := range writes {
		q.Ask(w.DB)
		before := d.Probe.Queries()
		if q.Ask(w.DB); d.Probe.Queries() != before {
			t.Errorf("%s is not kept: %v", quoted, w.Plugin.Stats().BypassReasons)
		}
		if err := write(); err != nil {
			if i == 2 { // a name that GORM quotes again
				continue
			}
			t.Fatal(quoted, i, err)
		}
		worldtest.Equal(t, fmt.Sprint("after write ", i), q.Name, q.Ask(w.DB), q.Ask(plain))
	}
}

// A model read from the table of another depends on that table.
func TestWriteOfTableReadAsAnotherModel(t *testing.T) {
	t.Parallel()
	writeEach(t, func(t *testing.T, w *worldtest.World) {
		_ = w.Plugin.Register(worldtest.WriteModels...)
		queries := []worldtest.Named{
			{Name: "tags as orgs", Query: func(db *gorm.DB) (any, *gorm.DB) {
				var orgs []worldtest.WriteOrg
				return &orgs, db.Table("write_tags").Order("id").Find(&orgs)
			}},
			{Name: "tags as orgs, with an alias", Query: func(db *gorm.DB) (any, *gorm.DB) {
				var orgs []worldtest.WriteOrg
				return &orgs, db.Table("write_tags AS t").Order("t.id").Find(&orgs)
			}},
			{Name: "orgs from a sub-query of tags", Query: func(db *gorm.DB) (any, *gorm.DB) {
				var orgs []worldtest.WriteOrg
				return &orgs, db.Table("(?) AS t", db.Session(&gorm.Session{NewDB: true}).Model(&worldtest.WriteTag{})).Order("t.id").Find(&orgs)
			}},
			{Name: "orgs that have a tag's name", Query: func(db *gorm.DB) (any, *gorm.DB) {
				var orgs []worldtest.WriteOrg
				return &orgs, db.Where("id < (SELECT MAX(LENGTH(name)) FROM write_tags)").Order("id").Find(&orgs)
			}},
		}
		for i := range 3 {
			for _, q := range queries {
				q.Ask(w.DB)
				q.Ask(w.DB)
			}
			if err := w.DB.Model(&worldtest.WriteTag{ID: 1}).Update("name", fmt.Sprint("a longer name of the tag "[:i*12], i)).Error; err != nil {
				t.Fatal(err)
			}
			for _, q := range queries {
				worldtest.Equal(t, fmt.Sprint("write ", i), q.Name, q.Ask(w.DB), q.Ask(w.Plain))
			}
		}
	})
}
