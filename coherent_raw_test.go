package preload_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
)

// writeExec is a form that is one statement given to Exec.
func writeExec(only, sql string, args ...any) writeForm {
	return writeForm{name: sql, only: only, do: func(w *writeWorld) error { return w.db.Exec(sql, args...).Error }}
}

func TestWriteExec(t *testing.T) {
	t.Parallel()
	writeCheck(t, []writeForm{
		writeExec("", "INSERT INTO write_users (name, age) VALUES ('eve', 41)"),
		writeExec("", "insert into write_users (name, age) select 'eve', age + 1 from write_users where id = 4"),
		writeExec("", "UPDATE write_users SET age = ? WHERE id = ?", 41, 1),
		writeExec("", "update\n\twrite_users\n\tset age=41"),
		writeExec("sqlite", "UPDATE WRITE_USERS SET AGE = 41"),
		writeExec("postgres", "UPDATE Write_Users SET AGE = 41"),
		writeExec("mysql", "UPDATE `write_users` SET `age` = 41"),
		writeExec("sqlite", "UPDATE `write_users` SET `age` = 41"),
		writeExec("sqlite", "UPDATE [write_users] SET [age] = 41"),
		writeExec("sqlite postgres", `UPDATE "write_users" SET "age" = 41`),
		writeExec("sqlite", `UPDATE main."write_users" SET age = 41`),
		writeExec("postgres", `UPDATE ONLY write_users SET age = 41`),
		writeExec("postgres", `UPDATE write_users AS u SET age = 41 WHERE u.id = 1`),
		writeExec("postgres", `UPDATE write_users* SET age = 41`),
		writeExec("sqlite", `UPDATE OR IGNORE write_users SET age = 41`),
		writeExec("mysql", `UPDATE LOW_PRIORITY IGNORE write_users SET age = 41`),
		writeExec("", "-- a comment\nUPDATE write_users SET age = 41"),
		writeExec("", "/* SELECT */ UPDATE write_users SET age = 41"),
		writeExec("mysql", "# a comment\nUPDATE write_users SET age = 41"),
		writeExec("mysql", "/*! UPDATE write_users SET age = 41 */"),
		writeExec("mysql", "/*!50000 UPDATE*/ write_users SET age = 41"),
		writeExec("mysql", "UPDATE /*!50000 write_users */ SET age = 41"),
		writeExec("mysql", "/*M! UPDATE write_users SET age = 41 */"),
		writeExec("sqlite", ";UPDATE write_users SET age = 41"),
		writeExec("sqlite", "SELECT 1; UPDATE write_users SET age = 41"),
		writeExec("postgres", "SELECT 1; UPDATE write_users SET age = 41"),
		writeExec("sqlite postgres", "UPDATE write_docs SET version = 7; UPDATE write_users SET age = 41"),
		writeExec("", "DELETE FROM write_comments WHERE id = 1"),
		writeExec("", "delete from write_comments"),
		writeExec("postgres", "DELETE FROM write_comments USING write_posts p WHERE p.id = post_id AND p.title = 'p1'"),
		writeExec("mysql", "DELETE c FROM write_comments c JOIN write_posts p ON p.id = c.post_id WHERE p.title = 'p1'"),
		writeExec("mysql", "DELETE c, n FROM write_comments c, write_notes n WHERE c.id = 1 AND n.id = 1"),
		writeExec("mysql", "DELETE FROM c USING write_comments AS c WHERE c.id = 1"),
		writeExec("mysql", "UPDATE write_users u JOIN write_orgs o ON o.id = u.org_id SET u.age = 41, o.name = 'changed' WHERE o.id = 1"),
		writeExec("sqlite mysql", "REPLACE INTO write_tags (id, name) VALUES (1, 'replaced')"),
		writeExec("sqlite", "INSERT OR REPLACE INTO write_tags (id, name) VALUES (1, 'replaced')"),
		writeExec("mysql", "INSERT INTO write_users SET name = 'eve', age = 41"),
		writeExec("mysql", "INSERT write_users (name, age) VALUES ('eve', 41)"),
		writeExec("mysql", "INSERT INTO write_users (id, name) VALUES (1, 'eve') ON DUPLICATE KEY UPDATE name = 'eve'"),
		writeExec("sqlite postgres", "INSERT INTO write_users (id, name) VALUES (1, 'eve') ON CONFLICT (id) DO UPDATE SET name = excluded.name"),
		writeExec("sqlite", "WITH x AS (SELECT 1 AS id) UPDATE write_users SET age = 41 WHERE id IN (SELECT id FROM x)"),
		writeExec("postgres", "WITH x AS (SELECT 1 AS id) UPDATE write_users SET age = 41 FROM x WHERE write_users.id = x.id"),
		writeExec("postgres", "WITH x AS (UPDATE write_users SET age = 41 RETURNING id) SELECT count(*) FROM x"),
		writeExec("postgres", "WITH gone AS (DELETE FROM write_comments RETURNING *) INSERT INTO write_notes (text, owner_id, owner_type) SELECT body, 1, 'write_users' FROM gone"),
		writeExec("sqlite", "WITH x(id) AS (VALUES (1)) DELETE FROM write_comments WHERE id IN x"),
		writeExec("sqlite postgres", "UPDATE write_users SET age = o.id + 100 FROM write_orgs o WHERE o.id = write_users.org_id"),
		writeExec("postgres", "MERGE INTO write_tags t USING write_posts p ON t.id = p.id WHEN MATCHED THEN UPDATE SET name = p.title"),
		writeExec("postgres", "TRUNCATE write_comments"),
		writeExec("postgres", "TRUNCATE TABLE write_posts CASCADE"),
		writeExec("mysql", "TRUNCATE TABLE write_comments"),
		writeExec("mysql", "TRUNCATE write_notes"),
		writeExec("postgres", "DO $$ BEGIN UPDATE write_users SET age = 41; END $$"),
		writeExec("postgres", "DO $$ BEGIN EXECUTE 'UPDATE write_' || 'users SET age = 41'; END $$"),
		writeExec("mysql", "BEGIN NOT ATOMIC UPDATE write_users SET age = 41; END"),
		writeExec("mysql", "EXECUTE IMMEDIATE CONCAT('UPDATE write_', 'users SET age = 41')"),
		writeExec("mysql", "SET STATEMENT max_statement_time = 10 FOR UPDATE write_users SET age = 41"),
		writeExec("postgres", "EXPLAIN ANALYZE UPDATE write_users SET age = 41"),
		writeExec("mysql", "ANALYZE UPDATE write_users SET age = 41"),
		writeExec("postgres", "COPY write_tags (id, name) FROM PROGRAM 'printf \"91\\tcopied\\n\"'"),
		writeExec("postgres", `UPDATE U&"write\005Fusers" SET age = 41`),
		writeExec("mysql", "UPDATE write_users SET name = 'it''s \\' -- not', age = 41 WHERE name = 'ann'"),
		writeExec("postgres", "UPDATE write_docs SET title = $t$ -- ' $t$ ; UPDATE write_users SET age = 41"),
		{name: "named arguments", do: func(w *writeWorld) error {
			return w.db.Exec("UPDATE write_users SET age = @age WHERE name = @name", map[string]any{"age": 41, "name": "ann"}).Error
		}},
		{name: "the table in an argument", do: func(w *writeWorld) error {
			return w.db.Exec("UPDATE ? SET age = 41", gorm.Expr("write_users")).Error
		}},
		{name: "a sub-query in an argument", do: func(w *writeWorld) error {
			return w.db.Exec("UPDATE write_users SET age = 41 WHERE org_id IN (?)", w.db.Model(&writeOrg{}).Select("id").Where("name = ?", "one")).Error
		}},
		{name: "generics Exec", do: func(w *writeWorld) error {
			return gorm.G[writeUser](w.db).Exec(context.Background(), "UPDATE write_users SET age = 41")
		}},
		{name: "no row", noop: true, do: func(w *writeWorld) error { return w.db.Exec("UPDATE write_users SET age = 41 WHERE id = 4711").Error }},
		{name: "error", noop: true, fails: true, hold: true, do: func(w *writeWorld) error { return w.db.Exec("UPDATE write_users SET no_such = 41").Error }},
		{name: "half of two statements", only: "sqlite", fails: true, hold: true, do: func(w *writeWorld) error {
			return w.db.Exec("UPDATE write_users SET age = 41; UPDATE write_users SET no_such = 41").Error
		}},
		{name: "prepared", config: &gorm.Config{PrepareStmt: true}, do: func(w *writeWorld) error {
			return w.db.Exec("UPDATE write_users SET age = 41").Error
		}},
		{name: "prepared per session", do: func(w *writeWorld) error {
			return w.db.Session(&gorm.Session{PrepareStmt: true}).Exec("UPDATE write_users SET age = 41").Error
		}},
		{name: "prepared per session, in a transaction", do: func(w *writeWorld) error {
			return w.db.Session(&gorm.Session{PrepareStmt: true}).Transaction(func(tx *gorm.DB) error { return tx.Exec("UPDATE write_users SET age = 41").Error })
		}},
	})
}

