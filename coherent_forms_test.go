package preload_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// No answer that was in memory before a write is given after it, whatever form the write has.

func TestWriteNothing(t *testing.T) {
	t.Parallel()
	writeCheck(t, []writeForm{
		{name: "nothing", noop: true, survives: true, do: func(w *writeWorld) error { return nil }},
	})
}

func writeNewUser(name string) *writeUser {
	return &writeUser{Name: name, Email: writePtr("new@x"), Age: 41, OrgID: writePtr(uint(1))}
}

func TestWriteCreate(t *testing.T) {
	t.Parallel()
	email := []clause.Column{{Name: "email"}}
	id := []clause.Column{{Name: "id"}}
	writeCheck(t, []writeForm{
		{name: "one", do: func(w *writeWorld) error { return w.db.Create(writeNewUser("eve")).Error }},
		{name: "one that was missing by key", do: func(w *writeWorld) error { return w.db.Create(&writeUser{ID: 77, Name: "x"}).Error }},
		{name: "batch", do: func(w *writeWorld) error {
			return w.db.Create([]*writeUser{writeNewUser("eve"), {Name: "fay"}}).Error
		}},
		{name: "in batches", do: func(w *writeWorld) error {
			return w.db.CreateInBatches([]writeUser{{Name: "eve"}, {Name: "fay"}, {Name: "gil", Age: 41}}, 2).Error
		}},
		{name: "CreateBatchSize", config: &gorm.Config{CreateBatchSize: 2}, do: func(w *writeWorld) error {
			return w.db.Create([]writeUser{{Name: "eve"}, {Name: "fay"}, {Name: "gil", Age: 41}}).Error
		}},
		{name: "map", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Create(map[string]any{"name": "eve", "age": 41}).Error
		}},
		{name: "maps", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Create(&[]map[string]any{{"Name": "eve", "Age": 41}, {"Name": "fay", "Age": 5}}).Error
		}},
		{name: "map with an expression", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Create(map[string]any{"name": gorm.Expr("LOWER(?)", "EVE"), "age": gorm.Expr("40 + ?", 1)}).Error
		}},
		{name: "select", do: func(w *writeWorld) error { return w.db.Select("Name", "Age").Create(writeNewUser("eve")).Error }},
		{name: "omit", do: func(w *writeWorld) error { return w.db.Omit("OrgID").Create(writeNewUser("eve")).Error }},
		{name: "with associations", do: func(w *writeWorld) error {
			user := writeNewUser("eve")
			user.OrgID, user.Org = nil, &writeOrg{Name: "new"}
			user.Profile = writeProfile{Bio: "new"}
			user.Posts = []writePost{{Title: "new", Views: 9}}
			user.Tags = []writeTag{{ID: 1}, {Name: "new"}}
			user.Notes = []writeNote{{Text: "new"}}
			return w.db.Create(user).Error
		}},
		{name: "with associations that exist", do: func(w *writeWorld) error {
			user := writeNewUser("eve")
			user.Org = &writeOrg{ID: 2, Name: "changed"}
			user.Tags = []writeTag{{ID: 1, Name: "changed"}}
			user.Posts = []writePost{{ID: 1, Title: "taken", Views: 9}}
			return w.db.Session(&gorm.Session{FullSaveAssociations: true}).Create(user).Error
		}},
		{name: "child with a new parent", do: func(w *writeWorld) error {
			return w.db.Create(&writeComment{Body: "c", Post: &writePost{UserID: 1, Title: "new", Views: 5}}).Error
		}},
		{name: "conflict, do nothing", noop: true, do: func(w *writeWorld) error {
			return w.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&writeUser{Name: "eve", Email: writePtr("ann@x")}).Error
		}},
		{name: "no conflict, do nothing", do: func(w *writeWorld) error {
			return w.db.Clauses(clause.OnConflict{DoNothing: true}).Create(writeNewUser("eve")).Error
		}},
		{name: "conflict, update", do: func(w *writeWorld) error {
			return w.db.Clauses(clause.OnConflict{Columns: email, DoUpdates: clause.AssignmentColumns([]string{"name", "age"})}).
				Create(&writeUser{Name: "eve", Age: 41, Email: writePtr("ann@x")}).Error
		}},
		{name: "conflict, assign", do: func(w *writeWorld) error {
			return w.db.Clauses(clause.OnConflict{Columns: email, DoUpdates: clause.Assignments(map[string]any{"age": 99})}).
				Create(&writeUser{Name: "eve", Age: 41, Email: writePtr("cid@x")}).Error
		}},
		{name: "conflict, assign an expression", do: func(w *writeWorld) error {
			return w.db.Clauses(clause.OnConflict{Columns: email, DoUpdates: clause.Assignments(map[string]any{"age": gorm.Expr("write_users.age + 1")})}).
				Create(&writeUser{Name: "eve", Email: writePtr("cid@x")}).Error
		}},
		{name: "conflict, update all", do: func(w *writeWorld) error {
			return w.db.Clauses(clause.OnConflict{Columns: id, UpdateAll: true}).Create(&writeUser{ID: 2, Name: "eve", Age: 41}).Error
		}},
		{name: "batch, some conflict", do: func(w *writeWorld) error {
			return w.db.Clauses(clause.OnConflict{UpdateAll: true}).
				Create([]writePost{{ID: 3, UserID: 1, Title: "moved"}, {ID: 2001, UserID: 2, Title: "new", Views: 7}}).Error
		}},
		{name: "OR REPLACE", only: "sqlite", do: func(w *writeWorld) error {
			return w.db.Clauses(clause.Insert{Modifier: "OR REPLACE"}).Omit(clause.Associations).
				Create(&writeUser{ID: 9, Name: "eve", Email: writePtr("bob@x")}).Error
		}},
		{name: "OR IGNORE", only: "sqlite", do: func(w *writeWorld) error {
			return w.db.Clauses(clause.Insert{Modifier: "OR IGNORE"}).Omit(clause.Associations).
				Create([]writeUser{{Name: "eve", Email: writePtr("bob@x")}, {Name: "fay", Email: writePtr("new@x"), Age: 3}}).Error
		}},
		{name: "IGNORE", only: "mysql", do: func(w *writeWorld) error {
			return w.db.Clauses(clause.Insert{Modifier: "IGNORE"}).Omit(clause.Associations).
				Create([]writeUser{{Name: "eve", Email: writePtr("bob@x")}, {Name: "fay", Email: writePtr("new@x"), Age: 3}}).Error
		}},
		{name: "returning", only: "sqlite postgres", do: func(w *writeWorld) error {
			return w.db.Clauses(clause.Returning{}).Create(writeNewUser("eve")).Error
		}},
		{name: "soft-delete model", do: func(w *writeWorld) error { return w.db.Create(&writeDoc{Title: "d", Version: 1}).Error }},
		{name: "FirstOrCreate, creates", do: func(w *writeWorld) error {
			var user writeUser
			return w.db.Where(writeUser{Name: "eve"}).Attrs(writeUser{Age: 41}).FirstOrCreate(&user).Error
		}},
		{name: "FirstOrCreate, finds", noop: true, survives: true, do: func(w *writeWorld) error {
			var user writeUser
			return w.db.Where(writeUser{Name: "ann"}).Attrs(writeUser{Age: 41}).FirstOrCreate(&user).Error
		}},
		{name: "FirstOrCreate, finds and assigns", do: func(w *writeWorld) error {
			var user writeUser
			return w.db.Where(writeUser{Name: "ann"}).Assign(writeUser{Age: 41}).FirstOrCreate(&user).Error
		}},
		{name: "FirstOrCreate twice", do: func(w *writeWorld) error {
			for range 2 {
				var user writeUser
				if err := w.db.Where(writeUser{Name: "eve"}).Assign(map[string]any{"age": 41}).FirstOrCreate(&user).Error; err != nil {
					return err
				}
				var n int64
				w.plain.Model(&writeUser{}).Where("name = ?", "eve").Count(&n)
				if n != 1 {
					return fmt.Errorf("%d rows", n)
				}
			}
			return nil
		}},
		{name: "generics", do: func(w *writeWorld) error {
			return gorm.G[writeUser](w.db).Create(context.Background(), writeNewUser("eve"))
		}},
		{name: "generics, batches", do: func(w *writeWorld) error {
			return gorm.G[writePost](w.db).CreateInBatches(context.Background(), &[]writePost{{UserID: 1, Views: 9}, {UserID: 2}, {UserID: 1}}, 2)
		}},
		{name: "generics, conflict", do: func(w *writeWorld) error {
			return gorm.G[writeUser](w.db, clause.OnConflict{Columns: id, DoUpdates: clause.AssignmentColumns([]string{"name"})}).
				Create(context.Background(), &writeUser{ID: 1, Name: "eve"})
		}},
		{name: "generics, Set", do: func(w *writeWorld) error {
			return gorm.G[writePost](w.db).Set(clause.Assignment{Column: clause.Column{Name: "user_id"}, Value: 1},
				clause.Assignment{Column: clause.Column{Name: "title"}, Value: "set"}, clause.Assignment{Column: clause.Column{Name: "views"}, Value: 8}).Create(context.Background())
		}},
		{name: "Table with a map", do: func(w *writeWorld) error {
			return w.db.Table("write_users").Create(map[string]any{"name": "eve", "age": 41}).Error
		}},
		{name: "Table with another struct", do: func(w *writeWorld) error {
			type other struct {
				Name string
				Age  int
			}
			return w.db.Table("write_users").Create(&other{"eve", 41}).Error
		}},
		{name: "Table in capitals", only: "sqlite", do: func(w *writeWorld) error {
			return w.db.Table("WRITE_USERS").Create(map[string]any{"name": "eve", "age": 41}).Error
		}},
		{name: "join table", do: func(w *writeWorld) error {
			return w.db.Table("write_user_tags").Create(map[string]any{"write_user_id": 1, "write_tag_id": 3}).Error
		}},
		{name: "hooks", do: func(w *writeWorld) error { return w.db.Create(&writeHooked{Name: "h3"}).Error }},
		{name: "hooks skipped", do: func(w *writeWorld) error {
			return w.db.Session(&gorm.Session{SkipHooks: true}).Create(&writeHooked{Name: "h3"}).Error
		}},
		{name: "without transaction", config: &gorm.Config{SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return w.db.Create(writeNewUser("eve")).Error
		}},
		{name: "without transaction, hooks", config: &gorm.Config{SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return w.db.Create(&writeHooked{Name: "h3"}).Error
		}},
		{name: "prepared", config: &gorm.Config{PrepareStmt: true}, do: func(w *writeWorld) error { return w.db.Create(writeNewUser("eve")).Error }},
		{name: "early handle", do: func(w *writeWorld) error { return w.early.Create(writeNewUser("eve")).Error }},
	})
}

