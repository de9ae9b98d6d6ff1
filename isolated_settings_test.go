package preload_test

import (
	"errors"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

type settingsBook struct {
	_     struct{} `preload:""`
	ID    uint
	Title string `gorm:"size:40"`
}

type settingsShelf struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:40"`
}

// settingsInside are, by dialect, statements that change nothing in a transaction, and leave it open.
var settingsInside = map[string][]string{
	"sqlite": {
		"PRAGMA busy_timeout = 5000", "PRAGMA cache_size = 200", "PRAGMA cache_spill = 1", "PRAGMA defer_foreign_keys = on", "PRAGMA foreign_keys = off",
		"CREATE TEMP TABLE IF NOT EXISTS scratch_rows (id integer)",
		"PRAGMA mmap_size = 0", "PRAGMA recursive_triggers = on", "PRAGMA threads = 1", "PRAGMA analysis_limit = 100", "PRAGMA automatic_index = on",
	},
	"postgres": {
		"SELECT set_config('app.user', 'x', true)", "SELECT set_config('app.user', 'x', false)", "SET application_name = 'shop'", "SET SESSION lock_timeout = 5000",
		"RESET lock_timeout", "SET CONSTRAINTS ALL DEFERRED", "LOCK TABLE settings_books IN ROW EXCLUSIVE MODE", "NOTIFY jobs, 'x'", "LISTEN jobs", "UNLISTEN *",
		"ANALYZE settings_books", "CREATE TEMPORARY TABLE IF NOT EXISTS scratch_rows (id int, name varchar(20)) ON COMMIT DROP",
	},
	"mysql": {
		"SET @v = 5", "SET @v := (SELECT max(id) FROM settings_books)", "SET SESSION lock_wait_timeout = 50", "SET foreign_key_checks = 1", "DO SLEEP(0)",
		"CREATE TEMPORARY TABLE IF NOT EXISTS scratch_rows (id int, name varchar(20))", "SET unique_checks = 1", "SET net_read_timeout = 30",
	},
}

// TestSettingsInATransactionLeaveItOpen: what the transaction wrote before and after them is visible by
// its commit only, and goes with its rollback; and answers of other rows stay in memory throughout.
func TestSettingsInATransactionLeaveItOpen(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&settingsBook{}))
		worldtest.Must(t, plain.Create(&[]settingsBook{{ID: 1, Title: "a"}, {ID: 2, Title: "b"}}).Error)
		w := worldtest.Open(t, d, plain, nil)
		title := func(db *gorm.DB, id int) string {
			var book settingsBook
			worldtest.Must(t, db.First(&book, id).Error)
			return book.Title
		}
		same := func(when string, want string) {
			t.Helper()
			for range 2 {
				if got := title(w.DB, 1); got != want {
					t.Fatalf("%s: %q, want %q", when, got, want)
				}
			}
			if n := w.Queries(func() { title(w.DB, 2) }); n != 0 {
				t.Errorf("%s: the answer of another row was lost", when)
			}
		}
		title(w.DB, 2)
		for _, statement := range settingsInside[d.Dialect] {
			for _, run := range []func(tx *gorm.DB) error{
				func(tx *gorm.DB) error { return tx.Exec(statement).Error },
				func(tx *gorm.DB) error {
					rows, err := tx.Raw(statement).Rows()
					if err != nil {
						return err
					}
					return errors.Join(rows.Close(), rows.Err())
				},
			} {
				before := title(plain, 1)
				for _, commits := range []bool{false, true} {
					tx := w.DB.Begin()
					write := func(title string) {
						worldtest.Must(t, tx.Model(&settingsBook{ID: 1}).Update("title", title).Error)
					}
					write(before + "x")
					worldtest.Must(t, run(tx))
					if d.Dialect != "sqlite" { // where a reader of another connection would wait
						if got := title(plain, 1); got != before {
							t.Fatalf("%s: %q is visible before the commit", statement, got)
						}
					}
					same(statement+", open", before)
					write(before + "y")
					if !commits {
						worldtest.Must(t, tx.Rollback().Error)
						same(statement+", rolled back", before)
						continue
					}
					worldtest.Must(t, tx.Commit().Error)
					same(statement+", committed", before+"y")
				}
				worldtest.Must(t, plain.Model(&settingsBook{ID: 1}).Update("title", "a").Error)
				worldtest.Must(t, w.Plugin.Invalidate(&settingsBook{}))
				title(w.DB, 2)
			}
		}
	})
}

