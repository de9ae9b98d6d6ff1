package worldtest

import (
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// KeyedWrite is a write with two arguments, a key and a value.
type KeyedWrite struct {
	Name string
	Do   func(db *gorm.DB, id uint, n int) error
}

// RandomWrites are writes with two arguments, a key and a value, each from a small range so that
// they meet.
var RandomWrites = []KeyedWrite{
	{"update age", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&WriteUser{ID: id}).Update("age", n).Error
	}},
	{"update name by age", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&WriteUser{}).Where("age = ?", n).Update("name", fmt.Sprint("n", id)).Error
	}},
	{"move user", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&WriteUser{ID: id}).Updates(map[string]any{"org_id": gorm.Expr("(SELECT MIN(id) FROM write_orgs WHERE id >= ?)", n%4), "boss_id": nil}).Error
	}},
	{"create user", func(db *gorm.DB, id uint, n int) error {
		return db.Create(&WriteUser{Name: "ann", Age: n}).Error
	}},
	{"save user", func(db *gorm.DB, id uint, n int) error {
		return db.Save(&WriteUser{ID: id, Name: "bob", Age: n}).Error
	}},
	{"upsert user", func(db *gorm.DB, id uint, n int) error {
		return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"age"})}).Create(&WriteUser{ID: id, Name: "up", Age: n}).Error
	}},
	{"upsert by e-mail, nothing", func(db *gorm.DB, id uint, n int) error {
		return db.Clauses(clause.OnConflict{DoNothing: true}).Create(&WriteUser{Name: "x", Email: Ptr(fmt.Sprint(n%3, "@x"))}).Error
	}},
	{"delete user", func(db *gorm.DB, id uint, n int) error { return db.Delete(&WriteUser{ID: id}).Error }},
	{"delete org", func(db *gorm.DB, id uint, n int) error { return db.Delete(&WriteOrg{ID: id}).Error }},
	{"create org with users", func(db *gorm.DB, id uint, n int) error {
		return db.Create(&WriteOrg{Name: "new", Users: []WriteUser{{Name: "ann", Age: n}}}).Error
	}},
	{"create post", func(db *gorm.DB, id uint, n int) error {
		return db.Exec("INSERT INTO write_posts (user_id, title, views) SELECT id, 'x', ? FROM write_users WHERE id = ?", n, id).Error
	}},
	{"update posts", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&WritePost{}).Where("views < ?", n).Update("views", gorm.Expr("views + 1")).Error
	}},
	{"delete posts", func(db *gorm.DB, id uint, n int) error {
		return db.Delete(&WritePost{}, "user_id = ?", id).Error
	}},
	{"soft-delete doc", func(db *gorm.DB, id uint, n int) error { return db.Delete(&WriteDoc{}, id).Error }},
	{"undelete docs", func(db *gorm.DB, id uint, n int) error {
		return db.Unscoped().Model(&WriteDoc{}).Where("version = ?", n%3).Update("deleted_at", nil).Error
	}},
	{"hard-delete doc", func(db *gorm.DB, id uint, n int) error {
		return db.Unscoped().Delete(&WriteDoc{ID: id}).Error
	}},
	{"create doc", func(db *gorm.DB, id uint, n int) error {
		return db.Create(&WriteDoc{Title: "d", Version: n % 3}).Error
	}},
	{"append tag", func(db *gorm.DB, id uint, n int) error {
		var user WriteUser
		if db.Limit(1).Find(&user, id).RowsAffected == 0 {
			return nil
		}
		return db.Model(&user).Association("Tags").Append(&WriteTag{Name: fmt.Sprint("t", n)})
	}},
	{"clear tags", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&WriteUser{ID: id}).Association("Tags").Clear()
	}},
	{"rename tag", func(db *gorm.DB, id uint, n int) error {
		return db.Table("write_tags").Where("id = ?", id).Update("name", fmt.Sprint("t", n)).Error
	}},
	{"rename country", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&WriteCountry{}).Where("code = ?", []string{"at", "be", "cz"}[id%3]).Update("code", []string{"at", "be", "cz"}[n%3]).Error
	}},
	{"delete country", func(db *gorm.DB, id uint, n int) error {
		return db.Exec("DELETE FROM write_countries WHERE code = ?", []string{"at", "be", "cz"}[id%3]).Error
	}},
	{"create town", func(db *gorm.DB, id uint, n int) error {
		return db.Create(&WriteTown{Name: fmt.Sprint("town", n), Region: nil}).Error
	}},
	{"hooked", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&WriteHooked{ID: id}).Update("name", fmt.Sprint("h", n)).Error
	}},
	{"create hooked", func(db *gorm.DB, id uint, n int) error {
		return db.Create(&WriteHooked{Name: []string{"h", "after fails", "before fails"}[n%3]}).Error
	}},
	{"exec all ages", func(db *gorm.DB, id uint, n int) error {
		return db.Exec("UPDATE write_users SET age = age + ?", n).Error
	}},
	{"raw update", func(db *gorm.DB, id uint, n int) error {
		return db.Raw("INSERT INTO write_notes (text, owner_id, owner_type) VALUES ('raw', ?, 'write_users') RETURNING id", id).Scan(new(int)).Error
	}},
	{"polymorphic", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&WriteDoc{ID: id}).Association("Notes").Unscoped().Clear()
	}},
	{"fails", func(db *gorm.DB, id uint, n int) error {
		return db.Model(&WriteTag{}).Where("no_such = ?", id).Update("name", "x").Error
	}},
}