func TestWriteSave(t *testing.T) {
	t.Parallel()
	writeCheck(t, []writeForm{
		{name: "struct", do: func(w *writeWorld) error {
			var user writeUser
			if err := w.db.First(&user, 2).Error; err != nil {
				return err
			}
			user.Age, user.OrgID = 41, nil
			return w.db.Save(&user).Error
		}},
		{name: "new", do: func(w *writeWorld) error { return w.db.Save(&writeUser{Name: "eve"}).Error }},
		{name: "new with a key", do: func(w *writeWorld) error { return w.db.Save(&writeUser{ID: 77, Name: "eve"}).Error }},
		{name: "slice", do: func(w *writeWorld) error {
			return w.db.Save([]writePost{{ID: 1, UserID: 2, Title: "moved"}, {UserID: 1, Title: "new"}}).Error
		}},
		{name: "with associations", do: func(w *writeWorld) error {
			var user writeUser
			if err := w.db.Preload("Posts").Preload("Profile").First(&user, 1).Error; err != nil {
				return err
			}
			user.Posts[0].Views, user.Profile.Bio = 77, "z"
			user.Posts = append(user.Posts, writePost{Title: "new", Views: 50})
			return w.db.Session(&gorm.Session{FullSaveAssociations: true}).Save(&user).Error
		}},
		{name: "soft-deleted row", do: func(w *writeWorld) error {
			doc := writeDoc{ID: 1, Title: "d1", Version: 1, DeletedAt: gorm.DeletedAt{Time: w.clock.Now(), Valid: true}}
			return w.db.Save(&doc).Error
		}},
		{name: "hooks", do: func(w *writeWorld) error { return w.db.Save(&writeHooked{ID: 1, Name: "saved"}).Error }},
		{name: "prepared per session", do: func(w *writeWorld) error {
			db := w.db.Session(&gorm.Session{PrepareStmt: true})
			return db.Save(&writePost{ID: 1, UserID: 2, Title: "moved"}).Error
		}},
	})
}