// settingsStaying are, by dialect, what makes functions of the application's, and statements that
// change what nobody can tell, by the commit only.
var settingsStaying = map[string]struct{ functions, statements []string }{
	"postgres": {
		functions: []string{"CREATE FUNCTION retitle(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE settings_books SET title = 'f' || n WHERE id = 2; RETURN n; END $$"},
		statements: []string{
			"SELECT retitle(7)", "UPDATE settings_books SET title = 'u' || retitle(8) WHERE id = 3", "DELETE FROM settings_books WHERE id = retitle(9)",
			"INSERT INTO settings_books (id, title) VALUES (retitle(50), 'n')", "TRUNCATE settings_books", "TRUNCATE settings_books CASCADE",
		},
	},
	"mysql": {
		functions: []string{"CREATE FUNCTION retitle(n int) RETURNS int MODIFIES SQL DATA BEGIN UPDATE settings_books SET title = concat('f', n) WHERE id = 2; RETURN n; END",
			"CREATE FUNCTION same(n int) RETURNS int DETERMINISTIC RETURN n"},
		// A function must not change what the statement that calls it is about.
		statements: []string{
			"SELECT retitle(7)", "DO retitle(8)", "UPDATE settings_books SET title = concat('u', same(8)) WHERE id = 3", "DELETE FROM settings_books WHERE id = same(1)",
			"INSERT INTO settings_books (id, title) VALUES (same(50), 'n')", "REPLACE INTO settings_books (id, title) VALUES (same(2), 'r')",
		},
	},
}

// TestAFunctionOfTheApplicationsCountsAtTheCommit: what nobody knows of it is whatever it may have
// changed. Until the commit that is nothing, after a rollback neither.
func TestAFunctionOfTheApplicationsCountsAtTheCommit(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := d.Plain(t)
		worldtest.Must(t, plain.AutoMigrate(&settingsBook{}))
		for _, function := range settingsStaying[d.Dialect].functions {
			worldtest.Must(t, plain.Exec(function).Error)
		}
		w := worldtest.Open(t, d, plain, nil)
		titles := func(db *gorm.DB) (all string) {
			var books []settingsBook
			worldtest.Must(t, db.Order("id").Find(&books).Error)
			for _, book := range books {
				all += book.Title + ","
			}
			return all
		}
		for _, statement := range settingsStaying[d.Dialect].statements {
			worldtest.Must(t, plain.Exec("DELETE FROM settings_books").Error)
			worldtest.Must(t, plain.Create(&[]settingsBook{{ID: 1, Title: "a"}, {ID: 2, Title: "b"}, {ID: 3, Title: "c"}}).Error)
			worldtest.Must(t, w.Plugin.Invalidate())
			for _, commits := range []bool{false, true} {
				before := titles(w.DB)
				kept := func(when string) {
					t.Helper()
					var got string
					if n := w.Queries(func() { got = titles(w.DB) }); n != 0 || got != before {
						t.Errorf("%s, %s: %q by %d queries, want %q from memory", statement, when, got, n, before)
					}
				}
				tx := w.DB.Begin()
				worldtest.Must(t, tx.Exec(statement).Error)
				// TRUNCATE has everybody wait.
				if statement[0] != 'T' && titles(plain) != before {
					t.Fatalf("%s: it is visible before the commit", statement)
				}
				kept("open")
				if !commits {
					worldtest.Must(t, tx.Rollback().Error)
					kept("rolled back")
					continue
				}
				worldtest.Must(t, tx.Commit().Error)
				want := titles(plain)
				if want == before {
					t.Fatalf("%s changed nothing", statement)
				}
				for range 2 {
					if got := titles(w.DB); got != want {
						t.Errorf("%s, committed: %q, want %q", statement, got, want)
					}
				}
				before = want
				kept("after the commit") // nothing is held out
			}
		}
	})
}

