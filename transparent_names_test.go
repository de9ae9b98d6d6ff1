package preload_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
)

// namesWorld is a database with these things in it, of which no model tells.
func namesWorld(t *testing.T, d *dbtest.Database, made ...string) *worldtest.World {
	t.Helper()
	b := &worldtest.World{Database: d, DB: d.Open(t), Plain: d.Plain(t), Plugin: preload.New(preload.WithDefaultPolicy(preload.Policy{}))}
	for _, sql := range made {
		worldtest.Must(t, b.Plain.Exec(sql).Error)
	}
	worldtest.Must(t, b.DB.Use(b.Plugin))
	t.Cleanup(func() { _ = b.Plugin.Close() })
	return b
}

type nameRow struct {
	ID   int
	Name string
}

// namesRead reads what is behind a name, and compares it with what plain GORM reads. It returns
// whether memory answered.
func namesRead(t *testing.T, b *worldtest.World, name string) (served bool) {
	t.Helper()
	var got, want []nameRow
	before := b.Plugin.Stats().Hits
	worldtest.Must(t, b.DB.Table(name).Order("id").Find(&got).Error)
	worldtest.Must(t, b.Plain.Table(name).Order("id").Find(&want).Error)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: %v, want %v", name, got, want)
	}
	return b.Plugin.Stats().Hits > before
}

// namesAsked reads until the database was asked about the name so many times, and has answered: a
// read has it asked where there is room for that.
func namesAsked(t *testing.T, b *worldtest.World, times int) {
	t.Helper()
	seenEventually(t, "the database is asked about the name", func() bool {
		_ = b.DB.Table("name_histories").Order("id").Find(&[]nameRow{})
		n := 0
		for _, sql := range b.Probe.Log() {
			if strings.Contains(sql, "NOT EXISTS") {
				n++
			}
		}
		return n >= times && b.Plugin.Stats().ActiveTasks == 0
	})
}

const namesTable = "CREATE TABLE name_histories (id int PRIMARY KEY, name varchar(20))"

// TestNamesOfOrdinaryTablesAreServed: a table of no model is, once the database has said that it is
// one, and no longer when it may have become another thing.
func TestNamesOfOrdinaryTablesAreServed(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := namesWorld(t, d, namesTable, "INSERT INTO name_histories VALUES (1, 'a'), (2, 'b')",
			"CREATE TABLE name_others (id int PRIMARY KEY, name varchar(20))", "INSERT INTO name_others VALUES (1, 'x')")
		if namesRead(t, b, "name_histories") {
			t.Fatal("it was served before anybody knew what it is")
		}
		namesAsked(t, b, 1)
		asked := time.Now()
		seenEventually(t, "it is served", func() bool {
			if namesRead(t, b, "name_histories") {
				return true
			}
			// On a machine that is too busy the question may have failed, and is asked anew after a
			// minute, or once names may have become others.
			if time.Since(asked) > 5*time.Second {
				asked = time.Now()
				worldtest.Must(t, b.Plugin.Invalidate())
			}
			return false
		})
		for _, write := range []func(db *gorm.DB) error{
			func(db *gorm.DB) error {
				return db.Table("name_histories").Where("id = ?", 1).Update("name", "c").Error
			},
			func(db *gorm.DB) error {
				return db.Table("name_histories").Create(map[string]any{"id": 3, "name": "d"}).Error
			},
			func(db *gorm.DB) error { return db.Exec("DELETE FROM name_histories WHERE id = 2").Error },
			func(db *gorm.DB) error {
				return db.Exec("INSERT INTO name_histories SELECT id + 10, name FROM name_others").Error
			},
		} {
			worldtest.Must(t, write(b.DB))
			namesRead(t, b, "name_histories") // by the database, or by memory once it was loaded again
			if !namesRead(t, b, "name_histories") {
				t.Fatal("memory did not answer what was read again")
			}
		}

		// Without the second question the answer of the view would stay what it was when the table
		// behind it is written.
		worldtest.Must(t, b.DB.Exec("DROP TABLE name_histories").Error)
		worldtest.Must(t, b.DB.Exec("CREATE VIEW name_histories AS SELECT id, name FROM name_others").Error)
		namesRead(t, b, "name_histories")
		namesAsked(t, b, 2)
		for i := range 3 {
			worldtest.Must(t, b.DB.Exec(fmt.Sprintf("UPDATE name_others SET name = 'y%d'", i)).Error)
			if namesRead(t, b, "name_histories") {
				t.Fatal("a view was served")
			}
		}
	})
}

