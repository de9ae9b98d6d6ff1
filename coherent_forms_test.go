package preload_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"

	"github.com/gorm-preload/preload/internal/worldtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// No answer that was in memory before a write is given after it, whatever form the write has.

func TestWriteNothing(t *testing.T) {
	t.Parallel()
	worldtest.CheckForms(t, writeOpen, []worldtest.Form{
		{Name: "nothing", NoOp: true, Survives: true, Do: func(w *worldtest.World) error { return nil }},
	})
}

func writeNewUser(name string) *worldtest.WriteUser {
	return &worldtest.WriteUser{Name: name, Email: worldtest.Ptr("new@x"), Age: 41, OrgID: worldtest.Ptr(uint(1))}
}

func TestWriteCreate(t *testing.T) {
	t.Parallel()
	email := []clause.Column{{Name: "email"}}
	id := []clause.Column{{Name: "id"}}
	worldtest.CheckForms(t, writeOpen, []worldtest.Form{
		{Name: "one", Do: func(w *worldtest.World) error { return w.DB.Create(writeNewUser("eve")).Error }},
		{Name: "one that was missing by key", Do: func(w *worldtest.World) error { return w.DB.Create(&worldtest.WriteUser{ID: 77, Name: "x"}).Error }},
		{Name: "batch", Do: func(w *worldtest.World) error {
			return w.DB.Create([]*worldtest.WriteUser{writeNewUser("eve"), {Name: "fay"}}).Error
		}},
		{Name: "in batches", Do: func(w *worldtest.World) error {
			return w.DB.CreateInBatches([]worldtest.WriteUser{{Name: "eve"}, {Name: "fay"}, {Name: "gil", Age: 41}}, 2).Error
		}},
		{Name: "CreateBatchSize", Config: &gorm.Config{CreateBatchSize: 2}, Do: func(w *worldtest.World) error {
			return w.DB.Create([]worldtest.WriteUser{{Name: "eve"}, {Name: "fay"}, {Name: "gil", Age: 41}}).Error
		}},
		{Name: "map", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Create(map[string]any{"name": "eve", "age": 41}).Error
		}},
		{Name: "maps", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Create(&[]map[string]any{{"Name": "eve", "Age": 41}, {"Name": "fay", "Age": 5}}).Error
		}},
		{Name: "map with an expression", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Create(map[string]any{"name": gorm.Expr("LOWER(?)", "EVE"), "age": gorm.Expr("40 + ?", 1)}).Error
		}},
		{Name: "select", Do: func(w *worldtest.World) error { return w.DB.Select("Name", "Age").Create(writeNewUser("eve")).Error }},
		{Name: "omit", Do: func(w *worldtest.World) error { return w.DB.Omit("OrgID").Create(writeNewUser("eve")).Error }},
		{Name: "with associations", Do: func(w *worldtest.World) error {
			user := writeNewUser("eve")
			user.OrgID, user.Org = nil, &worldtest.WriteOrg{Name: "new"}
			user.Profile = worldtest.WriteProfile{Bio: "new"}
			user.Posts = []worldtest.WritePost{{Title: "new", Views: 9}}
			user.Tags = []worldtest.WriteTag{{ID: 1}, {Name: "new"}}
			user.Notes = []worldtest.WriteNote{{Text: "new"}}
			return w.DB.Create(user).Error
		}},
		{Name: "with associations that exist", Do: func(w *worldtest.World) error {
			user := writeNewUser("eve")
			user.Org = &worldtest.WriteOrg{ID: 2, Name: "changed"}
			user.Tags = []worldtest.WriteTag{{ID: 1, Name: "changed"}}
			user.Posts = []worldtest.WritePost{{ID: 1, Title: "taken", Views: 9}}
			return w.DB.Session(&gorm.Session{FullSaveAssociations: true}).Create(user).Error
		}},
		{Name: "child with a new parent", Do: func(w *worldtest.World) error {
			return w.DB.Create(&worldtest.WriteComment{Body: "c", Post: &worldtest.WritePost{UserID: 1, Title: "new", Views: 5}}).Error
		}},
		{Name: "conflict, do nothing", NoOp: true, Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.OnConflict{DoNothing: true}).Create(&worldtest.WriteUser{Name: "eve", Email: worldtest.Ptr("ann@x")}).Error
		}},
		{Name: "no conflict, do nothing", Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.OnConflict{DoNothing: true}).Create(writeNewUser("eve")).Error
		}},
		{Name: "conflict, update", Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.OnConflict{Columns: email, DoUpdates: clause.AssignmentColumns([]string{"name", "age"})}).
				Create(&worldtest.WriteUser{Name: "eve", Age: 41, Email: worldtest.Ptr("ann@x")}).Error
		}},
		{Name: "conflict, assign", Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.OnConflict{Columns: email, DoUpdates: clause.Assignments(map[string]any{"age": 99})}).
				Create(&worldtest.WriteUser{Name: "eve", Age: 41, Email: worldtest.Ptr("cid@x")}).Error
		}},
		{Name: "conflict, assign an expression", Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.OnConflict{Columns: email, DoUpdates: clause.Assignments(map[string]any{"age": gorm.Expr("write_users.age + 1")})}).
				Create(&worldtest.WriteUser{Name: "eve", Email: worldtest.Ptr("cid@x")}).Error
		}},
		{Name: "conflict, update all", Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.OnConflict{Columns: id, UpdateAll: true}).Create(&worldtest.WriteUser{ID: 2, Name: "eve", Age: 41}).Error
		}},
		{Name: "batch, some conflict", Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.OnConflict{UpdateAll: true}).
				Create([]worldtest.WritePost{{ID: 3, UserID: 1, Title: "moved"}, {ID: 2001, UserID: 2, Title: "new", Views: 7}}).Error
		}},
		{Name: "OR REPLACE", Only: "sqlite", Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.Insert{Modifier: "OR REPLACE"}).Omit(clause.Associations).
				Create(&worldtest.WriteUser{ID: 9, Name: "eve", Email: worldtest.Ptr("bob@x")}).Error
		}},
		{Name: "OR IGNORE", Only: "sqlite", Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.Insert{Modifier: "OR IGNORE"}).Omit(clause.Associations).
				Create([]worldtest.WriteUser{{Name: "eve", Email: worldtest.Ptr("bob@x")}, {Name: "fay", Email: worldtest.Ptr("new@x"), Age: 3}}).Error
		}},
		{Name: "IGNORE", Only: "mysql", Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.Insert{Modifier: "IGNORE"}).Omit(clause.Associations).
				Create([]worldtest.WriteUser{{Name: "eve", Email: worldtest.Ptr("bob@x")}, {Name: "fay", Email: worldtest.Ptr("new@x"), Age: 3}}).Error
		}},
		{Name: "returning", Only: "sqlite postgres", Do: func(w *worldtest.World) error {
			return w.DB.Clauses(clause.Returning{}).Create(writeNewUser("eve")).Error
		}},
		{Name: "soft-delete model", Do: func(w *worldtest.World) error { return w.DB.Create(&worldtest.WriteDoc{Title: "d", Version: 1}).Error }},
		{Name: "FirstOrCreate, creates", Do: func(w *worldtest.World) error {
			var user worldtest.WriteUser
			return w.DB.Where(worldtest.WriteUser{Name: "eve"}).Attrs(worldtest.WriteUser{Age: 41}).FirstOrCreate(&user).Error
		}},
		{Name: "FirstOrCreate, finds", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			var user worldtest.WriteUser
			return w.DB.Where(worldtest.WriteUser{Name: "ann"}).Attrs(worldtest.WriteUser{Age: 41}).FirstOrCreate(&user).Error
		}},
		{Name: "FirstOrCreate, finds and assigns", Do: func(w *worldtest.World) error {
			var user worldtest.WriteUser
			return w.DB.Where(worldtest.WriteUser{Name: "ann"}).Assign(worldtest.WriteUser{Age: 41}).FirstOrCreate(&user).Error
		}},
		{Name: "FirstOrCreate twice", Do: func(w *worldtest.World) error {
			for range 2 {
				var user worldtest.WriteUser
				if err := w.DB.Where(worldtest.WriteUser{Name: "eve"}).Assign(map[string]any{"age": 41}).FirstOrCreate(&user).Error; err != nil {
					return err
				}
				var n int64
				w.Plain.Model(&worldtest.WriteUser{}).Where("name = ?", "eve").Count(&n)
				if n != 1 {
					return fmt.Errorf("%d rows", n)
				}
			}
			return nil
		}},
		{Name: "generics", Do: func(w *worldtest.World) error {
			return gorm.G[worldtest.WriteUser](w.DB).Create(context.Background(), writeNewUser("eve"))
		}},
		{Name: "generics, batches", Do: func(w *worldtest.World) error {
			return gorm.G[worldtest.WritePost](w.DB).CreateInBatches(context.Background(), &[]worldtest.WritePost{{UserID: 1, Views: 9}, {UserID: 2}, {UserID: 1}}, 2)
		}},
		{Name: "generics, conflict", Do: func(w *worldtest.World) error {
			return gorm.G[worldtest.WriteUser](w.DB, clause.OnConflict{Columns: id, DoUpdates: clause.AssignmentColumns([]string{"name"})}).
				Create(context.Background(), &worldtest.WriteUser{ID: 1, Name: "eve"})
		}},
		{Name: "generics, Set", Do: func(w *worldtest.World) error {
			return gorm.G[worldtest.WritePost](w.DB).Set(clause.Assignment{Column: clause.Column{Name: "user_id"}, Value: 1},
				clause.Assignment{Column: clause.Column{Name: "title"}, Value: "set"}, clause.Assignment{Column: clause.Column{Name: "views"}, Value: 8}).Create(context.Background())
		}},
		{Name: "Table with a map", Do: func(w *worldtest.World) error {
			return w.DB.Table("write_users").Create(map[string]any{"name": "eve", "age": 41}).Error
		}},
		{Name: "Table with another struct", Do: func(w *worldtest.World) error {
			type other struct {
				Name string
				Age  int
			}
			return w.DB.Table("write_users").Create(&other{"eve", 41}).Error
		}},
		{Name: "Table in capitals", Only: "sqlite", Do: func(w *worldtest.World) error {
			return w.DB.Table("WRITE_USERS").Create(map[string]any{"name": "eve", "age": 41}).Error
		}},
		{Name: "join table", Do: func(w *worldtest.World) error {
			return w.DB.Table("write_user_tags").Create(map[string]any{"write_user_id": 1, "write_tag_id": 3}).Error
		}},
		{Name: "hooks", Do: func(w *worldtest.World) error { return w.DB.Create(&worldtest.WriteHooked{Name: "h3"}).Error }},
		{Name: "hooks skipped", Do: func(w *worldtest.World) error {
			return w.DB.Session(&gorm.Session{SkipHooks: true}).Create(&worldtest.WriteHooked{Name: "h3"}).Error
		}},
		{Name: "without transaction", Config: &gorm.Config{SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return w.DB.Create(writeNewUser("eve")).Error
		}},
		{Name: "without transaction, hooks", Config: &gorm.Config{SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return w.DB.Create(&worldtest.WriteHooked{Name: "h3"}).Error
		}},
		{Name: "prepared", Config: &gorm.Config{PrepareStmt: true}, Do: func(w *worldtest.World) error { return w.DB.Create(writeNewUser("eve")).Error }},
		{Name: "early handle", Do: func(w *worldtest.World) error { return w.Early.Create(writeNewUser("eve")).Error }},
	})
}

