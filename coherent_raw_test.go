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

// writeExec is a form that is one statement given to Exec.
func writeExec(only, sql string, args ...any) worldtest.Form {
	return worldtest.Form{Name: sql, Only: only, Do: func(w *worldtest.World) error { return w.DB.Exec(sql, args...).Error }}
}

func TestWriteExec(t *testing.T) {
	t.Parallel()
	worldtest.CheckForms(t, writeOpen, []worldtest.Form{
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
		{Name: "named arguments", Do: func(w *worldtest.World) error {
			return w.DB.Exec("UPDATE write_users SET age = @age WHERE name = @name", map[string]any{"age": 41, "name": "ann"}).Error
		}},
		{Name: "the table in an argument", Do: func(w *worldtest.World) error {
			return w.DB.Exec("UPDATE ? SET age = 41", gorm.Expr("write_users")).Error
		}},
		{Name: "a sub-query in an argument", Do: func(w *worldtest.World) error {
			return w.DB.Exec("UPDATE write_users SET age = 41 WHERE org_id IN (?)", w.DB.Model(&worldtest.WriteOrg{}).Select("id").Where("name = ?", "one")).Error
		}},
		{Name: "generics Exec", Do: func(w *worldtest.World) error {
			return gorm.G[worldtest.WriteUser](w.DB).Exec(context.Background(), "UPDATE write_users SET age = 41")
		}},
		{Name: "no row", NoOp: true, Do: func(w *worldtest.World) error {
			return w.DB.Exec("UPDATE write_users SET age = 41 WHERE id = 4711").Error
		}},
		{Name: "error", NoOp: true, Fails: true, Hold: true, Do: func(w *worldtest.World) error { return w.DB.Exec("UPDATE write_users SET no_such = 41").Error }},
		{Name: "half of two statements", Only: "sqlite", Fails: true, Hold: true, Do: func(w *worldtest.World) error {
			return w.DB.Exec("UPDATE write_users SET age = 41; UPDATE write_users SET no_such = 41").Error
		}},
		{Name: "prepared", Config: &gorm.Config{PrepareStmt: true}, Do: func(w *worldtest.World) error {
			return w.DB.Exec("UPDATE write_users SET age = 41").Error
		}},
		{Name: "prepared per session", Do: func(w *worldtest.World) error {
			return w.DB.Session(&gorm.Session{PrepareStmt: true}).Exec("UPDATE write_users SET age = 41").Error
		}},
		{Name: "prepared per session, in a transaction", Do: func(w *worldtest.World) error {
			return w.DB.Session(&gorm.Session{PrepareStmt: true}).Transaction(func(tx *gorm.DB) error { return tx.Exec("UPDATE write_users SET age = 41").Error })
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
	worldtest.CheckForms(t, writeOpen, []worldtest.Form{
		{Name: "Scan", Only: "sqlite postgres", Hold: true, Do: func(w *worldtest.World) error {
			var users []worldtest.WriteUser
			return w.DB.Raw(returning).Scan(&users).Error
		}},
		{Name: "Scan a number", Only: "sqlite postgres", Hold: true, Do: func(w *worldtest.World) error {
			var id int
			return w.DB.Raw("DELETE FROM write_comments WHERE id = 1 RETURNING id").Scan(&id).Error
		}},
		{Name: "Find", Only: "sqlite postgres", Do: func(w *worldtest.World) error {
			var users []worldtest.WriteUser
			return w.DB.Raw(returning).Find(&users).Error
		}},
		{Name: "First", Only: "sqlite postgres", Do: func(w *worldtest.World) error {
			var user worldtest.WriteUser
			return w.DB.Raw(returning).First(&user).Error
		}},
		{Name: "insert by Find", Do: func(w *worldtest.World) error {
			var users []worldtest.WriteUser
			return w.DB.Raw(insert).Find(&users).Error
		}},
		{Name: "insert by Take on a map", Do: func(w *worldtest.World) error {
			user := map[string]any{}
			return w.DB.Model(&worldtest.WriteUser{}).Raw(insert).Take(&user).Error
		}},
		{Name: "Rows", Hold: true, Only: "sqlite postgres", Do: func(w *worldtest.World) error { return rows(w.DB, returning) }},
		{Name: "insert by Rows", Hold: true, Do: func(w *worldtest.World) error { return rows(w.DB, insert) }},
		{Name: "Row", Hold: true, Do: func(w *worldtest.World) error {
			var id int
			return w.DB.Raw("INSERT INTO write_users (name, age) VALUES ('eve', 41) RETURNING id").Row().Scan(&id)
		}},
		{Name: "Rows in a transaction", Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error { return rows(tx, insert) })
		}},
		{Name: "comment first", Only: "sqlite postgres", Hold: true, Do: func(w *worldtest.World) error {
			var users []worldtest.WriteUser
			return w.DB.Raw("/* SELECT */ -- SELECT\n" + returning).Scan(&users).Error
		}},
		{Name: "WITH", Only: "postgres", Hold: true, Do: func(w *worldtest.World) error {
			var users []worldtest.WriteUser
			return w.DB.Raw("WITH x AS (" + returning + ") SELECT * FROM x").Scan(&users).Error
		}},
		{Name: "parentheses", Only: "postgres", Do: func(w *worldtest.World) error {
			var ids []int
			return w.DB.Raw("(WITH x AS (SELECT 1) SELECT id FROM write_users ORDER BY id LIMIT 1)").Scan(&ids).Error
		}, NoOp: true, Survives: true},
		{Name: "TABLE", Only: "postgres", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			var rows []map[string]any
			return w.DB.Raw("TABLE write_users").Scan(&rows).Error
		}},
		{Name: "a read", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			var rows []map[string]any
			return w.DB.Raw("SELECT * FROM write_users WHERE name <> 'UPDATE write_users SET age = 1'").Scan(&rows).Error
		}},
		{Name: "SELECT INTO", Only: "postgres", Hold: true, Do: func(w *worldtest.World) error {
			// A statement that makes a table clears everything, and changes no answer.
			defer w.Plain.Exec("DROP TABLE write_made")
			if err := w.DB.Raw("SELECT * INTO write_made FROM write_users").Scan(&[]map[string]any{}).Error; err != nil {
				return err
			}
			return nil
		}, NoOp: true},
		{Name: "in a session that has a model", Only: "sqlite postgres", Do: func(w *worldtest.World) error {
			var rows []map[string]any
			return w.DB.Model(&worldtest.WriteTag{}).Raw(returning).Find(&rows).Error
		}},
		{Name: "sub-query that writes", Only: "postgres", Hold: true, Do: func(w *worldtest.World) error {
			if err := w.Plain.Exec("CREATE OR REPLACE FUNCTION write_bump(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE write_users SET age = n; RETURN n; END $$").Error; err != nil {
				return err
			}
			var n int
			return w.DB.Raw("SELECT write_bump(41)").Scan(&n).Error
		}},
		{Name: "writing function by Exec", Only: "postgres", Do: func(w *worldtest.World) error { return w.DB.Exec("SELECT write_bump(42)").Error }},
		{Name: "procedure", Only: "postgres mysql", Do: func(w *worldtest.World) error {
			if w.Dialect == "postgres" {
				if err := w.Plain.Exec("CREATE OR REPLACE PROCEDURE write_proc() LANGUAGE sql AS $$ UPDATE write_users SET age = 41 $$").Error; err != nil {
					return err
				}
			} else if err := w.Plain.Exec("CREATE PROCEDURE write_proc() UPDATE write_users SET age = 41").Error; err != nil {
				return err
			}
			return w.DB.Exec("CALL write_proc()").Error
		}},
		{Name: "procedure by Raw", Only: "postgres mysql", Hold: true, Do: func(w *worldtest.World) error {
			rows, err := w.DB.Raw("CALL write_proc()").Rows()
			if err != nil {
				return err
			}
			for rows.Next() {
			}
			return rows.Close()
		}},
		{Name: "writing function of MariaDB", Only: "mysql", Hold: true, Do: func(w *worldtest.World) error {
			if err := w.Plain.Exec("CREATE FUNCTION write_bump(n int) RETURNS int MODIFIES SQL DATA BEGIN UPDATE write_users SET age = n; RETURN n; END").Error; err != nil {
				return err
			}
			var n int
			return w.DB.Raw("SELECT write_bump(41)").Scan(&n).Error
		}},
		{Name: "locking read", NoOp: true, Do: func(w *worldtest.World) error {
			if w.Dialect == "sqlite" {
				return nil
			}
			return w.DB.Raw("SELECT id FROM write_users FOR UPDATE").Scan(&[]int{}).Error
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
	for _, form := range []worldtest.Form{
		{Name: "AddColumn", Do: func(w *worldtest.World) error {
			return w.DB.Table("write_tags").Migrator().AddColumn(&writeTagMore{}, "Shade")
		}},
		{Name: "AutoMigrate", Do: func(w *worldtest.World) error { return w.DB.Table("write_tags").AutoMigrate(&writeTagMore{}) }},
		{Name: "DropColumn", Do: func(w *worldtest.World) error { return w.DB.Migrator().DropColumn(&worldtest.WriteNote{}, "text") }},
		{Name: "RenameColumn", Do: func(w *worldtest.World) error {
			return w.DB.Migrator().RenameColumn(&worldtest.WriteNote{}, "text", "words")
		}},
		{Name: "DropTable", Do: func(w *worldtest.World) error { return w.DB.Migrator().DropTable(&worldtest.WriteComment{}) }},
		{Name: "RenameTable", Do: func(w *worldtest.World) error { return w.DB.Migrator().RenameTable("write_notes", "write_words") }},
		{Name: "DROP TABLE", Do: func(w *worldtest.World) error { return w.DB.Exec("DROP TABLE write_comments").Error }},
		{Name: "ALTER TABLE", Do: func(w *worldtest.World) error {
			return w.DB.Exec("ALTER TABLE write_tags ADD COLUMN more int DEFAULT 3").Error
		}},
		{Name: "swap of tables", Do: func(w *worldtest.World) error {
			return errors.Join(w.DB.Exec("CREATE TABLE write_other AS SELECT id, 'swapped' AS name FROM write_tags").Error,
				w.DB.Exec("ALTER TABLE write_tags RENAME TO write_gone").Error,
				w.DB.Exec("ALTER TABLE write_other RENAME TO write_tags").Error)
		}},
		{Name: "swap of tables in a transaction", Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Exec("CREATE TABLE write_other AS SELECT id, 'swapped' AS name FROM write_tags").Error,
					tx.Exec("ALTER TABLE write_tags RENAME TO write_gone").Error,
					tx.Exec("ALTER TABLE write_other RENAME TO write_tags").Error)
			})
		}},
		{Name: "migrator in a transaction", Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error { return tx.Migrator().DropTable(&worldtest.WriteComment{}) })
		}},
		{Name: "DDL in a transaction that rolls back", NoOp: true, Do: func(w *worldtest.World) error {
			err := w.DB.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Exec("CREATE TABLE write_other (id int)").Error, worldtest.ErrWriteHook)
			})
			if !errors.Is(err, worldtest.ErrWriteHook) {
				return err
			}
			return nil
		}},
		{Name: "implicit commit by DDL, then rollback", Only: "mysql", Hold: true, Do: func(w *worldtest.World) error {
			tx := w.DB.Begin()
			if err := errors.Join(tx.Error, tx.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error,
				tx.Exec("CREATE TABLE write_other (id int)").Error); err != nil {
				return err
			}
			// The database has committed the update by now.
			w.Compare(w.T, "after the implicit commit")
			return tx.Rollback().Error
		}},
		{Name: "implicit commit, another write, then rollback", Only: "mysql", Hold: true, Do: func(w *worldtest.World) error {
			tx := w.DB.Begin()
			if err := errors.Join(tx.Error, tx.Exec("CREATE TABLE write_other (id int)").Error,
				tx.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error); err != nil {
				return err
			}
			// DDL has ended the transaction: the update has committed by itself.
			w.Compare(w.T, "after the write behind the implicit commit")
			return tx.Rollback().Error
		}},
		{Name: "implicit commit by LOCK TABLES", Only: "mysql", Hold: true, Do: func(w *worldtest.World) error {
			tx := w.DB.Begin()
			err := errors.Join(tx.Error, tx.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error,
				tx.Exec("LOCK TABLES write_tags READ").Error, tx.Exec("UNLOCK TABLES").Error)
			w.Compare(w.T, "after the implicit commit")
			return errors.Join(err, tx.Rollback().Error)
		}},
		{Name: "implicit commit by SET autocommit", Only: "mysql", Hold: true, Do: func(w *worldtest.World) error {
			tx := w.DB.Begin()
			err := errors.Join(tx.Error, tx.Exec("SET autocommit = 0").Error, tx.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error,
				tx.Exec("SET autocommit = 1").Error)
			w.Compare(w.T, "after the implicit commit")
			return errors.Join(err, tx.Rollback().Error)
		}},
		{Name: "implicit commit by START TRANSACTION", Only: "mysql", Hold: true, Do: func(w *worldtest.World) error {
			tx := w.DB.Begin()
			err := errors.Join(tx.Error, tx.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error, tx.Exec("START TRANSACTION").Error)
			w.Compare(w.T, "after the implicit commit")
			return errors.Join(err, tx.Rollback().Error)
		}},
	} {
		t.Run(form.Name, func(t *testing.T) {
			t.Parallel()
			writeCheckIn(t, form)
		})
	}
}