// TestNamesOfOtherThingsAreNotServed: what else there is behind a name changes with statements that
// do not name it.
func TestNamesOfOtherThingsAreNotServed(t *testing.T) {
	t.Parallel()
	const (
		users   = "CREATE TABLE name_users (id int PRIMARY KEY, name varchar(20))"
		user    = "INSERT INTO name_users VALUES (1, 'a')"
		history = "INSERT INTO name_histories SELECT id, name FROM name_users"
	)
	for _, c := range []struct {
		name, dialect string
		made          []string
		change        string // of what is behind the name, which names another table only
	}{
		{"a view", "", []string{users, user, "CREATE VIEW name_histories AS SELECT id, name FROM name_users"}, "UPDATE name_users SET name = 'b'"},
		{"a foreign key that cascades", "", []string{users, user,
			"CREATE TABLE name_histories (id int, name varchar(20), FOREIGN KEY (id) REFERENCES name_users (id) ON DELETE CASCADE)", history},
			"DELETE FROM name_users WHERE id = 1"},
		{"a foreign key that sets NULL", "", []string{users, user,
			"CREATE TABLE name_histories (id int, name varchar(20), FOREIGN KEY (id) REFERENCES name_users (id) ON DELETE SET NULL)", history,
			"UPDATE name_histories SET name = 'kept'"},
			""},
		{"a trigger", "sqlite", []string{users, user, namesTable, history,
			"CREATE TRIGGER name_t AFTER UPDATE ON name_users BEGIN UPDATE name_histories SET name = new.name; END"}, "UPDATE name_users SET name = 'b'"},
		{"a trigger", "mysql", []string{users, user, namesTable, history,
			"CREATE TRIGGER name_t AFTER UPDATE ON name_users FOR EACH ROW UPDATE name_histories SET name = new.name"}, "UPDATE name_users SET name = 'b'"},
		{"a trigger", "postgres", []string{users, user, namesTable, history,
			"CREATE FUNCTION name_f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'UPDATE name_' || 'histories SET name = $1' USING NEW.name; RETURN NEW; END $$",
			"CREATE TRIGGER name_t AFTER UPDATE ON name_users FOR EACH ROW EXECUTE FUNCTION name_f()"}, "UPDATE name_users SET name = 'b'"},
		{"a rule", "postgres", []string{users, user, namesTable, history,
			"CREATE RULE name_r AS ON UPDATE TO name_users DO ALSO UPDATE name_histories SET name = NEW.name"}, "UPDATE name_users SET name = 'b'"},
		{"a table that is inherited", "postgres", []string{namesTable, "CREATE TABLE name_users () INHERITS (name_histories)", user}, "UPDATE name_users SET name = 'b'"},
		{"a partition", "postgres", []string{"CREATE TABLE name_users (id int, name varchar(20)) PARTITION BY LIST (id)",
			"CREATE TABLE name_histories PARTITION OF name_users FOR VALUES IN (1)", user}, "UPDATE name_users SET name = 'b'"},
		{"a table of partitions", "postgres", []string{"CREATE TABLE name_histories (id int, name varchar(20)) PARTITION BY LIST (id)",
			"CREATE TABLE name_users PARTITION OF name_histories FOR VALUES IN (1)", user}, "UPDATE name_users SET name = 'b'"},
		{"row security", "postgres", []string{namesTable, "ALTER TABLE name_histories ENABLE ROW LEVEL SECURITY"}, ""},
		{"a shadow of a virtual table", "sqlite", []string{"CREATE VIRTUAL TABLE name_users USING rtree(id, a, b)", namesTable}, ""},
		{"a table of the database's own", "sqlite", nil, "INSERT INTO name_numbers (name) VALUES ('b')"},
		{"nothing", "", []string{users}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
				if c.dialect != "" && c.dialect != d.Dialect {
					t.Skip("not of this database")
				}
				if c.made == nil {
					namesSystem(t, d, c.change)
					return
				}
				b := namesWorld(t, d, c.made...)
				if c.name == "nothing" {
					namesAsked(t, b, 1)
					worldtest.Must(t, b.Plain.Exec(namesTable).Error) // by somebody else
				}
				namesRead(t, b, "name_histories")
				namesAsked(t, b, 1)
				for range 2 {
					if namesRead(t, b, "name_histories") {
						t.Fatal("it is served")
					}
				}
				if c.change != "" {
					worldtest.Must(t, b.DB.Exec(c.change).Error)
					namesRead(t, b, "name_histories")
				}
			})
		})
	}
}