func TestWriteSave(t *testing.T) {
	t.Parallel()
	worldtest.CheckForms(t, writeOpen, []worldtest.Form{
		{Name: "struct", Do: func(w *worldtest.World) error {
			var user worldtest.WriteUser
			if err := w.DB.First(&user, 2).Error; err != nil {
				return err
			}
			user.Age, user.OrgID = 41, nil
			return w.DB.Save(&user).Error
		}},
		{Name: "new", Do: func(w *worldtest.World) error { return w.DB.Save(&worldtest.WriteUser{Name: "eve"}).Error }},
		{Name: "new with a key", Do: func(w *worldtest.World) error { return w.DB.Save(&worldtest.WriteUser{ID: 77, Name: "eve"}).Error }},
		{Name: "slice", Do: func(w *worldtest.World) error {
			return w.DB.Save([]worldtest.WritePost{{ID: 1, UserID: 2, Title: "moved"}, {UserID: 1, Title: "new"}}).Error
		}},
		{Name: "with associations", Do: func(w *worldtest.World) error {
			var user worldtest.WriteUser
			if err := w.DB.Preload("Posts").Preload("Profile").First(&user, 1).Error; err != nil {
				return err
			}
			user.Posts[0].Views, user.Profile.Bio = 77, "z"
			user.Posts = append(user.Posts, worldtest.WritePost{Title: "new", Views: 50})
			return w.DB.Session(&gorm.Session{FullSaveAssociations: true}).Save(&user).Error
		}},
		{Name: "soft-deleted row", Do: func(w *worldtest.World) error {
			doc := worldtest.WriteDoc{ID: 1, Title: "d1", Version: 1, DeletedAt: gorm.DeletedAt{Time: w.Clock.Now(), Valid: true}}
			return w.DB.Save(&doc).Error
		}},
		{Name: "hooks", Do: func(w *worldtest.World) error { return w.DB.Save(&worldtest.WriteHooked{ID: 1, Name: "saved"}).Error }},
		{Name: "prepared per session", Do: func(w *worldtest.World) error {
			db := w.DB.Session(&gorm.Session{PrepareStmt: true})
			return db.Save(&worldtest.WritePost{ID: 1, UserID: 2, Title: "moved"}).Error
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
	worldtest.CheckForms(t, writeOpen, []worldtest.Form{
		{Name: "Update", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Where("id = ?", 1).Update("age", 41).Error
		}},
		{Name: "Update by key in the model", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 3}).Update("name", "ann").Error
		}},
		{Name: "Update of several models", Do: func(w *worldtest.World) error {
			return w.DB.Model([]worldtest.WriteUser{{ID: 1}, {ID: 3}}).Update("name", "eve").Error
		}},
		{Name: "Update by key and condition", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 3}).Where("age = ?", 30).Update("age", 41).Error
		}},
		{Name: "Update by key and condition, no row", NoOp: true, Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 3}).Where("age = ?", 31).Update("age", 41).Error
		}},
		{Name: "Updates struct", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Where("age > ?", 15).Updates(worldtest.WriteUser{Name: "eve", OrgID: worldtest.Ptr(uint(3))}).Error
		}},
		{Name: "Updates struct with key", Do: func(w *worldtest.World) error { return w.DB.Updates(&worldtest.WriteUser{ID: 1, Name: "eve"}).Error }},
		{Name: "Updates map", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Where("name = ?", "bob").Updates(map[string]any{"age": 0, "org_id": nil}).Error
		}},
		{Name: "Updates map by Go names", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 4}).Updates(map[string]any{"Age": 20, "OrgID": 1}).Error
		}},
		{Name: "Updates select", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1}).Select("Name", "Age").Updates(worldtest.WriteUser{Name: "eve", OrgID: worldtest.Ptr(uint(3))}).Error
		}},
		{Name: "Updates select all", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WritePost{ID: 1}).Select("*").Updates(worldtest.WritePost{ID: 1, UserID: 2, Title: "all"}).Error
		}},
		{Name: "Updates omit", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1}).Omit("Name").Updates(map[string]any{"name": "eve", "age": 41}).Error
		}},
		{Name: "UpdateColumn", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1}).UpdateColumn("age", 41).Error
		}},
		{Name: "UpdateColumns", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1}).UpdateColumns(map[string]any{"age": 41, "name": "dee"}).Error
		}},
		{Name: "expression", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Where("name = ?", "ann").Update("age", gorm.Expr("age * ? + ?", 2, 1)).Error
		}},
		{Name: "sub-query", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 4}).Update("age", w.DB.Model(&worldtest.WritePost{}).Select("SUM(views)")).Error
		}},
		{Name: "where sub-query", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WritePost{}).Where("user_id IN (?)", w.DB.Model(&worldtest.WriteUser{}).Select("id").Where("name = ?", "bob")).Update("views", 99).Error
		}},
		{Name: "where key by hand", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Where(map[string]any{"id": []int{1, 2}}).Update("age", 41).Error
		}},
		{Name: "or", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Where("id = ?", 77).Or("name = ?", "dee").Update("age", 41).Error
		}},
		{Name: "not", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Not("id = ?", 1).Update("age", 41).Error
		}},
		{Name: "filter column", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WritePost{ID: 3}).Update("user_id", 1).Error
		}},
		{Name: "key", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteDoc{}).Where("id = ?", 2).Update("id", 77).Error
		}},
		{Name: "swap keys' rows", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteTag{}).Where("id = ?", 3).UpdateColumn("id", 33).Error
		}},
		{Name: "global", Do: func(w *worldtest.World) error {
			return w.DB.Session(&gorm.Session{AllowGlobalUpdate: true}).Model(&worldtest.WriteUser{}).Update("age", 1).Error
		}},
		{Name: "global without leave", Fails: true, NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Update("age", 1).Error
		}},
		{Name: "global by 1 = 1", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Where("1 = 1").Update("age", 1).Error
		}},
		{Name: "no row", NoOp: true, Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Where("id = ?", 12345).Update("age", 1).Error
		}},
		{Name: "limit", Only: "mysql", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Where("1 = 1").Order("id DESC").Limit(1).Update("age", 1).Error
		}},
		{Name: "returning", Only: "sqlite postgres", Do: func(w *worldtest.World) error {
			var users []worldtest.WriteUser
			return w.DB.Model(&users).Clauses(clause.Returning{}).Where("age > ?", 15).Update("age", gorm.Expr("age + 1")).Error
		}},
		{Name: "returning columns", Only: "sqlite postgres", Do: func(w *worldtest.World) error {
			var user worldtest.WriteUser
			return w.DB.Model(&user).Clauses(clause.Returning{Columns: []clause.Column{{Name: "age"}}}).Where("id = ?", 1).Update("age", 77).Error
		}},
		{Name: "soft-deleted", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteDoc{}).Where("id = ?", 1).Update("deleted_at", w.Clock.Now()).Error
		}},
		{Name: "unscoped", Do: func(w *worldtest.World) error {
			return w.DB.Unscoped().Model(&worldtest.WriteDoc{}).Where("id = ?", 1).Update("version", 2).Error
		}},
		{Name: "scopes", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Scopes(func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", 2) }).Update("age", 41).Error
		}},
		{Name: "hooks", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteHooked{ID: 1}).Update("name", "changed").Error
		}},
		{Name: "hooks skipped by UpdateColumn", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteHooked{ID: 1}).UpdateColumn("name", "changed").Error
		}},
		{Name: "generics Update", Do: func(w *worldtest.World) error {
			_, err := gorm.G[worldtest.WriteUser](w.DB).Where("id = ?", 1).Update(context.Background(), "age", 41)
			return err
		}},
		{Name: "generics Updates", Do: func(w *worldtest.World) error {
			_, err := gorm.G[worldtest.WriteUser](w.DB).Where("id = ?", 1).Updates(context.Background(), worldtest.WriteUser{Name: "eve"})
			return err
		}},
		{Name: "generics Set", Do: func(w *worldtest.World) error {
			_, err := gorm.G[worldtest.WriteUser](w.DB).Where("name = ?", "ann").Set(clause.Assignment{Column: clause.Column{Name: "age"}, Value: 41}).Update(context.Background())
			return err
		}},
		{Name: "generics Table", Do: func(w *worldtest.World) error {
			_, err := gorm.G[worldtest.WriteUser](w.DB).Table("write_users AS u").Where("u.id = ?", 1).Update(context.Background(), "age", 41)
			return err
		}},
		{Name: "Table with a map", Do: func(w *worldtest.World) error {
			return w.DB.Table("write_users").Where("id = ?", 1).Updates(map[string]any{"age": 41}).Error
		}},
		{Name: "Table with an alias", Do: func(w *worldtest.World) error {
			return w.DB.Table("write_users AS u").Where("u.id = ?", 1).Updates(map[string]any{"age": 41}).Error
		}},
		{Name: "Table with an alias, small letters", Only: "sqlite postgres", Do: func(w *worldtest.World) error {
			return w.DB.Table("write_users as u").Where("u.name = ?", "ann").Update("age", 41).Error
		}},
		{Name: "Table in capitals", Only: "sqlite", Do: func(w *worldtest.World) error {
			return w.DB.Table("Write_Users").Where("id = ?", 1).Update("age", 41).Error
		}},
		{Name: "Table qualified", Only: "sqlite", Do: func(w *worldtest.World) error {
			return w.DB.Table("main.write_users").Where("id = ?", 1).Update("age", 41).Error
		}},
		{Name: "Table qualified by the schema", Only: "postgres mysql", Do: func(w *worldtest.World) error {
			return w.DB.Table(writeSchema(w)+".write_users").Where("id = ?", 1).Update("age", 41).Error
		}},
		{Name: "Table quoted", Only: "postgres", Do: func(w *worldtest.World) error {
			return w.DB.Table(`"write_users"`).Where("id = ?", 1).Update("age", 41).Error
		}},
		{Name: "Table of another model", Do: func(w *worldtest.World) error {
			return w.DB.Table("write_posts").Model(&worldtest.WriteNote{}).Where("id = ?", 1).Update("title", "x").Error
		}},
		{Name: "Table expression", Only: "mysql", Do: func(w *worldtest.World) error {
			return w.DB.Table("? , write_orgs AS o", clause.Table{Name: "write_users", Alias: "u"}).Where("o.id = u.org_id AND o.name = ?", "one").
				Updates(map[string]any{"u.age": 41, "o.name": "changed"}).Error
		}},
		{Name: "bad value", Fails: true, NoOp: true, Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1}).Update("age", writeBadValue{}).Error
		}},
		{Name: "constraint violated", Fails: true, NoOp: true, Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1}).Update("email", "bob@x").Error
		}},
		{Name: "constraint violated without transaction", Fails: true, NoOp: true, Hold: true, Config: &gorm.Config{SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1}).Update("email", "bob@x").Error
		}},
		{Name: "without transaction", Config: &gorm.Config{SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error
		}},
		{Name: "value panics without transaction", Fails: true, NoOp: true, Hold: true, Config: &gorm.Config{SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return writeRecovered(func() error { return w.DB.Model(&worldtest.WriteUser{ID: 1}).Update("age", writeBadValue{true}).Error })
		}},
		{Name: "hook panics after the statement, without transaction", Fails: true, Hold: true, Config: &gorm.Config{SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return writeRecovered(func() error { return w.DB.Create(&worldtest.WriteHooked{Name: "after panics"}).Error })
		}},
		{Name: "hook panics before the statement, without transaction", Fails: true, NoOp: true, Hold: true, Config: &gorm.Config{SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return writeRecovered(func() error { return w.DB.Create(&worldtest.WriteHooked{Name: "before panics"}).Error })
		}},
		{Name: "hook fails after the statement, without transaction", Fails: true, Hold: true, Config: &gorm.Config{SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return w.DB.Create(&worldtest.WriteHooked{Name: "after fails"}).Error
		}},
		{Name: "hook fails before", Fails: true, NoOp: true, Survives: true, Do: func(w *worldtest.World) error { return w.DB.Create(&worldtest.WriteHooked{Name: "before fails"}).Error }},
		{Name: "hook fails after", Fails: true, NoOp: true, Survives: true, Do: func(w *worldtest.World) error { return w.DB.Create(&worldtest.WriteHooked{Name: "after fails"}).Error }},
		{Name: "hook panics in a transaction", Fails: true, NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			return writeRecovered(func() error {
				return w.DB.Transaction(func(tx *gorm.DB) error { return tx.Create(&worldtest.WriteHooked{Name: "after panics"}).Error })
			})
		}},
		{Name: "dry run", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			return w.DB.Session(&gorm.Session{DryRun: true}).Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error
		}},
		{Name: "dry runs of all", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			db := w.DB.Session(&gorm.Session{DryRun: true})
			return errors.Join(db.Create(writeNewUser("eve")).Error, db.Delete(&worldtest.WriteUser{ID: 1}).Error,
				db.Exec("DELETE FROM write_comments").Error, db.Where("1 = 1").Delete(&worldtest.WriteDoc{}).Error)
		}},
		{Name: "ToSQL", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			w.DB.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41) })
			return nil
		}},
		{Name: "statement error", Fails: true, NoOp: true, Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{}).Where("no_such_column = ?", 1).Update("age", 41).Error
		}},
		{Name: "prepared", Config: &gorm.Config{PrepareStmt: true}, Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error
		}},
		{Name: "prepared, without transaction", Config: &gorm.Config{PrepareStmt: true, SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error
		}},
		{Name: "prepared per session, without transaction", Do: func(w *worldtest.World) error {
			return w.DB.Session(&gorm.Session{PrepareStmt: true, SkipDefaultTransaction: true}).Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error
		}},
		{Name: "early handle", Do: func(w *worldtest.World) error {
			return w.Early.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error
		}},
		{Name: "early handle, Exec", Do: func(w *worldtest.World) error { return w.Early.Exec("UPDATE write_users SET age = 41").Error }},
		{Name: "early handle, transaction", Do: func(w *worldtest.World) error {
			return w.Early.Transaction(func(tx *gorm.DB) error { return tx.Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error })
		}},
		{Name: "context", Do: func(w *worldtest.World) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			return w.DB.WithContext(ctx).Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error
		}},
		{Name: "cancelled context", Fails: true, NoOp: true, Hold: true, Do: func(w *worldtest.World) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return w.DB.WithContext(ctx).Model(&worldtest.WriteUser{ID: 1}).Update("age", 41).Error
		}},
		{Name: "shared chain", Do: func(w *worldtest.World) error {
			tx := w.DB.Model(&worldtest.WriteUser{}).Where("id = ?", 1)
			var user worldtest.WriteUser
			if err := tx.Session(&gorm.Session{}).First(&user).Error; err != nil {
				return err
			}
			return tx.Session(&gorm.Session{}).Update("age", 41).Error
		}},
		{Name: "through a query's result handle", Do: func(w *worldtest.World) error {
			var users []worldtest.WriteUser
			return w.DB.FindInBatches(&users, 2, func(tx *gorm.DB, batch int) error {
				for i := range users {
					users[i].Age++
				}
				return tx.Save(&users).Error
			}).Error
		}},
	})
}

