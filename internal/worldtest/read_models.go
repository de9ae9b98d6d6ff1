package worldtest

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"
)

// The models of reads: every kind of association and of field that GORM scans in a way of its own.

// ReadAddress is embedded in ReadUser.
type ReadAddress struct {
	Street string `gorm:"size:50"`
	City   string `gorm:"size:50"`
}

// ReadCompany has one place.
type ReadCompany struct {
	_    struct{} `preload:""`
	ID   uint
	Name string     `gorm:"size:50"`
	HQ   *ReadPlace `gorm:"foreignKey:CompanyID"`
}

// ReadPlace belongs to a company.
type ReadPlace struct {
	_         struct{} `preload:""`
	ID        uint
	CompanyID uint
	Name      string `gorm:"size:50"`
}

// ReadUser has every kind of association and of field that GORM scans in a way of its own.
type ReadUser struct {
	_ struct{} `preload:""`
	gorm.Model
	Name      string `gorm:"size:50"`
	Age       int
	Email     *string `gorm:"size:50"`
	Birthday  *time.Time
	Active    bool
	Score     float64
	Data      []byte
	CompanyID *uint
	Company   *ReadCompany
	ManagerID *uint
	Manager   *ReadUser
	Team      []ReadUser `gorm:"foreignKey:ManagerID"`
	Account   ReadAccount
	Pets      []*ReadPet
	Toys      []ReadToy      `gorm:"polymorphic:Owner"`
	Languages []ReadLanguage `gorm:"many2many:read_user_languages"`
	Friends   []*ReadUser    `gorm:"many2many:read_user_friends"`
	Home      ReadAddress    `gorm:"embedded;embeddedPrefix:home_"`
	Tags      []string       `gorm:"serializer:json"`
	Meta      map[string]any `gorm:"serializer:json"`
	Blob      map[string]int `gorm:"serializer:gob;type:bytes"`
	Joined    int64          `gorm:"serializer:unixtime;type:date"`
	Level     ReadLevel      `gorm:"type:varchar(20)"`
	hidden    int
}

// ReadAccount is the one account of a user.
type ReadAccount struct {
	_          struct{} `preload:""`
	ID         uint
	ReadUserID uint
	Number     string `gorm:"size:50"`
}

// ReadPet is one of the pets of a user.
type ReadPet struct {
	_          struct{} `preload:""`
	ID         uint
	ReadUserID uint
	Name       string   `gorm:"size:50"`
	Toy        *ReadToy `gorm:"polymorphic:Owner"`
}

// ReadToy belongs to a user or a pet by its type.
type ReadToy struct {
	_         struct{} `preload:""`
	ID        uint
	Name      string `gorm:"size:50"`
	OwnerID   uint
	OwnerType string `gorm:"size:50"`
}

// ReadLanguage has a text for a primary key, and users by way of a table that joins them.
type ReadLanguage struct {
	_    struct{} `preload:""`
	Code string   `gorm:"primaryKey;size:10"`
	Name string   `gorm:"size:50"`
}

// ReadLine has a composite primary key.
type ReadLine struct {
	_       struct{} `preload:""`
	OrderID uint     `gorm:"primaryKey;autoIncrement:false"`
	No      uint     `gorm:"primaryKey;autoIncrement:false"`
	Text    string   `gorm:"size:50"`
}

// ReadHooked counts its AfterFind in the context, changes itself, fails and queries as it is named.
type ReadHooked struct {
	_    struct{} `preload:""`
	ID   uint
	Name string `gorm:"size:50"`
	Seen int    `gorm:"-"`
	Far  string `gorm:"-"`
}

// ReadPlain is a model that nothing opts in.
type ReadPlain struct {
	ID   uint
	Name string `gorm:"size:50"`
}

// ReadOff opts out.
type ReadOff struct {
	_    struct{} `preload:"-"`
	ID   uint
	Name string `gorm:"size:50"`
}

type hookCounter struct{}

// ErrReadHook is the error of AfterFind of a ReadHooked that is named "fails".
var ErrReadHook = errors.New("the hook failed")

// AfterFind counts its calls where Try asked for that, and does what the name of the row says.
func (h *ReadHooked) AfterFind(tx *gorm.DB) error {
	if n, ok := tx.Statement.Context.Value(hookCounter{}).(*atomic.Int64); ok {
		n.Add(1)
	}
	h.Seen++
	switch h.Name {
	case "changes":
		h.Name = "changed"
	case "fails":
		return ErrReadHook
	case "queries":
		var other ReadCompany
		if err := tx.First(&other, 1).Error; err != nil {
			return err
		}
		h.Far = other.Name
	}
	return nil
}