func TestWriteRaw(t *testing.T) {
	t.Parallel()
	const returning = "UPDATE write_users SET age = age + 31 WHERE name = 'ann' RETURNING id, name, age"
	const insert = "INSERT INTO write_users (name, age) VALUES ('eve', 41) RETURNING *"
	rows := func(db *gorm.DB, sql string) error {
		rows, err := db.Raw(sql).Rows()
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		return errors.Join(rows.Err(), rows.Close())
	}
	writeCheck(t, []writeForm{
		{name: "Scan", only: "sqlite postgres", hold: true, do: func(w *writeWorld) error {
			var users []writeUser
			return w.db.Raw(returning).Scan(&users).Error
		}},
		{name: "Scan a number", only: "sqlite postgres", hold: true, do: func(w *writeWorld) error {
			var id int
			return w.db.Raw("DELETE FROM write_comments WHERE id = 1 RETURNING id").Scan(&id).Error
		}},
		{name: "Find", only: "sqlite postgres", do: func(w *writeWorld) error {
			var users []writeUser
			return w.db.Raw(returning).Find(&users).Error
		}},
		{name: "First", only: "sqlite postgres", do: func(w *writeWorld) error {
			var user writeUser
			return w.db.Raw(returning).First(&user).Error
		}},
		{name: "insert by Find", do: func(w *writeWorld) error {
			var users []writeUser
			return w.db.Raw(insert).Find(&users).Error
		}},
		{name: "insert by Take on a map", do: func(w *writeWorld) error {
			user := map[string]any{}
			return w.db.Model(&writeUser{}).Raw(insert).Take(&user).Error
		}},
		{name: "Rows", hold: true, only: "sqlite postgres", do: func(w *writeWorld) error { return rows(w.db, returning) }},
		{name: "insert by Rows", hold: true, do: func(w *writeWorld) error { return rows(w.db, insert) }},
		{name: "Row", hold: true, do: func(w *writeWorld) error {
			var id int
			return w.db.Raw("INSERT INTO write_users (name, age) VALUES ('eve', 41) RETURNING id").Row().Scan(&id)
		}},
		{name: "Rows in a transaction", do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error { return rows(tx, insert) })
		}},
		{name: "comment first", only: "sqlite postgres", hold: true, do: func(w *writeWorld) error {
			var users []writeUser
			return w.db.Raw("/* SELECT */ -- SELECT\n" + returning).Scan(&users).Error
		}},
		{name: "WITH", only: "postgres", hold: true, do: func(w *writeWorld) error {
			var users []writeUser
			return w.db.Raw("WITH x AS (" + returning + ") SELECT * FROM x").Scan(&users).Error
		}},
		{name: "parentheses", only: "postgres", do: func(w *writeWorld) error {
			var ids []int
			return w.db.Raw("(WITH x AS (SELECT 1) SELECT id FROM write_users ORDER BY id LIMIT 1)").Scan(&ids).Error
		}, noop: true, survives: true},
		{name: "TABLE", only: "postgres", noop: true, survives: true, do: func(w *writeWorld) error {
			var rows []map[string]any
			return w.db.Raw("TABLE write_users").Scan(&rows).Error
		}},
		{name: "a read", noop: true, survives: true, do: func(w *writeWorld) error {
			var rows []map[string]any
			return w.db.Raw("SELECT * FROM write_users WHERE name <> 'UPDATE write_users SET age = 1'").Scan(&rows).Error
		}},
		{name: "SELECT INTO", only: "postgres", hold: true, do: func(w *writeWorld) error {
			// A statement that makes a table clears everything, and changes no answer.
			defer w.plain.Exec("DROP TABLE write_made")
			if err := w.db.Raw("SELECT * INTO write_made FROM write_users").Scan(&[]map[string]any{}).Error; err != nil {
				return err
			}
			return nil
		}, noop: true},
		{name: "in a session that has a model", only: "sqlite postgres", do: func(w *writeWorld) error {
			var rows []map[string]any
			return w.db.Model(&writeTag{}).Raw(returning).Find(&rows).Error
		}},
		{name: "sub-query that writes", only: "postgres", hold: true, do: func(w *writeWorld) error {
			if err := w.plain.Exec("CREATE OR REPLACE FUNCTION write_bump(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE write_users SET age = n; RETURN n; END $$").Error; err != nil {
				return err
			}
			var n int
			return w.db.Raw("SELECT write_bump(41)").Scan(&n).Error
		}},
		{name: "writing function by Exec", only: "postgres", do: func(w *writeWorld) error { return w.db.Exec("SELECT write_bump(42)").Error }},
		{name: "procedure", only: "postgres mysql", do: func(w *writeWorld) error {
			if w.d.Dialect == "postgres" {
				if err := w.plain.Exec("CREATE OR REPLACE PROCEDURE write_proc() LANGUAGE sql AS $$ UPDATE write_users SET age = 41 $$").Error; err != nil {
					return err
				}
			} else if err := w.plain.Exec("CREATE PROCEDURE write_proc() UPDATE write_users SET age = 41").Error; err != nil {
				return err
			}
			return w.db.Exec("CALL write_proc()").Error
		}},
		{name: "procedure by Raw", only: "postgres mysql", hold: true, do: func(w *writeWorld) error {
			rows, err := w.db.Raw("CALL write_proc()").Rows()
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			return rows.Close()
		}},
		{name: "writing function of MariaDB", only: "mysql", hold: true, do: func(w *writeWorld) error {
			if err := w.plain.Exec("CREATE FUNCTION write_bump(n int) RETURNS int MODIFIES SQL DATA BEGIN UPDATE write_users SET age = n; RETURN n; END").Error; err != nil {
				return err
			}
			var n int
			return w.db.Raw("SELECT write_bump(41)").Scan(&n).Error
		}},
		{name: "locking read", noop: true, do: func(w *writeWorld) error {
			if w.d.Dialect == "sqlite" {
				return nil
			}
			return w.db.Raw("SELECT id FROM write_users FOR UPDATE").Scan(&[]int{}).Error
		}},
	})
}