// writeBadValue is a Valuer that fails or panics.
type writeBadValue struct{ panics bool }

var errWriteValue = errors.New("no value")

func (v writeBadValue) Value() (driver.Value, error) {
	if v.panics {
		panic(errWriteValue)
	}
	return nil, errWriteValue
}

func writeRecovered(do func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	return do()
}

func TestWriteUpdate(t *testing.T) {
	t.Parallel()
	writeCheck(t, []writeForm{
		{name: "Update", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Where("id = ?", 1).Update("age", 41).Error
		}},
		{name: "Update by key in the model", do: func(w *writeWorld) error { return w.db.Model(&writeUser{ID: 3}).Update("name", "ann").Error }},
		{name: "Update of several models", do: func(w *writeWorld) error {
			return w.db.Model([]writeUser{{ID: 1}, {ID: 3}}).Update("name", "eve").Error
		}},
		{name: "Update by key and condition", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 3}).Where("age = ?", 30).Update("age", 41).Error
		}},
		{name: "Update by key and condition, no row", noop: true, do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 3}).Where("age = ?", 31).Update("age", 41).Error
		}},
		{name: "Updates struct", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Where("age > ?", 15).Updates(writeUser{Name: "eve", OrgID: writePtr(uint(3))}).Error
		}},
		{name: "Updates struct with key", do: func(w *writeWorld) error { return w.db.Updates(&writeUser{ID: 1, Name: "eve"}).Error }},
		{name: "Updates map", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Where("name = ?", "bob").Updates(map[string]any{"age": 0, "org_id": nil}).Error
		}},
		{name: "Updates map by Go names", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 4}).Updates(map[string]any{"Age": 20, "OrgID": 1}).Error
		}},
		{name: "Updates select", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 1}).Select("Name", "Age").Updates(writeUser{Name: "eve", OrgID: writePtr(uint(3))}).Error
		}},
		{name: "Updates select all", do: func(w *writeWorld) error {
			return w.db.Model(&writePost{ID: 1}).Select("*").Updates(writePost{ID: 1, UserID: 2, Title: "all"}).Error
		}},
		{name: "Updates omit", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 1}).Omit("Name").Updates(map[string]any{"name": "eve", "age": 41}).Error
		}},
		{name: "UpdateColumn", do: func(w *writeWorld) error { return w.db.Model(&writeUser{ID: 1}).UpdateColumn("age", 41).Error }},
		{name: "UpdateColumns", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 1}).UpdateColumns(map[string]any{"age": 41, "name": "dee"}).Error
		}},
		{name: "expression", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Where("name = ?", "ann").Update("age", gorm.Expr("age * ? + ?", 2, 1)).Error
		}},
		{name: "sub-query", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 4}).Update("age", w.db.Model(&writePost{}).Select("SUM(views)")).Error
		}},
		{name: "where sub-query", do: func(w *writeWorld) error {
			return w.db.Model(&writePost{}).Where("user_id IN (?)", w.db.Model(&writeUser{}).Select("id").Where("name = ?", "bob")).Update("views", 99).Error
		}},
		{name: "where key by hand", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Where(map[string]any{"id": []int{1, 2}}).Update("age", 41).Error
		}},
		{name: "or", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Where("id = ?", 77).Or("name = ?", "dee").Update("age", 41).Error
		}},
		{name: "not", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Not("id = ?", 1).Update("age", 41).Error
		}},
		{name: "filter column", do: func(w *writeWorld) error {
			return w.db.Model(&writePost{ID: 3}).Update("user_id", 1).Error
		}},
		{name: "key", do: func(w *writeWorld) error {
			return w.db.Model(&writeDoc{}).Where("id = ?", 2).Update("id", 77).Error
		}},
		{name: "swap keys' rows", do: func(w *writeWorld) error {
			return w.db.Model(&writeTag{}).Where("id = ?", 3).UpdateColumn("id", 33).Error
		}},
		{name: "global", do: func(w *writeWorld) error {
			return w.db.Session(&gorm.Session{AllowGlobalUpdate: true}).Model(&writeUser{}).Update("age", 1).Error
		}},
		{name: "global without leave", fails: true, noop: true, survives: true, do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Update("age", 1).Error
		}},
		{name: "global by 1 = 1", do: func(w *writeWorld) error { return w.db.Model(&writeUser{}).Where("1 = 1").Update("age", 1).Error }},
		{name: "no row", noop: true, do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Where("id = ?", 12345).Update("age", 1).Error
		}},
		{name: "limit", only: "mysql", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Where("1 = 1").Order("id DESC").Limit(1).Update("age", 1).Error
		}},
		{name: "returning", only: "sqlite postgres", do: func(w *writeWorld) error {
			var users []writeUser
			return w.db.Model(&users).Clauses(clause.Returning{}).Where("age > ?", 15).Update("age", gorm.Expr("age + 1")).Error
		}},
		{name: "returning columns", only: "sqlite postgres", do: func(w *writeWorld) error {
			var user writeUser
			return w.db.Model(&user).Clauses(clause.Returning{Columns: []clause.Column{{Name: "age"}}}).Where("id = ?", 1).Update("age", 77).Error
		}},
		{name: "soft-deleted", do: func(w *writeWorld) error {
			return w.db.Model(&writeDoc{}).Where("id = ?", 1).Update("deleted_at", w.clock.Now()).Error
		}},
		{name: "unscoped", do: func(w *writeWorld) error {
			return w.db.Unscoped().Model(&writeDoc{}).Where("id = ?", 1).Update("version", 2).Error
		}},
		{name: "scopes", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Scopes(func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 2) }).Update("age", 41).Error
		}},
		{name: "hooks", do: func(w *writeWorld) error { return w.db.Model(&writeHooked{ID: 1}).Update("name", "changed").Error }},
		{name: "hooks skipped by UpdateColumn", do: func(w *writeWorld) error {
			return w.db.Model(&writeHooked{ID: 1}).UpdateColumn("name", "changed").Error
		}},
		{name: "generics Update", do: func(w *writeWorld) error {
			_, err := gorm.G[writeUser](w.db).Where("id = ?", 1).Update(context.Background(), "age", 41)
			return err
		}},
		{name: "generics Updates", do: func(w *writeWorld) error {
			_, err := gorm.G[writeUser](w.db).Where("id = ?", 1).Updates(context.Background(), writeUser{Name: "eve"})
			return err
		}},
		{name: "generics Set", do: func(w *writeWorld) error {
			_, err := gorm.G[writeUser](w.db).Where("name = ?", "ann").Set(clause.Assignment{Column: clause.Column{Name: "age"}, Value: 41}).Update(context.Background())
			return err
		}},
		{name: "generics Table", do: func(w *writeWorld) error {
			_, err := gorm.G[writeUser](w.db).Table("write_users AS u").Where("u.id = ?", 1).Update(context.Background(), "age", 41)
			return err
		}},
		{name: "Table with a map", do: func(w *writeWorld) error {
			return w.db.Table("write_users").Where("id = ?", 1).Updates(map[string]any{"age": 41}).Error
		}},
		{name: "Table with an alias", do: func(w *writeWorld) error {
			return w.db.Table("write_users AS u").Where("u.id = ?", 1).Updates(map[string]any{"age": 41}).Error
		}},
		{name: "Table with an alias, small letters", only: "sqlite postgres", do: func(w *writeWorld) error {
			return w.db.Table("write_users as u").Where("u.name = ?", "ann").Update("age", 41).Error
		}},
		{name: "Table in capitals", only: "sqlite", do: func(w *writeWorld) error {
			return w.db.Table("Write_Users").Where("id = ?", 1).Update("age", 41).Error
		}},
		{name: "Table qualified", only: "sqlite", do: func(w *writeWorld) error {
			return w.db.Table("main.write_users").Where("id = ?", 1).Update("age", 41).Error
		}},
		{name: "Table qualified by the schema", only: "postgres mysql", do: func(w *writeWorld) error {
			return w.db.Table(w.schema()+".write_users").Where("id = ?", 1).Update("age", 41).Error
		}},
		{name: "Table quoted", only: "postgres", do: func(w *writeWorld) error {
			return w.db.Table(`"write_users"`).Where("id = ?", 1).Update("age", 41).Error
		}},
		{name: "Table of another model", do: func(w *writeWorld) error {
			return w.db.Table("write_posts").Model(&writeNote{}).Where("id = ?", 1).Update("title", "x").Error
		}},
		{name: "Table expression", only: "mysql", do: func(w *writeWorld) error {
			return w.db.Table("? , write_orgs AS o", clause.Table{Name: "write_users", Alias: "u"}).Where("o.id = u.org_id AND o.name = ?", "one").
				Updates(map[string]any{"u.age": 41, "o.name": "changed"}).Error
		}},
		{name: "bad value", fails: true, noop: true, do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 1}).Update("age", writeBadValue{}).Error
		}},
		{name: "constraint violated", fails: true, noop: true, do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 1}).Update("email", "bob@x").Error
		}},
		{name: "constraint violated without transaction", fails: true, noop: true, hold: true, config: &gorm.Config{SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 1}).Update("email", "bob@x").Error
		}},
		{name: "without transaction", config: &gorm.Config{SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 1}).Update("age", 41).Error
		}},
		{name: "value panics without transaction", fails: true, noop: true, hold: true, config: &gorm.Config{SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return writeRecovered(func() error { return w.db.Model(&writeUser{ID: 1}).Update("age", writeBadValue{true}).Error })
		}},
		{name: "hook panics after the statement, without transaction", fails: true, hold: true, config: &gorm.Config{SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return writeRecovered(func() error { return w.db.Create(&writeHooked{Name: "after panics"}).Error })
		}},
		{name: "hook panics before the statement, without transaction", fails: true, noop: true, hold: true, config: &gorm.Config{SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return writeRecovered(func() error { return w.db.Create(&writeHooked{Name: "before panics"}).Error })
		}},
		{name: "hook fails after the statement, without transaction", fails: true, hold: true, config: &gorm.Config{SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return w.db.Create(&writeHooked{Name: "after fails"}).Error
		}},
		{name: "hook fails before", fails: true, noop: true, survives: true, do: func(w *writeWorld) error { return w.db.Create(&writeHooked{Name: "before fails"}).Error }},
		{name: "hook fails after", fails: true, noop: true, survives: true, do: func(w *writeWorld) error { return w.db.Create(&writeHooked{Name: "after fails"}).Error }},
		{name: "hook panics in a transaction", fails: true, noop: true, survives: true, do: func(w *writeWorld) error {
			return writeRecovered(func() error {
				return w.db.Transaction(func(tx *gorm.DB) error { return tx.Create(&writeHooked{Name: "after panics"}).Error })
			})
		}},
		{name: "dry run", noop: true, survives: true, do: func(w *writeWorld) error {
			return w.db.Session(&gorm.Session{DryRun: true}).Model(&writeUser{ID: 1}).Update("age", 41).Error
		}},
		{name: "dry runs of all", noop: true, survives: true, do: func(w *writeWorld) error {
			db := w.db.Session(&gorm.Session{DryRun: true})
			return errors.Join(db.Create(writeNewUser("eve")).Error, db.Delete(&writeUser{ID: 1}).Error,
				db.Exec("DELETE FROM write_comments").Error, db.Where("1 = 1").Delete(&writeDoc{}).Error)
		}},
		{name: "ToSQL", noop: true, survives: true, do: func(w *writeWorld) error {
			w.db.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Model(&writeUser{ID: 1}).Update("age", 41) })
			return nil
		}},
		{name: "statement error", fails: true, noop: true, do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{}).Where("no_such_column = ?", 1).Update("age", 41).Error
		}},
		{name: "prepared", config: &gorm.Config{PrepareStmt: true}, do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 1}).Update("age", 41).Error
		}},
		{name: "prepared, without transaction", config: &gorm.Config{PrepareStmt: true, SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 1}).Update("age", 41).Error
		}},
		{name: "prepared per session, without transaction", do: func(w *writeWorld) error {
			return w.db.Session(&gorm.Session{PrepareStmt: true, SkipDefaultTransaction: true}).Model(&writeUser{ID: 1}).Update("age", 41).Error
		}},
		{name: "early handle", do: func(w *writeWorld) error { return w.early.Model(&writeUser{ID: 1}).Update("age", 41).Error }},
		{name: "early handle, Exec", do: func(w *writeWorld) error { return w.early.Exec("UPDATE write_users SET age = 41").Error }},
		{name: "early handle, transaction", do: func(w *writeWorld) error {
			return w.early.Transaction(func(tx *gorm.DB) error { return tx.Model(&writeUser{ID: 1}).Update("age", 41).Error })
		}},
		{name: "context", do: func(w *writeWorld) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			return w.db.WithContext(ctx).Model(&writeUser{ID: 1}).Update("age", 41).Error
		}},
		{name: "cancelled context", fails: true, noop: true, hold: true, do: func(w *writeWorld) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return w.db.WithContext(ctx).Model(&writeUser{ID: 1}).Update("age", 41).Error
		}},
		{name: "shared chain", do: func(w *writeWorld) error {
			tx := w.db.Model(&writeUser{}).Where("id = ?", 1)
			var user writeUser
			if err := tx.Session(&gorm.Session{}).First(&user).Error; err != nil {
				return err
			}
			return tx.Session(&gorm.Session{}).Update("age", 41).Error
		}},
		{name: "through a query's result handle", do: func(w *writeWorld) error {
			var users []writeUser
			return w.db.FindInBatches(&users, 2, func(tx *gorm.DB, batch int) error {
				for i := range users {
					users[i].Age++
				}
				return tx.Save(&users).Error
			}).Error
		}},
	})
}