// namesSystem reads a table that SQLite writes by itself.
func namesSystem(t *testing.T, d *dbtest.Database, change string) {
	t.Helper()
	b := namesWorld(t, d, "CREATE TABLE name_numbers (id INTEGER PRIMARY KEY AUTOINCREMENT, name text)", "INSERT INTO name_numbers (name) VALUES ('a')")
	read := func() (seq int) {
		worldtest.Must(t, b.DB.Table("sqlite_sequence").Where("name = ?", "name_numbers").Pluck("seq", &seq).Error)
		return seq
	}
	seenEventually(t, "the database is asked about the name", func() bool {
		read()
		return b.Probe.Queries() > 0 && strings.Contains(strings.Join(b.Probe.Log(), ";"), "NOT EXISTS") && b.Plugin.Stats().ActiveTasks == 0
	})
	read()
	worldtest.Must(t, b.DB.Exec(change).Error)
	if seq := read(); seq != 2 {
		t.Errorf("it is %d, want 2", seq)
	}
}

// TestNamesAreForgottenWithAllElse: where changes may have been missed, a name may be that of
// another thing.
func TestNamesAreForgottenWithAllElse(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := namesWorld(t, d, namesTable, "CREATE TABLE name_others (id int PRIMARY KEY, name varchar(20))", "INSERT INTO name_others VALUES (1, 'x')")
		namesRead(t, b, "name_histories")
		namesAsked(t, b, 1)
		worldtest.Must(t, b.Plain.Exec("DROP TABLE name_histories").Error)
		worldtest.Must(t, b.Plain.Exec("CREATE VIEW name_histories AS SELECT id, name FROM name_others").Error)
		worldtest.Must(t, b.Plugin.Invalidate())
		namesRead(t, b, "name_histories")
		for i := range 3 {
			worldtest.Must(t, b.DB.Exec(fmt.Sprintf("UPDATE name_others SET name = 'y%d'", i)).Error)
			if namesRead(t, b, "name_histories") {
				t.Fatal("a view was served")
			}
		}
	})
}

// TestNamesBehindTemporaryTablesAreNotServed: one connection then finds another table than others.
func TestNamesBehindTemporaryTablesAreNotServed(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		b := namesWorld(t, d, namesTable)
		namesRead(t, b, "name_histories")
		namesAsked(t, b, 1)
		namesRead(t, b, "name_histories")
		if !namesRead(t, b, "name_histories") {
			t.Fatal("it is not served")
		}
		worldtest.Must(t, b.DB.Transaction(func(tx *gorm.DB) error {
			if err := tx.Exec("CREATE TEMPORARY TABLE name_histories (id int, name varchar(20))").Error; err != nil {
				return err
			}
			return tx.Exec("INSERT INTO name_histories VALUES (7, 'temporary')").Error
		}))
		before := b.Plugin.Stats().Hits
		for range 3 {
			worldtest.Must(t, b.DB.Table("name_histories").Find(&[]nameRow{}).Error)
		}
		if hits := b.Plugin.Stats().Hits - before; hits > 0 {
			t.Errorf("%d reads were served while connections differ", hits)
		}
	})
}

// TestANameThatBecomesAViewMeanwhile: between a query that qualifies and the lease of its answer
// the table is dropped, and a view takes its name: of the answer nothing is kept.
func TestANameThatBecomesAViewMeanwhile(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		var meanwhile func()
		b := &worldtest.World{Database: d, DB: d.Open(t), Plain: d.Plain(t)}
		b.Plugin = preload.New(preload.WithDefaultPolicy(preload.Policy{}), preload.WithPartition(func(context.Context) string {
			if do := meanwhile; do != nil {
				meanwhile = nil
				do()
			}
			return ""
		}))
		for _, sql := range []string{namesTable, "CREATE TABLE name_others (id int PRIMARY KEY, name varchar(20))", "INSERT INTO name_others VALUES (1, 'x')"} {
			worldtest.Must(t, b.Plain.Exec(sql).Error)
		}
		worldtest.Must(t, b.DB.Use(b.Plugin))
		t.Cleanup(func() { _ = b.Plugin.Close() })
		namesRead(t, b, "name_histories")
		namesAsked(t, b, 1)
		meanwhile = func() {
			worldtest.Must(t, b.DB.Exec("DROP TABLE name_histories").Error)
			worldtest.Must(t, b.DB.Exec("CREATE VIEW name_histories AS SELECT id, name FROM name_others").Error)
		}
		namesRead(t, b, "name_histories")
		if meanwhile != nil {
			t.Fatal("the query did not qualify")
		}
		if n := b.Plugin.Stats().Entries; n > 0 {
			t.Errorf("%d answers were kept of what is a view by now", n)
		}
		worldtest.Must(t, b.DB.Exec("UPDATE name_others SET name = 'y'").Error)
		namesRead(t, b, "name_histories")
	})
}
