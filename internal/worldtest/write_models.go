package worldtest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gorm-preload/preload/internal/dbtest"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// The models of writes: every kind of relation, constraints declared at either end, two levels of
// them.

// WriteOrg declares the constraint of its users.
type WriteOrg struct {
	_     struct{} `preload:""`
	ID    uint
	Name  string      `gorm:"size:100"`
	Users []WriteUser `gorm:"foreignKey:OrgID;constraint:OnUpdate:CASCADE,OnDelete:SET NULL"`
}

// WriteUser has every kind of relation.
type WriteUser struct {
	_       struct{} `preload:""`
	ID      uint
	Name    string  `gorm:"size:100"`
	Email   *string `gorm:"size:100;uniqueIndex"`
	Age     int
	OrgID   *uint
	Org     *WriteOrg
	BossID  *uint
	Boss    *WriteUser   `gorm:"constraint:OnDelete:SET NULL"`
	Profile WriteProfile `gorm:"foreignKey:UserID;constraint:OnDelete:CASCADE"`
	Posts   []WritePost  `gorm:"foreignKey:UserID;constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Tags    []WriteTag   `gorm:"many2many:write_user_tags;constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Notes   []WriteNote  `gorm:"polymorphic:Owner"`
}

// WriteProfile is the one profile of a user, and is deleted with the user.
type WriteProfile struct {
	_      struct{} `preload:""`
	ID     uint
	UserID uint
	Bio    string `gorm:"size:100"`
}

// WritePost is deleted with its user.
type WritePost struct {
	_      struct{} `preload:""`
	ID     uint
	UserID uint
	Title  string `gorm:"size:100"`
	Views  int
}

// WriteComment declares the constraint of its post, which is two levels below a user.
type WriteComment struct {
	_      struct{} `preload:""`
	ID     uint
	PostID uint
	Post   *WritePost `gorm:"constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Body   string     `gorm:"size:100"`
}

// WriteTag has users by way of a table that joins them.
type WriteTag struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:100"`
}

// WriteNote belongs to a user or a doc by its type.
type WriteNote struct {
	_         struct{} `preload:""`
	ID        uint
	Text      string `gorm:"size:100"`
	OwnerID   uint
	OwnerType string `gorm:"size:100"`
}

// WriteDoc is deleted softly.
type WriteDoc struct {
	_         struct{} `preload:""`
	ID        uint
	Title     string `gorm:"size:100"`
	Version   int
	DeletedAt gorm.DeletedAt
	Notes     []WriteNote `gorm:"polymorphic:Owner"`
}

// WriteCountry has a text for a primary key, which its regions refer to.
type WriteCountry struct {
	_    struct{} `preload:""`
	Code string   `gorm:"primaryKey;size:20"`
	Name string   `gorm:"size:100"`
}

// WriteRegion has the key of its country for a primary key.
type WriteRegion struct {
	_           struct{}      `preload:""`
	CountryCode string        `gorm:"primaryKey;size:20"`
	Country     *WriteCountry `gorm:"foreignKey:CountryCode;references:Code;constraint:OnUpdate:CASCADE,OnDelete:CASCADE"`
	Name        string        `gorm:"size:100"`
}

// WriteTown loses its region when the region is deleted.
type WriteTown struct {
	_          struct{} `preload:""`
	ID         uint
	RegionCode *string      `gorm:"size:20"`
	Region     *WriteRegion `gorm:"foreignKey:RegionCode;references:CountryCode;constraint:OnUpdate:CASCADE,OnDelete:SET NULL"`
	Name       string       `gorm:"size:100"`
}

// WriteHooked writes to other tables from its hooks, and changes its own statement.
type WriteHooked struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:100"`
	Mark string `gorm:"size:100"`
}

// ErrWriteHook is the error of the hooks of a WriteHooked that is named so that one fails.
var ErrWriteHook = errors.New("the hook failed")

// BeforeCreate changes the statement, and fails or panics where the name says so.
func (h *WriteHooked) BeforeCreate(tx *gorm.DB) error {
	switch h.Name {
	case "before fails":
		return ErrWriteHook
	case "before panics":
		panic("before create")
	}
	tx.Statement.SetColumn("Mark", "made")
	return nil
}

// AfterCreate writes to orgs and notes, and then fails or panics where the name says so.
func (h *WriteHooked) AfterCreate(tx *gorm.DB) error {
	if err := tx.Model(&WriteOrg{}).Where("id = ?", 1).Update("name", "by hook").Error; err != nil {
		return err
	}
	if err := tx.Create(&WriteNote{Text: "hook", OwnerID: 1, OwnerType: "write_users"}).Error; err != nil {
		return err
	}
	switch h.Name {
	case "after fails":
		return ErrWriteHook
	case "after panics":
		panic("after create")
	}
	return nil
}

// BeforeUpdate changes the statement, and writes to docs.
func (h *WriteHooked) BeforeUpdate(tx *gorm.DB) error {
	if !tx.Statement.Changed("Mark") {
		tx.Statement.SetColumn("Mark", "changed")
	}
	return tx.Exec("UPDATE write_docs SET version = version + 1").Error
}

// AfterUpdate writes to tags, on a handle of its own.
func (h *WriteHooked) AfterUpdate(tx *gorm.DB) error {
	return tx.Session(&gorm.Session{NewDB: true}).Table("write_tags").Where("id = ?", 1).Update("name", "by hook").Error
}