// schema is the name of the schema (PostgreSQL) or database (MySQL) that a test has for itself.
func (w *writeWorld) schema() string {
	var name sql.NullString
	query := "SELECT current_schema()"
	if w.d.Dialect == "mysql" {
		query = "SELECT DATABASE()"
	}
	w.plain.Raw(query).Scan(&name)
	return name.String
}

func TestWriteDelete(t *testing.T) {
	t.Parallel()
	writeCheck(t, []writeForm{
		{name: "by value", do: func(w *writeWorld) error { return w.db.Delete(&writeComment{ID: 1}).Error }},
		{name: "by values", do: func(w *writeWorld) error { return w.db.Delete([]writeComment{{ID: 1}, {ID: 3}}).Error }},
		{name: "by key", do: func(w *writeWorld) error { return w.db.Delete(&writeComment{}, 1).Error }},
		{name: "by keys", do: func(w *writeWorld) error { return w.db.Delete(&writeComment{}, []int{1, 2}).Error }},
		{name: "by string key", do: func(w *writeWorld) error { return w.db.Delete(&writeComment{}, "1").Error }},
		{name: "by condition", do: func(w *writeWorld) error { return w.db.Where("body LIKE ?", "c%").Delete(&writeComment{}).Error }},
		{name: "by inline condition", do: func(w *writeWorld) error { return w.db.Delete(&writeComment{}, "post_id = ?", 1).Error }},
		{name: "by struct", do: func(w *writeWorld) error { return w.db.Where(&writeComment{PostID: 1}).Delete(&writeComment{}).Error }},
		{name: "returning", only: "sqlite postgres", do: func(w *writeWorld) error {
			var gone []writeComment
			return w.db.Clauses(clause.Returning{}).Where("post_id = ?", 1).Delete(&gone).Error
		}},
		{name: "soft", do: func(w *writeWorld) error { return w.db.Delete(&writeDoc{ID: 1}).Error }},
		{name: "soft by condition", do: func(w *writeWorld) error { return w.db.Where("version = ?", 1).Delete(&writeDoc{}).Error }},
		{name: "hard", do: func(w *writeWorld) error { return w.db.Unscoped().Delete(&writeDoc{ID: 1}).Error }},
		{name: "soft twice", do: func(w *writeWorld) error {
			return errors.Join(w.db.Delete(&writeDoc{ID: 1}).Error, w.db.Delete(&writeDoc{ID: 1}).Error)
		}},
		{name: "soft and undone", do: func(w *writeWorld) error {
			if err := w.db.Delete(&writeDoc{ID: 1}).Error; err != nil {
				return err
			}
			w.equal(&testing.T{}, "between")
			return w.db.Unscoped().Model(&writeDoc{ID: 1}).Updates(map[string]any{"deleted_at": nil, "version": 2}).Error
		}},
		{name: "no row", noop: true, do: func(w *writeWorld) error { return w.db.Delete(&writeComment{ID: 4711}).Error }},
		{name: "without a condition", fails: true, noop: true, survives: true, do: func(w *writeWorld) error { return w.db.Delete(&writeComment{}).Error }},
		{name: "global", do: func(w *writeWorld) error {
			return w.db.Session(&gorm.Session{AllowGlobalUpdate: true}).Delete(&writeComment{}).Error
		}},
		{name: "cascade, parent's side", do: func(w *writeWorld) error { return w.db.Delete(&writeUser{ID: 2}).Error }},
		{name: "cascade, two levels", do: func(w *writeWorld) error { return w.db.Delete(&writeUser{ID: 1}).Error }},
		{name: "cascade by condition", do: func(w *writeWorld) error { return w.db.Where("name = ?", "ann").Delete(&writeUser{}).Error }},
		{name: "cascade, child's side", do: func(w *writeWorld) error { return w.db.Delete(&writePost{ID: 1}).Error }},
		{name: "set null", do: func(w *writeWorld) error { return w.db.Delete(&writeOrg{ID: 1}).Error }},
		{name: "set null on itself", do: func(w *writeWorld) error { return w.db.Omit("Posts").Delete(&writeUser{}, 1).Error }},
		{name: "cascade, then set null", do: func(w *writeWorld) error { return w.db.Delete(&writeCountry{Code: "at"}).Error }},
		{name: "cascade, then set null by Exec", do: func(w *writeWorld) error { return w.db.Exec("DELETE FROM write_countries WHERE code = 'at'").Error }},
		{name: "cascade by Table", do: func(w *writeWorld) error {
			return w.db.Table("write_users").Where("id = ?", 1).Delete(nil).Error
		}},
		{name: "cascade by Exec", do: func(w *writeWorld) error { return w.db.Exec("DELETE FROM write_users WHERE id = ?", 1).Error }},
		{name: "cascade through a join table", do: func(w *writeWorld) error { return w.db.Delete(&writeTag{ID: 1}).Error }},
		{name: "update cascades two levels", do: func(w *writeWorld) error {
			return w.db.Model(&writeCountry{}).Where("code = ?", "at").Update("code", "xx").Error
		}},
		{name: "update cascades two levels by Exec", do: func(w *writeWorld) error {
			return w.db.Exec("UPDATE write_countries SET code = 'xx' WHERE code = 'at'").Error
		}},
		{name: "update cascades from the parent's side", do: func(w *writeWorld) error {
			return w.db.Model(&writeOrg{}).Where("id = ?", 1).Update("id", 55).Error
		}},
		{name: "update cascades from users", do: func(w *writeWorld) error {
			if err := w.db.Exec("DELETE FROM write_profiles").Error; err != nil {
				return err
			}
			if err := w.db.Exec("UPDATE write_users SET boss_id = NULL").Error; err != nil {
				return err
			}
			return w.db.Model(&writeUser{}).Where("id = ?", 1).Update("id", 55).Error
		}},
		{name: "replace cascades", only: "sqlite mysql", do: func(w *writeWorld) error {
			return w.db.Exec("REPLACE INTO write_posts (id, user_id, title, views) VALUES (1, 2, 'replaced', 5)").Error
		}},
		{name: "replace cascades over the unique index", only: "sqlite mysql", do: func(w *writeWorld) error {
			return w.db.Exec("REPLACE INTO write_users (id, name, email) VALUES (9, 'eve', 'ann@x')").Error
		}},
		{name: "with associations", do: func(w *writeWorld) error {
			return w.db.Select("Profile", "Posts", "Tags", "Notes").Delete(&writeUser{ID: 1}).Error
		}},
		{name: "with all associations", do: func(w *writeWorld) error {
			return w.db.Select(clause.Associations).Delete(&writeUser{ID: 1}).Error
		}},
		{name: "soft with associations", do: func(w *writeWorld) error { return w.db.Select("Notes").Delete(&writeDoc{ID: 1}).Error }},
		{name: "hooks", do: func(w *writeWorld) error { return w.db.Delete(&writeHooked{ID: 1}).Error }},
		{name: "generics", do: func(w *writeWorld) error {
			_, err := gorm.G[writeComment](w.db).Where("post_id = ?", 1).Delete(context.Background())
			return err
		}},
		{name: "generics soft", do: func(w *writeWorld) error {
			_, err := gorm.G[writeDoc](w.db).Where("id = ?", 1).Delete(context.Background())
			return err
		}},
		{name: "Table with a model", do: func(w *writeWorld) error {
			return w.db.Table("write_comments").Where("id = ?", 1).Delete(&struct{ ID int }{}).Error
		}},
		{name: "parent restricted", fails: true, noop: true, do: func(w *writeWorld) error {
			if err := w.plain.Exec("CREATE TABLE write_restricts (id integer, tag_id " + map[string]string{"sqlite": "integer", "postgres": "bigint", "mysql": "bigint unsigned"}[w.d.Dialect] +
				", CONSTRAINT fk_restrict FOREIGN KEY (tag_id) REFERENCES write_tags(id))").Error; err != nil {
				return nil
			}
			defer w.plain.Exec("DROP TABLE write_restricts")
			if err := w.plain.Exec("INSERT INTO write_restricts VALUES (1, 1)").Error; err != nil {
				return nil
			}
			return w.db.Delete(&writeTag{ID: 1}).Error
		}},
	})
}