// writeCheckIn is worldtest.CheckForms for one form that changes the schema: afterwards queries may
// fail, but all in the same way.
func writeCheckIn(t *testing.T, form worldtest.Form) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		form.Skip(t, d)
		w := writeSetup(t, d, nil)
		w.Warm(t)
		if err := form.Do(w); (err != nil) != form.Fails {
			t.Fatalf("error %v, want one: %v", err, form.Fails)
		}
		changed := w.Compare(t, "after the write")
		w.Compare(t, "after the write, second time")
		w.Clock.Advance(2 * worldtest.HoldOut)
		w.Compare(t, "after the hold-out")
		w.Compare(t, "after the hold-out, second time")
		if (changed == 0) != form.NoOp {
			t.Errorf("%d answers changed", changed)
		}
		before := d.Probe.Queries()
		w.Compare(t, "again")
		if n := d.Probe.Queries() - before; n > int64(len(worldtest.WriteQueries)/2) {
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
		plain := worldtest.MigrateWrites(t, d)
		worldtest.SeedWrites(t, plain)
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
		queries := []worldtest.Named{
			{Name: "trails", Query: worldtest.List[writeTrail](worldtest.ByID)}, {Name: "count trails", Query: worldtest.CountOf[writeTrail](worldtest.All)},
			{Name: "populars", Query: worldtest.List[writePopular](worldtest.ByID)}, {Name: "popular 2", Query: worldtest.First[writePopular](worldtest.All, "id = ?", 2)},
		}
		for i, write := range []func(db *gorm.DB) error{
			func(db *gorm.DB) error { return db.Model(&worldtest.WritePost{ID: 2}).Update("title", "changed").Error },
			func(db *gorm.DB) error { return db.Exec("UPDATE write_posts SET views = 9").Error },
			func(db *gorm.DB) error { return db.Model(&worldtest.WriteUser{ID: 1}).Update("name", "anna").Error },
			func(db *gorm.DB) error { return db.Table("write_users").Where("id = 2").Update("name", "bert").Error },
			func(db *gorm.DB) error { return db.Delete(&worldtest.WritePost{ID: 2}).Error },
			func(db *gorm.DB) error { return db.Delete(&worldtest.WriteUser{ID: 1}).Error }, // cascades to posts
			func(db *gorm.DB) error { return db.Delete(&worldtest.WriteOrg{ID: 1}).Error },
		} {
			for range 2 {
				for _, q := range queries {
					q.Ask(w.DB)
				}
			}
			before := d.Probe.Queries()
			for _, q := range queries {
				q.Ask(w.DB)
			}
			if n := d.Probe.Queries() - before; n != 0 {
				t.Errorf("write %d: %d queries before it, want the answers from memory", i, n)
			}
			if err := write(w.DB); err != nil {
				t.Fatal(i, err)
			}
			for _, q := range queries {
				worldtest.Equal(t, fmt.Sprintf("after write %d", i), q.Name, q.Ask(w.DB), q.Ask(plain))
			}
		}
	})
}