// TestATruncateOfAPart: what is kept of the table that it is a part of goes.
func TestATruncateOfAPart(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	plain := d.Plain(t)
	for _, statement := range []string{
		"CREATE TABLE settings_books (id bigint, title varchar(40)) PARTITION BY RANGE (id)",
		"CREATE TABLE settings_first PARTITION OF settings_books FOR VALUES FROM (0) TO (10)",
		"CREATE TABLE settings_others PARTITION OF settings_books DEFAULT",
	} {
		worldtest.Must(t, plain.Exec(statement).Error)
	}
	w := worldtest.Open(t, d, plain, nil)
	count := func() (n int64) {
		worldtest.Must(t, w.DB.Model(&settingsBook{}).Count(&n).Error)
		return n
	}
	for _, statement := range []string{"TRUNCATE settings_first", "TRUNCATE settings_others, ONLY settings_first", "TRUNCATE settings_others; TRUNCATE settings_first"} {
		for _, within := range []bool{false, true} {
			worldtest.Must(t, w.DB.Create(&[]settingsBook{{ID: 1, Title: "a"}, {ID: 100, Title: "b"}}).Error)
			before := count()
			db := w.DB
			if within {
				db = w.DB.Begin()
			}
			worldtest.Must(t, db.Exec(statement).Error)
			if within {
				worldtest.Must(t, db.Commit().Error)
			}
			var want int64
			worldtest.Must(t, plain.Model(&settingsBook{}).Count(&want).Error)
			if n := count(); n != want || n == before {
				t.Errorf("%s, in a transaction %t: %d rows are found after it, want %d", statement, within, n, want)
			}
			worldtest.Must(t, w.DB.Exec("DELETE FROM settings_books").Error)
		}
	}
}

// TestATruncateIsOfItsTables: what is kept of others stays in memory, at once and after the commit.
func TestATruncateIsOfItsTables(t *testing.T) {
	t.Parallel()
	d := dbtest.Postgres(t)
	plain := d.Plain(t)
	worldtest.Must(t, plain.AutoMigrate(&settingsBook{}, &settingsShelf{}))
	w := worldtest.Open(t, d, plain, nil)
	count := func(model any) (n int64) {
		worldtest.Must(t, w.DB.Model(model).Count(&n).Error)
		return n
	}
	for _, statement := range []string{"TRUNCATE settings_books", `TRUNCATE TABLE ONLY "settings_books" RESTART IDENTITY`} {
		for _, within := range []bool{false, true} {
			worldtest.Must(t, w.DB.Create(&settingsBook{ID: 1, Title: "a"}).Error)
			if n := count(&settingsBook{}) + count(&settingsShelf{}); n != 1 {
				t.Fatalf("%d rows are found before, want 1", n)
			}
			db := w.DB
			if within {
				db = w.DB.Begin()
			}
			worldtest.Must(t, db.Exec(statement).Error)
			if within {
				worldtest.Must(t, db.Commit().Error)
			}
			if n := count(&settingsBook{}); n != 0 {
				t.Errorf("%s, in a transaction %t: %d rows are found after it", statement, within, n)
			}
			if n := w.Queries(func() { count(&settingsShelf{}) }); n != 0 {
				t.Errorf("%s, in a transaction %t: the answer of another table is gone", statement, within)
			}
		}
	}
}