// BeforeDelete deletes comments.
func (h *WriteHooked) BeforeDelete(tx *gorm.DB) error {
	return tx.Where("post_id = ?", 1).Delete(&WriteComment{}).Error
}

// AfterDelete writes to posts.
func (h *WriteHooked) AfterDelete(tx *gorm.DB) error {
	return tx.Model(&WritePost{}).Where("1 = 1").UpdateColumn("views", gorm.Expr("views + 1")).Error
}

// WriteModels are the models whose names begin with Write, those first that others refer to.
var WriteModels = []any{&WriteOrg{}, &WriteUser{}, &WriteProfile{}, &WritePost{}, &WriteComment{}, &WriteTag{},
	&WriteNote{}, &WriteDoc{}, &WriteCountry{}, &WriteRegion{}, &WriteTown{}, &WriteHooked{}}

// writeTables are the tables of WriteModels, those first that refer to others.
var writeTables = []string{"write_comments", "write_posts", "write_profiles", "write_user_tags", "write_tags",
	"write_notes", "write_docs", "write_users", "write_orgs", "write_towns", "write_regions", "write_countries", "write_hookeds"}

// MigrateWrites makes the tables through a plain handle.
func MigrateWrites(t testing.TB, d *dbtest.Database) *gorm.DB {
	t.Helper()
	plain := d.Plain(t)
	// In one transaction, which takes a server less time than one for each statement.
	if err := plain.Transaction(func(tx *gorm.DB) error { return tx.AutoMigrate(WriteModels...) }); err != nil {
		t.Fatalf("AutoMigrate: %v", err)
	}
	if d.Dialect == "postgres" {
		for _, table := range writeTables {
			switch table {
			case "write_user_tags", "write_countries", "write_regions":
				continue
			}
			if err := plain.Exec("SELECT setval(pg_get_serial_sequence('" + table + "', 'id'), 1000)").Error; err != nil {
				t.Fatal(err)
			}
		}
	}
	return plain
}

// SeedWrites brings the tables to a known state through a plain handle.
func SeedWrites(t testing.TB, plain *gorm.DB) {
	t.Helper()
	err := plain.Transaction(func(tx *gorm.DB) error {
		if err := tx.Exec("UPDATE write_users SET boss_id = NULL").Error; err != nil {
			return err
		}
		for _, table := range writeTables {
			if err := tx.Exec("DELETE FROM " + table).Error; err != nil {
				return err
			}
		}
		tx = tx.Session(&gorm.Session{SkipHooks: true})
		for _, rows := range []any{
			[]WriteOrg{{ID: 1, Name: "one"}, {ID: 2, Name: "two"}, {ID: 3, Name: "three"}},
			[]WriteUser{
				{ID: 1, Name: "ann", Email: Ptr("ann@x"), Age: 10, OrgID: Ptr(uint(1))},
				{ID: 2, Name: "bob", Email: Ptr("bob@x"), Age: 20, OrgID: Ptr(uint(1)), BossID: Ptr(uint(1))},
				{ID: 3, Name: "cid", Email: Ptr("cid@x"), Age: 30, OrgID: Ptr(uint(2)), BossID: Ptr(uint(1))},
				{ID: 4, Name: "dee", Age: 40},
			},
			[]WriteProfile{{ID: 1, UserID: 1, Bio: "a"}, {ID: 2, UserID: 2, Bio: "b"}},
			[]WritePost{{ID: 1, UserID: 1, Title: "p1", Views: 1}, {ID: 2, UserID: 1, Title: "p2", Views: 2}, {ID: 3, UserID: 2, Title: "p3", Views: 3}},
			[]WriteComment{{ID: 1, PostID: 1, Body: "c1"}, {ID: 2, PostID: 1, Body: "c2"}, {ID: 3, PostID: 3, Body: "c3"}},
			[]WriteTag{{ID: 1, Name: "red"}, {ID: 2, Name: "blue"}, {ID: 3, Name: "green"}},
			[]WriteNote{{ID: 1, Text: "n1", OwnerID: 1, OwnerType: "write_users"}, {ID: 2, Text: "n2", OwnerID: 1, OwnerType: "write_docs"}},
			[]WriteDoc{{ID: 1, Title: "d1", Version: 1}, {ID: 2, Title: "d2", Version: 1}, {ID: 3, Title: "d3", Version: 2}},
			[]WriteCountry{{Code: "at", Name: "Austria"}, {Code: "be", Name: "Belgium"}},
			[]WriteRegion{{CountryCode: "at", Name: "Tyrol"}, {CountryCode: "be", Name: "Flanders"}},
			[]WriteTown{{ID: 1, RegionCode: Ptr("at"), Name: "Hall"}, {ID: 2, RegionCode: Ptr("be"), Name: "Ghent"}, {ID: 3, Name: "None"}},
			[]WriteHooked{{ID: 1, Name: "h1"}, {ID: 2, Name: "h2"}},
		} {
			if err := tx.Omit(clause.Associations).Create(rows).Error; err != nil {
				return fmt.Errorf("%T: %w", rows, err)
			}
		}
		for _, row := range [][2]int{{1, 1}, {1, 2}, {2, 2}} {
			if err := tx.Exec("INSERT INTO write_user_tags (write_user_id, write_tag_id) VALUES (?, ?)", row[0], row[1]).Error; err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("seed: %v", err)
	}
}