// A model that the plugin meets for the first time by a write still reaches the answers that depend
// on it.
func TestWriteOfModelNeverRead(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := worldtest.MigrateWrites(t, d)
		children := []worldtest.Named{
			{Name: "comments", Query: worldtest.List[worldtest.WriteComment](worldtest.ByID)}, {Name: "posts", Query: worldtest.List[worldtest.WritePost](worldtest.ByID)},
			{Name: "profiles", Query: worldtest.List[worldtest.WriteProfile](worldtest.ByID)}, {Name: "towns", Query: worldtest.List[worldtest.WriteTown](worldtest.ByID)}, {Name: "count towns of at", Query: worldtest.CountOf[worldtest.WriteTown](func(db *gorm.DB) *gorm.DB {
				return db.Where("region_code = ?", "at")
			})},
		}
		for name, write := range map[string]func(db *gorm.DB) error{
			"users":              func(db *gorm.DB) error { return db.Delete(&worldtest.WriteUser{ID: 1}).Error },
			"users by condition": func(db *gorm.DB) error { return db.Where("name = ?", "ann").Delete(&worldtest.WriteUser{}).Error },
			"countries":          func(db *gorm.DB) error { return db.Delete(&worldtest.WriteCountry{Code: "at"}).Error },
			"countries by Exec":  func(db *gorm.DB) error { return db.Exec("DELETE FROM write_countries WHERE code = 'at'").Error },
			"countries by Table": func(db *gorm.DB) error {
				return db.Table("write_countries").Where("code = 'at'").Update("code", "zz").Error
			},
			"users in a transaction": func(db *gorm.DB) error {
				return db.Transaction(func(tx *gorm.DB) error { return tx.Delete(&worldtest.WriteUser{ID: 1}).Error })
			},
			"users, then posts' child": func(db *gorm.DB) error { return db.Delete(&[]worldtest.WriteUser{{ID: 1}, {ID: 2}}).Error },
		} {
			worldtest.SeedWrites(t, plain)
			w := writeOpen(t, d, plain, nil)
			for _, q := range children {
				q.Ask(w.DB)
			}
			if err := write(w.DB); err != nil {
				t.Fatal(name, err)
			}
			for _, q := range children {
				worldtest.Equal(t, name, q.Name, q.Ask(w.DB), q.Ask(plain))
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
			"model":      func() error { return w.Plugin.Invalidate(&worldtest.WriteTag{}) },
			"table":      func() error { return w.Plugin.Invalidate("write_tags") },
			"everything": func() error { return w.Plugin.Invalidate() },
			"clear":      func() error { w.Plugin.Clear(); return nil },
		} {
			var tag, want worldtest.WriteTag
			w.DB.First(&tag, 1)
			value := "name " + name
			if err := w.Plain.Model(&worldtest.WriteTag{ID: 1}).Update("name", value).Error; err != nil {
				t.Fatal(err)
			}
			if err := forget(); err != nil {
				t.Fatal(err)
			}
			tag = worldtest.WriteTag{}
			w.DB.First(&tag, 1)
			if w.Plain.First(&want, 1); tag.Name != value {
				t.Errorf("%s: got %q", name, tag.Name)
			}
		}
		_ = w.Plugin.Close()
		w.Plain.Model(&worldtest.WriteTag{ID: 1}).Update("name", "closed")
		var tag worldtest.WriteTag
		if w.DB.First(&tag, 1); tag.Name != "closed" {
			t.Errorf("closed: got %q", tag.Name)
		}
	})
}
