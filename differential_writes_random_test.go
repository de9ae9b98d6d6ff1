package preload_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gorm-preload/preload"
	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"pgregory.net/rapid"
)

// writeRandom are writes with two arguments, a key and a value, each from a small range so that
// they meet.
var writeRandom = []struct {
	name string
	do   func(db *gorm.DB, id uint, n int) error
}{
	{"update age", func(db *gorm.DB, id uint, n int) error { return db.Model(&writeUser{ID: id}).Update("age", n).Error }},
	{"update name by age", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&writeUser{}).Where("age = ?", n).Update("name", fmt.Sprint("n", id)).Error
	}},
	{"move user", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&writeUser{ID: id}).Updates(map[string]any{"org_id": gorm.Expr("(SELECT MIN(id) FROM write_orgs WHERE id >= ?)", n%4), "boss_id": nil}).Error
	}},
	{"create user", func(db *gorm.DB, id uint, n int) error { return db.Create(&writeUser{Name: "ann", Age: n}).Error }},
	{"save user", func(db *gorm.DB, id uint, n int) error { return db.Save(&writeUser{ID: id, Name: "bob", Age: n}).Error }},
	{"upsert user", func(db *gorm.DB, id uint, n int) error {
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"age"})}).Create(&writeUser{ID: id, Name: "up", Age: n}).Error
	}},
	{"upsert by e-mail, nothing", func(db *gorm.DB, id uint, n int) error {
		return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&writeUser{Name: "x", Email: writePtr(fmt.Sprint(n%3, "@x"))}).Error
	}},
	{"delete user", func(db *gorm.DB, id uint, n int) error { return db.Delete(&writeUser{ID: id}).Error }},
	{"delete org", func(db *gorm.DB, id uint, n int) error { return db.Delete(&writeOrg{ID: id}).Error }},
	{"create org with users", func(db *gorm.DB, id uint, n int) error {
		return db.Create(&writeOrg{Name: "new", Users: []writeUser{{Name: "ann", Age: n}}}).Error
	}},
	{"create post", func(db *gorm.DB, id uint, n int) error {
		return db.Exec("INSERT INTO write_posts (user_id, title, views) SELECT id, 'x', ? FROM write_users WHERE id = ?", n, id).Error
	}},
	{"update posts", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&writePost{}).Where("views < ?", n).Update("views", gorm.Expr("views + 1")).Error
	}},
	{"delete posts", func(db *gorm.DB, id uint, n int) error { return db.Delete(&writePost{}, "user_id = ?", id).Error }},
	{"soft-delete doc", func(db *gorm.DB, id uint, n int) error { return db.Delete(&writeDoc{}, id).Error }},
	{"undelete docs", func(db *gorm.DB, id uint, n int) error {
		return db.Unscoped().Model(&writeDoc{}).Where("version = ?", n%3).Update("deleted_at", nil).Error
	}},
	{"hard-delete doc", func(db *gorm.DB, id uint, n int) error { return db.Unscoped().Delete(&writeDoc{ID: id}).Error }},
	{"create doc", func(db *gorm.DB, id uint, n int) error { return db.Create(&writeDoc{Title: "d", Version: n % 3}).Error }},
	{"append tag", func(db *gorm.DB, id uint, n int) error {
		var user writeUser
		if db.Limit(1).Find(&user, id).RowsAffected == 0 {
			return nil
		}
		return db.Model(&user).Association("Tags").Append(&writeTag{Name: fmt.Sprint("t", n)})
	}},
	{"clear tags", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&writeUser{ID: id}).Association("Tags").Clear()
	}},
	{"rename tag", func(db *gorm.DB, id uint, n int) error {
		return db.Table("write_tags").Where("id = ?", id).Update("name", fmt.Sprint("t", n)).Error
	}},
	{"rename country", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&writeCountry{}).Where("code = ?", []string{"at", "be", "cz"}[id%3]).Update("code", []string{"at", "be", "cz"}[n%3]).Error
	}},
	{"delete country", func(db *gorm.DB, id uint, n int) error {
		return db.Exec("DELETE FROM write_countries WHERE code = ?", []string{"at", "be", "cz"}[id%3]).Error
	}},
	{"create town", func(db *gorm.DB, id uint, n int) error {
		return db.Create(&writeTown{Name: fmt.Sprint("town", n), Region: nil}).Error
	}},
	{"hooked", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&writeHooked{ID: id}).Update("name", fmt.Sprint("h", n)).Error
	}},
	{"create hooked", func(db *gorm.DB, id uint, n int) error {
		return db.Create(&writeHooked{Name: []string{"h", "after fails", "before fails"}[n%3]}).Error
	}},
	{"exec all ages", func(db *gorm.DB, id uint, n int) error {
		return db.Exec("UPDATE write_users SET age = age + ?", n).Error
	}},
	{"raw update", func(db *gorm.DB, id uint, n int) error {
		return db.Raw("INSERT INTO write_notes (text, owner_id, owner_type) VALUES ('raw', ?, 'write_users') RETURNING id", id).Scan(new(int)).Error
	}},
	{"polymorphic", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&writeDoc{ID: id}).Association("Notes").Unscoped().Clear()
	}},
	{"fails", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&writeTag{}).Where("no_such = ?", id).Update("name", "x").Error
	}},
}