// Each operation of a migrator, and each DDL statement, starts from a database of its own.
func TestWriteSchema(t *testing.T) {
	t.Parallel()
	type writeTagMore struct {
		ID    uint
		Name  string `gorm:"size:100"`
		Shade string `gorm:"size:100;default:dark"`
	}
	for _, form := range []writeForm{
		{name: "AddColumn", do: func(w *writeWorld) error {
			return w.db.Table("write_tags").Migrator().AddColumn(&writeTagMore{}, "Shade")
		}},
		{name: "AutoMigrate", do: func(w *writeWorld) error { return w.db.Table("write_tags").AutoMigrate(&writeTagMore{}) }},
		{name: "DropColumn", do: func(w *writeWorld) error { return w.db.Migrator().DropColumn(&writeNote{}, "text") }},
		{name: "RenameColumn", do: func(w *writeWorld) error { return w.db.Migrator().RenameColumn(&writeNote{}, "text", "words") }},
		{name: "DropTable", do: func(w *writeWorld) error { return w.db.Migrator().DropTable(&writeComment{}) }},
		{name: "RenameTable", do: func(w *writeWorld) error { return w.db.Migrator().RenameTable("write_notes", "write_words") }},
		{name: "DROP TABLE", do: func(w *writeWorld) error { return w.db.Exec("DROP TABLE write_comments").Error }},
		{name: "ALTER TABLE", do: func(w *writeWorld) error {
			return w.db.Exec("ALTER TABLE write_tags ADD COLUMN more int DEFAULT 3").Error
		}},
		{name: "swap of tables", do: func(w *writeWorld) error {
			return errors.Join(w.db.Exec("CREATE TABLE write_other AS SELECT id, 'swapped' AS name FROM write_tags").Error,
				w.db.Exec("ALTER TABLE write_tags RENAME TO write_gone").Error,
				w.db.Exec("ALTER TABLE write_other RENAME TO write_tags").Error)
		}},
		{name: "swap of tables in a transaction", do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Exec("CREATE TABLE write_other AS SELECT id, 'swapped' AS name FROM write_tags").Error,
					tx.Exec("ALTER TABLE write_tags RENAME TO write_gone").Error,
					tx.Exec("ALTER TABLE write_other RENAME TO write_tags").Error)
			})
		}},
		{name: "migrator in a transaction", do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error { return tx.Migrator().DropTable(&writeComment{}) })
		}},
		{name: "DDL in a transaction that rolls back", noop: true, do: func(w *writeWorld) error {
			err := w.db.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Exec("CREATE TABLE write_other (id int)").Error, errWriteHook)
			})
			if !errors.Is(err, errWriteHook) {
				return err
			}
			return nil
		}},
		{name: "implicit commit by DDL, then rollback", only: "mysql", hold: true, do: func(w *writeWorld) error {
			tx := w.db.Begin()
			if err := errors.Join(tx.Error, tx.Model(&writeUser{ID: 1}).Update("age", 41).Error,
				tx.Exec("CREATE TABLE write_other (id int)").Error); err != nil {
				return err
			}
			// The database has committed the update by now.
			w.equal(w.t, "after the implicit commit")
			return tx.Rollback().Error
		}},
		{name: "implicit commit, another write, then rollback", only: "mysql", hold: true, do: func(w *writeWorld) error {
			tx := w.db.Begin()
			if err := errors.Join(tx.Error, tx.Exec("CREATE TABLE write_other (id int)").Error,
				tx.Model(&writeUser{ID: 1}).Update("age", 41).Error); err != nil {
				return err
			}
			// DDL has ended the transaction: the update has committed by itself.
			w.equal(w.t, "after the write behind the implicit commit")
			return tx.Rollback().Error
		}},
		{name: "implicit commit by LOCK TABLES", only: "mysql", hold: true, do: func(w *writeWorld) error {
			tx := w.db.Begin()
			err := errors.Join(tx.Error, tx.Model(&writeUser{ID: 1}).Update("age", 41).Error,
				tx.Exec("LOCK TABLES write_tags READ").Error, tx.Exec("UNLOCK TABLES").Error)
			w.equal(w.t, "after the implicit commit")
			return errors.Join(err, tx.Rollback().Error)
		}},
		{name: "implicit commit by SET autocommit", only: "mysql", hold: true, do: func(w *writeWorld) error {
			tx := w.db.Begin()
			err := errors.Join(tx.Error, tx.Exec("SET autocommit = 0").Error, tx.Model(&writeUser{ID: 1}).Update("age", 41).Error,
				tx.Exec("SET autocommit = 1").Error)
			w.equal(w.t, "after the implicit commit")
			return errors.Join(err, tx.Rollback().Error)
		}},
		{name: "implicit commit by START TRANSACTION", only: "mysql", hold: true, do: func(w *writeWorld) error {
			tx := w.db.Begin()
			err := errors.Join(tx.Error, tx.Model(&writeUser{ID: 1}).Update("age", 41).Error, tx.Exec("START TRANSACTION").Error)
			w.equal(w.t, "after the implicit commit")
			return errors.Join(err, tx.Rollback().Error)
		}},
	} {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			writeCheckIn(t, form)
		})
	}
}