// writeSchema is the name of the schema (PostgreSQL) or database (MySQL) that a test has for
// itself.
func writeSchema(w *worldtest.World) string {
	var name sql.NullString
	query := "SELECT current_schema()"
	if w.Dialect == "mysql" {
		query = "SELECT DATABASE()"
	}
	w.Plain.Raw(query).Scan(&name)
	return name.String
}

func TestWriteDelete(t *testing.T) {
	t.Parallel()
	worldtest.CheckForms(t, writeOpen, []worldtest.Form{
		{Name: "by value", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteComment{ID: 1}).Error }},
		{Name: "by values", Do: func(w *worldtest.World) error { return w.DB.Delete([]worldtest.WriteComment{{ID: 1}, {ID: 3}}).Error }},
		{Name: "by key", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteComment{}, 1).Error }},
		{Name: "by keys", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteComment{}, []int{1, 2}).Error }},
		{Name: "by string key", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteComment{}, "1").Error }},
		{Name: "by condition", Do: func(w *worldtest.World) error {
			return w.DB.Where("body LIKE ?", "c%").Delete(&worldtest.WriteComment{}).Error
		}},
		{Name: "by inline condition", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteComment{}, "post_id = ?", 1).Error }},
		{Name: "by struct", Do: func(w *worldtest.World) error {
			return w.DB.Where(&worldtest.WriteComment{PostID: 1}).Delete(&worldtest.WriteComment{}).Error
		}},
		{Name: "returning", Only: "sqlite postgres", Do: func(w *worldtest.World) error {
			var gone []worldtest.WriteComment
			return w.DB.Clauses(clause.Returning{}).Where("post_id = ?", 1).Delete(&gone).Error
		}},
		{Name: "soft", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteDoc{ID: 1}).Error }},
		{Name: "soft by condition", Do: func(w *worldtest.World) error {
			return w.DB.Where("version = ?", 1).Delete(&worldtest.WriteDoc{}).Error
		}},
		{Name: "hard", Do: func(w *worldtest.World) error { return w.DB.Unscoped().Delete(&worldtest.WriteDoc{ID: 1}).Error }},
		{Name: "soft twice", Do: func(w *worldtest.World) error {
			return errors.Join(w.DB.Delete(&worldtest.WriteDoc{ID: 1}).Error, w.DB.Delete(&worldtest.WriteDoc{ID: 1}).Error)
		}},
		{Name: "soft and undone", Do: func(w *worldtest.World) error {
			if err := w.DB.Delete(&worldtest.WriteDoc{ID: 1}).Error; err != nil {
				return err
			}
			w.Compare(&testing.T{}, "between")
			return w.DB.Unscoped().Model(&worldtest.WriteDoc{ID: 1}).Updates(map[string]any{"deleted_at": nil, "version": 2}).Error
		}},
		{Name: "no row", NoOp: true, Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteComment{ID: 4711}).Error }},
		{Name: "without a condition", Fails: true, NoOp: true, Survives: true, Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteComment{}).Error }},
		{Name: "global", Do: func(w *worldtest.World) error {
			return w.DB.Session(&gorm.Session{AllowGlobalUpdate: true}).Delete(&worldtest.WriteComment{}).Error
		}},
		{Name: "cascade, parent's side", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteUser{ID: 2}).Error }},
		{Name: "cascade, two levels", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteUser{ID: 1}).Error }},
		{Name: "cascade by condition", Do: func(w *worldtest.World) error {
			return w.DB.Where("name = ?", "ann").Delete(&worldtest.WriteUser{}).Error
		}},
		{Name: "cascade, child's side", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WritePost{ID: 1}).Error }},
		{Name: "set null", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteOrg{ID: 1}).Error }},
		{Name: "set null on itself", Do: func(w *worldtest.World) error { return w.DB.Omit("Posts").Delete(&worldtest.WriteUser{}, 1).Error }},
		{Name: "cascade, then set null", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteCountry{Code: "at"}).Error }},
		{Name: "cascade, then set null by Exec", Do: func(w *worldtest.World) error {
			return w.DB.Exec("DELETE FROM write_countries WHERE code = 'at'").Error
		}},
		{Name: "cascade by Table", Do: func(w *worldtest.World) error {
			return w.DB.Table("write_users").Where("id = ?", 1).Delete(nil).Error
		}},
		{Name: "cascade by Exec", Do: func(w *worldtest.World) error { return w.DB.Exec("DELETE FROM write_users WHERE id = ?", 1).Error }},
		{Name: "cascade through a join table", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteTag{ID: 1}).Error }},
		{Name: "update cascades two levels", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteCountry{}).Where("code = ?", "at").Update("code", "xx").Error
		}},
		{Name: "update cascades two levels by Exec", Do: func(w *worldtest.World) error {
			return w.DB.Exec("UPDATE write_countries SET code = 'xx' WHERE code = 'at'").Error
		}},
		{Name: "update cascades from the parent's side", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteOrg{}).Where("id = ?", 1).Update("id", 55).Error
		}},
		{Name: "update cascades from users", Do: func(w *worldtest.World) error {
			if err := w.DB.Exec("DELETE FROM write_profiles").Error; err != nil {
				return err
			}
			if err := w.DB.Exec("UPDATE write_users SET boss_id = NULL").Error; err != nil {
				return err
			}
			return w.DB.Model(&worldtest.WriteUser{}).Where("id = ?", 1).Update("id", 55).Error
		}},
		{Name: "replace cascades", Only: "sqlite mysql", Do: func(w *worldtest.World) error {
			return w.DB.Exec("REPLACE INTO write_posts (id, user_id, title, views) VALUES (1, 2, 'replaced', 5)").Error
		}},
		{Name: "replace cascades over the unique index", Only: "sqlite mysql", Do: func(w *worldtest.World) error {
			return w.DB.Exec("REPLACE INTO write_users (id, name, email) VALUES (9, 'eve', 'ann@x')").Error
		}},
		{Name: "with associations", Do: func(w *worldtest.World) error {
			return w.DB.Select("Profile", "Posts", "Tags", "Notes").Delete(&worldtest.WriteUser{ID: 1}).Error
		}},
		{Name: "with all associations", Do: func(w *worldtest.World) error {
			return w.DB.Select(clause.Associations).Delete(&worldtest.WriteUser{ID: 1}).Error
		}},
		{Name: "soft with associations", Do: func(w *worldtest.World) error { return w.DB.Select("Notes").Delete(&worldtest.WriteDoc{ID: 1}).Error }},
		{Name: "hooks", Do: func(w *worldtest.World) error { return w.DB.Delete(&worldtest.WriteHooked{ID: 1}).Error }},
		{Name: "generics", Do: func(w *worldtest.World) error {
			_, err := gorm.G[worldtest.WriteComment](w.DB).Where("post_id = ?", 1).Delete(context.Background())
			return err
		}},
		{Name: "generics soft", Do: func(w *worldtest.World) error {
			_, err := gorm.G[worldtest.WriteDoc](w.DB).Where("id = ?", 1).Delete(context.Background())
			return err
		}},
		{Name: "Table with a model", Do: func(w *worldtest.World) error {
			return w.DB.Table("write_comments").Where("id = ?", 1).Delete(&struct{ ID int }{}).Error
		}},
		{Name: "parent restricted", Fails: true, NoOp: true, Do: func(w *worldtest.World) error {
			if err := w.Plain.Exec("CREATE TABLE write_restricts (id integer, tag_id " + map[string]string{"sqlite": "integer", "postgres": "bigint", "mysql": "bigint unsigned"}[w.Dialect] +
				", CONSTRAINT fk_restrict FOREIGN KEY (tag_id) REFERENCES write_tags(id))").Error; err != nil {
				return nil
			}
			defer w.Plain.Exec("DROP TABLE write_restricts")
			if err := w.Plain.Exec("INSERT INTO write_restricts VALUES (1, 1)").Error; err != nil {
				return nil
			}
			return w.DB.Delete(&worldtest.WriteTag{ID: 1}).Error
		}},
	})
}