// Whatever is read and written, in whatever order, in transactions, savepoints and rollbacks: every
// answer equals plain GORM's.
func TestWriteDifferential(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, func(t *testing.T, d *dbtest.Database) {
		plain := writeMigrate(t, d)
		deadline := time.Now().Add(writeLong(t, 2*time.Second))
		rounds, hits := 0, int64(0)
		property := func(rt *rapid.T) {
			if time.Now().After(deadline) && !t.Failed() && rounds > 0 {
				return
			}
			rounds++
			writeSeed(t, plain)
			w := writeOpen(t, d, plain, &gorm.Config{PrepareStmt: rapid.Bool().Draw(rt, "prepare"), SkipDefaultTransaction: rapid.Bool().Draw(rt, "skip default transaction")})
			pool, _ := w.db.DB()
			defer pool.Close()
			defer w.p.Close()
			var (
				tx      *gorm.DB
				history []string
				// broken says that PostgreSQL refuses all but the end of the transaction, after an
				// error.
				broken bool
			)
			note := func(format string, args ...any) { history = append(history, fmt.Sprintf(format, args...)) }
			defer func() {
				if tx != nil {
					tx.Session(&gorm.Session{NewDB: true}).Rollback()
				}
			}()
			compare := func(q writeQuery) {
				for range 2 {
					if got, want := q.ask(w.db), q.ask(plain); !reflect.DeepEqual(got, want) {
						rt.Fatalf("%q\n got %v\nwant %v\nafter\n%s", q.name, got, want, strings.Join(history, "\n"))
					}
				}
				if tx != nil && !broken {
					if got, want := q.ask(tx), q.ask(tx.Clauses(preload.Bypass).Session(&gorm.Session{})); !reflect.DeepEqual(got, want) {
						rt.Fatalf("in the transaction: %q\n got %v\nwant %v\nafter\n%s", q.name, got, want, strings.Join(history, "\n"))
					}
				}
			}
			for range rapid.IntRange(1, 25).Draw(rt, "steps") {
				switch rapid.IntRange(0, 9).Draw(rt, "kind") {
				case 0:
					if tx == nil {
						tx, broken = w.db.Begin(), false
						note("begin")
					}
				case 1:
					if tx != nil {
						note("commit: %v", tx.Session(&gorm.Session{NewDB: true}).Commit().Error)
						tx = nil
					}
				case 2:
					if tx != nil {
						note("rollback: %v", tx.Session(&gorm.Session{NewDB: true}).Rollback().Error)
						tx = nil
					}
				case 3:
					if tx != nil && !broken {
						name := rapid.SampledFrom([]string{"a", "b", "A"}).Draw(rt, "savepoint")
						err := tx.Session(&gorm.Session{NewDB: true}).Exec("SAVEPOINT " + name).Error
						note("savepoint %s: %v", name, err)
					}
				case 4:
					if tx != nil {
						name := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "savepoint")
						err := tx.Session(&gorm.Session{NewDB: true}).Exec("ROLLBACK TO SAVEPOINT " + name).Error
						note("rollback to %s: %v", name, err)
						broken = w.d.Dialect == "postgres" && err != nil
					}
				default:
					write := rapid.SampledFrom(writeRandom).Draw(rt, "write")
					id, n := uint(rapid.IntRange(1, 4).Draw(rt, "id")), rapid.IntRange(0, 45).Draw(rt, "n")
					db := w.db
					if tx != nil {
						db = tx
					}
					err := write.do(db.Session(&gorm.Session{}), id, n)
					note("%s(%d, %d), in a transaction %v: %v", write.name, id, n, tx != nil, err)
					if tx != nil && err != nil && w.d.Dialect == "postgres" {
						broken = true
					}
				}
				for range 3 {
					compare(rapid.SampledFrom(writeQueries).Draw(rt, "query"))
				}
				if rapid.IntRange(0, 3).Draw(rt, "wait") == 0 {
					w.clock.Advance(writeHoldOut)
				}
			}
			for _, q := range writeQueries {
				compare(q)
			}
			hits += w.p.Stats().Hits
		}
		rapid.Check(t, property)
		t.Logf("%d rounds, %d hits", rounds, hits)
		if hits == 0 {
			t.Errorf("nothing was read from memory: the test tests nothing")
		}
	})
}