func TestWriteAssociation(t *testing.T) {
	t.Parallel()
	user := func(w *writeWorld, name string) *gorm.Association {
		return w.db.Model(&writeUser{ID: 1}).Association(name)
	}
	writeCheck(t, []writeForm{
		{name: "append many2many, new", do: func(w *writeWorld) error { return user(w, "Tags").Append(&writeTag{Name: "new"}) }},
		{name: "append many2many, known", do: func(w *writeWorld) error { return user(w, "Tags").Append(&writeTag{ID: 3}) }},
		{name: "replace many2many", do: func(w *writeWorld) error { return user(w, "Tags").Replace(&writeTag{ID: 3, Name: "green"}) }},
		{name: "delete many2many", do: func(w *writeWorld) error { return user(w, "Tags").Delete(&writeTag{ID: 1}) }},
		{name: "clear many2many", do: func(w *writeWorld) error { return user(w, "Tags").Clear() }},
		{name: "unscoped clear many2many", do: func(w *writeWorld) error { return user(w, "Tags").Unscoped().Clear() }},
		{name: "append has many", do: func(w *writeWorld) error { return user(w, "Posts").Append(&writePost{Title: "new", Views: 9}) }},
		{name: "append has many, of another", do: func(w *writeWorld) error {
			return user(w, "Posts").Append(&writePost{ID: 3, Title: "p3", Views: 3})
		}},
		{name: "delete has many, unscoped", do: func(w *writeWorld) error { return user(w, "Posts").Unscoped().Delete(&writePost{ID: 1}) }},
		{name: "clear has many, unscoped", do: func(w *writeWorld) error { return user(w, "Posts").Unscoped().Clear() }},
		{name: "replace has one, unscoped", do: func(w *writeWorld) error {
			return user(w, "Profile").Unscoped().Replace(&writeProfile{Bio: "new"})
		}},
		{name: "append belongs to", do: func(w *writeWorld) error { return user(w, "Org").Append(&writeOrg{ID: 3, Name: "three"}) }},
		{name: "append belongs to, new", do: func(w *writeWorld) error { return user(w, "Org").Append(&writeOrg{Name: "new"}) }},
		{name: "clear belongs to", do: func(w *writeWorld) error {
			return w.db.Model(&writeUser{ID: 1, OrgID: writePtr(uint(1))}).Association("Org").Clear()
		}},
		{name: "replace from the other end", do: func(w *writeWorld) error {
			return w.db.Model(&writeOrg{ID: 1}).Association("Users").Replace(&writeUser{ID: 4, Name: "dee", Age: 40})
		}},
		{name: "delete from the other end", do: func(w *writeWorld) error {
			return w.db.Model(&writeOrg{ID: 1}).Association("Users").Delete(&writeUser{ID: 1})
		}},
		{name: "clear from the other end", do: func(w *writeWorld) error { return w.db.Model(&writeOrg{ID: 1}).Association("Users").Clear() }},
		{name: "append polymorphic", do: func(w *writeWorld) error { return user(w, "Notes").Append(&writeNote{Text: "new"}) }},
		{name: "clear polymorphic, unscoped", do: func(w *writeWorld) error { return user(w, "Notes").Unscoped().Clear() }},
		{name: "delete polymorphic, unscoped", do: func(w *writeWorld) error {
			return w.db.Model(&writeDoc{ID: 1}).Association("Notes").Unscoped().Delete(&writeNote{ID: 2})
		}},
		{name: "append to several", do: func(w *writeWorld) error {
			return w.db.Model([]writeUser{{ID: 1}, {ID: 2}}).Association("Tags").Append(&writeTag{ID: 3}, &writeTag{Name: "new"})
		}},
		{name: "count and find", noop: true, survives: true, do: func(w *writeWorld) error {
			var tags []writeTag
			if n := user(w, "Tags").Count(); n != 2 {
				return fmt.Errorf("%d tags", n)
			}
			return user(w, "Tags").Find(&tags)
		}},
		{name: "in a transaction", do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error { return tx.Model(&writeUser{ID: 1}).Association("Tags").Clear() })
		}},
		{name: "in a transaction that fails", fails: true, noop: true, survives: true, do: func(w *writeWorld) error {
			return w.db.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Model(&writeUser{ID: 1}).Association("Tags").Clear(), errWriteHook)
			})
		}},
		{name: "without default transaction", config: &gorm.Config{SkipDefaultTransaction: true}, do: func(w *writeWorld) error {
			return user(w, "Tags").Replace(&writeTag{Name: "new"})
		}},
	})
}