// ReadLevel is kept as text and is a number in Go.
type ReadLevel struct{ N int }

// Value is the text that the database keeps.
func (l ReadLevel) Value() (driver.Value, error) { return fmt.Sprintf("level %d", l.N), nil }

// Scan reads the text that the database keeps.
func (l *ReadLevel) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*l = ReadLevel{}
		return nil
	case []byte:
		_, err := fmt.Sscanf(string(v), "level %d", &l.N)
		return err
	case string:
		_, err := fmt.Sscanf(v, "level %d", &l.N)
		return err
	}
	return fmt.Errorf("a level of %T", v)
}

// ReadModels are the models whose names begin with Read.
var ReadModels = []any{
	&ReadCompany{}, &ReadPlace{}, &ReadUser{}, &ReadAccount{}, &ReadPet{}, &ReadToy{}, &ReadLanguage{}, &ReadLine{},
	&ReadHooked{}, &ReadPlain{}, &ReadOff{},
}

var readBirthday = time.Date(1990, 5, 6, 7, 8, 9, 0, time.UTC)

// SeedReads fills the tables of ReadModels.
func SeedReads(t testing.TB, db *gorm.DB) {
	t.Helper()
	Must(t, db.AutoMigrate(ReadModels...))
	for _, rows := range []any{
		&[]ReadCompany{{Name: "acme", HQ: &ReadPlace{Name: "paris"}}, {Name: "umbrella"}},
		&[]ReadLanguage{{Code: "de", Name: "German"}, {Code: "en", Name: "English"}, {Code: "fr", Name: "French"}},
		&[]ReadUser{
			{Name: "ann", Age: 30, Email: Ptr("ann@x"), Birthday: &readBirthday, Active: true, Score: 1.5, Data: []byte{0, 1, 255},
				CompanyID: Ptr(uint(1)), Account: ReadAccount{Number: "a-1"},
				Pets:      []*ReadPet{{Name: "rex", Toy: &ReadToy{Name: "bone"}}, {Name: "tom"}},
				Toys:      []ReadToy{{Name: "ball"}, {Name: "car"}},
				Languages: []ReadLanguage{{Code: "de", Name: "German"}, {Code: "en", Name: "English"}},
				Home:      ReadAddress{"Main St", "Paris"}, Tags: []string{"x", "y"}, Meta: map[string]any{"a": 1.5, "b": []any{"c", nil}},
				Blob: map[string]int{"one": 1}, Joined: 1_600_000_000, Level: ReadLevel{7}},
			{Name: "bob", Age: 40, ManagerID: Ptr(uint(1)), CompanyID: Ptr(uint(2)), Data: []byte{}, Account: ReadAccount{Number: "b-2"},
				Languages: []ReadLanguage{{Code: "fr", Name: "French"}}, Score: -2.25, Active: true, Blob: map[string]int{}, Level: ReadLevel{1}},
			{Name: "cid", Age: 40, ManagerID: Ptr(uint(1)), Email: Ptr(""), Blob: map[string]int{}, Pets: []*ReadPet{{Name: "kit"}}},
			{Name: "dot ünï", Age: 0, ManagerID: Ptr(uint(2)), Blob: map[string]int{}},
			{Name: "gone", Age: 99, Blob: map[string]int{}},
		},
		&[]ReadLine{{OrderID: 1, No: 1, Text: "one"}, {OrderID: 1, No: 2, Text: "two"}, {OrderID: 2, No: 1, Text: "three"}},
		&[]ReadHooked{{ID: 1, Name: "counts"}, {ID: 2, Name: "changes"}, {ID: 3, Name: "fails"}, {ID: 4, Name: "queries"}},
		&[]ReadPlain{{ID: 1, Name: "p"}}, &[]ReadOff{{ID: 1, Name: "o"}},
	} {
		Must(t, db.Create(rows).Error)
	}
	// Not by Model(...).Association, which would run what is tested.
	Must(t, db.Exec("INSERT INTO read_user_friends (read_user_id, friend_id) VALUES (1,2),(1,3),(2,1)").Error)
	Must(t, db.Delete(&ReadUser{}, "name = ?", "gone").Error)
}

// ReadHiding is a user in whose unexported field a value is set.
func ReadHiding(v int) ReadUser { return ReadUser{hidden: v} }