// writeCheckIn is writeCheck for one form that changes the schema: afterwards queries may fail, but
// all in the same way.
func writeCheckIn(t *testing.T, form writeForm) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		if form.only != "" && !writeHas(form.only, d.Dialect) {
			t.Skipf("not for %s", d.Dialect)
		}
		w := writeSetup(t, d, nil)
		w.warm(t)
		if err := form.do(w); (err != nil) != form.fails {
			t.Fatalf("error %v, want one: %v", err, form.fails)
		}
		changed := w.equal(t, "after the write")
		w.equal(t, "after the write, second time")
		w.clock.Advance(2 * writeHoldOut)
		w.equal(t, "after the hold-out")
		w.equal(t, "after the hold-out, second time")
		if (changed == 0) != form.noop {
			t.Errorf("%d answers changed", changed)
		}
		before := d.Probe.Queries()
		w.equal(t, "again")
		if n := d.Probe.Queries() - before; n > int64(len(writeQueries)/2) {
			t.Errorf("%d queries: the cache is of no use any more", n)
		}
	})
}

// What triggers write and views read counts where Depends names it.
func TestWriteDepends(t *testing.T) {
	t.Parallel()
	type writeTrail struct {
		_    struct{} `preload:"depends:write_posts"`
		ID   uint
		Text string `gorm:"size:100"`
	}
	type writePopular struct {
		_     struct{} `preload:"depends:write_posts, Write_Users"`
		ID    uint
		Title string
		Name  string
	}
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := writeMigrate(t, d)
		writeSeed(t, plain)
		var ddl []string
		ddl = append(ddl, "CREATE VIEW write_populars AS SELECT p.id, p.title, u.name FROM write_posts p JOIN write_users u ON u.id = p.user_id WHERE p.views > 1")
		switch d.Dialect {
		case "sqlite":
			ddl = append(ddl, "CREATE TRIGGER write_trail AFTER UPDATE ON write_posts BEGIN INSERT INTO write_trails (text) VALUES (NEW.title); END")
		case "mysql":
			ddl = append(ddl, "CREATE TRIGGER write_trail AFTER UPDATE ON write_posts FOR EACH ROW INSERT INTO write_trails (text) VALUES (NEW.title)")
		case "postgres":
			ddl = append(ddl, "CREATE FUNCTION write_trail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO write_trails (text) VALUES (NEW.title); RETURN NEW; END $$",
				"CREATE TRIGGER write_trail AFTER UPDATE ON write_posts FOR EACH ROW EXECUTE FUNCTION write_trail()")
		}
		if err := plain.AutoMigrate(&writeTrail{}); err != nil {
			t.Fatal(err)
		}
		for _, sql := range ddl {
			if err := plain.Exec(sql).Error; err != nil {
				t.Fatal(sql, err)
			}
		}
		w := writeOpen(t, d, plain, nil)
		queries := []writeQuery{
			writeList[writeTrail]("trails", writeByID), writeCount[writeTrail]("count trails", writeSame),
			writeList[writePopular]("populars", writeByID), writeOne[writePopular]("popular 2", writeSame, "id = ?", 2),
		}
		for i, write := range []func(db *gorm.DB) error{
			func(db *gorm.DB) error { return db.Model(&writePost{ID: 2}).Update("title", "changed").Error },
			func(db *gorm.DB) error { return db.Exec("UPDATE write_posts SET views = 9").Error },
			func(db *gorm.DB) error { return db.Model(&writeUser{ID: 1}).Update("name", "anna").Error },
			func(db *gorm.DB) error { return db.Table("write_users").Where("id = 2").Update("name", "bert").Error },
			func(db *gorm.DB) error { return db.Delete(&writePost{ID: 2}).Error },
			func(db *gorm.DB) error { return db.Delete(&writeUser{ID: 1}).Error }, // cascades to posts
			func(db *gorm.DB) error { return db.Delete(&writeOrg{ID: 1}).Error },
		} {
			for range 2 {
				for _, q := range queries {
					q.ask(w.db)
				}
			}
			before := d.Probe.Queries()
			for _, q := range queries {
				q.ask(w.db)
			}
			if n := d.Probe.Queries() - before; n != 0 {
				t.Errorf("write %d: %d queries before it, want the answers from memory", i, n)
			}
			if err := write(w.db); err != nil {
				t.Fatal(i, err)
			}
			for _, q := range queries {
				writeEqual(t, fmt.Sprintf("after write %d", i), q.name, q.ask(w.db), q.ask(plain))
			}
		}
	})
}