func TestWriteAssociation(t *testing.T) {
	t.Parallel()
	user := func(w *worldtest.World, name string) *gorm.Association {
		return w.DB.Model(&worldtest.WriteUser{ID: 1}).Association(name)
	}
	worldtest.CheckForms(t, writeOpen, []worldtest.Form{
		{Name: "append many2many, new", Do: func(w *worldtest.World) error { return user(w, "Tags").Append(&worldtest.WriteTag{Name: "new"}) }},
		{Name: "append many2many, known", Do: func(w *worldtest.World) error { return user(w, "Tags").Append(&worldtest.WriteTag{ID: 3}) }},
		{Name: "replace many2many", Do: func(w *worldtest.World) error {
			return user(w, "Tags").Replace(&worldtest.WriteTag{ID: 3, Name: "green"})
		}},
		{Name: "delete many2many", Do: func(w *worldtest.World) error { return user(w, "Tags").Delete(&worldtest.WriteTag{ID: 1}) }},
		{Name: "clear many2many", Do: func(w *worldtest.World) error { return user(w, "Tags").Clear() }},
		{Name: "unscoped clear many2many", Do: func(w *worldtest.World) error { return user(w, "Tags").Unscoped().Clear() }},
		{Name: "append has many", Do: func(w *worldtest.World) error {
			return user(w, "Posts").Append(&worldtest.WritePost{Title: "new", Views: 9})
		}},
		{Name: "append has many, of another", Do: func(w *worldtest.World) error {
			return user(w, "Posts").Append(&worldtest.WritePost{ID: 3, Title: "p3", Views: 3})
		}},
		{Name: "delete has many, unscoped", Do: func(w *worldtest.World) error { return user(w, "Posts").Unscoped().Delete(&worldtest.WritePost{ID: 1}) }},
		{Name: "clear has many, unscoped", Do: func(w *worldtest.World) error { return user(w, "Posts").Unscoped().Clear() }},
		{Name: "replace has one, unscoped", Do: func(w *worldtest.World) error {
			return user(w, "Profile").Unscoped().Replace(&worldtest.WriteProfile{Bio: "new"})
		}},
		{Name: "append belongs to", Do: func(w *worldtest.World) error {
			return user(w, "Org").Append(&worldtest.WriteOrg{ID: 3, Name: "three"})
		}},
		{Name: "append belongs to, new", Do: func(w *worldtest.World) error { return user(w, "Org").Append(&worldtest.WriteOrg{Name: "new"}) }},
		{Name: "clear belongs to", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteUser{ID: 1, OrgID: worldtest.Ptr(uint(1))}).Association("Org").Clear()
		}},
		{Name: "replace from the other end", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteOrg{ID: 1}).Association("Users").Replace(&worldtest.WriteUser{ID: 4, Name: "dee", Age: 40})
		}},
		{Name: "delete from the other end", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteOrg{ID: 1}).Association("Users").Delete(&worldtest.WriteUser{ID: 1})
		}},
		{Name: "clear from the other end", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteOrg{ID: 1}).Association("Users").Clear()
		}},
		{Name: "append polymorphic", Do: func(w *worldtest.World) error { return user(w, "Notes").Append(&worldtest.WriteNote{Text: "new"}) }},
		{Name: "clear polymorphic, unscoped", Do: func(w *worldtest.World) error { return user(w, "Notes").Unscoped().Clear() }},
		{Name: "delete polymorphic, unscoped", Do: func(w *worldtest.World) error {
			return w.DB.Model(&worldtest.WriteDoc{ID: 1}).Association("Notes").Unscoped().Delete(&worldtest.WriteNote{ID: 2})
		}},
		{Name: "append to several", Do: func(w *worldtest.World) error {
			return w.DB.Model([]worldtest.WriteUser{{ID: 1}, {ID: 2}}).Association("Tags").Append(&worldtest.WriteTag{ID: 3}, &worldtest.WriteTag{Name: "new"})
		}},
		{Name: "count and find", NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			var tags []worldtest.WriteTag
			if n := user(w, "Tags").Count(); n != 2 {
				return fmt.Errorf("%d tags", n)
			}
			return user(w, "Tags").Find(&tags)
		}},
		{Name: "in a transaction", Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error { return tx.Model(&worldtest.WriteUser{ID: 1}).Association("Tags").Clear() })
		}},
		{Name: "in a transaction that fails", Fails: true, NoOp: true, Survives: true, Do: func(w *worldtest.World) error {
			return w.DB.Transaction(func(tx *gorm.DB) error {
				return errors.Join(tx.Model(&worldtest.WriteUser{ID: 1}).Association("Tags").Clear(), worldtest.ErrWriteHook)
			})
		}},
		{Name: "without default transaction", Config: &gorm.Config{SkipDefaultTransaction: true}, Do: func(w *worldtest.World) error {
			return user(w, "Tags").Replace(&worldtest.WriteTag{Name: "new"})
		}},
	})
}