// A model that the plugin meets for the first time by a write still reaches the answers that depend
// on it.
func TestWriteOfModelNeverRead(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := writeMigrate(t, d)
		children := []writeQuery{
			writeList[writeComment]("comments", writeByID), writeList[writePost]("posts", writeByID),
			writeList[writeProfile]("profiles", writeByID), writeList[writeTown]("towns", writeByID), writeCount[writeTown]("count towns of at", func(db *gorm.DB) *gorm.DB {
				return db.Where("region_code = ?", "at")
			}),
		}
		for name, write := range map[string]func(db *gorm.DB) error{
			"users":              func(db *gorm.DB) error { return db.Delete(&writeUser{ID: 1}).Error },
			"users by condition": func(db *gorm.DB) error { return db.Where("name = ?", "ann").Delete(&writeUser{}).Error },
			"countries":          func(db *gorm.DB) error { return db.Delete(&writeCountry{Code: "at"}).Error },
			"countries by Exec":  func(db *gorm.DB) error { return db.Exec("DELETE FROM write_countries WHERE code = 'at'").Error },
			"countries by Table": func(db *gorm.DB) error {
				return db.Table("write_countries").Where("code = 'at'").Update("code", "zz").Error
			},
			"users in a transaction": func(db *gorm.DB) error {
				return db.Transaction(func(tx *gorm.DB) error { return tx.Delete(&writeUser{ID: 1}).Error })
			},
			"users, then posts' child": func(db *gorm.DB) error { return db.Delete(&[]writeUser{{ID: 1}, {ID: 2}}).Error },
		} {
			writeSeed(t, plain)
			w := writeOpen(t, d, plain, nil)
			for _, q := range children {
				q.ask(w.db)
			}
			if err := write(w.db); err != nil {
				t.Fatal(name, err)
			}
			for _, q := range children {
				writeEqual(t, name, q.name, q.ask(w.db), q.ask(plain))
			}
		}
	})
}

// Invalidate and Clear reach loads in flight, and a closed plugin serves nothing.
func TestWriteInvalidate(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		w := writeSetup(t, d, nil)
		for name, forget := range map[string]func() error{
			"model":      func() error { return w.p.Invalidate(&writeTag{}) },
			"table":      func() error { return w.p.Invalidate("write_tags") },
			"everything": func() error { return w.p.Invalidate() },
			"clear":      func() error { w.p.Clear(); return nil },
		} {
			var tag, want writeTag
			w.db.First(&tag, 1)
			value := "name " + name
			if err := w.plain.Model(&writeTag{ID: 1}).Update("name", value).Error; err != nil {
				t.Fatal(err)
			}
			if err := forget(); err != nil {
				t.Fatal(err)
			}
			tag = writeTag{}
			w.db.First(&tag, 1)
			if w.plain.First(&want, 1); tag.Name != value {
				t.Errorf("%s: got %q", name, tag.Name)
			}
		}
		_ = w.p.Close()
		w.plain.Model(&writeTag{ID: 1}).Update("name", "closed")
		var tag writeTag
		if w.db.First(&tag, 1); tag.Name != "closed" {
			t.Errorf("closed: got %q", tag.Name)
		}
	})
}
